use std::sync::Arc;

use serde_json::{Value, json};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Meta, Uid};
use sim_core::api::object::Object;
use sim_core::time::Time;

use super::*;
use crate::cache::Cache;
use crate::config::args;
use crate::framework::{Hint, Wake};
use crate::pod::Classes;
use crate::testing::{PodBuilder, ask, node, on, pod};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

fn term(key: &str, app: &str) -> Value {
    json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}})
}

fn weighted(weight: i32, term: &Value) -> Value {
    json!({"weight": weight, "podAffinityTerm": term})
}

fn near(terms: &[Value]) -> Value {
    json!({"podAffinity": {REQUIRED: terms}})
}

fn far(terms: &[Value]) -> Value {
    json!({"podAntiAffinity": {REQUIRED: terms}})
}

/// The term in namespaces that a selector selects.
fn among(mut term: Value, namespaces: Value) -> Value {
    term["namespaceSelector"] = namespaces;
    term
}

fn with(affinity: &Value) -> PodBuilder {
    pod("new").label("app", "a").with("affinity", affinity.clone())
}

/// Nodes a and b in zone x, c in y, d in none; namespaces `default` of team t, and `other` without labels.
struct World {
    cache: Cache,
    classes: Classes,
}

impl World {
    /// Pods as (namespace, value of `app`, affinity, node).
    fn of(pods: &[(&str, &str, Value, &str)]) -> World {
        let mut world = World { cache: Cache::default(), classes: Classes::default() };
        for (name, zone) in [("a", "x"), ("b", "x"), ("c", "y"), ("d", "")] {
            world.cache.set_node(&node(name).label("zone", zone).label("host", name).build());
        }
        for (name, team) in [("default", json!({"team": "t"})), ("other", json!({}))] {
            let mut meta = Meta::named(Key::cluster(name));
            meta.labels = Arc::new(serde_json::from_value(team).expect("labels"));
            world.cache.objects_mut().set(Arc::new(Object::json(Kind::NAMESPACE, meta, json!({}))));
        }
        for (i, (namespace, app, affinity, node)) in pods.iter().enumerate() {
            let mut object =
                pod(&format!("old{i}")).label("app", app).with("affinity", affinity.clone()).build();
            object.meta.key.namespace = (*namespace).into();
            let info = world.classes.of(&object).expect("a pod");
            world.cache.set_pod(&Arc::new(object), info, &(*node).into());
        }
        world.cache.refresh();
        world
    }

    fn attempt<T>(&mut self, object: &Object, what: impl FnOnce(&Attempt<'_>) -> T) -> T {
        let info = self.classes.of(object).expect("a pod");
        what(&Attempt { pod: &info, object, cluster: &self.cache, now: Time::ZERO })
    }

    /// Nodes that pass by name; `-` for those refused for good, `a` and `e` for own and existing anti-affinity.
    fn filter(&mut self, object: &Object) -> String {
        let plugin = plugin(Value::Null);
        self.attempt(object, |attempt| {
            let mut cycle = Affinities::default();
            match plugin.check(&mut cycle, attempt) {
                PreFiltered::Proceed => letters(&plugin, &cycle, attempt),
                PreFiltered::Skip => "skip".to_owned(),
                refused => format!("{refused:?}"),
            }
        })
    }

    /// Raw and normalised scores; empty if the plugin skips.
    fn score(&mut self, plugin: &InterPodAffinity, object: &Object) -> (Vec<i64>, Vec<i64>) {
        self.attempt(object, |attempt| {
            let mut cycle = Affinities::default();
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

fn plugin(json: Value) -> InterPodAffinity {
    InterPodAffinity::new(args::read(&json).expect("arguments"))
}

fn letters(plugin: &InterPodAffinity, cycle: &Affinities, attempt: &Attempt<'_>) -> String {
    let verdict = |slot: &Slot| {
        let node = attempt.cluster.node(*slot);
        match plugin.filter(cycle, attempt.pod, node) {
            Fits => node.name.to_string(),
            Rejected("node(s) didn't match pod anti-affinity rules") => "A".to_owned(),
            Rejected("node(s) didn't satisfy existing pods anti-affinity rules") => "E".to_owned(),
            Unresolvable("node(s) didn't match pod affinity rules") => "-".to_owned(),
            other => format!("{other:?}"),
        }
    };
    attempt.cluster.order().iter().map(verdict).collect()
}

#[test]
fn required_terms() {
    let b_on_a = ("default", "b", json!({}), "a");
    let elsewhere = ("other", "b", json!({}), "a");
    let (zone_b, host_b) = (term("zone", "b"), term("host", "b"));
    let unlabelled = json!({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]});
    for (pods, affinity, want) in [
        (vec![], json!({}), "skip"),
        (vec![b_on_a.clone()], json!({}), "skip"),
        (vec![b_on_a.clone()], near(std::slice::from_ref(&zone_b)), "ab--"),
        (vec![b_on_a.clone()], near(&[zone_b.clone(), host_b.clone()]), "a---"),
        (vec![b_on_a.clone()], near(&[zone_b.clone(), term("host", "c")]), "----"),
        (vec![b_on_a.clone()], far(std::slice::from_ref(&zone_b)), "AAcd"),
        (vec![b_on_a.clone()], far(&[term("zone", "c"), host_b.clone()]), "Abcd"),
        // The first of its kind may be placed wherever the topology is.
        (vec![b_on_a.clone()], near(&[term("zone", "a")]), "abc-"),
        (vec![b_on_a.clone()], near(&[zone_b.clone(), term("zone", "a")]), "----"),
        (vec![("default", "a", json!({}), "c")], near(&[term("zone", "a")]), "--c-"),
        // Other namespaces count where they are named or selected.
        (vec![elsewhere.clone()], near(std::slice::from_ref(&zone_b)), "----"),
        (vec![elsewhere.clone()], near(&[among(zone_b.clone(), json!({}))]), "ab--"),
        (vec![b_on_a.clone()], near(&[among(zone_b.clone(), json!({"matchLabels": {"team": "t"}}))]), "ab--"),
        (
            vec![elsewhere.clone()],
            near(&[among(zone_b.clone(), json!({"matchLabels": {"team": "t"}}))]),
            "----",
        ),
        (vec![elsewhere], near(&[among(zone_b.clone(), unlabelled.clone())]), "ab--"),
        // A selector that asks for absent labels alone selects every namespace.
        (vec![b_on_a], near(&[among(zone_b.clone(), unlabelled.clone())]), "ab--"),
        // Anti-affinity of existing pods.
        (vec![("default", "b", far(&[term("zone", "a")]), "a")], json!({}), "EEcd"),
        (vec![("default", "b", far(&[term("zone", "a")]), "d")], json!({}), "skip"),
        (vec![("other", "b", far(&[term("zone", "a")]), "a")], json!({}), "skip"),
        (
            vec![(
                "other",
                "b",
                far(&[among(term("zone", "a"), json!({"matchLabels": {"team": "t"}}))]),
                "a",
            )],
            json!({}),
            "EEcd",
        ),
        (vec![("other", "b", far(&[among(term("zone", "a"), unlabelled)]), "a")], json!({}), "skip"),
        (vec![("default", "b", far(&[term("host", "a")]), "a")], far(&[zone_b]), "AAcd"),
    ] {
        assert_eq!(World::of(&pods).filter(&with(&affinity).build()), want, "{pods:?} {affinity}");
    }
}

#[test]
fn hypothetical_pods_count() {
    let mut world = World::of(&[("default", "b", json!({}), "a")]);
    let plugin = plugin(Value::Null);
    let other = |app: &str, affinity: &Value| NodePod {
        uid: Uid(9),
        info: Arc::new(pod("o").label("app", app).with("affinity", affinity.clone()).info()),
    };
    let object = with(&far(&[term("host", "b")])).build();
    let hostile = far(&[term("zone", "a")]);
    world.attempt(&object, |attempt| {
        let mut cycle = Affinities::default();
        assert_eq!(plugin.check(&mut cycle, attempt), PreFiltered::Proceed);
        for (node, pod, add, want) in [
            (1, other("b", &json!({})), true, "AAcd"),
            (0, other("b", &json!({})), false, "aAcd"),
            (2, other("c", &hostile), true, "aAEd"),
            (2, other("c", &hostile), false, "aAcd"),
        ] {
            let node = attempt.cluster.node(node);
            match add {
                true => plugin.add_pod(&mut cycle, attempt, &pod, node),
                false => plugin.remove_pod(&mut cycle, attempt, &pod, node),
            }
            assert_eq!(letters(&plugin, &cycle, attempt), want, "{add}");
        }
    });
    // Without the pods it wanted to be near, a pod may become the first of its kind.
    let object = with(&near(&[term("zone", "a")])).build();
    let mut world = World::of(&[("default", "a", json!({}), "c")]);
    world.attempt(&object, |attempt| {
        let mut cycle = Affinities::default();
        assert_eq!(plugin.check(&mut cycle, attempt), PreFiltered::Proceed);
        assert_eq!(letters(&plugin, &cycle, attempt), "--c-");
        plugin.remove_pod(&mut cycle, attempt, &other("a", &json!({})), attempt.cluster.node(2));
        assert_eq!(letters(&plugin, &cycle, attempt), "abc-");
    });
}

#[test]
fn preferred_terms() {
    let near = |weight, key, app| json!({"podAffinity": {PREFERRED: [weighted(weight, &term(key, app))]}});
    let far = |weight, key, app| json!({"podAntiAffinity": {PREFERRED: [weighted(weight, &term(key, app))]}});
    let plain = |app, node| ("default", app, json!({}), node);
    let required = json!({"podAffinity": {REQUIRED: [term("host", "a")]}});
    let ignoring = json!({"ignorePreferredTermsOfExistingPods": true});
    for (args, pods, affinity, raw, normalized) in [
        (json!({}), vec![plain("b", "a")], json!({}), vec![], vec![]),
        (json!({}), vec![plain("b", "a")], near(5, "zone", "b"), vec![5, 5, 0, 0], vec![100, 100, 0, 0]),
        (
            json!({}),
            vec![plain("b", "a"), plain("b", "b"), plain("b", "c")],
            near(5, "zone", "b"),
            vec![10, 10, 5, 0],
            vec![100, 100, 50, 0],
        ),
        (json!({}), vec![plain("b", "a")], far(3, "host", "b"), vec![-3, 0, 0, 0], vec![0, 100, 100, 100]),
        (json!({}), vec![plain("b", "d")], near(5, "zone", "b"), vec![], vec![]),
        // Terms of existing pods, the required ones with a weight of their own.
        (
            json!({}),
            vec![("default", "b", near(7, "zone", "a"), "c")],
            json!({}),
            vec![0, 0, 7, 0],
            vec![0, 0, 100, 0],
        ),
        (
            json!({}),
            vec![("default", "b", far(7, "host", "a"), "c")],
            json!({}),
            vec![0, 0, -7, 0],
            vec![100, 100, 0, 100],
        ),
        (
            json!({}),
            vec![("default", "b", required.clone(), "d")],
            json!({}),
            vec![0, 0, 0, 1],
            vec![0, 0, 0, 100],
        ),
        (
            json!({"hardPodAffinityWeight": 9}),
            vec![("default", "b", required.clone(), "d")],
            json!({}),
            vec![0, 0, 0, 9],
            vec![0, 0, 0, 100],
        ),
        (
            json!({"hardPodAffinityWeight": 0}),
            vec![("default", "b", required, "d")],
            json!({}),
            vec![],
            vec![],
        ),
        (ignoring.clone(), vec![("default", "b", near(7, "zone", "a"), "c")], json!({}), vec![], vec![]),
        (
            ignoring,
            vec![("default", "b", near(7, "zone", "a"), "c")],
            near(5, "zone", "q"),
            vec![0, 0, 7, 0],
            vec![0, 0, 100, 0],
        ),
        // What adds up to nothing was said nevertheless.
        (
            json!({}),
            vec![plain("b", "a"), ("default", "c", far(5, "zone", "a"), "b")],
            near(5, "zone", "b"),
            vec![0, 0, 0, 0],
            vec![0, 0, 0, 0],
        ),
    ] {
        let got = World::of(&pods).score(&plugin(args), &with(&affinity).build());
        assert_eq!(got, (raw, normalized), "{pods:?} {affinity}");
    }
}

#[test]
fn bad_selectors_are_told() {
    let mut bad = term("zone", "a");
    bad["labelSelector"] = json!({"matchExpressions": [{"key": "app", "operator": "Is"}]});
    let affinity = json!({"podAffinity": {REQUIRED: [bad], PREFERRED: [weighted(1, &bad)]}});
    let object = with(&affinity).build();
    let mut world = World::of(&[]);
    let refused = world.attempt(&object, |a| plugin(Value::Null).check(&mut Affinities::default(), a));
    let text = "\"Is\" is not a valid label selector operator";
    let text = format!("parsing pod: [requiredAffinityTerms: {text}, preferredAffinityTerms: {text}]");
    assert_eq!(refused, PreFiltered::Refused(Status::new(Code::UnschedulableAndUnresolvable, text)));
}

#[test]
fn events_that_may_help() {
    let plugin = plugin(Value::Null);
    let both = json!({"podAffinity": {REQUIRED: [term("zone", "a"), term("host", "a")]},
        "podAntiAffinity": {REQUIRED: [term("rack", "b")]}});
    let waiting = with(&both).build();
    let bound = |app: &str| on(pod("other").label("app", app).build(), "a");
    let pending = pod("other").label("app", "a").build();
    for (event, old, new, want) in [
        (Wake::PodAdded, None, Some(bound("a")), Hint::Queue),
        (Wake::PodAdded, None, Some(bound("b")), Hint::Skip),
        (Wake::PodAdded, None, Some(pending), Hint::Skip),
        (Wake::PodDeleted, Some(bound("b")), None, Hint::Queue),
        (Wake::PodDeleted, Some(bound("a")), None, Hint::Skip),
        (Wake::PodLabels, Some(bound("c")), Some(bound("a")), Hint::Queue),
        (Wake::PodLabels, Some(bound("b")), Some(bound("c")), Hint::Queue),
        (Wake::PodLabels, Some(bound("a")), Some(bound("c")), Hint::Skip),
    ] {
        assert_eq!(ask(&plugin, &waiting, event, old.as_ref(), new.as_ref()), want, "{old:?} {new:?}");
    }
    let only_near = with(&near(&[term("zone", "a")])).build();
    let only_far = with(&far(&[term("zone", "a")])).build();
    let node = |zone: &str| node("n").label("zone", zone).build();
    for (waiting, event, old, new, want) in [
        (&only_near, Wake::NodeAdded, None, node("x"), Hint::Queue),
        (&only_near, Wake::NodeAdded, None, node(""), Hint::Skip),
        (&only_near, Wake::NodeLabels, Some(node("")), node("x"), Hint::Queue),
        (&only_near, Wake::NodeLabels, Some(node("x")), node("y"), Hint::Queue),
        (&only_near, Wake::NodeLabels, Some(node("x")), node(""), Hint::Skip),
        (&only_far, Wake::NodeAdded, None, node(""), Hint::Queue),
        (&only_far, Wake::NodeLabels, Some(node("")), node("x"), Hint::Skip),
        (&only_far, Wake::NodeLabels, Some(node("x")), node("y"), Hint::Queue),
        (&only_far, Wake::NodeLabels, Some(node("x")), node(""), Hint::Queue),
    ] {
        assert_eq!(ask(&plugin, waiting, event, old.as_ref(), Some(&new)), want, "{old:?} {new:?}");
    }
    // A hint does not know which namespaces a selector selects.
    let selecting = among(term("zone", "a"), json!({"matchLabels": {"team": "t"}}));
    let waiting = with(&near(&[selecting])).build();
    assert_eq!(ask(&plugin, &waiting, Wake::PodAdded, None, Some(&bound("a"))), Hint::Skip);
}
