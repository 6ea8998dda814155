//! A score plugin of one's own: it prefers the nodes with the fewest pods, and outweighs everything else.
//!
//! Run it with `cargo run -p sim-cluster --example custom_score_plugin`.

use sim_cluster::prelude::*;
use sim_scheduler::Scheduler;
use sim_scheduler::framework::{Normalize, Plugin, Profile, Reads, Score, Wake, plugin};
use sim_scheduler::node::NodeInfo;
use sim_scheduler::pod::PodInfo;

/// Spreads pods by their number, whatever they ask for.
struct FewestPods;

impl Plugin for FewestPods {
    const NAME: &'static str = "FewestPods";
    const READS: Reads = Reads::NodeLocal;
    const WAKES_ON: &'static [Wake] = &[];
    type Cycle = ();
    fn pre_filter(&self, _: &PodInfo) {}
}

impl Score for FewestPods {
    // The raw score is the number of pods: the highest becomes 0, none at all 100.
    const NORMALIZE: Normalize = Normalize::ToMaxReversed;

    fn score(&self, (): &(), _: &PodInfo, node: &NodeInfo) -> i64 {
        node.pods.len() as i64
    }
}

fn pods_per_node(scheduler: Scheduler) -> Vec<(String, usize)> {
    let mut sim = Cluster::builder()
        .seed(1)
        .node(node("big").cpu("64").memory("256Gi"))
        .node(node("small").cpu("4").memory("16Gi"))
        .scheduler(scheduler)
        .build();
    sim.create(deployment("web").replicas(10).pods(|pod| pod.cpu("100m").memory("64Mi")));
    sim.run_for(mins(1));
    let on = |name: &str| sim.pods().iter().filter(|pod| pod.node() == Some(name)).count();
    ["big", "small"].map(|name| (name.to_owned(), on(name))).into()
}

fn main() {
    let profile = Profile::default_profile().with_weight(plugin(FewestPods).score(), 100);
    let default = pods_per_node(Scheduler::default());
    let spread = pods_per_node(Scheduler::new(vec![profile]));
    assert_eq!(spread, [("big".to_owned(), 5), ("small".to_owned(), 5)]);
    println!("by default: {default:?}\nwith FewestPods: {spread:?}");
}
