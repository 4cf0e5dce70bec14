//! The node script as nodes run it: every verb, under the shells and the few utilities that nodes have.

mod case;
mod compose;
mod contents;
mod data;
mod fire;
mod found;
mod full;
mod hostile;
mod kills;
mod lab;
mod lease;
#[path = "../support/missing.rs"]
mod missing;
mod photos;
mod policy;
mod process;
mod races;
mod record;
mod replace;
mod sealed;
mod text;
mod verbs;
mod volumes;
