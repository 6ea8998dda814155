//! Queued pods, and the names of queues and of what brings pods there.

use std::sync::Arc;

use sim_core::api::object::Object;
use sim_core::time::Time;
use smol_str::{SmolStr, format_smolstr};

use super::QueueContext;
use crate::framework::{ClusterEvent, Point, Rejectors, SortKey, Status};
use crate::pod::PodInfo;

/// A PreEnqueue plugin that keeps a pod out, and what it said.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Number of the plugin in its profile.
    pub plugin: usize,
    /// What it said.
    pub status: Status,
}

/// A pod in the queue, or on its way through a cycle.
#[derive(Clone, Debug)]
pub struct QueuedPod {
    /// As last seen.
    pub object: Arc<Object>,
    /// Its class.
    pub info: Arc<PodInfo>,
    /// Index of its profile.
    pub profile: usize,
    /// When it entered the queue, or last failed.
    pub timestamp: Time,
    /// When it was first ready to be tried.
    pub initial_attempt: Option<Time>,
    /// When its present cycle began.
    pub cycle_started: Time,
    /// Attempts so far.
    pub attempts: u32,
    /// Plugins that refused it in its last attempt, or keep it out.
    pub unschedulable_plugins: Rejectors,
    /// Plugins that wait for something outside for it.
    pub pending_plugins: Rejectors,
    /// Refusals so far.
    pub unschedulable_count: u32,
    /// Errors since the last refusal.
    pub consecutive_errors: u32,
    /// Set while a PreEnqueue plugin keeps the pod out.
    pub gate: Option<Box<Gate>>,
    /// End of its back-off, once somebody asked.
    pub backoff_expiration: Option<Time>,
    pub(super) key: SortKey,
    /// Order of arrival, which decides what nothing else does.
    pub(super) order: u64,
    pub(super) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Nowhere,
    Active,
    Backoff,
    ErrorBackoff,
    /// Its place in the list of its class.
    Waiting(u32),
}

impl QueuedPod {
    pub(super) fn new(
        profile: usize,
        object: Arc<Object>,
        info: Arc<PodInfo>,
        now: Time,
        order: u64,
    ) -> QueuedPod {
        QueuedPod {
            object,
            info,
            profile,
            timestamp: now,
            initial_attempt: None,
            cycle_started: now,
            attempts: 0,
            unschedulable_plugins: Rejectors::default(),
            pending_plugins: Rejectors::default(),
            unschedulable_count: 0,
            consecutive_errors: 0,
            gate: None,
            backoff_expiration: None,
            key: SortKey { rank: 0, time: now, group: SmolStr::default() },
            order,
            place: Place::Nowhere,
        }
    }

    pub(super) fn queue(&self) -> QueueName {
        match self.place {
            Place::Active | Place::Nowhere => QueueName::Active,
            Place::Backoff | Place::ErrorBackoff => QueueName::Backoff,
            Place::Waiting(_) if self.gate.is_some() => QueueName::Gated,
            Place::Waiting(_) => QueueName::Unschedulable,
        }
    }
}

/// Where a pod waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QueueName {
    /// Next to be tried.
    Active,
    /// Backing off.
    Backoff,
    /// Waiting for an event.
    Unschedulable,
    /// Kept out by a PreEnqueue plugin.
    Gated,
}

impl QueueName {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            QueueName::Active => "active",
            QueueName::Backoff => "backoff",
            QueueName::Unschedulable => "unschedulable",
            QueueName::Gated => "gated",
        }
    }
}

/// Numbers of pods by queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingPods {
    /// Next to be tried.
    pub active: usize,
    /// Backing off, after a refusal or an error.
    pub backoff: usize,
    /// Waiting for an event.
    pub unschedulable: usize,
    /// Kept out by a PreEnqueue plugin.
    pub gated: usize,
}

/// What brings a pod to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Something happened in the cluster.
    Event(ClusterEvent),
    /// It waited too long.
    UnschedulableTimeout,
    /// A plugin wants it to be tried.
    ForceActivate,
    /// An attempt failed.
    ScheduleAttemptFailure,
    /// Its back-off ended.
    BackoffComplete,
    /// No other pod is to be tried.
    PopFromBackoffQ,
}

impl Cause {
    /// As an event. What is none in upstream's eyes is the one that forces pods out.
    pub const fn event(self) -> ClusterEvent {
        match self {
            Cause::Event(event) => event,
            _ => ClusterEvent::WILD_CARD,
        }
    }

    /// Its name in metrics.
    pub fn label(self) -> SmolStr {
        match self {
            Cause::Event(event) => event.label(),
            other => format_smolstr!("{other:?}"),
        }
    }
}

pub(super) fn sort_key(with: QueueContext<'_>, pod: &QueuedPod) -> SortKey {
    let profile = &with.profiles[pod.profile];
    let sorter = profile.at(Point::QueueSort)[0];
    profile.plugin(sorter).queue_key(pod, with.surroundings.objects)
}

/// Asks the PreEnqueue plugins, first the one that keeps the pod out, until one says no.
pub(super) fn pre_enqueue(with: QueueContext<'_>, pod: &mut QueuedPod) {
    let profile = &with.profiles[pod.profile];
    let first = pod.gate.as_ref().map(|gate| gate.plugin);
    let others = profile.at(Point::PreEnqueue).iter().copied().filter(|i| Some(*i) != first);
    for i in first.into_iter().chain(others) {
        let plugin = profile.plugin(i);
        if let Some(status) = plugin.pre_enqueue(&pod.object, with.surroundings).into_status(plugin.name()) {
            pod.unschedulable_plugins.insert(i);
            pod.gate = Some(Box::new(Gate { plugin: i, status }));
            return;
        }
    }
    pod.gate = None;
}
