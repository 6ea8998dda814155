//! The scheduling queue (`pkg/scheduler/backend/queue`): pods that are next, pods that back off, pods that wait for
//! something to happen, and gated ones.
//!
//! What upstream does with queueing hints is done by kind of event here: an event wakes the pods whose rejecting
//! plugins registered for its kind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::time::{Span, Time, mins, secs};
use smol_str::SmolStr;

use crate::framework::{Point, Profile, SortKey, Status, Surroundings, Wake};
use crate::pod::PodInfo;

/// How long a pod stays unschedulable without any event before it is tried again.
const MAX_UNSCHEDULABLE: Span = mins(5);
/// How often upstream looks for such pods, counted from the start of the run.
const UNSCHEDULABLE_TICK: Span = secs(30);
/// Back-offs end in windows of this length.
const WINDOW: Span = secs(1);

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
    /// Attempts so far.
    pub attempts: u32,
    /// Plugins that refused it in its last attempt.
    pub unschedulable_plugins: BTreeSet<SmolStr>,
    /// Plugins that wait for something outside for it.
    pub pending_plugins: BTreeSet<SmolStr>,
    /// Refusals so far.
    pub unschedulable_count: u32,
    /// Errors since the last refusal.
    pub consecutive_errors: u32,
    /// What a PreEnqueue plugin said, while it keeps the pod out.
    pub gate: Option<Status>,
    backoff_expiration: Option<Time>,
    order: u64,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Active(SortKey),
    Backoff(Time, SortKey),
    ErrorBackoff(Time),
    Unschedulable,
}

/// What the queue asks plugins with.
#[derive(Clone, Copy)]
pub struct QueueContext<'a> {
    /// The profiles.
    pub profiles: &'a [Profile],
    /// What PreEnqueue plugins may look at.
    pub surroundings: Surroundings<'a>,
}

/// Where a pod waits, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// What an event means for a waiting pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    Skip,
    AfterBackoff,
    Immediately,
}

/// The queue.
#[derive(Clone, Debug)]
pub struct Queue {
    pods: FxHashMap<Uid, Box<QueuedPod>>,
    active: BTreeMap<(SortKey, u64), Uid>,
    backoff: BTreeMap<(Time, SortKey, u64), Uid>,
    error_backoff: BTreeMap<(Time, u64), Uid>,
    /// By order of arrival, which makes moves deterministic.
    unschedulable: BTreeMap<u64, Uid>,
    /// Those of them that are not gated, by the time since which they wait.
    waiting: BTreeMap<(Time, u64), Uid>,
    initial_backoff: Span,
    max_backoff: Span,
    next_order: u64,
}

impl Queue {
    /// An empty queue with the given back-offs (upstream: 1 s and 10 s).
    pub fn new(initial_backoff: Span, max_backoff: Span) -> Queue {
        Queue {
            pods: FxHashMap::default(),
            active: BTreeMap::new(),
            backoff: BTreeMap::new(),
            error_backoff: BTreeMap::new(),
            unschedulable: BTreeMap::new(),
            waiting: BTreeMap::new(),
            initial_backoff,
            max_backoff,
            next_order: 0,
        }
    }

    /// A queued pod.
    pub fn get(&self, uid: Uid) -> Option<&QueuedPod> {
        self.pods.get(&uid).map(|p| &**p)
    }

    /// Where a pod waits.
    pub fn place_of(&self, uid: Uid) -> Option<QueueName> {
        let pod = self.pods.get(&uid)?;
        Some(match pod.place {
            Place::Active(_) | Place::Nowhere => QueueName::Active,
            Place::Backoff(..) | Place::ErrorBackoff(_) => QueueName::Backoff,
            Place::Unschedulable if pod.gate.is_some() => QueueName::Gated,
            Place::Unschedulable => QueueName::Unschedulable,
        })
    }

    /// Number of pods in the active, back-off and unschedulable (with gated) queues.
    pub fn lengths(&self) -> (usize, usize, usize) {
        (self.active.len(), self.backoff.len() + self.error_backoff.len(), self.unschedulable.len())
    }

    /// A new pod.
    pub fn add(
        &mut self,
        with: QueueContext<'_>,
        profile: usize,
        object: Arc<Object>,
        info: Arc<PodInfo>,
        now: Time,
    ) {
        self.next_order += 1;
        let pod = Box::new(QueuedPod {
            object,
            info,
            profile,
            timestamp: now,
            initial_attempt: None,
            attempts: 0,
            unschedulable_plugins: BTreeSet::new(),
            pending_plugins: BTreeSet::new(),
            unschedulable_count: 0,
            consecutive_errors: 0,
            gate: None,
            backoff_expiration: None,
            order: self.next_order,
            place: Place::Nowhere,
        });
        self.move_to_active(with, pod, now, true);
    }

    /// A queued pod changed. False if it is not queued.
    pub fn update(
        &mut self,
        with: QueueContext<'_>,
        object: Arc<Object>,
        info: Arc<PodInfo>,
        wakes: &[Wake],
        now: Time,
    ) -> bool {
        let uid = object.meta.uid;
        let Some(mut pod) = self.take(uid) else { return false };
        pod.object = object;
        pod.info = info;
        match std::mem::replace(&mut pod.place, Place::Nowhere) {
            Place::Nowhere => self.put(pod, Place::Nowhere),
            Place::Active(_) => {
                let key = sort_key(with, &pod);
                self.put(pod, Place::Active(key));
            }
            Place::Backoff(at, _) => {
                let key = sort_key(with, &pod);
                self.put(pod, Place::Backoff(at, key));
            }
            Place::ErrorBackoff(at) => self.put(pod, Place::ErrorBackoff(at)),
            Place::Unschedulable => {
                let best =
                    wakes.iter().map(|wake| strategy(with, &pod, *wake)).find(|s| *s != Strategy::Skip);
                self.requeue(with, pod, best.unwrap_or(Strategy::Skip), now);
            }
        }
        true
    }

    /// A pod is gone or bound.
    pub fn remove(&mut self, uid: Uid) -> Option<Box<QueuedPod>> {
        self.take(uid)
    }

    /// The next pod to be tried: the head of the active queue, or, if that is empty, the pod that has backed off for
    /// longest after a refusal (`SchedulerPopFromBackoffQ`).
    pub fn pop(&mut self) -> Option<Box<QueuedPod>> {
        let uid = *self.active.values().next().or_else(|| self.backoff.values().next())?;
        let mut pod = self.take(uid)?;
        pod.place = Place::Nowhere;
        pod.attempts += 1;
        pod.unschedulable_plugins.clear();
        pod.pending_plugins.clear();
        Some(pod)
    }

    /// True if [`Queue::pop`] has a pod to give.
    pub fn is_ready(&self) -> bool {
        !self.active.is_empty() || !self.backoff.is_empty()
    }

    /// A popped pod failed (`AddUnschedulableIfNotPresent`). Pods that nobody refused met an error and back off.
    pub fn add_failed(
        &mut self,
        with: QueueContext<'_>,
        mut pod: Box<QueuedPod>,
        missed: &[Wake],
        now: Time,
    ) {
        let refused = !pod.unschedulable_plugins.is_empty() || !pod.pending_plugins.is_empty();
        if refused {
            pod.unschedulable_count += 1;
            pod.consecutive_errors = 0;
        } else {
            pod.consecutive_errors += 1;
        }
        pod.timestamp = now;
        pod.backoff_expiration = None;
        let best = if refused {
            let strategies: Vec<_> = missed.iter().map(|wake| strategy(with, &pod, *wake)).collect();
            match (strategies.contains(&Strategy::Immediately), strategies.contains(&Strategy::AfterBackoff))
            {
                (true, _) => Strategy::Immediately,
                (false, true) => Strategy::AfterBackoff,
                (false, false) => Strategy::Skip,
            }
        } else {
            Strategy::AfterBackoff
        };
        self.requeue(with, pod, best, now);
    }

    /// Something happened (`MoveAllToActiveOrBackoffQueue`).
    pub fn move_all(
        &mut self,
        with: QueueContext<'_>,
        wake: Wake,
        now: Time,
        only: impl Fn(&QueuedPod) -> bool,
    ) {
        let uids: Vec<Uid> = self.unschedulable.values().copied().collect();
        for uid in uids {
            let Some(pod) = self.pods.get(&uid) else { continue };
            if !only(pod) {
                continue;
            }
            let strategy = strategy(with, pod, wake);
            if strategy != Strategy::Skip
                && let Some(pod) = self.take(uid)
            {
                self.requeue(with, pod, strategy, now);
            }
        }
    }

    /// Some plugin wants a pod to be tried at once (`Activate`): a waiting one, or one that backs off.
    pub fn activate(&mut self, with: QueueContext<'_>, object: &Arc<Object>, now: Time) {
        let uid = object.meta.uid;
        if self.place_of(uid).is_some_and(|queue| queue != QueueName::Active)
            && let Some(pod) = self.take(uid)
        {
            self.move_to_active(with, pod, now, true);
        }
    }

    /// Pods whose back-off ended go to the active queue.
    pub fn flush_backoff(&mut self, with: QueueContext<'_>, now: Time) {
        let window = now.truncate_to_secs();
        let ended = |at: Time| at < window;
        let refused = self.backoff.iter().take_while(|((at, ..), _)| ended(*at));
        let errors = self.error_backoff.iter().take_while(|((at, _), _)| ended(*at));
        let uids: Vec<Uid> = refused.map(|(_, uid)| *uid).chain(errors.map(|(_, uid)| *uid)).collect();
        for uid in uids {
            if let Some(pod) = self.take(uid) {
                // Plugins were asked when it came here; they are not asked again.
                self.move_to_active(with, pod, now, false);
            }
        }
    }

    /// When [`Queue::flush_backoff`] has something to do next.
    pub fn next_backoff_flush(&self) -> Option<Time> {
        let refused = self.backoff.keys().next().map(|(at, ..)| *at);
        let errors = self.error_backoff.keys().next().map(|(at, _)| *at);
        [refused, errors].into_iter().flatten().min().map(|at| at.truncate_to_secs() + WINDOW)
    }

    /// Pods that waited too long for an event are tried again.
    pub fn flush_unschedulable(&mut self, with: QueueContext<'_>, now: Time) {
        let waited = self.waiting.iter().take_while(|((since, _), _)| now - *since > MAX_UNSCHEDULABLE);
        let uids: Vec<Uid> = waited.map(|(_, uid)| *uid).collect();
        for uid in uids {
            if let Some(pod) = self.take(uid) {
                self.requeue(with, pod, Strategy::AfterBackoff, now);
            }
        }
    }

    /// When [`Queue::flush_unschedulable`] has something to do next: at a tick, strictly later than the limit.
    pub fn next_unschedulable_flush(&self) -> Option<Time> {
        let (oldest, _) = self.waiting.keys().next()?;
        let limit = *oldest + MAX_UNSCHEDULABLE;
        Some(Time((limit.0.div_euclid(UNSCHEDULABLE_TICK.0) + 1).saturating_mul(UNSCHEDULABLE_TICK.0)))
    }

    fn requeue(&mut self, with: QueueContext<'_>, mut pod: Box<QueuedPod>, strategy: Strategy, now: Time) {
        match strategy {
            Strategy::Skip => self.put(pod, Place::Unschedulable),
            Strategy::AfterBackoff if self.is_backing_off(&mut pod, now) => {
                if pre_enqueue(with, &mut pod) {
                    let at = pod.backoff_expiration.unwrap_or(now);
                    let error = pod.unschedulable_plugins.is_empty() && pod.pending_plugins.is_empty();
                    let place = if error {
                        Place::ErrorBackoff(at)
                    } else {
                        Place::Backoff(at, sort_key(with, &pod))
                    };
                    self.put(pod, place);
                } else {
                    self.put(pod, Place::Unschedulable);
                }
            }
            _ => self.move_to_active(with, pod, now, true),
        }
    }

    fn move_to_active(&mut self, with: QueueContext<'_>, mut pod: Box<QueuedPod>, now: Time, ask: bool) {
        if ask && !pre_enqueue(with, &mut pod) {
            self.put(pod, Place::Unschedulable);
            return;
        }
        pod.initial_attempt.get_or_insert(now);
        let key = sort_key(with, &pod);
        self.put(pod, Place::Active(key));
    }

    /// True until the second after its expiration second is over. Computes the expiration once per failure.
    fn is_backing_off(&self, pod: &mut QueuedPod, now: Time) -> bool {
        let count = if pod.consecutive_errors > 0 { pod.consecutive_errors } else { pod.unschedulable_count };
        if self.max_backoff.is_zero() || count == 0 {
            return false;
        }
        let shift = count - 1;
        let capped = self.initial_backoff.0 > self.max_backoff.0.checked_shr(shift).unwrap_or(0);
        let backoff = if capped { self.max_backoff } else { Span(self.initial_backoff.0 << shift) };
        let at = *pod.backoff_expiration.get_or_insert((pod.timestamp + backoff).truncate_to_secs());
        at >= now.truncate_to_secs()
    }

    fn put(&mut self, mut pod: Box<QueuedPod>, place: Place) {
        let (uid, order) = (pod.object.meta.uid, pod.order);
        match &place {
            Place::Nowhere => {}
            Place::Active(key) => {
                self.active.insert((key.clone(), order), uid);
            }
            Place::Backoff(at, key) => {
                self.backoff.insert((*at, key.clone(), order), uid);
            }
            Place::ErrorBackoff(at) => {
                self.error_backoff.insert((*at, order), uid);
            }
            Place::Unschedulable => {
                self.unschedulable.insert(order, uid);
                if pod.gate.is_none() {
                    self.waiting.insert((pod.timestamp, order), uid);
                }
            }
        }
        pod.place = place;
        self.pods.insert(uid, pod);
    }

    fn take(&mut self, uid: Uid) -> Option<Box<QueuedPod>> {
        let pod = self.pods.remove(&uid)?;
        match &pod.place {
            Place::Nowhere => {}
            Place::Active(key) => {
                self.active.remove(&(key.clone(), pod.order));
            }
            Place::Backoff(at, key) => {
                self.backoff.remove(&(*at, key.clone(), pod.order));
            }
            Place::ErrorBackoff(at) => {
                self.error_backoff.remove(&(*at, pod.order));
            }
            Place::Unschedulable => {
                self.unschedulable.remove(&pod.order);
                self.waiting.remove(&(pod.timestamp, pod.order));
            }
        }
        Some(pod)
    }
}

fn sort_key(with: QueueContext<'_>, pod: &QueuedPod) -> SortKey {
    let profile = &with.profiles[pod.profile];
    let sorter = profile.at(Point::QueueSort)[0];
    profile.plugin(sorter).queue_key(pod)
}

/// Runs PreEnqueue plugins. False if one keeps the pod out.
fn pre_enqueue(with: QueueContext<'_>, pod: &mut QueuedPod) -> bool {
    let profile = &with.profiles[pod.profile];
    pod.gate = None;
    for &i in profile.at(Point::PreEnqueue) {
        let plugin = profile.plugin(i);
        if let Some(status) = plugin.pre_enqueue(&pod.object, with.surroundings).into_status(plugin.name()) {
            pod.unschedulable_plugins.insert(SmolStr::new_static(plugin.name()));
            pod.gate = Some(status);
            return false;
        }
    }
    true
}

/// `isPodWorthRequeuing`, with every hint saying "queue".
fn strategy(with: QueueContext<'_>, pod: &QueuedPod, wake: Wake) -> Strategy {
    let profile = &with.profiles[pod.profile];
    let wants = |plugin: &SmolStr| profile.wakes(plugin, wake);
    if pod.gate.as_ref().is_some_and(|gate| !profile.wakes(&gate.plugin, wake)) {
        return Strategy::Skip;
    }
    if pod.pending_plugins.iter().any(wants) {
        Strategy::Immediately
    } else if pod.unschedulable_plugins.iter().any(wants) {
        Strategy::AfterBackoff
    } else {
        Strategy::Skip
    }
}

#[cfg(test)]
mod tests;
