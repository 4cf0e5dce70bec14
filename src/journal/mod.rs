//! The controller's durable record of rollouts: what was begun, asked for, done, told and decided.
//!
//! SQLite with a write-ahead log and `synchronous=FULL`: when a call returns, what it wrote outlives a power cut.
//! The nodes' own records decide what is true; the journal adds details, and lets a controller go on after a crash.

mod departed;
mod error;
mod lock;
mod record;
mod store;
mod suspended;
mod unlocks;

pub use departed::{Departed, Forgotten};
pub use error::JournalError;
pub use record::{Kind, NewRollout, Past, RolloutRecord, Shown};
pub use store::Journal;
pub use suspended::{Suspension, resume, suspend, suspension};
pub use unlocks::Unlocked;
