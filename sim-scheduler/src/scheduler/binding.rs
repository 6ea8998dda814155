//! From a chosen node to a bound pod: assume, reserve, permit, bind, and the way back when one of them fails.

use sim_core::api::error::ApiError;
use sim_core::api::meta::Uid;
use sim_core::api::request::Tag;
use sim_core::engine::component::Ctx;
use sim_core::engine::log::EventType;
use sim_core::time::{Span, mins};
use smol_str::{SmolStr, format_smolstr};

use super::attempt::Failure;
use super::{Scheduler, Timer, uid};
use crate::cache::Slot;
use crate::cycle::CycleState;
use crate::framework::{Attempt, Binding, Code, Permission, Point, Status, Waiting, WaitingPod, Wake};
use crate::queue::QueuedPod;

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
    /// `None` if no plugin wants it.
    state: Option<CycleState>,
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
        if !self.cache.assume(id, pod.info.clone(), &node) {
            let message = format!("pod {id}({}) is in the cache, so can't be assumed", pod.object.meta.key);
            let nominated = Some(SmolStr::default());
            return self.failed(ctx, pod, Failure { message, rejected: false, diagnosis: None, nominated });
        }
        self.nominator.remove(id);
        let mut held = Held { pod, gone: false, slot, node, state };
        let status = self.reserve_and_permit(ctx, &mut held);
        match status.code {
            Code::Success => self.bind(ctx, held),
            Code::Wait => {
                self.held.insert(id, held);
            }
            _ => {
                self.give_back(ctx, &mut held, None);
                let failure = Failure::after_choice(held.slot, &status);
                self.failed(ctx, held.pod, failure);
            }
        }
    }

    fn reserve_and_permit(&mut self, ctx: &mut Ctx<'_, Timer>, held: &mut Held) -> Status {
        let Some(state) = held.state.as_mut() else { return Status::success() };
        let profile = &self.profiles[held.pod.profile];
        let attempt =
            Attempt { pod: &held.pod.info, object: &held.pod.object, cluster: &self.cache, now: ctx.now() };
        for &i in profile.at(Point::Reserve) {
            let plugin = profile.plugin(i);
            let status = plugin.reserve(state.of_mut(i), &attempt, &held.node);
            if !status.is_success() {
                return named("Reserve", plugin.name(), status);
            }
        }
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
            let patience = go_duration(patience);
            let text = format_smolstr!("rejected due to timeout after waiting {patience} at plugin {plugin}");
            self.waiting.reject(uid, Status::new(Code::Unschedulable, text).by(plugin));
        }
    }

    /// Binds or fails the waiting pods about which something was decided.
    pub(super) fn act_on_decided(&mut self, ctx: &mut Ctx<'_, Timer>) {
        while !self.waiting.decided.is_empty() {
            let Waiting { pods, decided } = &mut self.waiting;
            let id = decided.remove(0);
            let (Some(waiting), Some(mut held)) = (pods.remove(&id), self.held.remove(&id)) else { continue };
            match waiting.rejected {
                None => self.bind(ctx, held),
                Some(status) => {
                    self.give_back(ctx, &mut held, Some(id));
                    self.binding_failed(ctx, held, &status);
                }
            }
        }
    }

    /// PreBind and Bind plugins.
    fn bind(&mut self, ctx: &mut Ctx<'_, Timer>, mut held: Held) {
        let profile = &self.profiles[held.pod.profile];
        let attempt =
            Attempt { pod: &held.pod.info, object: &held.pod.object, cluster: &self.cache, now: ctx.now() };
        let mut status = Status::success();
        for &i in profile.at(Point::PreBind) {
            let Some(state) = held.state.as_mut() else { break };
            let plugin = profile.plugin(i);
            status = plugin.pre_bind(state.of_mut(i), &attempt, &held.node);
            if !status.is_success() {
                status = named("PreBind", plugin.name(), status);
                break;
            }
        }
        if status.is_success() {
            // Upstream ends in an error if every plugin skips; so does this.
            status = Status::skip();
            for &i in profile.at(Point::Bind) {
                let plugin = profile.plugin(i);
                match plugin.bind(&attempt, &held.node) {
                    Binding::Skip => {}
                    Binding::Send(request) => {
                        self.next_tag += 1;
                        let tag = Tag(self.next_tag);
                        let id = uid(&held.pod.object);
                        self.bindings.insert(tag, id);
                        self.held.insert(id, held);
                        ctx.request(request, tag);
                        return;
                    }
                    Binding::Failed(failed) => {
                        status = named("Bind", plugin.name(), failed);
                        break;
                    }
                }
            }
        }
        self.give_back(ctx, &mut held, None);
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
                let status = named("Bind", binder, Status::error(error.message));
                self.give_back(ctx, &mut held, None);
                self.binding_failed(ctx, held, &status);
            }
        }
    }

    /// Unreserves and forgets. The room that this makes wakes other pods; `but` not this one.
    fn give_back(&mut self, ctx: &mut Ctx<'_, Timer>, held: &mut Held, but: Option<Uid>) {
        let profile = &self.profiles[held.pod.profile];
        if let Some(state) = held.state.as_mut() {
            let attempt = Attempt {
                pod: &held.pod.info,
                object: &held.pod.object,
                cluster: &self.cache,
                now: ctx.now(),
            };
            for &i in profile.at(Point::Reserve).iter().rev() {
                profile.plugin(i).unreserve(state.of_mut(i), &attempt, &held.node);
            }
        }
        if self.cache.forget(uid(&held.pod.object)) {
            let others = |pod: &QueuedPod| Some(uid(&pod.object)) != but;
            self.queue.move_all(&self.profiles, Wake::PodDeleted, ctx.now(), others);
        }
    }

    fn binding_failed(&mut self, ctx: &mut Ctx<'_, Timer>, held: Held, status: &Status) {
        if held.gone {
            let message = status.message();
            ctx.event(&held.pod.object, EventType::Warning, "FailedScheduling", &message);
            return;
        }
        let failure = Failure::after_choice(held.slot, status);
        self.failed(ctx, held.pod, failure);
    }
}

/// A duration as Go prints it: from a second on, minutes and seconds of longer ones are always there.
fn go_duration(span: Span) -> String {
    let (seconds, millis) = (span.as_secs(), span.0 / 1_000_000 % 1_000);
    if seconds == 0 {
        return format!("{millis}ms");
    }
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = match millis {
        0 => String::new(),
        _ => format!(".{millis:03}").trim_end_matches('0').to_owned(),
    };
    match (h, m) {
        (0, 0) => format!("{s}{fraction}s"),
        (0, m) => format!("{m}m{s}{fraction}s"),
        (h, m) => format!("{h}h{m}m{s}{fraction}s"),
    }
}

/// A status of a plugin at a point: rejections are the plugin's own, anything else is an error that names both.
fn named(point: &str, plugin: &'static str, status: Status) -> Status {
    if status.code.is_rejected() {
        return status.by(plugin);
    }
    Status::error(format_smolstr!("running {point} plugin {plugin:?}: {status}")).by(plugin)
}

#[cfg(test)]
mod tests {
    use super::go_duration;
    use sim_core::time::{millis, secs};

    #[test]
    fn durations_in_gos_words() {
        for (span, text) in [
            (secs(10), "10s"),
            (secs(60), "1m0s"),
            (secs(3_661), "1h1m1s"),
            (millis(1_500), "1.5s"),
            (millis(250), "250ms"),
        ] {
            assert_eq!(go_duration(span), text);
        }
    }
}
