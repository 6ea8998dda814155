//! The contract between a component and the world: three inputs, two outputs.
//!
//! A component is told that a watched object *changed*, that one of its own timers *fired*, or that a request it made
//! was *replied* to. It can send an API *request* and set (or cancel) a *timer*. Nothing else: it keeps its own caches,
//! built only from `changed`, as the real components do, so that staleness and conflicts are modelled, not imagined.

use crate::api::kind::Kind;
use crate::api::meta::{Key, Labels, Uid};
use crate::api::object::Object;
use crate::api::request::{Change, Reply, Request, Tag};
use crate::engine::log::{EventType, Log, Record};
use crate::engine::random::{Seed, Stream};
use crate::engine::timing::Timing;
use crate::features::FeatureGates;
use crate::time::{Epoch, Span, Time};

/// Handle of a set timer. Stale handles are harmless: cancelling one does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    /// Slot in the queue's slab.
    pub slot: u32,
    /// Generation of the slot, so that a reused slot is not mistaken.
    pub generation: u32,
}

/// Where a component's outputs go: the kernel in a run, a [`Recorder`] in a test.
pub trait Port<T> {
    /// Fires `timer` at `at` (or now, if that has passed), after everything already due at that instant.
    fn set_timer(&mut self, at: Time, timer: T) -> TimerId;
    /// Takes a timer back; false if it fired or was cancelled before.
    fn cancel(&mut self, id: TimerId) -> bool;
    /// Sends a request. With a tag, the answer comes back to [`Component::replied`].
    fn send(&mut self, request: Request, tag: Option<Tag>);
}

/// What a component sees while it handles one input.
pub struct Ctx<'a, T> {
    now: Time,
    env: &'a Env,
    log: &'a mut Log,
    port: &'a mut dyn Port<T>,
}

/// Constants of a run.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// Seed of all random streams.
    pub seed: Seed,
    /// Date of instant zero.
    pub epoch: Epoch,
    /// How long things take.
    pub timing: Timing,
    /// Feature gates of the cluster.
    pub features: FeatureGates,
}

impl<'a, T> Ctx<'a, T> {
    /// A context over explicit parts: for the kernel, and for tests of one component.
    pub fn new(now: Time, env: &'a Env, log: &'a mut Log, port: &'a mut dyn Port<T>) -> Self {
        Ctx { now, env, log, port }
    }

    /// The current instant.
    pub fn now(&self) -> Time {
        self.now
    }

    /// How long things take in this run.
    pub fn timing(&self) -> &'a Timing {
        &self.env.timing
    }

    /// Feature gates of the cluster.
    pub fn features(&self) -> FeatureGates {
        self.env.features
    }

    /// Date of instant zero.
    pub fn epoch(&self) -> Epoch {
        self.env.epoch
    }

    /// A stream for one individual's draw (see [`Seed::stream_for`]). Streams that live on belong in the component,
    /// made once from [`Ctx::seed`].
    pub fn stream_for(&self, name: &str, key: &[u8]) -> Stream {
        self.env.seed.stream_for(name, key)
    }

    /// The run's seed.
    pub fn seed(&self) -> Seed {
        self.env.seed
    }

    /// Sends a request whose answer nobody waits for.
    pub fn send(&mut self, request: Request) {
        self.port.send(request, None);
    }

    /// Sends a request; its answer comes to [`Component::replied`] with this tag.
    pub fn request(&mut self, request: Request, tag: Tag) {
        self.port.send(request, Some(tag));
    }

    /// Fires `timer` after `delay`.
    pub fn set_timer(&mut self, delay: Span, timer: T) -> TimerId {
        self.port.set_timer(self.now + delay, timer)
    }

    /// Fires `timer` at an instant; one that has passed means now.
    pub fn set_timer_at(&mut self, at: Time, timer: T) -> TimerId {
        self.port.set_timer(at.max(self.now), timer)
    }

    /// Takes a timer back; false if it fired or was cancelled before.
    pub fn cancel(&mut self, id: TimerId) -> bool {
        self.port.cancel(id)
    }

    /// Appends a record to the log.
    pub fn record(&mut self, record: Record<'_>) {
        self.log.append(self.now, record);
    }

    /// Records an Event about an object (`kubectl get events`).
    // DIFFERS: upstream writes Events to the API server; here they are log records and cost no object.
    pub fn event(&mut self, about: &Object, event_type: EventType, reason: &str, message: &str) {
        self.record(Record::Event {
            kind: about.kind.builtin_name().unwrap_or("Object"),
            namespace: about.meta.namespace(),
            name: about.meta.name(),
            uid: about.meta.uid,
            event_type,
            reason,
            message,
        });
    }
}

/// Which objects a watch delivers. `Default` is every object of the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Kind of the objects.
    pub kind: Kind,
    /// Pods only: bound ones, unbound ones, or all.
    pub assigned: Option<bool>,
    /// Only this namespace, unless empty.
    pub namespace: smol_str::SmolStr,
    /// Only objects with all of these labels.
    pub labels: Labels,
}

impl Watch {
    /// All objects of a kind.
    pub fn all(kind: Kind) -> Watch {
        Watch { kind, assigned: None, namespace: smol_str::SmolStr::default(), labels: Labels::new() }
    }

    /// Pods with a `spec.nodeName`: what the kubelets watch.
    pub fn assigned_pods() -> Watch {
        Watch { assigned: Some(true), ..Watch::all(Kind::POD) }
    }
}

/// A component of the cluster.
///
/// All inputs of one instant arrive in the order of the queue. A component is plain data: cloning it is a snapshot.
pub trait Component {
    /// Its own timers: a small closed enum.
    type Timer;

    /// Name in logs and errors, e.g. `scheduler`.
    fn name(&self) -> &'static str;

    /// What it watches. Existing objects arrive as `Added` first.
    fn watches(&self) -> Vec<Watch>;

    /// Called once, before anything else.
    fn started(&mut self, ctx: &mut Ctx<'_, Self::Timer>) {
        let _ = ctx;
    }

    /// Watched objects changed. One batch holds everything that became visible at one instant, in commit order.
    fn changed(&mut self, ctx: &mut Ctx<'_, Self::Timer>, batch: &[Change]);

    /// One of its timers fired.
    fn fired(&mut self, ctx: &mut Ctx<'_, Self::Timer>, timer: Self::Timer);

    /// A tagged request was answered.
    fn replied(&mut self, ctx: &mut Ctx<'_, Self::Timer>, reply: Reply) {
        let _ = (ctx, reply);
    }
}

/// A port that writes down what a component does: for tests of one component alone.
#[derive(Clone, Debug)]
pub struct Recorder<T> {
    /// Timers that were set, in order; cancelled ones become `None`.
    pub timers: Vec<Option<(Time, T)>>,
    /// Requests that were sent, in order.
    pub requests: Vec<(Request, Option<Tag>)>,
}

impl<T> Default for Recorder<T> {
    fn default() -> Self {
        Recorder { timers: Vec::new(), requests: Vec::new() }
    }
}

impl<T> Port<T> for Recorder<T> {
    fn set_timer(&mut self, at: Time, timer: T) -> TimerId {
        self.timers.push(Some((at, timer)));
        TimerId { slot: self.timers.len() as u32 - 1, generation: 0 }
    }

    fn cancel(&mut self, id: TimerId) -> bool {
        self.timers.get_mut(id.slot as usize).is_some_and(|t| t.take().is_some())
    }

    fn send(&mut self, request: Request, tag: Option<Tag>) {
        self.requests.push((request, tag));
    }
}

/// Identity of an object in a record, without holding the object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Namespace and name.
    pub key: Key,
    /// Its uid.
    pub uid: Uid,
}
