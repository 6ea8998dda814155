//! Plain pods on 5,000 nodes, every node evaluated: the scheduler alone, and through store and binding.

use benches::scheduling::{Bench, big_node, plain_pods};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sim_cluster::Cluster;
use sim_core::engine::timing::Timing;
use sim_core::time::{Span, secs};
use sim_scheduler::Scheduler;
use sim_scheduler::cycle::Sampling;

const NODES: usize = 5_000;
const PODS: usize = 10_000;

fn alone(c: &mut Criterion) {
    let mut group = c.benchmark_group("scheduling/5000-nodes-10000-pods");
    group.throughput(Throughput::Elements(PODS as u64));
    group.sample_size(10);
    group.bench_function("alone", |b| {
        b.iter_batched(
            || Bench::new(NODES, PODS),
            |mut bench| {
                bench.run();
                assert_eq!(bench.bound, PODS);
                bench
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("through-store-and-binding", |b| {
        b.iter_batched(
            || {
                let mut scheduler = Scheduler::default();
                scheduler.sampling = Sampling::All;
                let mut cluster = Cluster::builder().seed(1).timing(Timing::instant()).build_empty();
                // As nodes of a dump: without kubelets, nobody would take the taint off new ones.
                for i in 0..NODES {
                    cluster.import(big_node(i)).expect("a valid node");
                }
                cluster.run_scheduler(scheduler);
                cluster.run_for(secs(1));
                (cluster, plain_pods(PODS))
            },
            |(mut cluster, pods)| {
                for pod in pods {
                    cluster.create(pod);
                }
                cluster.run_for(Span::ZERO);
                assert!(cluster.pods().iter().all(|pod| pod.node().is_some()));
                cluster
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(scheduling, alone);
criterion_main!(scheduling);
