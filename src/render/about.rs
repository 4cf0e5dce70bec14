//! What people call a unit and how they see it, for the plan's words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{
    Fleet, Form, Gateway, Instance, Moment, Role, Route, Runtime, Site, Unit, UnitId, duration_text,
};

/// What gateways make of the units that they route to.
#[derive(Default)]
pub(super) struct Routed<'a> {
    units: BTreeMap<&'a UnitId, (Duration, BTreeSet<String>)>,
}

impl<'a> Routed<'a> {
    /// Gathers it from all gateways of a fleet.
    pub(super) fn new(fleet: &'a Fleet) -> Self {
        let mut routed = Self::default();
        for gateway in fleet.gateways.values() {
            for (site, route) in routes(gateway) {
                for upstream in &route.upstreams {
                    let entry = routed.units.entry(&upstream.unit).or_default();
                    entry.0 = entry.0.max(gateway.witness());
                    entry.1.insert(format!("{}{}", site.host, route.path));
                }
            }
        }
        routed
    }

    /// The longest that a gateway takes to see the unit healthy again; zero when none routes to it.
    pub(super) fn witness(&self, id: &UnitId) -> Duration {
        self.units.get(id).map_or(Duration::ZERO, |(witness, _)| *witness)
    }

    fn hosts(&self, id: &UnitId) -> Option<String> {
        self.units.get(id).map(|(_, hosts)| joined(hosts))
    }
}

fn routes(gateway: &Gateway) -> impl Iterator<Item = (&Site, &Route)> {
    gateway.sites.iter().flat_map(|site| site.routes.iter().map(move |route| (site, route)))
}

fn joined(hosts: &BTreeSet<String>) -> String {
    hosts.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

/// Says of a service's unit what the plan needs.
pub(super) fn service(instance: &Instance, routed: &Routed<'_>, unit: &mut Unit) {
    images(unit);
    let mut put = |key: &str, value: String| drop(unit.about.insert(key.to_owned(), value));
    put("what", instance.service.to_string());
    put("environment", instance.environment.to_string());
    put("role", role(instance.role));
    if let Some(hosts) = routed.hosts(&instance.id) {
        put("hosts", hosts);
    }
    if let Some(moves) = instance.moves {
        put("moves", moves.word().to_owned());
    }
    put("start_period", duration_text(instance.health.start_period));
    if let Form::Image(container) = &instance.form
        && let Some(grace) = container.stop_grace
    {
        put("stop_grace", duration_text(grace));
    }
    if unit.command(Moment::Reload).is_some() {
        unit.about.insert("reload".to_owned(), "yes".to_owned());
    }
}

fn role(role: Role) -> String {
    match role {
        Role::Primary => "primary".to_owned(),
        Role::Fallback(_) => "fallback".to_owned(),
        Role::Member => "member".to_owned(),
    }
}

fn images(unit: &mut Unit) {
    let Runtime::Compose { services, .. } = &unit.runtime else { return };
    for service in services {
        if let Some(image) = &service.image {
            unit.about.insert(format!("image.{}", service.name), image.clone());
        }
    }
}

/// Says of a gateway's unit what the plan needs.
pub(super) fn gateway(gateway: &Gateway, unit: &mut Unit) {
    let hosts: BTreeSet<String> = gateway.sites.iter().map(|site| site.host.clone()).collect();
    unit.about.insert("what".to_owned(), "gateway".to_owned());
    if !hosts.is_empty() {
        unit.about.insert("hosts".to_owned(), joined(&hosts));
    }
}

/// Says what kind of unit it is.
pub(super) fn kind(unit: &mut Unit) {
    unit.about.insert("what".to_owned(), unit.id.kind.word().to_owned());
}
