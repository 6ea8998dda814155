//! The deletion of one pod (`addConditionAndDeletePod`).

use std::sync::Arc;

use sim_core::api::error::ApiError;
use sim_core::api::kind::Kind;
use sim_core::api::object::Object;
use sim_core::api::pod_status::{ConditionStatus, PodCondition, PodStatus};
use sim_core::api::request::{PodStatusPatch, Request};
use sim_core::time::{Span, Time, millis};
use smol_str::SmolStr;

use super::EVENT_REASON;
use crate::machinery::fx::{Effect, Fx, Outcome, Own, Stop, live_get};
use crate::machinery::pod_control::delete;
use crate::machinery::queue::Backoff;

pub(super) const BACKOFF: Backoff = Backoff { base: millis(10), max: millis(10), bucket: false };

/// What a sync reads.
#[derive(Clone, Debug)]
pub struct Input {
    pub(super) pod: Arc<Object>,
    /// How long until it is due.
    pub(super) wait: Span,
    pub(super) is_told: bool,
    /// It is not tried once more.
    pub(super) is_last: bool,
}

pub(super) fn sync(input: &Input, fx: &mut Fx<'_>) -> Outcome {
    if input.wait > Span::ZERO {
        // It was put off after the timer was set.
        fx.emit(Effect::RequeueAfter(input.wait));
        return Ok(());
    }
    match attempt(input, fx) {
        Err(Stop::Failed(error)) if !error.is_not_found() && !input.is_last => Err(Stop::Failed(error)),
        Err(Stop::Waiting(requests)) => Err(Stop::Waiting(requests)),
        _ => {
            fx.emit(Effect::Own(Own::EvictionOver));
            Ok(())
        }
    }
}

fn attempt(input: &Input, fx: &mut Fx<'_>) -> Outcome {
    let pod = &input.pod;
    let current = fx.call(|| live_get(Kind::POD, pod.key().clone()))??;
    if current.meta.uid != pod.meta.uid {
        // Another one has taken its place: nothing is left to be done.
        return Ok(());
    }
    if !input.is_told {
        fx.normal(pod, EVENT_REASON, "Marking for deletion".to_owned());
        fx.emit(Effect::Own(Own::EvictionTold));
    }
    let condition = condition(fx.now());
    let status = current.as_pod().map(|pod| PodStatus::clone(&pod.status));
    if status.is_some_and(|mut status| status.set_condition(condition.clone())) {
        let patch = PodStatusPatch { conditions: vec![condition], ..PodStatusPatch::default() };
        let patch =
            || Request::PatchPodStatus { key: pod.key().clone(), uid: pod.meta.uid, patch: Box::new(patch) };
        fx.call(patch)??;
    }
    let answer: Result<_, ApiError> = fx.call(|| delete(Kind::POD, pod.key().clone(), pod.meta.uid))?;
    answer.map(|_| ()).map_err(Into::into)
}

fn condition(now: Time) -> PodCondition {
    PodCondition {
        kind: SmolStr::new_static("DisruptionTarget"),
        status: ConditionStatus::True,
        reason: SmolStr::new_static("DeletionByDeviceTaintManager"),
        message: SmolStr::new_static("Device Taint manager: deleting due to NoExecute taint"),
        last_transition_time: now.truncate_to_secs(),
        ..PodCondition::default()
    }
}
