//! gitsync: a Git repository of YAML is the truth for a fleet of plain Linux machines.
//!
//! Data flows one way: a snapshot is checked into a fleet, rendered into a release, planned against what the
//! nodes run, and rolled out as one transaction. `ARCHITECTURE.md` has the map.

#[cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod check;
pub mod cli;
pub mod clock;
#[cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod diagnostic;
pub mod engine;
#[cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod event;
#[cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod import;
pub mod journal;
#[cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod limits;
#[cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod model;
pub mod notify;
#[cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod plan;
pub mod probe;
#[cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod render;
pub mod report;
#[cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod rollout;
pub mod secrets;
pub mod settings;
pub mod source;
pub mod transport;
