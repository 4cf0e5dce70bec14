//! Which units may have which secrets.

use super::*;

#[test]
fn a_unit_has_the_secrets_that_are_listed_for_it_and_no_others() {
    let key = "secrets/db.yaml";
    let sealed = "admin: ENC[a]\nweb: ENC[b]\nsops:\n    age:\n        - recipient: age1\n          enc: x\n";
    let text =
        "image: acme/x:1\nplacement: { on: all }\nenv: { P: secret:db.web, A: secret:db.admin }\n";
    let files = [(key, sealed), ("services/x.yaml", text)];
    let allowed = |pattern: &str, unit: &str| {
        let secrets = listed(unit).map(|units| [(pattern.to_owned(), units)].into());
        Limits { secrets, ..Limits::default() }
    };
    one(&files, &allowed("db.*", "*/service.x"), "");
    one(
        &files,
        &allowed("db.web", "*/service.x"),
        "vps1/service.x (services/x.yaml): it would be given the secret db.admin (limits.secrets)",
    );
    assert_eq!(told(&files, &allowed("*", "*/service.y")).len(), 2);
    let none = Limits { secrets: Some(BTreeMap::new()), ..Limits::default() };
    assert_eq!(told(&files, &none).len(), 2);
}
