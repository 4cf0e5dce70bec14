//! The built program as people run it: every command, the daemon, kills on the way, and unlucky days.

#[path = "../support/commit.rs"]
mod commit;
#[path = "../support/missing.rs"]
mod missing;
#[path = "../support/said.rs"]
#[allow(dead_code)]
mod said;
#[path = "../support/signing.rs"]
#[allow(dead_code)]
mod signing;

mod applying;
mod daemon;
mod departed;
mod exact;
mod graph;
mod guards;
mod help;
mod hostile;
mod init;
mod killed;
mod lab;
mod leaving;
mod limits;
mod looking;
mod notify;
mod records;
mod sealed;
mod secret;
mod signatures;
mod suspended;
mod unlucky;
