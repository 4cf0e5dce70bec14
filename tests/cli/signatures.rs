//! Signatures that the controller's settings require: what is not signed changes nothing.

use crate::lab::{Lab, Running};
use crate::signing::{Keys, can_sign};

/// A lab whose first commit is Ada's, and settings that require her signature.
struct Signed {
    lab: Lab,
    keys: Keys,
}

impl Signed {
    /// None where the programs that sign are missing.
    fn new() -> Option<Self> {
        if !can_sign(&["git", "ssh-keygen"]) {
            return None;
        }
        let (lab, keys) = (Lab::new(), Keys::new());
        let signed = Self { lab, keys };
        let line = signed.keys.ssh("ada", &["ed25519"]);
        signed.keys.ssh("mallory", &["ed25519"]);
        signed.allow(&format!("ada@example.net {line}\n"));
        let settings = format!(
            "require_signatures: {{ allowed_signers: {} }}\n",
            signed.keys.path("allowed").display()
        );
        std::fs::write(signed.keys.path("settings.yaml"), settings).unwrap();
        signed.sign("ada");
        Some(signed)
    }

    fn allow(&self, lines: &str) {
        std::fs::write(self.keys.path("allowed"), lines).unwrap();
    }

    fn sign(&self, name: &str) {
        self.keys.sign_ssh(&self.lab.repository(), name);
    }

    /// The program with the settings.
    fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.lab.command(arguments);
        command.env("GITSYNC_CONFIG", self.keys.path("settings.yaml"));
        Running::start(command)
    }
}

#[test]
fn apply_takes_a_signed_head_and_nothing_else() {
    let Some(signed) = Signed::new() else { return };
    let lab = &signed.lab;
    let apply = |more: &[&str]| signed.start(&[&["apply", "--yes"], more].concat()).end();
    apply(&[]).exits(0);
    lab.runs("web 1", "api 1", "welcome");
    lab.web("web 2");
    let said = apply(&["--dirty"]).exits(1);
    assert!(said.err.contains("the files differ from HEAD: nobody signed them"), "{}", said.err);
    lab.commit("second");
    let said = apply(&[]).exits(1);
    assert!(said.err.contains("by A. Person (“second”): it is not signed"), "{}", said.err);
    assert!(said.err.contains("require_signatures"), "{}", said.err);
    signed.start(&["plan"]).end().exits(1).says("it is not signed").says("~ n1/service.web");
    signed.sign("mallory");
    let said = apply(&["--any-history"]).exits(1);
    assert!(said.err.contains("is none of the allowed signers"), "{}", said.err);
    lab.runs("web 1", "api 1", "welcome");
    signed.sign("ada");
    signed.start(&["plan"]).end().exits(0);
    apply(&[]).exits(0);
    lab.runs("web 2", "api 1", "welcome");
}

#[test]
fn the_daemon_tells_once_of_a_commit_that_is_not_signed_and_keeps_the_fleet_as_it_is() {
    let Some(signed) = Signed::new() else { return };
    let lab = &signed.lab;
    let url = format!("file://{}", lab.bare().display());
    let mut daemon = signed.start(&["run", &url, "--interval", "1s"]);
    daemon.hears("converged");
    lab.web("web 2");
    lab.commit("second");
    lab.push();
    daemon.hears("not rolled out: commit");
    daemon.hears("(“second”): it is not signed");
    // It looks again, and the good fleet is kept up.
    lab.kill_app(lab.api);
    daemon.hears("n2/service.api did not run: started again");
    lab.kill_app(lab.web);
    daemon.hears("n1/service.web did not run: started again");
    lab.runs("web 1", "api 1", "welcome");
    signed.sign("mallory");
    lab.push();
    daemon.hears("is none of the allowed signers");
    lab.runs("web 1", "api 1", "welcome");
    // Who may sign is read again at each look.
    let mallory = std::fs::read_to_string(signed.keys.path("mallory.pub")).unwrap();
    signed.allow(&format!("mallory@example.net {mallory}"));
    daemon.hears("converged");
    lab.runs("web 2", "api 1", "welcome");
    daemon.signal("TERM");
    let said = daemon.end().exits(0);
    for words in ["it is not signed", "is none of the allowed signers"] {
        assert_eq!(said.out.matches(words).count(), 1, "{}", said.out);
    }
}

/// A rollout of Ada's commit is left in the middle.
fn left(signed: &Signed) {
    let lab = &signed.lab;
    signed.start(&["apply", "--yes"]).end().exits(0);
    lab.slow_web("web 2", "1s");
    lab.api("api 2");
    lab.commit("second");
    signed.sign("ada");
    let mut dying = signed.start(&["apply", "--yes"]);
    dying.hears("n2/service.api: switched");
    dying.kill();
}

/// The same, then only Mallory may sign, whose commit is on top.
fn left_by_one_who_may_no_longer_sign(signed: &Signed) {
    left(signed);
    let lab = &signed.lab;
    let mallory = std::fs::read_to_string(signed.keys.path("mallory.pub")).unwrap();
    signed.allow(&format!("mallory@example.net {mallory}"));
    lab.api("api 3");
    lab.commit("third");
    signed.sign("mallory");
}

#[test]
fn a_rollout_that_was_left_is_put_back_when_its_signer_is_no_longer_allowed() {
    let Some(signed) = Signed::new() else { return };
    left_by_one_who_may_no_longer_sign(&signed);
    let said = signed.start(&["apply", "--yes"]).end().exits(0);
    let (left, new) =
        said.out.split_once("rolled_back: its commit is not trusted any more").unwrap();
    assert!(left.contains("n2/service.api: put back"), "{left}");
    assert!(new.contains("is none of the allowed signers"), "{new}");
    signed.lab.runs("web 2", "api 3", "welcome");
}

#[test]
fn the_daemon_puts_back_what_was_left_by_one_who_may_no_longer_sign_and_goes_on() {
    let Some(signed) = Signed::new() else { return };
    left_by_one_who_may_no_longer_sign(&signed);
    let lab = &signed.lab;
    let url = format!("file://{}", lab.bare().display());
    let mut daemon = signed.start(&["run", &url, "--interval", "1s"]);
    daemon.hears("its commit is not trusted any more");
    daemon.hears("rolled_back");
    daemon.hears("converged");
    lab.runs("web 2", "api 3", "welcome");
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn the_daemon_takes_up_what_was_left_also_when_its_first_look_failed() {
    let Some(signed) = Signed::new() else { return };
    left(&signed);
    let lab = &signed.lab;
    let lines = std::fs::read(signed.keys.path("allowed")).unwrap();
    std::fs::remove_file(signed.keys.path("allowed")).unwrap();
    let url = format!("file://{}", lab.bare().display());
    let mut daemon = signed.start(&["run", &url, "--interval", "1s"]);
    daemon.hears("signatures are required, but the keys in");
    std::fs::write(signed.keys.path("allowed"), lines).unwrap();
    daemon.hears("goes on");
    daemon.hears("converged");
    lab.runs("web 2", "api 2", "welcome");
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn a_daemon_without_its_file_of_signers_changes_nothing() {
    let Some(signed) = Signed::new() else { return };
    let lab = &signed.lab;
    let url = format!("file://{}", lab.bare().display());
    std::fs::remove_file(signed.keys.path("allowed")).unwrap();
    let mut daemon = signed.start(&["run", &url, "--interval", "1s"]);
    daemon.hears("signatures are required, but the keys in");
    daemon.hears("signatures are required, but the keys in");
    assert_eq!(lab.web_says(), None);
    let line = std::fs::read_to_string(signed.keys.path("ada.pub")).unwrap();
    signed.allow(&format!("ada@example.net {line}"));
    daemon.hears("converged");
    lab.runs("web 1", "api 1", "welcome");
}
