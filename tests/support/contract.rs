//! What every transport promises, whatever carries its verbs: one story of rollouts on one node, told through the verbs
//! alone, so that it can be run against ssh, this machine and a fake.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::Duration;

use gitsync::model::{
    AbsPath, Artifact, Check, Claims, Content, Digest, FailureKind, FileState, Good, Health, Name,
    ProbeFrom, Rollback, Runtime, Timestamp, Unit, UnitId, UnitReport, Validation, Verdict,
};
use gitsync::transport::{
    Abandon, ChangeUnit, Confirm, Fence, NodeProbe, Prepare, PrepareUnit, Transport, TransportError,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A node with nothing on it, asked through a transport.
struct Story<'a> {
    transport: &'a dyn Transport,
    node: Name,
    fleet: Name,
    base: String,
}

/// Runs the whole story; `base` is a directory of the node where the units' files may go.
pub async fn holds(transport: &dyn Transport, node: &Name, base: &str) {
    let fleet = Name::new("homelab").unwrap();
    let story = Story { transport, node: node.clone(), fleet, base: base.to_owned() };
    let first = story.unit("first\n");
    let second = story.unit("second\n");
    story.nothing_is_known_at_first().await;
    story.a_rollout_takes_the_fence_and_gives_it_back(&first).await;
    story.what_runs_can_be_read_and_probed(&first).await;
    story.only_what_is_there_is_started_again(&first, &second).await;
    story.a_rollout_that_fails_is_put_back(&first, &second).await;
    story.a_quarantine_is_lifted(&first).await;
    story.addresses_of_the_node_are_reached().await;
}

impl Story<'_> {
    fn unit(&self, text: &str) -> Unit {
        let place = |path: &str| AbsPath::new(format!("{}/{path}", self.base)).unwrap();
        Unit {
            id: UnitId::from_local(&self.node, "bundle.mcp").unwrap(),
            directory: place("app"),
            runtime: Runtime::Files,
            artifacts: vec![Artifact {
                destination: place("app/a file.conf"),
                mode: 0o640,
                owner: None,
                content: Content::Bytes(text.as_bytes().to_vec()),
                sensitive: false,
            }],
            commands: Vec::new(),
            validation: Validation::None,
            node_env: BTreeMap::new(),
            sealed_env: BTreeMap::new(),
            health: health(Vec::new()),
            depends_on: BTreeSet::new(),
            claims: Claims::default(),
            membership: None,
            witness: Duration::ZERO,
            rollback: Rollback::Auto,
            adopt: false,
            host_service: None,
            about: BTreeMap::new(),
            fleet: self.fleet.clone(),
        }
    }

    fn fence(&self, number: u64) -> Fence {
        Fence { fleet: self.fleet.clone(), number, nonce: format!("nonce-{number}") }
    }

    async fn prepare(
        &self,
        number: u64,
        to: &Unit,
        from: Option<&Unit>,
    ) -> Result<(), TransportError> {
        let unit = PrepareUnit {
            id: to.id.clone(),
            to: Some(to.clone()),
            from: from.map(Unit::digest),
            adopt: false,
        };
        let request = Prepare {
            fence: self.fence(number),
            holder: "ann@laptop".to_owned(),
            rollout: format!("r{number}"),
            since: Timestamp(1_700_000_000_000),
            dead_man: Some(PATIENCE),
            takeover: false,
            units: vec![unit],
            present: BTreeSet::new(),
            opened: gitsync::transport::Opened::default(),
        };
        self.transport.prepare(&request).await
    }

    fn change(&self, number: u64, to: &Unit, from: Option<&Unit>) -> ChangeUnit {
        ChangeUnit {
            fence: self.fence(number),
            id: to.id.clone(),
            to: Some(to.digest()),
            from: from.map(Unit::digest),
            replaces: Vec::new(),
            deadline: PATIENCE,
        }
    }

    async fn report(&self, unit: &Unit) -> UnitReport {
        let report = self.transport.observe(&self.fleet).await.unwrap();
        report.units.get(&unit.id).cloned().unwrap_or_default()
    }

    async fn text(&self, unit: &Unit) -> Vec<Vec<u8>> {
        let files = self.transport.read_files(&self.fleet, &unit.id).await.unwrap();
        files.into_values().collect()
    }

    async fn nothing_is_known_at_first(&self) {
        let report = self.transport.observe(&self.fleet).await.unwrap();
        assert!(report.units.is_empty() && report.manifests.is_empty());
        assert_eq!((report.record.fence, report.record.holder), (0, None));
        assert!(!report.node_id.is_empty());
    }

    async fn a_rollout_takes_the_fence_and_gives_it_back(&self, unit: &Unit) {
        self.prepare(1, unit, None).await.unwrap();
        assert_eq!(self.report(unit).await.current, None, "nothing is changed by preparing");
        let held = self.transport.observe(&self.fleet).await.unwrap().record;
        assert_eq!(held.fence, 1);
        assert_eq!(held.holder.map(|holder| holder.who).as_deref(), Some("ann@laptop"));
        let other = self.prepare(2, unit, None).await.unwrap_err().into_failure();
        assert_eq!(other.kind, FailureKind::Busy, "{other:?}");
        let lower = ChangeUnit { fence: self.fence(0), ..self.change(1, unit, None) };
        self.transport.change(&lower).await.unwrap_err();
        for _ in 0..2 {
            self.transport.change(&self.change(1, unit, None)).await.unwrap();
        }
        let seen = self.report(unit).await;
        assert_eq!(seen.current, Some(unit.digest()));
        let confirm = Confirm {
            fence: self.fence(1),
            good: Good {
                release: Digest::of(b"release 1"),
                commit: Some("c1".to_owned()),
                at: Timestamp(1_700_000_001_000),
                units: [(unit.id.clone(), unit.digest())].into(),
            },
            keep: true,
            remove: Vec::new(),
            quarantine: None,
        };
        self.transport.confirm(&confirm).await.unwrap();
        let record = self.transport.observe(&self.fleet).await.unwrap().record;
        assert_eq!((record.fence, record.holder.clone()), (1, None));
        assert_eq!(
            record.last_good().map(|good| good.release.clone()),
            Some(Digest::of(b"release 1"))
        );
    }

    async fn what_runs_can_be_read_and_probed(&self, unit: &Unit) {
        let seen = self.report(unit).await;
        let blob = unit.artifacts[0].blob();
        let FileState::Present { hash, mode, .. } = &seen.files[0].state else {
            panic!("{seen:?}")
        };
        assert_eq!((hash, *mode), (&blob, 0o640));
        let blobs = self.transport.read(&self.fleet, &[blob.clone()].into()).await.unwrap();
        assert_eq!(blobs.get(&blob).map(Vec::as_slice), Some(b"first\n".as_slice()));
        assert_eq!(self.text(unit).await, [b"first\n"]);
        let check = |command: String| Check::Exec { command, container: None };
        let probe = |checks| NodeProbe {
            fleet: self.fleet.clone(),
            id: unit.id.clone(),
            health: health(checks),
        };
        let passed = self.transport.probe(&probe(vec![check("true".to_owned())])).await.unwrap();
        assert!(passed.last().is_some_and(|attempt| attempt.passed), "{passed:?}");
        let failed = self.transport.probe(&probe(vec![check("exit 3".to_owned())])).await;
        let failure = failed.unwrap_err().into_failure();
        assert_eq!(failure.kind, FailureKind::Content);
        assert_eq!(failure.attempts.len(), 2, "{failure:?}");
    }

    async fn only_what_is_there_is_started_again(&self, first: &Unit, second: &Unit) {
        let before = self.report(first).await;
        self.transport.bring_up(&self.fleet, &first.id, &first.digest()).await.unwrap();
        let other = self.transport.bring_up(&self.fleet, &first.id, &second.digest()).await;
        let failure = other.unwrap_err().into_failure();
        assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
        assert_eq!(self.report(first).await, before);
        self.prepare(2, second, Some(first)).await.unwrap();
        let held = self.transport.bring_up(&self.fleet, &first.id, &first.digest()).await;
        assert_eq!(held.unwrap_err().into_failure().kind, FailureKind::Busy);
        let abandon = Abandon {
            fence: self.fence(2),
            verdict: Verdict::RolledBack,
            release: Digest::of(b"release 2"),
            commit: None,
            at: Timestamp(1_700_000_002_000),
            quarantine: None,
        };
        self.transport.abandon(&abandon).await.unwrap();
    }

    async fn a_rollout_that_fails_is_put_back(&self, first: &Unit, second: &Unit) {
        self.prepare(3, second, Some(first)).await.unwrap();
        self.transport.change(&self.change(3, second, Some(first))).await.unwrap();
        assert_eq!(self.text(second).await, [b"second\n"]);
        for _ in 0..2 {
            self.transport.put_back(&self.change(3, second, Some(first))).await.unwrap();
        }
        let seen = self.report(first).await;
        assert_eq!((seen.current, seen.pending), (Some(first.digest()), None));
        assert_eq!(self.text(first).await, [b"first\n"]);
        let abandon = Abandon {
            fence: self.fence(3),
            verdict: Verdict::RolledBack,
            release: Digest::of(b"release 3"),
            commit: None,
            at: Timestamp(1_700_000_003_000),
            quarantine: Some("the probe failed".to_owned()),
        };
        self.transport.abandon(&abandon).await.unwrap();
        let record = self.transport.observe(&self.fleet).await.unwrap().record;
        assert_eq!((record.fence, record.holder), (3, None));
        assert_eq!(record.quarantine.len(), 1);
        assert_eq!(record.quarantine[0].reason, "the probe failed");
    }

    async fn a_quarantine_is_lifted(&self, unit: &Unit) {
        let release = Digest::of(b"release 3");
        self.transport.unquarantine(&self.fleet, Some(&release)).await.unwrap();
        let record = self.transport.observe(&self.fleet).await.unwrap().record;
        assert!(record.quarantine.is_empty());
        self.transport.logs(&self.fleet, &unit.id, 5).await.unwrap();
    }

    async fn addresses_of_the_node_are_reached(&self) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        self.transport.knock(address, PATIENCE).await.unwrap();
        self.transport.dial(address).await.unwrap();
        drop(listener);
        let closed = self.transport.knock(address, PATIENCE).await.unwrap_err().into_failure();
        assert_eq!(closed.kind, FailureKind::Content, "{closed:?}");
    }
}

fn health(checks: Vec<Check>) -> Health {
    Health {
        checks,
        interval: Duration::from_millis(100),
        timeout: Duration::from_secs(5),
        retries: 1,
        start_period: Duration::ZERO,
        stable_for: Duration::ZERO,
        from: ProbeFrom::Node,
    }
}
