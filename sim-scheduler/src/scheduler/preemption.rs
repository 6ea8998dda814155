//! Carrying out a preemption while the scheduler goes on (`prepareCandidateAsync` of `framework/preemption`).
//!
//! All victims but the last are evicted side by side; the pod that they make room for is gated meanwhile. The gate is
//! opened before the last one goes, so that its going wakes the pod.

use std::sync::Arc;

use sim_core::api::error::{ApiError, Reason};
use sim_core::api::kind::Kind;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::api::pod_status::{ConditionStatus, PodCondition};
use sim_core::api::request::{DeleteOptions, PodStatusPatch, Request};
use sim_core::engine::component::Ctx;
use sim_core::engine::log::EventType;
use smol_str::{SmolStr, format_smolstr};

use super::attempt::says_something_new;
use super::binding::Sent;
use super::{Scheduler, Timer};
use crate::framework::{Code, Preemption, Status};
use crate::queue::QueuedPod;

/// Victims that are evicted at the same time (`parallelism`).
const SIDE_BY_SIDE: usize = 16;

/// A preemption that is being carried out.
#[derive(Clone, Debug)]
pub(super) struct Underway {
    preemptor: Arc<Object>,
    /// Who preempts.
    plugin: &'static str,
    node: SmolStr,
    victims: Vec<Arc<Object>>,
    /// The first of the victims whose eviction has not begun.
    next: usize,
    /// Evictions that have begun and are not over.
    busy: usize,
    /// True once the API server refused something: nothing more is sent then.
    failed: bool,
    /// True once a victim was there to be evicted.
    evicted: bool,
}

/// What was asked about a victim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    preemption: u64,
    victim: usize,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Condition,
    Deletion,
}

impl Scheduler {
    /// Starts to evict the victims.
    pub(super) fn preempt(&mut self, ctx: &mut Ctx<'_, Timer>, pod: &QueuedPod, preemption: Preemption) {
        let Preemption { plugin, node, victims, .. } = preemption;
        self.metrics.victims(victims.len());
        let victims = victims.iter().filter_map(|uid| self.cache.pod_object(*uid).cloned());
        // Those that end already need no push.
        let victims: Vec<_> = victims.filter(|victim| !victim.meta.is_deleting()).collect();
        if victims.is_empty() {
            return;
        }
        self.metrics.preemption();
        self.preempting.insert(pod.object.meta.uid);
        self.take_back_promises(ctx, pod, &node);
        self.next_preemption += 1;
        let preemptor = pod.object.clone();
        let underway =
            Underway { preemptor, plugin, node, victims, next: 0, busy: 0, failed: false, evicted: false };
        self.preemptions.insert(self.next_preemption, underway);
        self.go_on_preempting(ctx, self.next_preemption);
    }

    /// Pods of lower priority may not fit any more where they were promised a place. The answer to this makes the queue
    /// try them elsewhere.
    fn take_back_promises(&mut self, ctx: &mut Ctx<'_, Timer>, pod: &QueuedPod, node: &str) {
        let lower =
            self.queue.nominator().on(node).iter().filter(|other| other.info.priority < pod.info.priority);
        let pods = lower.filter_map(|other| self.queue.get(other.uid));
        for key in pods.map(|other| other.object.meta.key.clone()).collect::<Vec<_>>() {
            let patch =
                PodStatusPatch { nominated_node_name: Some(SmolStr::default()), ..PodStatusPatch::default() };
            ctx.send(Request::PatchPodStatus { key, uid: Uid::default(), patch: Box::new(patch) });
        }
    }

    fn go_on_preempting(&mut self, ctx: &mut Ctx<'_, Timer>, id: u64) {
        while let Some(underway) = self.preemptions.get_mut(&id) {
            let last = underway.victims.len() - 1;
            if underway.failed {
                underway.next = underway.next.max(last);
            }
            let victim = underway.next;
            let room = if victim < last { SIDE_BY_SIDE } else { 1 };
            if underway.busy >= room {
                return;
            }
            if victim > last {
                return self.end_preemption(ctx, id);
            }
            if victim == last {
                self.preempting.remove(&underway.preemptor.meta.uid);
            }
            underway.next += 1;
            self.evict(ctx, id, victim);
        }
    }

    /// `PreemptPod`: a waiting pod is rejected, any other is told why it goes, and deleted.
    fn evict(&mut self, ctx: &mut Ctx<'_, Timer>, id: u64, victim: usize) {
        let Some(underway) = self.preemptions.get_mut(&id) else { return };
        let object = &underway.victims[victim];
        if self.waiting.pods.contains_key(&object.meta.uid) {
            let status = Status::new(Code::Unschedulable, "preempted").by(underway.plugin);
            self.waiting.reject(object.meta.uid, status);
            underway.evicted(ctx, victim);
            return;
        }
        if underway.failed {
            return;
        }
        underway.busy += 1;
        let scheduler = underway.preemptor.as_pod().and_then(|pod| pod.spec.scheduler_name.as_deref());
        let condition = PodCondition {
            kind: SmolStr::new_static("DisruptionTarget"),
            status: ConditionStatus::True,
            reason: SmolStr::new_static("PreemptionByScheduler"),
            message: format_smolstr!(
                "{}: preempting to accommodate a higher priority pod",
                scheduler.unwrap_or_default()
            ),
            last_transition_time: ctx.now().truncate_to_secs(),
            observed_generation: object.meta.generation,
        };
        let old = object.as_pod().and_then(|pod| pod.status.condition("DisruptionTarget"));
        if !says_something_new(old, &condition) {
            return self.delete_victim(ctx, id, victim);
        }
        let patch = PodStatusPatch { conditions: vec![condition], ..PodStatusPatch::default() };
        // As upstream's, the request names the pod, whichever has that name by now.
        let request = Request::PatchPodStatus {
            key: object.meta.key.clone(),
            uid: Uid::default(),
            patch: Box::new(patch),
        };
        self.ask(ctx, request, Asked { preemption: id, victim, step: Step::Condition });
    }

    fn delete_victim(&mut self, ctx: &mut Ctx<'_, Timer>, id: u64, victim: usize) {
        let Some(underway) = self.preemptions.get(&id) else { return };
        let key = underway.victims[victim].meta.key.clone();
        let request = Request::Delete { kind: Kind::POD, key, options: DeleteOptions::default() };
        self.ask(ctx, request, Asked { preemption: id, victim, step: Step::Deletion });
    }

    fn ask(&mut self, ctx: &mut Ctx<'_, Timer>, request: Request, asked: Asked) {
        let tag = self.next_tag();
        self.bindings.insert(tag, Sent::Preemption(asked));
        ctx.request(request, tag);
    }

    /// The API server answered about a victim.
    pub(super) fn victim_answered(
        &mut self,
        ctx: &mut Ctx<'_, Timer>,
        asked: Asked,
        answer: Result<Arc<Object>, ApiError>,
    ) {
        let Asked { preemption: id, victim, step } = asked;
        let Some(underway) = self.preemptions.get_mut(&id) else { return };
        match (step, answer) {
            _ if underway.failed => {}
            (Step::Condition, Ok(_)) => return self.delete_victim(ctx, id, victim),
            (Step::Deletion, Ok(_)) => underway.evicted(ctx, victim),
            // Gone already.
            (_, Err(error)) if error.reason == Reason::NotFound => {}
            (_, Err(_)) => underway.failed = true,
        }
        underway.busy -= 1;
        self.go_on_preempting(ctx, id);
    }

    /// Nothing may come that wakes the pod if something went wrong, or if all victims had gone before: then it is tried
    /// again at once.
    fn end_preemption(&mut self, ctx: &mut Ctx<'_, Timer>, id: u64) {
        let Some(underway) = self.preemptions.remove(&id) else { return };
        if underway.failed || !underway.evicted {
            self.queue.activate(context!(self), &underway.preemptor, ctx.now());
        }
    }
}

impl Underway {
    fn evicted(&mut self, ctx: &mut Ctx<'_, Timer>, victim: usize) {
        self.evicted = true;
        let text = format!("Preempted by pod {} on node {}", self.preemptor.meta.uid, self.node);
        ctx.event(&self.victims[victim], EventType::Normal, "Preempted", &text);
    }
}
