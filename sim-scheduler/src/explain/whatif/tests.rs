use std::sync::Arc;

use serde_json::json;
use sim_core::api::meta::{OwnerReference, Uid};
use sim_core::api::object::Object;
use sim_core::time::Time;

use super::Scene;
use crate::cache::Cache;
use crate::cycle::Nominator;
use crate::framework::Profile;
use crate::pod::Classes;
use crate::testing::{NodeBuilder, PodBuilder, node, on, pod};

/// What would help a pod on some nodes with some pods (and the nodes that those are on), as texts.
fn helps(nodes: Vec<NodeBuilder>, placed: Vec<(Object, &str)>, waiting: PodBuilder) -> Vec<String> {
    let (mut cluster, mut classes) = (Cache::default(), Classes::default());
    for node in nodes {
        cluster.set_node(&node.build());
    }
    for (pod, node) in placed {
        let pod = Arc::new(on(pod, node));
        let info = classes.of(&pod).expect("a pod");
        cluster.set_pod(&pod, info, &node.into());
    }
    cluster.refresh();
    let object = Arc::new(waiting.build());
    let scene = Scene {
        profile: Profile::default_profile(),
        info: classes.of(&object).expect("a pod"),
        object,
        cluster,
        nominator: Nominator::default(),
        now: Time::ZERO,
        attempt: 1,
    };
    scene.what_if().changes.iter().map(ToString::to_string).collect()
}

/// A pod on a node that takes so much CPU.
fn taking(cpu: &str, node: &'static str) -> (Object, &'static str) {
    let mut object = pod("resident").cpu(cpu).build();
    object.meta.uid = Uid::parse(&format!("{cpu} on {node}"));
    (object, node)
}

fn tainted(key: &str) -> serde_json::Value {
    json!({"taints": [{"key": key, "value": "a", "effect": "NoSchedule"}]})
}

#[test]
fn requests_go_down_to_what_is_free() {
    let two = || vec![node("a").cpu("4"), node("b").cpu("4")];
    let taken = || vec![taking("2500m", "a"), taking("3", "b")];
    assert_eq!(
        helps(two(), taken(), pod("web").cpu("2")),
        ["if it asked for at most 1500m of cpu (asks 2): 1 node (a)", "with one more node like a"]
    );
    // Smaller by share comes first; neither helps where both are too much.
    let both = pod("web").cpu("2").memory("9Gi");
    assert_eq!(helps(two(), taken(), both), [] as [&str; 0]);
    assert_eq!(
        helps(vec![node("a").cpu("4").memory("2Gi")], vec![], pod("web").cpu("1").memory("2560Mi")),
        ["if it asked for at most 2Gi of memory (asks 2560Mi): 1 node (a)"]
    );
    assert_eq!(
        helps(vec![node("a")], vec![], pod("web").request("example.com/gpu", "1")),
        ["if it asked for no example.com/gpu (asks 1): 1 node (a)"]
    );
    assert_eq!(helps(two(), vec![], pod("web").cpu("1")), [] as [&str; 0], "it fits as it is");
}

#[test]
fn taints_are_told_one_by_one() {
    let nodes =
        || vec![node("a").spec(tainted("x")), node("b").spec(tainted("x")), node("c").spec(tainted("y"))];
    assert_eq!(
        helps(nodes(), vec![], pod("web")),
        [
            "with a toleration of x=a:NoSchedule: 2 nodes (a, b)",
            "with a toleration of y=a:NoSchedule: 1 node (c)"
        ]
    );
    let cordoned = vec![node("a").spec(json!({"unschedulable": true}))];
    let help = helps(cordoned, vec![], pod("web"));
    assert_eq!(help, ["with a toleration of node.kubernetes.io/unschedulable:NoSchedule: 1 node (a)"]);
}

#[test]
fn selectors_lose_a_requirement() {
    let nodes = || vec![node("a").label("disk", "ssd").label("zone", "z1"), node("b").label("zone", "z2")];
    let selecting = |selector| helps(nodes(), vec![], pod("web").with("nodeSelector", selector));
    assert_eq!(
        selecting(json!({"disk": "ssd", "zone": "z2"})),
        ["without nodeSelector disk=ssd: 1 node (b)", "without nodeSelector zone=z2: 1 node (a)"]
    );
    assert_eq!(selecting(json!({"disk": "hdd", "zone": "z3"})), ["without its nodeSelector: 2 nodes (a, b)"]);
    let requiring = |requirements| {
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": requirements}]}}});
        helps(nodes(), vec![], pod("web").with("affinity", affinity))
    };
    assert_eq!(
        requiring(
            json!([{"key": "disk", "operator": "Exists"}, {"key": "zone", "operator": "In", "values": ["z2", "z3"]}])
        ),
        [
            "without node affinity disk Exists: 1 node (b)",
            "without node affinity zone In [z2,z3]: 1 node (a)"
        ]
    );
    assert_eq!(
        requiring(json!([{"key": "zone", "operator": "In", "values": ["z3"]}])),
        ["without its required node affinity: 2 nodes (a, b)"]
    );
}

#[test]
fn spread_may_skew_more() {
    let zone = "topology.kubernetes.io/zone";
    let nodes = || vec![node("a").cpu("8").label(zone, "z1"), node("b").cpu("1").label(zone, "z2")];
    let placed = |n: usize| {
        let labelled = |i| pod(&format!("w{i}")).label("app", "web").build();
        (0..n).map(|i| (labelled(i), "a")).collect::<Vec<_>>()
    };
    let web = |key: &str| {
        pod("web").cpu("2").label("app", "web").with(
            "topologySpreadConstraints",
            json!([{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "web"}}}]),
        )
    };
    assert_eq!(
        helps(nodes(), placed(3), web(zone)),
        [
            "if it asked for at most 1 of cpu (asks 2): 1 node (b)",
            "if maxSkew over topology.kubernetes.io/zone were 4 (is 1): 1 node (a)"
        ]
    );
    assert_eq!(
        helps(nodes(), placed(0), web("rack")),
        ["if the spread over rack were no condition: 1 node (a)"]
    );
}

#[test]
fn terms_of_pod_affinity_go_one_by_one() {
    let zone = "topology.kubernetes.io/zone";
    let nodes = || vec![node("a").label(zone, "z1"), node("b").label(zone, "z2")];
    let placed =
        || vec![(pod("db").label("app", "db").build(), "a"), (pod("web").label("app", "web").build(), "b")];
    let term = |app: &str| json!({"topologyKey": zone, "labelSelector": {"matchLabels": {"app": app}}});
    let apart = |terms| json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}});
    let help = |affinity| helps(nodes(), placed(), pod("next").with("affinity", affinity));
    assert_eq!(
        help(apart(json!([term("db"), term("web")]))),
        [
            "without pod anti-affinity term 0 (over topology.kubernetes.io/zone): 1 node (a)",
            "without pod anti-affinity term 1 (over topology.kubernetes.io/zone): 1 node (b)"
        ]
    );
    let together =
        json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term("nobody")]}});
    assert_eq!(
        help(together),
        ["without pod affinity term 0 (over topology.kubernetes.io/zone): 2 nodes (a, b)"]
    );
}

#[test]
fn host_ports_are_taken_once() {
    let serving = |name: &str| pod(name).container("ports", json!([{"containerPort": 80, "hostPort": 80}]));
    assert_eq!(
        helps(vec![node("a")], vec![(serving("first").build(), "a")], serving("second")),
        ["without host port 80: 1 node (a)", "with one more node like a"]
    );
}

#[test]
fn a_new_node_comes_with_its_daemons() {
    let mut agent = pod("agent").cpu("1").build();
    let owner = OwnerReference {
        api_version: "apps/v1".into(),
        kind: "DaemonSet".into(),
        name: "agent".into(),
        uid: Uid::default(),
        controller: true,
        block_owner_deletion: true,
    };
    agent.meta.owner_references.push(owner);
    let placed = || vec![(agent.clone(), "a"), taking("2", "a")];
    let help = |cpu: &str| helps(vec![node("a").cpu("4")], placed(), pod("web").cpu(cpu));
    assert_eq!(
        help("3"),
        ["if it asked for at most 1 of cpu (asks 3): 1 node (a)", "with one more node like a"]
    );
    assert_eq!(help("4"), ["if it asked for at most 1 of cpu (asks 4): 1 node (a)"]);
}
