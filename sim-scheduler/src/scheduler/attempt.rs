//! One attempt: from the head of the queue to an assumed pod, or to the reason why not (`ScheduleOne`).

use std::cell::RefCell;
use std::sync::Arc;

use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_core::api::pod_status::{ConditionStatus, PodCondition};
use sim_core::api::request::{PodStatusPatch, Request};
use sim_core::engine::component::Ctx;
use sim_core::engine::log::{EventType, Record};
use sim_core::time::Time;
use smol_str::{SmolStr, format_smolstr};

use super::conclude::Outcome;
use super::{Engine, LastAttempt, Scheduler, Ties, Timer, uid};
use crate::cache::{Objects, Slot};
use crate::cycle::{CycleState, FastOutcome, evaluate_with_extenders, run_post_filters};
use crate::extender::ExtenderCalls;
use crate::framework::{
    ActionType, Attempt, ClusterEvent, Diagnosis, Effects, EventResource, Handle, Memory, Point,
    PostFiltered, Status,
};
use crate::metrics::Ending;
use crate::queue::QueuedPod;

/// Longest note of an Event.
const NOTE_LIMIT: usize = 1024;

/// What a search found.
enum Found {
    Node {
        slot: Slot,
        score: i64,
        feasible: usize,
        evaluated: usize,
        state: Option<CycleState>,
    },
    /// With what PostFilter plugins need: the state, and what they remember of the class, if they may.
    Nothing(Box<Diagnosis>, Option<(CycleState, Option<Memory>)>),
    Error(Status),
}

/// Why an attempt failed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The text.
    pub(super) message: String,
    /// True if the pod was refused, false for an error.
    pub(super) rejected: bool,
    /// Details, if nodes were looked at.
    pub(super) diagnosis: Option<Box<Diagnosis>>,
    /// New `status.nominatedNodeName`; empty clears it, `None` leaves it.
    pub(super) nominated: Option<SmolStr>,
}

impl Failure {
    /// The text as Events carry it (`truncateMessage`).
    pub(super) fn note(&self) -> SmolStr {
        note(&self.message)
    }

    /// A plugin's status after a node was chosen.
    pub(super) fn after_choice(slot: Slot, status: &Status) -> Failure {
        let mut failure = Failure {
            message: status.message(),
            rejected: status.code.is_rejected(),
            diagnosis: None,
            nominated: Some(SmolStr::default()),
        };
        if failure.rejected {
            let mut diagnosis = Diagnosis::default();
            diagnosis.nodes.push(slot, status.clone());
            diagnosis.blame(status);
            failure.message = diagnosis.message(1);
            failure.diagnosis = Some(Box::new(diagnosis));
        }
        failure
    }
}

impl Scheduler {
    pub(super) fn schedule_one(&mut self, ctx: &mut Ctx<'_, Timer>, pod: Box<QueuedPod>) {
        let meta = &pod.object.meta;
        if meta.is_deleting() || self.cache.is_assumed(meta.uid) {
            self.queue.done(meta.uid);
        }
        if meta.is_deleting() {
            let text = format!("skip schedule deleting pod: {}/{}", meta.namespace(), meta.name());
            ctx.event(&pod.object, EventType::Warning, "FailedScheduling", &text);
            return;
        }
        if self.cache.is_assumed(meta.uid) {
            return;
        }
        self.cache.refresh();
        let nodes = self.cache.order().len();
        if nodes == 0 {
            self.keep_scene(&pod, ctx.now());
            self.metrics.algorithm(ctx.now() - pod.cycle_started);
            let failure = Failure {
                message: "no nodes available to schedule pods".to_owned(),
                rejected: true,
                diagnosis: None,
                nominated: Some(SmolStr::default()),
            };
            return self.failed(ctx, pod, failure);
        }
        let mut calls = ExtenderCalls::default();
        let outcome = match self.find(ctx.now(), &pod, &mut calls) {
            Found::Node { slot, score, feasible, evaluated, state } => {
                let node = self.cache.node(slot).name.clone();
                Outcome::Node { slot, node, score, feasible, evaluated, state }
            }
            Found::Nothing(mut diagnosis, state) => {
                let mut effects = Effects::default();
                let helped =
                    state.and_then(|s| self.post_filter(ctx.now(), &pod, s, &mut diagnosis, &mut effects));
                calls.in_turn += effects.extender_calls.in_turn;
                self.metrics.preemption_attempts += effects.preemption_attempts;
                let PostFiltered { nominated_node: nominated, preemption, .. } = helped.unwrap_or_default();
                let message = diagnosis.message(nodes);
                let failure = Failure { message, rejected: true, diagnosis: Some(diagnosis), nominated };
                Outcome::Failed(failure, Box::new(effects), preemption)
            }
            Found::Error(status) => {
                let message = status.message();
                let nominated = Some(SmolStr::default());
                let failure = Failure { message, rejected: false, diagnosis: None, nominated };
                Outcome::Failed(failure, Box::default(), None)
            }
        };
        if matches!(outcome, Outcome::Failed(..)) {
            self.keep_scene(&pod, ctx.now());
        }
        self.conclude_after(ctx, calls, pod, outcome);
    }

    /// Finds a node, the way the engine says; the plain one wherever the fast one does not apply.
    fn find(&mut self, now: Time, pod: &QueuedPod, calls: &mut ExtenderCalls) -> Found {
        let profile = &self.profiles[pod.profile];
        let attempt = Attempt { pod: &pod.info, object: &pod.object, cluster: &self.cache, now };
        let explained = self.explanations.who.includes(&pod.object.meta.key);
        if self.engine == Engine::Fast && !explained && !self.extenders.have_a_say(profile, &pod.info.spec) {
            let (key, search) = ((pod.profile, profile), (self.sampling, self.start));
            match self.fast.choose(key, &attempt, self.queue.nominator(), search, &mut self.tie_break) {
                FastOutcome::Chosen { slot, score, feasible, evaluated, next_start } => {
                    self.start = next_start;
                    let state = self.fast.state_after_choice(key, &attempt);
                    return Found::Node { slot, score, feasible, evaluated, state };
                }
                FastOutcome::Nothing(diagnosis) => {
                    let known = self.fast.after_refusal(key, &attempt);
                    if known.is_some() || profile.at(Point::PostFilter).is_empty() {
                        return Found::Nothing(diagnosis, known);
                    }
                }
                FastOutcome::Unsure => {}
            }
        }
        let from = (self.sampling, self.start);
        let (found, state) =
            evaluate_with_extenders(profile, attempt, self.queue.nominator(), from, &self.extenders);
        self.start = found.next_start;
        *calls = found.extender_calls;
        let chosen = match &found.error {
            None if !found.best.is_empty() => self.tie_break.choose(&self.cache, &found.best),
            _ => None,
        };
        if explained {
            let outcome = (&found, chosen);
            self.explanations.found(pod, profile, attempt, self.queue.nominator(), outcome);
        }
        if let Some(error) = found.error {
            return Found::Error(error);
        }
        let (score, feasible, evaluated) = (found.score(), found.feasible.len(), found.evaluated());
        match chosen {
            Some(slot) => Found::Node { slot, score, feasible, evaluated, state: Some(state) },
            None => Found::Nothing(Box::new(found.diagnosis), Some((state, None))),
        }
    }

    /// Asks the PostFilter plugins, if there are any.
    fn post_filter(
        &mut self,
        now: Time,
        pod: &QueuedPod,
        (state, memory): (CycleState, Option<Memory>),
        diagnosis: &mut Diagnosis,
        effects: &mut Effects,
    ) -> Option<PostFiltered> {
        let profile = &self.profiles[pod.profile];
        if profile.at(Point::PostFilter).is_empty() {
            return None;
        }
        let attempt = Attempt { pod: &pod.info, object: &pod.object, cluster: &self.cache, now };
        let random = match self.ties {
            Ties::Random => self.preemption.next_u64(),
            Ties::LowestName => 0,
        };
        let memory = memory.map(RefCell::new);
        let handle = Handle {
            profile,
            attempt,
            state: &state,
            nominator: self.queue.nominator(),
            random,
            memory: memory.as_ref(),
            extenders: Some(&self.extenders),
            explain: self.explanations.who.includes(&pod.object.meta.key),
        };
        let outcome = run_post_filters(&handle, diagnosis, effects)?;
        if let (true, Some(preemption)) = (handle.explain, &outcome.preemption) {
            self.explanations.preempts(pod, &self.cache, preemption);
        }
        if let Some(memory) = memory {
            self.fast.remember(pod.profile, pod.info.class, memory.into_inner());
        }
        diagnosis.post_filter = outcome.status.message();
        Some(outcome)
    }

    /// Does what a plugin wants done.
    pub(super) fn apply(&mut self, ctx: &mut Ctx<'_, Timer>, effects: Effects) {
        for object in effects.assume {
            self.with_claim_events(ctx.now(), object.kind, &object.meta.key.clone(), |objects| {
                objects.assume(object);
            });
        }
        for (key, uid, pending) in effects.pending {
            self.cache.objects_mut().set_pending(&key, uid, pending);
        }
        for (kind, key) in effects.restore {
            self.with_claim_events(ctx.now(), kind, &key, |objects| objects.restore(kind, &key));
        }
        for request in effects.requests {
            ctx.send(request);
        }
        for (object, event_type, reason, note) in effects.events {
            ctx.event(&object, event_type, reason, &note);
        }
        for (uid, status) in effects.reject {
            self.waiting.reject(uid, status);
        }
    }

    /// Changes what is assumed of an object. Upstream's cache of assumed ResourceClaims tells the queue about it, as if
    /// the API server had said so; those of other kinds do not.
    fn with_claim_events(&mut self, now: Time, kind: Kind, key: &Key, change: impl FnOnce(&mut Objects)) {
        let old = self.cache.objects().get(kind, key).cloned();
        change(self.cache.objects_mut());
        let new = self.cache.objects().get(kind, key).cloned();
        let changed = old.as_ref().map(Arc::as_ptr) != new.as_ref().map(Arc::as_ptr);
        if kind == Kind::RESOURCE_CLAIM && changed {
            let event = ClusterEvent::new(EventResource::ResourceClaim, ActionType::UPDATE);
            self.happened(now, event, old.as_ref(), new.as_ref());
        }
    }

    /// `handleSchedulingFailure`: back to the queue, an event, and the pod's condition.
    pub(super) fn failed(&mut self, ctx: &mut Ctx<'_, Timer>, mut pod: Box<QueuedPod>, failure: Failure) {
        let Failure { message, rejected, diagnosis, nominated } = failure;
        let (feasible, evaluated) = (0, diagnosis.as_ref().map_or(0, |d| d.nodes.len() as u32));
        ctx.record(Record::Decision {
            namespace: pod.object.meta.namespace(),
            name: pod.object.meta.name(),
            node: "",
            feasible,
            evaluated,
            score: 0,
        });
        ctx.event(&pod.object, EventType::Warning, "FailedScheduling", &note(&message));
        self.count_failure(ctx.now(), &pod, rejected);
        let reason = if rejected { "Unschedulable" } else { "SchedulerError" };
        self.patch_status(ctx, &pod, reason, &message, nominated.as_deref());
        if self.explanations.who.includes(&pod.object.meta.key) {
            self.explanations.failed(&pod, &self.profiles[pod.profile], ctx.now(), &message);
        }
        let last = LastAttempt::new(ctx.now(), pod.attempts, message, diagnosis.as_deref());
        self.last_attempts.insert(pod.object.meta.uid, last);
        // It may have changed while it was assumed.
        if let Some(info) = self.classes.of(&pod.object) {
            pod.info = info;
        }
        if let Some(diagnosis) = diagnosis {
            let profile = &self.profiles[pod.profile];
            pod.unschedulable_plugins = profile.rejectors(&diagnosis.unschedulable_plugins);
            pod.pending_plugins = profile.rejectors(&diagnosis.pending_plugins);
        }
        let (object, info) = (pod.object.clone(), pod.info.clone());
        self.queue.add_failed(context!(self), pod, ctx.now());
        match nominated {
            Some(node) => self.queue.nominator_mut().nominate(uid(&object), &info, &node),
            None => self.queue.nominator_mut().add(&object, &info),
        }
    }

    /// An attempt failed.
    pub(super) fn count_failure(&mut self, now: Time, pod: &QueuedPod, rejected: bool) {
        let ending = if rejected { Ending::Unschedulable } else { Ending::Error };
        self.metrics.attempt(pod.profile, ending, now - pod.cycle_started);
    }

    /// Writes the condition, unless it says the same already.
    fn patch_status(
        &self,
        ctx: &mut Ctx<'_, Timer>,
        pod: &QueuedPod,
        reason: &'static str,
        message: &str,
        nominated: Option<&str>,
    ) {
        let Some(status) = pod.object.as_pod().map(|p| &p.status) else { return };
        let meta = &pod.object.meta;
        let mut condition = PodCondition {
            kind: SmolStr::new_static("PodScheduled"),
            status: ConditionStatus::False,
            reason: SmolStr::new_static(reason),
            message: SmolStr::new(message),
            last_transition_time: ctx.now().truncate_to_secs(),
            observed_generation: meta.generation,
        };
        let old = status.condition("PodScheduled");
        if let Some(old) = old.filter(|old| old.status == condition.status) {
            condition.last_transition_time = old.last_transition_time;
        }
        let nominated = nominated.filter(|n| status.nominated_node_name != *n).map(SmolStr::new);
        let conditions = if says_something_new(old, &condition) { vec![condition] } else { Vec::new() };
        if conditions.is_empty() && nominated.is_none() {
            return;
        }
        let patch =
            PodStatusPatch { conditions, nominated_node_name: nominated, ..PodStatusPatch::default() };
        ctx.send(Request::PatchPodStatus { key: meta.key.clone(), uid: meta.uid, patch: Box::new(patch) });
    }
}

/// False if a condition would only be repeated (`UpdatePodCondition`); which generation it is about does not count.
pub(super) fn says_something_new(old: Option<&PodCondition>, new: &PodCondition) -> bool {
    old.is_none_or(|old| (old.status, &old.reason, &old.message) != (new.status, &new.reason, &new.message))
}

/// `truncateMessage`.
fn note(message: &str) -> SmolStr {
    if message.len() <= NOTE_LIMIT {
        return SmolStr::new(message);
    }
    let mut end = NOTE_LIMIT - " ...".len();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format_smolstr!("{} ...", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_cut() {
        assert_eq!(note("short"), "short");
        let cut = note(&"x".repeat(2000));
        assert_eq!(cut.len(), NOTE_LIMIT);
        assert!(cut.ends_with("x ..."));
        assert!(note(&"ü".repeat(2000)).len() <= NOTE_LIMIT);
    }
}
