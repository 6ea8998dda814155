//! Scores of many nodes at once, by position: the same numbers in the same order of operations as node by node, each
//! looked up in a table of what is different between nodes at all.

use smallvec::SmallVec;

use super::counts::SoftSpread;
use super::{NOT_RATED, Range};
use crate::cache::{Cache, PodMove};
use crate::float::{DomainWeight, SpreadScore};
use crate::plugins::topology_counts::Tabled;

/// No label.
const NONE: u32 = u32::MAX;

/// The constraints that nodes are rated by.
#[derive(Debug)]
pub(super) struct Rating {
    spread: SoftSpread,
    by_constraint: Vec<Positions>,
    /// By position; empty if all nodes are rated.
    unrated: Vec<bool>,
    /// Room for one round of scores.
    sums: Vec<SpreadScore>,
    parts: Vec<SpreadScore>,
    raw: Vec<i64>,
    seen: Vec<bool>,
    normalized: Tabled,
}

/// Nodes under one constraint, by position.
#[derive(Debug)]
struct Positions {
    /// The domain, or the node's own matching pods where domains are single nodes; [`NONE`] without the label.
    index: Vec<u32>,
    /// Where it counts for the number of domains; empty where domains are single nodes.
    places: Vec<u32>,
    /// Places of all rated nodes.
    different: usize,
}

impl Rating {
    pub(super) fn of(cluster: &Cache, spread: SoftSpread) -> Rating {
        let order = cluster.order();
        let mut unrated: Vec<bool> = order.iter().map(|slot| !spread.rates(*slot)).collect();
        let constraints = 0..spread.constraints().len();
        let by_constraint = constraints.map(|i| Positions::of(cluster, &spread, i, &unrated)).collect();
        if !unrated.contains(&true) {
            unrated.clear();
        }
        Rating {
            spread,
            by_constraint,
            unrated,
            sums: Vec::new(),
            parts: Vec::new(),
            raw: Vec::new(),
            seen: Vec::new(),
            normalized: Tabled::default(),
        }
    }

    pub(super) fn follow(&mut self, cluster: &Cache, moves: &[PodMove]) {
        self.spread.follow(moves);
        for (i, positions) in
            self.by_constraint.iter_mut().enumerate().filter(|(i, _)| self.spread.is_per_node(*i))
        {
            for moved in moves {
                let index = cluster.position(moved.slot).and_then(|at| positions.index.get_mut(at));
                if let Some(index) = index.filter(|index| **index != NONE) {
                    *index = count(self.spread.pods_on(i, moved.slot));
                }
            }
        }
    }

    fn is_rated(&self, at: u32) -> bool {
        !self.unrated.get(at as usize).copied().unwrap_or(false)
    }

    /// What matching pods weigh when these positions are feasible, by constraint.
    fn weights(&mut self, feasible: &[u32]) -> SmallVec<[DomainWeight; 4]> {
        let rated = match self.unrated.is_empty() {
            true => feasible.len(),
            false => feasible.iter().filter(|at| self.is_rated(**at)).count(),
        };
        let mut weights = SmallVec::new();
        let mut seen = std::mem::take(&mut self.seen);
        for (i, positions) in self.by_constraint.iter().enumerate() {
            if self.spread.is_per_node(i) {
                weights.push(DomainWeight::among(rated));
                continue;
            }
            seen.clear();
            seen.resize(self.spread.topology(i).bound() + 1, false);
            let mut size = 0;
            for at in feasible.iter().filter(|at| self.is_rated(**at)) {
                // Usually all places turn up soon.
                if size == positions.different {
                    break;
                }
                let place = positions.places[*at as usize] as usize;
                size += usize::from(!std::mem::replace(&mut seen[place], true));
            }
            weights.push(DomainWeight::among(size));
        }
        self.seen = seen;
        weights
    }

    /// Adds normalised scores times `weight`.
    pub(super) fn add_to(&mut self, totals: &mut [i64], feasible: &[u32], weight: i64) {
        let weights = self.weights(feasible);
        self.sums.clear();
        self.sums.resize(feasible.len(), SpreadScore::default());
        for (i, (positions, weight)) in self.by_constraint.iter().zip(weights).enumerate() {
            let (constraint, counts) = (&self.spread.constraints()[i], self.spread.counts(i));
            let part = |pods| SpreadScore::of(pods, constraint.max_skew, weight);
            self.parts.clear();
            if self.spread.is_per_node(i) {
                let labelled = feasible.iter().map(|at| positions.index[*at as usize]).filter(|i| *i != NONE);
                let most = labelled.max().unwrap_or(0);
                self.parts.extend((0..=i64::from(most)).map(part));
            } else {
                let domains = self.spread.topology(i).bound() as u32;
                self.parts.extend((0..domains).map(|domain| part(counts.get(domain))));
            }
            for (sum, at) in self.sums.iter_mut().zip(feasible) {
                if let Some(part) = self.parts.get(positions.index[*at as usize] as usize) {
                    sum.add(*part);
                }
            }
        }
        let mut range = Range::default();
        self.raw.clear();
        if self.unrated.is_empty() {
            self.raw.extend(self.sums.iter().map(|sum| {
                let score = sum.rounded();
                range.include(score);
                score
            }));
        } else {
            for (sum, at) in self.sums.iter().zip(feasible) {
                let rated = self.is_rated(*at);
                self.raw.push(if rated { sum.rounded() } else { NOT_RATED });
                if rated {
                    range.include(sum.rounded());
                }
            }
        }
        self.normalized.add_to(totals, &self.raw, |score| range.normalized(score) * weight);
    }
}

impl Positions {
    fn of(cluster: &Cache, spread: &SoftSpread, constraint: usize, unrated: &[bool]) -> Positions {
        let order = cluster.order().iter().copied();
        if spread.is_per_node(constraint) {
            let own = |slot| {
                let labelled = spread.topology(constraint).at(slot).is_some();
                if labelled { count(spread.pods_on(constraint, slot)) } else { NONE }
            };
            return Positions { index: order.map(own).collect(), places: Vec::new(), different: 0 };
        }
        let places: Vec<u32> = order.clone().map(|slot| spread.place(constraint, slot) as u32).collect();
        let mut seen = vec![false; spread.topology(constraint).bound() + 1];
        for (place, _) in places.iter().zip(unrated).filter(|(_, unrated)| !**unrated) {
            seen[*place as usize] = true;
        }
        Positions {
            index: order.map(|slot| spread.topology(constraint).at(slot).unwrap_or(NONE)).collect(),
            places,
            different: seen.into_iter().filter(|seen| *seen).count(),
        }
    }
}

/// Matching pods of a node as an index. There are never as many that it would not fit.
fn count(pods: i64) -> u32 {
    u32::try_from(pods).unwrap_or(0).min(NONE - 1)
}
