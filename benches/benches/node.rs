//! A node whose CPUs everybody wants: what it costs to divide them anew, and an hour of throttling.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use sim_core::time::{Time, secs};
use sim_kubelet::cgroup::cpu_model::CpuModel;
use sim_kubelet::cgroup::knobs::Knobs;
use sim_kubelet::cgroup::share::{CPU, GroupId, ShareTree};

const CONTAINERS: u64 = 110;
const CPUS: u64 = 32;

/// Pods of one container each, two thirds of them Burstable, with weights, wants and some caps that all differ.
fn contended() -> (ShareTree, Vec<GroupId>) {
    let mut tree = ShareTree::default();
    let kubepods = tree.add(GroupId::ROOT, 1_200, None);
    let classes = [kubepods, tree.add(kubepods, 400, None), tree.add(kubepods, 1, None)];
    let containers = (0..CONTAINERS).map(|i| {
        let cap = (i % 4 == 0).then_some(CPU / 2 + i * CPU / 100);
        let pod = tree.add(classes[[0, 1, 1, 1, 1, 2][i as usize % 6]], 4 + i, cap);
        let container = tree.add(pod, 10 + i, None);
        tree.set_demand(container, (1 + i % 5) * CPU - i * CPU / 1_000);
        container
    });
    let containers = containers.collect();
    (tree, containers)
}

fn solving(c: &mut Criterion) {
    let (mut tree, containers) = contended();
    let mut turn = 0;
    c.bench_function("node/110-containers-solved-again", |b| {
        b.iter(|| {
            turn += 1;
            tree.set_demand(containers[turn % containers.len()], (1 + turn as u64 % 3) * CPU);
            tree.solve(CPUS * CPU);
            tree.rate(GroupId::ROOT)
        });
    });
}

fn through_time(c: &mut Criterion) {
    let model = |quota: Option<i64>| {
        let mut node = CpuModel::new(Time::ZERO, CPUS);
        for i in 0..CONTAINERS {
            let knobs = Knobs { cpu_weight: 4 + i, cpu_quota: quota, ..Knobs::default() };
            let id = node.add(GroupId::ROOT, &knobs);
            node.start(id, 1, None);
        }
        node
    };
    let mut group = c.benchmark_group("node/110-containers");
    group.sample_size(10);
    for (name, quota, seconds) in
        [("an-hour-contended", None, 3_600), ("a-second-throttled", Some(20_000), 1)]
    {
        let go = |mut node: CpuModel| node.advance(Time::ZERO + secs(seconds)).len();
        group.bench_function(name, |b| b.iter_batched(|| model(quota), go, BatchSize::SmallInput));
    }
    group.finish();
}

criterion_group!(benches, solving, through_time);
criterion_main!(benches);
