//! Secrets on real hosts: over SSH into a container, and nowhere else.

use std::path::Path;

use gitsync::model::Timestamp;
use gitsync::secrets::{Creation, Opener, Recipient, created};
use gitsync::settings::{KeyPlace, SecretText};
use gitsync_lab::{HostSpec, Spec};

use crate::said::Said;
use crate::stage::Stage;

const FIRST: &str = "s3nt1nel-'first' $alue \"1\"";
const SECOND: &str = "s3nt1nel-'second' $alue \"2\"";
const NOW: Timestamp = Timestamp(1_750_000_000_000);

/// A key beside the repository, as `age-keygen` writes it, and what is encrypted for it.
struct Keys {
    identity: String,
    recipient: Recipient,
}

impl Keys {
    fn new(file: &Path) -> Self {
        use age::secrecy::ExposeSecret as _;
        use std::os::unix::fs::PermissionsExt;
        let key = age::x25519::Identity::generate();
        let identity = key.to_string().expose_secret().to_owned();
        std::fs::write(file, &identity).unwrap();
        std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
        Self { identity, recipient: Recipient::parse(&key.to_public().to_string()).unwrap() }
    }

    fn file(&self, value: &str) -> String {
        let creation = Creation::new(vec![self.recipient.clone()]);
        created("secrets/web.yaml", &["token".to_owned()], value, &creation, NOW).unwrap()
    }

    fn changed(&self, text: &str, value: &str) -> String {
        let place = KeyPlace::Text(SecretText::new("the test", &self.identity));
        let unlocked =
            Opener::new(vec![place]).unlock("secrets/web.yaml", text.as_bytes()).unwrap();
        unlocked.set(&["token".to_owned()], value, NOW).unwrap()
    }
}

/// A container whose environment has a secret.
fn web(version: &str) -> String {
    format!(
        "image: app:{version}\nplacement: {{ on: [h1] }}\nports: {{ http: \"8081:80\" }}\n\
         health: {{ http: /health, port: http }}\nstop_grace: 2s\n\
         env: {{ TOKEN: secret:web.token }}\n"
    )
}

/// `apply` by a controller that has the key.
fn apply_with(stage: &Stage, key: &Path) -> Said {
    let arguments = ["apply", "--yes"];
    let mut command = stage.gitsync(&arguments);
    stage.finish(&arguments, command.env("GITSYNC_AGE_KEY_FILE", key))
}

/// The secret as the one container of the host has it.
fn inside(stage: &Stage) -> String {
    let format = "{{range .Config.Env}}{{println .}}{{end}}";
    let env =
        stage.host("h1").sh(&format!("docker ps -q | xargs docker inspect -f '{format}'")).unwrap();
    env.lines().find_map(|line| line.strip_prefix("TOKEN=")).unwrap_or_default().to_owned()
}

#[test]
fn a_secret_reaches_its_container_and_no_label_file_of_others_or_process_list() {
    let Some(stage) = Stage::new("secrets-container", &Spec::of(1, HostSpec::docker)) else {
        return;
    };
    stage.quick();
    let good = stage.app.image("1");
    let bad = stage.app.image("2").env("APP_HEALTH", "never");
    stage.load_images(&["h1"], &[("app:1", &good), ("app:2", &bad)]);
    let key = stage.repository().parent().unwrap().join("age-key");
    let keys = Keys::new(&key);
    let first = keys.file(FIRST);
    stage.write("secrets/web.yaml", &first);
    stage.write("services/web.yaml", &web("1"));
    stage.commit("a secret");
    let apply = || apply_with(&stage, &key);
    apply().exits(0);
    assert_eq!(inside(&stage), FIRST);

    // Nothing else on the host shows it: no label, no command line, no file that others may read.
    let h1 = stage.host("h1");
    let labels = h1.sh("docker ps -q | xargs docker inspect -f '{{json .Config.Labels}}'").unwrap();
    assert!(labels.contains("gitsync.unit") && !labels.contains("s3nt1nel"), "{labels}");
    let lines = h1.sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '").unwrap();
    assert!(!lines.contains("s3nt1nel"), "{lines}");
    let open = "find /var/lib/gitsync /opt /etc /tmp /root /home -xdev -type f -perm /077 \
                -exec grep -l s3nt1nel {} + 2>/dev/null || true";
    assert_eq!(h1.sh(open).unwrap(), "");

    // A new value makes a new container; with a version that fails, the old value is back, from what the node has.
    stage.write("secrets/web.yaml", &keys.changed(&first, SECOND));
    stage.commit("another value");
    stage.run(&["plan"]).exits(0).says("env TOKEN: its secret changed");
    apply().exits(0);
    assert_eq!(inside(&stage), SECOND);
    stage.write("secrets/web.yaml", &first);
    stage.write("services/web.yaml", &web("2"));
    stage.commit("a sick version with the first value");
    apply().exits(3).says("rolled_back: ");
    assert_eq!(inside(&stage), SECOND);
    assert_eq!(stage.version("h1", 8081), "1");
}

#[test]
fn a_brought_compose_file_gets_its_secrets_beside_it_and_they_follow_what_changes() {
    let Some(stage) = Stage::new("secrets-brought", &Spec::of(1, HostSpec::docker)) else { return };
    stage.quick();
    let image = stage.app.image("1");
    stage.load_images(&["h1"], &[("app:1", &image)]);
    let key = stage.repository().parent().unwrap().join("age-key");
    let keys = Keys::new(&key);
    let first = keys.file(FIRST);
    stage.write("secrets/web.yaml", &first);
    stage.write(
        "services/shop/service.yaml",
        "compose: compose.yaml\nplacement: { on: [h1] }\nhealth: { container: true }\n\
         env: { TAG: \"1\", TOKEN: secret:web.token }\n\
         secret_files: { keys/token: { secret: secret:web.token, owner: \"7:7\" } }\n",
    );
    stage.write(
        "services/shop/compose.yaml",
        "services:\n  shop:\n    image: \"app:${TAG}\"\n    ports: [\"8081:80\"]\n    stop_grace_period: 2s\n\
         \x20   environment: { TOKEN: \"${TOKEN}\" }\n    volumes: [\"./keys:/keys:ro\"]\n",
    );
    stage.commit("a shop");
    let apply = || apply_with(&stage, &key);
    apply().exits(0);
    assert_eq!(inside(&stage), FIRST);
    let h1 = stage.host("h1");
    let file = "/opt/stacks/shop/keys/token";
    assert_eq!(h1.read(file).unwrap(), FIRST);
    assert_eq!(h1.sh(&format!("stat -c '%a %u:%g' {file}")).unwrap().trim(), "600 7:7");
    stage.write("secrets/web.yaml", &keys.changed(&first, SECOND));
    stage.commit("another value");
    apply().exits(0);
    assert_eq!([inside(&stage), h1.read(file).unwrap()], [SECOND, SECOND]);
    stage.run(&["rollback", "--yes"]).exits(0);
    assert_eq!([inside(&stage), h1.read(file).unwrap()], [FIRST, FIRST]);
}
