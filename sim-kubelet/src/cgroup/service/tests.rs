//! Queueing theory where the model reduces to it, and what limits do beyond.

use sim_core::engine::random::Seed;
use sim_core::time::{micros, millis, secs};

use super::*;

const FREE: Replica = Replica { threads: 1, cpu: 64 * CPU, quota: None, period: millis(100), burst: Span(0) };

fn run(load: &Load) -> Latencies {
    serve(load, &mut Seed(7).stream("test/arrivals"), &mut Seed(7).stream("test/demands"))
}

/// Mean wait, in µs, of a queue with Poisson arrivals.
fn mean_wait(gap: Span, demand: Demand, threads: usize, requests: usize) -> f64 {
    let load = Load {
        arrivals: Arrivals::Poisson(gap),
        demand,
        replicas: 1,
        replica: Replica { threads, ..FREE },
        warm_up: requests / 10,
        requests,
    };
    let latencies = run(&load);
    assert_eq!(latencies.len(), requests);
    latencies.mean_wait().0 as f64 / 1_000.0
}

/// Erlang's C: the mean wait of M/M/c, in the unit of the mean demand.
fn erlang(threads: usize, load: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 0.0;
    for k in 0..threads {
        sum += term;
        term *= load / (k + 1) as f64;
    }
    let c = threads as f64;
    let last = term * c / (c - load);
    last / (sum + last) / (c - load)
}

fn check_theory(requests: usize, tolerance: f64) {
    // Demands of 1 ms; arrivals that keep threads busy for half, seven and eight tenths of the time.
    for (threads, gap, busy) in
        [(1, 2_000, 0.5), (1, 1_250, 0.8), (4, 357, 1_000.0 / 357.0), (16, 78, 1_000.0 / 78.0)]
    {
        let got = mean_wait(micros(gap), Demand::Exponential(millis(1)), threads, requests);
        let want = erlang(threads, busy) * 1_000.0;
        assert!((got / want - 1.0).abs() < tolerance, "M/M/{threads}: {got} µs, want {want}");
    }
    for (gap, busy) in [(2_000, 0.5), (1_250, 0.8)] {
        let got = mean_wait(micros(gap), Demand::Constant(millis(1)), 1, requests);
        let want = busy / (2.0 * (1.0 - busy)) * 1_000.0;
        assert!((got / want - 1.0).abs() < tolerance, "M/D/1: {got} µs, want {want}");
    }
}

#[test]
fn waits_are_near_theory() {
    check_theory(20_000, 0.12);
}

#[test]
#[ignore = "two million requests each: run it in release"]
fn waits_are_within_two_percent_of_theory() {
    check_theory(2_000_000, 0.02);
}

fn regular(gap: i64, demand: i64, replica: Replica) -> Load {
    Load {
        arrivals: Arrivals::Constant(millis(gap)),
        demand: Demand::Constant(millis(demand)),
        replicas: 1,
        replica,
        warm_up: 20,
        requests: 100,
    }
}

#[test]
fn a_burst_saves_what_a_quota_costs() {
    let quota = Replica { threads: 8, quota: Some(millis(20)), ..FREE };
    for (replica, want) in [
        (Replica { quota: None, ..quota }, 30),
        // 20 ms at once, and the other 10 in the next period.
        (quota, 110),
        // The request of 200 ms ago left 10 ms unused.
        (Replica { burst: millis(10), ..quota }, 30),
    ] {
        let latencies = run(&regular(200, 30, replica));
        assert_eq!((latencies.percentile(500), latencies.percentile(1000)), (millis(want), millis(want)));
    }
}

#[test]
fn more_replicas_share_the_load_and_the_quotas() {
    // Four requests of 10 ms come every 100 ms, at once.
    let times: Arc<[Span]> = (0..400).map(|i| millis(100 * (i / 4))).collect();
    let load = |replicas| Load {
        arrivals: Arrivals::Trace(times.clone()),
        demand: Demand::Constant(millis(10)),
        replicas,
        replica: Replica { threads: 4, quota: Some(millis(20)), ..FREE },
        warm_up: 0,
        requests: 400,
    };
    let two = run(&load(2));
    assert_eq!((two.percentile(1), two.percentile(1000)), (millis(10), millis(10)));
    // One replica has half of what it needs: it falls behind for good.
    let one = run(&load(1));
    assert!(one.percentile(990) > secs(9), "{:?}", one.percentile(990));
}

#[test]
fn threads_beyond_the_cpus_share_them() {
    let mut service = Service::new(Time::ZERO, Replica { threads: 4, cpu: 2 * CPU, ..FREE });
    for _ in 0..5 {
        service.offer(Time::ZERO, millis(10));
    }
    assert_eq!(service.backlog(), 5);
    let served = service.advance(Time::ZERO + secs(1));
    // Four share two CPUs, the fifth waits for a thread and then has one for itself.
    let ends: Vec<i64> = served.iter().map(|s| (s.ended - Time::ZERO).0 / 1_000_000).collect();
    assert_eq!(ends, [20, 20, 20, 20, 30]);
    assert_eq!(served[4].started, Time::ZERO + millis(20));
    assert_eq!(service.stat().usage_usec, 50_000);
}

#[test]
fn percentiles_are_nearest_ranks() {
    let latencies = Latencies { sorted: (1..=200).map(millis).collect(), waits: 0 };
    for (thousandths, want) in [(0, 1), (5, 1), (6, 2), (500, 100), (990, 198), (999, 200), (1000, 200)] {
        assert_eq!(latencies.percentile(thousandths), millis(want), "{thousandths}");
    }
    assert_eq!(latencies.mean(), micros(100_500));
    assert_eq!(Latencies::default().percentile(990), Span(0));
}
