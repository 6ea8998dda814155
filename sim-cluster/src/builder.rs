//! Putting a cluster together.

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_controllers::ControllerManager;
use sim_core::api::object::Object;
use sim_core::api::server::{ApiOptions, ApiServer};
use sim_core::engine::component::Env;
use sim_core::engine::kernel::Kernel;
use sim_core::engine::log::Keep;
use sim_core::engine::random::Seed;
use sim_core::engine::timing::Timing;
use sim_core::features::FeatureGates;
use sim_core::time::Epoch;
use sim_dra::driver::Driver;
use sim_kubelet::behavior::Behaviors;
use sim_kubelet::fleet::{Fleet, FleetConfig};
use sim_kubelet::images::Registry;
use sim_scheduler::Scheduler;
use smol_str::SmolStr;

use crate::Cluster;

/// What a cluster is made of. Everything has a default; `build` cannot fail for nodes made by [`crate::build::node`].
#[derive(Clone, Debug)]
pub struct ClusterBuilder {
    env: Env,
    api: ApiOptions,
    keep: Keep,
    livelock_events: Option<u64>,
    scheduler: Scheduler,
    more_schedulers: Vec<Scheduler>,
    controllers: sim_controllers::Config,
    kubelets: FleetConfig,
    objects: Vec<Object>,
}

impl Default for ClusterBuilder {
    fn default() -> Self {
        ClusterBuilder {
            env: Env::default(),
            api: ApiOptions::default(),
            keep: Keep::Digest,
            livelock_events: None,
            scheduler: Scheduler::default(),
            more_schedulers: Vec::new(),
            controllers: sim_controllers::Config::default(),
            kubelets: FleetConfig::default(),
            objects: Vec::new(),
        }
    }
}

impl Cluster {
    /// Starts to build a cluster.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }
}

impl ClusterBuilder {
    /// Seed of all random streams; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.env.seed = Seed(seed);
        self
    }

    /// Date of instant zero; 2025-01-01T00:00:00Z by default.
    pub fn epoch(mut self, epoch: Epoch) -> Self {
        self.env.epoch = epoch;
        self
    }

    /// How long things take; [`Timing::typical`] by default.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.env.timing = timing;
        self
    }

    /// Feature gates, for all components at once; those of v1.34 by default.
    pub fn features(mut self, features: FeatureGates) -> Self {
        self.env.features = features;
        self.api.features = features;
        self
    }

    /// What of the log is kept beside its hash; nothing by default.
    pub fn keep_log(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// Refuses objects in namespaces that do not exist, as upstream does.
    pub fn strict_namespaces(mut self, strict: bool) -> Self {
        self.api.strict_namespaces = strict;
        self
    }

    /// What containers do; by default they start in a typical time and run forever.
    pub fn behaviors(mut self, behaviors: Behaviors) -> Self {
        self.kubelets.behaviors = behaviors;
        self
    }

    /// Drivers of devices by node; each node gets its own copies when it registers.
    pub fn drivers(mut self, drivers: BTreeMap<SmolStr, Arc<[Box<dyn Driver>]>>) -> Self {
        self.kubelets.drivers = drivers;
        self
    }

    /// What images are: sizes, and which are missing.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.kubelets.registry = registry;
        self
    }

    /// The scheduler, with its profiles and plugins; the default one otherwise.
    pub fn scheduler(mut self, scheduler: Scheduler) -> Self {
        self.scheduler = scheduler;
        self
    }

    /// One more scheduler, usually with profiles of other names. Pods go to those whose `spec.schedulerName` they say.
    pub fn another_scheduler(mut self, scheduler: Scheduler) -> Self {
        self.more_schedulers.push(scheduler);
        self
    }

    /// Settings of the controllers.
    pub fn controllers(mut self, config: sim_controllers::Config) -> Self {
        self.controllers = config;
        self
    }

    /// How many events at one instant count as a livelock; 50 million by default.
    pub fn livelock_events(mut self, events: u64) -> Self {
        self.livelock_events = Some(events);
        self
    }

    /// Adds a node that is there from the start.
    pub fn node(mut self, node: impl Into<Object>) -> Self {
        self.objects.push(node.into());
        self
    }

    /// Adds `count` nodes made by a function of their number.
    pub fn nodes<N: Into<Object>>(mut self, count: usize, make: impl Fn(usize) -> N) -> Self {
        self.objects.extend((0..count).map(|i| make(i).into()));
        self
    }

    /// The cluster at instant zero.
    ///
    /// # Panics
    /// If the API server refuses one of the objects given.
    #[track_caller]
    pub fn build(mut self) -> Cluster {
        let controllers = ControllerManager::new(self.controllers.clone());
        let kubelets = Fleet::new(self.kubelets.clone());
        // Taken, not cloned: a clone of a scheduler has extenders of its own, if it can have any.
        let first = std::mem::take(&mut self.scheduler);
        let more = std::mem::take(&mut self.more_schedulers);
        let mut cluster = self.build_empty();
        cluster.run_scheduler(first);
        more.into_iter().for_each(|scheduler| cluster.run_scheduler(scheduler));
        cluster.run_kubelets(kubelets);
        cluster.run_controllers(controllers);
        cluster
    }

    /// The API server and the nodes alone: no scheduler, kubelets or controllers. For tests of one component.
    ///
    /// # Panics
    /// If the API server refuses one of the objects given.
    #[track_caller]
    pub fn build_empty(self) -> Cluster {
        let api = ApiServer::new(self.env.seed, self.env.epoch, self.api);
        let mut kernel = Kernel::new(self.env);
        kernel.log.set_keep(self.keep);
        let mut cluster = Cluster::assemble(kernel, api);
        cluster.livelock_events = self.livelock_events.unwrap_or(cluster.livelock_events);
        for object in self.objects {
            cluster.create(object);
        }
        cluster
    }
}
