//! Dependencies to waves: what comes before what, who takes turns, and what goes last.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Rollback, Unit, Warning};

use super::Inputs;
use super::changes::{Change, Found, position};
use super::cover::members;
use super::graph::{Tie, Web};
use super::guards::warning;

/// Changes in order.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Indices of changes, wave by wave; removed units within a replace step are not among them.
    pub waves: Vec<Vec<usize>>,
    /// The wave of every change; a removed unit within a replace step has that step's.
    pub wave_of: Vec<usize>,
    /// What could not be held.
    pub warnings: Vec<Warning>,
}

/// How late a change goes: each tier begins when the one before is good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    /// As soon as what it needs is good.
    #[default]
    Soon,
    /// What can't be put back, and all that needs it: nothing else is left that could fail.
    Never,
    /// Stops of what is no longer wanted.
    Removal,
    /// What the controller itself runs in.
    Controller,
}

/// Puts all changes into waves.
pub fn waves(found: &Found, inputs: &Inputs) -> Order {
    let changes = &found.changes;
    if changes.is_empty() {
        return Order::default();
    }
    let mut plot = Plot::new(changes, inputs);
    plot.needs();
    plot.stops();
    let rank = plot.break_needs();
    plot.groups();
    plot.places(found);
    let groups = plot.turns.clone();
    let last = &plot.last;
    let by_rank = |group: usize| {
        let mut members = groups.get(group).cloned().unwrap_or_default();
        members.sort_by_key(|&member| {
            (last.contains(&member), is_removed(changes, member), rank.get(member), member)
        });
        members
    };
    let dropped = plot.web.settle(by_rank);
    plot.tell(&dropped);
    plot.levels()
}

/// A number for each change such that what is needed has a lower one than what needs it.
pub fn dependency_rank(changes: &[Change]) -> Vec<usize> {
    let mut web = Web::new(changes.len());
    for (index, need) in needs(changes) {
        web.tie(need, index, Tie::Needs);
    }
    web.settle(|_| Vec::new());
    ranks(&web, changes.len())
}

fn ranks(web: &Web, count: usize) -> Vec<usize> {
    let mut rank = vec![0; count];
    for (place, node) in web.sorted().into_iter().enumerate() {
        if let Some(entry) = rank.get_mut(node) {
            *entry = place;
        }
    }
    rank
}

/// Every change with every other that it needs.
fn needs<'a>(changes: &'a [Change]) -> impl Iterator<Item = (usize, usize)> + 'a {
    changes.iter().enumerate().flat_map(move |(index, change)| {
        let wanted = change.new.iter().flat_map(|unit| &unit.depends_on);
        let found = wanted.filter_map(move |need| position(changes, need));
        let wanted = found.filter(|need| !is_removed(changes, *need));
        wanted.map(move |need| (index, need))
    })
}

struct Plot<'a> {
    changes: &'a [Change<'a>],
    inputs: &'a Inputs<'a>,
    web: Web,
    /// Changes that hold the controller.
    last: BTreeSet<usize>,
    /// Members of groups that take turns, in the order of their groups.
    turns: Vec<Vec<usize>>,
    warnings: Vec<Warning>,
}

impl<'a> Plot<'a> {
    fn new(changes: &'a [Change<'a>], inputs: &'a Inputs<'a>) -> Self {
        let last =
            changes.iter().enumerate().filter(|(_, change)| holds_controller(change, inputs));
        Self {
            changes,
            inputs,
            web: Web::new(changes.len()),
            last: last.map(|(index, _)| index).collect(),
            turns: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The node of the graph that stands for a change: a removed unit within a replace step is that step.
    fn slot(&self, index: usize) -> usize {
        self.changes.get(index).and_then(|change| change.taker).unwrap_or(index)
    }

    /// Ties two changes, unless the first is the controller's, which nothing comes after.
    fn tie(&mut self, first: usize, then: usize, tie: Tie) -> bool {
        let (first, then) = (self.slot(first), self.slot(then));
        let free = !self.last.contains(&first) || first == then;
        if free {
            self.web.tie(first, then, tie);
        }
        free
    }

    fn needs(&mut self) {
        for (index, need) in needs(self.changes) {
            if !self.tie(need, index, Tie::Needs) {
                let message = format!(
                    "{} changes before {} although it needs it: what the controller runs in goes last",
                    self.name(index),
                    self.name(need)
                );
                self.warn("controller-last", message, index);
            }
        }
    }

    /// A removed unit with a step of its own stops after everything that needed it.
    fn stops(&mut self) {
        for (index, need) in self.old_needs() {
            if self.slot(need) == need {
                self.tie(index, need, Tie::Needs);
            }
        }
    }

    /// Every change with every removed unit that its old version needed.
    fn old_needs(&self) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for (index, change) in self.changes.iter().enumerate() {
            let needed = change.old.iter().flat_map(|unit| &unit.depends_on);
            let found = needed.filter_map(|need| position(self.changes, need));
            pairs.extend(found.filter(|n| is_removed(self.changes, *n)).map(|n| (index, n)));
        }
        pairs
    }

    /// Undoes circles among needs, which the check has refused, and ranks changes by what they need.
    fn break_needs(&mut self) -> Vec<usize> {
        let dropped = self.web.settle(|_| Vec::new());
        self.tell(&dropped);
        ranks(&self.web, self.changes.len())
    }

    /// Members of groups: one at a time, or some first.
    fn groups(&mut self) {
        for (sequence, serial) in self.memberships() {
            if serial {
                let group = self.turns.len();
                for (first, then) in sequence.iter().zip(sequence.iter().skip(1)) {
                    self.tie(*first, *then, Tie::Turn(group));
                }
                self.turns.push(sequence);
                continue;
            }
            let canary = self.inputs.policy.canary as usize;
            let (first, rest) = sequence.split_at(canary.min(sequence.len()));
            if first.is_empty() || rest.is_empty() {
                continue;
            }
            let barrier = self.web.barrier();
            for member in first {
                self.tie(*member, barrier, Tie::Canary);
            }
            for member in rest {
                self.tie(barrier, *member, Tie::Canary);
            }
        }
    }

    /// Changed members of every group in their order, removed ones last, and whether they take turns.
    ///
    /// A failover group always does; so does a pair of equals. Removed equals just go with the removals.
    fn memberships(&self) -> Vec<(Vec<usize>, bool)> {
        let wanted = members(self.inputs.release);
        let mut groups: BTreeMap<&str, (Vec<usize>, bool)> = BTreeMap::new();
        for (index, change) in self.changes.iter().enumerate() {
            let Some(membership) = unit_of(change).and_then(|unit| unit.membership.as_ref()) else {
                continue;
            };
            let few = wanted.get(membership.group.as_str()).is_some_and(|count| *count <= 2);
            let (members, serial) = groups.entry(&membership.group).or_default();
            *serial |= membership.failover || few;
            if membership.failover || !change.removed() {
                members.push(index);
            }
        }
        let key = |index: &usize| {
            let change = self.changes.get(*index);
            let membership = change.and_then(unit_of).and_then(|unit| unit.membership.as_ref());
            let removed = is_removed(self.changes, *index);
            (self.last.contains(index), removed, membership.map_or(0, |m| m.order), *index)
        };
        for (members, _) in groups.values_mut() {
            members.sort_by_key(key);
            for member in members.iter_mut() {
                *member = self.slot(*member);
            }
            members.dedup();
        }
        groups.into_values().collect()
    }

    /// Places are let go of before they are taken; what needed a replaced unit lets go of it first.
    fn places(&mut self, found: &Found) {
        for claim in &found.claims {
            if !self.tie(claim.holder, claim.taker, Tie::Claim) {
                self.tell_claim(claim.holder, claim.taker);
            }
        }
        for (index, need) in self.old_needs() {
            if self.slot(need) != need {
                self.tie(index, need, Tie::LetGo);
            }
        }
    }

    fn name(&self, index: usize) -> String {
        self.changes.get(index).map_or_else(String::new, |change| change.unit.to_string())
    }

    fn warn(&mut self, code: &str, message: String, index: usize) {
        let unit = self.changes.get(index).map(|change| change.unit);
        self.warnings.push(warning(code, message, unit));
    }

    fn tell_claim(&mut self, holder: usize, taker: usize) {
        let message = format!(
            "{} takes what {} lets go of, but can't wait for it: its activation may find it taken",
            self.name(taker),
            self.name(holder)
        );
        self.warn("order-claim", message, taker);
    }

    /// Tells of ties given up that people could feel.
    fn tell(&mut self, dropped: &[(usize, usize, Tie)]) {
        for (first, then, tie) in dropped {
            match tie {
                Tie::Claim => self.tell_claim(*first, *then),
                Tie::Needs if !is_removed(self.changes, *then) => {
                    let message = format!(
                        "{} needs {}, but they need each other in a circle: it does not wait",
                        self.name(*then),
                        self.name(*first)
                    );
                    self.warn("order-cycle", message, *then);
                }
                _ => {}
            }
        }
    }

    /// The tier that each node asks for by itself.
    fn own_tiers(&self, sorted: &[usize]) -> Vec<Tier> {
        let mut early = vec![false; sorted.len()];
        let mut tiers = vec![Tier::Soon; sorted.len()];
        for &node in sorted.iter().rev() {
            let removal = |n: usize| is_removed(self.changes, n);
            let needed = self.web.after(node).any(|next| {
                (!removal(next) && !self.last.contains(&next)) || early.get(next) == Some(&true)
            });
            if let Some(place) = early.get_mut(node) {
                *place = needed;
            }
            let change = self.changes.get(node);
            let never = change.and_then(|c| c.new).is_some_and(|u| u.rollback == Rollback::Never);
            let tier = match (self.last.contains(&node), removal(node) && !needed, never) {
                (true, _, _) => Tier::Controller,
                (_, true, _) => Tier::Removal,
                (_, _, true) => Tier::Never,
                _ => Tier::Soon,
            };
            if let Some(place) = tiers.get_mut(node) {
                *place = tier;
            }
        }
        tiers
    }

    /// Waves are levels: one more than the highest level of what comes before, tier by tier.
    fn levels(self) -> Order {
        let sorted = self.web.sorted();
        let mut tiers = self.own_tiers(&sorted);
        for &node in &sorted {
            let before = self.web.before(node).filter_map(|before| tiers.get(before)).max();
            let before = before.copied().unwrap_or_default();
            if let Some(place) = tiers.get_mut(node) {
                *place = before.max(*place);
            }
        }
        let mut level: Vec<usize> = vec![0; sorted.len()];
        let mut base = 0;
        for tier in [Tier::Soon, Tier::Never, Tier::Removal, Tier::Controller] {
            let mut top = base;
            let mut alone = base;
            for &node in sorted.iter().filter(|node| tiers.get(**node) == Some(&tier)) {
                let step = usize::from(!self.web.is_barrier(node));
                let before = self.web.before(node).filter_map(|before| level.get(before)).max();
                let mut own = before.map_or(base, |before| before + step).max(base);
                if tier == Tier::Controller {
                    own = own.max(alone);
                    alone = own + 1;
                }
                top = top.max(own + 1);
                if let Some(place) = level.get_mut(node) {
                    *place = own;
                }
            }
            base = top;
        }
        self.order(&level)
    }

    /// Collects levels that hold something.
    fn order(self, level: &[usize]) -> Order {
        let mut by_level: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, change) in self.changes.iter().enumerate() {
            if let (None, Some(level)) = (change.taker, level.get(index)) {
                by_level.entry(*level).or_default().push(index);
            }
        }
        let numbers: BTreeMap<usize, usize> =
            by_level.keys().enumerate().map(|(number, level)| (*level, number)).collect();
        let wave_of = (0..self.changes.len())
            .filter_map(|index| numbers.get(level.get(self.slot(index))?).copied())
            .collect();
        Order { waves: by_level.into_values().collect(), wave_of, warnings: self.warnings }
    }
}

/// The unit as it will be, or as it was when it goes.
fn unit_of<'a>(change: &Change<'a>) -> Option<&'a Unit> {
    change.new.or(change.old)
}

fn is_removed(changes: &[Change], index: usize) -> bool {
    changes.get(index).is_some_and(Change::removed)
}

/// Whether the controller itself runs in what changes.
pub fn holds_controller(change: &Change, inputs: &Inputs) -> bool {
    match inputs.controller {
        Some(id) => id == change.unit,
        None => unit_of(change)
            .and_then(|unit| unit.about.get("controller"))
            .is_some_and(|text| text == "yes"),
    }
}
