//! The kernel's recurrence, worked out beside it.

use proptest::prelude::*;
use sim_core::time::{hours, millis, secs};

use super::*;

fn at(span: Span) -> Time {
    Time::ZERO + span
}

/// The kernel's own loop, period by period, on whole samples.
fn plain(percents: &[u64]) -> [u64; 3] {
    let mut averages = [0_u64; 3];
    for percent in percents {
        for (average, exp) in averages.iter_mut().zip(EXP) {
            let active = percent * 2048;
            let rising = if active >= *average { 2047 } else { 0 };
            *average = (*average * exp + active * (2048 - exp) + rising) / 2048;
        }
    }
    averages
}

#[test]
fn averages_are_the_kernels_for_several_clocks() {
    for (hz, period_ns) in
        [(100, 2_010_000_000_i64), (250, 2_004_000_000), (300, 2_003_333_133), (1000, 2_001_000_000)]
    {
        let mut pressure = Pressure::new(Time::ZERO, hz);
        assert_eq!(pressure.period as i64, period_ns);
        let mut percents = Vec::new();
        let mut now = Time::ZERO;
        for percent in [100_u64, 37, 0, 81, 5, 5, 5, 99] {
            now += Span(period_ns);
            pressure.run(now, true, CPU / 100 * percent, CPU / 200 * percent);
            // The kernel's sample is a whole percentage, rounded down, of whole nanoseconds.
            percents.push(percent);
            if (u128::from(CPU / 100 * percent) * period_ns as u128).is_multiple_of(u128::from(CPU)) {
                assert_eq!(pressure.lines[0].averages, plain(&percents), "{hz} {percents:?}");
            } else {
                break;
            }
        }
    }
}

#[test]
fn a_full_stall_rises_as_on_a_machine() {
    let mut pressure = Pressure::new(Time::ZERO, 250);
    let mut seen = Vec::new();
    for periods in 1..=3 {
        pressure.run(at(Span(2_004_000_000 * periods)), true, CPU, CPU);
        seen.push(pressure.file().lines().next().unwrap_or_default().to_string());
    }
    assert_eq!(
        seen,
        [
            "some avg10=18.11 avg60=3.27 avg300=0.68 total=2004000",
            "some avg10=32.94 avg60=6.43 avg300=1.36 total=4008000",
            "some avg10=45.09 avg60=9.49 avg300=2.03 total=6012000",
        ]
    );
}

#[test]
fn silence_decays_in_one_step_when_somebody_looks() {
    let mut pressure = Pressure::new(Time::ZERO, 250);
    let period = Span(2_004_000_000);
    pressure.run(at(period * 10), true, CPU, 0);
    let before = pressure.lines[0].averages;
    pressure.run(at(period * 20 + millis(1)), false, 0, 0);
    let shown = pressure.file();
    // One period of nothing ends by the clock, which then stands. Eight are missed, the last is nothing again.
    let mut expected = before;
    for (average, exp) in expected.iter_mut().zip(EXP) {
        *average = calc_load(*average, exp, 0);
        *average = calc_load(*average, power(exp, 8), 0);
        *average = calc_load(*average, exp, 0);
    }
    let [a, b, c] = expected.map(percent);
    assert_eq!(shown.lines().next().unwrap(), format!("some avg10={a} avg60={b} avg300={c} total=20040000"));
    assert_eq!(pressure.file(), shown);
}

#[test]
fn long_times_cost_little_and_settle() {
    let mut pressure = Pressure::new(Time::ZERO, 250);
    pressure.run(at(hours(24 * 365)), true, CPU / 4, CPU / 4);
    let line = pressure.file().lines().next().unwrap_or_default().to_string();
    assert_eq!(line, "some avg10=25.00 avg60=25.00 avg300=25.00 total=7884000000000");
}

#[test]
fn who_waits_for_cpus() {
    for (threads, cpus, rate, want) in [
        (0, 4, 0, (0, 0)),
        (2, 4, 2 * CPU, (0, 0)),
        (1, 1, CPU / 2, (CPU / 2, CPU / 2)),
        (2, 4, CPU, (CPU / 2, CPU / 2)),
        (8, 4, 4 * CPU, (CPU, 0)),
        (8, 4, CPU, (CPU, CPU / 4 * 3)),
        // Throttled: all wait.
        (3, 4, 0, (CPU, CPU)),
    ] {
        assert_eq!(cpu_stall(threads, cpus, rate), want, "{threads} {cpus} {rate}");
    }
}

proptest! {
    /// One long step is many short ones.
    #[test]
    fn long_steps_are_short_steps(steps in prop::collection::vec((1_i64..200, 0_u64..=100, any::<bool>()), 1..10)) {
        let (mut fast, mut plain) = (Pressure::new(Time::ZERO, 250), Pressure::new(Time::ZERO, 250));
        let mut now = Time::ZERO;
        for (seconds, percent, busy) in steps {
            let percent = if busy { percent } else { 0 };
            let until = now + secs(seconds);
            fast.run(until, busy, CPU / 100 * percent, CPU / 200 * percent);
            while now < until {
                now = (now + millis(500)).min(until);
                plain.run(now, busy, CPU / 100 * percent, CPU / 200 * percent);
            }
            prop_assert_eq!(fast.file(), plain.file());
        }
    }
}
