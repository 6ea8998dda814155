//! `cpu.max`: a quota of CPU time per period, throttling and burst, as the kernel accounts for them
//! (`kernel/sched/fair.c`, CFS bandwidth control).
//!
//! Between changes of what a cgroup does, any number of periods is one step. What a period's usage is made of is fluid: the
//! slices of 5 ms in which CPUs draw on the quota are not modelled, which leaves all sums as they are (n threads that use
//! up a quota Q are throttled for n·P − Q together, however the slices fall).

use sim_core::time::{Span, Time};

use super::share::CPU;

/// CPU time: billionths of a nanosecond, so that rates times spans are whole.
pub type Work = i128;

/// So many nanoseconds of CPU time.
pub const fn work(span: Span) -> Work {
    span.0 as i128 * CPU as i128
}

/// `cpu.stat`, in µs and counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStat {
    /// CPU time used.
    pub usage_usec: u64,
    /// Periods that ended while the cgroup was active, and one more that shows that it no longer is.
    pub nr_periods: u64,
    /// Of these, with somebody throttled at the end.
    pub nr_throttled: u64,
    /// Time throttled, summed over CPUs.
    pub throttled_usec: u64,
    /// Periods in which more than the quota was used.
    pub nr_bursts: u64,
    /// What was used beyond the quota.
    pub burst_usec: u64,
}

impl CpuStat {
    /// The file. All time counts as the user's.
    pub fn file(&self) -> String {
        format!(
            "usage_usec {0}\nuser_usec {0}\nsystem_usec 0\nnr_periods {1}\nnr_throttled {2}\nthrottled_usec {3}\n\
             nr_bursts {4}\nburst_usec {5}\n",
            self.usage_usec,
            self.nr_periods,
            self.nr_throttled,
            self.throttled_usec,
            self.nr_bursts,
            self.burst_usec,
        )
    }
}

/// A quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    quota: Work,
    period: Span,
    burst: Work,
}

/// One cgroup's CPU time.
#[derive(Clone, Debug, PartialEq)]
pub struct Bandwidth {
    limit: Option<Limit>,
    now: Time,
    /// When the period that runs ends. Periods lie on a grid that starts when the cgroup is created.
    boundary: Time,
    /// What is left of it, and what there was at its start.
    runtime: Work,
    snapshot: Work,
    /// What was used in the nanosecond in which the quota ended, beyond it: paid back in the next period.
    debt: Work,
    /// The period timer runs; `idle`: nothing was asked for since it last fired.
    active: bool,
    idle: bool,
    throttled: bool,
    usage: Work,
    throttled_time: Work,
    burst_time: Work,
    counts: CpuStat,
}

impl Bandwidth {
    /// A cgroup created now, with a quota per period (a microsecond at least, each) and a burst (not more than the quota), or
    /// without.
    pub fn new(now: Time, quota: Option<Span>, period: Span, burst: Span) -> Bandwidth {
        let limit = quota.map(|quota| Limit {
            quota: work(Span(quota.0.max(1_000))),
            period: Span(period.0.max(1_000)),
            burst: work(burst).clamp(0, work(Span(quota.0.max(1_000)))),
        });
        let runtime = limit.map_or(0, |l| l.quota);
        Bandwidth {
            limit,
            now,
            boundary: limit.map_or(Time(i64::MAX), |l| now + l.period),
            runtime,
            snapshot: runtime,
            debt: 0,
            active: false,
            idle: true,
            throttled: false,
            usage: 0,
            throttled_time: 0,
            burst_time: 0,
            counts: CpuStat::default(),
        }
    }

    /// Whether it may not run until the period ends.
    pub const fn throttled(&self) -> bool {
        self.throttled
    }

    /// Whether it has a quota.
    pub const fn limited(&self) -> bool {
        self.limit.is_some()
    }

    /// CPU time used so far.
    pub const fn usage(&self) -> Work {
        self.usage
    }

    /// `cpu.stat` at the time it was run to.
    pub fn stat(&self) -> CpuStat {
        let usec = |work: Work| u64::try_from(work / (1_000 * i128::from(CPU))).unwrap_or(0);
        CpuStat {
            usage_usec: usec(self.usage),
            throttled_usec: usec(self.throttled_time),
            burst_usec: usec(self.burst_time),
            ..self.counts
        }
    }

    /// When it will be throttled or no longer be, if it goes on at this rate (billionths of a CPU). `None`: never. May name
    /// the end of a period although nothing happens then.
    pub fn next_change(&self, rate: u64) -> Option<Time> {
        let limit = self.limit?;
        let rate = i128::from(rate);
        let boundary = self.next_boundary();
        if self.throttled {
            return Some(boundary);
        }
        if rate == 0 {
            return None;
        }
        let until = (boundary - self.now).0;
        if self.runtime < rate * i128::from(until) {
            // Not before it is used up: the next whole nanosecond.
            let span = self.runtime.div_euclid(rate) + i128::from(self.runtime % rate != 0);
            return Some(self.now + Span(i64::try_from(span).unwrap_or(until).max(1)));
        }
        (rate * i128::from(limit.period.0) > limit.quota).then_some(boundary)
    }

    /// The end of the period that runs, whether or not the timer does.
    fn next_boundary(&self) -> Time {
        let Some(limit) = self.limit else { return Time(i64::MAX) };
        if self.boundary > self.now {
            return self.boundary;
        }
        let behind = (self.now - self.boundary).0 / limit.period.0 + 1;
        self.boundary + limit.period * behind
    }

    /// Runs until a time: it uses the CPUs at this rate (billionths of a CPU) whenever it may, on so many CPUs at once.
    pub fn run(&mut self, until: Time, rate: u64, cpus: u64) {
        let Some(limit) = self.limit else {
            self.usage += i128::from(rate) * i128::from((until - self.now).0.max(0));
            self.now = self.now.max(until);
            return;
        };
        if rate > 0 && !self.active && self.now < until {
            self.boundary = self.next_boundary();
            self.active = true;
        }
        while self.active && self.now < until {
            if self.now + limit.period == self.boundary {
                let periods = (until - self.now).0 / limit.period.0;
                if periods > 1 && self.leap(limit, rate, cpus, periods) {
                    continue;
                }
            }
            let end = self.boundary.min(until);
            self.part(rate, cpus, (end - self.now).0);
            self.now = end;
            if end == self.boundary {
                self.refill(limit);
            }
        }
        self.now = self.now.max(until);
    }

    /// A part of a period.
    fn part(&mut self, rate: u64, cpus: u64, span: i64) {
        let (rate, span) = (i128::from(rate), i128::from(span));
        let wall = i128::from(cpus) * i128::from(CPU) * span;
        if self.throttled {
            self.throttled_time += wall;
            return;
        }
        let wanted = rate * span;
        if wanted > 0 {
            self.idle = false;
        }
        // Whoever goes from event to event stops at the nanosecond that follows the end of the quota.
        let over = wanted - self.runtime;
        let used = if over < rate { wanted } else { self.runtime };
        self.usage += used;
        self.runtime -= used;
        if self.runtime < 0 {
            self.debt -= std::mem::take(&mut self.runtime);
        }
        let before_the_end = self.now + Span(span as i64) < self.boundary;
        if over > 0 || (over == 0 && rate > 0 && before_the_end) {
            self.throttled = true;
            // It ran for used / rate of the span.
            self.throttled_time += wall - i128::from(cpus) * i128::from(CPU) * used / rate;
        }
    }

    /// The period timer fires (`do_sched_cfs_period_timer`, `__refill_cfs_bandwidth_runtime`).
    fn refill(&mut self, limit: Limit) {
        self.counts.nr_periods += 1;
        self.runtime += limit.quota;
        let beyond = self.snapshot - self.runtime;
        if beyond > 0 {
            self.burst_time += beyond;
            self.counts.nr_bursts += 1;
        }
        self.runtime = self.runtime.min(limit.quota + limit.burst);
        self.snapshot = self.runtime;
        self.runtime -= std::mem::take(&mut self.debt);
        self.boundary += limit.period;
        if self.throttled {
            self.counts.nr_throttled += 1;
            self.throttled = false;
            self.idle = false;
        } else if self.idle {
            self.active = false;
        } else {
            self.idle = true;
        }
    }

    /// Whole periods that are all alike, as many as possible, at the start of one. False if not even two are.
    fn leap(&mut self, limit: Limit, rate: u64, cpus: u64, periods: i64) -> bool {
        let wanted = i128::from(rate) * i128::from(limit.period.0);
        if rate == 0 || self.throttled {
            return false;
        }
        let beyond = wanted - limit.quota;
        let alike = if wanted > self.runtime {
            // Throttled in each, once nothing is saved any more.
            if self.runtime != limit.quota { 0 } else { i128::from(periods) }
        } else if beyond > 0 {
            // What was saved lasts for some.
            ((self.runtime - wanted) / beyond).min(i128::from(periods))
        } else {
            i128::from(periods)
        };
        if alike < 2 {
            return false;
        }
        let count = alike as u64;
        let used = wanted.min(self.runtime);
        self.usage += used * alike;
        self.counts.nr_periods += count;
        if wanted > self.runtime {
            let ran = i128::from(cpus) * i128::from(CPU) * used / i128::from(rate);
            let wall = i128::from(cpus) * work(limit.period);
            self.throttled_time += (wall - ran) * alike;
            self.counts.nr_throttled += count;
        } else if beyond > 0 {
            self.burst_time += beyond * alike;
            self.counts.nr_bursts += count;
            self.runtime -= beyond * alike;
        } else {
            self.runtime = (self.runtime - beyond * alike).min(limit.quota + limit.burst);
        }
        self.snapshot = self.runtime;
        self.idle = wanted <= used;
        let leapt = limit.period * (alike as i64);
        self.now += leapt;
        self.boundary += leapt;
        true
    }
}

#[cfg(test)]
mod tests;
