use super::*;
use sim_core::api::object::Node;
use sim_core::api::pod_status::{ContainerStatus, PodPhase};

#[test]
fn nodes_register_ready_and_lose_the_not_ready_taint() {
    let w = World::simple();
    let node = w.api.store.get(Kind::NODE, &Key::cluster("n1")).unwrap();
    assert!(crate::node::is_ready(node.as_node().unwrap()));
    assert_eq!(node.as_node().unwrap().spec.taints, None);
    let state = w.fleet.node("n1").unwrap();
    assert_eq!((state.allocatable().milli_cpu, state.allocatable().pods), (4000, 110));
}

#[test]
fn a_node_made_by_hand_is_taken_over() {
    let mut w = World::simple();
    let mut node = Node::default();
    Arc::make_mut(&mut node.status).capacity = Some([("cpu".to_string(), Quantity("2".into()))].into());
    w.ask(Request::Create(Box::new(Object::new(Meta::named(Key::cluster("n2")), Body::Node(node)))));
    w.run(secs(1));
    let node = w.api.store.get(Kind::NODE, &Key::cluster("n2")).unwrap().as_node().unwrap().clone();
    assert!(crate::node::is_ready(&node) && node.spec.taints.is_none());
    assert_eq!(w.fleet.node("n2").unwrap().allocatable().milli_cpu, 2000);
}

#[test]
fn a_node_refuses_what_does_not_fit() {
    let mut w = World::simple();
    let asks = |cpu: &str| json!({"containers": [container("app", json!({"resources": {"requests": {"cpu": cpu}}}))]});
    w.pod("a", asks("3"));
    let refused = w.pod("b", asks("2"));
    w.run(secs(1));
    assert_eq!(w.says("b"), "Failed OutOfcpu NotReady ");
    let why = "Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000";
    assert_eq!(w.status("b").message, format!("Pod was rejected: {why}"));
    assert!(w.events().contains(&format!("0s OutOfcpu: {why}")));
    assert!(w.fleet.pod(refused.meta.uid).is_none());
    w.delete("a", Some(1));
    w.run(secs(5));
    w.pod("c", asks("4"));
    w.run(secs(1));
    assert_eq!(w.says("c"), "Running Ready app=running+", "the room of a finished pod is free again");
}

#[test]
fn a_pod_waits_for_its_node_and_dies_with_it() {
    let mut w = World::simple();
    w.pod_on("n2", "web", json!({"containers": [container("app", json!({}))]}), &[]);
    w.run(secs(10));
    assert_eq!(w.says("web"), "Pending NotReady ");
    let node = NodeConfig { name: "n2".into(), ..config().nodes.remove(0) };
    w.with_fleet(|fleet, ctx| fleet.join(ctx, node));
    w.run(secs(10));
    assert_eq!(w.says("web"), "Running Ready app=running+");
    assert_eq!(w.status("web").host_ip, "172.16.0.2");
    let options = DeleteOptions::default();
    w.ask(Request::Delete { kind: Kind::NODE, key: Key::cluster("n2"), options });
    w.run(secs(10));
    assert_eq!(w.fleet.pod_count(), 0);
    assert_eq!(w.says("web"), "Running Ready app=running+", "nobody is left to say otherwise");
}

#[test]
fn a_dumped_pod_goes_on_running() {
    let mut w = World::simple();
    let started_at = Time(secs(-100).0);
    let running = ContainerStatus {
        name: "app".into(),
        state: ContainerState::Running { started_at },
        ready: true,
        started: Some(true),
        restart_count: 3,
        image: "app:1".into(),
        ..ContainerStatus::default()
    };
    let status = PodStatus {
        phase: PodPhase::Running,
        start_time: Some(started_at),
        container_statuses: vec![running],
        pod_ip: "10.0.0.2".into(),
        ..PodStatus::default()
    };
    let spec = json!({"containers": [container("app", json!({"livenessProbe": probe()}))]});
    let spec = Arc::new(serde_json::from_value(spec).unwrap());
    let pod = Pod { spec, node_name: "n1".into(), status: Arc::new(status.clone()) };
    let object = Object::new(Meta::named(Key::new("default", "web")), Body::Pod(pod));
    let mut moment = Moment { now: w.kernel.now(), log: &mut w.kernel.log };
    w.api.import(&mut moment, object).unwrap();
    w.wake();
    w.pod("next", json!({"containers": [container("app", json!({}))]}));
    w.run(secs(100));
    assert_eq!(w.status("web").container_statuses, status.container_statuses);
    assert_eq!(w.times("app started").len(), 1, "only the new pod was started");
    assert_eq!(w.status("next").pod_ip, "10.0.0.3", "the address of the other one is taken");
    w.delete("web", None);
    w.run(secs(1));
    assert_eq!(w.says("web"), "gone");
}

/// A million pods have to fit: what the fleet keeps of a pod with one container stays small.
#[test]
fn a_pod_is_small() {
    assert!(size_of::<PodState>() <= 352, "{}", size_of::<PodState>());
    assert!(size_of::<Timer>() <= 16);
}
