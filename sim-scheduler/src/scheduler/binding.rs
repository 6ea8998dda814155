//! From a chosen node to a bound pod: assume, reserve, permit, bind, and the way back when one of them fails.

use std::sync::Arc;

use sim_core::api::error::ApiError;
use sim_core::api::meta::Uid;
use sim_core::api::object::{Body, Object};
use sim_core::api::request::{Request, Tag};
use sim_core::duration::Duration;
use sim_core::engine::component::{Ctx, TimerId};
use sim_core::engine::log::EventType;
use sim_core::time::{Span, Time, mins};
use smol_str::{SmolStr, format_smolstr};

use super::attempt::Failure;
use super::preemption::Asked;
use super::{Scheduler, Timer, uid};
use crate::cache::Slot;
use crate::cycle::CycleState;
use crate::extender::ExtenderCalls;
use crate::framework::{
    Attempt, Binding, Code, Effects, Permission, Point, PreBound, Status, Waiting, WaitingPod, Wake,
};
use crate::metrics::Ending;
use crate::queue::{Happening, QueuedPod};

/// Longest time that a Permit plugin can make a pod wait.
const MAX_PERMIT_WAIT: Span = mins(15);

/// A pod between assume and the end of its binding.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// The pod, as last seen.
    pub(super) pod: Box<QueuedPod>,
    /// Set once the pod is gone from the API server, or bound in spite of an error.
    pub(super) gone: bool,
    slot: Slot,
    node: SmolStr,
    /// When it was assumed; if a Permit plugin makes it wait, it does so since then.
    assumed: Time,
    /// `None` if no plugin wants it.
    state: Option<CycleState>,
    /// PreBind plugins that are done.
    pre_bind_at: usize,
    /// To the requests of the PreBind plugin that is not done.
    answers: Vec<Option<Result<Arc<Object>, ApiError>>>,
    /// Set while a PreBind plugin waits for objects to change.
    waits_until: Option<TimerId>,
    /// Whether an extender bound it, once it was asked.
    extender: Option<Result<(), String>>,
}

/// What a request was sent for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sent {
    /// To bind a pod.
    Binding(Uid),
    /// By a PreBind plugin, as one of several.
    PreBind(Uid, usize),
    /// To evict a victim.
    Preemption(Asked),
}

impl Scheduler {
    /// Takes the place, asks Reserve and Permit plugins, and binds or waits.
    pub(super) fn place(
        &mut self,
        ctx: &mut Ctx<'_, Timer>,
        pod: Box<QueuedPod>,
        slot: Slot,
        node: SmolStr,
        state: Option<CycleState>,
    ) {
        let id = uid(&pod.object);
        if !self.cache.assume(&pod.object, pod.info.clone(), &node) {
            let message = format!("pod {id}({}) is in the cache, so can't be assumed", pod.object.meta.key);
            let nominated = Some(SmolStr::default());
            return self.failed(ctx, pod, Failure { message, rejected: false, diagnosis: None, nominated });
        }
        self.queue.nominator_mut().remove(id);
        let mut held = Held {
            pod,
            gone: false,
            slot,
            node,
            assumed: ctx.now(),
            state,
            pre_bind_at: 0,
            answers: Vec::new(),
            waits_until: None,
            extender: None,
        };
        let mut status = self.reserve(ctx, &mut held);
        if status.is_success() {
            status = self.permit(ctx, &mut held);
        }
        match status.code {
            Code::Success => self.bind(ctx, held),
            Code::Wait => {
                self.held.insert(id, held);
            }
            _ => {
                self.unreserve(ctx, &mut held);
                let failure = Failure::after_choice(held.slot, &status);
                self.failed(ctx, held.pod, failure);
            }
        }
    }

    fn reserve(&mut self, ctx: &mut Ctx<'_, Timer>, held: &mut Held) -> Status {
        let Some(state) = held.state.as_mut() else { return Status::success() };
        for at in 0..self.profiles[held.pod.profile].at(Point::Reserve).len() {
            let profile = &self.profiles[held.pod.profile];
            let i = profile.at(Point::Reserve)[at];
            let plugin = profile.plugin(i);
            let attempt = Attempt {
                pod: &held.pod.info,
                object: &held.pod.object,
                cluster: &self.cache,
                now: ctx.now(),
            };
            let mut effects = Effects::default();
            let status = plugin.reserve(state.of_mut(i), &attempt, &held.node, &mut effects);
            let status = match status.is_success() {
                true => status,
                false => named("Reserve", plugin.name(), status),
            };
            self.apply(ctx, effects);
            if !status.is_success() {
                return status;
            }
        }
        Status::success()
    }

    fn permit(&mut self, ctx: &mut Ctx<'_, Timer>, held: &mut Held) -> Status {
        let Some(state) = held.state.as_mut() else { return Status::success() };
        let profile = &self.profiles[held.pod.profile];
        let attempt =
            Attempt { pod: &held.pod.info, object: &held.pod.object, cluster: &self.cache, now: ctx.now() };
        let mut pending = Vec::new();
        for &i in profile.at(Point::Permit) {
            let plugin = profile.plugin(i);
            match plugin.permit(state.of_mut(i), &attempt, &held.node, &mut self.waiting) {
                Permission::Allow => {}
                Permission::Wait(patience) => pending.push((plugin.name(), patience.min(MAX_PERMIT_WAIT))),
                Permission::Reject(status) => return named("Permit", plugin.name(), status),
            }
        }
        if pending.is_empty() {
            return Status::success();
        }
        let id = uid(&held.pod.object);
        for &(plugin, patience) in &pending {
            ctx.set_timer(patience, Timer::PermitTimeout { uid: id, plugin, patience });
        }
        let waiting = WaitingPod {
            object: held.pod.object.clone(),
            node: held.node.clone(),
            pending: pending.into_iter().map(|(plugin, _)| plugin).collect(),
            rejected: None,
        };
        self.waiting.pods.insert(id, waiting);
        Status { code: Code::Wait, ..Status::default() }
    }

    pub(super) fn permit_timed_out(&mut self, uid: Uid, plugin: &'static str, patience: Span) {
        let waits = self.waiting.pods.get(&uid).is_some_and(|pod| pod.pending.contains(&plugin));
        if waits {
            let patience = Duration(patience);
            let text = format_smolstr!("rejected due to timeout after waiting {patience} at plugin {plugin}");
            self.waiting.reject(uid, Status::new(Code::Unschedulable, text).by(plugin));
        }
    }

    /// Tries the pods at once that plugins want to be tried, and binds or fails the waiting pods about which something was
    /// decided.
    pub(super) fn act_on_decided(&mut self, ctx: &mut Ctx<'_, Timer>) {
        for id in std::mem::take(&mut self.waiting.activated) {
            if let Some(object) = self.queue.get(id).map(|pod| pod.object.clone()) {
                self.queue.activate(context!(self), &object, ctx.now());
            }
        }
        while !self.waiting.decided.is_empty() {
            let Waiting { pods, decided, .. } = &mut self.waiting;
            let id = decided.remove(0);
            let (Some(waiting), Some(held)) = (pods.remove(&id), self.held.remove(&id)) else { continue };
            let code = waiting.rejected.as_ref().map_or(Code::Success, |status| status.code);
            self.metrics.permitted(code, ctx.now() - held.assumed);
            match waiting.rejected {
                None => self.bind(ctx, held),
                Some(status) => self.binding_failed(ctx, held, &status),
            }
        }
    }

    /// Goes on with the PreBind plugins from where it is, then binds.
    fn bind(&mut self, ctx: &mut Ctx<'_, Timer>, mut held: Held) {
        let id = uid(&held.pod.object);
        // Nobody can refuse the pod any more, so events do not matter to it.
        self.queue.done(id);
        let mut effects = Effects::default();
        let outcome = self.pre_bind(ctx.now(), &mut held, &mut effects);
        self.apply(ctx, effects);
        match outcome {
            PreBound::Done(status) if status.is_success() => return self.ask_binders(ctx, held),
            PreBound::Done(status) => return self.binding_failed(ctx, held, &status),
            PreBound::Send(requests) => {
                held.answers = vec![None; requests.len()];
                for (at, request) in requests.into_iter().enumerate() {
                    let tag = self.next_tag();
                    self.bindings.insert(tag, Sent::PreBind(id, at));
                    ctx.request(request, tag);
                }
            }
            PreBound::Wait(patience) => {
                held.waits_until = Some(ctx.set_timer(patience, Timer::PreBind { uid: id }));
            }
        }
        self.held.insert(id, held);
    }

    /// Asks the PreBind plugins in turn. Anything but an unfinished one is `Done`.
    fn pre_bind(&self, now: Time, held: &mut Held, effects: &mut Effects) -> PreBound {
        let profile = &self.profiles[held.pod.profile];
        let attempt = Attempt { pod: &held.pod.info, object: &held.pod.object, cluster: &self.cache, now };
        let Some(state) = held.state.as_mut() else { return PreBound::Done(Status::success()) };
        while let Some(&i) = profile.at(Point::PreBind).get(held.pre_bind_at) {
            let plugin = profile.plugin(i);
            let answers: Vec<_> = std::mem::take(&mut held.answers).into_iter().flatten().collect();
            match plugin.pre_bind(state.of_mut(i), &attempt, &held.node, &answers, effects) {
                PreBound::Done(status) if matches!(status.code, Code::Success | Code::Skip) => {
                    held.pre_bind_at += 1;
                }
                PreBound::Done(status) => return PreBound::Done(named("PreBind", plugin.name(), status)),
                // Nothing to wait for: the plugin is asked again at once.
                PreBound::Send(requests) if requests.is_empty() => {}
                unfinished => return unfinished,
            }
        }
        PreBound::Done(Status::success())
    }

    /// One request of a PreBind plugin was answered.
    pub(super) fn pre_bind_answered(
        &mut self,
        ctx: &mut Ctx<'_, Timer>,
        id: Uid,
        at: usize,
        answer: Result<Arc<Object>, ApiError>,
    ) {
        let Some(held) = self.held.get_mut(&id) else { return };
        if let Some(place) = held.answers.get_mut(at) {
            *place = Some(answer);
        }
        if held.answers.iter().all(Option::is_some)
            && let Some(held) = self.held.remove(&id)
        {
            self.bind(ctx, held);
        }
    }

    /// Asks a waiting PreBind plugin again.
    pub(super) fn go_on_binding(&mut self, ctx: &mut Ctx<'_, Timer>, id: Uid) {
        let waits = self.held.get_mut(&id).and_then(|held| held.waits_until.take());
        if let Some(timer) = waits
            && let Some(held) = self.held.remove(&id)
        {
            ctx.cancel(timer);
            self.bind(ctx, held);
        }
    }

    /// Some object changed that waiting PreBind plugins may wait for.
    pub(super) fn go_on_waiting_bindings(&mut self, ctx: &mut Ctx<'_, Timer>) {
        let waiting = self.held.iter().filter(|(_, held)| held.waits_until.is_some());
        let ids: Vec<Uid> = waiting.map(|(id, _)| *id).collect();
        for id in ids {
            self.go_on_binding(ctx, id);
        }
    }

    pub(super) fn next_tag(&mut self) -> Tag {
        self.next_tag += 1;
        Tag(self.next_tag)
    }

    /// Lets extenders bind, else the Bind plugins.
    fn ask_binders(&mut self, ctx: &mut Ctx<'_, Timer>, mut held: Held) {
        let mut calls = ExtenderCalls::default();
        let attempt =
            Attempt { pod: &held.pod.info, object: &held.pod.object, cluster: &self.cache, now: ctx.now() };
        held.extender = self.extenders.bind(&attempt, &held.node, &mut calls);
        let delay = self.delay_of(ctx, calls);
        if delay.is_zero() {
            return self.go_on_after_extenders(ctx, held);
        }
        let id = uid(&held.pod.object);
        ctx.set_timer(delay, Timer::ExtenderBinding { uid: id });
        self.held.insert(id, held);
    }

    /// The extenders' time is over.
    pub(super) fn extender_bound(&mut self, ctx: &mut Ctx<'_, Timer>, id: Uid) {
        if let Some(held) = self.held.remove(&id) {
            self.go_on_after_extenders(ctx, held);
        }
    }

    fn go_on_after_extenders(&mut self, ctx: &mut Ctx<'_, Timer>, held: Held) {
        match &held.extender {
            None => self.send_binding(ctx, held),
            Some(Ok(())) => {
                let meta = &held.pod.object.meta;
                let request = Request::Bind { key: meta.key.clone(), uid: meta.uid, node: held.node.clone() };
                self.request_binding(ctx, held, request);
            }
            Some(Err(text)) => {
                let status = Status::error(text.as_str());
                self.binding_failed(ctx, held, &status);
            }
        }
    }

    fn request_binding(&mut self, ctx: &mut Ctx<'_, Timer>, held: Held, request: Request) {
        let (tag, id) = (self.next_tag(), uid(&held.pod.object));
        self.bindings.insert(tag, Sent::Binding(id));
        self.held.insert(id, held);
        ctx.request(request, tag);
    }

    /// Asks the Bind plugins, and sends what the first says that does not skip.
    fn send_binding(&mut self, ctx: &mut Ctx<'_, Timer>, held: Held) {
        let profile = &self.profiles[held.pod.profile];
        let attempt =
            Attempt { pod: &held.pod.info, object: &held.pod.object, cluster: &self.cache, now: ctx.now() };
        // Upstream ends in an error if every plugin skips; so does this.
        let mut status = Status::skip();
        for &i in profile.at(Point::Bind) {
            let plugin = profile.plugin(i);
            match plugin.bind(&attempt, &held.node) {
                Binding::Skip => {}
                Binding::Send(request) => return self.request_binding(ctx, held, request),
                Binding::Failed(failed) => {
                    status = named("Bind", plugin.name(), failed);
                    break;
                }
            }
        }
        self.binding_failed(ctx, held, &status);
    }

    /// The API server answered a binding.
    pub(super) fn bound(&mut self, ctx: &mut Ctx<'_, Timer>, id: Uid, error: Option<ApiError>) {
        let Some(mut held) = self.held.remove(&id) else { return };
        let profile = &self.profiles[held.pod.profile];
        match error {
            None => {
                let meta = &held.pod.object.meta;
                let text =
                    format!("Successfully assigned {}/{} to {}", meta.namespace(), meta.name(), held.node);
                ctx.event(&held.pod.object, EventType::Normal, "Scheduled", &text);
                self.last_attempts.remove(&id);
                let QueuedPod { profile: number, cycle_started, attempts, initial_attempt, .. } = *held.pod;
                self.metrics.attempt(number, Ending::Scheduled, ctx.now() - cycle_started);
                self.metrics.bound(attempts, initial_attempt.map(|since| ctx.now() - since));
                let Some(state) = held.state.as_mut() else { return };
                let attempt = Attempt {
                    pod: &held.pod.info,
                    object: &held.pod.object,
                    cluster: &self.cache,
                    now: ctx.now(),
                };
                for &i in profile.at(Point::PostBind) {
                    profile.plugin(i).post_bind(state.of_mut(i), &attempt, &held.node);
                }
            }
            Some(error) => {
                let binder = profile.at(Point::Bind).iter().map(|i| profile.plugin(*i).name()).next();
                let binder = binder.unwrap_or("DefaultBinder");
                let status = match held.extender {
                    Some(_) => Status::error(error.message),
                    None => named("Bind", binder, Status::error(error.message)),
                };
                self.binding_failed(ctx, held, &status);
            }
        }
    }

    /// Unreserves and forgets. False if the pod was not assumed any more.
    fn unreserve(&mut self, ctx: &mut Ctx<'_, Timer>, held: &mut Held) -> bool {
        let profile = &self.profiles[held.pod.profile];
        let mut effects = Effects::default();
        if let Some(state) = held.state.as_mut() {
            let attempt = Attempt {
                pod: &held.pod.info,
                object: &held.pod.object,
                cluster: &self.cache,
                now: ctx.now(),
            };
            for &i in profile.at(Point::Reserve).iter().rev() {
                profile.plugin(i).unreserve(state.of_mut(i), &attempt, &held.node, &mut effects);
            }
        }
        self.apply(ctx, effects);
        self.cache.forget(uid(&held.pod.object))
    }

    /// Gives back what the pod took (`handleBindingCycleError`). To the others it is as if it were deleted from its node;
    /// a pod that was refused is not to hear of that itself.
    fn binding_failed(&mut self, ctx: &mut Ctx<'_, Timer>, mut held: Held, status: &Status) {
        let id = uid(&held.pod.object);
        let rejected = status.code.is_rejected();
        let gone = Happening::new(Wake::PodDeleted, Some(&on_node(&held.pod.object, &held.node)), None);
        let forgotten = self.unreserve(ctx, &mut held);
        if forgotten && !rejected {
            self.queue.move_all(context!(self), &gone, ctx.now(), |_| true);
        }
        let failure = Failure::after_choice(held.slot, status);
        if held.gone {
            self.queue.done(id);
            self.count_failure(ctx.now(), &held.pod, rejected);
            ctx.event(&held.pod.object, EventType::Warning, "FailedScheduling", &failure.note());
        } else {
            self.failed(ctx, held.pod, failure);
        }
        if forgotten && rejected {
            self.queue.move_all(context!(self), &gone, ctx.now(), |pod| uid(&pod.object) != id);
        }
    }
}

/// An assumed pod as the cache saw it.
fn on_node(object: &Arc<Object>, node: &SmolStr) -> Arc<Object> {
    let mut object = Object::clone(object);
    if let Body::Pod(pod) = &mut object.body {
        pod.node_name = node.clone();
    }
    Arc::new(object)
}

/// A status of a plugin at a point: rejections are the plugin's own, anything else is an error that names both.
fn named(point: &str, plugin: &'static str, status: Status) -> Status {
    if status.code.is_rejected() {
        return status.by(plugin);
    }
    Status::error(format_smolstr!("running {point} plugin {plugin:?}: {status}")).by(plugin)
}
