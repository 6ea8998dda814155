//! `DefaultPreemption`: makes room for a pod by evicting less important ones
//! (`plugins/defaultpreemption`, `framework/preemption`).
//!
//! What a node would cost ([`victims`]) and which node is cheapest ([`ranking`]) are found out here; the scheduler
//! carries it out.

mod budgets;
mod ranking;
#[cfg(test)]
mod tests;
mod victims;

use std::cell::RefCell;
use std::sync::Arc;

use sim_core::api::object::Object;
use sim_core::api::pod_status::ConditionStatus;
use smol_str::{SmolStr, format_smolstr};

use crate::cache::{Objects, Slot};
use crate::config::args::DefaultPreemptionArgs;
use crate::extender::{Candidates, ExtenderCalls, ExtenderVictims, object_of};
use crate::framework::{
    ActionType, ClusterEvent, Code, Diagnosis, Effects, EventChange, EventResource, Fits, Handle, Hint,
    Plugin, PostFilter, PostFiltered, PreEnqueue, Preemption, QueueingHint, Status, Surroundings,
    Unresolvable, Verdict,
};
use crate::pod::PodInfo;
use victims::{DryRun, Known, Victims};

/// The plugin.
#[derive(Clone, Debug, Default)]
pub struct DefaultPreemption {
    args: DefaultPreemptionArgs,
}

/// What a search for victims found.
#[derive(Default)]
struct Search {
    candidates: Vec<(Slot, Arc<Victims>)>,
    /// What was said about nodes before a candidate was found. Only told if there is none.
    refused: Vec<(Slot, Arc<Status>)>,
    errors: Vec<SmolStr>,
}

impl DefaultPreemption {
    /// The plugin with arguments.
    pub fn new(args: DefaultPreemptionArgs) -> DefaultPreemption {
        DefaultPreemption { args }
    }

    /// How many candidates end the search among so many nodes (`calculateNumCandidates`).
    fn enough(&self, nodes: usize) -> usize {
        let absolute = usize::try_from(self.args.min_candidate_nodes_absolute).unwrap_or(0);
        let percentage = usize::try_from(self.args.min_candidate_nodes_percentage).unwrap_or(0);
        (nodes * percentage / 100).max(absolute).min(nodes)
    }

    /// Looks for victims on the nodes in question, from one of them on (`DryRunPreemption`).
    // DIFFERS: upstream looks at several nodes at once, from a random one on, in random order. Of many candidates it
    // may find others, and some more than enough.
    fn search(&self, handle: &Handle<'_>, nodes: &[Slot]) -> Search {
        let mut memory = handle.memory.map(RefCell::borrow_mut);
        let mut unremembered = Known::default();
        let known = memory.as_mut().map_or(&mut unremembered, |memory| memory.of::<Known>());
        known.hear_promises(handle.nominator, handle.attempt.cluster);
        let dry_run = DryRun::new(handle, known.budgets(handle.attempt.cluster.objects()));
        let enough = self.enough(nodes.len());
        let offset = handle.random as u32 as usize % nodes.len().max(1);
        let own = handle.nominator.node_of(handle.attempt.object.meta.uid);
        let (mut clean, mut violating) = (Vec::new(), Vec::new());
        let mut search = Search::default();
        for slot in nodes[offset..].iter().chain(&nodes[..offset]) {
            let node = handle.attempt.cluster.node(*slot);
            let find = || dry_run.victims(node).map(Arc::new).map_err(Arc::new);
            let asked_anew;
            let outcome = match own == Some(&node.name) {
                false => known.outcome(*slot, node, find),
                true => {
                    asked_anew = find();
                    &asked_anew
                }
            };
            match outcome {
                Ok(victims) if victims.pdb_violations == 0 => clean.push((*slot, victims.clone())),
                Ok(victims) if violating.len() < enough => violating.push((*slot, victims.clone())),
                Ok(_) => {}
                Err(status) => {
                    if status.code == Code::Error {
                        search.errors.push(SmolStr::new(status.message()));
                    }
                    if clean.is_empty() && violating.is_empty() {
                        search.refused.push((*slot, status.clone()));
                    }
                }
            }
            if !clean.is_empty() && clean.len() + violating.len() >= enough {
                break;
            }
        }
        search.candidates = clean;
        search.candidates.append(&mut violating);
        search
    }
}

/// Why a pod may not preempt others, if so (`PodEligibleToPreemptOthers`).
fn ineligible(handle: &Handle<'_>, diagnosis: &Diagnosis) -> Option<&'static str> {
    let attempt = &handle.attempt;
    let pod = attempt.object.as_pod()?;
    if pod.spec.preemption_policy.as_deref() == Some("Never") {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let slot = attempt.cluster.slot(&pod.status.nominated_node_name)?;
    if diagnosis.code_of(Some(slot)) == Code::UnschedulableAndUnresolvable {
        return None;
    }
    let mut lower =
        attempt.cluster.node(slot).pods.iter().filter(|other| other.info.priority < attempt.pod.priority);
    let terminating =
        lower.any(|other| attempt.cluster.pod_object(other.uid).is_some_and(|pod| is_being_preempted(pod)));
    terminating.then_some("not eligible due to a terminating pod on the nominated node.")
}

/// True for a pod that ends because the scheduler preempted it (`podTerminatingByPreemption`).
fn is_being_preempted(object: &Object) -> bool {
    let condition = object.as_pod().and_then(|pod| pod.status.condition("DisruptionTarget"));
    object.meta.is_deleting()
        && condition.is_some_and(|c| c.status == ConditionStatus::True && c.reason == "PreemptionByScheduler")
}

impl Plugin for DefaultPreemption {
    const NAME: &'static str = "DefaultPreemption";
    type Cycle = ();
    fn pre_filter(&self, _: &PodInfo) {}
}

impl PreEnqueue for DefaultPreemption {
    fn pre_enqueue(&self, pod: &Object, surroundings: Surroundings<'_>) -> Verdict {
        if surroundings.preempting.contains(&pod.meta.uid) {
            return Unresolvable("waiting for the preemption for this pod to be finished");
        }
        Fits
    }
}

impl QueueingHint for DefaultPreemption {
    /// Registered so that the gate is looked at again; the plugins that refused the pod say when it is worth while.
    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent { resource: EventResource::Pod, action: ActionType::DELETE }]
    }

    fn hint(&self, _: &PodInfo, _: &Object, _: &EventChange<'_>, _: &Objects) -> Hint {
        Hint::Skip
    }
}

impl PostFilter for DefaultPreemption {
    fn post_filter(
        &self,
        (): &(),
        handle: &Handle<'_>,
        diagnosis: &Diagnosis,
        effects: &mut Effects,
    ) -> PostFiltered {
        effects.preemption_attempts += 1;
        let mut outcome = self.preempt(handle, diagnosis, &mut effects.extender_calls);
        let message = outcome.status.message();
        if !message.is_empty() {
            outcome.status.reasons = vec![format_smolstr!("preemption: {message}")];
        }
        outcome
    }
}

impl DefaultPreemption {
    /// `Evaluator.Preempt`.
    fn preempt(&self, handle: &Handle<'_>, diagnosis: &Diagnosis, calls: &mut ExtenderCalls) -> PostFiltered {
        if let Some(reason) = ineligible(handle, diagnosis) {
            let status = Status::new(Code::Unschedulable, reason);
            return PostFiltered { status, ..PostFiltered::default() };
        }
        let cluster = handle.attempt.cluster;
        let nodes = diagnosis.nodes_with(Code::Unschedulable, cluster.order());
        let Search { candidates, refused, errors } = match nodes.is_empty() {
            true => Search::default(),
            false => self.search(handle, &nodes),
        };
        if candidates.is_empty() && !errors.is_empty() {
            return PostFiltered { status: Status::error(aggregate(&errors)), ..PostFiltered::default() };
        }
        if candidates.is_empty() {
            let text = "Preemption is not helpful for scheduling";
            let absent = Some(Status::new(Code::UnschedulableAndUnresolvable, text));
            let mut said = Diagnosis { absent, ..Diagnosis::default() };
            refused.iter().for_each(|(slot, status)| said.nodes.push_same(*slot, status));
            let status = Status::new(Code::Unschedulable, said.message(cluster.order().len()));
            return PostFiltered { status, nominated_node: Some(SmolStr::default()), preemption: None };
        }
        let candidates = match ask_extenders(handle, candidates, calls) {
            Ok(candidates) => candidates,
            Err(status) => return PostFiltered { status, ..PostFiltered::default() },
        };
        match chosen(handle, candidates) {
            Some(preemption) => PostFiltered {
                status: Status::success(),
                nominated_node: Some(preemption.node.clone()),
                preemption: Some(preemption),
            },
            None => PostFiltered {
                status: Status::new(Code::Unschedulable, "no candidate node for preemption"),
                ..PostFiltered::default()
            },
        }
    }
}

/// What extenders make of the candidates (`callExtenders`).
fn ask_extenders(
    handle: &Handle<'_>,
    candidates: Vec<(Slot, Arc<Victims>)>,
    calls: &mut ExtenderCalls,
) -> Result<Vec<(Slot, Arc<Victims>)>, Status> {
    let (attempt, cluster) = (&handle.attempt, handle.attempt.cluster);
    let Some(extenders) = handle.extenders.filter(|e| e.preempt_for(attempt.object)) else {
        return Ok(candidates);
    };
    let asked = candidates.iter().map(|(slot, victims)| {
        let node = cluster.node(*slot).name.clone();
        let pods = victims.pods.iter().filter_map(|uid| object_of(cluster, *uid, &node)).collect();
        (node, ExtenderVictims { pods, pdb_violations: victims.pdb_violations })
    });
    let answer = extenders.preempt(attempt, asked.collect::<Candidates>(), calls)?;
    let victims = |object: &Arc<Object>| {
        let pod = object.as_pod()?;
        Some((object.meta.uid, pod.spec.priority.unwrap_or(0), pod.status.start_time))
    };
    let candidate = |(node, answer): (SmolStr, ExtenderVictims)| {
        let pods = answer.pods.iter().filter_map(victims).collect::<Vec<_>>();
        Some((cluster.slot(&node)?, Arc::new(Victims::of(&pods, answer.pdb_violations)?)))
    };
    Ok(answer.into_iter().filter_map(candidate).collect())
}

/// One of the best candidates.
// DIFFERS: upstream takes the first in the random order of a map; here it is drawn from the best ones by name.
fn chosen(handle: &Handle<'_>, candidates: Vec<(Slot, Arc<Victims>)>) -> Option<Preemption> {
    let name = |slot: Slot| &handle.attempt.cluster.node(slot).name;
    let mut tied = ranking::best(&candidates);
    let draw = (handle.random >> 32) as usize;
    let drawn = draw.checked_rem(tied.len())?;
    let slot = *tied.select_nth_unstable_by_key(drawn, |slot| name(*slot)).1;
    if handle.explain {
        tied.sort_unstable_by_key(|slot| name(*slot));
    } else {
        tied.clear();
    }
    let (_, victims) = candidates.iter().find(|(candidate, _)| *candidate == slot)?;
    Some(Preemption {
        plugin: DefaultPreemption::NAME,
        node: name(slot).clone(),
        victims: victims.pods.clone(),
        tied: tied.into_iter().map(|slot| name(slot).clone()).collect(),
        candidates: candidates
            .iter()
            .filter(|_| handle.explain)
            .map(|(slot, victims)| {
                (
                    name(*slot).clone(),
                    victims.pods.clone(),
                    usize::try_from(victims.pdb_violations).unwrap_or(0),
                )
            })
            .collect(),
    })
}

/// Several errors as one text (`utilerrors.NewAggregate`): each is told once.
fn aggregate(errors: &[SmolStr]) -> SmolStr {
    let mut distinct: Vec<&str> = Vec::new();
    for error in errors {
        if !distinct.contains(&error.as_str()) {
            distinct.push(error);
        }
    }
    match distinct.as_slice() {
        [one] => SmolStr::new(one),
        many => format_smolstr!("[{}]", many.join(", ")),
    }
}
