//! What keeps a wrong repository, a wrong history and a missing controller from taking a fleet down.

use git2::{Oid, Repository, ResetType};

use crate::lab::{Lab, Running};

/// Moves the branch and the files to a commit, as `git reset --hard` does.
fn reset(lab: &Lab, commit: &str) {
    let repository = Repository::open(lab.repository()).unwrap();
    let commit = repository.find_commit(Oid::from_str(commit).unwrap()).unwrap();
    repository.reset(commit.as_object(), ResetType::Hard, None).unwrap();
}

fn head(lab: &Lab) -> String {
    let repository = Repository::open(lab.repository()).unwrap();
    repository.head().unwrap().target().unwrap().to_string()
}

/// Two commits, both rolled out; the ids.
fn two_commits(lab: &Lab) -> [String; 2] {
    let first = head(lab);
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.web("web 2");
    let second = lab.commit("second");
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.runs("web 2", "api 1", "welcome");
    [first, second]
}

/// A daemon that looks twice a second, so that what is said once is seen to be said once.
fn eager(lab: &Lab, more: &[&str]) -> Running {
    let url = format!("file://{}", lab.home().join("fleet.git").display());
    lab.start(&[&["run", &url, "--interval", "1s"], more].concat())
}

/// Waits until the daemon has looked again: the second of two that fell is started at a later look than the last.
#[track_caller]
fn looks_again(lab: &Lab, daemon: &mut Running) {
    lab.kill_app(lab.api);
    daemon.hears("n2/service.api did not run: started again");
    lab.kill_app(lab.web);
    daemon.hears("n1/service.web did not run: started again");
}

#[track_caller]
fn looked_again(lab: &Lab, mut daemon: Running) -> String {
    looks_again(lab, &mut daemon);
    daemon.signal("TERM");
    daemon.end().exits(0).out
}

#[test]
fn a_commit_older_than_last_good_is_refused_until_it_is_asked_for() {
    let lab = Lab::new();
    let [first, second] = two_commits(&lab);
    reset(&lab, &first);
    let said = lab.gitsync(&["apply", "--yes"]).exits(1);
    let words =
        format!("commit {} is older than {}, the last good one", &first[..12], &second[..12]);
    assert!(said.err.contains(&words), "{}", said.err);
    assert!(
        said.err.contains("--any-history") && said.err.contains("gitsync rollback"),
        "{}",
        said.err
    );
    lab.gitsync(&["plan"]).exits(1).says("is older than");
    lab.runs("web 2", "api 1", "welcome");
    lab.gitsync(&["apply", "--yes", "--any-history"]).exits(0).says("is older than");
    lab.runs("web 1", "api 1", "welcome");
    // Now that one is the last good commit, and what was newer comes after it.
    reset(&lab, &second);
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.runs("web 2", "api 1", "welcome");
}

#[test]
fn a_rewritten_history_is_refused_until_the_settings_allow_it() {
    let lab = Lab::new();
    let [first, second] = two_commits(&lab);
    reset(&lab, &first);
    lab.web("web 3");
    lab.commit("third, beside the second");
    let said = lab.gitsync(&["apply", "--yes"]).exits(1);
    let words =
        format!("does not come from {}, the last good one: history was rewritten", &second[..12]);
    assert!(said.err.contains(&words), "{}", said.err);
    assert!(said.err.contains("history: any"), "{}", said.err);
    lab.runs("web 2", "api 1", "welcome");
    let mut allowed = lab.command(&["apply", "--yes"]);
    allowed.env("GITSYNC_HISTORY", "any");
    Running::start(allowed).end().exits(0).says("history was rewritten");
    lab.runs("web 3", "api 1", "welcome");
}

#[test]
fn a_repository_that_no_longer_has_the_last_good_commit_is_refused() {
    let lab = Lab::new();
    let [_, second] = two_commits(&lab);
    std::fs::remove_dir_all(lab.repository().join(".git")).unwrap();
    lab.web("web 3");
    lab.commit("all begins again");
    let said = lab.gitsync(&["apply", "--yes"]).exits(1);
    let words = format!("the last good commit {} is not in this repository", &second[..12]);
    assert!(said.err.contains(&words), "{}", said.err);
    lab.runs("web 2", "api 1", "welcome");
}

#[test]
fn an_older_commit_that_changes_nothing_is_no_matter() {
    let lab = Lab::new();
    let [first, _] = two_commits(&lab);
    lab.web("web 1");
    lab.commit("as at first");
    lab.gitsync(&["apply", "--yes"]).exits(0);
    reset(&lab, &first);
    lab.gitsync(&["apply", "--yes"]).exits(0).says("Nothing changes");
    lab.gitsync(&["plan"]).exits(0);
}

#[test]
fn a_rollback_goes_back_all_the_same_and_what_is_committed_next_goes_forward() {
    let lab = Lab::new();
    two_commits(&lab);
    lab.gitsync(&["rollback", "--yes"]).exits(0);
    lab.runs("web 1", "api 1", "welcome");
    lab.gitsync(&["apply", "--yes"]).exits(1);
    lab.runs("web 1", "api 1", "welcome");
    lab.web("web 3");
    lab.commit("third");
    lab.gitsync(&["apply", "--yes"]).exits(0);
    lab.runs("web 3", "api 1", "welcome");
}

#[test]
fn a_branch_that_was_forced_back_is_refused_once_and_the_fleet_stays() {
    let lab = Lab::new();
    lab.bare();
    let first = head(&lab);
    let mut daemon = eager(&lab, &[]);
    daemon.hears("converged");
    lab.web("web 2");
    let second = lab.commit("second");
    lab.push();
    daemon.hears("converged");
    reset(&lab, &first);
    lab.push();
    daemon.hears("not rolled out: commit");
    daemon.hears("is older than");
    looks_again(&lab, &mut daemon);
    lab.runs("web 2", "api 1", "welcome");
    lab.api("api 3");
    lab.commit("beside the second");
    lab.push();
    daemon.hears("history was rewritten");
    lab.runs("web 2", "api 1", "welcome");
    reset(&lab, &second);
    lab.write("files/motd/motd", "on top\n");
    lab.commit("on top of the second");
    lab.push();
    daemon.hears("converged");
    lab.runs("web 2", "api 1", "on top");
    daemon.signal("TERM");
    let said = daemon.end().exits(0).out;
    for words in ["is older than", "history was rewritten"] {
        assert_eq!(said.matches(words).count(), 1, "{said}");
    }
}

#[test]
fn with_history_any_the_daemon_follows_a_branch_that_was_forced() {
    let lab = Lab::new();
    lab.bare();
    let [first, _] = two_commits(&lab);
    reset(&lab, &first);
    lab.push();
    let settings = lab.home().join("settings.yaml");
    std::fs::write(&settings, "history: any\n").unwrap();
    let mut daemon = eager(&lab, &["--config", &settings.display().to_string()]);
    // It is a copy of its own, which never had the second commit.
    daemon.hears("is not in this repository: history was rewritten");
    daemon.hears("converged");
    lab.runs("web 1", "api 1", "welcome");
}

/// A daemon that has rolled out the fleet in the repository's folder `fleet`, which is committed and pushed.
fn of_a_folder(lab: &Lab) -> Running {
    let below = lab.repository().join("fleet");
    std::fs::create_dir(&below).unwrap();
    for item in ["fleet.yaml", "nodes", "services", "bundles", "files"] {
        std::fs::rename(lab.repository().join(item), below.join(item)).unwrap();
    }
    lab.commit("into a folder");
    lab.bare();
    let mut daemon = eager(lab, &["--path", "fleet"]);
    daemon.hears("converged");
    lab.runs("web 1", "api 1", "welcome");
    daemon
}

#[test]
fn a_fleet_s_folder_that_vanished_removes_nothing() {
    let lab = Lab::new();
    let mut daemon = of_a_folder(&lab);
    std::fs::rename(lab.repository().join("fleet"), lab.repository().join("renamed")).unwrap();
    lab.commit("the folder has another name");
    lab.push();
    daemon.hears("has no folder `fleet`");
    looked_again(&lab, daemon);
    lab.runs("web 1", "api 1", "welcome");
}

#[test]
fn a_commit_of_an_empty_tree_removes_nothing() {
    let lab = Lab::new();
    lab.bare();
    let mut daemon = eager(&lab, &[]);
    daemon.hears("converged");
    for item in ["nodes", "services", "bundles", "files"] {
        std::fs::remove_dir_all(lab.repository().join(item)).unwrap();
    }
    lab.remove("fleet.yaml");
    lab.commit("all files are gone");
    lab.push();
    daemon.hears("not rolled out: nothing was changed");
    looked_again(&lab, daemon);
    lab.runs("web 1", "api 1", "welcome");
}

#[test]
fn a_repository_that_lost_its_branch_or_is_gone_removes_nothing() {
    let lab = Lab::new();
    let bare = lab.bare();
    let mut daemon = eager(&lab, &[]);
    daemon.hears("converged");
    Repository::open(&bare).unwrap().find_reference("refs/heads/main").unwrap().delete().unwrap();
    daemon.hears("has no branch `main`");
    std::fs::remove_dir_all(&bare).unwrap();
    daemon.hears("the repository can't be looked at");
    looked_again(&lab, daemon);
    lab.runs("web 1", "api 1", "welcome");
}

#[test]
fn what_the_controller_runs_in_is_not_removed_and_changes_last_and_alone() {
    let lab = Lab::new();
    lab.gitsync(&["apply", "--yes"]).exits(0);
    let apply = || {
        let mut apply = lab.command(&["apply", "--yes"]);
        apply.env("GITSYNC_CONTROLLER", "n2/service.api");
        Running::start(apply).end()
    };
    // Without the setting `api` goes first: `web` needs it.
    lab.api("api 2");
    lab.web("web 2");
    lab.write("files/motd/motd", "second\n");
    lab.commit("all of it");
    let said = apply().exits(0);
    let at = |text: &str| said.out.find(text).unwrap_or_else(|| panic!("{text}: {}", said.out));
    assert!(at("n1/service.web: healthy") < at("n2/service.api: switching"), "{}", said.out);
    assert!(at("n1/bundle.motd: healthy") < at("n2/service.api: switching"), "{}", said.out);
    lab.runs("web 2", "api 2", "second");
    let web = std::fs::read_to_string(lab.repository().join("services/web.yaml")).unwrap();
    lab.write("services/web.yaml", &web.replace("depends_on: [api]\n", ""));
    lab.remove("services/api.yaml");
    lab.commit("without api");
    let said = apply().exits(1);
    assert!(said.err.contains("n2/service.api would be removed, and the controller runs in it"));
    lab.remove("nodes/n2.yaml");
    lab.commit("without its node");
    let said = apply().exits(1);
    assert!(said.err.contains("n2/service.api would be removed, and the controller runs in it"));
    lab.runs("web 2", "api 2", "second");
}
