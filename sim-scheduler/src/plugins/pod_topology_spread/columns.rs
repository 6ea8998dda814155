//! The same for the fast way through a cycle: counts that follow pods, and answers by position.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sim_core::api::kind::Kind;
use sim_core::api::meta::Labels;
use sim_core::selectors::Selector;

use super::constraints::Action;
use super::counts::SoftSpread;
use super::rating::Rating;
use super::{Hard, PodTopologySpread, Spreading};
use crate::cache::{Domain, Objects, PodMove, Slot};
use crate::framework::{Attempt, Columns, Plugin, Status};
use crate::mask::Mask;
use crate::plugins::default_selector::{default_selector, service_labels};
use crate::pod::PodInfo;

/// No label.
const NONE: Domain = Domain::MAX;

/// What is kept for one class.
#[derive(Debug)]
pub struct SpreadColumns {
    hard: Option<Hard>,
    /// Domains by constraint and position.
    domains: Vec<Vec<Domain>>,
    soft: Option<Rating>,
    defaults: Option<Defaults>,
}

/// What default constraints followed from.
#[derive(Debug)]
struct Defaults {
    service_labels: Labels,
    selector: Selector,
    /// Generations of Services and of what manages pods, when the above was last found to be as it is. A lost write
    /// would only cost another look.
    services: AtomicU64,
    owners: AtomicU64,
}

impl Defaults {
    fn of(pod: &PodInfo, objects: &Objects) -> Defaults {
        let service_labels = service_labels(pod, objects);
        let (services, owners) = generations(objects);
        Defaults {
            selector: default_selector(pod, service_labels.clone(), objects),
            service_labels,
            services: AtomicU64::new(services),
            owners: AtomicU64::new(owners),
        }
    }

    /// True if the same follows from the objects of now. Every change of a status is a change, so this is asked often.
    fn hold(&self, pod: &PodInfo, objects: &Objects) -> bool {
        let (services, owners) = generations(objects);
        if self.services.load(Ordering::Relaxed) != services {
            if service_labels(pod, objects) != self.service_labels {
                return false;
            }
            self.services.store(services, Ordering::Relaxed);
        }
        if self.owners.load(Ordering::Relaxed) != owners {
            if default_selector(pod, self.service_labels.clone(), objects) != self.selector {
                return false;
            }
            self.owners.store(owners, Ordering::Relaxed);
        }
        true
    }
}

/// Generations of Services, and of what manages pods.
fn generations(objects: &Objects) -> (u64, u64) {
    let owners = [Kind::REPLICATION_CONTROLLER, Kind::REPLICA_SET, Kind::STATEFUL_SET];
    (objects.generation(Kind::SERVICE), owners.into_iter().map(|kind| objects.generation(kind)).sum())
}

impl Columns for PodTopologySpread {
    type Kept = SpreadColumns;

    fn keep(&self, attempt: &Attempt<'_>) -> Option<SpreadColumns> {
        let Attempt { pod, cluster, .. } = attempt;
        let constraints = |action| self.constraints(pod, action, cluster.objects()).ok();
        let (hard, soft) = (constraints(Action::DoNotSchedule)?, constraints(Action::ScheduleAnyway)?);
        let hard = (!hard.is_empty()).then(|| Hard::of(attempt, hard));
        let domains = |hard: &Hard| {
            let of = |i| {
                let at = |slot: &Slot| hard.counts.topology(i).at(*slot).unwrap_or(NONE);
                cluster.order().iter().map(at).collect()
            };
            (0..hard.counts.constraints().len()).map(of).collect()
        };
        Some(SpreadColumns {
            domains: hard.as_ref().map(domains).unwrap_or_default(),
            hard,
            soft: (!soft.is_empty()).then(|| {
                let require_all = self.requires_all_topologies(pod);
                Rating::of(cluster, SoftSpread::of(cluster, pod, soft, require_all))
            }),
            defaults: self.has_defaults(pod).then(|| Defaults::of(pod, cluster.objects())),
        })
    }

    fn is_stale(&self, kept: &SpreadColumns, attempt: &Attempt<'_>) -> bool {
        let objects = attempt.cluster.objects();
        kept.defaults.as_ref().is_some_and(|defaults| !defaults.hold(attempt.pod, objects))
    }

    fn is_idle(&self, kept: &SpreadColumns) -> bool {
        kept.hard.is_none() && kept.soft.is_none()
    }

    fn state(&self, kept: &SpreadColumns, _: &Attempt<'_>) -> Option<Spreading> {
        kept.hard.clone().map(|hard| Spreading { hard: Some(hard), soft: None })
    }

    fn follow(&self, kept: &mut SpreadColumns, attempt: &Attempt<'_>, moves: &[PodMove]) {
        if let Some(hard) = &mut kept.hard {
            Arc::make_mut(&mut hard.counts).follow(moves);
        }
        if let Some(soft) = &mut kept.soft {
            soft.follow(attempt.cluster, moves);
        }
    }

    fn filter(&self, kept: &mut SpreadColumns, _: &Attempt<'_>, mask: &mut Mask) -> bool {
        let Some(hard) = &kept.hard else { return false };
        for (i, domains) in kept.domains.iter().enumerate() {
            let (most, counts) = (hard.most(i), hard.counts.counts(i));
            mask.retain(|at| domains[at] != NONE && counts.get(domains[at]) <= most);
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
        _: &Attempt<'_>,
        feasible: &[u32],
        weight: i64,
        totals: &mut [i64],
    ) -> bool {
        let Some(soft) = &mut kept.soft else { return false };
        soft.add_to(totals, feasible, weight);
        true
    }
}
