//! The CPUs of a node through time: who runs how fast, who is throttled, when work is done.
//!
//! Rates change only when something does: threads come or go, work is done, a quota is used up, a period ends for somebody
//! who is throttled. In between everything is a straight line, so that nothing ticks and an idle node costs nothing.

use sim_core::time::{Span, Time};

use super::bandwidth::{Bandwidth, CpuStat, Work, work};
use super::knobs::Knobs;
use super::psi::{Pressure, cpu_stall};
use super::share::{CPU, GroupId, ShareTree};
use super::tree::CgroupTree;

/// One cgroup.
#[derive(Clone, Debug)]
struct Group {
    bandwidth: Bandwidth,
    pressure: Pressure,
    /// Its own threads that would always run.
    threads: u64,
    /// With all below.
    runnable: u64,
    /// What is left to do; `None` goes on forever.
    work: Option<Work>,
}

/// A node's CPUs and cgroups. Times must not go back.
///
/// ```
/// use sim_core::time::{Time, millis, secs};
/// use sim_kubelet::cgroup::cpu_model::CpuModel;
/// use sim_kubelet::cgroup::knobs::Knobs;
/// use sim_kubelet::cgroup::share::GroupId;
///
/// let mut node = CpuModel::new(Time::ZERO, 4);
/// let half = Knobs { cpu_quota: Some(50_000), ..Knobs::default() };
/// let job = node.add(GroupId::ROOT, &half);
/// node.start(job, 1, Some(millis(990)));
/// // 50 ms in each period of 100: the last 40 are done in the 20th.
/// assert_eq!(node.next_event(), Some(Time::ZERO + millis(50)));
/// let done = node.advance(Time::ZERO + secs(10));
/// assert_eq!(done, [(Time::ZERO + millis(1940), job)]);
/// assert_eq!(node.stat(job).nr_throttled, 19);
/// ```
#[derive(Clone, Debug)]
pub struct CpuModel {
    shares: ShareTree,
    groups: Vec<Group>,
    cpus: u64,
    now: Time,
    hz: u64,
    stale: bool,
}

impl CpuModel {
    /// A node with so many CPUs, and the root alone.
    pub fn new(now: Time, cpus: u64) -> CpuModel {
        let mut model =
            CpuModel { shares: ShareTree::default(), groups: Vec::new(), cpus, now, hz: 250, stale: true };
        model.push(&Knobs::default());
        model
    }

    /// A node with so many CPUs and the cgroups of a tree, nobody running yet. The second value has the group of each path,
    /// sorted by path.
    pub fn of(now: Time, cpus: u64, tree: &CgroupTree) -> (CpuModel, Vec<(String, GroupId)>) {
        let mut model = CpuModel::new(now, cpus);
        let (_, ids) = ShareTree::of(tree);
        // Groups are numbered in the order of their paths, parents first.
        for ((path, _), (_, knobs)) in ids.iter().zip(tree.iter()) {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            let known = ids.binary_search_by(|(p, _)| p.as_str().cmp(parent));
            model.add(known.map_or(GroupId::ROOT, |i| ids[i].1), knobs);
        }
        (model, ids)
    }

    fn push(&mut self, knobs: &Knobs) {
        let micros = |n: i64| Span(n.saturating_mul(1_000));
        let (quota, period) = (knobs.cpu_quota.map(micros), micros(knobs.cpu_period));
        self.groups.push(Group {
            bandwidth: Bandwidth::new(self.now, quota, period, micros(knobs.cpu_burst)),
            pressure: Pressure::new(self.now, self.hz),
            threads: 0,
            runnable: 0,
            work: None,
        });
    }

    /// Adds a cgroup.
    pub fn add(&mut self, parent: GroupId, knobs: &Knobs) -> GroupId {
        let id = self.shares.add(parent, knobs.cpu_weight, None);
        self.push(knobs);
        self.stale = true;
        id
    }

    /// From now on a cgroup has so many threads that would always run, until they have had so much CPU time together; for
    /// good without. No thread is idle.
    pub fn start(&mut self, id: GroupId, threads: u64, amount: Option<Span>) {
        let group = &mut self.groups[id.0 as usize];
        group.threads = threads;
        group.work = amount.map(|span| work(span).max(1));
        self.stale = true;
    }

    /// The time it stands at.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// `cpu.stat` of a cgroup.
    pub fn stat(&self, id: GroupId) -> CpuStat {
        self.groups[id.0 as usize].bandwidth.stat()
    }

    /// `cpu.pressure` of a cgroup. The system's own never has `full`.
    pub fn pressure(&self, id: GroupId) -> String {
        self.groups[id.0 as usize].pressure.file()
    }

    /// What a cgroup gets now, in billionths of a CPU.
    pub fn rate(&mut self, id: GroupId) -> u64 {
        self.solve();
        self.shares.rate(id)
    }

    fn id(index: usize) -> GroupId {
        GroupId(index as u32)
    }

    /// Divides the CPUs anew, if anything has changed.
    fn solve(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        for group in &mut self.groups {
            group.runnable = group.threads;
        }
        for i in (0..self.groups.len()).rev() {
            let id = Self::id(i);
            let group = &self.groups[i];
            self.shares.set_demand(id, group.threads.saturating_mul(CPU));
            self.shares.set_cap(id, group.bandwidth.throttled().then_some(0));
            if id != GroupId::ROOT {
                let runnable = group.runnable;
                let parent = &mut self.groups[self.shares.parent(id).0 as usize];
                parent.runnable = parent.runnable.saturating_add(runnable);
            }
        }
        self.shares.solve(self.cpus.saturating_mul(CPU));
    }

    /// When something changes next by itself: work is done, or throttling begins or ends. `None`: never.
    pub fn next_event(&mut self) -> Option<Time> {
        self.solve();
        let mut next: Option<Time> = None;
        for (i, group) in self.groups.iter().enumerate() {
            let rate = self.shares.rate(Self::id(i));
            let throttles = match group.runnable {
                0 => None,
                _ => group.bandwidth.next_change(rate),
            };
            let done = group.work.filter(|_| rate > 0).map(|left| {
                let rate = i128::from(rate);
                let span = left.div_euclid(rate) + i128::from(left % rate != 0);
                self.now + Span(i64::try_from(span).unwrap_or(i64::MAX))
            });
            next = [next, throttles, done].into_iter().flatten().min();
        }
        next
    }

    /// Goes to a time. Returns whose work was done, and when, in order.
    pub fn advance(&mut self, until: Time) -> Vec<(Time, GroupId)> {
        let mut done = Vec::new();
        while self.now < until {
            let next = self.next_event().map_or(until, |next| next.min(until));
            self.run(next);
            for i in 0..self.groups.len() {
                let group = &mut self.groups[i];
                if group.work.is_some_and(|left| left <= 0) {
                    (group.work, group.threads) = (None, 0);
                    self.stale = true;
                    done.push((next, Self::id(i)));
                }
            }
        }
        done
    }

    /// Goes straight to a time before which nothing changes.
    fn run(&mut self, until: Time) {
        let span = i128::from((until - self.now).0.max(0));
        for (i, group) in self.groups.iter_mut().enumerate() {
            let rate = self.shares.rate(Self::id(i));
            let places = group.runnable.min(self.cpus);
            let throttled = group.bandwidth.throttled();
            group.bandwidth.run(until, rate, places);
            self.stale |= throttled != group.bandwidth.throttled();
            let (some, full) = cpu_stall(group.runnable, self.cpus, rate);
            let full = if i == 0 { 0 } else { full };
            group.pressure.run(until, group.runnable > 0, some, full);
            if let Some(left) = &mut group.work {
                *left -= i128::from(rate) * span;
            }
        }
        self.now = until;
    }
}

#[cfg(test)]
mod tests;
