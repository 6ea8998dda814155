//! The same for the fast way through a cycle: counts that follow pods, and answers by position.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sim_core::api::kind::Kind;

use super::constraints::{Action, Constraint};
use super::counts::SoftSpread;
use super::{Hard, PodTopologySpread, Spreading, normalize};
use crate::cache::{Objects, PodMove};
use crate::framework::{Attempt, Columns, Plugin, Status};
use crate::mask::Mask;

/// What is kept for one class.
#[derive(Debug)]
pub struct SpreadColumns {
    hard: Option<Hard>,
    soft: Option<SoftSpread>,
    /// Generation of the objects that the constraints were last seen to follow from. Only ever written with what the
    /// constraints were compared for, so that a lost write costs a comparison.
    generation: AtomicU64,
    /// Room for scores.
    raw: Vec<i64>,
    sums: Vec<f64>,
}

/// Normalised scores by raw score, of nodes that are all rated: a division per node is what costs otherwise.
struct Normal {
    lowest: i64,
    table: Vec<i64>,
}

impl Normal {
    /// `None` if the scores are too different for a table.
    fn of(raw: &[i64]) -> Option<Normal> {
        let (lowest, highest) = (*raw.iter().min()?, *raw.iter().max()?);
        let range = usize::try_from(highest.checked_sub(lowest)?).ok()?;
        if lowest < 0 || range > raw.len() {
            return None;
        }
        // Lowest and highest come along, so that they are those of all.
        let mut table: Vec<i64> = (lowest..=highest).collect();
        normalize(&mut table, |_| false);
        Some(Normal { lowest, table })
    }

    fn add_to(&self, totals: &mut [i64], raw: &[i64], weight: i64) {
        for (total, score) in totals.iter_mut().zip(raw) {
            *total += self.table[(score - self.lowest) as usize] * weight;
        }
    }
}

/// Rises whenever something changes that default selectors are made of.
fn generation(objects: &Objects) -> u64 {
    let kinds = [Kind::SERVICE, Kind::REPLICATION_CONTROLLER, Kind::REPLICA_SET, Kind::STATEFUL_SET];
    kinds.into_iter().map(|kind| objects.generation(kind)).sum()
}

impl Columns for PodTopologySpread {
    type Kept = SpreadColumns;

    fn keep(&self, attempt: &Attempt<'_>) -> Option<SpreadColumns> {
        let Attempt { pod, cluster, .. } = attempt;
        let constraints = |action| self.constraints(pod, action, cluster.objects()).ok();
        let (hard, soft) = (constraints(Action::DoNotSchedule)?, constraints(Action::ScheduleAnyway)?);
        Some(SpreadColumns {
            hard: (!hard.is_empty()).then(|| Hard::of(attempt, hard)),
            soft: (!soft.is_empty())
                .then(|| SoftSpread::of(cluster, pod, soft, self.requires_all_topologies(pod))),
            generation: AtomicU64::new(generation(cluster.objects())),
            raw: Vec::new(),
            sums: Vec::new(),
        })
    }

    fn is_stale(&self, kept: &SpreadColumns, attempt: &Attempt<'_>) -> bool {
        let objects = attempt.cluster.objects();
        let now = generation(objects);
        if kept.generation.load(Ordering::Relaxed) == now {
            return false;
        }
        let same = |action, known: Option<&[Constraint]>| {
            let constraints = self.constraints(attempt.pod, action, objects);
            constraints.is_ok_and(|constraints| constraints == known.unwrap_or(&[]))
        };
        let hard = kept.hard.as_ref().map(|hard| hard.counts.constraints());
        let soft = kept.soft.as_ref().map(SoftSpread::constraints);
        if same(Action::DoNotSchedule, hard) && same(Action::ScheduleAnyway, soft) {
            kept.generation.store(now, Ordering::Relaxed);
            return false;
        }
        true
    }

    fn is_idle(&self, kept: &SpreadColumns) -> bool {
        kept.hard.is_none() && kept.soft.is_none()
    }

    fn state(&self, kept: &SpreadColumns) -> Option<Spreading> {
        kept.hard.clone().map(|hard| Spreading { hard: Some(hard), soft: None })
    }

    fn follow(&self, kept: &mut SpreadColumns, _: &Attempt<'_>, moves: &[PodMove]) {
        if let Some(hard) = &mut kept.hard {
            Arc::make_mut(&mut hard.counts).follow(moves);
        }
        if let Some(soft) = &mut kept.soft {
            soft.follow(moves);
        }
    }

    fn filter(&self, kept: &mut SpreadColumns, attempt: &Attempt<'_>, mask: &mut Mask) -> bool {
        let Some(hard) = &kept.hard else { return false };
        let order = attempt.cluster.order();
        for i in 0..hard.counts.constraints().len() {
            let (most, topology, counts) = (hard.most(i), hard.counts.topology(i), hard.counts.counts(i));
            mask.retain(|at| topology.at(order[at]).is_some_and(|domain| counts.get(domain) <= most));
        }
        true
    }

    fn refusal(&self, kept: &SpreadColumns, attempt: &Attempt<'_>, at: usize) -> Option<Status> {
        let node = attempt.cluster.node(*attempt.cluster.order().get(at)?);
        kept.hard.as_ref()?.verdict(node).into_status(Self::NAME)
    }

    fn score(
        &self,
        kept: &mut SpreadColumns,
        attempt: &Attempt<'_>,
        feasible: &[u32],
        weight: i64,
        totals: &mut [i64],
    ) -> bool {
        let SpreadColumns { soft: Some(soft), raw, sums, .. } = kept else { return false };
        let order = attempt.cluster.order();
        let slots = feasible.iter().map(|at| order[*at as usize]);
        let weights = soft.weights(slots.clone());
        soft.scores(&weights, slots, sums, raw);
        match soft.rates_all().then(|| Normal::of(raw)).flatten() {
            Some(normal) => normal.add_to(totals, raw, weight),
            None => {
                normalize(raw, |i| feasible.get(i).is_some_and(|at| !soft.rates(order[*at as usize])));
                for (total, score) in totals.iter_mut().zip(raw) {
                    *total += *score * weight;
                }
            }
        }
        true
    }
}
