//! The nouns: what every stage shares, printable and savable, without behaviour that reaches outside.

mod bundle;
mod duration;
mod effect;
mod fleet;
mod gateway;
mod health;
mod limits;
mod manifest;
mod name;
mod node;
mod observed;
mod path;
mod plan;
mod release;
mod secret;
mod service;
mod snapshot;
mod sync;
mod time;
mod unit;

pub use bundle::{Bundle, BundleActivation};
pub use duration::{DurationError, duration_text, parse_duration};
pub use effect::{Effect, Failure, FailureKind, Outcome, OutcomeResult, ProbeReport, Verdict};
pub use fleet::{Count, Fleet, OnFailure, Policy, Prune, RepoFile};
pub use gateway::{
    Access, Balance, Gateway, GatewayRun, Header, Listen, Proxy, Route, Site, Tls, Upstream,
};
pub use health::{Attempt, Check, Health, ProbeFrom, StatusRange};
pub use limits::{ComposeLimits, Limits, Pin, Units};
pub use manifest::{manifest_text, unit_from_manifest};
pub use name::{Name, NameError};
pub use node::{Boot, Node, NodePaths, Reach, Ssh};
pub use observed::{
    ContainerReport, FileReport, FileState, Good, Holder, NodeReport, NodeState, Observed, Pending,
    ProcessReport, ProcessState, Quarantined, Record, Restored, UnitReport,
};
pub use path::{AbsPath, PathError};
pub use plan::{
    Action, FileChange, FileChangeKind, Gate, Notice, Plan, Reason, Replaced, Skipped, Step,
    Warning, Wave, WayBack,
};
pub use release::{
    Artifact, Claims, Command, ComposeService, Content, Digest, Membership, Moment, PortClaim,
    Release, Rollback, Runtime, SplitEnv, Unit, Validation, sha256_hex,
};
pub use secret::{Part, Sealed, SecretFile, SecretRef, SecretRefError, is_sealed};
pub use service::{
    BindAddress, Brought, BroughtService, CommandLine, Container, ContainerCheck,
    ContainerCheckTest, Delivered, EnvValue, Form, Instance, Logging, Mount, MountSource, Moves,
    Network, PortMapping, ProcessForm, Protocol, Publish, Resources, Restart, Role,
};
pub use snapshot::{Commit, Entry, MAX_FILE_BYTES, Snapshot};
pub use sync::{DeleteMode, Direction, Sync};
pub use time::Timestamp;
pub use unit::{UnitId, UnitIdError, UnitKind};
