//! The same for the fast way through a cycle: sums that follow pods, and answers by position.

use std::sync::Arc;

use sim_core::api::kind::Kind;

use super::counts::{AffinityCounts, Family, Purpose, Table};
use super::{Affinities, Hard, InterPodAffinity};
use crate::cache::{Cache, Domain, PodMove, Slot};
use crate::float::percent_between;
use crate::framework::{Attempt, Columns, Plugin, Status};
use crate::mask::Mask;
use crate::plugins::topology_counts::{self, Alike, Tabled};

/// What is kept for one class.
#[derive(Debug)]
pub struct AffinityColumns {
    hard: Hard,
    soft: Option<AffinityCounts>,
    /// Domains of the tables for the filter, by position.
    domains: Vec<Vec<Domain>>,
    /// What nodes have in common for the score, and by how many tables.
    alike: Alike,
    tables: usize,
    /// Of the namespaces that were looked at.
    generation: u64,
    /// Room for scores.
    seen: Vec<bool>,
    sums: Vec<i64>,
    normalized: Tabled,
}

/// No label.
const NONE: Domain = Domain::MAX;

impl AffinityColumns {
    /// Makes sure that all tables are known by position.
    fn complete(&mut self, cluster: &Cache) {
        let order = cluster.order();
        for table in self.hard.counts.tables().iter().skip(self.domains.len()) {
            self.domains.push(order.iter().map(|slot| table.topology.at(*slot).unwrap_or(NONE)).collect());
        }
        let Some(soft) = &self.soft else { return };
        if self.tables != soft.tables().len() {
            self.tables = soft.tables().len();
            self.alike = Alike::new(order.iter().map(|slot| kind_of(soft.tables(), *slot)));
        }
    }
}

/// The kind of a node: the sum over its domains that it has for itself, and by table the others. So there are few kinds
/// where every node is a domain, too.
fn kind_of(tables: &[Table], slot: Slot) -> topology_counts::Kind {
    let mut kind = topology_counts::Kind::from_elem(0, 1);
    for Table { topology, counts, .. } in tables {
        let domain = topology.at(slot).unwrap_or(NONE);
        let is_single = topology.is_single(domain);
        if is_single {
            kind[0] += counts.get(domain);
        }
        kind.push(i64::from(if is_single { NONE } else { domain }));
    }
    kind
}

/// The sum of the weights for and against nodes of a kind.
fn sum_of(tables: &[Table], kind: &topology_counts::Kind) -> i64 {
    let shared = tables.iter().zip(&kind[1..]);
    kind[0] + shared.map(|(table, domain)| table.counts.get(*domain as Domain)).sum::<i64>()
}

impl Columns for InterPodAffinity {
    type Kept = AffinityColumns;

    fn keep(&self, attempt: &Attempt<'_>) -> Option<AffinityColumns> {
        let Attempt { pod, cluster, .. } = attempt;
        if pod.affinity.as_ref().is_some_and(|terms| terms.error.is_some()) {
            return None;
        }
        let purpose = Purpose::Score(self.args.hard_pod_affinity_weight);
        let mut kept = AffinityColumns {
            hard: Hard::of(attempt),
            soft: self.scores(pod).then(|| AffinityCounts::of(cluster, pod, purpose)),
            domains: Vec::new(),
            alike: Alike::default(),
            tables: 0,
            generation: cluster.objects().generation(Kind::NAMESPACE),
            seen: Vec::new(),
            sums: Vec::new(),
            normalized: Tabled::default(),
        };
        kept.complete(cluster);
        Some(kept)
    }

    fn is_stale(&self, kept: &AffinityColumns, attempt: &Attempt<'_>) -> bool {
        kept.generation != attempt.cluster.objects().generation(Kind::NAMESPACE)
    }

    fn is_idle(&self, kept: &AffinityColumns) -> bool {
        kept.hard.has_no_say() && !kept.soft.as_ref().is_some_and(AffinityCounts::is_anything_said)
    }

    fn state(&self, kept: &AffinityColumns, _: &Attempt<'_>) -> Option<Affinities> {
        let has_say = !kept.hard.has_no_say();
        has_say.then(|| Affinities { hard: Some(kept.hard.clone()), soft: None })
    }

    fn follow(&self, kept: &mut AffinityColumns, attempt: &Attempt<'_>, moves: &[PodMove]) {
        Arc::make_mut(&mut kept.hard.counts).follow(attempt.cluster, moves);
        if let Some(soft) = &mut kept.soft {
            soft.follow(attempt.cluster, moves);
            for moved in moves {
                if let Some(at) = attempt.cluster.position(moved.slot) {
                    kept.alike.set(at, kind_of(soft.tables(), moved.slot));
                }
            }
        }
        kept.complete(attempt.cluster);
    }

    fn filter(&self, kept: &mut AffinityColumns, _: &Attempt<'_>, mask: &mut Mask) -> bool {
        let hard = &kept.hard;
        if hard.has_no_say() {
            return false;
        }
        let is_first = hard.is_first();
        for (Table { family, counts, .. }, domains) in hard.counts.tables().iter().zip(&kept.domains) {
            match family {
                Family::Affinity => {
                    mask.retain(|at| domains[at] != NONE && (is_first || counts.get(domains[at]) > 0));
                }
                // There is no count where there is no label.
                _ if counts.nonzero() > 0 => mask.retain(|at| counts.get(domains[at]) <= 0),
                _ => {}
            }
        }
        true
    }

    fn refusal(&self, kept: &AffinityColumns, attempt: &Attempt<'_>, at: usize) -> Option<Status> {
        let node = attempt.cluster.node(*attempt.cluster.order().get(at)?);
        kept.hard.verdict(node).into_status(Self::NAME)
    }

    fn score(
        &self,
        kept: &mut AffinityColumns,
        _: &Attempt<'_>,
        feasible: &[u32],
        weight: i64,
        totals: &mut [i64],
    ) -> bool {
        let AffinityColumns { soft: Some(soft), alike, seen, sums, normalized, .. } = kept else {
            return false;
        };
        if !soft.is_anything_said() {
            return false;
        }
        alike.see(feasible, seen);
        sums.clear();
        sums.extend(alike.kinds().iter().map(|kind| sum_of(soft.tables(), kind)));
        let there = || sums.iter().zip(&*seen).filter(|(_, seen)| **seen).map(|(sum, _)| *sum);
        let (lowest, highest) = (there().min().unwrap_or(0), there().max().unwrap_or(0));
        normalized.apply(sums, |sum| percent_between(lowest, highest, sum) * weight);
        alike.add_to(totals, feasible, sums);
        true
    }
}
