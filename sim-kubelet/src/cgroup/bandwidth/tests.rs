//! Closed forms of throttling and burst, and long steps against short ones.

use proptest::prelude::*;
use sim_core::time::{micros, millis, secs};

use super::*;

const P: Span = millis(100);

fn at(span: Span) -> Time {
    Time::ZERO + span
}

fn limited(quota_ms: i64, burst_ms: i64) -> Bandwidth {
    Bandwidth::new(Time::ZERO, Some(millis(quota_ms)), P, millis(burst_ms))
}

fn stat(usage: Span, periods: u64, throttled: u64, time: Span, bursts: u64, burst: Span) -> CpuStat {
    let usec = |span: Span| (span.0 / 1000) as u64;
    CpuStat {
        usage_usec: usec(usage),
        nr_periods: periods,
        nr_throttled: throttled,
        throttled_usec: usec(time),
        nr_bursts: bursts,
        burst_usec: usec(burst),
    }
}

#[test]
fn n_threads_use_up_a_quota_and_wait() {
    for n in 1..=8_u64 {
        let mut group = limited(50, 0);
        group.run(at(secs(10)), n * CPU, n);
        // Every period: 50 ms of CPU time in 50/n ms, then n threads wait for the rest of it.
        let waits = millis(100 * (n as i64 * 100 - 50));
        assert_eq!(group.stat(), stat(secs(5), 100, 100, waits, 0, Span(0)), "{n}");
    }
}

#[test]
fn within_the_quota_nobody_waits() {
    let mut group = limited(200, 0);
    group.run(at(secs(1)), 2 * CPU, 2);
    assert_eq!(group.stat(), stat(secs(2), 10, 0, Span(0), 0, Span(0)));
    assert_eq!(group.next_change(2 * CPU), None);
    assert!(group.next_change(3 * CPU).is_some());
    let mut free = Bandwidth::new(Time::ZERO, None, P, Span(0));
    free.run(at(secs(1)), 8 * CPU, 8);
    assert_eq!(free.stat(), stat(secs(8), 0, 0, Span(0), 0, Span(0)));
}

#[test]
fn throttling_begins_and_ends_when_it_says() {
    let mut group = limited(30, 0);
    assert_eq!(group.next_change(3 * CPU), Some(at(millis(10))));
    group.run(at(millis(10)), 3 * CPU, 3);
    assert!(group.throttled());
    assert_eq!(group.next_change(0), Some(at(P)));
    group.run(at(P), 0, 3);
    assert!(!group.throttled());
    assert_eq!(group.stat(), stat(millis(30), 1, 1, millis(270), 0, Span(0)));
    // A rate that does not divide: the next whole nanosecond.
    assert_eq!(group.next_change(7 * CPU), Some(at(P) + Span(4_285_715)));
}

#[test]
fn saved_quota_is_spent_later_and_only_as_much_as_the_burst() {
    // 10 ms of 50 in each of the first periods: 40 ms are saved once, the burst holds no more.
    let mut group = limited(50, 40);
    group.run(at(secs(1)), CPU / 10, 1);
    assert_eq!(group.stat(), stat(millis(100), 10, 0, Span(0), 0, Span(0)));
    // One thread at full speed: 90 ms in the first period, which is 40 over the quota, then 50 in each.
    group.run(at(secs(1) + P), CPU, 1);
    assert_eq!(group.stat(), stat(millis(190), 11, 1, millis(10), 1, millis(40)));
    group.run(at(secs(2)), CPU, 1);
    assert_eq!(group.stat(), stat(millis(640), 20, 10, millis(460), 1, millis(40)));
}

#[test]
fn a_burst_lasts_for_several_periods() {
    let mut group = limited(50, 50);
    group.run(at(secs(1)), CPU / 100, 1);
    // 60 ms a period: 10 over the quota, for five periods.
    group.run(at(secs(2)), CPU * 6 / 10, 1);
    let got = group.stat();
    assert_eq!((got.nr_bursts, got.burst_usec), (5, 50_000));
    assert_eq!((got.nr_throttled, got.usage_usec), (5, 10_000 + 5 * 60_000 + 5 * 50_000));
}

#[test]
fn an_idle_group_stops_its_timer() {
    let mut group = limited(50, 50);
    group.run(at(secs(1)), 0, 0);
    assert_eq!(group.stat(), CpuStat::default());
    group.run(at(secs(1) + millis(10)), CPU, 1);
    // One period with work in it, one without, and no more however long it takes.
    group.run(at(secs(60)), 0, 0);
    assert_eq!(group.stat(), stat(millis(10), 2, 0, Span(0), 0, Span(0)));
    // The grid stays where it was.
    group.run(at(secs(60) + millis(30)), CPU, 1);
    assert_eq!(group.next_change(4 * CPU), Some(at(secs(60) + millis(30) + micros(17_500))));
}

#[test]
fn the_file_reads_as_the_kernels() {
    let mut group = limited(50, 0);
    group.run(at(secs(1)), CPU, 1);
    assert_eq!(
        group.stat().file(),
        "usage_usec 500000\nuser_usec 500000\nsystem_usec 0\nnr_periods 10\nnr_throttled 10\n\
         throttled_usec 500000\nnr_bursts 0\nburst_usec 0\n"
    );
}

proptest! {
    /// One long step is many short ones.
    #[test]
    fn long_steps_are_short_steps(
        quota in 1_i64..400, burst in 0_i64..400,
        steps in prop::collection::vec((0_i64..3_000, 0_u64..5, 1_u64..5), 1..12),
    ) {
        let (mut fast, mut plain) = (limited(quota, burst.min(quota)), limited(quota, burst.min(quota)));
        let mut now = Time::ZERO;
        for (ms, tenths, cpus) in steps {
            let rate = CPU / 10 * tenths * cpus;
            let until = now + millis(ms);
            fast.run(until, rate, cpus);
            while now < until {
                now = (now + millis(7)).min(until);
                plain.run(now, rate, cpus);
            }
        }
        let (a, b) = (fast.stat(), plain.stat());
        prop_assert_eq!(fast.usage(), plain.usage());
        prop_assert_eq!(a.nr_periods, b.nr_periods);
        prop_assert_eq!((a.nr_throttled, a.nr_bursts, a.burst_usec), (b.nr_throttled, b.nr_bursts, b.burst_usec));
        // Where exhaustion falls between nanoseconds, parts of one are lost.
        prop_assert!(a.throttled_usec.abs_diff(b.throttled_usec) <= 1);
    }

    /// Never more than the quota of all periods, and what may be saved.
    #[test]
    fn the_quota_holds(quota in 1_i64..200, burst in 0_i64..200, cpus in 1_u64..9, seconds in 1_i64..50) {
        let mut group = limited(quota, burst.min(quota));
        group.run(at(secs(seconds)), cpus * CPU, cpus);
        let used = group.usage();
        prop_assert!(used <= work(millis(quota)) * i128::from(seconds * 10));
        prop_assert_eq!(used.min(work(secs(seconds)) * i128::from(cpus)), used);
        let wall = work(secs(seconds)) * i128::from(cpus);
        let waited = i128::from(group.stat().throttled_usec) * 1_000 * i128::from(CPU);
        prop_assert!((wall - used - waited).abs() <= 1_000 * i128::from(CPU));
    }
}
