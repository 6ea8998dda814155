//! Stories of DaemonSets.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::{Body, DaemonSet, Node, Object};
use sim_core::api::request::{DeleteOptions, Request};
use sim_core::time::{mins, secs};

use super::nodes::target_node;
use crate::machinery::ranking;
use crate::testing::{Step, World, healthy};

fn template(image: &str) -> PodTemplateSpec {
    let container = Container { name: "c".into(), image: Some(image.into()), ..Container::default() };
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels()), ..ObjectMeta::default() }),
        spec: Some(PodSpec { containers: vec![container], ..PodSpec::default() }),
    }
}

fn labels() -> BTreeMap<String, String> {
    [("app".to_string(), "d".to_string())].into()
}

fn daemon_set(max_unavailable: i32, max_surge: i32) -> Object {
    let rolling = RollingUpdateDaemonSet {
        max_unavailable: Some(IntOrString::Int(max_unavailable)),
        max_surge: Some(IntOrString::Int(max_surge)),
    };
    let spec = DaemonSetSpec {
        selector: LabelSelector { match_labels: Some(labels()), ..LabelSelector::default() },
        template: template("app:v1"),
        update_strategy: Some(DaemonSetUpdateStrategy {
            type_: Some("RollingUpdate".into()),
            rolling_update: Some(rolling),
        }),
        ..DaemonSetSpec::default()
    };
    let body = DaemonSet { spec: Arc::new(spec), status: Arc::default() };
    Object::new(Meta::named(Key::new("default", "d")), Body::DaemonSet(body))
}

fn add_node(world: &mut World, name: &str) {
    world.create(Object::new(Meta::named(Key::cluster(name)), Body::Node(Node::default())));
}

/// Pods per node.
fn placed(world: &World) -> BTreeMap<String, usize> {
    let mut nodes = BTreeMap::new();
    for pod in world.pods() {
        let node = pod.as_pod().and_then(target_node).unwrap_or_default();
        *nodes.entry(node.to_string()).or_default() += 1;
    }
    nodes
}

fn taint(world: &mut World, node: &str, effect: Option<&str>) {
    world.edit(Kind::NODE, node, |object| {
        let Body::Node(body) = &mut object.body else { return };
        let taint = |e: &str| vec![Taint { key: "k".into(), effect: e.into(), ..Taint::default() }];
        Arc::make_mut(&mut body.spec).taints = effect.map(taint);
    });
}

#[test]
fn every_node_that_tolerates_gets_one_pod() {
    let mut world = World::new(healthy);
    for node in ["node-1", "node-2"] {
        add_node(&mut world, node);
    }
    world.create(daemon_set(1, 0));
    world.run_for(secs(30));
    let one_each = |names: &[&str]| names.iter().map(|n| (n.to_string(), 1)).collect::<BTreeMap<_, _>>();
    assert_eq!(placed(&world), one_each(&["node-1", "node-2"]));

    add_node(&mut world, "node-3");
    world.run_for(secs(30));
    assert_eq!(placed(&world), one_each(&["node-1", "node-2", "node-3"]));

    taint(&mut world, "node-2", Some("NoSchedule"));
    world.run_for(secs(30));
    assert_eq!(placed(&world).len(), 3, "a running pod may stay");
    taint(&mut world, "node-2", Some("NoExecute"));
    world.run_for(secs(30));
    assert_eq!(placed(&world), one_each(&["node-1", "node-3"]));
    let set = world.get(Kind::DAEMON_SET, "d").and_then(|o| o.as_daemon_set().cloned()).expect("there");
    assert_eq!((set.status.desired_number_scheduled, set.status.number_available), (2, Some(2)));

    taint(&mut world, "node-2", None);
    world.run_for(secs(30));
    assert_eq!(placed(&world).len(), 3);
}

#[test]
fn a_rolling_update_keeps_its_limits() {
    for (unavailable, surge) in [(1, 0), (2, 0), (0, 1)] {
        let mut world = World::new(healthy);
        for n in 1..=5 {
            add_node(&mut world, &format!("node-{n}"));
        }
        world.create(daemon_set(unavailable, surge));
        world.run_for(secs(30));
        world.watcher = |world| {
            let set = world.get(Kind::DAEMON_SET, "d").and_then(|o| o.as_daemon_set()).expect("there");
            let (surge, unavailable) = super::rolling::limits(&set.spec, 5);
            let live: Vec<_> = world.pods().into_iter().filter(|p| !p.meta.is_deleting()).collect();
            let ready = live.iter().filter(|p| p.as_pod().is_some_and(ranking::is_ready)).count() as i32;
            assert!(ready >= 5 - unavailable, "{ready} ready at {}", world.now);
            assert!(live.len() as i32 <= 5 + surge, "{} pods at {}", live.len(), world.now);
        };
        world.edit(Kind::DAEMON_SET, "d", |object| {
            let Body::DaemonSet(body) = &mut object.body else { return };
            Arc::make_mut(&mut body.spec).template = template("app:v2");
        });
        world.run_for(mins(3));
        let new = |o: &&&Arc<Object>| {
            o.as_pod().is_some_and(|p| p.spec.containers[0].image.as_deref() == Some("app:v2"))
        };
        assert_eq!(world.pods().iter().filter(new).count(), 5, "{unavailable} {surge}");
        assert_eq!(world.pods().len(), 5, "{unavailable} {surge}");
        assert_eq!(world.list(Kind::CONTROLLER_REVISION).count(), 2);
    }
}

#[test]
fn failed_pods_are_replaced_ever_more_slowly() {
    let mut world = World::new(|pod| match pod.meta.is_deleting() {
        true => vec![(0, Step::Vanish)],
        false => vec![(0, Step::Exit(1))],
    });
    add_node(&mut world, "node-1");
    world.create(daemon_set(1, 0));
    let mut created = Vec::new();
    for seconds in [10, 100, 1000] {
        world.run_for(secs(seconds));
        let newest = world.pods().iter().map(|p| p.meta.creation_timestamp).max();
        created.push(newest);
    }
    assert!(created[0] < created[1] && created[1] < created[2], "it never gives up");
    assert!(world.requests < 200, "{} requests: no hot loop", world.requests);
}

#[test]
fn deleting_a_daemon_set_takes_everything_along() {
    let mut world = World::new(healthy);
    add_node(&mut world, "node-1");
    world.create(daemon_set(1, 0));
    world.run_for(secs(30));
    let key = Key::new("default", "d");
    world
        .user(Request::Delete { kind: Kind::DAEMON_SET, key, options: DeleteOptions::default() })
        .expect("deleted");
    world.run_for(secs(30));
    assert_eq!(world.objects.len(), 1, "the node: {:?}", world.objects.keys().collect::<Vec<_>>());
}
