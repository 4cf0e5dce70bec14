//! The blocks of a Caddyfile.

use super::blocks;

const TEXT: &str = "# all\n{\n\temail me@example.net\n}\n\n# one\na.example.net, www.a.example.net:8443 {\n\troute {\n\t\trespond \"{ }\"\n\t}\n}\nhttp://b.example.net\n{\n\tredir https://a.example.net{uri}\n}\n";

#[test]
fn blocks_are_found_by_the_hosts_that_they_begin_with() {
    assert_eq!(blocks::options(TEXT).as_deref(), Some("{\n\temail me@example.net\n}"));
    let site = blocks::site(TEXT, &["www.a.example.net".to_owned()]);
    assert!(site.starts_with("a.example.net, www") && site.ends_with("\n}"), "{site}");
    assert!(blocks::site(TEXT, &["b.example.net".to_owned()]).contains("redir"));
    assert_eq!(blocks::site(TEXT, &["c.example.net".to_owned()]), "");
    assert_eq!(blocks::options("a.example.net {\n}\n"), None);
}
