use std::sync::Arc;

use serde_json::{Value, json};
use sim_core::api::kind::Kinds;
use sim_core::api::object::Object;
use sim_core::api::wire;
use sim_core::time::{Epoch, Time};

use super::*;
use crate::cache::Cache;
use crate::config::args;
use crate::framework::{Hint, PreFiltered, Wake};
use crate::pod::Classes;
use crate::testing::{PodBuilder, ask, node, on, pod};

/// Nodes by name, with the value of `zone`; pods as (node, value of `app`, terminating).
struct World {
    cache: Cache,
    classes: Classes,
}

fn world(nodes: &[(&str, &str)], pods: &[(&str, &str, bool)]) -> World {
    let mut world = World { cache: Cache::default(), classes: Classes::default() };
    for (name, zone) in nodes {
        world.cache.set_node(&node(name).label("kubernetes.io/hostname", name).label("zone", zone).build());
    }
    for (i, (node, app, terminating)) in pods.iter().enumerate() {
        let mut object = on(pod(&format!("old{i}")).label("app", app).build(), node);
        object.meta.deletion = terminating
            .then_some(sim_core::api::meta::Deletion { timestamp: Time::ZERO, grace_period_seconds: 1 });
        let info = world.classes.of(&object).expect("a pod");
        world.cache.set_pod(&Arc::new(object), info, &(*node).into());
    }
    world.cache.refresh();
    world
}

/// A constraint over zones, with some fields changed.
fn constraint(action: &str, changes: Value) -> Value {
    let mut wire = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": action,
        "labelSelector": {"matchLabels": {"app": "a"}}});
    for (key, value) in changes.as_object().into_iter().flatten() {
        wire[key] = value.clone();
    }
    wire
}

fn constrained(constraints: &[Value]) -> PodBuilder {
    pod("new").label("app", "a").with("topologySpreadConstraints", json!(constraints))
}

fn plugin(json: Value) -> PodTopologySpread {
    PodTopologySpread::new(args::read(&json).expect("arguments"))
}

impl World {
    fn attempt<T>(&mut self, object: &Object, what: impl FnOnce(&Attempt<'_>) -> T) -> T {
        let info = self.classes.of(object).expect("a pod");
        what(&Attempt { pod: &info, object, cluster: &self.cache, now: Time::ZERO })
    }

    /// Letters of the nodes that pass, in their order; those refused for good as capitals.
    fn filter(&mut self, object: &Object) -> String {
        let plugin = plugin(Value::Null);
        self.attempt(object, |attempt| {
            let mut cycle = Spreading::default();
            if plugin.check(&mut cycle, attempt) != PreFiltered::Proceed {
                return "skip".to_owned();
            }
            let verdict = |slot: &Slot| {
                let node = attempt.cluster.node(*slot);
                match plugin.filter(&cycle, attempt.pod, node) {
                    Fits => node.name.to_string(),
                    Unresolvable(_) => node.name.to_uppercase(),
                    _ => "-".to_owned(),
                }
            };
            attempt.cluster.order().iter().map(verdict).collect()
        })
    }

    /// Raw and normalised scores; empty if the plugin skips.
    fn score(&mut self, plugin: &PodTopologySpread, object: &Object) -> (Vec<i64>, Vec<i64>) {
        self.attempt(object, |attempt| {
            let mut cycle = Spreading::default();
            let nodes = attempt.cluster.order();
            if !plugin.pre_score(&mut cycle, attempt, nodes).is_success() {
                return (Vec::new(), Vec::new());
            }
            let score = |slot: &Slot| plugin.score(&cycle, attempt.pod, attempt.cluster.node(*slot));
            let raw: Vec<i64> = nodes.iter().map(score).collect();
            let mut normalized = raw.clone();
            assert!(plugin.normalize(&cycle, attempt.pod, &mut normalized).is_success());
            (raw, normalized)
        })
    }
}

#[test]
fn nodes_that_would_be_too_full_are_refused() {
    let nodes = [("a", "x"), ("b", "x"), ("c", "y"), ("d", "")];
    let pods = [("a", "a", false), ("b", "a", false), ("c", "a", false), ("c", "b", false), ("c", "a", true)];
    let hard = |changes| constraint("DoNotSchedule", changes);
    for (constraints, want) in [
        (vec![], "skip"),
        (vec![constraint("ScheduleAnyway", json!({}))], "skip"),
        (vec![hard(json!({}))], "--cD"),
        (vec![hard(json!({"maxSkew": 2}))], "abcD"),
        // With too few domains the emptiest counts as empty.
        (vec![hard(json!({"maxSkew": 2, "minDomains": 3}))], "--cD"),
        (vec![hard(json!({"labelSelector": {"matchLabels": {"app": "b"}}}))], "abcD"),
        // A selector of everything counts no pods but the new one; an absent one not even that.
        (vec![hard(json!({"labelSelector": {}}))], "abcD"),
        (vec![hard(json!({"labelSelector": null}))], "abcD"),
        (vec![hard(json!({"labelSelector": {}, "matchLabelKeys": ["app"]}))], "--cD"),
        // The second constraint leaves node d out of the first as well.
        (vec![hard(json!({"topologyKey": "kubernetes.io/hostname"})), hard(json!({"maxSkew": 9}))], "abcD"),
        (vec![hard(json!({"topologyKey": "kubernetes.io/hostname"}))], "---d"),
    ] {
        let pod = constrained(&constraints).build();
        assert_eq!(world(&nodes, &pods).filter(&pod), want, "{constraints:?}");
    }
}

#[test]
fn policies_say_which_nodes_count() {
    let mut world = world(&[("a", "x"), ("b", "y"), ("c", "z")], &[("a", "a", false), ("b", "a", false)]);
    let taints = json!([{"key": "k", "effect": "NoSchedule"}]);
    world.cache.set_node(&node("c").label("zone", "z").spec(json!({"taints": taints})).build());
    let select = json!({"zone": "x"});
    for (changes, selector, want) in [
        (json!({}), json!({}), "--c"),
        (json!({"nodeTaintsPolicy": "Honor"}), json!({}), "abc"),
        (json!({}), select.clone(), "abc"),
        (json!({"nodeAffinityPolicy": "Ignore"}), select, "--c"),
    ] {
        let constraints = [constraint("DoNotSchedule", changes.clone())];
        let pod = constrained(&constraints).with("nodeSelector", selector).build();
        assert_eq!(world.filter(&pod), want, "{changes}");
    }
}

#[test]
fn hypothetical_pods_count() {
    let mut world = world(&[("a", "x"), ("b", "y")], &[("a", "a", false)]);
    let object = constrained(&[constraint("DoNotSchedule", json!({}))]).build();
    let plugin = plugin(Value::Null);
    let other = |app: &str| NodePod {
        uid: sim_core::api::meta::Uid(9),
        info: Arc::new(pod("o").label("app", app).info()),
    };
    world.attempt(&object, |attempt| {
        let mut cycle = Spreading::default();
        assert_eq!(plugin.check(&mut cycle, attempt), PreFiltered::Proceed);
        let fits = |cycle: &Spreading| {
            let fits = |slot| plugin.filter(cycle, attempt.pod, attempt.cluster.node(slot)).fits();
            (fits(0), fits(1))
        };
        assert_eq!(fits(&cycle), (false, true));
        for (node, app, add, want) in [
            (1, "b", true, (false, true)),
            (1, "a", true, (true, true)),
            (1, "a", true, (true, false)),
            (1, "a", false, (true, true)),
            (0, "a", false, (true, false)),
        ] {
            let node = attempt.cluster.node(node);
            match add {
                true => plugin.add_pod(&mut cycle, attempt, &other(app), node),
                false => plugin.remove_pod(&mut cycle, attempt, &other(app), node),
            }
            assert_eq!(fits(&cycle), want, "{app} {add}");
        }
    });
}

#[test]
fn fuller_domains_score_lower() {
    let nodes = [("a", "x"), ("b", "x"), ("c", "y"), ("d", "")];
    let pods =
        [("a", "a", false), ("b", "a", false), ("a", "a", false), ("c", "a", false), ("d", "a", false)];
    let soft = |changes| constraint("ScheduleAnyway", changes);
    for (constraints, raw, normalized) in [
        (vec![constraint("DoNotSchedule", json!({}))], vec![], vec![]),
        // Two domains weigh ln 4.
        (vec![soft(json!({}))], vec![4, 4, 1, 0], vec![25, 25, 100, 0]),
        (vec![soft(json!({"maxSkew": 5}))], vec![8, 8, 5, 0], vec![62, 62, 100, 0]),
        // Four nodes weigh ln 6; the three with a zone ln 5.
        (
            vec![soft(json!({"topologyKey": "kubernetes.io/hostname"}))],
            vec![4, 2, 2, 2],
            vec![50, 100, 100, 100],
        ),
        (
            vec![soft(json!({"topologyKey": "kubernetes.io/hostname"})), soft(json!({}))],
            vec![7, 6, 3, 0],
            vec![42, 57, 100, 0],
        ),
    ] {
        let pod = constrained(&constraints).build();
        let got = world(&nodes, &pods).score(&plugin(Value::Null), &pod);
        assert_eq!(got, (raw, normalized), "{constraints:?}");
    }
}

fn object(value: Value) -> Arc<Object> {
    Arc::new(wire::from_json(&value, &Kinds::default(), Epoch::default()).expect("an object"))
}

fn owned(kind: &str, api_version: &str) -> Object {
    let mut object = pod("new").label("app", "a").build();
    object.meta.owner_references.push(sim_core::api::meta::OwnerReference {
        api_version: api_version.into(),
        kind: kind.into(),
        name: "owner".into(),
        uid: sim_core::api::meta::Uid(7),
        controller: true,
        block_owner_deletion: true,
    });
    object
}

#[test]
fn pods_without_constraints_get_defaults() {
    let nodes = [("a", "x"), ("b", "x"), ("c", "y")];
    let pods = [("a", "a", false), ("b", "b", false)];
    let list = json!({"defaultingType": "List", "defaultConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]});
    let service = |namespace: &str, selector: Value| {
        object(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": namespace},
            "spec": {"selector": selector}}),
        )
    };
    let owner = |api_version: &str, kind: &str, selector: Value| {
        object(json!({"apiVersion": api_version, "kind": kind,
            "metadata": {"name": "owner", "namespace": "default"}, "spec": {"selector": selector}}))
    };
    let by_labels = json!({"matchLabels": {"app": "a"}});
    for (args, other, pod, raw) in [
        (Value::Null, None, owned("ReplicaSet", "apps/v1"), vec![]),
        (
            Value::Null,
            Some(service("default", json!({"app": "a"}))),
            pod("p").label("app", "a").build(),
            vec![4, 2, 2],
        ),
        (
            Value::Null,
            Some(service("default", json!({"app": "b"}))),
            pod("p").label("app", "a").build(),
            vec![],
        ),
        (
            Value::Null,
            Some(service("other", json!({"app": "a"}))),
            pod("p").label("app", "a").build(),
            vec![],
        ),
        (
            list.clone(),
            Some(service("default", json!({"app": "a"}))),
            pod("p").label("app", "a").build(),
            vec![1, 1, 0],
        ),
        (
            list.clone(),
            Some(owner("apps/v1", "ReplicaSet", by_labels.clone())),
            owned("ReplicaSet", "apps/v1"),
            vec![1, 1, 0],
        ),
        (
            list.clone(),
            Some(owner("apps/v1", "StatefulSet", by_labels.clone())),
            owned("StatefulSet", "apps/v1"),
            vec![1, 1, 0],
        ),
        (
            list.clone(),
            Some(owner("v1", "ReplicationController", json!({"app": "a"}))),
            owned("ReplicationController", "v1"),
            vec![1, 1, 0],
        ),
        (list, Some(owner("apps/v1", "DaemonSet", by_labels)), owned("DaemonSet", "apps/v1"), vec![]),
    ] {
        let mut world = world(&nodes, &pods);
        let text = format!("{args} {other:?}");
        other.into_iter().for_each(|other| world.cache.objects_mut().set(other));
        assert_eq!(world.score(&plugin(args), &pod).0, raw, "{text}");
    }
}

#[test]
fn bad_selectors_are_errors() {
    let bad = json!({"labelSelector": {"matchExpressions": [{"key": "app", "operator": "Is"}]}});
    let mut world = world(&[("a", "x")], &[]);
    let plugin = plugin(Value::Null);
    let hard = constrained(&[constraint("DoNotSchedule", bad.clone())]).build();
    let refused = world.attempt(&hard, |attempt| plugin.check(&mut Spreading::default(), attempt));
    let text = "get constraints from pod: obtaining pod's hard topology spread constraints: \"Is\" is not a valid label \
                selector operator";
    assert_eq!(refused, PreFiltered::Refused(Status::error(text)));
    let soft = constrained(&[constraint("ScheduleAnyway", bad)]).build();
    let status = world.attempt(&soft, |attempt| plugin.pre_score(&mut Spreading::default(), attempt, &[0]));
    let text = "calculating preScoreState: obtaining pod's soft topology spread constraints: \"Is\" is not a valid label \
                selector operator";
    assert_eq!(status, Status::error(text));
}

#[test]
fn events_that_may_help() {
    let plugin = plugin(Value::Null);
    let waiting = constrained(&[
        constraint("DoNotSchedule", json!({"nodeTaintsPolicy": "Honor"})),
        constraint("DoNotSchedule", json!({"topologyKey": "rack"})),
    ])
    .build();
    let other = |app: &str| pod("other").label("app", app);
    let bound = |app: &str| on(other(app).build(), "a");
    let mut elsewhere = bound("a");
    elsewhere.meta.key.namespace = "elsewhere".into();
    let tolerating = constrained(&[]).with("tolerations", json!([{"operator": "Exists"}])).build();
    for (event, old, new, want) in [
        (Wake::PodAdded, None, Some(bound("a")), Hint::Queue),
        (Wake::PodAdded, None, Some(bound("b")), Hint::Skip),
        (Wake::PodAdded, None, Some(elsewhere), Hint::Skip),
        (Wake::PodAdded, None, Some(other("a").build()), Hint::Skip),
        (Wake::PodDeleted, Some(bound("a")), None, Hint::Queue),
        (Wake::PodDeleted, Some(bound("b")), None, Hint::Skip),
        (Wake::PodLabels, Some(bound("a")), Some(bound("b")), Hint::Queue),
        (Wake::PodLabels, Some(bound("c")), Some(bound("b")), Hint::Skip),
        (Wake::OwnTolerations, Some(waiting.clone()), Some(tolerating), Hint::Queue),
    ] {
        assert_eq!(ask(&plugin, &waiting, event, old.as_ref(), new.as_ref()), want, "{old:?} {new:?}");
    }
    let node = |zone: &str, rack: &str| node("n").label("zone", zone).label("rack", rack);
    let tainted = node("x", "r").spec(json!({"taints": [{"key": "k", "effect": "NoSchedule"}]}));
    for (event, old, new, want) in [
        (Wake::NodeAdded, None, Some(node("x", "r")), Hint::Queue),
        (Wake::NodeAdded, None, Some(node("x", "")), Hint::Skip),
        (Wake::NodeDeleted, Some(node("x", "r")), None, Hint::Queue),
        (Wake::NodeDeleted, Some(node("", "r")), None, Hint::Skip),
        (Wake::NodeLabels, Some(node("x", "r")), Some(node("x", "")), Hint::Queue),
        (Wake::NodeLabels, Some(node("x", "r")), Some(node("y", "r")), Hint::Queue),
        (Wake::NodeLabels, Some(node("x", "")), Some(node("y", "")), Hint::Skip),
        (Wake::NodeLabels, Some(node("x", "r")), Some(node("x", "r").label("l", "v")), Hint::Skip),
        (Wake::NodeTaints, Some(node("x", "r")), Some(tainted), Hint::Queue),
    ] {
        let (old, new) = (old.map(|n| n.build()), new.map(|n| n.build()));
        assert_eq!(ask(&plugin, &waiting, event, old.as_ref(), new.as_ref()), want, "{old:?} {new:?}");
    }
}
