//! `InterPodAffinity`: pods that want to be near others, or far from them
//! (`pkg/scheduler/framework/plugins/interpodaffinity`).

mod columns;
mod counts;
mod hints;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use smallvec::SmallVec;

use super::topology_counts::{DomainCounts, Overlay};
use crate::affinity_terms::{AffinityTerm, AffinityTerms};
use crate::cache::{Domain, Objects, Slot};
use crate::config::args::InterPodAffinityArgs;
use crate::float::percent_between;
use crate::framework::{
    Attempt, Code, Filter, Fits, Normalize, NormalizeScore, Plugin, PreFilter, PreFilterExtensions,
    PreFiltered, PreScore, Rejected, Score, Status, Unresolvable, Verdict,
};
use crate::node::{NodeInfo, NodePod};
use crate::pod::PodInfo;

pub use columns::AffinityColumns;
use counts::{AffinityCounts, Family, Purpose, Table};

/// The plugin.
#[derive(Clone, Debug)]
pub struct InterPodAffinity {
    args: InterPodAffinityArgs,
}

impl InterPodAffinity {
    /// The plugin with arguments.
    pub fn new(args: InterPodAffinityArgs) -> InterPodAffinity {
        InterPodAffinity { args }
    }

    /// True if existing pods have a say in the score of a pod.
    fn scores(&self, pod: &PodInfo) -> bool {
        let own =
            |terms: &Arc<AffinityTerms>| !terms.preferred.is_empty() || !terms.preferred_anti.is_empty();
        !self.args.ignore_preferred_terms_of_existing_pods || pod.affinity.as_ref().is_some_and(own)
    }
}

/// What the filter needs.
#[derive(Clone, Debug)]
struct Hard {
    counts: Arc<AffinityCounts>,
    /// By table: what is different while pods are added or removed hypothetically.
    overlays: SmallVec<[Overlay; 4]>,
    /// Tables of such pods alone.
    further: Vec<Table>,
    /// The pod's required affinity selects the pod itself.
    self_match: bool,
}

/// State of one cycle.
#[derive(Clone, Debug, Default)]
pub struct Affinities {
    hard: Option<Hard>,
    soft: Option<Arc<AffinityCounts>>,
}

impl Plugin for InterPodAffinity {
    const NAME: &'static str = "InterPodAffinity";
    type Cycle = Affinities;

    fn pre_filter(&self, _: &PodInfo) -> Affinities {
        Affinities::default()
    }
}

impl PreFilter for InterPodAffinity {
    fn check(&self, cycle: &mut Affinities, attempt: &Attempt<'_>) -> PreFiltered {
        if let Some(error) = attempt.pod.affinity.as_ref().and_then(|terms| terms.error.as_ref()) {
            let text = format!("parsing pod: {error}");
            return PreFiltered::Refused(Status::new(Code::UnschedulableAndUnresolvable, text));
        }
        let hard = Hard::of(attempt);
        if hard.has_no_say() {
            return PreFiltered::Skip;
        }
        cycle.hard = Some(hard);
        PreFiltered::Proceed
    }
}

impl Hard {
    fn of(attempt: &Attempt<'_>) -> Hard {
        let Attempt { pod, cluster, .. } = attempt;
        let counts = AffinityCounts::of(cluster, pod, Purpose::Filter);
        let selects_itself = |term: &AffinityTerm| term.selects(pod, cluster.objects());
        Hard {
            overlays: SmallVec::from_elem(Overlay::default(), counts.tables().len()),
            further: Vec::new(),
            self_match: AffinityTerms::all_select(&counts.incoming().terms.required, selects_itself),
            counts: Arc::new(counts),
        }
    }

    /// True if the pod has no required terms, and no existing one has any against it.
    fn has_no_say(&self) -> bool {
        let terms = &self.counts.incoming().terms;
        let against = |table: &Table| table.family == Family::ExistingAnti && table.counts.nonzero() > 0;
        terms.required.is_empty()
            && terms.required_anti.is_empty()
            && !self.counts.tables().iter().any(against)
    }

    /// `updateWithPod`.
    fn change(
        &mut self,
        objects: &Objects,
        changed: &PodInfo,
        attempt: &Attempt<'_>,
        node: &NodeInfo,
        sign: i64,
    ) {
        let (counts, overlays, further) = (&self.counts, &mut self.overlays, &mut self.further);
        counts.incoming().filter_effects(changed, objects, |effect| {
            let known =
                |table: &Table| table.family == effect.family && table.topology.key() == effect.topology_key;
            if let Some(i) = counts.tables().iter().position(known) {
                if let Some(domain) = counts.tables()[i].topology.of(node) {
                    // Tables may have come since for pods that came since.
                    overlays.resize_with(overlays.len().max(i + 1), Overlay::default);
                    overlays[i].add(domain, sign);
                }
                return;
            }
            let i = further.iter().position(known).unwrap_or_else(|| {
                let topology = attempt.cluster.topology(effect.topology_key);
                further.push(Table { family: effect.family, topology, counts: DomainCounts::default() });
                further.len() - 1
            });
            if let Some(domain) = further[i].topology.of(node) {
                further[i].counts.add(domain, sign);
            }
        });
    }

    /// Tables of a family, with a function that tells the number of a domain.
    fn tables(&self, family: Family) -> impl Iterator<Item = (&Table, impl Fn(Domain) -> i64)> {
        let overlays = self.overlays.iter().map(Some).chain(std::iter::repeat(None));
        let known = self.counts.tables().iter().zip(overlays);
        let all = known.chain(self.further.iter().map(|table| (table, None)));
        all.filter(move |(table, _)| table.family == family).map(|(table, overlay)| {
            let count = move |domain| table.counts.get(domain) + overlay.map_or(0, |o| o.get(domain));
            (table, count)
        })
    }

    /// True if a pod that is the first of those its affinity selects may be placed: nobody is selected but itself.
    fn is_first(&self) -> bool {
        let known = self.counts.tables().iter().zip(&self.overlays);
        let mut counted = known.filter(|(table, _)| table.family == Family::Affinity);
        self.self_match && counted.all(|(table, overlay)| overlay.nonzero(&table.counts) == 0)
    }

    /// `satisfyPodAffinity`. All of the pod's terms have tables.
    fn satisfies_affinity(&self, node: &NodeInfo) -> bool {
        let mut all = true;
        for (table, count) in self.tables(Family::Affinity) {
            let Some(domain) = table.topology.of(node) else { return false };
            all &= count(domain) > 0;
        }
        all || self.is_first()
    }

    /// `satisfyPodAntiAffinity` and `satisfyExistingPodsAntiAffinity`.
    fn is_free(&self, family: Family, node: &NodeInfo) -> bool {
        self.tables(family)
            .all(|(table, count)| table.topology.of(node).is_none_or(|domain| count(domain) <= 0))
    }

    fn verdict(&self, node: &NodeInfo) -> Verdict {
        if !self.satisfies_affinity(node) {
            return Unresolvable("node(s) didn't match pod affinity rules");
        }
        if !self.is_free(Family::Anti, node) {
            return Rejected("node(s) didn't match pod anti-affinity rules");
        }
        if !self.is_free(Family::ExistingAnti, node) {
            return Rejected("node(s) didn't satisfy existing pods anti-affinity rules");
        }
        Fits
    }
}

impl PreFilterExtensions for InterPodAffinity {
    fn add_pod(&self, cycle: &mut Affinities, attempt: &Attempt<'_>, added: &NodePod, node: &NodeInfo) {
        if let Some(hard) = &mut cycle.hard {
            hard.change(attempt.cluster.objects(), &added.info, attempt, node, 1);
        }
    }

    fn remove_pod(&self, cycle: &mut Affinities, attempt: &Attempt<'_>, removed: &NodePod, node: &NodeInfo) {
        if let Some(hard) = &mut cycle.hard {
            hard.change(attempt.cluster.objects(), &removed.info, attempt, node, -1);
        }
    }
}

impl Filter for InterPodAffinity {
    fn filter(&self, cycle: &Affinities, _: &PodInfo, node: &NodeInfo) -> Verdict {
        cycle.hard.as_ref().map_or(Fits, |hard| hard.verdict(node))
    }
}

impl PreScore for InterPodAffinity {
    fn pre_score(&self, cycle: &mut Affinities, attempt: &Attempt<'_>, _: &[Slot]) -> Status {
        let Attempt { pod, cluster, .. } = attempt;
        if !self.scores(pod) {
            return Status::skip();
        }
        if let Some(error) = pod.affinity.as_ref().and_then(|terms| terms.error.as_ref()) {
            return Status::error(format!("failed to parse pod: {error}"));
        }
        let counts = AffinityCounts::of(cluster, pod, Purpose::Score(self.args.hard_pod_affinity_weight));
        if !counts.is_anything_said() {
            return Status::skip();
        }
        cycle.soft = Some(Arc::new(counts));
        Status::success()
    }
}

impl Score for InterPodAffinity {
    const NORMALIZE: Normalize = Normalize::Custom;

    fn score(&self, cycle: &Affinities, _: &PodInfo, node: &NodeInfo) -> i64 {
        match (&cycle.soft, node.slot) {
            (Some(counts), Some(slot)) => counts.score(slot),
            _ => 0,
        }
    }
}

impl NormalizeScore for InterPodAffinity {
    fn normalize(&self, cycle: &Affinities, _: &PodInfo, scores: &mut [i64]) -> Status {
        if cycle.soft.is_some() {
            normalize(scores);
        }
        Status::success()
    }
}

/// Spreads the sums of all feasible nodes over 0 to 100; all the same is 0.
fn normalize(scores: &mut [i64]) {
    let lowest = scores.iter().copied().min().unwrap_or(0);
    let highest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        *score = percent_between(lowest, highest, *score);
    }
}
