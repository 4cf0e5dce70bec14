//! The only async orchestration: observe, execute, drive, and the daemon's loop.

mod asked;
mod daemon;
mod departed;
mod drive;
mod execute;
mod gate;
mod goods;
mod leases;
mod left;
mod news;
mod nodes;
mod past;
mod patience;
mod redact;
mod sealed;
mod transact;
mod trust;
mod upkeep;

pub use asked::Asked;
pub use daemon::{Connect, Daemon, DaemonError, Wakes};
pub use departed::{Earlier, Left};
pub use drive::{DriveError, Driven, Stop};
pub use execute::{Known, Work};
pub use gate::{Refusal, gate, holders, pinned, within};
pub use goods::{Kept, KeptError, contents, kept, rebuild};
pub use left::{Resumable, resumable};
pub use news::{News, Presence, Seen};
pub use nodes::Nodes;
pub use redact::Redactor;
pub use sealed::{Masked, NoVault, Secrets, Values, Vault};
pub use transact::{Conductor, Survey, survey};

pub use crate::model::Verdict;
