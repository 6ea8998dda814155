use std::sync::Arc;

use serde_json::json;
use sim_core::api::meta::Uid;
use sim_core::api::object::Body;
use sim_core::time::Time;

use super::*;
use crate::framework::Attempt;
use crate::pod::Classes;
use crate::testing::{node, pod};

#[test]
fn how_many_nodes_are_enough() {
    let profile = Profile::default_profile();
    for (nodes, percentage, want) in [
        (99, 0, 99),
        (100, 0, 100),
        (1000, 0, 420),
        (5000, 0, 500),
        (10_000, 0, 500),
        (400, 45, 180),
        (150, 5, 100),
        (300, 100, 300),
    ] {
        assert_eq!(Sampling::Percentage(percentage).enough(nodes, &profile), want, "{nodes} {percentage}");
        assert_eq!(Sampling::All.enough(nodes, &profile), nodes);
    }
}

#[test]
fn nominated_pods_take_room_from_lower_priorities_only() {
    let mut cache = Cache::default();
    cache.set_node(&node("a").cpu("1").build());
    cache.refresh();
    let mut classes = Classes::default();
    let mut nominator = Nominator::default();
    let promised = pod("promised").cpu("1").with("priority", json!(5)).build();
    nominator.nominate(Uid(1), &classes.of(&promised).expect("a pod"), "a");
    let profile = Profile::default_profile();
    let mut feasible = |priority: i32| {
        let object = pod("p").cpu("1").with("priority", json!(priority)).build();
        let info = classes.of(&object).expect("a pod");
        let attempt = Attempt { pod: &info, object: &object, cluster: &cache, now: Time::ZERO };
        evaluate(&profile, attempt, &nominator, Sampling::All, 0).0.feasible.len()
    };
    assert_eq!((feasible(4), feasible(5), feasible(6)), (0, 0, 1));
    nominator.remove(Uid(1));
    assert!(nominator.is_empty());
}

#[test]
fn the_nominated_node_comes_first() {
    let mut cache = Cache::default();
    for name in ["a", "b"] {
        cache.set_node(&node(name).cpu("1").build());
    }
    cache.refresh();
    let profile = Profile::default_profile();
    let try_with = |cpu: &str| {
        let mut object = pod("p").cpu(cpu).build();
        if let Body::Pod(body) = &mut object.body {
            Arc::make_mut(&mut body.status).nominated_node_name = "b".into();
        }
        let info = Classes::default().of(&object).expect("a pod");
        let attempt = Attempt { pod: &info, object: &object, cluster: &cache, now: Time::ZERO };
        evaluate(&profile, attempt, &Nominator::default(), Sampling::All, 0).0
    };
    let found = try_with("1");
    assert_eq!((found.nominated_first, found.feasible.len(), found.scores.len()), (true, 1, 0));
    let refused = try_with("2");
    assert_eq!(refused.diagnosis.nodes.len(), 2, "each node is told once");
}
