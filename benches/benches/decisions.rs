//! Decisions alone: 10,000 plain pods on 5,000 nodes, the fast way and the plain way.

use benches::decisions::{decide_fast, decide_plain, nodes, pods};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sim_scheduler::cycle::Sampling;

fn decisions(c: &mut Criterion) {
    let nodes = nodes(5_000);
    let mut group = c.benchmark_group("decisions/5000-nodes");
    group.sample_size(10);
    for classes in [1, 20, 2_000] {
        let pods = pods(if classes > 1_000 { 2_000 } else { 10_000 }, classes);
        group.throughput(Throughput::Elements(pods.len() as u64));
        for (name, sampling) in [("all-nodes", Sampling::All), ("upstream-sampling", Sampling::Percentage(0))]
        {
            group.bench_function(format!("fast/{classes}-classes/{name}"), |b| {
                b.iter(|| assert_eq!(decide_fast(&nodes, &pods, sampling), pods.len()));
            });
        }
    }
    let few = pods(200, 1);
    group.throughput(Throughput::Elements(few.len() as u64));
    group.bench_function("plain/1-classes/all-nodes", |b| {
        b.iter(|| assert_eq!(decide_plain(&nodes, &few, Sampling::All), few.len()));
    });
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
