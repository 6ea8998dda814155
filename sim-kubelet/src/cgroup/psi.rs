//! Pressure stall information: how long somebody, or everybody, waited (`kernel/sched/psi.c`).
//!
//! Given how long tasks stalled, averages and totals are the kernel's own, to the last digit, as if its clock were never late
//! (it is, by a tick or two). How stalls spread over CPUs is an approximation, which [`cpu_stall`] states.

use sim_core::time::{Span, Time};

use super::share::CPU;

/// Fixed-point one of the averages.
const FIXED_1: u64 = 1 << SHIFT;
const SHIFT: u32 = 11;
/// How much of an average of 10, 60 and 300 s is left after 2 s.
const EXP: [u64; 3] = [1677, 1981, 2034];

/// A line of a pressure file: `some` or `full`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Line {
    /// Stalled so far, in billionths of a nanosecond.
    total: u128,
    /// How much of it the averages have seen, in ns.
    seen: u64,
    averages: [u64; 3],
}

impl Line {
    fn total_ns(&self) -> u64 {
        u64::try_from(self.total / u128::from(CPU)).unwrap_or(u64::MAX)
    }
}

/// One pressure file (`cpu.pressure`, `memory.pressure`, `io.pressure`) of one cgroup.
///
/// ```
/// use sim_core::time::{Time, secs};
/// use sim_kubelet::cgroup::psi::Pressure;
/// use sim_kubelet::cgroup::share::CPU;
/// let mut pressure = Pressure::new(Time::ZERO, 250);
/// // Half of the time somebody waits, for a minute.
/// pressure.run(Time::ZERO + secs(60), true, CPU / 2, 0);
/// assert_eq!(
///     pressure.file(),
///     "some avg10=49.84 avg60=30.94 avg300=9.02 total=30000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pressure {
    now: Time,
    period: u64,
    last_update: Time,
    next_update: Time,
    lines: [Line; 2],
    /// When the averages are brought up to date by themselves. `None`: their clock stands, as nobody did anything for a whole
    /// period.
    clock: Option<Time>,
    /// Somebody did something since.
    touched: bool,
}

impl Pressure {
    /// Of a cgroup created now on a kernel with so many ticks a second (`CONFIG_HZ`). Averages are taken every two seconds
    /// and a tick.
    pub fn new(now: Time, hz: u64) -> Pressure {
        let hz = hz.clamp(1, 10_000);
        let period = (2 * hz + 1) * (1_000_000_000 / hz);
        let next_update = now + Span(period as i64);
        Pressure {
            now,
            period,
            last_update: now,
            next_update,
            lines: [Line::default(); 2],
            clock: None,
            touched: false,
        }
    }

    /// Runs until a time: of each nanosecond, so many billionths somebody stalls (`some`) and everybody does (`full`). `busy`
    /// says that there are tasks that run or stall at all.
    pub fn run(&mut self, until: Time, busy: bool, some: u64, full: u64) {
        let stalls = [some.min(CPU), full.min(some).min(CPU)];
        let busy = busy || some > 0;
        if busy && self.clock.is_none() && self.now < until {
            self.clock = Some(self.now + Span(self.period as i64));
        }
        while self.now < until {
            if busy && self.settled(stalls, until) {
                continue;
            }
            let end = self.clock.map_or(until, |clock| clock.min(until));
            self.stall(stalls, (end - self.now).0);
            self.touched |= busy;
            self.now = end;
            if self.clock == Some(end) {
                self.update();
                self.clock = std::mem::take(&mut self.touched).then_some(self.next_update);
            }
        }
    }

    fn stall(&mut self, stalls: [u64; 2], ns: i64) {
        for (line, rate) in self.lines.iter_mut().zip(stalls) {
            line.total += u128::from(rate) * u128::from(ns.max(0).unsigned_abs());
        }
    }

    /// Leaps over whole periods once the averages no longer move. False if they still do.
    fn settled(&mut self, stalls: [u64; 2], until: Time) -> bool {
        let periods = (until.0 - self.now.0) / self.period as i64;
        let regular = self.last_update == self.now
            && self.now + Span(self.period as i64) == self.next_update
            && self.clock == Some(self.next_update);
        // Only where a period's stall is a whole number of nanoseconds, so that all samples are alike.
        let whole = |rate: u64| (u128::from(rate) * u128::from(self.period)).is_multiple_of(u128::from(CPU));
        if periods < 2 || !regular || !stalls.into_iter().all(whole) {
            return false;
        }
        let mut after = self.clone();
        after.stall(stalls, self.period as i64);
        after.now = self.next_update;
        after.update();
        if after.lines.iter().zip(&self.lines).any(|(a, b)| a.averages != b.averages) {
            return false;
        }
        let leap = self.period as i64 * periods;
        let seen: Vec<u64> = after.lines.iter().zip(&self.lines).map(|(a, b)| a.seen - b.seen).collect();
        self.stall(stalls, leap);
        for (line, seen) in self.lines.iter_mut().zip(seen) {
            line.seen += seen * periods.unsigned_abs();
        }
        self.now += Span(leap);
        self.last_update = self.now;
        self.next_update += Span(leap);
        self.clock = Some(self.next_update);
        true
    }

    /// Brings the averages up to date (`update_averages`).
    fn update(&mut self) {
        let late = (self.now - self.next_update).0.max(0).unsigned_abs();
        let missed = late / self.period;
        self.next_update += Span(((1 + missed) * self.period) as i64);
        let elapsed = (self.now - self.last_update).0.max(0).unsigned_abs();
        let period = elapsed.saturating_sub(missed * self.period).max(1);
        self.last_update = self.now;
        for line in &mut self.lines {
            // What is more than the period can hold is left for the next.
            let sample = (line.total_ns() - line.seen).min(period);
            line.seen += sample;
            let percent = u128::from(sample) * 100 / u128::from(period);
            for (average, exp) in line.averages.iter_mut().zip(EXP) {
                if missed > 0 {
                    *average = calc_load(*average, power(exp, missed), 0);
                }
                *average = calc_load(*average, exp, percent as u64 * FIXED_1);
            }
        }
    }

    /// The file, as it reads at the time this was run to.
    pub fn file(&self) -> String {
        let mut shown = self.clone();
        if shown.now >= shown.next_update {
            shown.update();
        }
        let line = |name: &str, line: &Line| {
            let [a, b, c] = line.averages.map(percent);
            format!("{name} avg10={a} avg60={b} avg300={c} total={}\n", line.total_ns() / 1_000)
        };
        line("some", &shown.lines[0]) + &line("full", &shown.lines[1])
    }
}

/// `calc_load`: rounds up while it rises.
const fn calc_load(load: u64, exp: u64, active: u64) -> u64 {
    let mut new = load * exp + active * (FIXED_1 - exp);
    if active >= load {
        new += FIXED_1 - 1;
    }
    new / FIXED_1
}

/// `fixed_power_int`: x to the n, by squaring, rounded at every step.
const fn power(mut x: u64, mut n: u64) -> u64 {
    let mut result = FIXED_1;
    while n > 0 {
        if n & 1 == 1 {
            result = (result * x + (1 << (SHIFT - 1))) >> SHIFT;
        }
        n >>= 1;
        if n > 0 {
            x = (x * x + (1 << (SHIFT - 1))) >> SHIFT;
        }
    }
    result
}

fn percent(average: u64) -> String {
    format!("{}.{:02}", average >> SHIFT, ((average & (FIXED_1 - 1)) * 100) >> SHIFT)
}

/// How much of its time a cgroup waits for CPUs: `some` and `full`, in billionths, for so many threads that would always
/// run, on so many CPUs, of which it gets `rate` billionths in all.
///
/// An approximation: threads are spread evenly. With no more threads than CPUs, each waits for the part of its time in which
/// it does not run, and where one waits no other of the cgroup runs. With more, somebody waits everywhere, and nobody runs
/// for the part of the CPUs' time that it does not get.
pub fn cpu_stall(threads: u64, cpus: u64, rate: u64) -> (u64, u64) {
    let places = threads.min(cpus);
    if places == 0 {
        return (0, 0);
    }
    let waits = CPU - (rate / places).min(CPU);
    if threads > cpus { (CPU, waits) } else { (waits, waits) }
}

#[cfg(test)]
mod tests;
