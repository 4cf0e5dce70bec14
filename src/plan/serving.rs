//! Who serves meanwhile: members of groups that run now, are well, and stay.

use std::collections::BTreeMap;

use crate::model::{
    ContainerReport, Observed, ProcessState, Release, Runtime, Unit, UnitId, UnitReport,
};

/// Members of every group that run now and are wanted after.
#[derive(Debug, Default)]
pub struct Serving<'a> {
    groups: BTreeMap<&'a str, Vec<&'a UnitId>>,
}

impl<'a> Serving<'a> {
    /// Asks what was observed about every member of a group.
    pub fn new(release: &'a Release, observed: &Observed) -> Self {
        let mut groups: BTreeMap<&str, Vec<&UnitId>> = BTreeMap::new();
        for (id, unit) in &release.units {
            let Some(membership) = &unit.membership else { continue };
            if observed.unit(id).is_some_and(|report| is_well(unit, report)) {
                groups.entry(&membership.group).or_default().push(id);
            }
        }
        Self { groups }
    }

    /// Other members of the unit's group that serve while it does not.
    pub fn besides(&self, unit: &'a Unit) -> Vec<&'a UnitId> {
        let group = unit.membership.as_ref().and_then(|m| self.groups.get(m.group.as_str()));
        group.into_iter().flatten().copied().filter(|id| **id != unit.id).collect()
    }
}

/// Whether a unit was seen to run.
pub fn is_well(unit: &Unit, report: &UnitReport) -> bool {
    let running = |container: &ContainerReport| {
        container.status == "running" && container.health.as_deref() != Some("unhealthy")
    };
    let well = match &unit.runtime {
        Runtime::Compose { services, .. } => services.iter().filter(|s| !s.once).all(|service| {
            let mut own = report.containers.iter().filter(|c| c.service == service.name).peekable();
            own.peek().is_some() && own.all(running)
        }),
        Runtime::Process => {
            report.process.as_ref().is_some_and(|process| process.state == ProcessState::Running)
        }
        Runtime::Files | Runtime::Host => true,
    };
    report.current.is_some() && well
}
