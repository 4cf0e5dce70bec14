//! The example repository as people read it, on three hosts at its own addresses: two VPSes and a NAS.

mod hosts;
mod people;
mod repository;
mod story;

use std::ops::Deref;
use std::time::Duration;

use gitsync_lab::{STATE, Truth};

use crate::stage::Stage;

/// A rollout of the whole fleet: half a minute, but much more on a busy machine.
const WHOLE: Duration = Duration::from_secs(300);

/// The stage with the example on it.
struct Example(Stage);

impl Deref for Example {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.0
    }
}

#[test]
fn the_example_serves_keeps_folders_in_step_and_changes_as_one() {
    let Some(stage) = Stage::new("example", &hosts::spec()).map(Example) else { return };
    stage.prepare_example();
    stage.rolls("converged");
    stage.prepare_laptop();
    stage.all_services_answer("1");
    stage.gateways_route("1");
    stage.the_fallback_stands_in("1");
    stage.services_are_enabled();
    stage.values_of_the_node_arrive();
    stage.files_land_as_said();
    stage.folders_are_carried_both_ways();
    stage.nothing_is_left_to_do();
    stage.a_change_goes_through();
    stage.a_broken_one_is_put_back();
}

impl Example {
    /// Lets the daemon come to a verdict about what was pushed; what it said.
    fn rolls(&self, verdict: &str) -> String {
        let daemon = self.daemon();
        let mark = daemon.mark();
        let found = self.until(WHOLE, "a verdict", || {
            let said = daemon.log().split_off(mark);
            let told = ["converged", "rolled_back", "needs_operator"]
                .into_iter()
                .find(|it| said.contains(it));
            told.ok_or(said)
        });
        let said = daemon.log().split_off(mark);
        assert_eq!(found, verdict, "{said}");
        assert_eq!(daemon.stop(), Some(0));
        said
    }

    /// All that is on the hosts but the folders that change while they run.
    fn truth(&self) -> Truth {
        let state = [STATE, "/mnt/user/appdata/gitsync"];
        let truth = Truth::with_state(self.lab.hosts(), &state).unwrap();
        truth.without(&["/srv", "/home", "/root"])
    }
}
