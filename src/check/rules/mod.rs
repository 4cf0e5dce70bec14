//! What only shows when the fleet is looked at as one thing: one function per code.

pub mod codes;
mod conflict;
mod files;
mod find;
mod health;
mod order;
mod ports;
mod routes;
mod secrets;
mod services;
mod shared;
mod syncs;

#[cfg(test)]
mod tests;

use self::find::Find;
use super::document::Places;
use crate::diagnostic::{Diagnostic, sort};
use crate::model::Fleet;

type Rule = fn(&Fleet, &Find<'_>) -> Vec<Diagnostic>;

const RULES: [Rule; 23] = [
    ports::port_taken,
    ports::port_on_all,
    shared::same_directory,
    shared::same_project,
    shared::same_container,
    shared::same_volume,
    routes::same_route,
    routes::route_to_loopback,
    routes::framing_header,
    routes::one_upstream,
    order::cycle,
    order::depends_on_optional,
    files::out_of_bounds,
    files::under_writable,
    files::file_owned_twice,
    health::probe_outlives_lease,
    health::no_health_check,
    secrets::plain_secret,
    services::no_version,
    services::pair_without_sync,
    services::moves_without_sync,
    syncs::sync_loop,
    syncs::two_way_sync,
];

/// Everything that is wrong or doubtful with a fleet whose references all resolve, sorted.
///
/// `places` must hold the trees of the files that the fleet was made from; what it lacks is told at the beginning of
/// its file. The work grows with the number of units and files, never with its square.
pub fn run(fleet: &Fleet, places: &Places) -> Vec<Diagnostic> {
    let find = Find::new(fleet, places);
    let mut found: Vec<Diagnostic> = RULES.iter().flat_map(|rule| rule(fleet, &find)).collect();
    sort(&mut found);
    found
}
