//! The plugins that look at pods on other nodes: the fast way through a cycle must find what the plain one finds.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use sim_core::api::kind::{Kind, Kinds};
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::api::wire;
use sim_core::engine::random::Seed;
use sim_core::time::{Epoch, Time};

use super::{FastCycles, FastOutcome, Nominator, Sampling, TieBreak, evaluate};
use crate::cache::Cache;
use crate::framework::{Attempt, Profile};
use crate::pod::Classes;
use crate::testing::{node, pod};

#[derive(Clone, Debug)]
enum Step {
    SetNode {
        name: u8,
        zone: u8,
        rack: u8,
        tainted: bool,
        pods: u8,
    },
    RemoveNode(u8),
    RemovePod(u8),
    /// The pod's grace begins.
    Terminate(u8),
    SetService(bool),
    /// The namespace gets a label, or loses it.
    SetNamespace(bool),
    Place {
        class: u8,
        app: u8,
        sampled: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let set = (0_u8..12, 0_u8..5, 0_u8..3, prop::bool::weighted(0.2), 1_u8..8);
    let set =
        set.prop_map(|(name, zone, rack, tainted, pods)| Step::SetNode { name, zone, rack, tainted, pods });
    let place = (0_u8..CLASSES.len() as u8, 0_u8..3, any::<bool>());
    let place = place.prop_map(|(class, app, sampled)| Step::Place { class, app, sampled });
    let nodes = prop::collection::vec(set.clone(), 2..10);
    let step = prop_oneof![
        1 => set,
        1 => (0_u8..12).prop_map(Step::RemoveNode),
        3 => any::<u8>().prop_map(Step::RemovePod),
        1 => any::<u8>().prop_map(Step::Terminate),
        2 => any::<bool>().prop_map(Step::SetService),
        2 => any::<bool>().prop_map(Step::SetNamespace),
        20 => place,
    ];
    (nodes, prop::collection::vec(step, 1..100)).prop_map(|(nodes, steps)| [nodes, steps].concat())
}

/// Specs, as JSON of `topologySpreadConstraints` and `affinity`.
const CLASSES: &[&str] = &[
    r#"{}"#,
    r#"{"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "a"}}}]}"#,
    r#"{"topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule", "minDomains": 5, "nodeTaintsPolicy": "Honor",
        "labelSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}},
        {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}]}"#,
    r#"{"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
        "matchLabelKeys": ["app"], "labelSelector": {}},
        {"maxSkew": 3, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}}]}"#,
    r#"{"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway",
        "nodeTaintsPolicy": "Honor", "labelSelector": {"matchLabels": {"app": "b"}}},
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "b"}}}], "tolerations": [{"operator": "Exists"}]}"#,
    r#"{"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "a"}}}]}}}"#,
    r#"{"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "a"}}},
        {"topologyKey": "rack", "labelSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}]}}}"#,
    r#"{"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "rack", "labelSelector": {"matchLabels": {"app": "b"}},
        "namespaceSelector": {"matchLabels": {"team": "x"}}}]}}}"#,
    r#"{"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 7, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "b"}}}}]},
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 7, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "a"}},
        "namespaceSelector": {"matchLabels": {"team": "x"}}}}]}}}"#,
];

fn placed(class: u8, app: u8, name: &str) -> Object {
    let spec: Value = serde_json::from_str(CLASSES[usize::from(class)]).expect("JSON");
    let mut built = pod(name).label("app", ["a", "b", ""][usize::from(app)]).cpu("100m");
    for (field, value) in spec.as_object().expect("an object") {
        built = built.with(field, value.clone());
    }
    built.build()
}

fn random_node(step: &Step) -> Object {
    let &Step::SetNode { name, zone, rack, tainted, pods } = step else {
        unreachable!("only called for nodes")
    };
    let taints = match tainted {
        true => json!([{"key": "k", "effect": "NoSchedule"}]),
        false => json!([]),
    };
    let zone = ["", "x", "y", "z", "x"][usize::from(zone)];
    let name = format!("n{name}");
    node(&name)
        .allocatable("pods", &pods.to_string())
        .label("kubernetes.io/hostname", &name)
        .label("zone", zone)
        .label("topology.kubernetes.io/zone", zone)
        .label("rack", ["", "r1", "r2"][usize::from(rack)])
        .spec(json!({"taints": taints}))
        .build()
}

fn service() -> Object {
    let json = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "default"},
        "spec": {"selector": {"app": "a"}}});
    wire::from_json(&json, &Kinds::default(), Epoch::default()).expect("a Service")
}

/// A cluster, and the pods that were placed in it.
#[derive(Default)]
struct World {
    cache: Cache,
    classes: Classes,
    placed: Vec<Uid>,
}

impl World {
    fn change(&mut self, step: &Step) {
        match step {
            Step::SetNode { .. } => self.cache.set_node(&random_node(step)),
            Step::RemoveNode(name) => self.cache.remove_node(&format!("n{name}")),
            Step::SetNamespace(labelled) => {
                let labels = if *labelled { json!({"team": "x"}) } else { json!({}) };
                let json = json!({"apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": "default", "labels": labels}});
                let namespace = wire::from_json(&json, &Kinds::default(), Epoch::default());
                self.cache.objects_mut().set(Arc::new(namespace.expect("a Namespace")));
            }
            Step::SetService(true) => self.cache.objects_mut().set(Arc::new(service())),
            Step::SetService(false) => {
                self.cache.objects_mut().remove(Kind::SERVICE, &Key::new("default", "s"));
            }
            Step::RemovePod(at) if !self.placed.is_empty() => {
                let uid = self.placed.swap_remove(usize::from(*at) % self.placed.len());
                self.cache.remove_pod(uid);
            }
            Step::Terminate(at) if !self.placed.is_empty() => {
                let uid = self.placed[usize::from(*at) % self.placed.len()];
                let Some(object) = self.cache.pod_object(uid) else { return };
                let mut object = (**object).clone();
                let node = object.as_pod().expect("a pod").node_name.clone();
                object.meta.deletion =
                    Some(sim_core::api::meta::Deletion { timestamp: Time::ZERO, grace_period_seconds: 30 });
                let info = self.classes.of(&object).expect("a pod");
                self.cache.set_pod(&Arc::new(object), info, &node);
            }
            Step::RemovePod(_) | Step::Terminate(_) | Step::Place { .. } => {}
        }
    }
}

fn replay(steps: &[Step], profile: &Profile, ties: &TieBreak) -> Result<(), TestCaseError> {
    let mut world = World::default();
    let mut fast = FastCycles::default();
    let nobody = Nominator::default();
    let (mut fast_ties, mut plain_ties, mut start) = (ties.clone(), ties.clone(), 0);
    for (i, step) in steps.iter().enumerate() {
        world.change(step);
        let Step::Place { class, app, sampled } = step else { continue };
        world.cache.refresh();
        if world.cache.order().is_empty() {
            continue;
        }
        let mut object = placed(*class, *app, &format!("p{i}"));
        let info = world.classes.of(&object).expect("a pod");
        let attempt = Attempt { pod: &info, object: &object, cluster: &world.cache, now: Time::ZERO };
        let sampling = if *sampled { Sampling::Window(3) } else { Sampling::All };
        let (plain, _) = evaluate(profile, attempt, &nobody, sampling, start);
        let outcome = fast.choose((0, profile), &attempt, &nobody, (sampling, start), &mut fast_ties);
        let nodes = world.cache.order().len();
        let slot = plain_ties.choose(&world.cache, &plain.best);
        match (slot, &outcome) {
            (Some(slot), _) => {
                let want = FastOutcome::Chosen {
                    slot,
                    score: plain.score(),
                    feasible: plain.feasible.len(),
                    evaluated: plain.evaluated(),
                    next_start: plain.next_start,
                };
                prop_assert_eq!(&outcome, &want, "step {}: {:?}", i, plain);
            }
            (None, FastOutcome::Nothing(diagnosis)) => {
                prop_assert_eq!(diagnosis.message(nodes), plain.diagnosis.message(nodes));
                let blamed = &plain.diagnosis.unschedulable_plugins;
                prop_assert_eq!(&diagnosis.unschedulable_plugins, blamed, "step {}", i);
                plain_ties = fast_ties.clone();
            }
            (None, _) => prop_assert!(false, "step {}: {:?} instead of {:?}", i, outcome, plain),
        }
        start = plain.next_start;
        if let Some(slot) = slot {
            let name = world.cache.node(slot).name.clone();
            world.placed.push(object.meta.uid);
            if let sim_core::api::object::Body::Pod(pod) = &mut object.body {
                pod.node_name = name.clone();
            }
            world.cache.assume(&Arc::new(object), info, &name);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn counts_follow_pods(steps in steps(), seed in any::<u64>()) {
        let ties = TieBreak::Random(Seed(seed).stream("scheduler/tie-break"));
        replay(&steps, &Profile::default_profile(), &ties)?;
    }
}
