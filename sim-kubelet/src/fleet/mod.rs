//! The fleet: all kubelets of a cluster as one component. No node ticks; an idle node or pod costs nothing.
//!
//! A pod has one worker, which does one thing at a time. Inputs (a changed object, a relist, a probe's new verdict)
//! make it sync: look at what runs, write the status, decide, and do the jobs that come out of it one by one.

mod adopt;
mod devices;
mod drivers;
mod kill;
mod nodes;
mod pod;
mod probing;
mod report;
mod restart;
mod start;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use k8s_openapi::api::core::v1::PodSpec;
use rustc_hash::FxHashMap;
use sim_core::api::kind::Kind;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind, Reply, Request};
use sim_core::engine::component::{Component, Ctx, Watch};
use sim_core::engine::log::{EventType, Record};
use sim_core::engine::timing::Delay;
use sim_core::time::{Time, secs};
use sim_dra::driver::{Driver, Service};
use smol_str::SmolStr;

use crate::admission::{Ask, Refusal};
use crate::backoff::Limits;
use crate::behavior::Behaviors;
use crate::images::Registry;
use crate::node::NodeConfig;
use crate::plan::{Gates, Plan};

pub use drivers::{Fault, NodeDevices, Trouble};
pub use nodes::NodeState;
use pod::{Busy, Cell};
pub use pod::{PodRef, PodState, Stage};
use worker::PodWorker;

/// What a fleet is made from.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// What containers do.
    pub behaviors: Behaviors,
    /// What images are.
    pub registry: Registry,
    /// Nodes that register when the run starts.
    pub nodes: Vec<NodeConfig>,
    /// Feature gates.
    pub gates: Gates,
    /// Back-off of restarts.
    pub restart_backoff: Limits,
    /// Back-off of image pulls.
    pub image_backoff: Limits,
    /// Pause before a failed sync is tried again. Zero means that a restart comes at the very end of its back-off.
    pub retry: Delay,
    /// Pause before a good sync is repeated (`syncFrequency`). Failures to prepare devices wait that long.
    pub resync: Delay,
    /// Drivers of devices by node. They start when their node registers.
    pub drivers: BTreeMap<SmolStr, Arc<[Box<dyn Driver>]>>,
    /// What drivers are like that are known by their slices only; `None` = there are none.
    pub stand_in: Option<Service>,
}

impl Default for FleetConfig {
    /// Upstream's defaults: failed syncs are tried again after 10 to 15 s, good ones repeated after 60 to 90 s.
    fn default() -> FleetConfig {
        FleetConfig {
            behaviors: Behaviors::default(),
            registry: Registry::default(),
            nodes: Vec::new(),
            gates: Gates::default(),
            restart_backoff: Limits::default(),
            image_backoff: Limits::default(),
            retry: Delay::Uniform(secs(10), secs(15)),
            resync: Delay::Uniform(secs(60), secs(90)),
            drivers: BTreeMap::new(),
            stand_in: Some(Service::INSTANT),
        }
    }
}

/// The fleet's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// What a worker waits for is done.
    Step(PodRef),
    /// The relist that notices what happened.
    Relist(PodRef),
    /// A failed sync is tried again.
    Retry(PodRef),
    /// `activeDeadlineSeconds`.
    Deadline(PodRef),
    /// A container ends by itself.
    Exit {
        /// Its pod.
        pod: PodRef,
        /// Its index in the plan.
        container: u16,
        /// How.
        exit_code: i32,
    },
    /// A probe changes its verdict.
    Probe {
        /// Its pod.
        pod: PodRef,
        /// Index of its container in the plan.
        container: u16,
    },
    /// A stage of a container's kill is over.
    Kill {
        /// Its pod.
        pod: PodRef,
        /// Its index in the plan.
        container: u16,
    },
    /// A driver looks after its slices.
    Publish {
        /// Number of its node.
        node: u32,
        /// Its number there.
        driver: u32,
    },
}

/// What a spec compiles to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Compiled {
    pub plan: Plan,
    pub ask: Ask,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    generation: u32,
    pod: Option<Box<PodState>>,
}

/// A pod whose node is not there: the object, and whether it may be running already.
type Waiting = IndexMap<Uid, (Arc<Object>, bool)>;

/// All kubelets.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    config: Arc<FleetConfig>,
    configs: FxHashMap<SmolStr, NodeConfig>,
    nodes: Vec<NodeState>,
    node_ids: FxHashMap<SmolStr, u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_uid: FxHashMap<Uid, u32>,
    /// By address of the shared spec, which is kept alive here.
    compiled: FxHashMap<usize, (Arc<PodSpec>, Arc<Compiled>)>,
    sweep_at: usize,
    waiting: IndexMap<SmolStr, Waiting>,
    /// Slices written so far, and which driver of which node waits for which of them.
    slice_writes: u64,
    slices_in_flight: FxHashMap<u64, (u32, u32)>,
}

impl Fleet {
    /// A fleet; its configured nodes register when the run starts.
    pub fn new(config: FleetConfig) -> Fleet {
        let configs = config.nodes.iter().map(|n| (n.name.clone(), n.clone())).collect();
        Fleet { config: Arc::new(config), configs, sweep_at: 1024, ..Fleet::default() }
    }

    /// A node joins now: it registers with the API server and runs what is assigned to it.
    pub fn join(&mut self, ctx: &mut Ctx<'_, Timer>, config: NodeConfig) {
        let address = self.expect_node(&config, ctx.now());
        let object = config.object(ctx.epoch(), ctx.now(), &address);
        self.configs.insert(config.name.clone(), config);
        ctx.send(Request::Create(Box::new(object)));
    }

    /// A pod that is on a node and not finished.
    pub fn pod(&self, uid: Uid) -> Option<&PodState> {
        let slot = self.by_uid.get(&uid)?;
        self.slots.get(*slot as usize)?.pod.as_deref()
    }

    /// A node by name, if it has not left.
    pub fn node(&self, name: &str) -> Option<&NodeState> {
        let id = self.node_ids.get(name)?;
        self.nodes.get(*id as usize).filter(|n| n.object.is_some())
    }

    /// All nodes that have not left, in the order they came.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeState> {
        self.nodes.iter().filter(|n| n.object.is_some())
    }

    /// Pods on nodes that are not finished.
    pub fn pod_count(&self) -> usize {
        self.by_uid.len()
    }

    fn compile(&mut self, spec: &Arc<PodSpec>) -> Arc<Compiled> {
        let address = Arc::as_ptr(spec) as usize;
        if let Some((_, compiled)) = self.compiled.get(&address) {
            return compiled.clone();
        }
        if self.compiled.len() >= self.sweep_at {
            self.compiled.retain(|_, (spec, _)| Arc::strong_count(spec) > 1);
            self.sweep_at = self.compiled.len() * 2 + 1024;
        }
        let plan = Plan::compile(spec, self.config.gates);
        let compiled = Arc::new(Compiled { plan, ask: Ask::of(spec) });
        self.compiled.insert(address, (spec.clone(), compiled.clone()));
        compiled
    }

    /// Runs `f` on a pod, and drops the pod afterwards if nothing is left to do for it.
    fn work(&mut self, ctx: &mut Ctx<'_, Timer>, slot: u32, f: impl FnOnce(&mut PodWorker<'_, '_>)) {
        let Some(entry) = self.slots.get_mut(slot as usize) else { return };
        let me = PodRef { slot, generation: entry.generation };
        let Some(pod) = entry.pod.as_deref_mut() else { return };
        let node = &mut self.nodes[pod.node as usize];
        f(&mut PodWorker { pod, node, config: &self.config, me, ctx });
        let settled = !pod.in_flight && !pod.dirty && !pod.object.meta.is_deleting();
        if pod.stage == Stage::Finished && (pod.vanished || settled) {
            self.remove(slot);
        }
    }

    fn work_on(&mut self, ctx: &mut Ctx<'_, Timer>, pod: PodRef, f: impl FnOnce(&mut PodWorker<'_, '_>)) {
        if self.slots.get(pod.slot as usize).is_some_and(|s| s.generation == pod.generation) {
            self.work(ctx, pod.slot, f);
        }
    }

    fn remove(&mut self, slot: u32) -> Option<Box<PodState>> {
        let entry = self.slots.get_mut(slot as usize)?;
        let pod = entry.pod.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot);
        self.by_uid.remove(&pod.object.meta.uid);
        self.nodes[pod.node as usize].pods.remove(&slot);
        Some(pod)
    }

    fn pod_seen(&mut self, ctx: &mut Ctx<'_, Timer>, object: &Arc<Object>) {
        let Some(pod) = object.as_pod() else { return };
        if let Some(slot) = self.by_uid.get(&object.meta.uid).copied() {
            self.pod_written(ctx, slot, object);
            return;
        }
        if pod.status.phase.is_terminal() {
            self.forget_waiting(&pod.node_name, object.meta.uid);
            return;
        }
        let node = self.node_ids.get(&pod.node_name).copied();
        match node.filter(|id| self.nodes[*id as usize].object.is_some()) {
            Some(id) => self.pod_added(ctx, object, id, true),
            None => {
                let waiting = self.waiting.entry(pod.node_name.clone()).or_default();
                let known = waiting.get(&object.meta.uid).is_none_or(|w| w.1);
                waiting.insert(object.meta.uid, (object.clone(), known));
            }
        }
    }

    fn forget_waiting(&mut self, node: &str, uid: Uid) {
        if let Some(waiting) = self.waiting.get_mut(node) {
            waiting.shift_remove(&uid);
        }
    }

    /// A pod that the fleet did not have is assigned to a node that is there. It may run there already (a dump) unless
    /// `adopt` is false.
    fn pod_added(&mut self, ctx: &mut Ctx<'_, Timer>, object: &Arc<Object>, node: u32, adopt: bool) {
        let Some(pod) = object.as_pod() else { return };
        let compiled = self.compile(&pod.spec);
        let mut cells: smallvec::SmallVec<[Cell; 1]> = Default::default();
        for container in &compiled.plan.containers {
            let (behavior, error) = self.config.behaviors.of(&object.meta, &container.name);
            if let Some(error) = error {
                ctx.record(Record::Note { by: "kubelet", text: &format!("{}: {error}", object.key()) });
            }
            cells.push(Cell { behavior, ..Cell::default() });
        }
        let adopt = adopt && adopt::runs_already(&pod.status);
        let refusal = if adopt { None } else { self.nodes[node as usize].admits(&compiled.ask).err() };
        let mut state = PodState::new(object.clone(), compiled, node, cells, ctx.now());
        if refusal.is_none() {
            state.holds = true;
            self.nodes[node as usize].hold(&state.compiled.ask);
        }
        let slot = self.insert(state);
        self.work(ctx, slot, |w| match refusal {
            Some(refusal) => w.reject(refusal),
            None if adopt => w.adopt(),
            None => w.begin(),
        });
    }

    fn insert(&mut self, pod: PodState) -> u32 {
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        if slot as usize == self.slots.len() {
            self.slots.push(Slot::default());
        }
        self.by_uid.insert(pod.object.meta.uid, slot);
        self.nodes[pod.node as usize].pods.insert(slot);
        self.slots[slot as usize].pod = Some(Box::new(pod));
        slot
    }

    fn pod_written(&mut self, ctx: &mut Ctx<'_, Timer>, slot: u32, object: &Arc<Object>) {
        let Some(entry) = self.slots.get(slot as usize).and_then(|s| s.pod.as_deref()) else { return };
        if object.meta.resource_version <= entry.object.meta.resource_version {
            return;
        }
        let (Some(new), Some(old)) = (object.as_pod(), entry.object.as_pod()) else { return };
        let compiled = (!Arc::ptr_eq(&new.spec, &old.spec)).then(|| new.spec.clone());
        let compiled = compiled.map(|spec| self.compile(&spec));
        self.work(ctx, slot, |w| w.written(object, compiled));
    }

    fn pod_gone(&mut self, ctx: &mut Ctx<'_, Timer>, object: &Arc<Object>) {
        let uid = object.meta.uid;
        if let Some(slot) = self.by_uid.get(&uid).copied() {
            self.work(ctx, slot, |w| {
                w.pod.vanished = true;
                w.pod.object = object.clone();
                w.terminate(None);
            });
        } else if let Some(pod) = object.as_pod() {
            self.forget_waiting(&pod.node_name, uid);
        }
    }
}

impl PodState {
    fn new(
        object: Arc<Object>,
        compiled: Arc<Compiled>,
        node: u32,
        cells: smallvec::SmallVec<[Cell; 1]>,
        now: Time,
    ) -> PodState {
        let status = object.as_pod().map(|p| p.status.clone()).unwrap_or_default();
        PodState {
            object,
            compiled,
            node,
            stage: Stage::Syncing,
            sandbox: None,
            ip: SmolStr::default(),
            cells,
            jobs: Default::default(),
            busy: Busy::Idle,
            step: None,
            retry: None,
            retry_at: None,
            fresh_failure: false,
            relist: false,
            wake: false,
            start_time: status.start_time.unwrap_or(now),
            failed: None,
            rejected: false,
            grace: None,
            holds: false,
            in_flight: false,
            dirty: false,
            vanished: false,
            delete_sent: false,
            adopting: None,
        }
    }
}

impl PodWorker<'_, '_> {
    /// The node refuses the pod: it fails at once and for good.
    fn reject(&mut self, refusal: Refusal) {
        self.event(EventType::Warning, &refusal.reason, &refusal.message);
        let message = format!("Pod was rejected: {}", refusal.message);
        self.pod.failed = Some(Box::new((refusal.reason, message.into())));
        self.pod.rejected = true;
        self.pod.stage = Stage::Finished;
        self.report();
    }

    /// The object was written by somebody, or by this node's own patch.
    fn written(&mut self, object: &Arc<Object>, compiled: Option<Arc<Compiled>>) {
        let old = std::mem::replace(&mut self.pod.object, object.clone());
        let deletion_changed = object.meta.deletion != old.meta.deletion;
        let generation_changed = object.meta.generation != old.meta.generation;
        if let Some(compiled) = compiled.filter(|c| c.plan.containers.len() == self.pod.cells.len()) {
            let before = std::mem::replace(&mut self.pod.compiled, compiled);
            let after = self.pod.compiled.clone();
            let pairs = before.plan.containers.iter().zip(&after.plan.containers);
            for (cell, (a, b)) in self.pod.cells.iter_mut().zip(pairs) {
                // Only name and image make a definition differ (HashContainer).
                cell.changed |= a.image != b.image && cell.is_running();
            }
            if before.plan != after.plan {
                self.pod.backoff_reset(&before.plan);
                self.sync();
            }
        }
        if deletion_changed && object.meta.is_deleting() {
            self.terminate(None);
        } else if generation_changed || !self.pod.plan().readiness_gates.is_empty() {
            self.report();
        }
    }
}

impl PodState {
    /// Another image is another back-off.
    fn backoff_reset(&mut self, before: &Plan) {
        let containers = before.containers.iter().zip(&self.compiled.plan.containers);
        for (cell, (a, b)) in self.cells.iter_mut().zip(containers) {
            if a.image != b.image {
                (cell.backoff, cell.image) = (None, None);
            }
        }
    }
}

impl Component for Fleet {
    type Timer = Timer;

    fn name(&self) -> &'static str {
        "kubelet"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(Kind::NODE), Watch::assigned_pods()]
    }

    fn started(&mut self, ctx: &mut Ctx<'_, Timer>) {
        let config = self.config.clone();
        for node in &config.nodes {
            self.join(ctx, node.clone());
        }
    }

    fn changed(&mut self, ctx: &mut Ctx<'_, Timer>, batch: &[Change]) {
        for change in batch {
            let object = &change.new;
            match (object.kind, change.kind) {
                (Kind::NODE, ChangeKind::Deleted) => self.node_gone(object.meta.name()),
                (Kind::NODE, _) => self.node_seen(ctx, object),
                (Kind::POD, ChangeKind::Deleted) => self.pod_gone(ctx, object),
                (Kind::POD, _) => self.pod_seen(ctx, object),
                _ => {}
            }
        }
    }

    fn fired(&mut self, ctx: &mut Ctx<'_, Timer>, timer: Timer) {
        match timer {
            Timer::Step(pod) => self.work_on(ctx, pod, |w| w.step_done()),
            Timer::Relist(pod) => self.work_on(ctx, pod, |w| {
                w.pod.relist = false;
                w.sync();
            }),
            Timer::Retry(pod) => self.work_on(ctx, pod, |w| {
                w.pod.retry = None;
                w.sync();
            }),
            Timer::Deadline(pod) => self.work_on(ctx, pod, |w| w.deadline()),
            Timer::Exit { pod, container, exit_code } => self.work_on(ctx, pod, |w| {
                w.pod.cells[usize::from(container)].exit = None;
                w.ended(usize::from(container), exit_code);
            }),
            Timer::Probe { pod, container } => {
                self.work_on(ctx, pod, |w| w.probe_changed(usize::from(container)));
            }
            Timer::Publish { node, driver } => self.show_slices(ctx, node, driver as usize),
            Timer::Kill { pod, container } => {
                self.work_on(ctx, pod, |w| w.kill_stage_over(usize::from(container)));
            }
        }
    }

    fn replied(&mut self, ctx: &mut Ctx<'_, Timer>, reply: Reply) {
        if reply.tag.0 >= drivers::SLICE_TAG {
            return self.slice_written(ctx, reply.tag.0 & !drivers::SLICE_TAG, reply.result);
        }
        let about_claim = reply.tag.0 & devices::CLAIM_TAG != 0;
        let slot = ((reply.tag.0 & !devices::CLAIM_TAG) >> 32) as u32;
        let pod = PodRef { slot, generation: reply.tag.0 as u32 };
        if about_claim {
            return self.work_on(ctx, pod, |w| w.claim_read(&reply.result));
        }
        if self.slots.get(pod.slot as usize).is_none_or(|s| s.generation != pod.generation) {
            return;
        }
        if let Ok(object) = &reply.result {
            // The slot may be given up by what this brings; the rest then finds nothing.
            self.pod_written(ctx, pod.slot, object);
        }
        self.work_on(ctx, pod, |w| w.reported());
    }
}
