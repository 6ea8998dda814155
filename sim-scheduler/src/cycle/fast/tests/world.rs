//! Random clusters: nodes that come, change and go, pods of many kinds, promises.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Meta, Uid};
use sim_core::api::object::{Body, Object};
use sim_core::time::{Time, secs};

use super::devices::{self, Claims, DeviceStep};
use crate::cache::{Cache, Slot};
use crate::cycle::{Nominator, Sampling};
use crate::framework::Preemption;
use crate::pod::{Classes, PodInfo};
use crate::testing::{node, pod};

/// Number of kinds of pods without claims.
const CLAIMLESS: u8 = 20;
/// Number of kinds of pods.
const KINDS: u8 = CLAIMLESS + devices::KINDS;

/// One change of a random cluster.
#[derive(Clone, Debug)]
pub(super) enum Step {
    SetNode {
        name: u8,
        cpu: u8,
        memory: u8,
        pods: u8,
        taints: u8,
        labels: u8,
        image: u8,
        cordoned: bool,
    },
    RemoveNode(u8),
    RemovePod(u8),
    /// A placed pod is seen to have started.
    Start {
        at: u8,
        seconds: i64,
    },
    /// So many disruptions are allowed from now on.
    Budget(u8),
    /// A Service selects pods of an app, or no pods any more.
    Service(bool),
    /// A pod is promised a node.
    Promise {
        kind: u8,
        priority: u8,
        name: u8,
    },
    /// A promise is taken back.
    TakeBack(u8),
    /// A pod is tried that was promised a node, or another one of its class.
    Retry {
        at: u8,
        who: Who,
        sampled: bool,
    },
    /// Devices or claims change.
    Devices(DeviceStep),
    Place {
        kind: u8,
        priority: u8,
        sampled: bool,
        promised: Option<u8>,
    },
}

/// Who is tried again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who {
    /// The pod; its status tells of the promise.
    Told,
    /// The pod; its status does not tell of the promise yet.
    Untold,
    /// A pod like it.
    Twin,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let set = (0_u8..12, 1_u8..5, 1_u8..5, 1_u8..6, 0_u8..4, 0_u8..4, 0_u8..3, prop::bool::weighted(0.1));
    let set = set.prop_map(|(name, cpu, memory, pods, taints, labels, image, cordoned)| Step::SetNode {
        name,
        cpu,
        memory,
        pods,
        taints,
        labels,
        image,
        cordoned,
    });
    let place = (0..KINDS, 0_u8..3, any::<bool>(), prop::option::weighted(0.1, 0_u8..12));
    let place = place.prop_map(|(kind, priority, sampled, promised)| Step::Place {
        kind,
        priority,
        sampled,
        promised,
    });
    let who = prop_oneof![Just(Who::Told), Just(Who::Untold), Just(Who::Twin)];
    let retry = (any::<u8>(), who, any::<bool>());
    let retry = retry.prop_map(|(at, who, sampled)| Step::Retry { at, who, sampled });
    let promise = (0..KINDS, 0_u8..3, 0_u8..12);
    let step = prop_oneof![
        6 => set,
        2 => (0_u8..12).prop_map(Step::RemoveNode),
        4 => any::<u8>().prop_map(Step::RemovePod),
        2 => (any::<u8>(), 0_i64..20).prop_map(|(at, seconds)| Step::Start { at, seconds }),
        1 => (0_u8..3).prop_map(Step::Budget),
        1 => any::<bool>().prop_map(Step::Service),
        3 => promise.prop_map(|(kind, priority, name)| Step::Promise { kind, priority, name }),
        2 => any::<u8>().prop_map(Step::TakeBack),
        6 => retry,
        7 => devices::steps().prop_map(Step::Devices),
        // Runs of one kind, as replicas come.
        14 => place,
    ];
    prop::collection::vec(step, 60..200)
}

/// The cluster.
#[derive(Default)]
pub(super) struct World {
    pub(super) cache: Cache,
    pub(super) classes: Classes,
    pub(super) nominator: Nominator,
    placed: Vec<Uid>,
    /// Pods that were promised a node, the oldest promise first.
    promises: VecDeque<Object>,
    pub(super) claims: Claims,
}

impl World {
    /// Takes a step; gives back a pod that is to be placed.
    pub(super) fn step(&mut self, step: &Step, number: usize) -> Option<(Object, Sampling)> {
        match step {
            Step::SetNode { .. } => self.cache.set_node(&random_node(step)),
            Step::RemoveNode(name) => self.cache.remove_node(&format!("n{name}")),
            Step::RemovePod(at) => {
                if let Some(uid) = self.placed_at(*at) {
                    self.placed.retain(|placed| *placed != uid);
                    self.cache.remove_pod(uid);
                }
            }
            Step::Start { at, seconds } => {
                let pod = self.placed_at(*at).and_then(|uid| self.cache.pod_object(uid));
                if let Some(mut object) = pod.map(|pod| Object::clone(pod)) {
                    if let Body::Pod(body) = &mut object.body {
                        Arc::make_mut(&mut body.status).start_time = Some(Time::ZERO - secs(*seconds));
                    }
                    self.cache.set_pod_object(&Arc::new(object));
                }
            }
            Step::Budget(allowed) => self.set(
                Kind::POD_DISRUPTION_BUDGET,
                json!({"spec": {"selector": {"matchLabels": {"app": "a"}}},
                    "status": {"disruptionsAllowed": allowed}}),
            ),
            Step::Service(selects) => {
                let selector = if *selects { json!({"app": "served"}) } else { Value::Null };
                self.set(Kind::SERVICE, json!({"spec": {"selector": selector}}));
            }
            Step::Promise { kind, priority, name } => {
                let object = pod_of(*kind, *priority, &format!("promised{number}"));
                let info = self.classes.of(&object).expect("a pod");
                self.promise(object, &info, &format!("n{name}"));
            }
            Step::TakeBack(at) => {
                if let Some(uid) = self.promised_at(*at).map(|object| object.meta.uid) {
                    self.take_back(uid);
                }
            }
            Step::Retry { at, who, sampled } => {
                let mut object = self.promised_at(*at)?.clone();
                let told = match who {
                    Who::Told => self.nominator.node_of(object.meta.uid).cloned(),
                    Who::Untold | Who::Twin => None,
                };
                if let Body::Pod(body) = &mut object.body {
                    Arc::make_mut(&mut body.status).nominated_node_name = told.unwrap_or_default();
                }
                if let Who::Twin = who {
                    let name = format!("twin{number}");
                    object.meta.uid = Uid::parse(&name);
                    object.meta.key.name = name.into();
                }
                return Some((object, sampling(*sampled)));
            }
            Step::Devices(step) => self.claims.step(step, self.cache.objects_mut()),
            Step::Place { kind, priority, sampled, promised } => {
                let mut object = pod_of(*kind, *priority, &format!("p{number}"));
                if let Some(kind) = kind.checked_sub(CLAIMLESS) {
                    self.claims.equip(kind, &mut object, self.cache.objects_mut());
                }
                if let (Some(name), Body::Pod(body)) = (promised, &mut object.body) {
                    Arc::make_mut(&mut body.status).nominated_node_name = format!("n{name}").into();
                }
                return Some((object, sampling(*sampled)));
            }
        }
        None
    }

    fn placed_at(&self, at: u8) -> Option<Uid> {
        self.placed.get(usize::from(at) % self.placed.len().max(1)).copied()
    }

    fn set(&mut self, kind: Kind, body: Value) {
        let meta = Meta::named(Key::new("default", "one"));
        self.cache.objects_mut().set(Arc::new(Object::json(kind, meta, body)));
    }

    fn promised_at(&self, at: u8) -> Option<&Object> {
        self.promises.get(usize::from(at) % self.promises.len().max(1))
    }

    fn promise(&mut self, object: Object, info: &Arc<PodInfo>, node: &str) {
        let uid = object.meta.uid;
        self.nominator.nominate(uid, info, node);
        self.promises.retain(|promised| promised.meta.uid != uid);
        self.promises.push_back(object);
    }

    fn take_back(&mut self, uid: Uid) {
        self.nominator.remove(uid);
        self.promises.retain(|promised| promised.meta.uid != uid);
    }

    pub(super) fn place(&mut self, object: Object, info: Arc<PodInfo>, slot: Slot) {
        let name = self.cache.node(slot).name.clone();
        self.take_back(object.meta.uid);
        self.placed.push(object.meta.uid);
        self.cache.assume(&Arc::new(object), info, &name);
    }

    pub(super) fn preempt(&mut self, object: &Object, info: &Arc<PodInfo>, preemption: &Preemption) {
        for victim in &preemption.victims {
            self.cache.remove_pod(*victim);
            self.placed.retain(|uid| uid != victim);
        }
        self.promise(object.clone(), info, &preemption.node);
    }
}

/// Windows of few nodes stand in for what upstream does from 100 nodes on.
fn sampling(sampled: bool) -> Sampling {
    if sampled { Sampling::Window(3) } else { Sampling::All }
}

fn random_node(step: &Step) -> Object {
    let &Step::SetNode { name, cpu, memory, pods, taints, labels, image, cordoned } = step else {
        unreachable!("only called for nodes")
    };
    let taints = match taints {
        1 => json!([{"key": "k", "value": "v", "effect": "PreferNoSchedule"}]),
        2 => json!([{"key": "k", "value": "v", "effect": "NoSchedule"}]),
        3 => json!([{"key": "a", "effect": "PreferNoSchedule"}, {"key": "b", "effect": "PreferNoSchedule"}]),
        _ => json!([]),
    };
    let full = format!("n{name}");
    let mut built = node(&full)
        .cpu(&cpu.to_string())
        .memory(&format!("{memory}Gi"))
        .allocatable("pods", &pods.to_string())
        .label("disk", ["", "ssd", "hdd", "nvme"][usize::from(labels)])
        // Single nodes, two or more that say they are one, and none.
        .label(HOST, ["twin", &full, &full, ""][usize::from(labels)])
        .label(ZONE, ["", "a", "b"][usize::from(name % 3)])
        .spec(json!({"taints": taints, "unschedulable": cordoned}));
    if name == 6 {
        built = built.blank_label(ZONE);
    }
    if image > 0 {
        built = built.image("i:1", i64::from(image) * 700_000_000);
    }
    built.build()
}

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

fn spread(key: &str, skew: i32, action: &str, app: &str) -> Value {
    json!({"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": action,
        "labelSelector": {"matchLabels": {"app": app}}})
}

fn term(key: &str, app: &str) -> Value {
    json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}})
}

fn weighted(weight: i32, key: &str, app: &str) -> Value {
    json!({"weight": weight, "podAffinityTerm": term(key, app)})
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

fn node_affinity(kind: u8) -> Value {
    let prefer = |weight: i32, operator: &str, values: Value| {
        json!({"weight": weight, "preference": {"matchExpressions": [
            {"key": "disk", "operator": operator, "values": values}]}})
    };
    match kind {
        3 => json!({"nodeAffinity": {PREFERRED:
            [prefer(7, "In", json!(["ssd"])), prefer(3, "Exists", json!([]))]}}),
        6 => json!({"nodeAffinity": {PREFERRED: [prefer(7, "Gt", json!(["x"]))]}}),
        _ => json!({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]}}}),
    }
}

/// A pod of one of the kinds: plain ones, and all that plugins look at.
fn pod_of(kind: u8, priority: u8, name: &str) -> Object {
    let pod = pod(name).with("priority", json!(priority));
    let app = |app: &str| ("app", app.to_owned());
    let constraints = |list: Value| ("topologySpreadConstraints", list);
    let affinity = |value: Value| ("affinity", value);
    if let Some(kind) = kind.checked_sub(CLAIMLESS) {
        return pod.cpu("100m").with("resourceClaims", devices::of_pod(kind)).build();
    }
    let (label, (field, value)) = match kind {
        0 => return pod.build(),
        1 => return pod.cpu("500m").memory("512Mi").build(),
        2 => return pod.cpu("1").with("nodeSelector", json!({"disk": "ssd"})).build(),
        3 => return pod.cpu("100m").with("affinity", node_affinity(3)).build(),
        4 => return pod.memory("1Gi").with("tolerations", json!([{"operator": "Exists"}])).build(),
        5 => return pod.container("ports", json!([{"containerPort": 80, "hostPort": 80}])).build(),
        6 => return pod.cpu("200m").with("affinity", node_affinity(6)).build(),
        7 => return pod.cpu("300m").with("affinity", node_affinity(7)).build(),
        8 => (app("a"), constraints(json!([spread(ZONE, 1, "DoNotSchedule", "a")]))),
        9 => {
            let mut hosts = spread(HOST, 1, "DoNotSchedule", "a");
            hosts["minDomains"] = json!(3);
            hosts["nodeTaintsPolicy"] = json!("Honor");
            (app("a"), constraints(json!([hosts, spread(ZONE, 2, "DoNotSchedule", "b")])))
        }
        10 => {
            let soft = [spread(ZONE, 1, "ScheduleAnyway", "b"), spread(HOST, 2, "ScheduleAnyway", "b")];
            (app("b"), constraints(json!(soft)))
        }
        11 => {
            let mixed = [spread(ZONE, 1, "ScheduleAnyway", "a"), spread("disk", 1, "DoNotSchedule", "b")];
            (app("b"), constraints(json!(mixed)))
        }
        12 => (app("a"), affinity(json!({"podAntiAffinity": {REQUIRED: [term(HOST, "a")]}}))),
        13 => (app("b"), affinity(json!({"podAffinity": {REQUIRED: [term(ZONE, "b")]}}))),
        14 => (app("b"), affinity(json!({"podAffinity": {REQUIRED: [term(ZONE, "a"), term(HOST, "b")]}}))),
        15 => (
            app("a"),
            affinity(json!({"podAffinity": {PREFERRED: [weighted(5, ZONE, "b")]},
            "podAntiAffinity": {PREFERRED: [weighted(70, HOST, "a")]}})),
        ),
        16 => (app("b"), affinity(json!({"podAntiAffinity": {REQUIRED: [term(ZONE, "c")]}}))),
        17 => (app("served"), ("hostname", json!("x"))),
        18 => (app("c"), ("hostname", json!("x"))),
        _ => (app("a"), ("hostname", json!("x"))),
    };
    let (key, text) = label;
    pod.cpu("250m").label(key, &text).with(field, value).build()
}
