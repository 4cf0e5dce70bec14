//! Files made here and opened again: whatever they hold, and whatever somebody without the key does to them.

use age::secrecy::ExposeSecret as _;
use proptest::prelude::*;

use super::*;
use crate::model::Timestamp;

const NOW: Timestamp = Timestamp(1_750_000_000_000);

struct Keys {
    opener: Opener,
    recipient: Recipient,
}

fn keys() -> Keys {
    let identity = age::x25519::Identity::generate();
    let text = SecretText::new("GITSYNC_AGE_KEY", identity.to_string().expose_secret());
    let recipient = Recipient::parse(&identity.to_public().to_string()).unwrap();
    Keys { opener: Opener::new(vec![KeyPlace::Text(text)]), recipient }
}

impl Keys {
    /// A file that holds what a plain document says.
    fn file(&self, plain: &str) -> String {
        self.file_by(plain, &Creation::new(vec![self.recipient.clone()]))
    }

    fn file_by(&self, plain: &str, creation: &Creation) -> String {
        let first = created("secrets/x.yaml", &["first".into()], "x", creation, NOW).unwrap();
        self.unlock(&first).edited(plain, NOW).unwrap()
    }

    fn unlock(&self, file: &str) -> Unlocked {
        self.opener.unlock("secrets/x.yaml", file.as_bytes()).unwrap()
    }

    fn open(&self, file: &str) -> Result<Opened, SecretError> {
        self.opener.open("secrets/x.yaml", file.as_bytes())
    }

    #[track_caller]
    fn refused(&self, file: &str, words: &str) {
        let error = self.open(file).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("secrets/x.yaml"), "{error}\n{file}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

fn told(opened: &Opened) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    opened.iter().map(|(key, value)| (key.to_owned(), text(value))).collect()
}

const PLAIN: &str = "# about it\ndb:\n  user: app # who\n  password: hunter2\n  port: 5432\n  tls: true\n  ratio: 0.5\n\
                     list:\n  - one\n  - b: two\n  - 3\nempty: \"\"\nnothing:\nplain_unencrypted: seen\n";

#[test]
fn what_was_closed_opens_with_every_value_under_its_key() {
    let keys = keys();
    let file = keys.file(PLAIN);
    for hidden in ["hunter2", "5432", "about it", "who", "0.5", "two"] {
        assert!(!file.contains(hidden), "{hidden} in\n{file}");
    }
    assert!(file.contains("plain_unencrypted: seen") && file.contains("empty: \"\""));
    let opened = keys.open(&file).unwrap();
    let expected = [
        ("db.password", "hunter2"),
        ("db.port", "5432"),
        ("db.ratio", "0.5"),
        ("db.tls", "true"),
        ("db.user", "app"),
        ("empty", ""),
        ("list.0", "one"),
        ("list.1.b", "two"),
        ("list.2", "3"),
        ("plain_unencrypted", "seen"),
    ];
    assert_eq!(told(&opened), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!(opened.get("db.password"), Some(b"hunter2".as_slice()));
    assert_eq!(opened.get("nothing"), None);
    assert!(!format!("{opened:?}").contains("hunter2"));
    assert_eq!(keys.unlock(&file).plain().unwrap().as_str(), PLAIN);
}

#[test]
fn an_unchanged_document_keeps_every_ciphertext_and_a_changed_one_all_but_the_change() {
    let keys = keys();
    let file = keys.file(&format!("{PLAIN}twins: [same, same]\n"));
    let unlocked = keys.unlock(&file);
    let plain = unlocked.plain().unwrap();
    let body = |file: &str| file.split_once("\nsops:").unwrap().0.to_owned();
    assert_eq!(body(&unlocked.edited(&plain, NOW).unwrap()), body(&file));
    let changed = unlocked.edited(&plain.replace("hunter2", "hunter3"), NOW).unwrap();
    let differ = |a: &str, b: &str| -> Vec<String> {
        let pairs = a.lines().zip(b.lines()).filter(|(a, b)| a != b);
        pairs.map(|(a, _)| a.trim().split(':').next().unwrap().to_owned()).collect()
    };
    assert_eq!(differ(&body(&file), &body(&changed)), ["password"]);
    let set = unlocked.set(&["db".into(), "password".into()], "hunter3", NOW).unwrap();
    assert_eq!(differ(&body(&file), &body(&set)), ["password"]);
    assert_eq!(keys.open(&set).unwrap().get("db.password"), Some(b"hunter3".as_slice()));
}

#[test]
fn whatever_somebody_without_the_key_changes_is_noticed() {
    let keys = keys();
    let file = keys.file("a: one\nb: hunter2\nc: [x, y]\nd_unencrypted: seen\n");
    let line = |name: &str| file.lines().find(|line| line.trim().starts_with(name)).unwrap();
    let value = |name: &str| line(name).split_once(": ").unwrap().1;
    let swapped =
        file.replace(value("a"), "?").replace(value("b"), value("a")).replace('?', value("b"));
    keys.refused(&swapped, "`a` does not decrypt");
    keys.refused(&file.replace(&format!("{}\n", line("a")), ""), "MAC does not match");
    let reordered = file.replacen(&format!("{}\n", line("a")), "", 1);
    let at = reordered.find("c:").unwrap();
    let reordered = format!("{}{}\n{}", &reordered[..at], line("a"), &reordered[at..]);
    keys.refused(&reordered, "MAC does not match");
    keys.refused(&file.replace("seen", "other"), "MAC does not match");
    keys.refused(
        &file.replace(value("lastmodified"), "\"2020-01-01T00:00:00Z\""),
        "MAC does not decrypt",
    );
    keys.refused(&file.replace(value("mac"), value("a")), "MAC does not decrypt");
    keys.refused(&file.replace(line("mac"), "    mac: \"\""), "MAC is missing");
    keys.refused(&file.replace(value("b"), "mine"), "`b` is not encrypted");
    keys.refused(&file.replace(value("b"), "\"\""), "MAC does not match");
    let cut = &value("b")[..value("b").len() - 9];
    keys.refused(&file.replace(value("b"), cut), "`b` is not a whole");
    keys.refused(&format!("e: {}\n{file}", value("b")), "`e` does not decrypt");
    let other = self::keys();
    keys.refused(&other.file("a: x\n"), "is encrypted for");
    keys.refused(&file.replace("-----END AGE", "-----ENDE AGE"), "data key");
    keys.refused(&file[..file.find("sops:").unwrap()], "no `sops:` block");
}

#[test]
fn items_of_a_list_can_t_change_places() {
    let keys = keys();
    let file = keys.file("c:\n  - x\n  - y\n");
    let items: Vec<&str> = file.lines().filter(|line| line.starts_with("  - ENC")).collect();
    let swapped = file.replace(items[0], "?").replace(items[1], items[0]).replace('?', items[1]);
    keys.refused(&swapped, "MAC does not match");
}

#[test]
fn a_comment_that_is_an_item_of_a_list_is_no_value() {
    let keys = keys();
    let file = keys.file("c:\n  # about y\n  - one\nd: z\n");
    let comment = file.lines().find(|line| line.starts_with("  #ENC")).unwrap();
    let as_item = file.replace(comment, &comment.replace("  #", "  - "));
    let opened = keys.open(&as_item).unwrap();
    assert_eq!(
        opened.iter().map(|(_, value)| value).collect::<Vec<_>>(),
        [b"one".as_slice(), b"z"]
    );
    assert_eq!(keys.unlock(&as_item).plain().unwrap().as_str(), "c:\n  # about y\n  - one\nd: z\n");
    let set = keys.unlock(&as_item).set(&["d".into()], "new", NOW).unwrap();
    assert!(set.contains(comment), "{set}");
}

#[test]
fn what_is_no_file_of_ours_is_a_clear_error() {
    let keys = keys();
    keys.refused("a: [", "secrets/x.yaml:");
    keys.refused("- a\n", "no mapping");
    keys.refused("", "no `sops:` block");
    keys.refused("a: 1\n---\nb: 2\n", "second document");
    let error = |bytes: &[u8]| keys.opener.open("x", bytes).unwrap_err().to_string();
    assert!(error(&[0, 159, 146, 150]).contains("UTF-8"));
    assert!(error(&vec![b'a'; 2 << 20]).contains("1 MiB"));
    assert!(error(&vec![b'['; 1 << 19]).contains("nested"));
}

#[test]
fn a_file_is_rekeyed_without_a_change_of_any_ciphertext() {
    let (ada, ben) = (keys(), keys());
    let file = ada.file(PLAIN);
    let both = [ada.recipient.clone(), ben.recipient.clone()];
    let shared = ada.unlock(&file).rekeyed(&both).unwrap().unwrap();
    let body = |file: &str| file.split_once("\nsops:").unwrap().0.to_owned();
    let mac = |file: &str| file.lines().filter(|it| it.contains("  mac:")).collect::<String>();
    assert_eq!((body(&shared), mac(&shared)), (body(&file), mac(&file)));
    assert_eq!(told(&ben.open(&shared).unwrap()), told(&ada.open(&file).unwrap()));
    assert!(ada.unlock(&shared).rekeyed(&both).unwrap().is_none(), "nothing is to be done");
    let alone = ben.unlock(&shared).rekeyed(&both[1..]).unwrap().unwrap();
    ada.refused(&alone, "is encrypted for");
    assert_eq!(body(&alone), body(&file));
}

#[test]
fn a_rotated_file_has_another_ciphertext_everywhere_and_the_same_values() {
    let keys = keys();
    let file = keys.file(PLAIN);
    let rotated = keys.unlock(&file).rotated(std::slice::from_ref(&keys.recipient), NOW).unwrap();
    assert_eq!(told(&keys.open(&rotated).unwrap()), told(&keys.open(&file).unwrap()));
    assert_eq!(keys.unlock(&rotated).plain().unwrap().as_str(), PLAIN);
    let sealed = |file: &str| -> Vec<String> {
        let found =
            file.split("ENC[").skip(1).map(|rest| rest.split(']').next().unwrap().to_owned());
        found.collect()
    };
    assert!(sealed(&rotated).iter().all(|text| !sealed(&file).contains(text)));
}

#[test]
fn a_mac_of_encrypted_values_only_leaves_the_others_alone() {
    let keys = keys();
    let mut creation = Creation::new(vec![keys.recipient.clone()]);
    creation.only_encrypted = true;
    let file = keys.file_by("a: x\nb_unencrypted: seen\n", &creation);
    assert!(keys.open(&file.replace("seen", "other")).is_ok());
    keys.refused(&file.replace("mac_only_encrypted: true", "mac_only_encrypted: false"), "MAC");
    keys.refused(&file.replace("b_unencrypted", "b"), "`b` is not encrypted");
}

#[test]
fn a_plain_document_that_can_t_be_kept_is_refused_with_the_reason() {
    let keys = keys();
    let unlocked = keys.unlock(&keys.file("a: x\n"));
    for (plain, words) in [
        ("a: &x hunter2\nb: *x\n", "anchors"),
        ("<<: {a: hunter2}\n", "anchors"),
        ("5: hunter2\n", "`5` would not be text"),
        ("sops: hunter2\n", "`sops`"),
        ("a: [hunter2\n", "secrets/x.yaml:"),
        ("a: !hunter2\n", "quote a value"),
        ("a: x\na: hunter2\n", "written twice"),
        ("a.b: x\na:\n  b: hunter2\n", "two values have the name"),
    ] {
        let error = unlocked.edited(plain, NOW).unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains("hunter2"), "{plain}: {error}");
    }
}

#[test]
fn ssh_keys_open_what_is_encrypted_for_them() {
    let home = tempfile::tempdir().unwrap();
    for kind in ["ed25519", "rsa"] {
        let path = home.path().join(kind);
        let mut keygen = std::process::Command::new("ssh-keygen");
        keygen.args(["-q", "-t", kind, "-N", "", "-C", "ada@host", "-f"]).arg(&path);
        assert!(keygen.status().unwrap().success());
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        let recipient = Recipient::parse(&public).unwrap();
        let keys = Keys { opener: Opener::new(vec![KeyPlace::File(path)]), recipient };
        assert_eq!(told(&keys.open(&keys.file("a: x\n")).unwrap()).len(), 1, "{kind}");
    }
}

/// A tree of values as YAML, with what each leaf is.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(String, String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let text = "(\\PC|[\n\t\"'#:|>-]){0,30}".prop_map(|text: String| {
        Tree::Leaf(serde_json::to_string(&text).unwrap().replace('\u{7f}', "\\u007f"), text)
    });
    let number = any::<i64>().prop_map(|it| Tree::Leaf(it.to_string(), it.to_string()));
    let float = (-1e9..1e9_f64).prop_map(|it| Tree::Leaf(format!("{it:?}"), it.to_string()));
    let flag = any::<bool>().prop_map(|it| Tree::Leaf(it.to_string(), it.to_string()));
    prop_oneof![text, number, float, flag].prop_recursive(4, 30, 5, |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..5).prop_map(Tree::List);
        let map = proptest::collection::btree_map("[a-z_ :#\"é-]{1,8}", inner, 0..5);
        prop_oneof![list, map.prop_map(|map| Tree::Map(map.into_iter().collect()))]
    })
}

fn yaml(tree: &Tree) -> String {
    match tree {
        Tree::Leaf(shown, _) => shown.clone(),
        Tree::List(items) => {
            format!("[{}]", items.iter().map(yaml).collect::<Vec<_>>().join(", "))
        }
        Tree::Map(pairs) => {
            let pair = |(key, tree): &(String, Tree)| {
                format!("{}: {}", serde_json::to_string(key).unwrap(), yaml(tree))
            };
            format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
    }
}

fn expected(tree: &Tree, way: &str, found: &mut Vec<(String, String)>) {
    match tree {
        Tree::Leaf(_, text) => found.push((way.to_owned(), text.clone())),
        Tree::List(items) => {
            for (at, item) in items.iter().enumerate() {
                expected(item, &format!("{way}.{at}"), found);
            }
        }
        Tree::Map(pairs) => {
            for (key, item) in pairs {
                expected(item, &format!("{way}.{key}"), found);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_tree_opens_equal(trees in proptest::collection::btree_map("[a-z]{1,4}", tree(), 1..5)) {
        let keys = keys();
        let trees: Vec<(String, Tree)> = trees.into_iter().filter(|(key, _)| key != "sops").collect();
        let mut plain = String::new();
        let mut leaves = Vec::new();
        for (key, tree) in &trees {
            plain.push_str(&format!("\"{key}\": {}\n", yaml(tree)));
            expected(tree, key, &mut leaves);
        }
        leaves.sort();
        let file = keys.file(&plain);
        prop_assert_eq!(told(&keys.open(&file).unwrap()), leaves);
        let again = keys.unlock(&file);
        let shown = again.plain().unwrap();
        let body = |file: &str| file[..file.rfind("\nsops:").unwrap()].to_owned();
        prop_assert_eq!(body(&again.edited(&shown, NOW).unwrap()), body(&file));
    }

    #[test]
    fn no_change_of_a_byte_panics_or_passes(at in 0_usize..4000, byte in any::<u8>()) {
        let keys = keys();
        let file = keys.file("a: hunter2\nb: 5\n");
        let mut bytes = file.clone().into_bytes();
        let at = at % file.find("sops:").unwrap();
        bytes[at] = byte;
        if let Ok(opened) = keys.opener.open("x", &bytes) {
            // Only layout, as a space that became a comment, or nothing at all.
            prop_assert_eq!(told(&opened), told(&keys.open(&file).unwrap()));
        }
    }
}
