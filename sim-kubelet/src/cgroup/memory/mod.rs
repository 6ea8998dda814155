//! The memory of a node: who has how much, what is given back, who is killed (`mm/memcontrol.c`, `mm/vmscan.c`,
//! `mm/oom_kill.c`).
//!
//! Amounts are bytes. A charge that does not fit lets page cache go, then swaps, then kills; one that exceeds
//! `memory.high` reclaims what it can and makes its task sleep. What the kernel does page by page is one step here, however
//! large the charge: reclaim takes from all that are unprotected in proportion to what they have, page cache before
//! anonymous memory, where the kernel weighs both by how often they are used.

mod oom;
mod reclaim;

pub use oom::{Kill, badness};
pub use reclaim::effective_protection;

use sim_core::time::Span;

use super::knobs::Knobs;

/// A cgroup in a [`MemoryModel`]; 0 is the root, the whole node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemoryId(pub u32);

impl MemoryId {
    /// The root.
    pub const ROOT: MemoryId = MemoryId(0);

    const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

/// `memory.events`, all below included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryEvents {
    /// Reclaimed although below `memory.low`.
    pub low: u64,
    /// Above `memory.high` after a charge.
    pub high: u64,
    /// A charge met `memory.max`.
    pub max: u64,
    /// Nothing could be reclaimed for a charge.
    pub oom: u64,
    /// Processes killed.
    pub oom_kill: u64,
    /// Times a whole cgroup was killed.
    pub oom_group_kill: u64,
}

impl MemoryEvents {
    /// The file.
    pub fn file(&self) -> String {
        format!(
            "low {}\nhigh {}\nmax {}\noom {}\noom_kill {}\noom_group_kill {}\n",
            self.low, self.high, self.max, self.oom, self.oom_kill, self.oom_group_kill
        )
    }
}

#[derive(Clone, Debug)]
struct Group {
    parent: MemoryId,
    knobs: Knobs,
    /// Page cache that was charged here.
    file: i64,
    /// All below included: page cache and anonymous memory, and swap.
    usage: i64,
    swap: i64,
    peak: i64,
    events: MemoryEvents,
}

#[derive(Clone, Copy, Debug)]
struct Task {
    group: MemoryId,
    anon: i64,
    swap: i64,
    oom_score_adj: i64,
    alive: bool,
}

/// What a charge came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// False if there was no room and nobody left to kill, or the charging task itself was killed.
    pub fits: bool,
    /// Page cache that was dropped for it.
    pub reclaimed: i64,
    /// Memory that was swapped out for it.
    pub swapped: i64,
    /// How long the task sleeps for exceeding `memory.high`.
    pub delay: Span,
    /// Who was killed, in order.
    pub kills: Vec<Kill>,
}

/// A node's memory. Tasks and cgroups keep their numbers for good.
///
/// ```
/// use sim_kubelet::cgroup::knobs::Knobs;
/// use sim_kubelet::cgroup::memory::{MemoryId, MemoryModel};
/// let mut node = MemoryModel::new(8 << 30, 0);
/// let limit = Knobs { memory_max: Some(1 << 30), oom_group: true, ..Knobs::default() };
/// let container = node.add(MemoryId::ROOT, &limit);
/// let main = node.spawn(container, 1000);
/// let child = node.spawn(container, 1000);
/// assert!(node.grow(main, 600 << 20).fits);
/// let charge = node.grow(child, 600 << 20);
/// assert!(!charge.fits);
/// assert_eq!(charge.kills[0].victim, main);
/// assert_eq!(charge.kills[0].killed, [main, child]);
/// assert_eq!(node.events(container).file(), "low 0\nhigh 0\nmax 1\noom 1\noom_kill 2\noom_group_kill 1\n");
/// ```
#[derive(Clone, Debug)]
pub struct MemoryModel {
    groups: Vec<Group>,
    tasks: Vec<Task>,
    /// Memory and swap of the machine.
    ram: i64,
    swap: i64,
    hz: i64,
}

impl MemoryModel {
    /// A node with so much memory and swap.
    pub fn new(ram: i64, swap: i64) -> MemoryModel {
        let mut node = MemoryModel { groups: Vec::new(), tasks: Vec::new(), ram, swap, hz: 250 };
        node.add(MemoryId::ROOT, &Knobs::default());
        node
    }

    /// Adds a cgroup.
    pub fn add(&mut self, parent: MemoryId, knobs: &Knobs) -> MemoryId {
        let id = MemoryId(self.groups.len() as u32);
        self.groups.push(Group {
            parent,
            knobs: knobs.clone(),
            file: 0,
            usage: 0,
            swap: 0,
            peak: 0,
            events: MemoryEvents::default(),
        });
        id
    }

    /// Changes the settings of a cgroup, as in-place resize does. Nobody is killed for it.
    pub fn set(&mut self, id: MemoryId, knobs: &Knobs) {
        self.groups[id.index()].knobs = knobs.clone();
    }

    /// A new process in a cgroup, with its `oom_score_adj`.
    pub fn spawn(&mut self, group: MemoryId, oom_score_adj: i64) -> TaskId {
        let id = TaskId(self.tasks.len() as u32);
        self.tasks.push(Task { group, anon: 0, swap: 0, oom_score_adj, alive: true });
        id
    }

    /// Whether a process still runs.
    pub fn is_alive(&self, task: TaskId) -> bool {
        self.tasks[task.0 as usize].alive
    }

    /// `memory.current`.
    pub fn current(&self, id: MemoryId) -> i64 {
        self.groups[id.index()].usage
    }

    /// `memory.swap.current`.
    pub fn swap_current(&self, id: MemoryId) -> i64 {
        self.groups[id.index()].swap
    }

    /// `memory.peak`.
    pub fn peak(&self, id: MemoryId) -> i64 {
        self.groups[id.index()].peak
    }

    /// `memory.events`.
    pub fn events(&self, id: MemoryId) -> MemoryEvents {
        self.groups[id.index()].events
    }

    /// Page cache of a cgroup, all below included.
    pub fn page_cache(&self, id: MemoryId) -> i64 {
        (0..self.groups.len())
            .filter(|i| self.is_below(MemoryId(*i as u32), id))
            .map(|i| self.groups[i].file)
            .sum()
    }

    /// What the kubelet measures: memory less page cache, all of which counts as inactive here.
    pub fn working_set(&self, id: MemoryId) -> i64 {
        (self.current(id) - self.page_cache(id)).max(0)
    }

    /// A cgroup and its ancestors, from the bottom up.
    fn path(&self, id: MemoryId) -> impl Iterator<Item = MemoryId> + use<'_> {
        std::iter::successors(Some(id), |id| {
            Some(self.groups[id.index()].parent).filter(|_| *id != MemoryId::ROOT)
        })
    }

    fn is_below(&self, id: MemoryId, domain: MemoryId) -> bool {
        self.path(id).any(|ancestor| ancestor == domain)
    }

    /// The limit of a cgroup: its `memory.max`, of the root the machine.
    fn limit(&self, id: MemoryId) -> i64 {
        let own = self.groups[id.index()].knobs.memory_max.unwrap_or(i64::MAX);
        if id == MemoryId::ROOT { own.min(self.ram) } else { own }
    }

    fn event(&mut self, id: MemoryId, count: impl Fn(&mut MemoryEvents)) {
        let path: Vec<MemoryId> = self.path(id).collect();
        path.into_iter().for_each(|ancestor| count(&mut self.groups[ancestor.index()].events));
    }

    /// Moves usage and swap of a cgroup and its ancestors.
    fn account(&mut self, id: MemoryId, usage: i64, swap: i64) {
        let path: Vec<MemoryId> = self.path(id).collect();
        for ancestor in path {
            let group = &mut self.groups[ancestor.index()];
            group.usage += usage;
            group.swap += swap;
            group.peak = group.peak.max(group.usage);
        }
    }

    /// A process takes so much more anonymous memory (a tmpfs counts as such).
    pub fn grow(&mut self, task: TaskId, bytes: i64) -> Charge {
        let Task { group, alive, .. } = self.tasks[task.0 as usize];
        if !alive || bytes <= 0 {
            return Charge { fits: alive, ..Charge::default() };
        }
        let mut charge = self.make_room(group, bytes, Some(task));
        if charge.fits {
            self.tasks[task.0 as usize].anon += bytes;
            self.account(group, bytes, 0);
            self.exceed(group, bytes, &mut charge);
        }
        charge
    }

    /// A cgroup reads or writes files: so much more page cache. What does not fit replaces older page cache, its own included.
    pub fn read_files(&mut self, group: MemoryId, bytes: i64) -> Charge {
        let mut charge = self.make_room(group, bytes.max(0), None);
        if charge.fits && bytes > 0 {
            self.groups[group.index()].file += bytes;
            self.account(group, bytes, 0);
            self.exceed(group, bytes, &mut charge);
        }
        charge
    }

    /// A process gives memory back, swapped memory last.
    pub fn shrink(&mut self, task: TaskId, bytes: i64) {
        let entry = &mut self.tasks[task.0 as usize];
        let anon = bytes.clamp(0, entry.anon);
        let swap = (bytes - anon).clamp(0, entry.swap);
        entry.anon -= anon;
        entry.swap -= swap;
        let group = entry.group;
        self.account(group, -anon, -swap);
    }

    /// A process ends, and gives back all but the page cache.
    pub fn exit(&mut self, task: TaskId) {
        let all = self.tasks[task.0 as usize];
        self.shrink(task, all.anon.saturating_add(all.swap));
        self.tasks[task.0 as usize].alive = false;
    }

    /// The first cgroup, from the bottom up, whose limit a charge would exceed.
    fn first_full(&self, group: MemoryId, bytes: i64) -> Option<MemoryId> {
        self.path(group).find(|id| self.groups[id.index()].usage.saturating_add(bytes) > self.limit(*id))
    }

    /// Makes a charge fit below all limits above (`try_charge_memcg`): reclaims, else kills.
    fn make_room(&mut self, group: MemoryId, bytes: i64, task: Option<TaskId>) -> Charge {
        let mut charge = Charge { fits: true, ..Charge::default() };
        // Every round reclaims to the limit of one cgroup, or kills somebody below it, so that this ends.
        while let Some(domain) = self.first_full(group, bytes) {
            let excess = self.groups[domain.index()].usage.saturating_add(bytes) - self.limit(domain);
            if charge.kills.is_empty() && domain != MemoryId::ROOT {
                self.event(domain, |events| events.max += 1);
            }
            let freed = self.reclaim(domain, excess, &mut charge);
            if freed >= excess {
                continue;
            }
            self.event(domain, |events| events.oom += 1);
            match self.oom_kill(domain) {
                Some(kill) => charge.kills.push(kill),
                None => charge.fits = false,
            }
            if !charge.fits || task.is_some_and(|task| !self.is_alive(task)) {
                charge.fits = false;
                break;
            }
        }
        charge
    }

    /// After a charge beyond `memory.high`: reclaim, and sleep for what is left.
    fn exceed(&mut self, group: MemoryId, bytes: i64, charge: &mut Charge) {
        let path: Vec<MemoryId> = self.path(group).collect();
        let mut delay = Span(0);
        for id in path {
            let Some(high) = self.groups[id.index()].knobs.memory_high else { continue };
            let over = self.groups[id.index()].usage - high;
            if over <= 0 {
                continue;
            }
            self.event(id, |events| events.high += 1);
            self.reclaim(id, over, charge);
            delay = delay.max(high_delay(self.groups[id.index()].usage, high, bytes, self.hz));
        }
        charge.delay = delay;
    }

    /// How much a cgroup can grow before it meets its own or an ancestor's `memory.high`, and before somebody is killed for it:
    /// free memory and all that can be reclaimed. `None`: never, as far as limits go.
    pub fn headroom(&self, group: MemoryId) -> (Option<i64>, Option<i64>) {
        let least = |values: Vec<Option<i64>>| values.into_iter().flatten().min();
        let highs = self.path(group).map(|id| {
            let group = &self.groups[id.index()];
            Some((group.knobs.memory_high? - group.usage).max(0))
        });
        let limits = self.path(group).map(|id| {
            let limit = Some(self.limit(id)).filter(|limit| *limit < i64::MAX)?;
            let free = (limit - self.groups[id.index()].usage).max(0);
            Some(free.saturating_add(self.reclaimable(id)))
        });
        (least(highs.collect()), least(limits.collect()))
    }
}

/// How long the kernel makes a task sleep that has charged so many bytes while the cgroup is above `memory.high`
/// (`mem_cgroup_handle_over_high`): the square of the overage, two seconds at most; less than 10 ms is not slept at all.
pub fn high_delay(usage: i64, high: i64, charged: i64, hz: i64) -> Span {
    const PRECISION: u32 = 20;
    const SCALING: u32 = 14;
    const BATCH: u128 = 64;
    if usage <= high || charged <= 0 {
        return Span(0);
    }
    let page = |bytes: i64| u128::from(bytes.max(0).unsigned_abs()) / 4096;
    let hz = u128::from(hz.max(1).unsigned_abs());
    // A limit of less than a page counts as one.
    let over = ((page(usage) - page(high)) << PRECISION) / page(high).max(1);
    let penalty = (over.saturating_mul(over).saturating_mul(hz) >> PRECISION) >> SCALING;
    let jiffies = (penalty.saturating_mul(page(charged)) / BATCH).min(2 * hz);
    if jiffies <= hz / 100 {
        return Span(0);
    }
    Span((jiffies * 1_000_000_000 / hz) as i64)
}

#[cfg(test)]
mod tests;
