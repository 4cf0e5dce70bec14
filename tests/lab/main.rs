//! Scenarios on real hosts: what fleets go through, seen from outside.

#[path = "../support/commit.rs"]
mod commit;
#[path = "../support/said.rs"]
#[allow(dead_code)]
mod said;

mod adopting;
mod availability;
mod basics;
mod changes;
mod controllers;
mod disks;
mod doors;
mod example;
mod failing;
mod failover;
mod files;
mod importing;
mod journals;
mod lease;
mod links;
mod lost;
mod machines;
mod pair;
mod plain;
mod poor;
mod reboots;
mod registries;
mod removals;
mod secrets;
mod stage;
