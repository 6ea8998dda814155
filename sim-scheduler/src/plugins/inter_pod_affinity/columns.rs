//! The same for the fast way through a cycle: sums that follow pods, and answers by position.

use std::sync::Arc;

use sim_core::api::kind::Kind;

use super::counts::{AffinityCounts, Family, Purpose};
use super::{Affinities, Hard, InterPodAffinity, normalize};
use crate::cache::PodMove;
use crate::framework::{Attempt, Columns, Plugin, Status};
use crate::mask::Mask;

/// What is kept for one class.
#[derive(Debug)]
pub struct AffinityColumns {
    hard: Hard,
    soft: Option<AffinityCounts>,
    /// Of the namespaces that were looked at.
    generation: u64,
    /// Room for scores.
    raw: Vec<i64>,
}

impl Columns for InterPodAffinity {
    type Kept = AffinityColumns;

    fn keep(&self, attempt: &Attempt<'_>) -> Option<AffinityColumns> {
        let Attempt { pod, cluster, .. } = attempt;
        if pod.affinity.as_ref().is_some_and(|terms| terms.error.is_some()) {
            return None;
        }
        let purpose = Purpose::Score(self.args.hard_pod_affinity_weight);
        Some(AffinityColumns {
            hard: Hard::of(attempt),
            soft: self.scores(pod).then(|| AffinityCounts::of(cluster, pod, purpose)),
            generation: cluster.objects().generation(Kind::NAMESPACE),
            raw: Vec::new(),
        })
    }

    fn is_stale(&self, kept: &AffinityColumns, attempt: &Attempt<'_>) -> bool {
        kept.generation != attempt.cluster.objects().generation(Kind::NAMESPACE)
    }

    fn is_idle(&self, kept: &AffinityColumns) -> bool {
        kept.hard.has_no_say() && !kept.soft.as_ref().is_some_and(AffinityCounts::is_anything_said)
    }

    fn state(&self, kept: &AffinityColumns) -> Option<Affinities> {
        let has_say = !kept.hard.has_no_say();
        has_say.then(|| Affinities { hard: Some(kept.hard.clone()), soft: None })
    }

    fn follow(&self, kept: &mut AffinityColumns, attempt: &Attempt<'_>, moves: &[PodMove]) {
        Arc::make_mut(&mut kept.hard.counts).follow(attempt.cluster, moves);
        if let Some(soft) = &mut kept.soft {
            soft.follow(attempt.cluster, moves);
        }
    }

    fn filter(&self, kept: &mut AffinityColumns, attempt: &Attempt<'_>, mask: &mut Mask) -> bool {
        let hard = &kept.hard;
        if hard.has_no_say() {
            return false;
        }
        let order = attempt.cluster.order();
        let is_first = hard.is_first();
        for table in hard.counts.tables() {
            let domain = |at: usize| table.topology.at(order[at]);
            match table.family {
                Family::Affinity => {
                    mask.retain(|at| domain(at).is_some_and(|d| is_first || table.counts.get(d) > 0));
                }
                _ if table.counts.nonzero() > 0 => {
                    mask.retain(|at| domain(at).is_none_or(|d| table.counts.get(d) <= 0));
                }
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
        attempt: &Attempt<'_>,
        feasible: &[u32],
        weight: i64,
        totals: &mut [i64],
    ) -> bool {
        let AffinityColumns { soft: Some(soft), raw, .. } = kept else { return false };
        if !soft.is_anything_said() {
            return false;
        }
        let order = attempt.cluster.order();
        raw.clear();
        raw.extend(feasible.iter().map(|at| soft.score(order[*at as usize])));
        normalize(raw);
        for (total, score) in totals.iter_mut().zip(raw) {
            *total += *score * weight;
        }
        true
    }
}
