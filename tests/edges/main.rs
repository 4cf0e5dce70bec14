//! The controller's edges against the real thing: Git repositories made by libgit2, SQLite files, threads.

mod example;
mod journal;
mod mirror;
mod repository;
mod source;
mod watch;
