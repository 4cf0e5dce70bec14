//! Secrets in units: known by their ciphertexts, in no file of others.

use super::*;

/// A fleet with `secrets/db.yaml`, whose values are as encrypted ones look.
fn with_secrets() -> Fleet {
    let mut fleet = fleet();
    let values = [("password", "ENC[one]"), ("users.0", "ENC[two]")];
    let values = values.map(|(key, text)| (key.to_owned(), text.to_owned()));
    let file = SecretFile { text: b"the file".to_vec(), values: values.into() };
    fleet.secrets.insert(name("db"), file);
    fleet
}

fn secret(text: &str) -> SecretRef {
    text.parse().unwrap()
}

#[test]
fn a_secret_in_the_environment_is_in_no_file_and_changes_the_digest_with_its_ciphertext() {
    let mut fleet = with_secrets();
    let mut container = container("nginx:1.27");
    container.env.insert("PW".to_owned(), EnvValue::Secret(secret("db.password")));
    fleet.instances = vec![image("web", "vps1", container)];
    let release = render(&fleet).unwrap();
    let web = &release.units.values().next().unwrap();
    assert!(file(web, "compose.yaml").contains("${PW-}"), "{}", file(web, "compose.yaml"));
    let blob = web.sealed_env["PW"].blob();
    let manifest = manifest_text(web);
    assert!(manifest.contains(&format!("\nsealed PW {blob}\n")), "{manifest}");
    assert_eq!(manifest_text(&unit_from_manifest(&manifest).unwrap()), manifest);
    assert_eq!(release.secrets["secrets/db.yaml"], b"the file");
    let values = &mut fleet.secrets.get_mut(&name("db")).unwrap().values;
    values.insert("password".to_owned(), "ENC[other]".to_owned());
    assert_ne!(render(&fleet).unwrap().digest(), release.digest());
}

#[test]
fn a_template_with_secrets_becomes_a_sealed_file_that_only_its_owner_reads() {
    let mut fleet = with_secrets();
    let text =
        "u={{ secret(key=\"db.users.0\") }}\np={{ secret(key=\"db.password\") }}{{ node.name }}\n";
    fleet.files.insert("files/app.conf".to_owned(), repo_file(text));
    let mut bundle = bundle("app", "vps1", vec![delivered("files/app.conf", "/etc/app/app.conf")]);
    bundle.template = true;
    fleet.bundles = vec![bundle];
    let release = render(&fleet).unwrap();
    let app = release.units.values().next().unwrap();
    let artifact = &app.artifacts[0];
    assert!(artifact.sensitive);
    assert_eq!(artifact.mode, 0o600);
    let Content::Sealed(sealed) = &artifact.content else { panic!("{artifact:?}") };
    let opened = sealed.open(|secret| Some(if secret.key == "users.0" { b"me" } else { b"pw" }));
    assert_eq!(opened.unwrap(), b"u=me\np=pwvps1\n");
    assert_eq!(app.sealed(), BTreeSet::from([artifact.blob()]));
}

#[test]
fn a_template_can_t_look_into_a_secret_nor_name_one_that_is_not_there() {
    for (text, wanted) in [
        ("{{ secret(key=\"db.password\") | upper }}", "does not stand"),
        ("{{ secret(key=\"db.password\") | length }}", "does not stand"),
        ("{% if secret(key=\"db.password\") == \"pw\" %}a{% endif %}", "does not stand"),
        ("{{ secret(key=\"db.pasword\") }}", "no encrypted value `pasword`"),
        ("{{ secret(key=\"db\") }}", "names no secret"),
        ("{{ secret() }}", "key"),
    ] {
        let mut fleet = with_secrets();
        fleet.files.insert("files/app.conf".to_owned(), repo_file(text));
        let mut bundle = bundle("app", "vps1", vec![delivered("files/app.conf", "/etc/app/a")]);
        bundle.template = true;
        fleet.bundles = vec![bundle];
        let told = format!("{:?}", render(&fleet).unwrap_err());
        assert!(told.contains(wanted), "{text}: {told}");
    }
}

#[test]
fn a_file_may_be_one_secret_as_a_whole() {
    let mut fleet = with_secrets();
    let file = Delivered {
        secret: Some(secret("db.password")),
        mode: 0o640,
        mode_given: true,
        ..delivered("secrets/db.yaml", "/etc/app/pw")
    };
    fleet.bundles = vec![bundle("app", "vps1", vec![file])];
    let release = render(&fleet).unwrap();
    let artifact = &release.units.values().next().unwrap().artifacts[0];
    assert!(artifact.sensitive && matches!(artifact.content, Content::Sealed(_)));
    assert_eq!(artifact.mode, 0o640);
}
