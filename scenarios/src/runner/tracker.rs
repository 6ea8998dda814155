//! What a run looks like from outside: the life of every pod, restarts, utilisation, and counts of Events.
//!
//! Two sources: a watch on pods and nodes of its own (which sees every commit at once and costs the run nothing), and
//! the log's records. Neither changes the run.

use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashMap};
use sim_cluster::Cluster;
use sim_core::api::kind::Kind;
use sim_core::api::object::{Object, Pod};
use sim_core::api::pod_status::PodPhase;
use sim_core::api::request::{Change, ChangeKind};
use sim_core::api::watch::{Routing, WatcherId};
use sim_core::engine::component::Watch;
use sim_core::engine::log::{Record, records};
use sim_core::engine::timing::Delay;
use sim_core::helpers::resources::{PodResourcesOptions, ResourceList, pod_requests};
use sim_core::time::{Span, Time};

use crate::expect::Restart;
use crate::format::Target;

/// The life of one pod, as far as the run has seen it. Instants that lie before the run are not known.
#[derive(Clone, Debug, Default)]
pub struct PodLife {
    /// When it was created.
    pub created: Option<Time>,
    /// When it was bound.
    pub scheduled: Option<Time>,
    /// When its phase became Running, or it ended before anybody saw it run.
    pub started: Option<Time>,
    /// When it first became ready.
    pub ready: Option<Time>,
    /// When its object was removed.
    pub deleted: Option<Time>,
    /// Its last phase.
    pub phase: PodPhase,
    /// It has a node.
    pub bound: bool,
    /// What it asks for, while it counts against its node.
    requests: Option<Amount>,
}

/// CPU in thousandths and memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Thousandths of a CPU.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
}

impl Amount {
    fn of(list: &ResourceList) -> Amount {
        Amount { cpu: list.milli_value("cpu"), memory: list.value("memory") }
    }

    fn change(&mut self, by: Amount, sign: i64) {
        self.cpu += sign * by.cpu;
        self.memory += sign * by.memory;
    }
}

/// Requested of allocatable, now and over time.
#[derive(Clone, Debug, Default)]
pub struct Utilisation {
    /// Requested by bound pods that have not ended.
    pub requested: Amount,
    /// Allocatable on all nodes.
    pub allocatable: Amount,
    /// Highest requested so far.
    pub peak: Amount,
    /// Integrals over time, in milli-CPU (bytes) times nanoseconds.
    area: [i128; 4],
    since: Time,
}

impl Utilisation {
    fn advance(&mut self, now: Time) {
        let span = i128::from((now - self.since).0.max(0));
        let now_is =
            [self.requested.cpu, self.requested.memory, self.allocatable.cpu, self.allocatable.memory];
        for (area, value) in self.area.iter_mut().zip(now_is) {
            *area += i128::from(value) * span;
        }
        self.since = self.since.max(now);
    }

    fn settle(&mut self) {
        self.peak.cpu = self.peak.cpu.max(self.requested.cpu);
        self.peak.memory = self.peak.memory.max(self.requested.memory);
    }

    /// Mean over the run: shares of CPU and of memory; 0 for a cluster without any.
    pub fn mean(&self) -> (f64, f64) {
        let share = |part: i128, all: i128| if all == 0 { 0.0 } else { part as f64 / all as f64 };
        (share(self.area[0], self.area[2]), share(self.area[1], self.area[3]))
    }
}

/// The observer of a run.
#[derive(Clone, Debug)]
pub struct Tracker {
    pods_watch: WatcherId,
    nodes_watch: WatcherId,
    rows: Vec<PodLife>,
    by_uid: FxHashMap<u128, u32>,
    requests: FxHashMap<usize, (Arc<k8s_openapi::api::core::v1::PodSpec>, Amount)>,
    /// Events by reason.
    events: IndexMap<String, u64, FxBuildHasher>,
    /// Events about one object that an expectation asks for.
    about: Vec<(String, Target, u64)>,
    restarts: Vec<Restart>,
    utilisation: Utilisation,
}

impl Tracker {
    /// Starts to watch. `about` are the Events that are counted by object.
    pub fn new(cluster: &mut Cluster, about: impl IntoIterator<Item = (String, Target)>) -> Tracker {
        let now = cluster.now();
        let mut open = |kind| {
            let routing = Routing { delay: Delay::ZERO, stream: None, wakes: false, buffer: usize::MAX };
            let id = cluster.api_mut().store.watch(now, Watch::all(kind), routing, None);
            id.unwrap_or(WatcherId(u32::MAX))
        };
        let (pods_watch, nodes_watch) = (open(Kind::POD), open(Kind::NODE));
        Tracker {
            pods_watch,
            nodes_watch,
            rows: Vec::new(),
            by_uid: FxHashMap::default(),
            requests: FxHashMap::default(),
            events: IndexMap::default(),
            about: about.into_iter().map(|(reason, target)| (reason, target, 0)).collect(),
            restarts: Vec::new(),
            utilisation: Utilisation::default(),
        }
    }

    /// Takes in everything that happened since the last time.
    pub fn drain(&mut self, cluster: &mut Cluster) {
        let now = cluster.now();
        let nodes = cluster.api_mut().store.watchers.poll(now, self.nodes_watch);
        let pods = cluster.api_mut().store.watchers.poll(now, self.pods_watch);
        // Both are in order of time; nodes first at one instant, so that a share is never above one for a moment.
        let mut nodes = nodes.into_iter().peekable();
        for (at, change) in pods {
            while let Some((node_at, node)) = nodes.next_if(|(node_at, _)| *node_at <= at) {
                self.node_changed(node_at, &node);
            }
            self.pod_changed(at, &change);
        }
        for (at, node) in nodes {
            self.node_changed(at, &node);
        }
        self.utilisation.advance(now);
        self.utilisation.settle();
    }

    fn node_changed(&mut self, at: Time, change: &Change) {
        let allocatable = |object: &Object| {
            let node = object.as_node()?;
            let status = &node.status;
            let list = status.allocatable.as_ref().or(status.capacity.as_ref());
            Some(Amount::of(&ResourceList::from_wire(list)))
        };
        self.utilisation.advance(at);
        if let Some(old) = change.old.as_deref().and_then(allocatable) {
            self.utilisation.allocatable.change(old, -1);
        }
        if let (true, Some(new)) = (change.kind != ChangeKind::Deleted, allocatable(&change.new)) {
            self.utilisation.allocatable.change(new, 1);
        }
    }

    fn pod_changed(&mut self, at: Time, change: &Change) {
        let Some(pod) = change.new.as_pod() else { return };
        let rows = &mut self.rows;
        let index = *self.by_uid.entry(change.new.meta.uid.0).or_insert_with(|| {
            rows.push(PodLife::default());
            (rows.len() - 1) as u32
        });
        let (fresh, gone) = (change.kind == ChangeKind::Added, change.kind == ChangeKind::Deleted);
        let counts = !gone && !pod.node_name.is_empty() && !pod.status.phase.is_terminal();
        let amount = counts.then(|| self.amount(pod));
        let Some(row) = self.rows.get_mut(index as usize) else { return };
        let before = row.requests;
        row.requests = amount;
        let seen = |slot: &mut Option<Time>, is: bool| {
            if is && slot.is_none() {
                *slot = Some(at);
            }
        };
        seen(&mut row.created, fresh && at >= Time::ZERO && change.old.is_none() && pod.node_name.is_empty());
        if !fresh {
            seen(&mut row.scheduled, !row.bound && !pod.node_name.is_empty());
            seen(&mut row.started, row.phase == PodPhase::Pending && pod.status.phase != PodPhase::Pending);
            seen(&mut row.ready, pod.status.is_true("Ready"));
        }
        seen(&mut row.deleted, gone);
        row.bound = !pod.node_name.is_empty();
        row.phase = pod.status.phase;
        if before != amount {
            self.utilisation.advance(at);
            self.utilisation.requested.change(before.unwrap_or_default(), -1);
            self.utilisation.requested.change(amount.unwrap_or_default(), 1);
            self.utilisation.settle();
        }
        if let Some(old) = change.old.as_deref().and_then(Object::as_pod) {
            self.note_restarts(at, &change.new, old, pod);
        }
    }

    fn note_restarts(&mut self, at: Time, object: &Object, old: &Pod, new: &Pod) {
        if Arc::ptr_eq(&old.status, &new.status) {
            return;
        }
        let containers = |pod: &Pod| {
            let status = pod.status.clone();
            let all = status.init_container_statuses.iter().chain(&status.container_statuses);
            all.map(|c| (c.name.clone(), c.restart_count)).collect::<Vec<_>>()
        };
        if new
            .status
            .container_statuses
            .iter()
            .chain(&new.status.init_container_statuses)
            .all(|c| c.restart_count == 0)
        {
            return;
        }
        let before = containers(old);
        for (name, count) in containers(new) {
            let was = before.iter().find(|(n, _)| *n == name).map_or(0, |(_, c)| *c);
            for _ in was..count {
                self.restarts.push(Restart {
                    at,
                    pod: object.key().clone(),
                    container: name.clone(),
                    labels: object.meta.labels.clone(),
                    node: new.node_name.clone(),
                });
            }
        }
    }

    /// What a pod asks for; computed once per shared spec.
    fn amount(&mut self, pod: &Pod) -> Amount {
        let address = Arc::as_ptr(&pod.spec) as usize;
        let entry = self.requests.entry(address).or_insert_with(|| {
            let list = pod_requests(&pod.spec, &PodResourcesOptions::default());
            // The spec is held, so that its address stays its own.
            (pod.spec.clone(), Amount::of(&list))
        });
        entry.1
    }

    /// Takes in encoded log records.
    pub fn read_log(&mut self, bytes: &[u8]) {
        for (_, record) in records(bytes) {
            let Record::Event { kind, namespace, name, reason, .. } = record else { continue };
            match self.events.get_mut(reason) {
                Some(count) => *count += 1,
                None => {
                    self.events.insert(reason.to_owned(), 1);
                }
            }
            for (wanted, target, count) in &mut self.about {
                let same_kind = target.kind.builtin_name() == Some(kind);
                let same = same_kind && target.key.namespace == namespace && target.key.name == name;
                *count += u64::from(same && wanted == reason);
            }
        }
    }

    /// Lives of all pods, in order of their appearance.
    pub fn lives(&self) -> &[PodLife] {
        &self.rows
    }

    /// Restarts, in order.
    pub fn restarts(&self) -> &[Restart] {
        &self.restarts
    }

    /// Utilisation.
    pub fn utilisation(&self) -> &Utilisation {
        &self.utilisation
    }

    /// Events by reason, in order of their first appearance.
    pub fn events(&self) -> impl Iterator<Item = (&str, u64)> {
        self.events.iter().map(|(reason, count)| (reason.as_str(), *count))
    }

    /// How often an Event was recorded.
    pub fn event_count(&self, reason: &str, about: Option<&Target>) -> u64 {
        match about {
            None => self.events.get(reason).copied().unwrap_or(0),
            Some(target) => {
                let found = self.about.iter().find(|(r, t, _)| r == reason && t == target);
                found.map_or(0, |(_, _, count)| *count)
            }
        }
    }
}

impl PodLife {
    /// From creation to being bound.
    pub fn time_to_schedule(&self) -> Option<Span> {
        Some(self.scheduled? - self.created?)
    }

    /// From creation to running.
    pub fn time_to_start(&self) -> Option<Span> {
        Some(self.started? - self.created?)
    }

    /// From creation to being ready.
    pub fn time_to_ready(&self) -> Option<Span> {
        Some(self.ready? - self.created?)
    }
}
