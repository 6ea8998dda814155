//! The component: all controllers, each with its own queue, over one set of caches.

use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_core::api::request::{Change, ChangeKind, Reply};
use sim_core::engine::component::{Component, Ctx, ObjectRef, Watch};
use sim_core::time::Span;

use crate::garbage_collector::GarbageCollector;
use crate::job::orphans::Orphans;
use crate::job::ttl::{self, TtlAfterFinished};
use crate::machinery::cache::Caches;
use crate::machinery::host::Host;
use crate::machinery::lane::untag;
use crate::{daemon_set, deployment, device_taint_eviction, job, replica_set, resource_claim};

/// Whose queue a timer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneId {
    /// Deployments.
    Deployment,
    /// ReplicaSets.
    ReplicaSet,
    /// Jobs.
    Job,
    /// DaemonSets.
    DaemonSet,
    /// Finished Jobs with a time to live.
    TtlAfterFinished,
}

/// A delayed key is due.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// Of a controller that works on one kind.
    Work(LaneId, Key),
    /// Of pods that no Job counts.
    Orphan(ObjectRef),
    /// Of the garbage collector.
    Collect(ObjectRef),
    /// Of ResourceClaims and the pods that use them.
    Claim(resource_claim::Work),
    /// Of pods whose devices are tainted.
    Evict(ObjectRef),
}

/// Settings of kube-controller-manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `--concurrent-deployment-syncs`.
    pub concurrent_deployment_syncs: usize,
    /// `--concurrent-replicaset-syncs`.
    pub concurrent_replicaset_syncs: usize,
    /// `--concurrent-job-syncs`.
    pub concurrent_job_syncs: usize,
    /// `--concurrent-daemonset-syncs`.
    pub concurrent_daemonset_syncs: usize,
    /// `--concurrent-ttl-after-finished-syncs`.
    pub concurrent_ttl_after_finished_syncs: usize,
    /// `--concurrent-gc-syncs`.
    pub concurrent_gc_syncs: usize,
    /// Workers for ResourceClaims, which upstream has no flag for.
    pub concurrent_resource_claim_syncs: usize,
    /// Pods that are evicted from tainted devices at the same time. Upstream has no bound.
    pub concurrent_device_taint_evictions: usize,
    /// Kinds beside the built-in ones that the garbage collector follows.
    pub custom_kinds: Vec<Kind>,
}

impl Default for Config {
    /// Upstream's defaults.
    fn default() -> Self {
        Config {
            concurrent_deployment_syncs: 5,
            concurrent_replicaset_syncs: 5,
            concurrent_job_syncs: 5,
            concurrent_daemonset_syncs: 2,
            concurrent_ttl_after_finished_syncs: 5,
            concurrent_gc_syncs: 20,
            concurrent_resource_claim_syncs: 50,
            concurrent_device_taint_evictions: 100,
            custom_kinds: Vec::new(),
        }
    }
}

/// kube-controller-manager.
// DIFFERS: no client-side rate limit (upstream's default is 20 requests per second per controller).
#[derive(Clone, Debug)]
pub struct ControllerManager {
    watched: Vec<Kind>,
    caches: Caches,
    deployments: Host<deployment::Controller>,
    replica_sets: Host<replica_set::Controller>,
    jobs: Host<job::Controller>,
    job_orphans: Host<Orphans>,
    daemon_sets: Host<daemon_set::Controller>,
    ttl: Host<TtlAfterFinished>,
    collector: Host<GarbageCollector>,
    claims: Host<resource_claim::Controller>,
    evictions: Host<device_taint_eviction::Controller>,
}

/// Kinds that are watched: those that controllers work on, and those that own or are owned.
const WATCHED: &[Kind] = &[
    Kind::NODE,
    Kind::DEPLOYMENT,
    Kind::REPLICA_SET,
    Kind::DAEMON_SET,
    Kind::STATEFUL_SET,
    Kind::CRON_JOB,
    Kind::JOB,
    Kind::REPLICATION_CONTROLLER,
    Kind::CONTROLLER_REVISION,
    Kind::POD,
    Kind::PERSISTENT_VOLUME_CLAIM,
    Kind::CONFIG_MAP,
    Kind::SECRET,
    Kind::SERVICE,
    Kind::ENDPOINT_SLICE,
    Kind::RESOURCE_CLAIM,
    Kind::RESOURCE_CLAIM_TEMPLATE,
    Kind::RESOURCE_SLICE,
    Kind::DEVICE_CLASS,
    Kind::DEVICE_TAINT_RULE,
    Kind::POD_DISRUPTION_BUDGET,
    Kind::CSI_NODE,
];

impl ControllerManager {
    /// All controllers, idle.
    pub fn new(config: Config) -> ControllerManager {
        let watched = WATCHED.iter().chain(&config.custom_kinds).copied().collect();
        ControllerManager {
            watched,
            caches: Caches::default(),
            deployments: Host::new(0, deployment::Controller, config.concurrent_deployment_syncs),
            replica_sets: Host::new(
                1,
                replica_set::Controller::default(),
                config.concurrent_replicaset_syncs,
            ),
            jobs: Host::new(2, job::Controller::default(), config.concurrent_job_syncs),
            job_orphans: Host::new(3, Orphans, 1),
            daemon_sets: Host::new(5, daemon_set::Controller::default(), config.concurrent_daemonset_syncs),
            ttl: Host::new(6, TtlAfterFinished, config.concurrent_ttl_after_finished_syncs),
            collector: Host::new(7, GarbageCollector::default(), config.concurrent_gc_syncs),
            claims: Host::new(
                8,
                resource_claim::Controller::default(),
                config.concurrent_resource_claim_syncs,
            ),
            evictions: Host::new(
                9,
                device_taint_eviction::Controller::default(),
                config.concurrent_device_taint_evictions,
            ),
        }
    }

    /// Tells the controllers of one change, in their fixed order.
    fn handle(&mut self, ctx: &mut Ctx<'_, Timer>, change: &Change) {
        self.caches.apply(change);
        let caches = &self.caches;
        match change.new.kind {
            Kind::DEPLOYMENT => {
                self.deployments.notify(ctx, |_, add| deployment::deployment_changed(change, add))
            }
            Kind::REPLICA_SET => {
                self.deployments.notify(ctx, |_, add| deployment::replica_set_changed(caches, change, add));
                self.replica_sets.notify(ctx, |c, add| c.replica_set_changed(change, add));
            }
            Kind::POD => {
                if change.kind == ChangeKind::Deleted {
                    self.deployments.notify(ctx, |_, add| deployment::pod_deleted(caches, &change.new, add));
                }
                self.replica_sets.notify(ctx, |c, add| c.pod_changed(caches, change, add));
                self.jobs.notify(ctx, |c, add| c.pod_changed(caches, change, add));
                self.daemon_sets.notify(ctx, |c, add| c.pod_changed(caches, change, add));
                self.job_orphans
                    .notify(ctx, |c, add| c.changed(caches, change, &mut |key| add(key, Span::ZERO)));
                self.claims.notify(ctx, |c, add| c.pod_changed(caches, change, add));
            }
            Kind::RESOURCE_CLAIM => self.claims.notify(ctx, |c, add| c.claim_changed(caches, change, add)),
            Kind::DAEMON_SET => {
                self.daemon_sets.notify(ctx, |c, add| c.daemon_set_changed(change, add));
            }
            Kind::NODE => self.daemon_sets.notify(ctx, |c, add| c.node_changed(caches, change, add)),
            Kind::JOB => {
                let (epoch, now) = (ctx.epoch(), ctx.now());
                self.jobs.notify(ctx, |c, add| c.job_changed(epoch, now, change, add));
                self.job_orphans
                    .notify(ctx, |c, add| c.changed(caches, change, &mut |key| add(key, Span::ZERO)));
                self.ttl.notify(ctx, |_, add| ttl::job_changed(change, add));
            }
            _ => {}
        }
        let now = ctx.now();
        self.evictions.notify(ctx, |c, add| c.changed(caches, now, change, add));
        self.evictions.controller.tell(ctx);
        self.collector.notify(ctx, |c, add| c.changed(caches, change, &mut |key| add(key, Span::ZERO)));
    }

    /// Lets every controller work until all wait or are idle.
    fn pump(&mut self, ctx: &mut Ctx<'_, Timer>) {
        loop {
            let mut busy = self.deployments.pump(&self.caches, ctx);
            busy |= self.replica_sets.pump(&self.caches, ctx);
            busy |= self.jobs.pump(&self.caches, ctx);
            busy |= self.job_orphans.pump(&self.caches, ctx);
            busy |= self.daemon_sets.pump(&self.caches, ctx);
            busy |= self.ttl.pump(&self.caches, ctx);
            busy |= self.collector.pump(&self.caches, ctx);
            busy |= self.claims.pump(&self.caches, ctx);
            busy |= self.evictions.pump(&self.caches, ctx);
            if !busy {
                return;
            }
        }
    }
}

impl Component for ControllerManager {
    type Timer = Timer;

    fn name(&self) -> &'static str {
        "kube-controller-manager"
    }

    fn watches(&self) -> Vec<Watch> {
        self.watched.iter().map(|kind| Watch::all(*kind)).collect()
    }

    fn started(&mut self, ctx: &mut Ctx<'_, Timer>) {
        self.claims.controller.features = ctx.features();
        self.evictions.controller.start(ctx.features(), ctx.epoch());
    }

    fn changed(&mut self, ctx: &mut Ctx<'_, Timer>, batch: &[Change]) {
        for change in batch {
            self.handle(ctx, change);
        }
        self.pump(ctx);
    }

    fn fired(&mut self, ctx: &mut Ctx<'_, Timer>, timer: Timer) {
        match timer {
            Timer::Work(LaneId::Deployment, key) => self.deployments.lane.queue.due(key),
            Timer::Work(LaneId::ReplicaSet, key) => self.replica_sets.lane.queue.due(key),
            Timer::Work(LaneId::Job, key) => self.jobs.lane.queue.due(key),
            Timer::Work(LaneId::DaemonSet, key) => self.daemon_sets.lane.queue.due(key),
            Timer::Work(LaneId::TtlAfterFinished, key) => self.ttl.lane.queue.due(key),
            Timer::Orphan(object) => self.job_orphans.lane.queue.due(object),
            Timer::Collect(object) => self.collector.lane.queue.due(object),
            Timer::Claim(work) => self.claims.lane.queue.due(work),
            Timer::Evict(object) => self.evictions.lane.queue.due(object),
        }
        self.pump(ctx);
    }

    fn replied(&mut self, ctx: &mut Ctx<'_, Timer>, reply: Reply) {
        let (lane, worker, slot) = untag(reply.tag);
        match lane {
            0 => self.deployments.replied(ctx, worker, slot, reply.result),
            1 => self.replica_sets.replied(ctx, worker, slot, reply.result),
            2 => self.jobs.replied(ctx, worker, slot, reply.result),
            3 => self.job_orphans.replied(ctx, worker, slot, reply.result),
            5 => self.daemon_sets.replied(ctx, worker, slot, reply.result),
            6 => self.ttl.replied(ctx, worker, slot, reply.result),
            8 => self.claims.replied(ctx, worker, slot, reply.result),
            9 => self.evictions.replied(ctx, worker, slot, reply.result),
            _ => self.collector.replied(ctx, worker, slot, reply.result),
        }
        self.pump(ctx);
    }
}
