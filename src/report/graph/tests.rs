//! Whatever a label says, it reads back as it was, and nothing around it is drawn otherwise.

use proptest::prelude::*;

use super::*;

/// What Mermaid shows of a label: numbers are characters again.
fn shown_by_mermaid(label: &str) -> String {
    let inner = label.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
    for refused in ['"', '`', '<', '>', '&', '[', ']', '{', '}', '|', '\\'] {
        assert!(!inner.replace("<br/>", "").contains(refused), "{refused} in {label}");
    }
    let mut pieces = inner.split('#');
    let mut text = pieces.next().unwrap().replace("<br/>", "\n");
    for piece in pieces {
        let (number, rest) = piece.split_once(';').unwrap();
        text.push(char::from_u32(number.parse().unwrap()).unwrap());
        text.push_str(&rest.replace("<br/>", "\n"));
    }
    text
}

/// What Graphviz shows of a label: first the quoted string, then escapes, then entities.
fn shown_by_graphviz(label: &str) -> String {
    let inner = label.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next().expect("an escape has its character") {
                'n' => text.push('\n'),
                c @ ('"' | '\\') => text.push(c),
                other => panic!("\\{other} in {label}"),
            },
            '"' => panic!("a quote ends {label} too early"),
            c => text.push(c),
        }
    }
    let whole = text.split('&').skip(1).all(|rest| rest.starts_with("amp;"));
    assert!(whole, "an entity in {label}");
    text.replace("&amp;", "&")
}

proptest! {
    #[test]
    fn any_printable_label_reads_back(lines in prop::collection::vec("\\PC{0,24}", 1..3)) {
        let text = lines.join("\n");
        prop_assert_eq!(&shown_by_mermaid(&mermaid::label(&lines)), &text);
        prop_assert_eq!(&shown_by_graphviz(&dot::label(&lines)), &text);
    }

    #[test]
    fn labels_that_mean_something_read_back(text in "[\"#&;\\\\`<>\\[\\]{}|nGN0-9]{0,12}") {
        let lines = [text.clone()];
        prop_assert_eq!(&shown_by_mermaid(&mermaid::label(&lines)), &text);
        prop_assert_eq!(&shown_by_graphviz(&dot::label(&lines)), &text);
    }
}

fn close_names() -> Graph {
    let mut graph = Graph {
        version: VERSION,
        fleet: Name::new("lab").unwrap(),
        nodes: Vec::new(),
        edges: Vec::new(),
    };
    for node in ["a", "a-b"] {
        let unit = |text: &str| format!("{node}/{text}").parse::<UnitId>().unwrap();
        let item = |text| Item { unit: unit(text), environment: None, notes: Vec::new() };
        graph.nodes.push(Machine {
            name: Name::new(node).unwrap(),
            address: [127, 0, 0, 1].into(),
            local: true,
            optional: false,
            units: ["service.c", "service.c-b", "bundle.c", "service.c@b", "sync"].map(item).into(),
        });
    }
    graph
}

#[test]
fn no_two_units_share_an_id_in_the_picture() {
    let text = mermaid(&close_names());
    let ids = text.lines().filter_map(|line| line.trim().strip_prefix("U_")?.split('[').next());
    let ids: Vec<&str> = ids.collect();
    assert_eq!(ids.len(), 10);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 10, "{ids:?}");
}
