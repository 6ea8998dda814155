//! The whole cluster, as a user's tests see it.

use sim_cluster::prelude::*;
use sim_scheduler::framework::Registry;
use sim_scheduler::{Scheduler, SchedulerConfig};

#[test]
fn pending_pod_runs_once_a_big_enough_node_joins() {
    let mut sim = Cluster::builder().seed(1).node(node("small").cpu("4").memory("16Gi")).build();
    let web = sim.create(pod("web").cpu("8"));

    sim.run_for(secs(30));
    assert_eq!(
        sim.why_pending(web),
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are \
         available: 1 Preemption is not helpful for scheduling."
    );

    sim.at(secs(60), |c| {
        c.create(node("big").cpu("16").memory("64Gi"));
    });
    sim.run_until(|c| c.pod(web).is_running(), mins(5)).unwrap();
    assert_eq!(sim.pod(web).node(), Some("big"));
}

#[test]
fn a_deployment_comes_up_and_scales() {
    let mut sim =
        Cluster::builder().seed(2).nodes(3, |i| node(&format!("n{i}")).cpu("8").memory("32Gi")).build();
    let web = sim.create(deployment("web").replicas(5).pods(|p| p.cpu("500m").memory("256Mi")));
    let ready = |c: &Cluster| c.pods().iter().filter(|p| p.is_ready()).count();
    sim.run_until(|c| ready(c) == 5, mins(1)).unwrap();
    sim.scale(Kind::DEPLOYMENT, web, 2).unwrap();
    sim.run_until(|c| c.pods().len() == 2, mins(2)).unwrap();
    sim.delete(Kind::DEPLOYMENT, web).unwrap();
    sim.run_until(|c| c.pods().is_empty(), mins(2)).unwrap();
    sim.run_until_quiescent(hours(1)).unwrap();
}

#[test]
fn a_job_completes() {
    let mut sim = Cluster::builder().seed(3).node(node("n").cpu("8").memory("32Gi")).build();
    let work = sim.create(job("work").replicas(3));
    let done =
        |c: &Cluster| c.get(Kind::JOB, work).is_some_and(|o| o.as_job().unwrap().status.succeeded == Some(3));
    sim.run_until(done, mins(5)).unwrap();
}

#[test]
fn a_daemon_set_follows_the_nodes() {
    let mut sim = Cluster::builder().seed(4).node(node("a").cpu("8").memory("32Gi")).build();
    sim.create(daemon_set("agent"));
    sim.run_until(|c| c.pods().iter().filter(|p| p.is_ready()).count() == 1, mins(1)).unwrap();
    sim.create(node("b").cpu("8").memory("32Gi"));
    sim.run_until(|c| c.pods().iter().filter(|p| p.is_ready()).count() == 2, mins(1)).unwrap();
}

#[test]
fn same_seed_same_bytes() {
    let run = |seed| {
        let mut sim = Cluster::builder()
            .seed(seed)
            .nodes(5, |i| node(&format!("n{i}")).cpu("8").memory("32Gi"))
            .build();
        sim.create(deployment("web").replicas(10));
        sim.create(job("work").replicas(4));
        sim.run_for(mins(10));
        sim.digest()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn pods_are_bound_by_the_scheduler_they_name() {
    let config = serde_json::json!({"apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration", "profiles": [{"schedulerName": "packer", "pluginConfig": [
            {"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated",
                "resources": [{"name": "cpu", "weight": 1}]}}}]}]});
    let config = SchedulerConfig::from_json(config).unwrap();
    let packer = Scheduler::from_config(&config, &Registry::in_tree()).unwrap();
    let mut sim = Cluster::builder()
        .seed(7)
        .nodes(3, |i| node(&format!("n{i}")).cpu("8").memory("32Gi"))
        .another_scheduler(packer)
        .build();
    let nobodys = sim.create(pod("nobodys").scheduler("unheard-of"));
    for i in 0..6 {
        sim.create(pod(&format!("spread-{i}")).cpu("1"));
        sim.create(pod(&format!("packed-{i}")).cpu("1").scheduler("packer"));
    }
    sim.run_for(mins(1));
    let nodes_of = |prefix: &str| {
        let pods = sim.pods();
        let named = pods.iter().filter(|pod| pod.object().is_some_and(|o| o.meta.name().starts_with(prefix)));
        named.map(|pod| pod.node().expect("bound").to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!((nodes_of("spread").len(), nodes_of("packed").len()), (3, 1));
    assert_eq!((sim.pod(nobodys).node(), sim.why_pending(nobodys)), (None, String::new()));
}
