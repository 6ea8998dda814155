//! Scores of many nodes at once, by position: the same numbers in the same order of operations as node by node, once
//! for all nodes that are alike.

use smallvec::SmallVec;

use super::Range;
use super::counts::SoftSpread;
use crate::cache::{Cache, Domain, PodMove, Slot};
use crate::float::{DomainWeight, SpreadScore};
use crate::plugins::topology_counts::{Alike, Kind};

/// No label.
const NONE: i64 = -1;

/// The constraints that nodes are rated by.
#[derive(Debug)]
pub(super) struct Rating {
    spread: SoftSpread,
    alike: Alike,
    /// Room for one round of scores.
    seen: Vec<bool>,
    seen_places: Vec<bool>,
    by_kind: Vec<i64>,
}

impl Rating {
    pub(super) fn of(cluster: &Cache, spread: SoftSpread) -> Rating {
        Rating {
            alike: Alike::new(cluster.order().iter().map(|slot| kind_of(&spread, *slot))),
            spread,
            seen: Vec::new(),
            seen_places: Vec::new(),
            by_kind: Vec::new(),
        }
    }

    pub(super) fn follow(&mut self, cluster: &Cache, moves: &[PodMove]) {
        self.spread.follow(moves);
        for moved in moves {
            if let Some(at) = cluster.position(moved.slot) {
                self.alike.set(at, kind_of(&self.spread, moved.slot));
            }
        }
    }

    /// Kinds of the feasible nodes that are rated.
    fn rated(&self) -> impl Iterator<Item = (usize, &Kind)> {
        self.alike.kinds_in(&self.seen).filter(|(_, kind)| is_rated(kind))
    }

    /// What matching pods weigh when these positions are feasible, by constraint.
    fn weights(&mut self, feasible: &[u32]) -> SmallVec<[DomainWeight; 4]> {
        let rated = match self.alike.kinds_in(&self.seen).all(|(_, kind)| is_rated(kind)) {
            true => feasible.len(),
            false => feasible.iter().filter(|at| is_rated(self.alike.kind(**at as usize))).count(),
        };
        let mut places = std::mem::take(&mut self.seen_places);
        let mut size = |i| {
            if self.spread.is_per_node(i) {
                return rated;
            }
            places.clear();
            places.resize(self.spread.topology(i).bound() + 1, false);
            for (_, kind) in self.rated() {
                let domain = (kind[i] != NONE).then_some(kind[i] as Domain);
                places[self.spread.place(i, domain)] = true;
            }
            places.iter().filter(|seen| **seen).count()
        };
        let weights = (0..self.spread.constraints().len()).map(|i| DomainWeight::among(size(i))).collect();
        self.seen_places = places;
        weights
    }

    /// Raw score of the nodes of a kind.
    fn score(&self, weights: &[DomainWeight], kind: &Kind) -> i64 {
        let mut score = SpreadScore::default();
        for (i, (constraint, weight)) in self.spread.constraints().iter().zip(weights).enumerate() {
            let pods = match kind[i] {
                NONE => continue,
                own if self.spread.is_per_node(i) => own,
                domain => self.spread.counts(i).get(domain as Domain),
            };
            score.add(SpreadScore::of(pods, constraint.max_skew, *weight));
        }
        score.rounded()
    }

    /// Adds normalised scores times `weight`.
    pub(super) fn add_to(&mut self, totals: &mut [i64], feasible: &[u32], weight: i64) {
        self.alike.see(feasible, &mut self.seen);
        let weights = self.weights(feasible);
        let mut by_kind = std::mem::take(&mut self.by_kind);
        by_kind.clear();
        by_kind.resize(self.seen.len(), 0);
        let mut range = Range::default();
        for (id, kind) in self.rated() {
            by_kind[id] = self.score(&weights, kind);
            range.include(by_kind[id]);
        }
        for (id, _) in self.rated() {
            by_kind[id] = range.normalized(by_kind[id]) * weight;
        }
        self.alike.add_to(totals, feasible, &by_kind);
        self.by_kind = by_kind;
    }
}

/// The kind of a node: by constraint its domain, or its own matching pods where domains are single nodes. All that are
/// not rated are of one, with nothing in it.
fn kind_of(spread: &SoftSpread, slot: Slot) -> Kind {
    if !spread.rates(slot) {
        return Kind::new();
    }
    let part = |i| match spread.topology(i).at(slot) {
        None => NONE,
        Some(_) if spread.is_per_node(i) => spread.pods_on(i, slot),
        Some(domain) => i64::from(domain),
    };
    (0..spread.constraints().len()).map(part).collect()
}

fn is_rated(kind: &Kind) -> bool {
    !kind.is_empty()
}
