//! Plain pods on plain nodes, from the scheduler's cache to its decisions: no queue, no component, no API server.

use std::sync::Arc;

use sim_cluster::build::{node, pod};
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::engine::random::Seed;
use sim_core::time::Time;
use sim_scheduler::cache::Cache;
use sim_scheduler::cycle::{FastCycles, FastOutcome, Nominator, Sampling, TieBreak, evaluate};
use sim_scheduler::framework::{Attempt, Profile};
use sim_scheduler::pod::Classes;

/// So many nodes of upstream's scheduler_perf template: 4 cores, 32 GiB, 110 pods.
pub fn nodes(count: usize) -> Vec<Object> {
    (0..count).map(|i| node(&format!("node-{i}")).cpu("4").memory("32Gi").into()).collect()
}

/// So many plain pods (from 100m, 500Mi) of so many classes.
pub fn pods(count: usize, classes: usize) -> Vec<Arc<Object>> {
    let templates: Vec<Object> =
        (0..classes).map(|i| pod("template").cpu(&format!("{}m", 100 + i)).memory("500Mi").into()).collect();
    let one = |i: usize| {
        let mut one = templates[i % classes].clone();
        one.meta.key = Key::new("default", format!("pod-{i}"));
        one.meta.uid = Uid(1 + i as u128);
        Arc::new(one)
    };
    (0..count).map(one).collect()
}

/// Places all pods with the fast way through a cycle; returns how many found a node.
pub fn decide_fast(nodes: &[Object], pods: &[Arc<Object>], sampling: Sampling) -> usize {
    let (profile, mut cache, mut classes) = world(nodes);
    let mut fast = FastCycles::default();
    let nobody = Nominator::default();
    let mut ties = TieBreak::Random(Seed(1).stream("scheduler/tie-break"));
    let (mut start, mut placed) = (0, 0);
    for pod in pods {
        let Some(info) = classes.of(pod) else { continue };
        cache.refresh();
        let attempt = Attempt { pod: &info, object: pod, cluster: &cache, now: Time::ZERO };
        let outcome = fast.choose((0, &profile), &attempt, &nobody, (sampling, start), &mut ties);
        if let FastOutcome::Chosen { slot, next_start, .. } = outcome {
            start = next_start;
            let node = cache.node(slot).name.clone();
            placed += usize::from(cache.assume(pod, info, &node));
        }
    }
    placed
}

/// The same, the plain way.
pub fn decide_plain(nodes: &[Object], pods: &[Arc<Object>], sampling: Sampling) -> usize {
    let (profile, mut cache, mut classes) = world(nodes);
    let nobody = Nominator::default();
    let mut ties = Seed(1).stream("scheduler/tie-break");
    let (mut start, mut placed) = (0, 0);
    for pod in pods {
        let Some(info) = classes.of(pod) else { continue };
        cache.refresh();
        let attempt = Attempt { pod: &info, object: pod, cluster: &cache, now: Time::ZERO };
        let (found, _) = evaluate(&profile, attempt, &nobody, sampling, start);
        start = found.next_start;
        if let Some(slot) = found.best.get(ties.below(found.best.len())) {
            let node = cache.node(*slot).name.clone();
            placed += usize::from(cache.assume(pod, info, &node));
        }
    }
    placed
}

fn world(nodes: &[Object]) -> (Profile, Cache, Classes) {
    let mut cache = Cache::default();
    nodes.iter().for_each(|node| cache.set_node(node));
    (Profile::default_profile(), cache, Classes::default())
}
