//! Deletes finished Jobs after their time to live (`pkg/controller/ttlafterfinished`).

use std::sync::Arc;

use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind, DeleteOptions, Propagation, Request};
use sim_core::time::{Span, Time, secs};

use super::conditions;
use crate::machinery::cache::Caches;
use crate::machinery::fx::{Effect, Fx, Outcome, live_get};
use crate::machinery::host;
use crate::machinery::wire;
use crate::manager::{LaneId, Timer};
use crate::replica_set::Enqueue;

/// The controller.
#[derive(Clone, Debug, Default)]
pub struct TtlAfterFinished;

impl host::Controller for TtlAfterFinished {
    type Key = Key;
    type Input = Arc<Object>;

    fn gather(&mut self, caches: &Caches, key: &Key, _now: Time) -> Option<Arc<Object>> {
        caches.get(Kind::JOB, key).filter(|o| needs_cleanup(o)).cloned()
    }

    fn sync(object: &Arc<Object>, fx: &mut Fx<'_>) -> Outcome {
        if !expired(object, fx) {
            return Ok(());
        }
        // The spec may have changed since: upstream looks again before it deletes for good.
        let fresh = match fx.call(|| live_get(Kind::JOB, object.key().clone()))? {
            Err(error) if error.is_not_found() => return Ok(()),
            answer => answer?,
        };
        if !needs_cleanup(&fresh) || !expired(&fresh, fx) {
            return Ok(());
        }
        let options = DeleteOptions {
            uid: fresh.meta.uid,
            propagation: Propagation::Foreground,
            ..DeleteOptions::default()
        };
        let answer = fx.call(|| Request::Delete { kind: Kind::JOB, key: fresh.key().clone(), options })?;
        answer.map(|_| ()).map_err(Into::into)
    }

    fn apply(&mut self, _key: &Key, _effect: Effect, _now: Time) -> Option<Key> {
        None
    }

    fn timer(key: Key) -> Timer {
        Timer::Work(LaneId::TtlAfterFinished, key)
    }
}

fn needs_cleanup(object: &Object) -> bool {
    let due = |job: &sim_core::api::object::Job| {
        job.spec.ttl_seconds_after_finished.is_some() && conditions::finished(&job.status).is_some()
    };
    !object.meta.is_deleting() && object.as_job().is_some_and(due)
}

/// True if the time to live is over; else asks to look again when it is.
fn expired(object: &Object, fx: &mut Fx<'_>) -> bool {
    let Some(job) = object.as_job() else { return false };
    let finished = conditions::finished(&job.status).and_then(|c| c.last_transition_time.as_ref());
    let (Some(finished), Some(ttl)) = (finished, job.spec.ttl_seconds_after_finished) else { return false };
    let left = wire::instant(fx.epoch(), finished) + secs(i64::from(ttl)) - fx.now();
    if left > Span::ZERO {
        fx.emit(Effect::RequeueAfter(left));
    }
    left <= Span::ZERO
}

/// A Job changed.
pub fn job_changed(change: &Change, enqueue: Enqueue<'_>) {
    if change.kind != ChangeKind::Deleted && needs_cleanup(&change.new) {
        enqueue(change.new.key().clone(), Span::ZERO);
    }
}
