//! The controller's edges against the real thing: Git repositories made by libgit2, SQLite files, threads.

#[path = "../support/missing.rs"]
mod missing;
#[path = "../support/signing.rs"]
mod signing;

mod example;
mod journal;
mod mirror;
mod repository;
mod signature;
mod source;
mod watch;
