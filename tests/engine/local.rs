//! The same with real nodes: directories of this machine, the node script, processes that run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use gitsync::engine::Verdict;
use gitsync::model::{AbsPath, Name};
use gitsync::transport::{LocalChannel, Scripted, Transport};
use tempfile::TempDir;

use crate::fleets::{Place, Wanted};
use crate::killer::Switch;
use crate::lab::{Kill, Lab, deaf, name, verdict};

/// Two nodes in a directory that goes, with everything that runs there, when this is dropped.
struct Real {
    directory: TempDir,
    lab: Lab,
    place: Place,
}

impl Real {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(directory.path()).unwrap().display().to_string();
        let start = format!("echo $$ >> {base}/pids; exec sleep 3617");
        let way = |node: &Name| {
            let channel = LocalChannel::new(AbsPath::new(format!("{base}/{node}")).unwrap(), &base);
            Arc::new(Scripted::new(node.clone(), channel)) as Arc<dyn Transport>
        };
        let ways = ["a", "b"].map(name).map(|node| (node.clone(), way(&node)));
        Self { lab: Lab::new(BTreeMap::from(ways)), place: Place { base, start }, directory }
    }

    /// Rolls a version out and holds the fleet to it.
    async fn roll(&self, wanted: &Wanted) {
        let ended = self.lab.roll(wanted, &Kill::Never, &mut deaf).await.unwrap();
        assert_eq!(verdict(&ended), Verdict::Converged, "{ended:?}");
        assert_eq!(self.lab.differences(wanted).await, [""; 0]);
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let pids = fs::read_to_string(self.directory.path().join("pids")).unwrap_or_default();
        for pid in pids.lines().filter(|pid| is_ours(pid)) {
            let _ = std::process::Command::new("kill").arg(pid).status();
        }
    }
}

/// A pid that was written down may be another process by now.
fn is_ours(pid: &str) -> bool {
    let line = fs::read(Path::new("/proc").join(pid).join("cmdline")).unwrap_or_default();
    line == b"sleep\x003617\0"
}

#[tokio::test]
async fn a_controller_of_real_nodes_can_be_killed_around_a_verb() {
    let real = Real::new();
    let (mut old, mut new) = (real.place.version("one"), real.place.version("two"));
    real.roll(&old).await;
    for (at, before) in [(2, false), (3, true), (5, false), (8, true), (10, false), (13, false)] {
        let kill = Kill::Verb(Switch::new(at, before));
        let point = format!("call {at}, before {before}");
        assert_eq!(real.lab.roll(&new, &kill, &mut deaf).await, None, "{point}");
        let ended = real.lab.resume(&new, true, &Kill::Never).await;
        real.lab.is_whole(&old, &new, &ended, &point).await;
        if verdict(&ended.unwrap()) == Verdict::Converged {
            std::mem::swap(&mut old, &mut new);
        }
    }
}

#[tokio::test]
async fn a_controller_of_real_nodes_can_be_killed_while_it_puts_back() {
    let real = Real::new();
    let (old, sick) = (real.place.version("one"), real.place.version("sick"));
    real.roll(&old).await;
    for (at, before) in [(9, false), (11, true), (12, false), (14, false)] {
        let kill = Kill::Verb(Switch::new(at, before));
        let point = format!("sick, call {at}, before {before}");
        assert_eq!(real.lab.roll(&sick, &kill, &mut deaf).await, None, "{point}");
        let ended = real.lab.resume(&sick, true, &Kill::Never).await;
        assert_eq!(ended.as_ref().map(verdict), Some(Verdict::RolledBack), "{point}");
        real.lab.is_whole(&old, &sick, &ended, &point).await;
    }
}

#[tokio::test]
async fn a_real_rollout_whose_release_is_lost_is_put_back() {
    let real = Real::new();
    let (old, new) = (real.place.version("one"), real.place.version("two"));
    real.roll(&old).await;
    for at in [1, 6] {
        let kill = Kill::Verb(Switch::new(at, false));
        assert_eq!(real.lab.roll(&new, &kill, &mut deaf).await, None);
        let ended = real.lab.resume(&new, false, &Kill::Never).await;
        assert_eq!(ended.as_ref().map(verdict), Some(Verdict::RolledBack), "call {at}");
        real.lab.is_whole(&old, &new, &ended, "without its release").await;
    }
}
