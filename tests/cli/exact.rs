//! Plans that are saved, reviewed and applied: exactly as they are, or not at all.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::{Value, json};

use crate::lab::{Lab, service};
use crate::said::Said;

/// A fleet that runs, with a commit on top that changes `web` and the message of the day, planned and saved.
struct Review {
    lab: Lab,
    file: String,
}

impl Review {
    fn new() -> Self {
        let lab = Lab::new();
        lab.gitsync(&["apply", "--yes"]).exits(0);
        lab.web("web 2");
        lab.write("files/motd/motd", "second\n");
        lab.commit("second");
        let file = lab.home().join("plan.json").display().to_string();
        let said = lab.gitsync(&["plan", "--out", &file]).exits(0).says("0 to create, 2 to change");
        said.says(&format!("Saved: `gitsync apply --plan {file}` applies exactly this."));
        Self { lab, file }
    }

    fn apply(&self) -> Said {
        self.lab.gitsync(&["apply", "--plan", &self.file])
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    fn put(&self, value: &Value) {
        std::fs::write(&self.file, value.to_string()).unwrap();
    }

    /// Insists that the file is refused, with the words, and that the fleet is as it was.
    #[track_caller]
    fn refused(&self, words: &[&str]) -> Said {
        self.refused_by_gate(words).says("nothing was changed")
    }

    /// The same for plans that are refused as others are.
    #[track_caller]
    fn refused_by_gate(&self, words: &[&str]) -> Said {
        let mut said = self.apply().exits(1).never_says("switching");
        for text in words {
            said = said.says(text);
        }
        self.lab.runs("web 1", "api 1", "welcome");
        said
    }

    /// Changes what a place of the file says.
    #[track_caller]
    fn tamper(&self, place: &str, new: Value) {
        let mut value = self.json();
        *value.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = new;
        self.put(&value);
    }
}

#[test]
fn saved_plan_is_applied_exactly_or_refused() {
    let review = Review::new();
    let lab = &review.lab;
    let mode = std::fs::metadata(&review.file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let printed = lab.gitsync(&["plan", "--format", "json"]).exits(0).json();
    assert_eq!(review.json()["plan"], printed);
    // Nobody is asked: standard input is not a terminal, and there is no --yes.
    review.apply().exits(0).says("converged");
    lab.runs("web 2", "api 1", "second");
    // A plan is applied once.
    let said = review.apply().exits(1).says("stale: ").says("n1/service.web runs ");
    said.says("the nodes already run what this plan leads to").never_says("rollout lab-3");
}

#[test]
fn saved_plan_is_shown_as_it_was_made() {
    let review = Review::new();
    let lab = &review.lab;
    for format in ["text", "json", "markdown"] {
        let now = lab.gitsync(&["plan", "--format", format]).exits(0).out;
        let shown = lab.gitsync(&["show-plan", &review.file, "--format", format]).exits(0).out;
        assert_eq!(shown, now);
    }
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.gitsync(&["show-plan", &review.file]).exits(0).says("0 to create, 2 to change");
}

#[test]
fn files_on_disk_and_the_plan_among_them_are_of_no_account() {
    let review = Review::new();
    let lab = &review.lab;
    // A plan that is saved among the fleet's files is none of them.
    lab.gitsync(&["plan", "--out", "plan.json"]).exits(0);
    lab.gitsync(&["plan", "--out", "plan.json"]).exits(0);
    assert_eq!(std::fs::read_to_string(lab.repository().join("plan.json")).unwrap(), review.text());
    lab.write("files/motd/motd", "scribbled\n");
    let said = lab.gitsync(&["plan", "--out", "plan.json"]).exits(1);
    said.says("the files differ from HEAD").says("--rev HEAD");
    lab.gitsync(&["plan", "--rev", "HEAD", "--out", "plan.json"]).exits(0);
    lab.gitsync(&["apply", "--plan", "plan.json"]).exits(0).says("converged");
    lab.runs("web 2", "api 1", "second");
}

#[test]
fn plan_of_another_commit_is_stale() {
    let review = Review::new();
    let planned = review.json()["plan"]["commit"]["id"].as_str().unwrap().to_owned();
    review.lab.write("README.md", "nothing that anything is made from\n");
    let head = review.lab.commit("unrelated");
    let words = format!("HEAD is commit {}; the plan is of commit {}", &head[..12], &planned[..12]);
    let checkout = format!("git checkout {planned}");
    review.refused(&["stale: ", &words, &checkout]);
    let _ = review.lab.gitsync(&["apply", "--plan", &review.file, "--dirty"]).exits(2);
}

#[test]
fn plan_of_another_fleet_is_stale() {
    let review = Review::new();
    review.tamper("/plan/fleet", json!("homelab"));
    review.refused(&["stale: ", "this is the fleet lab; the plan is for homelab"]);
}

#[test]
fn what_is_rendered_otherwise_is_told_before_any_node_is_asked() {
    let review = Review::new();
    std::fs::remove_dir_all(review.lab.node_directory("n2")).unwrap();
    std::fs::write(review.lab.node_directory("n2"), "not a directory\n").unwrap();
    review.refused_by_gate(&["n2 can't be reached"]);
    review.tamper("/plan/wanted/n1~1service.web", json!("f".repeat(64)));
    let said = review.refused(&["stale: ", "n1/service.web is rendered as "]);
    said.says(" now; in the plan as ffffffffffff").never_says("can't be reached");
}

#[test]
fn node_that_runs_something_else_makes_a_plan_stale() {
    let review = Review::new();
    let lab = &review.lab;
    let head = review.json()["plan"]["commit"]["id"].as_str().unwrap().to_owned();
    // Somebody rolls out another commit meanwhile, and HEAD is back at what was reviewed.
    lab.web("web 3");
    lab.commit("third");
    lab.gitsync(&["apply", "--yes"]).exits(0);
    let repository = git2::Repository::open(lab.repository()).unwrap();
    let commit = repository.find_commit(git2::Oid::from_str(&head).unwrap()).unwrap();
    repository.reset(commit.as_object(), git2::ResetType::Hard, None).unwrap();
    review.apply().exits(1).says("the last good one").never_says("stale: ");
    let said = lab.gitsync(&["apply", "--any-history", "--plan", &review.file]);
    let said = said.exits(1).says("stale: ").says("n1/service.web runs ");
    said.says(" now; the plan is from ").says("a step of the plan is gone: ~ n1/bundle.motd");
    lab.runs("web 3", "api 1", "second");
}

#[test]
fn another_machine_at_a_nodes_address_makes_a_plan_stale() {
    let review = Review::new();
    let mut found = Vec::new();
    for folder in walk(&review.lab.node_directory("n2")) {
        if folder.file_name().is_some_and(|name| name == "node-id") {
            found.push(folder);
        }
    }
    std::fs::write(&found[0], "ffffffffffffffffffffffffffffffff\n").unwrap();
    review.refused(&["stale: ", "n2 is another machine: its node-id is “ffffffff"]);
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn files_edited_by_hand_are_in_no_plan_and_make_none_stale() {
    let review = Review::new();
    std::fs::write(review.lab.motd(), "by hand\n").unwrap();
    review.lab.gitsync(&["drift"]).says("motd");
    let now = review.lab.home().join("now.json").display().to_string();
    review.lab.gitsync(&["plan", "--out", &now]).exits(0);
    assert_eq!(std::fs::read_to_string(now).unwrap(), review.text());
    let by_hand = review.apply().exits(0).says("converged");
    by_hand.never_says("stale");
    review.lab.runs("web 2", "api 1", "second");
}

#[test]
fn commands_and_steps_of_a_file_that_was_tampered_with_are_never_run() {
    let review = Review::new();
    let good = review.json();
    let trap = review.lab.home().join("trap");
    let evil = format!("touch {}", trap.display());
    let web = good["plan"]["waves"]
        .as_array()
        .unwrap()
        .iter()
        .position(|wave| wave["steps"].to_string().contains("n1/service.web"));
    let steps = format!("/plan/waves/{}/steps", web.unwrap());
    let number = good.pointer(&steps).unwrap().as_array().unwrap().iter();
    let number = number.clone().position(|step| step["unit"] == "n1/service.web").unwrap();
    let step = format!("{steps}/{number}");
    let exec = json!({ "kind": "exec", "command": evil, "container": null });
    let changes = [
        (format!("{step}/health/checks"), json!([exec]), "n1/service.web: health: checks"),
        (format!("{step}/health_before/checks"), json!([exec]), "n1/service.web: health before"),
        (format!("{step}/to"), json!("f".repeat(64)), "n1/service.web: to is "),
        (
            format!("{step}/adopt"),
            json!(true),
            "n1/service.web: adopt is false now; in the plan true",
        ),
        (format!("{step}/rollback"), json!("never"), "n1/service.web: rollback is “auto” now"),
        (
            "/plan/policy/dead_man".into(),
            json!(null),
            "policy: dead man is “1m” now; in the plan nothing",
        ),
        ("/plan/waves".into(), json!([]), "a step more now: ~ n1/service.web"),
        ("/plan/dirty".into(), json!(true), "dirty is false now; in the plan true"),
    ];
    for (place, new, words) in changes {
        review.tamper(&place, new);
        review.refused(&["stale: ", words]);
        review.put(&good);
    }
    review.tamper(&step, {
        let mut step = good.pointer(&step).unwrap().clone();
        step["command"] = json!(evil);
        step
    });
    review.refused(&["command` is not a key of saved plans"]);
    assert!(!trap.exists());
    review.put(&good);
    review.apply().exits(0);
}

#[test]
fn file_that_is_no_plan_is_told_with_what_to_do() {
    let review = Review::new();
    let good = review.text();
    let newer = good.replacen("\"version\": 1", "\"version\": 2", 1);
    let printed = review.lab.gitsync(&["plan", "--format", "json"]).out;
    let files = [
        (&good[..good.len() / 2], "it is cut short"),
        ("", "it is cut short"),
        ("web: 1\n", "it is not JSON"),
        ("{}", "it is not a saved plan"),
        (newer.as_str(), "it is a plan of version 2, and this gitsync reads version 1"),
        (printed.as_str(), "what `gitsync plan --format json` prints"),
    ];
    for (text, words) in files {
        std::fs::write(&review.file, text).unwrap();
        review.refused(&["can't be used as a plan: ", words, "gitsync"]);
        review.lab.gitsync(&["show-plan", &review.file]).exits(1).says(words);
    }
    std::fs::write(&review.file, [0xff, 0xfe]).unwrap();
    review.refused(&["it is not text"]);
    std::fs::remove_file(&review.file).unwrap();
    review.apply().exits(1).says("there is no file").says("gitsync plan --out FILE");
}

#[test]
fn plan_that_would_be_refused_is_not_saved_and_leaves_an_older_one_alone() {
    let review = Review::new();
    let before = review.text();
    let lab = &review.lab;
    lab.without_nodes();
    lab.gitsync(&["plan", "--out", &review.file])
        .exits(1)
        .says("not saved: ")
        .says("no longer has any node");
    assert_eq!(review.text(), before);
    let names = std::fs::read_dir(lab.home()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().starts_with(".gitsync-plan")));
}

#[test]
fn place_that_can_not_be_written_is_told() {
    let review = Review::new();
    let lab = &review.lab;
    let nowhere = lab.home().join("no/such/plan.json").display().to_string();
    lab.gitsync(&["plan", "--out", &nowhere]).exits(1).says("can't be saved as").says("hint: ");
    let link = lab.home().join("link");
    symlink("/dev/null", &link).unwrap();
    let link = link.display().to_string();
    lab.gitsync(&["plan", "--out", &link]).exits(1).says("it is not a plain file");
    assert!(std::fs::symlink_metadata(link).unwrap().is_symlink());
    let both = ["plan", "--out", &review.file, "--base", "HEAD"];
    lab.gitsync(&both).exits(2).says("cannot be used with");
    std::fs::remove_dir_all(lab.repository().join(".git")).unwrap();
    lab.gitsync(&["plan", "--out", &review.file]).exits(1).says("not inside a Git repository");
}

#[test]
fn plan_that_changes_nothing_is_saved_and_applied_as_often_as_one_likes() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.gitsync(&["plan", "--out", "plan.json"]).exits(0).says("Nothing changes");
    for _ in 0..2 {
        lab.gitsync(&["apply", "--plan", "plan.json"]).exits(0).says("Nothing changes");
    }
}

#[test]
fn secret_that_stays_on_its_node_is_in_no_saved_plan() {
    let lab = Lab::new();
    let secret = lab.home().join("token");
    std::fs::write(&secret, "hunter2-topsecret").unwrap();
    let text = service("n1", lab.web, "web 1", "") + "depends_on: [api]\n";
    let env = format!("env: {{ TOKEN: \"node:{}\" }}\n", secret.display());
    lab.write("services/web.yaml", &(text + &env));
    lab.commit("a token");
    lab.gitsync(&["plan", "--out", "plan.json"]).exits(0);
    lab.gitsync(&["apply", "--plan", "plan.json"]).exits(0).says("converged");
    lab.write("services/web.yaml", &(service("n1", lab.web, "web 2", "") + &env));
    std::fs::write(&secret, "hunter2-another").unwrap();
    lab.commit("web 2");
    lab.gitsync(&["plan", "--out", "again.json", "--rev", "HEAD"]).exits(0);
    for file in ["plan.json", "again.json"] {
        let text = std::fs::read_to_string(lab.repository().join(file)).unwrap();
        assert!(text.contains("n1/service.web"), "{text}");
        for secret in ["hunter2-topsecret", "hunter2-another"] {
            assert!(!text.contains("hunter2"), "{text}");
            assert!(!text.contains(&gitsync::model::sha256_hex(secret.as_bytes())), "{text}");
        }
    }
}

#[test]
fn release_of_a_plan_that_failed_is_quarantined_for_the_same_plan_too() {
    let review = Review::new();
    let lab = &review.lab;
    lab.sick_web("web 2");
    lab.commit("web 2 is sick");
    lab.gitsync(&["plan", "--out", &review.file]).exits(0);
    review.apply().exits(3).says("rolled_back");
    review.refused_by_gate(&["quarantined", "gitsync retry"]);
}

#[test]
fn flag_that_weakens_a_guard_is_needed_again_when_the_plan_is_applied() {
    let review = Review::new();
    let lab = &review.lab;
    let blobs = walk(&lab.node_directory("n1"));
    let old =
        |path: &std::path::PathBuf| std::fs::read(path).is_ok_and(|text| text == b"welcome\n");
    let blobs = blobs.into_iter().filter(|path| old(path) && *path != lab.motd());
    assert_eq!(blobs.map(|blob| std::fs::remove_file(blob).unwrap()).count(), 1);
    lab.gitsync(&["plan", "--out", &review.file]).exits(1).says("not saved: ").says("no way back");
    lab.gitsync(&["plan", "--allow-no-rollback", "--out", &review.file]).exits(0);
    review.refused_by_gate(&["no way back: n1/bundle.motd", "--allow-no-rollback"]);
}
