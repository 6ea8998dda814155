//! Unschedulable and gated pods, by who refused them: what an event can help is found without looking at the others.

use std::collections::BTreeMap;

use sim_core::api::meta::Uid;
use sim_core::time::Time;

use super::QueuedPod;
use crate::framework::Rejectors;

/// Why pods wait. All pods with the same one are asked for alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Refusal {
    /// Index of the profile.
    pub(super) profile: usize,
    /// The plugin that keeps them out of the queue, if one does.
    pub(super) gate: Option<usize>,
    pub(super) unschedulable: Rejectors,
    pub(super) pending: Rejectors,
}

impl Refusal {
    pub(super) fn of(pod: &QueuedPod) -> Refusal {
        Refusal {
            profile: pod.profile,
            gate: pod.gate.as_ref().map(|gate| gate.plugin),
            unschedulable: pod.unschedulable_plugins,
            pending: pod.pending_plugins,
        }
    }

    /// All who refused.
    pub(super) fn rejectors(&self) -> Rejectors {
        self.unschedulable.union(self.pending)
    }
}

/// Pods by class.
type Classes = BTreeMap<u64, Vec<Uid>>;

/// The waiting pods.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    refusals: BTreeMap<Refusal, Classes>,
    /// Unschedulable pods by the time since which they wait, and gated ones.
    since: [BTreeMap<(Time, u64), Uid>; 2],
}

impl Waiting {
    /// Adds a pod, and says at which place of its list.
    pub(super) fn insert(&mut self, pod: &QueuedPod, order: u64) -> u32 {
        let uid = pod.object.meta.uid;
        let refusal = Refusal::of(pod);
        self.since[usize::from(refusal.gate.is_some())].insert((pod.timestamp, order), uid);
        let list = self.refusals.entry(refusal).or_default().entry(pod.info.class).or_default();
        list.push(uid);
        list.len() as u32 - 1
    }

    /// Removes a pod that is as it was when it was added. Another one may take its place in the list, and is returned.
    pub(super) fn remove(&mut self, pod: &QueuedPod, order: u64, place: u32) -> Option<Uid> {
        let refusal = Refusal::of(pod);
        self.since[usize::from(refusal.gate.is_some())].remove(&(pod.timestamp, order));
        let classes = self.refusals.get_mut(&refusal)?;
        let list = classes.get_mut(&pod.info.class)?;
        list.swap_remove(place as usize);
        let moved = list.get(place as usize).copied();
        if list.is_empty() {
            classes.remove(&pod.info.class);
            if classes.is_empty() {
                self.refusals.remove(&refusal);
            }
        }
        moved
    }

    /// Why pods wait, with the pods by class.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (&Refusal, &Classes)> {
        self.refusals.iter()
    }

    /// Numbers of unschedulable and of gated pods.
    pub(super) fn lengths(&self) -> [usize; 2] {
        [self.since[0].len(), self.since[1].len()]
    }

    /// Unschedulable pods, or gated ones, with the time since which they wait, longest first.
    pub(super) fn since(&self, gated: bool) -> impl Iterator<Item = (Time, Uid)> {
        self.since[usize::from(gated)].iter().map(|((since, _), uid)| (*since, *uid))
    }
}
