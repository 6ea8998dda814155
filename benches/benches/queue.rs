//! The scheduling queue: what a pod costs that passes through, and an event while a million pods wait.

use benches::decisions::pods;
use benches::queueing::{join, queued, refused, take_all};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const PODS: usize = 1_000_000;

fn passing(c: &mut Criterion) {
    let pods = pods(PODS / 10, 20);
    let mut group = c.benchmark_group("queue/100000-pods");
    group.sample_size(10).throughput(Throughput::Elements(pods.len() as u64));
    group.bench_function("in-and-out", |b| {
        b.iter(|| assert_eq!(take_all(&mut queued(&pods)), pods.len()));
    });
    group.finish();
}

fn events(c: &mut Criterion) {
    let pods = pods(PODS, 20);
    let mut group = c.benchmark_group("queue/1000000-waiting");
    group.sample_size(10);
    let mut waiting = refused(&pods);
    group.bench_function("node-that-helps-nobody", |b| b.iter(|| assert_eq!(join(&mut waiting, 0), 0)));
    group.throughput(Throughput::Elements(PODS as u64));
    group.bench_function("node-that-helps-all", |b| {
        let woken = |mut waiting| assert_eq!(join(&mut waiting, 4), PODS);
        b.iter_batched(|| waiting.clone(), woken, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, passing, events);
criterion_main!(benches);
