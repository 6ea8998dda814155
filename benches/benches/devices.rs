//! Devices for claims on one node, warm and from nothing, and selectors alone.

use benches::devices::{Case, SELECTORS, cases, selector};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// Slices prepared, expressions compiled, selectors evaluated before: what the second pod of a kind meets.
fn warm(c: &mut Criterion) {
    let mut group = c.benchmark_group("devices/warm");
    for case in cases() {
        let mut prepared = case.prepare();
        group.bench_function(&case.name, |b| b.iter(|| case.allocate(&mut prepared)));
    }
    group.finish();
}

/// Expressions compiled, slices new: every selector is evaluated for every device that is looked at.
fn new_slices(c: &mut Criterion) {
    let mut group = c.benchmark_group("devices/new-slices");
    for case in cases() {
        let mut prepared = case.prepare();
        case.allocate(&mut prepared);
        let selectors = prepared.into_selectors();
        group.bench_function(&case.name, |b| {
            let setup = || case.prepare_with(selectors.clone());
            b.iter_batched(setup, |mut prepared| case.allocate(&mut prepared), BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// Slices prepared, expressions compiled: what the first pod ever pays, the reading of JSON excepted.
fn cold(c: &mut Criterion) {
    let mut group = c.benchmark_group("devices/cold");
    let first = |case: &Case| case.allocate(&mut case.prepare());
    for case in cases() {
        group.bench_function(&case.name, |b| b.iter(|| first(&case)));
    }
    group.finish();
}

fn selectors(c: &mut Criterion) {
    let mut group = c.benchmark_group("devices/selector");
    group.throughput(Throughput::Elements(1));
    for (name, expression) in SELECTORS {
        let (selector, device) = selector(expression);
        group.bench_function(*name, |b| {
            b.iter(|| assert_eq!(selector.matches(&device).unwrap().outcome, Ok(true)))
        });
    }
    group.finish();
}

criterion_group!(benches, warm, new_slices, cold, selectors);
criterion_main!(benches);
