//! The effect journal: how a sync that waits for answers stays a pure function.
//!
//! A sync is written straight down, as upstream's is: it reads its input, asks, uses the answer, asks again. It runs
//! over a *journal* of the answers it has got so far. When it asks something that the journal does not answer yet, it
//! stops with [`Stop::Waiting`]; when the answers are there, it is run again from the start, over the same input and a
//! longer journal, and comes to the same point. Effects (events, expectations, requeues) are numbered by the order in
//! which they are emitted, so that the caller applies each exactly once.
//!
//! Invariant: a sync depends on nothing but its input and its journal; that includes the clock, which is the start of
//! the sync until the first answer and the instant of the last answer after that.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1;
use sim_core::api::error::ApiError;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::{MetaPatch, Request};
use sim_core::engine::component::ObjectRef;
use sim_core::engine::log::EventType;
use sim_core::time::{Epoch, Span, Time};

use super::wire;
use crate::job::backoff::Record;

/// The answer to one request.
pub type Answer = Result<Arc<Object>, ApiError>;

/// The answers to requests that were sent together.
#[derive(Clone, Debug)]
pub struct Round {
    /// When the last of them came.
    pub at: Time,
    /// In the order of the requests.
    pub answers: Vec<Answer>,
}

/// Why a sync stops before its end.
#[derive(Debug)]
pub enum Stop {
    /// These requests must be answered first.
    Waiting(Vec<Request>),
    /// The sync failed and is to be retried with back-off.
    Failed(ApiError),
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Stop::Failed(error)
    }
}

/// How a sync ends.
pub type Outcome = Result<(), Stop>;

/// Something a sync does beside asking the API server.
#[derive(Clone, Debug)]
pub enum Effect {
    /// An Event about an object.
    Event {
        /// Whom it is about.
        about: Arc<Object>,
        /// Normal or Warning.
        event_type: EventType,
        /// CamelCase reason.
        reason: &'static str,
        /// Text.
        message: String,
    },
    /// Look at the key again after a while.
    RequeueAfter(Span),
    /// Look at the key again with back-off, without counting the sync as failed.
    RequeueRateLimited,
    /// Await creations and deletions, counted (`SetExpectations`).
    Expect {
        /// Creations.
        creations: usize,
        /// Deletions.
        deletions: usize,
    },
    /// Await the creation of pods.
    ExpectCreations(usize),
    /// Await the deletion of these pods.
    ExpectDeletions(Vec<Key>),
    /// An awaited creation will not come.
    CreationFailed,
    /// The deletion of this pod need not be awaited.
    DeletionFailed(Key),
    /// Anything that one controller alone knows about.
    Own(Own),
}

/// Effects on the private state of one controller.
#[derive(Clone, Debug)]
pub enum Own {
    /// Job: the finalizer removal of these pods was asked for and is not seen yet.
    ExpectFinalizersGone(Vec<Uid>),
    /// Job: the finalizer of this pod is not going to be seen removed.
    FinalizerObserved(Uid),
    /// DaemonSet: a failed pod of this node was handled; the next one waits longer.
    NodeBackoff(smol_str::SmolStr),
    /// Job: what is known of its failures now.
    JobBackoff(Record),
    /// Garbage collector: look at this object too.
    Collect(ObjectRef),
    /// ResourceClaims: this claim was made; the watch may show it later.
    ClaimMade(Arc<Object>),
    /// Device taints: the pod's owners were told what happens to it.
    EvictionTold,
    /// Device taints: nothing is left to be done for the pod.
    EvictionOver,
}

/// What a sync runs on.
pub struct Fx<'a> {
    epoch: Epoch,
    now: Time,
    journal: &'a [Round],
    used: usize,
    effects: Vec<Effect>,
}

impl<'a> Fx<'a> {
    /// A run of a sync that started at `start` and has these answers.
    pub fn new(epoch: Epoch, start: Time, journal: &'a [Round]) -> Self {
        Fx { epoch, now: start, journal, used: 0, effects: Vec::new() }
    }

    /// The current instant.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The current instant as a status has it.
    pub fn wire_now(&self) -> v1::Time {
        wire::wire(self.epoch, self.now)
    }

    /// Date of instant zero.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Sends requests together and waits for all answers. `make` is called only if they were not sent before.
    ///
    /// # Errors
    /// [`Stop::Waiting`] until all answers are there. An empty list is answered at once.
    pub fn batch(&mut self, make: impl FnOnce() -> Vec<Request>) -> Result<&'a [Answer], Stop> {
        if let Some(round) = self.journal.get(self.used) {
            self.used += 1;
            self.now = self.now.max(round.at);
            return Ok(&round.answers);
        }
        let requests = make();
        if requests.is_empty() { Ok(&[]) } else { Err(Stop::Waiting(requests)) }
    }

    /// Sends one request and waits for its answer.
    ///
    /// # Errors
    /// [`Stop::Waiting`] until the answer is there.
    pub fn call(&mut self, make: impl FnOnce() -> Request) -> Result<Answer, Stop> {
        let answers = self.batch(|| vec![make()])?;
        Ok(answers.first().cloned().expect("one request has one answer"))
    }

    /// Emits an effect.
    pub fn emit(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Emits a normal Event.
    pub fn normal(&mut self, about: &Arc<Object>, reason: &'static str, message: String) {
        self.emit(Effect::Event { about: about.clone(), event_type: EventType::Normal, reason, message });
    }

    /// Emits a warning Event.
    pub fn warning(&mut self, about: &Arc<Object>, reason: &'static str, message: String) {
        self.emit(Effect::Event { about: about.clone(), event_type: EventType::Warning, reason, message });
    }

    /// The effects so far, in order, those of earlier runs included.
    pub fn into_effects(self) -> Vec<Effect> {
        self.effects
    }
}

/// Reads an object past the cache.
// A patch that changes nothing is no write and answers with the object as it is: the contract has no GET.
pub fn live_get(kind: Kind, key: Key) -> Request {
    Request::PatchMeta { kind, key, uid: Uid::default(), patch: Box::new(MetaPatch::default()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::api::error::Reason;
    use sim_core::api::meta::Meta;
    use sim_core::time::secs;

    fn two_steps(fx: &mut Fx<'_>) -> Outcome {
        fx.emit(Effect::RequeueAfter(secs(1)));
        fx.call(|| live_get(Kind::POD, Key::new("d", "a")))??;
        fx.emit(Effect::RequeueAfter(secs(2)));
        fx.call(|| live_get(Kind::POD, Key::new("d", "b")))??;
        Ok(())
    }

    #[test]
    fn a_sync_comes_to_the_same_point_again() {
        let pod = Arc::new(Object::new(
            Meta::default(),
            sim_core::api::object::Body::Pod(sim_core::api::object::Pod::default()),
        ));
        let ok = Round { at: Time(5), answers: vec![Ok(pod)] };
        let refused = Round { at: Time(9), answers: vec![Err(ApiError::new(Reason::Conflict, "stale"))] };
        let run = |journal: &[Round]| {
            let mut fx = Fx::new(Epoch::default(), Time::ZERO, journal);
            let end = two_steps(&mut fx);
            (end, fx.now(), fx.into_effects().len())
        };
        assert!(matches!(run(&[]), (Err(Stop::Waiting(r)), Time(0), 1) if r.len() == 1));
        assert!(matches!(run(std::slice::from_ref(&ok)), (Err(Stop::Waiting(_)), Time(5), 2)));
        assert!(matches!(run(&[ok, refused]), (Err(Stop::Failed(_)), Time(9), 2)));
    }
}
