//! `gitsync secret`: values added, edited and rekeyed, by people who have nothing but a key.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::lab::{Running, processes, wait};
use crate::missing::nothing_is_missing;
use crate::said::Said;

const VALUE: &str = "hunter2-correct-horse";

/// A fleet's folder, and a key of somebody who may open its secrets.
struct Keeper {
    home: tempfile::TempDir,
}

impl Keeper {
    fn new() -> Self {
        let home = tempfile::Builder::new().prefix("gitsync-secret-cli-").tempdir().unwrap();
        fs::create_dir(home.path().join("fleet")).unwrap();
        let keeper = Self { home };
        keeper.key("key");
        keeper
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Makes a key of its own and says its public part. An SSH key: every machine can make one.
    fn key(&self, name: &str) -> String {
        let path = self.path(name);
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&path);
        assert!(keygen.status().unwrap().success());
        self.public(name)
    }

    fn public(&self, name: &str) -> String {
        fs::read_to_string(self.path(name).with_extension("pub")).unwrap().trim().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gitsync"));
        command
            .args(arguments)
            .current_dir(self.path("fleet"))
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.home.path())
            .env("GITSYNC_AGE_KEY_FILE", self.path("key"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        Running::start(self.command(arguments)).end()
    }

    /// Runs a command with a value on its standard input.
    fn with_input(&self, arguments: &[&str], input: &str) -> Said {
        fs::write(self.path("input"), input).unwrap();
        let mut command = self.command(arguments);
        command.stdin(fs::File::open(self.path("input")).unwrap());
        Running::start(command).end().never_says(VALUE)
    }

    fn add(&self, key: &str, value: &str) {
        self.with_input(&["secret", "add", key], value).exits(0).says("is set");
    }

    /// An editor that is a shell script; `$1` is the file.
    fn editor(&self, script: &str) -> PathBuf {
        let path = self.path("editor");
        fs::write(
            &path,
            format!("#!/bin/sh\nset -e\nprintf %s \"$1\" > \"$HOME/where\"\n{script}\n"),
        )
        .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    fn editing(&self, script: &str) -> Command {
        let mut command = self.command(&["secret", "edit", "db"]);
        command.env("EDITOR", self.editor(script));
        command
    }

    fn edit(&self, script: &str) -> Said {
        let said = Running::start(self.editing(script)).end();
        self.nothing_is_left();
        said.never_says(VALUE)
    }

    /// What a file says in plain.
    fn plain(&self) -> String {
        self.edit("cp \"$1\" \"$HOME/plain\"").exits(0).says("nothing changed");
        fs::read_to_string(self.path("plain")).unwrap()
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.path("fleet/secrets").join(name)).unwrap()
    }

    /// Insists that the plain file and its folder are gone.
    #[track_caller]
    fn nothing_is_left(&self) {
        let place = fs::read_to_string(self.path("where")).unwrap();
        assert!(!Path::new(&place).exists(), "{place} is left");
        assert!(!Path::new(&place).parent().unwrap().exists(), "the folder of {place} is left");
    }
}

/// The lines of values, without the `sops:` block.
fn body(file: &str) -> Vec<&str> {
    file.lines().take_while(|line| *line != "sops:").collect()
}

#[test]
fn a_value_is_added_seen_by_its_editor_and_by_nobody_else() {
    let keeper = Keeper::new();
    keeper.add("db.password", &format!("{VALUE}\n"));
    keeper.add("db.more.port", "5432\n\n");
    let file = keeper.file("db.yaml");
    assert!(!file.contains("hunter2") && file.contains("password: ENC["), "{file}");
    assert_eq!(keeper.plain(), format!("password: {VALUE}\nmore:\n    port: \"5432\\n\"\n"));
    let script = "stat -c %a \"$1\" \"$(dirname \"$1\")\" > \"$HOME/modes\"\n\
                  stat -f -c %T \"$1\" >> \"$HOME/modes\"";
    keeper.edit(script).exits(0);
    assert_eq!(fs::read_to_string(keeper.path("modes")).unwrap(), "600\n700\ntmpfs\n");
    assert_eq!(keeper.file("db.yaml"), file, "looking changes nothing");
}

#[test]
fn an_edit_changes_what_was_edited_and_nothing_else() {
    let keeper = Keeper::new();
    for key in ["db.user", "db.password", "db.host"] {
        keeper.add(key, key);
    }
    let before = keeper.file("db.yaml");
    keeper
        .edit("sed -i 's/^password: .*/password: new # since spring/; /^host:/d' \"$1\"; echo 'port: 5' >> \"$1\"")
        .exits(0)
        .says("secrets/db.yaml: changed");
    let after = keeper.file("db.yaml");
    assert_eq!(body(&before)[0], body(&after)[0]);
    assert_ne!(body(&before)[1], body(&after)[1]);
    assert!(!after.contains("spring") && !after.contains("host"), "{after}");
    assert_eq!(keeper.plain(), "user: db.user\npassword: new # since spring\nport: 5\n");
}

#[test]
fn no_process_has_a_value_in_its_arguments() {
    let keeper = Keeper::new();
    keeper
        .with_input(&["secret", "add", "db.password", "as-an-argument"], "")
        .exits(2)
        .never_says("is set");
    keeper.add("db.password", VALUE);
    assert!(Command::new("mkfifo").arg(keeper.path("go")).status().unwrap().success());
    let editing = Running::start(keeper.editing(": > \"$HOME/begun\"\nread -r _ < \"$HOME/go\""));
    wait("the editor", || keeper.path("begun").exists());
    let seen: Vec<_> = processes()
        .into_iter()
        .filter(|(_, line)| line.iter().any(|word| word.contains(VALUE)))
        .collect();
    assert!(seen.is_empty(), "{seen:?}");
    fs::write(keeper.path("go"), "go\n").unwrap();
    editing.end().exits(0);
    keeper.nothing_is_left();
}

#[test]
fn nothing_plain_is_left_however_an_editor_ends() {
    let keeper = Keeper::new();
    keeper.add("db.password", VALUE);
    let before = keeper.file("db.yaml");
    keeper.edit("echo 'password: other' > \"$1\"; exit 3").exits(1).says("nothing was changed");
    keeper
        .edit("echo 'password: [other' > \"$1\"")
        .exits(1)
        .says("secrets/db.yaml:")
        .says("nothing was changed");
    keeper.edit("cp \"$1\" \"$1~\"; rm \"$1\"").exits(1).says("can't be read");
    let mut command = keeper.command(&["secret", "edit", "db"]);
    keeper.editor("exit 0");
    command.env("VISUAL", "/nonexistent/editor").env("EDITOR", keeper.path("editor"));
    Running::start(command).end().exits(1).says("/nonexistent/editor");
    for how in ["INT", "TERM", "HUP"] {
        let _ = fs::remove_file(keeper.path("begun"));
        let editing = Running::start(keeper.editing(": > \"$HOME/begun\"\nexec tail -f /dev/null"));
        wait("the editor", || keeper.path("begun").exists());
        match how {
            "INT" => editing.ctrl_c(),
            _ => editing.signal(how),
        }
        editing.end().exits(1).says("nothing was changed");
        keeper.nothing_is_left();
    }
    assert_eq!(keeper.file("db.yaml"), before);
}

#[test]
fn a_value_is_typed_where_nobody_sees_it() {
    let keeper = Keeper::new();
    let line = format!("{} secret add db.password", env!("CARGO_BIN_EXE_gitsync"));
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &line, "/dev/null"]).current_dir(keeper.path("fleet"));
    terminal.env("GITSYNC_AGE_KEY_FILE", keeper.path("key")).env("HOME", keeper.home.path());
    assert!(Command::new("mkfifo").arg(keeper.path("keys")).status().unwrap().success());
    // Opened for both, so that neither side waits for the other.
    let keys = fs::OpenOptions::new().read(true).write(true).open(keeper.path("keys")).unwrap();
    terminal.stdin(keys.try_clone().unwrap());
    let mut typing = Running::start(terminal);
    typing.hears("password (not shown): ");
    (&keys).write_all(format!("{VALUE}\n").as_bytes()).unwrap();
    typing.hears("is set");
    drop(keys);
    typing.signal("TERM");
    let _ = typing.end().never_says(VALUE);
    assert_eq!(keeper.plain(), format!("password: {VALUE}\n"));
}

#[test]
fn rules_of_the_repository_say_for_whom_and_what_is_encrypted() {
    let keeper = Keeper::new();
    let (own, ben) = (keeper.public("key"), keeper.key("ben"));
    let rules = format!(
        "creation_rules:\n  - path_regex: ^secrets/db\\.yaml$\n    encrypted_regex: ^pass\n    age:\n      - {own}\n  \
         - age: '{own},{ben}'\n"
    );
    fs::write(keeper.path("fleet/.sops.yaml"), &rules).unwrap();
    keeper.add("db.password", VALUE);
    keeper.with_input(&["secret", "add", "db.user"], "app").exits(0).says("`user` stands in plain");
    keeper.with_input(&["secret", "add", "api.token"], VALUE).exits(0).never_says("in plain");
    let file = keeper.file("db.yaml");
    assert!(
        file.contains("\nuser: app\n") && file.contains("encrypted_regex: \"^pass\""),
        "{file}"
    );
    let shared = keeper.file("api.yaml");
    assert!(shared.contains(&ben) && !file.contains(&ben));
    // Ben leaves: values stay as they are, and are closed to him.
    fs::write(keeper.path("fleet/.sops.yaml"), rules.replace(&format!(",{ben}"), "")).unwrap();
    keeper
        .run(&["secret", "rekey"])
        .exits(0)
        .says(&format!("secrets/api.yaml: - {ben}"))
        .says("db.yaml: nothing to change");
    assert_eq!(body(&keeper.file("api.yaml")), body(&shared));
    let mut command = keeper.command(&["secret", "edit", "api"]);
    command.env("GITSYNC_AGE_KEY_FILE", keeper.path("ben"));
    Running::start(command).end().exits(1).says("is encrypted for").says("rekey");
    keeper.run(&["secret", "rekey", "--rotate", "api"]).exits(0).says("every unit that uses one");
    assert_ne!(body(&keeper.file("api.yaml")), body(&shared));
    assert_eq!(keeper.file("db.yaml"), file);
}

#[test]
fn a_rekey_that_can_t_be_done_for_one_file_is_done_for_none() {
    let keeper = Keeper::new();
    keeper.add("api.token", VALUE);
    keeper.add("db.password", VALUE);
    let (api, db) = (keeper.file("api.yaml"), keeper.file("db.yaml"));
    let broken = db.replace("password: ENC[AES256_GCM,data:", "password: ENC[AES256_GCM,data:!");
    fs::write(keeper.path("fleet/secrets/db.yaml"), &broken).unwrap();
    let ben = keeper.key("ben");
    keeper
        .run(&["secret", "rekey", "--recipient", &ben])
        .exits(1)
        .says("`password` is not a whole");
    assert_eq!(keeper.file("api.yaml"), api);
    keeper
        .run(&["secret", "rekey", "none", "--recipient", &ben])
        .exits(1)
        .says("no secrets/none.yaml");
    keeper.run(&["secret", "rekey"]).exits(1).says("`.sops.yaml`");
}

#[test]
fn keys_are_found_where_the_settings_say_and_exposed_ones_are_told() {
    let keeper = Keeper::new();
    keeper.add("db.password", VALUE);
    let without = |arguments: &[&str]| {
        let mut command = keeper.command(arguments);
        command.env_remove("GITSYNC_AGE_KEY_FILE").env("EDITOR", "true");
        command
    };
    let edit = ["secret", "edit", "db"];
    Running::start(without(&edit)).end().exits(1).says("no age identity was found").says("age-key");
    fs::write(keeper.path("config.yaml"), "secrets: { identity: ~/key }\n").unwrap();
    let mut command = without(&edit);
    command.env("GITSYNC_CONFIG", keeper.path("config.yaml"));
    Running::start(command).end().exits(0);
    let mut command = without(&edit);
    command.env("GITSYNC_AGE_KEY", fs::read_to_string(keeper.path("key")).unwrap());
    Running::start(command).end().exits(0);
    fs::create_dir(keeper.path("credentials")).unwrap();
    fs::copy(keeper.path("key"), keeper.path("credentials/age-key")).unwrap();
    let mut command = without(&edit);
    command.env("CREDENTIALS_DIRECTORY", keeper.path("credentials"));
    Running::start(command).end().exits(0).never_says("warning");
    fs::set_permissions(keeper.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(keeper.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = keeper.command(&edit);
    command.env("EDITOR", "true");
    Running::start(command).end().exits(0).says("warning: others than its owner may read");
}

#[test]
fn what_can_t_be_done_says_why_and_changes_nothing() {
    let keeper = Keeper::new();
    keeper.with_input(&["secret", "add", "db.password"], "").exits(1).says("the value is empty");
    keeper.with_input(&["secret", "add", "db.password"], "\n").exits(1).says("the value is empty");
    keeper.with_input(&["secret", "add", "db"], "x").exits(2).says("`db.password`");
    keeper.with_input(&["secret", "add", "My_DB.x"], "x").exits(2).says("DNS label");
    keeper.with_input(&["secret", "add", "db.a..b"], "x").exits(2).says("empty");
    keeper.with_input(&["secret", "add", "db.sops.age"], "x").exits(1).says("`sops`");
    fs::write(keeper.path("binary"), [0xff, 0xfe]).unwrap();
    let binary = keeper.path("binary").display().to_string();
    keeper.run(&["secret", "add", "db.x", "--from-file", &binary]).exits(1).says("base64");
    keeper.run(&["secret", "edit", "db"]).exits(1).says("gitsync secret add db.KEY");
    assert!(!keeper.path("fleet/secrets").exists());
    fs::create_dir(keeper.path("fleet/secrets")).unwrap();
    fs::write(keeper.path("fleet/secrets/db.yaml"), "password: plain-text-value\n").unwrap();
    keeper
        .with_input(&["secret", "add", "db.x"], "x")
        .exits(1)
        .says("no `sops:` block")
        .never_says("plain-text");
}

#[test]
fn what_age_itself_makes_is_read_and_what_is_made_here_is_read_by_age() {
    let there = |program: &&str| Command::new(program).arg("--version").output().is_ok();
    let programs = ["age", "age-keygen"];
    let absent: Vec<&str> = programs.into_iter().filter(|program| !there(program)).collect();
    if !nothing_is_missing(&absent) {
        return;
    }
    let keeper = Keeper::new();
    let own = keeper.path("own");
    let made = Command::new("age-keygen").arg("-o").arg(&own).stderr(Stdio::null()).status();
    assert!(made.unwrap().success());
    fs::rename(&own, keeper.path("key")).unwrap();
    keeper.add("db.password", VALUE);
    let file = keeper.file("db.yaml");
    let armored: Vec<&str> = file
        .lines()
        .map(str::trim)
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .take_while(|line| !line.starts_with("lastmodified"))
        .collect();
    fs::write(keeper.path("data.age"), armored.join("\n") + "\n").unwrap();
    let age = |arguments: &[&str]| {
        let mut age = Command::new("age");
        let said = age.args(arguments).current_dir(keeper.home.path()).output().unwrap();
        assert!(said.status.success(), "{said:?}");
    };
    age(&["-d", "-i", "key", "-o", "data", "data.age"]);
    assert_eq!(fs::read(keeper.path("data")).unwrap().len(), 32);
    // The same data key, encrypted by age for another key.
    let mut keygen = Command::new("age-keygen");
    assert!(keygen.arg("-o").arg(&own).stderr(Stdio::null()).status().unwrap().success());
    let public = Command::new("age-keygen").arg("-y").arg(&own).output().unwrap().stdout;
    let public = String::from_utf8(public).unwrap().trim().to_owned();
    age(&["-a", "-r", &public, "-o", "again.age", "data"]);
    let again = fs::read_to_string(keeper.path("again.age")).unwrap();
    let lines =
        |text: &str| text.lines().map(|it| format!("            {it}\n")).collect::<String>();
    let replaced = file.replace(&lines(&armored.join("\n")), &lines(&again));
    assert_ne!(replaced, file);
    fs::write(keeper.path("fleet/secrets/db.yaml"), replaced).unwrap();
    fs::rename(&own, keeper.path("key")).unwrap();
    assert_eq!(keeper.plain(), format!("password: {VALUE}\n"));
}
