//! Health checks: that there are some, and that a node's lease bears them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::codes;
use super::find::Find;
use crate::diagnostic::{Diagnostic, Place};
use crate::model::{Fleet, Form, Health, duration_text};

/// Contacts that fit into the silence that a node bears.
const CONTACTS: u32 = 3;

/// A probe takes longer between two signs of life than a node's lease bears.
///
/// A node hears from its controller at most a third of `dead_man` apart; one attempt with the wait before it may not
/// take longer. The length of a whole probe doesn't matter: `dead_man` is a silence, not a limit of the rollout.
pub(super) fn probe_outlives_lease(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let Some(dead_man) = fleet.policy.dead_man else { return Vec::new() };
    let longest = dead_man / CONTACTS;
    let too_long = |health: &Health| health.interval.saturating_add(health.timeout) > longest;
    let mut told: BTreeMap<Place, Diagnostic> = BTreeMap::new();
    for instance in fleet.instances.iter().filter(|instance| too_long(&instance.health)) {
        let slower = slower(&instance.health);
        let (place, value) = find.service(instance, &format!("/health/{slower}"));
        let place = if value.is_some() { place } else { default_place(find, slower) };
        told.entry(place.clone()).or_insert_with(|| tell(&instance.health, dead_man, place));
    }
    for bundle in fleet.bundles.iter().filter(|bundle| too_long(&bundle.health)) {
        let slower = slower(&bundle.health);
        let pointer = format!("/health/{slower}");
        let place = find.written(&bundle.source, &pointer);
        let place = place.unwrap_or_else(|| default_place(find, slower));
        told.entry(place.clone()).or_insert_with(|| tell(&bundle.health, dead_man, place));
    }
    told.into_values().collect()
}

/// The part of an attempt that takes longer.
fn slower(health: &Health) -> &'static str {
    if health.timeout >= health.interval { "timeout" } else { "interval" }
}

fn default_place(find: &Find<'_>, key: &str) -> Place {
    let file = "fleet.yaml";
    let written = find.written(file, &format!("/health/{key}"));
    written.unwrap_or_else(|| find.at(file, "/rollout/dead_man"))
}

fn tell(health: &Health, dead_man: Duration, place: Place) -> Diagnostic {
    let attempt = health.interval.saturating_add(health.timeout);
    let message = format!(
        "one attempt of this health check takes up to {}, longer than a node's lease bears",
        duration_text(attempt)
    );
    let needed = attempt.saturating_mul(CONTACTS);
    Diagnostic::error(codes::PROBE_OUTLIVES_LEASE, message, place)
        .says(format!(
            "`dead_man: {}` needs a sign of life every {}",
            duration_text(dead_man),
            duration_text(dead_man / CONTACTS)
        ))
        .hint(format!("shorten it, or set `rollout.dead_man` to {} or more", duration_text(needed)))
}

/// Nothing asks whether a service works.
pub(super) fn no_health_check(fleet: &Fleet, find: &Find<'_>) -> Vec<Diagnostic> {
    let mut told = BTreeMap::new();
    for instance in fleet.instances.iter().filter(|instance| !instance.health_declared) {
        if let Form::Image(container) = &instance.form
            && container.healthcheck.is_some()
        {
            continue;
        }
        told.entry(&instance.source).or_insert_with(|| {
            let message = format!("nothing asks whether `{}` works", instance.service);
            let place = find.form(instance);
            Diagnostic::warning(codes::NO_HEALTH_CHECK, message, place)
                .says("it counts as healthy while it runs")
                .hint("add `health: { http: /, port: … }`, or `tcp`, `exec` or `container: true`")
        });
    }
    told.into_values().collect()
}
