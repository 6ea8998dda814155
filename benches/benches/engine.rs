//! The engine alone: timer events through the component contract, and store commits with delivery.

use std::hint::black_box;
use std::sync::Arc;

use benches::timers::World;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::{Body, Object, Pod};
use sim_core::api::store::Store;
use sim_core::api::watch::Routing;
use sim_core::engine::component::Watch;
use sim_core::time::Time;

fn timer_events(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine/timer-events");
    for pending in [10_000, 1_000_000] {
        const EVENTS: u64 = 1_000_000;
        group.throughput(Throughput::Elements(EVENTS));
        group.sample_size(10);
        let mut world = World::new(pending);
        world.run(u64::from(pending));
        group.bench_function(format!("{pending}-pending"), |b| {
            b.iter(|| world.run(EVENTS));
        });
        black_box(world.digest());
    }
    group.finish();
}

fn commits(c: &mut Criterion) {
    const COMMITS: usize = 100_000;
    let mut group = c.benchmark_group("store/commits-with-delivery");
    group.throughput(Throughput::Elements(COMMITS as u64));
    group.sample_size(10);
    let objects: Vec<Object> = (0..COMMITS)
        .map(|i| {
            let meta = Meta::named(Key::new("default", format!("pod-{}", i % 10_000)));
            Object::new(meta, Body::Pod(Pod::default()))
        })
        .collect();
    group.bench_function("3-watchers", |b| {
        b.iter_batched(
            || {
                let mut store = Store::default();
                let routing = Routing { wakes: true, ..Routing::external() };
                for filter in [Watch::all(Kind::POD), Watch::all(Kind::POD), Watch::assigned_pods()] {
                    store.watch(Time::ZERO, filter, routing.clone(), None);
                }
                (store, objects.clone())
            },
            |(mut store, objects)| {
                for (i, object) in objects.into_iter().enumerate() {
                    let now = Time(i as i64);
                    black_box(Arc::strong_count(&store.put(now, object)));
                    let wakes: Vec<_> = store.watchers.drain_wakes().collect();
                    for (_, id) in wakes {
                        black_box(store.watchers.take(now, id).len());
                    }
                }
                store
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(engine, timer_events, commits);
criterion_main!(engine);
