//! The scheduling queue (`pkg/scheduler/backend/queue`): pods that are next, pods that back off, pods that wait for
//! something to happen, gated ones, and pods on their way through a cycle.
//!
//! Nothing ticks here: the scheduler asks when something is due next. An event costs what it may help: waiting pods are
//! kept by who refused them and by class, and plugins whose hints are the same for all pods of a class are asked once.

mod hints;
mod in_flight;
mod nominator;
mod pods;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::time::{Span, Time, mins, secs};

use crate::framework::{Profile, Rejectors, SortKey, Surroundings, Wake, pod_changes};
use crate::pod::PodInfo;
use hints::Strategy;
use in_flight::InFlight;
pub use in_flight::{Happening, InFlightEntry};
pub use nominator::Nominator;
pub use pods::{Cause, Gate, PendingPods, QueueName, QueuedPod};
use pods::{Place, pre_enqueue, sort_key};
use waiting::{Refusal, Waiting};

/// How long a pod stays unschedulable without any event before it is tried again.
const MAX_UNSCHEDULABLE: Span = mins(5);
/// How often upstream looks for such pods, counted from the start of the run.
const UNSCHEDULABLE_TICK: Span = secs(30);
/// Back-offs end in windows of this length.
const WINDOW: Span = secs(1);

/// What the queue asks plugins with.
#[derive(Clone, Copy)]
pub struct QueueContext<'a> {
    /// The profiles.
    pub profiles: &'a [Profile],
    /// What PreEnqueue plugins may look at.
    pub surroundings: Surroundings<'a>,
}

/// The queue.
#[derive(Clone, Debug)]
pub struct Queue {
    pods: FxHashMap<Uid, Box<QueuedPod>>,
    active: BTreeMap<(SortKey, u64), Uid>,
    backoff: BTreeMap<(Time, SortKey, u64), Uid>,
    error_backoff: BTreeMap<(Time, u64), Uid>,
    waiting: Waiting,
    in_flight: InFlight,
    nominator: Nominator,
    /// How many pods came to which queue, and why.
    incoming: BTreeMap<(QueueName, Cause), u64>,
    /// By profile and plugin, how many waiting pods it refused; `None` if it never did.
    refused: Vec<[Option<i64>; Rejectors::OTHERS + 1]>,
    initial_backoff: Span,
    max_backoff: Span,
    cycle: u64,
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
            waiting: Waiting::default(),
            in_flight: InFlight::default(),
            nominator: Nominator::default(),
            incoming: BTreeMap::new(),
            refused: Vec::new(),
            initial_backoff,
            max_backoff,
            cycle: 0,
            next_order: 0,
        }
    }

    /// A queued pod. Pods in flight are not here.
    pub fn get(&self, uid: Uid) -> Option<&QueuedPod> {
        self.pods.get(&uid).map(|p| &**p)
    }

    /// Where a pod waits.
    pub fn place_of(&self, uid: Uid) -> Option<QueueName> {
        self.get(uid).map(QueuedPod::queue)
    }

    /// How many pods wait where (`scheduler_pending_pods`).
    pub fn pending(&self) -> PendingPods {
        let [unschedulable, gated] = self.waiting.lengths();
        let backoff = self.backoff.len() + self.error_backoff.len();
        PendingPods { active: self.active.len(), backoff, unschedulable, gated }
    }

    /// How many pods came to which queue, and why (`scheduler_queue_incoming_pods_total`).
    pub fn incoming(&self) -> &BTreeMap<(QueueName, Cause), u64> {
        &self.incoming
    }

    /// By profile and number of the plugin, how many pods it refused that were not taken again since
    /// (`scheduler_unschedulable_pods`). As upstream, a pod that is deleted still counts, and one that is kept out counts
    /// whenever that is found out.
    pub fn refused(&self) -> &[[Option<i64>; Rejectors::OTHERS + 1]] {
        &self.refused
    }

    fn count_refused(&mut self, profile: usize, by: Rejectors, sign: i64) {
        if by.is_empty() {
            return;
        }
        while self.refused.len() <= profile {
            self.refused.push([None; Rejectors::OTHERS + 1]);
        }
        for plugin in by.iter() {
            *self.refused[profile][plugin].get_or_insert(0) += sign;
        }
    }

    /// Asks the PreEnqueue plugins. True if one keeps the pod out.
    fn is_gated(&mut self, with: QueueContext<'_>, pod: &mut QueuedPod) -> bool {
        pre_enqueue(with, pod);
        let Some(gate) = &pod.gate else { return false };
        let mut by = Rejectors::default();
        by.insert(gate.plugin);
        self.count_refused(pod.profile, by, 1);
        true
    }

    /// Pods that are next, in their order.
    pub fn active(&self) -> impl Iterator<Item = &QueuedPod> {
        self.active.values().filter_map(|uid| self.get(*uid))
    }

    /// Pods that back off after a refusal, in their order.
    pub fn backoff(&self) -> impl Iterator<Item = &QueuedPod> {
        self.backoff.values().filter_map(|uid| self.get(*uid))
    }

    /// Pods that back off after an error, by the end of their back-off.
    pub fn error_backoff(&self) -> impl Iterator<Item = &QueuedPod> {
        self.error_backoff.values().filter_map(|uid| self.get(*uid))
    }

    /// Pods that wait for an event, or for their gate; those that wait longest first.
    pub fn waiting(&self, gated: bool) -> impl Iterator<Item = &QueuedPod> {
        self.waiting.since(gated).filter_map(|(_, uid)| self.get(uid))
    }

    /// Pods on their way through a cycle, and what happened since, oldest first.
    pub fn in_flight(&self) -> impl Iterator<Item = &InFlightEntry> {
        self.in_flight.iter()
    }

    /// Pods that were promised nodes.
    pub fn nominator(&self) -> &Nominator {
        &self.nominator
    }

    /// Pods that were promised nodes, to be changed.
    pub fn nominator_mut(&mut self) -> &mut Nominator {
        &mut self.nominator
    }

    /// How many pods were taken so far (`SchedulingCycle`).
    pub fn cycle(&self) -> u64 {
        self.cycle
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
        let pod = self.fresh(profile, object, info, now);
        self.enter(with, pod, Cause::Event(Wake::OwnAdded), now);
    }

    /// A pod that waits to be scheduled changed.
    pub fn update(
        &mut self,
        with: QueueContext<'_>,
        profile: usize,
        old: &Arc<Object>,
        (new, info): (&Arc<Object>, Arc<PodInfo>),
        now: Time,
    ) {
        let events = pod_changes(old, new);
        let happening = |event| Happening::new(event, Some(old), Some(new));
        if self.in_flight.has(new.meta.uid) {
            events.into_iter().for_each(|event| self.in_flight.record(&happening(event)));
            return;
        }
        let Some(mut pod) = self.take(new.meta.uid) else {
            let pod = self.fresh(profile, new.clone(), info, now);
            return self.enter(with, pod, Cause::Event(Wake::OwnUpdated), now);
        };
        self.nominator.update(old, new, &info);
        (pod.object, pod.info) = (new.clone(), info);
        let place = pod.place;
        if !matches!(place, Place::Waiting(_)) {
            return self.put(with, pod, place);
        }
        for event in events {
            let happening = happening(event);
            let refusal = Refusal::of(&pod);
            let strategy = hints::strategy(with, &refusal, &pod.info, &pod.object, &happening.change());
            match self.requeue(with, pod, strategy, happening.cause, now) {
                Ok(()) => return,
                Err(kept) => pod = kept,
            }
        }
        self.put(with, pod, Place::Waiting(0));
    }

    /// A pod is gone, or bound.
    pub fn delete(&mut self, uid: Uid) -> Option<Box<QueuedPod>> {
        self.nominator.remove(uid);
        self.take(uid)
    }

    /// The next pod to be tried: the head of the active queue, or, if that is empty, the pod that has backed off for
    /// longest after a refusal (`SchedulerPopFromBackoffQ`). It is in flight until [`Queue::add_failed`] or
    /// [`Queue::done`].
    pub fn pop(&mut self) -> Option<Box<QueuedPod>> {
        loop {
            let next = self.active.values().next().or_else(|| self.backoff.values().next());
            let mut pod = self.take(*next?)?;
            if pod.place == Place::Backoff {
                self.count(QueueName::Active, Cause::PopFromBackoffQ);
            }
            pod.attempts += 1;
            // A pod that came again while it is in flight is dropped; it comes back anyway.
            if !self.in_flight.start(&pod.object) {
                continue;
            }
            self.cycle += 1;
            self.count_refused(pod.profile, pod.unschedulable_plugins.union(pod.pending_plugins), -1);
            pod.unschedulable_plugins = Default::default();
            pod.pending_plugins = Default::default();
            pod.gate = None;
            return Some(pod);
        }
    }

    /// True if [`Queue::pop`] has a pod to give.
    pub fn is_ready(&self) -> bool {
        !self.active.is_empty() || !self.backoff.is_empty()
    }

    /// A pod in flight cannot be refused any more, or is dropped: it does not come back for an event.
    pub fn done(&mut self, uid: Uid) {
        self.in_flight.done(uid);
    }

    /// A popped pod failed (`AddUnschedulableIfNotPresent`). Pods that nobody refused met an error and back off; for the
    /// others counts what happened while they were in flight.
    pub fn add_failed(&mut self, with: QueueContext<'_>, mut pod: Box<QueuedPod>, now: Time) {
        let uid = pod.object.meta.uid;
        if !self.pods.contains_key(&uid) {
            let refusal = Refusal::of(&pod);
            self.count_refused(pod.profile, refusal.rejectors(), 1);
            if refusal.rejectors().is_empty() {
                pod.consecutive_errors += 1;
            } else {
                pod.unschedulable_count += 1;
                pod.consecutive_errors = 0;
            }
            pod.timestamp = now;
            pod.backoff_expiration = None;
            let strategy = self.strategy_in_flight(with, &refusal, &pod);
            let cause = Cause::ScheduleAttemptFailure;
            if let Err(pod) = self.requeue(with, pod, strategy, cause, now) {
                self.wait(with, pod, cause);
            }
        }
        self.in_flight.done(uid);
    }

    fn strategy_in_flight(&self, with: QueueContext<'_>, refusal: &Refusal, pod: &QueuedPod) -> Strategy {
        let Some(events) = self.in_flight.since(pod.object.meta.uid) else { return Strategy::AfterBackoff };
        if refusal.rejectors().is_empty() {
            return Strategy::AfterBackoff;
        }
        let mut best = Strategy::Skip;
        for happening in events {
            match hints::strategy(with, refusal, &pod.info, &pod.object, &happening.change()) {
                Strategy::Skip => {}
                Strategy::AfterBackoff if !refusal.pending.is_empty() => best = Strategy::AfterBackoff,
                decided => return decided,
            }
        }
        best
    }

    /// Something happened (`MoveAllToActiveOrBackoffQueue`): pods that it may help are tried again, of those that `only`
    /// lets through.
    pub fn move_all(
        &mut self,
        with: QueueContext<'_>,
        happening: &Happening,
        now: Time,
        only: impl Fn(&QueuedPod) -> bool,
    ) {
        if !hints::of_interest(with.profiles, happening.cause.event()) {
            return;
        }
        // From the end, so that no pod of a list has to take the place of another.
        for (uid, strategy) in self.helped(with, happening, only).into_iter().rev() {
            self.awake(with, uid, strategy, happening.cause, now);
        }
        self.in_flight.record(happening);
    }

    /// The waiting pods that an event may help.
    fn helped(
        &self,
        with: QueueContext<'_>,
        happening: &Happening,
        only: impl Fn(&QueuedPod) -> bool,
    ) -> Vec<(Uid, Strategy)> {
        let change = happening.change();
        let subject = hints::subject(&change).filter(|uid| self.pods.contains_key(uid));
        let mut helped = Vec::new();
        for (refusal, classes) in self.waiting.refusals() {
            if !hints::may_help(with, refusal, change.event) {
                continue;
            }
            let by_class = hints::by_class(with, refusal, change.event);
            let ask = |pod: &QueuedPod| hints::strategy(with, refusal, &pod.info, &pod.object, &change);
            for pods in classes.values() {
                let mut of_class = None;
                for uid in pods {
                    let Some(pod) = self.get(*uid).filter(|pod| only(pod)) else { continue };
                    let strategy = match by_class && subject != Some(*uid) {
                        true => *of_class.get_or_insert_with(|| ask(pod)),
                        false => ask(pod),
                    };
                    if strategy != Strategy::Skip {
                        helped.push((*uid, strategy));
                    } else if by_class && subject.is_none() {
                        break;
                    }
                }
            }
        }
        helped
    }

    fn awake(&mut self, with: QueueContext<'_>, uid: Uid, strategy: Strategy, cause: Cause, now: Time) {
        if let Some(pod) = self.take(uid)
            && let Err(pod) = self.requeue(with, pod, strategy, cause, now)
        {
            self.wait(with, pod, cause);
        }
    }

    /// Some plugin wants a pod to be tried at once (`Activate`): a waiting one, or one that backs off. For a pod in flight
    /// that holds when it comes back.
    pub fn activate(&mut self, with: QueueContext<'_>, object: &Arc<Object>, now: Time) {
        let uid = object.meta.uid;
        if self.place_of(uid).is_some_and(|queue| queue != QueueName::Active)
            && let Some(pod) = self.take(uid)
        {
            let was_waiting = matches!(pod.place, Place::Waiting(_));
            match self.move_to_active(with, pod, Cause::ForceActivate, now) {
                Ok(()) => return,
                Err(pod) if was_waiting => self.put(with, pod, Place::Waiting(0)),
                Err(pod) => self.wait(with, pod, Cause::ForceActivate),
            }
        }
        if self.in_flight.has(uid) {
            let new = Some(object.clone());
            self.in_flight.record(&Happening { cause: Cause::ForceActivate, old: None, new });
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
            // Plugins were asked when it came here; they are not asked again.
            if let Some(pod) = self.take(uid) {
                self.activated(with, pod, Cause::BackoffComplete, now);
            }
        }
    }

    /// When [`Queue::flush_backoff`] has something to do next.
    pub fn next_backoff_flush(&self) -> Option<Time> {
        let refused = self.backoff.keys().next().map(|(at, ..)| *at);
        let errors = self.error_backoff.keys().next().map(|(at, _)| *at);
        [refused, errors].into_iter().flatten().min().map(|at| at.truncate_to_secs() + WINDOW)
    }

    /// Pods that waited too long for an event are tried again. Gated ones stay, but count for pods in flight.
    pub fn flush_unschedulable(&mut self, with: QueueContext<'_>, now: Time) {
        let due = |(since, _): &(Time, Uid)| now - *since > MAX_UNSCHEDULABLE;
        if [false, true].iter().any(|gated| self.waiting.since(*gated).next().is_some_and(|w| due(&w))) {
            let waited: Vec<Uid> = self.waiting.since(false).take_while(due).map(|(_, uid)| uid).collect();
            let happening = Happening { cause: Cause::UnschedulableTimeout, old: None, new: None };
            for uid in waited {
                self.awake(with, uid, Strategy::AfterBackoff, happening.cause, now);
            }
            self.in_flight.record(&happening);
        }
    }

    /// When [`Queue::flush_unschedulable`] has something to do next: at a tick, strictly later than the limit.
    pub fn next_unschedulable_flush(&self, now: Time) -> Option<Time> {
        let oldest = |gated| self.waiting.since(gated).next().map(|(since, _)| since);
        let gated = if self.in_flight.is_empty() { None } else { oldest(true) };
        let oldest = [oldest(false), gated].into_iter().flatten().min()?;
        let limit = (oldest + MAX_UNSCHEDULABLE).max(now);
        Some(Time((limit.0.div_euclid(UNSCHEDULABLE_TICK.0) + 1).saturating_mul(UNSCHEDULABLE_TICK.0)))
    }

    fn fresh(
        &mut self,
        profile: usize,
        object: Arc<Object>,
        info: Arc<PodInfo>,
        now: Time,
    ) -> Box<QueuedPod> {
        self.next_order += 1;
        Box::new(QueuedPod::new(profile, object, info, now, self.next_order))
    }

    /// A pod comes from outside.
    fn enter(&mut self, with: QueueContext<'_>, pod: Box<QueuedPod>, cause: Cause, now: Time) {
        let uid = pod.object.meta.uid;
        if let Err(pod) = self.move_to_active(with, pod, cause, now)
            && !self.pods.contains_key(&uid)
        {
            self.wait(with, pod, cause);
        }
    }

    /// Where a pod goes that an event may help. `Err` if it stays where it is: nothing helps, or a plugin gates it.
    fn requeue(
        &mut self,
        with: QueueContext<'_>,
        mut pod: Box<QueuedPod>,
        strategy: Strategy,
        cause: Cause,
        now: Time,
    ) -> Result<(), Box<QueuedPod>> {
        match strategy {
            Strategy::Skip => Err(pod),
            Strategy::AfterBackoff if self.is_backing_off(&mut pod, now) => {
                if self.is_gated(with, &mut pod) {
                    return Err(pod);
                }
                let error = pod.unschedulable_plugins.union(pod.pending_plugins).is_empty();
                self.count(QueueName::Backoff, cause);
                self.put(with, pod, if error { Place::ErrorBackoff } else { Place::Backoff });
                Ok(())
            }
            _ => self.move_to_active(with, pod, cause, now),
        }
    }

    /// `Err` if a plugin gates the pod.
    fn move_to_active(
        &mut self,
        with: QueueContext<'_>,
        mut pod: Box<QueuedPod>,
        cause: Cause,
        now: Time,
    ) -> Result<(), Box<QueuedPod>> {
        if self.is_gated(with, &mut pod) {
            return Err(pod);
        }
        self.activated(with, pod, cause, now);
        Ok(())
    }

    fn activated(&mut self, with: QueueContext<'_>, mut pod: Box<QueuedPod>, cause: Cause, now: Time) {
        self.take(pod.object.meta.uid);
        pod.initial_attempt.get_or_insert(now);
        self.count(QueueName::Active, cause);
        if matches!(cause, Cause::Event(Wake::OwnAdded | Wake::OwnUpdated)) {
            self.nominator.add(&pod.object, &pod.info);
        }
        self.put(with, pod, Place::Active);
    }

    /// A pod has to wait that did not.
    fn wait(&mut self, with: QueueContext<'_>, pod: Box<QueuedPod>, cause: Cause) {
        self.count(QueueName::Unschedulable, cause);
        self.put(with, pod, Place::Waiting(0));
    }

    fn count(&mut self, queue: QueueName, cause: Cause) {
        *self.incoming.entry((queue, cause)).or_default() += 1;
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

    fn put(&mut self, with: QueueContext<'_>, mut pod: Box<QueuedPod>, place: Place) {
        let (uid, order) = (pod.object.meta.uid, pod.order);
        let expiration = pod.backoff_expiration.unwrap_or(pod.timestamp);
        pod.place = place;
        if matches!(place, Place::Active | Place::Backoff) {
            pod.key = sort_key(with, &pod);
        }
        match place {
            Place::Nowhere => {}
            Place::Active => {
                self.active.insert((pod.key.clone(), order), uid);
            }
            Place::Backoff => {
                self.backoff.insert((expiration, pod.key.clone(), order), uid);
            }
            Place::ErrorBackoff => {
                self.error_backoff.insert((expiration, order), uid);
            }
            Place::Waiting(_) => pod.place = Place::Waiting(self.waiting.insert(&pod, order)),
        }
        self.pods.insert(uid, pod);
    }

    /// Takes a pod out. It remembers where it was.
    fn take(&mut self, uid: Uid) -> Option<Box<QueuedPod>> {
        let pod = self.pods.remove(&uid)?;
        let expiration = pod.backoff_expiration.unwrap_or(pod.timestamp);
        match pod.place {
            Place::Nowhere => {}
            Place::Active => {
                self.active.remove(&(pod.key.clone(), pod.order));
            }
            Place::Backoff => {
                self.backoff.remove(&(expiration, pod.key.clone(), pod.order));
            }
            Place::ErrorBackoff => {
                self.error_backoff.remove(&(expiration, pod.order));
            }
            Place::Waiting(place) => {
                if let Some(moved) = self.waiting.remove(&pod, pod.order, place)
                    && let Some(moved) = self.pods.get_mut(&moved)
                {
                    moved.place = Place::Waiting(place);
                }
            }
        }
        Some(pod)
    }
}

#[cfg(test)]
mod tests;
