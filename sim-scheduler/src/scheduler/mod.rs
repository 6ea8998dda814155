//! The scheduler as a component: it watches pods and nodes, tries one pod after the other, and binds.
//!
//! Nothing is set while nothing is to be done: the timer of the next cycle exists while a pod is ready, those of the
//! flushes while pods back off or wait.
//!
//! A cycle is one instant, at its end: the timer that starts it already includes what it costs
//! ([`Timing::scheduling_cycle`](sim_core::engine::timing::Timing)), and decisions see the cluster as it is then. Only
//! with extenders a cycle goes on: they are asked at that instant, and what comes of it happens when all their answers
//! have taken their time. Until then no other pod is tried.

/// What the queue needs of a scheduler, beside itself.
macro_rules! context {
    ($scheduler:ident) => {
        crate::queue::QueueContext {
            profiles: &$scheduler.profiles,
            surroundings: crate::framework::Surroundings {
                objects: $scheduler.cache.objects(),
                preempting: &$scheduler.preempting,
            },
        }
    };
}

mod attempt;
mod binding;
mod changes;
mod conclude;
mod explain;
mod preemption;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::{Change, Reply, Tag};
use sim_core::engine::component::{Component, Ctx, TimerId, Watch};
use sim_core::engine::random::{Seed, Stream};
use sim_core::time::{Span, Time};

use crate::cache::Cache;
use crate::config::{self, SchedulerConfig};
use crate::cycle::{FastCycles, Sampling, TieBreak};
use crate::explain::Explanations;
use crate::extender::{Extender, ExtenderSettings, Extenders};
use crate::framework::{Profile, ProfileError, Registry, Waiting};
use crate::metrics::{Metrics, Snapshot};
use crate::pod::Classes;
use crate::queue::{Queue, QueueContext};

use binding::{Held, Sent};
use conclude::Concluding;
pub use explain::{LastAttempt, PluginVerdict};
use preemption::Underway;

/// Timers of the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A cycle ends.
    Cycle,
    /// The extenders have answered; the cycle ends now.
    Conclusion,
    /// Back-offs end.
    BackoffFlush,
    /// Pods have waited too long for an event.
    UnschedulableFlush,
    /// A Permit plugin's patience ends.
    PermitTimeout {
        /// The waiting pod.
        uid: Uid,
        /// The plugin that made it wait.
        plugin: &'static str,
        /// How long it did.
        patience: Span,
    },
    /// An extender has bound a pod, or not.
    ExtenderBinding {
        /// The pod.
        uid: Uid,
    },
    /// A PreBind plugin wants to be asked again.
    PreBind {
        /// The pod.
        uid: Uid,
    },
}

/// Kinds beside nodes and pods that plugins look up.
const LOOKED_UP: &[Kind] = &[
    Kind::NAMESPACE,
    Kind::PERSISTENT_VOLUME_CLAIM,
    Kind::PERSISTENT_VOLUME,
    Kind::STORAGE_CLASS,
    Kind::CSI_NODE,
    Kind::CSI_DRIVER,
    Kind::CSI_STORAGE_CAPACITY,
    Kind::VOLUME_ATTACHMENT,
    Kind::POD_DISRUPTION_BUDGET,
    Kind::SERVICE,
    Kind::REPLICATION_CONTROLLER,
    Kind::REPLICA_SET,
    Kind::STATEFUL_SET,
    Kind::RESOURCE_CLAIM,
    Kind::RESOURCE_SLICE,
    Kind::DEVICE_CLASS,
    Kind::DEVICE_TAINT_RULE,
    Kind::POD_GROUP,
];

/// Which way cycles go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Keep answers per pod class and node.
    #[default]
    Fast,
    /// Ask about everything every time.
    Plain,
}

/// How ties are broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ties {
    /// By the stream `scheduler/tie-break`, one draw per decision.
    #[default]
    Random,
    /// The lowest name wins.
    LowestName,
}

/// The scheduler.
#[derive(Clone, Debug)]
pub struct Scheduler {
    profiles: Vec<Profile>,
    extenders: Extenders,
    /// How many nodes an attempt looks at.
    pub sampling: Sampling,
    /// Which way cycles go; the decisions are the same.
    pub engine: Engine,
    /// How ties are broken; takes effect at the start of the run.
    pub ties: Ties,
    /// Its number among several schedulers of one cluster: each draws from streams of its own.
    pub number: u32,
    explanations: Explanations,
    metrics: Metrics,
    cache: Cache,
    classes: Classes,
    queue: Queue,
    fast: FastCycles,
    tie_break: TieBreak,
    cycle_cost: Stream,
    extender_cost: Stream,
    start: usize,
    pending: FxHashMap<Key, Uid>,
    last_attempts: FxHashMap<Uid, LastAttempt>,
    waiting: Waiting,
    /// The cycle whose extenders have not answered yet.
    concluding: Option<Box<Concluding>>,
    /// Pods between assume and the end of their binding.
    held: BTreeMap<Uid, Held>,
    bindings: FxHashMap<Tag, Sent>,
    /// Pods whose preemption is still being carried out.
    preempting: BTreeSet<Uid>,
    /// Preemptions that are being carried out, by number.
    preemptions: BTreeMap<u64, Underway>,
    next_preemption: u64,
    preemption: Stream,
    next_tag: u64,
    cycle_timer: Option<TimerId>,
    /// When the cycle began that the timer ends.
    cycle_started: Time,
    backoff_timer: Option<(Time, TimerId)>,
    unschedulable_timer: Option<(Time, TimerId)>,
}

impl Default for Scheduler {
    /// The default profile, with upstream's sampling.
    fn default() -> Scheduler {
        Scheduler::new(vec![Profile::default_profile()])
    }
}

impl Scheduler {
    /// A scheduler with profiles (at least one).
    pub fn new(profiles: Vec<Profile>) -> Scheduler {
        let (initial, max) = SchedulerConfig::default().backoff();
        let mut cache = Cache::default();
        for profile in &profiles {
            let plugins = (0..profile.len()).map(|i| profile.plugin(i));
            plugins.flat_map(|plugin| plugin.groups_by()).for_each(|key| cache.group_by(key));
        }
        Scheduler {
            profiles,
            extenders: Extenders::default(),
            sampling: Sampling::Percentage(0),
            engine: Engine::default(),
            ties: Ties::default(),
            number: 0,
            explanations: Explanations::default(),
            metrics: Metrics::default(),
            cache,
            classes: Classes::default(),
            queue: Queue::new(initial, max),
            fast: FastCycles::default(),
            tie_break: TieBreak::LowestName,
            cycle_cost: Seed::default().stream("scheduler/cycle"),
            extender_cost: Seed::default().stream("scheduler/extender"),
            start: 0,
            pending: FxHashMap::default(),
            last_attempts: FxHashMap::default(),
            waiting: Waiting::default(),
            concluding: None,
            held: BTreeMap::new(),
            bindings: FxHashMap::default(),
            preempting: BTreeSet::new(),
            preemptions: BTreeMap::new(),
            next_preemption: 0,
            preemption: Seed::default().stream("scheduler/preemption"),
            next_tag: 0,
            cycle_timer: None,
            cycle_started: Time::ZERO,
            backoff_timer: None,
            unschedulable_timer: None,
        }
    }

    /// A scheduler as configured.
    ///
    /// # Errors
    /// As [`SchedulerConfig::profiles`]; extenders, which have to be reached in some way
    /// ([`Scheduler::from_config_with_extenders`]).
    pub fn from_config(config: &SchedulerConfig, registry: &Registry) -> Result<Scheduler, ProfileError> {
        Scheduler::from_config_with_extenders(config, registry, |_, extender| {
            Err(format!("extender {:?} is a service outside of the simulation", extender.url_prefix))
        })
    }

    /// A scheduler as configured, with extenders that a function makes from their number and their settings.
    ///
    /// # Errors
    /// As [`SchedulerConfig::profiles`]; extenders that cannot be made.
    pub fn from_config_with_extenders<E: std::fmt::Display>(
        config: &SchedulerConfig,
        registry: &Registry,
        mut reach: impl FnMut(usize, &config::Extender) -> Result<Arc<dyn Extender>, E>,
    ) -> Result<Scheduler, ProfileError> {
        let mut scheduler = Scheduler::new(config.profiles(registry)?);
        scheduler.sampling = Sampling::Percentage(config.percentage_of_nodes_to_score.unwrap_or(0));
        let (initial, max) = config.backoff();
        scheduler.queue = Queue::new(initial, max);
        for (number, extender) in config.completed()?.extenders.iter().enumerate() {
            let reached = reach(number, extender).map_err(|why| ProfileError(why.to_string()))?;
            scheduler = scheduler.with_extender(ExtenderSettings::from(extender), reached);
        }
        Ok(scheduler)
    }

    /// Adds an extender. To be done before the run: one that joins later knows none of the nodes.
    #[must_use]
    pub fn with_extender(mut self, settings: ExtenderSettings, extender: Arc<dyn Extender>) -> Scheduler {
        self.extenders.add(settings, extender);
        self.profiles.iter_mut().for_each(Profile::register_extenders);
        self
    }

    /// The extenders.
    pub fn extenders(&self) -> &Extenders {
        &self.extenders
    }

    /// The profiles.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// kube-scheduler's metrics as they are now.
    pub fn metrics(&self) -> Snapshot {
        Snapshot::of(&self.metrics, &self.profiles, &self.queue, &self.cache, self.held.len())
    }

    /// The cluster as the scheduler knows it.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The queue.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The queue with what it asks plugins with, to be changed: for studies and conformance. A running scheduler does this
    /// itself.
    pub fn with_queue<R>(&mut self, act: impl FnOnce(&mut Queue, QueueContext<'_>) -> R) -> R {
        act(&mut self.queue, context!(self))
    }

    /// Draws from the streams of a seed from now on.
    pub fn reseed(&mut self, seed: Seed) {
        let stream = |name: &str| match self.number {
            0 => seed.stream(&format!("scheduler/{name}")),
            number => seed.stream(&format!("scheduler/{number}/{name}")),
        };
        self.cycle_cost = stream("cycle");
        self.extender_cost = stream("extender");
        self.preemption = stream("preemption");
        self.tie_break = match self.ties {
            Ties::Random => TieBreak::Random(stream("tie-break")),
            Ties::LowestName => TieBreak::LowestName,
        };
    }

    /// Index of the profile that a pod asks for.
    fn profile_of(&self, pod: &Object) -> Option<usize> {
        let name = pod.as_pod()?.spec.scheduler_name.as_deref();
        let name = name.filter(|n| !n.is_empty()).unwrap_or("default-scheduler");
        self.profiles.iter().position(|p| p.scheduler_name == name)
    }

    /// Sets the timers that are needed and not set.
    fn arm(&mut self, ctx: &mut Ctx<'_, Timer>) {
        if self.cycle_timer.is_none() && self.concluding.is_none() && self.queue.is_ready() {
            let cost = ctx.timing().scheduling_cycle.sample(&mut self.cycle_cost);
            self.cycle_started = ctx.now();
            self.cycle_timer = Some(ctx.set_timer(cost, Timer::Cycle));
        }
        if let Some(at) = self.queue.next_backoff_flush()
            && self.backoff_timer.is_none_or(|(set, _)| set > at)
        {
            if let Some((_, old)) = self.backoff_timer {
                ctx.cancel(old);
            }
            self.backoff_timer = Some((at, ctx.set_timer_at(at, Timer::BackoffFlush)));
        }
        if let Some(at) = self.queue.next_unschedulable_flush(ctx.now())
            && self.unschedulable_timer.is_none_or(|(set, _)| set > at)
        {
            if let Some((_, old)) = self.unschedulable_timer {
                ctx.cancel(old);
            }
            self.unschedulable_timer = Some((at, ctx.set_timer_at(at, Timer::UnschedulableFlush)));
        }
    }
}

impl Component for Scheduler {
    type Timer = Timer;

    fn name(&self) -> &'static str {
        "scheduler"
    }

    fn watches(&self) -> Vec<Watch> {
        let mut watches = vec![Watch::all(Kind::NODE), Watch::all(Kind::POD)];
        watches.extend(LOOKED_UP.iter().map(|kind| Watch::all(*kind)));
        watches
    }

    fn started(&mut self, ctx: &mut Ctx<'_, Timer>) {
        self.reseed(ctx.seed());
        self.cache.objects_mut().set_features(ctx.features());
        self.cache.objects_mut().set_epoch(ctx.epoch());
        self.extenders.epoch = ctx.epoch();
    }

    fn changed(&mut self, ctx: &mut Ctx<'_, Timer>, batch: &[Change]) {
        for change in batch {
            if change.new.kind == Kind::NODE {
                self.extenders.node_changed(change);
            }
            self.observe(ctx.now(), change);
            if change.new.kind != Kind::POD {
                self.go_on_waiting_bindings(ctx);
            } else if self.held.get(&uid(&change.new)).is_some_and(|held| held.gone) {
                self.go_on_binding(ctx, uid(&change.new));
            }
        }
        self.act_on_decided(ctx);
        self.arm(ctx);
    }

    fn fired(&mut self, ctx: &mut Ctx<'_, Timer>, timer: Timer) {
        match timer {
            Timer::Cycle => {
                self.cycle_timer = None;
                if let Some(mut pod) = self.queue.pop() {
                    pod.cycle_started = self.cycle_started;
                    self.schedule_one(ctx, pod);
                }
            }
            Timer::Conclusion => self.conclude_cycle(ctx),
            Timer::BackoffFlush => {
                self.backoff_timer = None;
                self.queue.flush_backoff(context!(self), ctx.now());
            }
            Timer::UnschedulableFlush => {
                self.unschedulable_timer = None;
                self.queue.flush_unschedulable(context!(self), ctx.now());
            }
            Timer::PermitTimeout { uid, plugin, patience } => self.permit_timed_out(uid, plugin, patience),
            Timer::ExtenderBinding { uid } => self.extender_bound(ctx, uid),
            Timer::PreBind { uid } => self.go_on_binding(ctx, uid),
        }
        self.act_on_decided(ctx);
        self.arm(ctx);
    }

    fn replied(&mut self, ctx: &mut Ctx<'_, Timer>, reply: Reply) {
        match self.bindings.remove(&reply.tag) {
            Some(Sent::Binding(uid)) => self.bound(ctx, uid, reply.result.err()),
            Some(Sent::PreBind(uid, at)) => self.pre_bind_answered(ctx, uid, at, reply.result),
            Some(Sent::Preemption(asked)) => self.victim_answered(ctx, asked, reply.result),
            None => {}
        }
        self.act_on_decided(ctx);
        self.arm(ctx);
    }
}

/// `metadata.uid` of a shared object.
fn uid(object: &Arc<Object>) -> Uid {
    object.meta.uid
}

#[cfg(test)]
mod tests;
