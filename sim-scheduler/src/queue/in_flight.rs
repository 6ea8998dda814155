//! Pods on their way through a cycle, and what happened meanwhile (`active_queue.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;

use super::Cause;
use crate::framework::{ClusterEvent, EventChange};

/// Something that happened, with the object before and after.
#[derive(Clone, Debug)]
pub struct Happening {
    /// What.
    pub cause: Cause,
    /// The object before.
    pub old: Option<Arc<Object>>,
    /// The object after.
    pub new: Option<Arc<Object>>,
}

impl Happening {
    /// An event with its objects.
    pub fn new(event: ClusterEvent, old: Option<&Arc<Object>>, new: Option<&Arc<Object>>) -> Happening {
        Happening { cause: Cause::Event(event), old: old.cloned(), new: new.cloned() }
    }

    /// For hints.
    pub fn change(&self) -> EventChange<'_> {
        EventChange { event: self.cause.event(), old: self.old.as_deref(), new: self.new.as_deref() }
    }
}

/// A line of the list of what is in flight.
#[derive(Clone, Debug)]
pub enum InFlightEntry {
    /// A pod was taken from the queue.
    Pod(Arc<Object>),
    /// Something happened since.
    Event(Happening),
}

/// Pods in flight and events, in the order they came. An event is kept while a pod is in flight that came before it.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight {
    list: BTreeMap<u64, InFlightEntry>,
    pods: FxHashMap<Uid, u64>,
    next: u64,
}

impl InFlight {
    fn push(&mut self, entry: InFlightEntry) -> u64 {
        self.next += 1;
        self.list.insert(self.next, entry);
        self.next
    }

    /// A pod was taken from the queue. False if it is in flight already.
    pub(super) fn start(&mut self, pod: &Arc<Object>) -> bool {
        if self.pods.contains_key(&pod.meta.uid) {
            return false;
        }
        let at = self.push(InFlightEntry::Pod(pod.clone()));
        self.pods.insert(pod.meta.uid, at);
        true
    }

    /// The pod came back, or cannot be refused any more.
    pub(super) fn done(&mut self, uid: Uid) {
        let Some(at) = self.pods.remove(&uid) else { return };
        self.list.remove(&at);
        while let Some(first) = self.list.first_entry()
            && matches!(first.get(), InFlightEntry::Event(_))
        {
            first.remove();
        }
    }

    /// True while the pod is in flight.
    pub(super) fn has(&self, uid: Uid) -> bool {
        self.pods.contains_key(&uid)
    }

    /// True if no pod is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// Remembers an event, if any pod is in flight.
    pub(super) fn record(&mut self, happening: &Happening) {
        if !self.is_empty() {
            self.push(InFlightEntry::Event(happening.clone()));
        }
    }

    /// What happened since a pod was taken; `None` if it is not in flight.
    pub(super) fn since(&self, uid: Uid) -> Option<impl Iterator<Item = &Happening>> {
        let start = *self.pods.get(&uid)?;
        Some(self.list.range(start..).filter_map(|(_, entry)| match entry {
            InFlightEntry::Event(happening) => Some(happening),
            InFlightEntry::Pod(_) => None,
        }))
    }

    /// Everything, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &InFlightEntry> {
        self.list.values()
    }
}
