//! Simulates rollouts in an imagined world: every fault at every call, killed controllers, many faults at once.

#[path = "../support/contract.rs"]
mod contract;
mod fake;
mod faults;
mod fleets;
mod generated;
mod invariants;
mod promises;
mod run;
mod suite;
