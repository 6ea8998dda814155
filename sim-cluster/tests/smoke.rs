use sim_cluster::prelude::*;
#[test]
fn deployment_makes_pods() {
    let mut sim = Cluster::builder().seed(1).node(node("n").cpu("4").memory("16Gi")).keep_log(sim_core::engine::log::Keep::Records).build();
    sim.create(deployment("web").replicas(3));
    sim.run_for(secs(30));
    for (t, r) in sim_core::engine::log::records(sim.log_mut().kept()) { println!("{t} {r:?}"); }
    for p in sim.list(Kind::POD) {
        println!("{} {:?}", p.key(), p.meta.owner_references);
    }
    for p in sim.list(Kind::DEPLOYMENT) {
        println!("{} {:?}", p.key(), p.as_deployment().unwrap().status);
    }
    assert_eq!(sim.list(Kind::POD).len(), 3);
}
