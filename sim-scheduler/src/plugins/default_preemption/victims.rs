//! Which pods of one node would have to go (`SelectVictimsOnNode`).

use std::cmp::Reverse;
use std::sync::Arc;

use sim_core::api::kind::Kind;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::time::Time;
use smol_str::format_smolstr;

use super::budgets::Budgets;
use crate::cache::{Cache, Objects, Slot};
use crate::cycle::{CycleState, Nominator, filters_with_nominated_pods};
use crate::framework::{Attempt, Code, Handle, Profile, Status};
use crate::node::{NodeInfo, NodePod};

/// What a pod on a node costs the others there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Victims {
    /// The pods that have to go, most important first; at least one.
    pub(super) pods: Vec<Uid>,
    /// How many of them violate a PodDisruptionBudget.
    pub(super) pdb_violations: i64,
    /// Priority of the most important one.
    pub(super) top_priority: i32,
    /// Sum of the priorities, each counted from the lowest one that there is.
    pub(super) priority_sum: i64,
    /// When the first of those with the highest priority was started; `None` if none was.
    pub(super) earliest_start: Option<Time>,
}

impl Victims {
    /// Of pods with their priorities and starts; `None` without any. Extenders may give them in any order: the first one
    /// counts as the most important one all the same, except for the start.
    pub(super) fn of(pods: &[(Uid, i32, Option<Time>)], pdb_violations: i64) -> Option<Victims> {
        let (_, top_priority, _) = *pods.first()?;
        let highest = pods.iter().map(|(_, priority, _)| *priority).max();
        let top = pods.iter().filter(|(_, priority, _)| Some(*priority) == highest);
        Some(Victims {
            pods: pods.iter().map(|(uid, ..)| *uid).collect(),
            pdb_violations,
            top_priority,
            priority_sum: pods.iter().map(|(_, p, _)| i64::from(*p) - i64::from(i32::MIN)).sum(),
            earliest_start: top.filter_map(|(.., start)| *start).min(),
        })
    }
}

/// What is known about nodes for pods of one class.
#[derive(Default)]
pub(super) struct Known {
    budgets: Option<(u64, Arc<Budgets>)>,
    /// Mark of the promises that are known of.
    promises: u64,
    by_slot: Vec<Option<OfNode>>,
}

struct OfNode {
    generation: u64,
    start_times: u64,
    outcome: Outcome,
}

/// The victims of a node, or why there are none.
pub(super) type Outcome = Result<Arc<Victims>, Arc<Status>>;

impl Known {
    /// The budgets of now. If they changed, nothing else is known any more.
    pub(super) fn budgets(&mut self, objects: &Objects) -> Arc<Budgets> {
        let generation = objects.generation(Kind::POD_DISRUPTION_BUDGET);
        if let Some((known, budgets)) = &self.budgets
            && *known == generation
        {
            return budgets.clone();
        }
        self.by_slot.clear();
        let budgets = Arc::new(Budgets::of(objects));
        self.budgets = Some((generation, budgets.clone()));
        budgets
    }

    /// Forgets what was known about nodes that other pods were promised since, or are not promised any more.
    pub(super) fn hear_promises(&mut self, nominator: &Nominator, cluster: &Cache) {
        let (changes, mark) = nominator.changes_since(self.promises);
        self.promises = mark;
        let Some(changes) = changes else { return self.by_slot.clear() };
        for slot in changes.iter().filter_map(|node| cluster.slot(node)) {
            if let Some(place) = self.by_slot.get_mut(slot as usize) {
                *place = None;
            }
        }
    }

    /// What is known about a node that the pod itself was not promised, or is found out now.
    pub(super) fn outcome(
        &mut self,
        slot: Slot,
        node: &NodeInfo,
        find: impl FnOnce() -> Outcome,
    ) -> &Outcome {
        let at = slot as usize;
        if self.by_slot.len() <= at {
            self.by_slot.resize_with(at + 1, || None);
        }
        let (generation, start_times) = (node.generation, node.start_times);
        let place = &mut self.by_slot[at];
        place.take_if(|known| (known.generation, known.start_times) != (generation, start_times));
        &place.get_or_insert_with(|| OfNode { generation, start_times, outcome: find() }).outcome
    }
}

/// Tries nodes without some of their pods. What it finds about a node depends on nothing else than this, the node, and
/// what other pods were promised it.
pub(super) struct DryRun<'a> {
    profile: &'a Profile,
    attempt: Attempt<'a>,
    state: &'a CycleState,
    nominator: &'a Nominator,
    budgets: Arc<Budgets>,
    /// False if the state is the same whatever pods are there.
    follows_pods: bool,
}

/// A pod of lower priority.
#[derive(Clone)]
struct Candidate<'a> {
    pod: NodePod,
    object: &'a Arc<Object>,
    start: Option<Time>,
}

/// A node without its less important pods, and the cycle's state to match.
struct Trial {
    node: NodeInfo,
    /// `None` while the state is as it was.
    state: Option<CycleState>,
}

impl<'a> DryRun<'a> {
    pub(super) fn new(handle: &Handle<'a>, budgets: Arc<Budgets>) -> DryRun<'a> {
        DryRun {
            profile: handle.profile,
            attempt: handle.attempt,
            state: handle.state,
            nominator: handle.nominator,
            budgets,
            follows_pods: handle.state.follows_pods(handle.profile),
        }
    }

    /// The fewest and least important pods without which the pod fits on the node.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) fn victims(&self, node: &NodeInfo) -> Result<Victims, Status> {
        let mut candidates = self.candidates(node);
        if candidates.is_empty() {
            let text = "No preemption victims found for incoming pod";
            return Err(Status::new(Code::UnschedulableAndUnresolvable, text));
        }
        let mut trial = Trial { node: node.clone(), state: self.follows_pods.then(|| self.state.clone()) };
        for candidate in &candidates {
            self.remove(&mut trial, &candidate.pod);
        }
        if let Some(status) = self.filters(&trial) {
            return Err(status);
        }
        self.sort(&mut candidates);
        let violations = self.budgets.violations(candidates.iter().map(|candidate| &**candidate.object));
        let with_violation = violations.iter().filter(|violated| **violated).count();
        // Those whose eviction violates a budget are the first that may stay.
        let mut victims: Vec<Candidate<'_>> = Vec::new();
        let mut pdb_violations = 0;
        for group in [true, false] {
            for (candidate, _) in candidates.iter().zip(&violations).filter(|(_, v)| **v == group) {
                self.add(&mut trial, &candidate.pod);
                if self.filters(&trial).is_some() {
                    self.remove(&mut trial, &candidate.pod);
                    victims.push(candidate.clone());
                    pdb_violations += i64::from(group);
                }
            }
        }
        if (1..candidates.len()).contains(&with_violation) {
            self.sort(&mut victims);
        }
        let pods = victims.iter().map(|v| (v.pod.uid, v.pod.info.priority, v.start));
        Victims::of(&pods.collect::<Vec<_>>(), pdb_violations).ok_or_else(|| {
            Status::error(format_smolstr!("expected at least one victim pod on node {:?}", node.name))
        })
    }

    /// Pods that may be preempted for the pod, in the order of the node.
    fn candidates(&self, node: &NodeInfo) -> Vec<Candidate<'a>> {
        let lower = node.pods.iter().filter(|pod| pod.info.priority < self.attempt.pod.priority);
        lower
            .filter_map(|pod| {
                let object = self.attempt.cluster.pod_object(pod.uid)?;
                Some(Candidate { pod: pod.clone(), object, start: object.as_pod()?.status.start_time })
            })
            .collect()
    }

    fn filters(&self, trial: &Trial) -> Option<Status> {
        let state = trial.state.as_ref().unwrap_or(self.state);
        filters_with_nominated_pods(self.profile, state, &self.attempt, self.nominator, &trial.node)
    }

    fn remove(&self, trial: &mut Trial, pod: &NodePod) {
        trial.node.remove_pod(pod.uid);
        if let Some(state) = &mut trial.state {
            state.remove_pod(self.profile, &self.attempt, pod, &trial.node);
        }
    }

    fn add(&self, trial: &mut Trial, pod: &NodePod) {
        trial.node.add_pod(pod.uid, pod.info.clone());
        if let Some(state) = &mut trial.state {
            state.add_pod(self.profile, &self.attempt, pod, &trial.node);
        }
    }

    /// Most important first (`MoreImportantPod`): higher priority, then earlier start. Pods that have not started
    /// count as started now. Upstream reads the clock once for each of two such pods, which makes whichever it looks at
    /// first the older one, and turns their order around.
    // DIFFERS: from 13 pods on, upstream's sort is not stable, and the order of equally important pods any.
    fn sort(&self, pods: &mut Vec<Candidate<'_>>) {
        let now = self.attempt.now;
        let count = pods.len();
        let mut ranked: Vec<_> = std::mem::take(pods).into_iter().enumerate().collect();
        ranked.sort_by_key(|(at, candidate)| {
            let (waits, place) = match candidate.start {
                Some(_) => (false, *at),
                None => (true, count - at),
            };
            (Reverse(candidate.pod.info.priority), candidate.start.unwrap_or(now), waits, place)
        });
        pods.extend(ranked.into_iter().map(|(_, candidate)| candidate));
    }
}
