//! Between rollouts: units that should run and don't are started again, each with a patience of its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Fleet, NodeState, Observed, UnitId};
use crate::plan::{self, Fallen};

use super::daemon::Daemon;
use super::news::{News, Presence, Seen};
use super::redact::WITHHELD;
use super::sealed::has_secrets;

impl Daemon {
    /// Starts what should run on the fleet's nodes and doesn't, whatever the commits are like, and tells what was seen.
    pub(super) async fn keep_up(
        &self,
        fleet: &Fleet,
        upkeep: &mut Upkeep,
        tell: &mut (dyn FnMut(News) + Send),
    ) {
        let Ok(nodes) = self.nodes(fleet) else { return };
        let observed = nodes.observe(&fleet.name).await;
        let due = upkeep.due(plan::fallen(&observed), self.longest());
        for (unit, done) in nodes.bring_up(&fleet.name, &due).await {
            tell(match done {
                Ok(()) => News::Started(unit),
                Err(_) if has_secrets(&observed, &unit) => {
                    News::NotStarted(unit, WITHHELD.to_owned())
                }
                Err(error) => News::NotStarted(unit, error.to_string()),
            });
        }
        tell(News::Seen(seen(fleet, &observed)));
    }
}

/// What is to be told of a look at the nodes.
fn seen(fleet: &Fleet, observed: &Observed) -> Seen {
    let nodes = observed.nodes.iter().map(|(node, state)| Presence {
        node: node.clone(),
        optional: fleet.nodes.get(node).is_some_and(|node| node.optional),
        answers: matches!(state, NodeState::Reachable(_)),
    });
    Seen { fleet: fleet.name.clone(), nodes: nodes.collect(), drift: plan::moved(observed) }
}

/// What is remembered of units that were started again.
#[derive(Clone, Debug, Default)]
pub struct Upkeep {
    tries: BTreeMap<UnitId, Try>,
}

#[derive(Clone, Copy, Debug)]
struct Try {
    /// How often it was started without staying up.
    count: u32,
    /// Looks that it is left alone for.
    rest: u32,
}

impl Upkeep {
    /// Of the units that fell, those to start at this look.
    ///
    /// One that fell again is left alone for 2, 4, 8… looks, at most `longest`; one that stayed up meanwhile is
    /// forgiven. One that needs another that is started now waits for the next look.
    pub fn due(&mut self, fallen: Vec<Fallen>, longest: u32) -> Vec<Fallen> {
        let down: BTreeSet<&UnitId> = fallen.iter().map(|one| &one.unit).collect();
        self.tries.retain(|unit, tried| tried.rest > 0 || down.contains(unit));
        let rested: Vec<Fallen> = fallen.into_iter().filter(|one| self.rested(&one.unit)).collect();
        for tried in self.tries.values_mut() {
            tried.rest = tried.rest.saturating_sub(1);
        }
        let names: BTreeSet<UnitId> = rested.iter().map(|one| one.unit.clone()).collect();
        let due = rested.into_iter().filter(|one| one.needs.is_disjoint(&names));
        let due: Vec<Fallen> = due.collect();
        for one in &due {
            let tried = self.tries.entry(one.unit.clone()).or_insert(Try { count: 0, rest: 0 });
            tried.count = tried.count.saturating_add(1);
            tried.rest = 2u32.saturating_pow(tried.count).min(longest.max(1));
        }
        due
    }

    fn rested(&self, unit: &UnitId) -> bool {
        self.tries.get(unit).is_none_or(|tried| tried.rest == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    fn down(units: &[(&str, &[&str])]) -> Vec<Fallen> {
        let id = |text: &str| text.parse::<UnitId>().unwrap();
        let one = |(unit, needs): &(&str, &[&str])| Fallen {
            unit: id(unit),
            digest: Digest::of(b"one"),
            needs: needs.iter().map(|need| id(need)).collect(),
        };
        units.iter().map(one).collect()
    }

    fn names(due: &[Fallen]) -> Vec<String> {
        due.iter().map(|one| one.unit.to_string()).collect()
    }

    #[test]
    fn a_unit_that_keeps_falling_is_started_ever_more_rarely() {
        let mut upkeep = Upkeep::default();
        let looks = (0..60).filter(|_| {
            let due = upkeep.due(down(&[("a/service.x", &[])]), 10);
            !due.is_empty()
        });
        assert_eq!(looks.collect::<Vec<_>>(), [0, 3, 8, 17, 28, 39, 50]);
    }

    #[test]
    fn a_unit_that_stayed_up_for_its_rest_is_forgiven() {
        let mut upkeep = Upkeep::default();
        let mut look = |fell: bool| {
            let fallen = if fell { down(&[("a/service.x", &[])]) } else { Vec::new() };
            !upkeep.due(fallen, 10).is_empty()
        };
        assert!(look(true));
        assert!(!look(true) && !look(true) && look(true), "2 looks of rest");
        assert_eq!([(); 5].map(|()| look(false)), [false; 5]);
        assert!(look(true), "it was up for its 4 looks");
        assert!(!look(true) && !look(true) && look(true), "and begins anew");
    }

    #[test]
    fn what_others_need_comes_up_before_them_but_never_keeps_them_down() {
        let mut upkeep = Upkeep::default();
        let both: &[(&str, &[&str])] =
            &[("a/service.db", &[]), ("b/service.web", &["a/service.db"])];
        assert_eq!(names(&upkeep.due(down(both), 10)), ["a/service.db"]);
        assert_eq!(names(&upkeep.due(down(both), 10)), ["b/service.web"], "it does not come up");
    }
}
