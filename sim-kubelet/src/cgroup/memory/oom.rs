//! The OOM killer's choice (`mm/oom_kill.c`).

use super::{MemoryId, MemoryModel, TaskId};

const PAGE: i64 = 4096;

/// `oom_score_adj` of processes that are never killed.
const NEVER: i64 = -1000;

/// Somebody was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Who was out of memory: a cgroup at its limit, or the root.
    pub domain: MemoryId,
    /// Who was chosen.
    pub victim: TaskId,
    /// All that died: the victim, or everybody in its `memory.oom.group`.
    pub killed: Vec<TaskId>,
}

/// How bad a process is, in pages (`oom_badness`): what it has, and a thousandth of the domain's pages per point of its
/// `oom_score_adj`. `None`: never killed.
pub fn badness(anon: i64, swap: i64, oom_score_adj: i64, total_pages: i64) -> Option<i64> {
    let points = (anon / PAGE).saturating_add(swap / PAGE);
    // The division comes first, as in the kernel.
    let adjusted = points.saturating_add((total_pages / 1000).saturating_mul(oom_score_adj));
    (oom_score_adj != NEVER).then_some(adjusted)
}

impl MemoryModel {
    /// Pages of the domain: of a cgroup its limit and the swap it may have, of the node all of both.
    fn total_pages(&self, domain: MemoryId) -> i64 {
        let swap = self.groups[domain.index()].knobs.swap_max.map_or(self.swap, |max| max.min(self.swap));
        let memory = self.limit(domain).min(self.ram);
        memory.saturating_add(swap) / PAGE
    }

    /// Kills the worst process below a domain, and everybody with it if its cgroup dies as one. `None` if nobody may be
    /// killed.
    pub(super) fn oom_kill(&mut self, domain: MemoryId) -> Option<Kill> {
        let total = self.total_pages(domain);
        let scored = |i: usize| {
            let task = self.tasks[i];
            let points = badness(task.anon, task.swap, task.oom_score_adj, total)?;
            (task.alive && self.is_below(task.group, domain)).then_some((points, i))
        };
        // Of equals the last, as the kernel goes through the list.
        let (_, victim) = (0..self.tasks.len()).filter_map(scored).max()?;
        let victim = TaskId(victim as u32);
        let of = self.tasks[victim.0 as usize].group;
        let up_to_domain = self.path(of).take_while(|id| self.is_below(*id, domain));
        // The highest that dies as one; the root never does.
        let as_one =
            up_to_domain.filter(|id| *id != MemoryId::ROOT && self.groups[id.index()].knobs.oom_group).last();
        let dies = |id: TaskId| {
            let task = self.tasks[id.0 as usize];
            let within = as_one.is_some_and(|group| self.is_below(task.group, group));
            task.alive && (id == victim || (within && task.oom_score_adj != NEVER))
        };
        let killed: Vec<TaskId> = (0..self.tasks.len() as u32).map(TaskId).filter(|id| dies(*id)).collect();
        for id in &killed {
            let group = self.tasks[id.0 as usize].group;
            self.event(group, |events| events.oom_kill += 1);
            self.exit(*id);
        }
        if let Some(group) = as_one {
            self.event(group, |events| events.oom_group_kill += 1);
        }
        Some(Kill { domain, victim, killed })
    }
}
