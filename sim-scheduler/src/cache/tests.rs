use super::*;
use crate::testing::{node, pod};
use serde_json::json;

fn names(cache: &Cache) -> Vec<&str> {
    cache.order().iter().map(|slot| cache.node(*slot).name.as_str()).collect()
}

#[test]
fn nodes_come_zone_by_zone_in_turns() {
    let mut cache = Cache::default();
    for (name, zone) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("x", "")] {
        cache.set_node(&node(name).label("topology.kubernetes.io/zone", zone).build());
    }
    cache.refresh();
    assert_eq!(names(&cache), ["a1", "b1", "x", "a2", "a3"]);

    // A zone change alone does not change the order that cycles see; the next arrival does.
    cache.set_node(&node("a3").label("topology.kubernetes.io/zone", "b").build());
    cache.refresh();
    assert_eq!(names(&cache), ["a1", "b1", "x", "a2", "a3"]);
    cache.set_node(&node("n").build());
    cache.refresh();
    assert_eq!(names(&cache), ["a1", "b1", "x", "a2", "a3", "n"]);
    cache.remove_node("a1");
    cache.refresh();
    assert_eq!(names(&cache), ["a2", "b1", "x", "a3", "n"]);
}

#[test]
fn assumed_pods_take_room_until_forgotten_or_gone() {
    let mut cache = Cache::default();
    let mut classes = crate::pod::Classes::default();
    let mut info = |cpu: &str| classes.of(&pod("p").cpu(cpu).build()).expect("a pod");
    let (one, two) = (info("1"), info("2"));
    cache.set_node(&node("n").cpu("4").build());
    let used = |cache: &Cache| cache.node(0).requested.milli_cpu;
    let object = |uid: u128| {
        let mut object = pod("p").build();
        object.meta.uid = Uid(uid);
        Arc::new(object)
    };
    let (first, second) = (object(1), object(2));

    assert!(cache.assume(&first, one.clone(), &"n".into()));
    assert!(!cache.assume(&first, one.clone(), &"n".into()));
    assert_eq!(used(&cache), 1000);
    assert!(cache.forget(Uid(1)));
    assert_eq!(used(&cache), 0);

    cache.assume(&second, two.clone(), &"n".into());
    cache.set_pod(&second, two, &"n".into());
    assert!(!cache.forget(Uid(2)), "a confirmed pod is not forgotten");
    cache.set_pod(&second, one.clone(), &"n".into());
    assert_eq!(used(&cache), 1000, "a resized pod is counted anew");
    cache.set_pod(&second, one, &"elsewhere".into());
    assert_eq!(used(&cache), 0);
    cache.refresh();
    assert_eq!(names(&cache), ["n"], "a node without an object is not listed");
    assert!(cache.remove_pod(Uid(2)) && !cache.remove_pod(Uid(2)));
}

#[test]
fn counts_of_images_lag_until_a_node_changes() {
    let mut cache = Cache::default();
    cache.set_node(&node("a").image("i:1", 100).build());
    cache.refresh();
    cache.set_node(&node("b").image("i:1", 999).build());
    cache.refresh();
    let seen = |cache: &Cache, slot| (cache.node(slot).images[0].nodes, cache.node(slot).images[0].size);
    assert_eq!((seen(&cache, 0), seen(&cache, 1)), ((1, 100), (2, 100)));
    cache.set_node(&node("a").image("i:1", 100).label("x", "y").build());
    cache.refresh();
    assert_eq!(seen(&cache, 0), (2, 100));
}

#[test]
fn changes_are_told_once_and_old_marks_are_refused() {
    let mut cache = Cache::default();
    cache.set_node(&node("a").build());
    cache.refresh();
    let (_, mark) = cache.changes_since(0);
    cache.set_node(&node("a").label("x", "y").build());
    cache.refresh();
    assert_eq!(cache.changes_since(mark).0, Some(&[0][..]));
    for i in 0..5000 {
        cache.set_node(&node("a").label("x", &i.to_string()).build());
        cache.refresh();
    }
    assert_eq!(cache.changes_since(mark).0, None);
}

#[test]
fn claims_are_used_by_pods_on_nodes_that_cycles_see() {
    let volumes = serde_json::json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "w", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "e", "ephemeral": {}}]);
    let pod = |name: &str| Arc::new(pod(name).with("volumes", volumes.clone()).build());
    let mut classes = crate::pod::Classes::default();
    let mut cache = Cache::default();
    cache.set_node(&node("n").build());
    for name in ["a", "b"] {
        let info = classes.of(&pod(name)).expect("a pod");
        cache.assume(&pod(name), info, &"n".into());
    }
    let used = |cache: &Cache| ["data", "a-e"].map(|name| cache.is_claim_used(&Key::new("default", name)));
    assert_eq!(used(&cache), [false, false], "not before a cycle sees it");
    cache.refresh();
    assert_eq!(used(&cache), [true, false]);
    cache.forget(Uid::parse("a"));
    assert_eq!(used(&cache), [true, false]);
    cache.forget(Uid::parse("b"));
    assert_eq!(used(&cache), [false, false]);
}

#[test]
fn domains_follow_labels() {
    let mut cache = Cache::default();
    for (name, zone) in [("a", "x"), ("b", "y"), ("c", "x"), ("d", "")] {
        cache.set_node(&node(name).label("zone", zone).build());
    }
    let domains = |cache: &Cache| {
        let topology = cache.topology("zone");
        (0..4).map(|slot| topology.at(slot)).collect::<Vec<_>>()
    };
    assert_eq!(domains(&cache), [Some(0), Some(1), Some(0), None]);
    let before = cache.topology("zone");
    cache.set_node(&node("d").label("zone", "y").build());
    cache.set_node(&node("b").label("zone", "z").build());
    assert_eq!(domains(&cache), [Some(0), Some(2), Some(0), Some(1)]);
    assert_eq!(before.at(3), None, "whoever holds it sees no changes");
    cache.remove_node("d");
    cache.set_node(&node("c").label("zone", "w").build());
    assert_eq!(domains(&cache), [Some(0), Some(2), Some(1), None], "numbers without nodes are used again");
    let topology = cache.topology("zone");
    assert_eq!((topology.domain("w"), topology.domain("y"), topology.bound()), (Some(1), None, 3));
    let outside = |zone| topology.of(&node("n").label("zone", zone).info());
    assert_eq!((outside("x"), outside("q"), outside("")), (Some(0), Some(Topology::UNKNOWN), None));
}

#[test]
fn nodes_with_affinity_are_known() {
    let mut cache = Cache::default();
    let mut classes = crate::pod::Classes::default();
    for name in ["a", "b", "c"] {
        cache.set_node(&node(name).build());
    }
    let term = json!({"topologyKey": "zone", "labelSelector": {}});
    let anti = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    let near = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    for (name, affinity, on) in [("p", anti, "b"), ("q", near, "c"), ("r", json!({}), "a")] {
        let object = Arc::new(pod(name).with("affinity", affinity).build());
        let info = classes.of(&object).expect("a pod");
        cache.set_pod(&object, info, &on.into());
    }
    let known = |cache: &Cache| {
        let names = |nodes: Vec<&NodeInfo>| nodes.iter().map(|n| n.name.as_str()).collect::<String>();
        (
            names(cache.nodes_with_affinity().collect()),
            names(cache.nodes_with_required_anti_affinity().collect()),
        )
    };
    assert_eq!(known(&cache), (String::new(), String::new()), "no cycle sees the nodes yet");
    cache.refresh();
    assert_eq!(known(&cache), ("bc".to_owned(), "b".to_owned()));
    cache.remove_pod(Uid::parse("p"));
    cache.remove_node("c");
    cache.refresh();
    assert_eq!(known(&cache), (String::new(), String::new()));
}
