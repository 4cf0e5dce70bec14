//! Trees of good files, and problems of bad ones.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::tree::Meaning;
use super::*;

fn tree(text: &str) -> Yaml {
    parse_tree("f.yaml", text.as_bytes()).unwrap().root
}

fn codes_of(bytes: &[u8]) -> Vec<&'static str> {
    parse_tree("f.yaml", bytes).unwrap_err().iter().map(|d| d.code.0).collect()
}

#[test]
fn places_of_keys_and_values_are_exact() {
    let text = "ä: 1\nports:\n  web: \"8080:80\"\nlist: [a, bc]\n";
    let root = tree(text);
    let slice = |span: Span| &text[span.start as usize..span.end as usize];
    let web = root.get("ports").unwrap().pair("web").unwrap();
    assert_eq!(slice(web.key_span), "web");
    assert_eq!(slice(web.value.span), "\"8080:80\"");
    assert_eq!((web.value.span.line, web.value.span.column), (3, 8));
    let list = root.get("list").unwrap();
    assert_eq!(slice(list.span), "[a, bc]");
    assert_eq!(slice(list.items()[1].span), "bc");
    assert_eq!(root.get("ä").unwrap().span.column, 4);
    assert_eq!(slice(root.get("ports").unwrap().span), "web");
}

#[test]
fn an_empty_file_is_nothing() {
    for text in ["", "# only a comment\n", "---\n", "\u{feff}"] {
        assert!(tree(text).is_null(), "{text:?}");
    }
}

#[test]
fn aliases_and_merge_keys_unfold() {
    let root = tree("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\nd: {<<: [{z: 1}, *a]}\n");
    let text = |key: &str, inner: &str| root.get(key)?.get(inner)?.text().map(str::to_owned);
    assert_eq!(text("b", "x").as_deref(), Some("1"));
    assert_eq!(text("b", "y").as_deref(), Some("3"));
    assert_eq!(text("c", "y").as_deref(), Some("2"));
    assert_eq!(text("d", "z").as_deref(), Some("1"));
    assert_eq!(root.get("c").unwrap().span.line, 3);
}

#[test]
fn a_string_tag_makes_text() {
    let root = tree("a: !!str 10\n");
    let Kind::Scalar(scalar) = &root.get("a").unwrap().kind else { panic!("a scalar") };
    assert_eq!(scalar.meaning(), Meaning::Text);
}

#[test]
fn a_duplicate_key_names_both_places_and_parsing_goes_on() {
    let problems = parse_tree("f.yaml", b"a: 1\nb: {c: 1, c: 2}\na: 2\n").unwrap_err();
    let lines: Vec<(usize, usize)> =
        problems.iter().map(|d| (d.labels[0].place.line, d.labels[1].place.line)).collect();
    assert_eq!(lines, [(2, 2), (3, 1)]);
}

#[test]
fn bad_files_have_their_codes() {
    let cases: &[(&[u8], &str)] = &[
        (b"\xff\xfe", "GS0001"),
        (b"a: [1", "GS0005"),
        (b"a: *b\n", "GS0005"),
        (b"a: &a [*a]\n", "GS0005"),
        (b"a: !secret x\n", "GS0005"),
        (b"[a, b]: c\n", "GS0005"),
        (b"a: {<<: 3}\n", "GS0005"),
        (b"a: 1\n---\nb: 2\n", "GS0008"),
        (b"a: 1\n\ta: 2\n", "GS0005"),
    ];
    for (bytes, code) in cases {
        assert_eq!(codes_of(bytes), [*code], "{}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(codes_of(&vec![b'a'; 1_048_577]), ["GS0002"]);
}

#[test]
fn not_utf8_is_placed_at_its_first_bad_byte() {
    let problems = parse_tree("f.yaml", b"a: 1\nb: x\xff\n").unwrap_err();
    let place = problems[0].place().unwrap();
    assert_eq!((place.line, place.column, place.start), (2, 5, 9));
}

#[test]
fn bombs_are_refused_fast() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let previous = format!("*a{}", level - 1);
        let items = vec![previous; 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let wide = format!("a: &a {}\nb: [{}]\n", "x".repeat(900_000), "*a, ".repeat(999));
    let nested_anchors =
        (0..30).map(|n| format!("&a{n} [")).collect::<String>() + &"x,".repeat(90_000);
    let aliases = format!("a: &a x\nb: [{}]\n", "*a, ".repeat(2_000));
    let cases = [
        bomb,
        wide,
        nested_anchors,
        aliases,
        "[".repeat(500_000),
        "{a: ".repeat(250_000),
        "- ".repeat(500_000),
        (0..1_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect(),
        format!("[{}]", "a,".repeat(500_000)),
        "? ".repeat(500_000),
        "&a ".repeat(300_000),
        "!".repeat(1_000_000),
        "\"".to_owned() + &"\\x41".repeat(250_000),
        "a: |\n".to_owned() + &" x\n".repeat(300_000) + "b: [",
        "k: v\n".repeat(200_000),
        "%".repeat(1_000_000),
        ": ".repeat(500_000),
        "#".repeat(1_000_000) + "\n[",
        " ".repeat(1_000_000) + "[",
        "\n".repeat(1_000_000) + "[",
        "a ".repeat(500_000) + ": [",
        "---\n".repeat(250_000),
        "'".repeat(999_999),
    ];
    for case in cases {
        let began = Instant::now();
        let refused = parse_tree("f.yaml", case.as_bytes()).is_err();
        let head: String = case.chars().take(30).collect();
        assert!(refused, "{head:?} was taken");
        assert!(began.elapsed() < Duration::from_secs(5), "{head:?} took {:?}", began.elapsed());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = parse_tree("f.yaml", &bytes);
    }

    #[test]
    fn arbitrary_yaml_like_text_never_panics(text in "[-a-c0-9:{}\\[\\],&*!|>'\"%#?~<=\\\\ \n\tä]{0,200}") {
        let parsed = parse_tree("f.yaml", text.as_bytes());
        for diagnostic in parsed.err().into_iter().flatten() {
            let place = diagnostic.place().unwrap();
            prop_assert!(place.line >= 1 && place.column >= 1 && place.end <= text.len() + 1);
        }
    }
}
