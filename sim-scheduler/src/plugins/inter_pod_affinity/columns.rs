//! The same for the fast way through a cycle: sums that follow pods, and answers by position.

use std::sync::Arc;

use sim_core::api::kind::Kind;

use super::counts::{AffinityCounts, Family, Purpose, Table};
use super::{Affinities, Hard, InterPodAffinity};
use crate::cache::{Cache, Domain, PodMove, Slot};
use crate::float::percent_between;
use crate::framework::{Attempt, Columns, Plugin, Status};
use crate::mask::Mask;
use crate::plugins::topology_counts::Tabled;

/// What is kept for one class.
#[derive(Debug)]
pub struct AffinityColumns {
    hard: Hard,
    soft: Option<AffinityCounts>,
    /// Domains by position of the tables of each.
    hard_domains: Vec<Vec<Domain>>,
    soft_domains: Vec<Vec<Domain>>,
    /// Of the namespaces that were looked at.
    generation: u64,
    /// Room for scores.
    sums: Vec<i64>,
    normalized: Tabled,
}

/// No label.
const NONE: Domain = Domain::MAX;

/// Makes sure that all tables have their domains by position.
fn complete(domains: &mut Vec<Vec<Domain>>, tables: &[Table], cluster: &Cache) {
    for table in tables.iter().skip(domains.len()) {
        let of = |slot: &Slot| table.topology.at(*slot).unwrap_or(NONE);
        domains.push(cluster.order().iter().map(of).collect());
    }
}

impl AffinityColumns {
    fn complete(&mut self, cluster: &Cache) {
        complete(&mut self.hard_domains, self.hard.counts.tables(), cluster);
        if let Some(soft) = &self.soft {
            complete(&mut self.soft_domains, soft.tables(), cluster);
        }
    }
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
            hard_domains: Vec::new(),
            soft_domains: Vec::new(),
            generation: cluster.objects().generation(Kind::NAMESPACE),
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
        }
        kept.complete(attempt.cluster);
    }

    fn filter(&self, kept: &mut AffinityColumns, _: &Attempt<'_>, mask: &mut Mask) -> bool {
        let hard = &kept.hard;
        if hard.has_no_say() {
            return false;
        }
        let is_first = hard.is_first();
        for (Table { family, counts, .. }, domains) in hard.counts.tables().iter().zip(&kept.hard_domains) {
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
        let AffinityColumns { soft: Some(soft), soft_domains, sums, normalized, .. } = kept else {
            return false;
        };
        if !soft.is_anything_said() {
            return false;
        }
        sums.clear();
        sums.resize(feasible.len(), 0);
        let tables = soft.tables().iter().zip(soft_domains);
        for (Table { counts, .. }, domains) in tables.filter(|(table, _)| table.counts.nonzero() > 0) {
            for (sum, at) in sums.iter_mut().zip(feasible) {
                *sum += counts.get(domains[*at as usize]);
            }
        }
        let lowest = sums.iter().copied().min().unwrap_or(0);
        let highest = sums.iter().copied().max().unwrap_or(0);
        normalized.add_to(totals, sums, |sum| percent_between(lowest, highest, sum) * weight);
        true
    }
}
