//! A web service under open load: requests arrive whether or not it keeps up, wait for a thread, first come first served, and
//! take CPU time. What CPU limits, bursts, shares and more replicas do to latencies comes out as percentiles.
//!
//! One event per request, and two per period while a quota throttles.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use sim_core::engine::random::Stream;
use sim_core::time::{Span, Time};

use super::bandwidth::{Bandwidth, CpuStat};
use super::share::CPU;

/// When requests come.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// One after every span.
    Constant(Span),
    /// At random, with this mean between them.
    Poisson(Span),
    /// At these times after the start, in order; then no more.
    Trace(Arc<[Span]>),
}

/// How much CPU time a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Always as much.
    Constant(Span),
    /// Exponentially distributed with this mean.
    Exponential(Span),
}

/// A draw of the exponential distribution.
fn exponential(mean: Span, stream: &mut Stream) -> Span {
    Span((-libm::log(1.0 - stream.unit()) * mean.0 as f64) as i64)
}

impl Arrivals {
    /// The time of the next request after the one before it, which was number `n - 1` (counted from 0).
    fn next(&self, n: usize, last: Time, start: Time, stream: &mut Stream) -> Option<Time> {
        match self {
            Arrivals::Constant(gap) => Some(last + *gap),
            Arrivals::Poisson(mean) => Some(last + exponential(*mean, stream)),
            Arrivals::Trace(times) => times.get(n).map(|after| (start + *after).max(last)),
        }
    }
}

impl Demand {
    fn draw(&self, stream: &mut Stream) -> Span {
        match self {
            Demand::Constant(span) => *span,
            Demand::Exponential(mean) => exponential(*mean, stream),
        }
    }
}

/// One replica's resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Threads that serve requests; one request has one at a time.
    pub threads: usize,
    /// What it gets of the node's CPUs, in billionths, where it is not alone ([`super::share`]); it never uses more CPUs than it
    /// has threads at work.
    pub cpu: u64,
    /// `cpu.max`: quota per period.
    pub quota: Option<Span>,
    /// `cpu.max`: period.
    pub period: Span,
    /// `cpu.max.burst`.
    pub burst: Span,
}

/// A request that was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// When it came.
    pub arrived: Time,
    /// When a thread took it.
    pub started: Time,
    /// When it was answered.
    pub ended: Time,
}

/// One replica through time.
///
/// ```
/// use sim_core::time::{Time, millis};
/// use sim_kubelet::cgroup::service::{Replica, Service};
/// use sim_kubelet::cgroup::share::CPU;
/// let limits = Replica { threads: 8, cpu: 8 * CPU, quota: Some(millis(20)), period: millis(100), burst: millis(0) };
/// let mut service = Service::new(Time::ZERO, limits);
/// // 30 ms of work under a quota of 20: the rest is done in the next period.
/// service.offer(Time::ZERO, millis(30));
/// let served = service.advance(Time::ZERO + millis(500));
/// assert_eq!(served[0].ended, Time::ZERO + millis(110));
/// ```
#[derive(Clone, Debug)]
pub struct Service {
    replica: Replica,
    bandwidth: Bandwidth,
    now: Time,
    /// What each thread at work has done since the beginning, in billionths of a nanosecond of CPU time.
    done: u128,
    /// Requests at work, by when they are done (in that measure), then by when they came.
    active: BinaryHeap<Reverse<(u128, u64, Time, Time)>>,
    waiting: VecDeque<(Time, Span)>,
    offered: u64,
}

impl Service {
    /// A replica that starts now, idle.
    pub fn new(now: Time, replica: Replica) -> Service {
        Service {
            replica,
            bandwidth: Bandwidth::new(now, replica.quota, replica.period, replica.burst),
            now,
            done: 0,
            active: BinaryHeap::new(),
            waiting: VecDeque::new(),
            offered: 0,
        }
    }

    /// `cpu.stat` of the replica.
    pub fn stat(&self) -> CpuStat {
        self.bandwidth.stat()
    }

    /// Requests that are at work or wait.
    pub fn backlog(&self) -> usize {
        self.active.len() + self.waiting.len()
    }

    /// What each thread at work gets, in billionths of a CPU.
    fn rate(&self) -> u64 {
        let busy = self.active.len() as u64;
        if busy == 0 || self.bandwidth.throttled() { 0 } else { (self.replica.cpu / busy).min(CPU) }
    }

    /// A request comes, now or at the time to which it is advanced first. It takes so much CPU time.
    ///
    /// Returns what was served until then.
    pub fn offer(&mut self, at: Time, demand: Span) -> Vec<Served> {
        let served = self.advance(at);
        if self.active.len() < self.replica.threads.max(1) {
            self.begin(self.now, demand);
        } else {
            self.waiting.push_back((self.now, demand));
        }
        served
    }

    fn begin(&mut self, arrived: Time, demand: Span) {
        let target = self.done + u128::from(demand.0.max(0).unsigned_abs()) * u128::from(CPU);
        self.offered += 1;
        self.active.push(Reverse((target, self.offered, arrived, self.now)));
    }

    /// When something happens next by itself. `None`: nothing is at work.
    pub fn next_event(&self) -> Option<Time> {
        let Reverse((target, ..)) = self.active.peek()?;
        let rate = self.rate();
        let change = self.bandwidth.next_change(rate * self.active.len() as u64);
        let end = (rate > 0).then(|| {
            let span = target.saturating_sub(self.done).div_ceil(u128::from(rate));
            self.now + Span(i64::try_from(span).unwrap_or(i64::MAX))
        });
        [change, end].into_iter().flatten().min()
    }

    /// Goes to a time. Returns who was served until then, in order.
    pub fn advance(&mut self, until: Time) -> Vec<Served> {
        let mut served = Vec::new();
        loop {
            let next = self.next_event().filter(|next| *next <= until);
            self.run(next.unwrap_or(until).max(self.now));
            while let Some(Reverse((target, _, arrived, started))) = self.active.peek().copied() {
                if target > self.done {
                    break;
                }
                self.active.pop();
                served.push(Served { arrived, started, ended: self.now });
                if let Some((arrived, demand)) = self.waiting.pop_front() {
                    self.begin(arrived, demand);
                }
            }
            if next.is_none() {
                return served;
            }
        }
    }

    /// Goes straight to a time before which nothing happens.
    fn run(&mut self, until: Time) {
        let (rate, busy) = (self.rate(), self.active.len() as u64);
        let span = (until - self.now).0.max(0).unsigned_abs();
        self.bandwidth.run(until, rate * busy, busy);
        self.done += u128::from(rate) * u128::from(span);
        self.now = until;
    }
}

/// A load on a service of one or more equal replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// When requests come, to all replicas together.
    pub arrivals: Arrivals,
    /// What each takes.
    pub demand: Demand,
    /// How many replicas there are; requests go to them in turn.
    pub replicas: usize,
    /// Each of them.
    pub replica: Replica,
    /// Requests before measuring.
    pub warm_up: usize,
    /// Requests that are measured.
    pub requests: usize,
}

/// What requests met with. Times from arrival to answer, sorted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latencies {
    sorted: Vec<Span>,
    waits: i128,
}

impl Latencies {
    /// How many requests were measured.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// True if none was.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The latency that so many thousandths of the requests do not exceed, by nearest rank: 500 is the median, 990 `p99`.
    pub fn percentile(&self, thousandths: usize) -> Span {
        let rank = (self.sorted.len() * thousandths.min(1000)).div_ceil(1000);
        self.sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Mean latency.
    pub fn mean(&self) -> Span {
        let sum: i128 = self.sorted.iter().map(|span| i128::from(span.0)).sum();
        Span((sum / (self.sorted.len().max(1) as i128)) as i64)
    }

    /// Mean time until a thread took a request.
    pub fn mean_wait(&self) -> Span {
        Span((self.waits / (self.sorted.len().max(1) as i128)) as i64)
    }

    fn add(&mut self, served: &Served) {
        self.sorted.push(served.ended - served.arrived);
        self.waits += i128::from((served.started - served.arrived).0);
    }
}

/// Puts a load on a service, and tells the latencies of the requests that were measured: all of them, also those that are
/// answered only after the last one came.
pub fn serve(load: &Load, arrivals: &mut Stream, demands: &mut Stream) -> Latencies {
    let mut replicas = vec![Service::new(Time::ZERO, load.replica); load.replicas.max(1)];
    let all = load.warm_up + load.requests;
    let (mut first_measured, mut now) = (Time(i64::MAX), Time::ZERO);
    let mut measured = Latencies::default();
    let mut note = |served: Vec<Served>, first: Time| {
        served.iter().filter(|s| s.arrived >= first).for_each(|s| measured.add(s));
    };
    let count = replicas.len();
    for n in 0..all {
        let Some(at) = load.arrivals.next(n, now, Time::ZERO, arrivals) else { break };
        now = at;
        if n == load.warm_up {
            first_measured = at;
        }
        let served = replicas[n % count].offer(at, load.demand.draw(demands));
        note(served, first_measured);
    }
    for replica in &mut replicas {
        while let Some(next) = replica.next_event() {
            let served = replica.advance(next);
            note(served, first_measured);
        }
    }
    measured.sorted.sort_unstable();
    measured
}

#[cfg(test)]
mod tests;
