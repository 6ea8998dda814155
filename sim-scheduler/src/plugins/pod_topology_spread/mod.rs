//! `PodTopologySpread`: spreads pods that belong together over topology domains
//! (`pkg/scheduler/framework/plugins/podtopologyspread`).

mod columns;
mod constraints;
mod counts;
mod hints;
mod rating;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use smallvec::SmallVec;

use super::topology_counts::Overlay;
use crate::cache::{Domain, Slot};
use crate::config::args::{PodTopologySpreadArgs, PodTopologySpreadConstraintsDefaulting};
use crate::float::DomainWeight;
use crate::framework::{
    Attempt, Filter, Fits, Normalize, NormalizeScore, Plugin, PreFilter, PreFilterExtensions, PreFiltered,
    PreScore, Rejected, Score, Status, Unresolvable, Verdict,
};
use crate::node::{NodeInfo, NodePod};
use crate::pod::PodInfo;

pub use columns::SpreadColumns;
use constraints::{Action, Constraint};
use counts::{HardSpread, SoftSpread};

/// The plugin.
#[derive(Clone, Debug)]
pub struct PodTopologySpread {
    defaults: Vec<TopologySpreadConstraint>,
    system_defaulted: bool,
}

impl PodTopologySpread {
    /// The plugin with arguments.
    pub fn new(args: PodTopologySpreadArgs) -> PodTopologySpread {
        let system_defaulted = args.defaulting_type == PodTopologySpreadConstraintsDefaulting::System;
        let defaults =
            if system_defaulted { constraints::system_defaults() } else { args.default_constraints };
        PodTopologySpread { defaults, system_defaulted }
    }
}

/// What the filter needs.
#[derive(Clone, Debug)]
struct Hard {
    counts: Arc<HardSpread>,
    /// By constraint: what is different while pods are added or removed hypothetically.
    overlays: SmallVec<[Overlay; 2]>,
    /// By constraint: the pod itself would count.
    self_match: SmallVec<[bool; 4]>,
}

/// What the score needs.
#[derive(Clone, Debug)]
struct Soft {
    counts: Arc<SoftSpread>,
    weights: SmallVec<[DomainWeight; 4]>,
    /// Feasible nodes that are not rated, in their order.
    ignored: Vec<bool>,
}

/// State of one cycle.
#[derive(Clone, Debug, Default)]
pub struct Spreading {
    hard: Option<Hard>,
    soft: Option<Soft>,
}

impl Plugin for PodTopologySpread {
    const NAME: &'static str = "PodTopologySpread";
    type Cycle = Spreading;

    fn pre_filter(&self, _: &PodInfo) -> Spreading {
        Spreading::default()
    }
}

impl PreFilter for PodTopologySpread {
    fn check(&self, cycle: &mut Spreading, attempt: &Attempt<'_>) -> PreFiltered {
        let Attempt { pod, cluster, .. } = attempt;
        let constraints = match self.constraints(pod, Action::DoNotSchedule, cluster.objects()) {
            Ok(constraints) if constraints.is_empty() => return PreFiltered::Skip,
            Ok(constraints) => constraints,
            Err(error) => {
                return PreFiltered::Refused(Status::error(format!("get constraints from pod: {error}")));
            }
        };
        cycle.hard = Some(Hard::of(attempt, constraints));
        PreFiltered::Proceed
    }
}

impl Hard {
    fn of(attempt: &Attempt<'_>, constraints: Vec<Constraint>) -> Hard {
        let Attempt { pod, cluster, .. } = attempt;
        Hard {
            overlays: SmallVec::from_elem(Overlay::default(), constraints.len()),
            self_match: constraints.iter().map(|c| c.selector.matches(&pod.labels)).collect(),
            counts: Arc::new(HardSpread::of(cluster, pod, constraints, true)),
        }
    }

    /// `updateWithPod`. Unlike when counting, terminating pods and selectors of everything make no difference.
    fn change(&mut self, namespace: &str, changed: &NodePod, node: &NodeInfo, delta: i64) {
        let counts = &self.counts;
        let domains = (0..self.overlays.len()).map(|i| counts.topology(i).of(node));
        let domains: Option<SmallVec<[Domain; 2]>> = domains.collect();
        let Some(domains) = domains.filter(|_| changed.info.namespace == namespace) else { return };
        for (i, domain) in domains.into_iter().enumerate() {
            if counts.constraints()[i].selector.matches(&changed.info.labels) && counts.includes(i, node) {
                self.overlays[i].add(domain, delta);
            }
        }
    }

    /// The most matching pods that a domain may have for the pod to be let in.
    fn most(&self, constraint: usize) -> i64 {
        let Constraint { min_domains, max_skew, .. } = self.counts.constraints()[constraint];
        let lowest = match self.counts.counts(constraint).lowest(&self.overlays[constraint]) {
            (domains, _) if (domains as i64) < i64::from(min_domains) => 0,
            (_, lowest) => lowest.unwrap_or(i64::from(i32::MAX)),
        };
        i64::from(max_skew) + lowest - i64::from(self.self_match[constraint])
    }

    fn verdict(&self, node: &NodeInfo) -> Verdict {
        for (i, overlay) in self.overlays.iter().enumerate() {
            let Some(domain) = self.counts.topology(i).of(node) else {
                return Unresolvable(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                );
            };
            if self.counts.counts(i).get(domain) + overlay.get(domain) > self.most(i) {
                return Rejected("node(s) didn't match pod topology spread constraints");
            }
        }
        Fits
    }
}

impl PreFilterExtensions for PodTopologySpread {
    fn add_pod(&self, cycle: &mut Spreading, attempt: &Attempt<'_>, added: &NodePod, node: &NodeInfo) {
        if let Some(hard) = &mut cycle.hard {
            hard.change(&attempt.pod.namespace, added, node, 1);
        }
    }

    fn remove_pod(&self, cycle: &mut Spreading, attempt: &Attempt<'_>, removed: &NodePod, node: &NodeInfo) {
        if let Some(hard) = &mut cycle.hard {
            hard.change(&attempt.pod.namespace, removed, node, -1);
        }
    }
}

impl Filter for PodTopologySpread {
    fn filter(&self, cycle: &Spreading, _: &PodInfo, node: &NodeInfo) -> Verdict {
        cycle.hard.as_ref().map_or(Fits, |hard| hard.verdict(node))
    }
}

impl PreScore for PodTopologySpread {
    fn pre_score(&self, cycle: &mut Spreading, attempt: &Attempt<'_>, feasible: &[Slot]) -> Status {
        let Attempt { pod, cluster, .. } = attempt;
        let constraints = match self.constraints(pod, Action::ScheduleAnyway, cluster.objects()) {
            Ok(constraints) if constraints.is_empty() => return Status::skip(),
            Ok(constraints) => constraints,
            Err(error) => return Status::error(format!("calculating preScoreState: {error}")),
        };
        let counts = SoftSpread::of(cluster, pod, constraints, self.requires_all_topologies(pod));
        cycle.soft = Some(Soft {
            weights: counts.weights(feasible),
            ignored: feasible.iter().map(|slot| !counts.rates(*slot)).collect(),
            counts: Arc::new(counts),
        });
        Status::success()
    }
}

impl Score for PodTopologySpread {
    const NORMALIZE: Normalize = Normalize::Custom;

    fn score(&self, cycle: &Spreading, _: &PodInfo, node: &NodeInfo) -> i64 {
        match (&cycle.soft, node.slot) {
            (Some(soft), Some(slot)) => soft.counts.score(&soft.weights, slot),
            _ => 0,
        }
    }
}

impl NormalizeScore for PodTopologySpread {
    fn normalize(&self, cycle: &Spreading, _: &PodInfo, scores: &mut [i64]) -> Status {
        if let Some(soft) = &cycle.soft {
            normalize(scores, |i| soft.ignored.get(i).copied().unwrap_or(false));
        }
        Status::success()
    }
}

/// Turns the raw scores of all feasible nodes around: the lowest gets 100, those that are not rated 0.
fn normalize(scores: &mut [i64], is_ignored: impl Fn(usize) -> bool) {
    let mut range = Range::default();
    for (i, score) in scores.iter_mut().enumerate() {
        match is_ignored(i) {
            true => *score = NOT_RATED,
            false => range.include(*score),
        }
    }
    for score in scores {
        *score = range.normalized(*score);
    }
}

/// Upstream's mark. A maxSkew of 0, which the API server refuses, would give it to rated nodes, too.
const NOT_RATED: i64 = -1;

/// The raw scores that there are.
#[derive(Clone, Copy, Debug)]
struct Range {
    lowest: i64,
    highest: i64,
}

impl Default for Range {
    fn default() -> Range {
        Range { lowest: i64::MAX, highest: 0 }
    }
}

impl Range {
    fn include(&mut self, score: i64) {
        self.lowest = self.lowest.min(score);
        self.highest = self.highest.max(score);
    }

    fn normalized(self, score: i64) -> i64 {
        match (score, self.highest) {
            (NOT_RATED, _) => 0,
            (_, 0) => 100,
            (score, highest) => {
                highest.wrapping_add(self.lowest).wrapping_sub(score).wrapping_mul(100).wrapping_div(highest)
            }
        }
    }
}
