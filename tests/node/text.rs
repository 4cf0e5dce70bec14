//! The script as text, as the linter and the shells read it.

use std::io::Write;
use std::process::{Command, Stdio};

use gitsync::transport::script::{install_arguments, script_name, script_text};

use crate::lab::have;

fn accepts(program: &str, arguments: &[&str], text: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&said));
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn shellcheck_finds_nothing_in_the_script() {
    if have("shellcheck") {
        assert_eq!(accepts("shellcheck", &["-s", "sh", "-"], script_text()), "");
    }
}

#[test]
fn every_shell_parses_the_script() {
    for (program, arguments) in
        [("dash", vec!["-n"]), ("busybox", vec!["sh", "-n"]), ("bash", vec!["-n"])]
    {
        if have(program) {
            accepts(program, &arguments, script_text());
        }
    }
}

#[test]
fn a_script_that_arrives_broken_is_not_installed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("a root").display().to_string();
    let root = gitsync::model::AbsPath::new(root).unwrap();
    let arguments = install_arguments(&root);
    let run = |text: &str| {
        let mut child = Command::new("sh")
            .args(&arguments[1..])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait().unwrap().success()
    };
    let place = directory.path().join("a root/bin").join(script_name());
    assert!(!run(&script_text()[..1000]));
    assert!(!place.exists());
    for _ in 0..2 {
        assert!(run(script_text()));
    }
    assert_eq!(std::fs::read_to_string(place).unwrap(), script_text());
}

#[test]
fn a_root_that_is_somebody_s_directory_is_left_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    for name in ["hosts", ".hidden", "ssh", "bin-2"] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("etc");
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::write(root.join(name), "theirs").unwrap();
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = gitsync::model::AbsPath::new(root.display().to_string()).unwrap();
        let arguments = install_arguments(&path);
        let run = Command::new("sh").args(&arguments[1..]).stdin(Stdio::null()).output().unwrap();
        assert!(!run.status.success(), "{name}");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(said.contains("is not gitsync's own") && said.contains(name), "{said}");
        assert_eq!(std::fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(std::fs::read_dir(root.join("bin")).unwrap().count(), 0);
    }
}
