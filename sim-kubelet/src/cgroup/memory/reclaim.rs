//! Reclaim: what goes first, and what is protected.

use super::{Charge, MemoryId, MemoryModel};

/// How much of a cgroup is protected in the reclaim of an ancestor (`effective_protection`, `mm/page_counter.c`, with
/// `memory_recursiveprot`, as systemd mounts it). `siblings` is what it and its siblings claim together, each up to its usage.
pub fn effective_protection(
    usage: i64,
    parent_usage: i64,
    setting: i64,
    parent_effective: i64,
    siblings: i64,
) -> i64 {
    let wide = |n: i64| i128::from(n);
    let protected = usage.min(setting);
    if siblings > parent_effective {
        // More is claimed than the parent has: in proportion to the claims.
        return (wide(protected) * wide(parent_effective) / wide(siblings)) as i64;
    }
    if parent_effective > siblings && parent_usage > siblings && usage > protected {
        let unclaimed = wide(parent_effective - siblings) * wide(usage - protected);
        return protected + (unclaimed / wide(parent_usage - siblings)) as i64;
    }
    protected
}

/// What can be had from one cgroup.
struct Source {
    id: MemoryId,
    file: i64,
    anon: i64,
}

impl MemoryModel {
    /// Effective `memory.min` or `memory.low` of all cgroups below a domain, in the reclaim of that domain; of others 0.
    fn protections(&self, domain: MemoryId, min: bool) -> Vec<i64> {
        let setting = |i: usize| {
            let knobs = &self.groups[i].knobs;
            if min { knobs.memory_min } else { knobs.memory_low }
        };
        let mut claims = vec![0_i64; self.groups.len()];
        for (i, group) in self.groups.iter().enumerate().skip(1) {
            let claim = group.usage.min(setting(i));
            claims[group.parent.index()] = claims[group.parent.index()].saturating_add(claim);
        }
        let mut effective = vec![0; self.groups.len()];
        // Parents come before their children.
        for (i, group) in self.groups.iter().enumerate().skip(1) {
            let parent = group.parent.index();
            if !self.is_below(MemoryId(i as u32), domain) || i == domain.index() {
                continue;
            }
            effective[i] = if group.parent == domain {
                setting(i)
            } else {
                let parent_usage = self.groups[parent].usage;
                effective_protection(group.usage, parent_usage, setting(i), effective[parent], claims[parent])
            };
        }
        effective
    }

    /// What can be reclaimed below a domain without touching what is protected.
    fn sources(&self, domain: MemoryId, with_low: bool) -> Vec<Source> {
        let min = self.protections(domain, true);
        let low = if with_low { self.protections(domain, false) } else { vec![0; min.len()] };
        let mut anon = vec![0_i64; self.groups.len()];
        for task in &self.tasks {
            anon[task.group.index()] += task.anon;
        }
        let mut sources = Vec::new();
        for (i, group) in self.groups.iter().enumerate() {
            let id = MemoryId(i as u32);
            let own = group.file + anon[i];
            if own == 0 || !self.is_below(id, domain) {
                continue;
            }
            let free = (own - min[i].max(low[i])).max(0);
            let file = group.file.min(free);
            let room = self.swap_room(id);
            sources.push(Source { id, file, anon: anon[i].min(free - file).min(room) });
        }
        sources
    }

    /// How much more a cgroup may swap out.
    fn swap_room(&self, id: MemoryId) -> i64 {
        let limits = self.path(id).map(|id| {
            let group = &self.groups[id.index()];
            let own = group.knobs.swap_max.unwrap_or(i64::MAX);
            let limit = if id == MemoryId::ROOT { own.min(self.swap) } else { own };
            (limit - group.swap).max(0)
        });
        limits.min().unwrap_or(0)
    }

    /// All that could be reclaimed below a domain.
    pub(super) fn reclaimable(&self, domain: MemoryId) -> i64 {
        let sources = self.sources(domain, false);
        let file: i64 = sources.iter().map(|s| s.file).sum();
        let anon = sources.iter().map(|s| s.anon).fold(0, i64::saturating_add);
        file.saturating_add(anon.min(self.swap_room(domain)))
    }

    /// Reclaims so much below a domain, if there is so much. Sparing `memory.low` first. Returns what came of it.
    pub(super) fn reclaim(&mut self, domain: MemoryId, need: i64, charge: &mut Charge) -> i64 {
        let mut freed = 0;
        for with_low in [true, false] {
            if freed < need && !with_low {
                let below_low: Vec<MemoryId> = self.spared(domain);
                below_low.into_iter().for_each(|id| self.event(id, |events| events.low += 1));
            }
            let sources = self.sources(domain, with_low);
            let files: Vec<i64> = sources.iter().map(|s| s.file).collect();
            for (source, bytes) in sources.iter().zip(portions(&files, need - freed)) {
                self.groups[source.id.index()].file -= bytes;
                self.account(source.id, -bytes, 0);
                charge.reclaimed += bytes;
                freed += bytes;
            }
            let anons: Vec<i64> = sources.iter().map(|s| s.anon).collect();
            for (source, bytes) in sources.iter().zip(portions(&anons, need - freed)) {
                // The room of ancestors is used up as siblings swap.
                let swapped = self.swap_out(source.id, bytes.min(self.swap_room(source.id)));
                charge.swapped += swapped;
                freed += swapped;
            }
            if freed >= need {
                break;
            }
        }
        freed
    }

    /// Cgroups with something that only `memory.low` protects.
    fn spared(&self, domain: MemoryId) -> Vec<MemoryId> {
        let low = self.protections(domain, false);
        let spared = |(i, group): &(usize, &super::Group)| low[*i] > 0 && group.usage > 0;
        self.groups.iter().enumerate().filter(spared).map(|(i, _)| MemoryId(i as u32)).collect()
    }

    /// Swaps out so much of a cgroup's own processes, each in proportion.
    fn swap_out(&mut self, id: MemoryId, bytes: i64) -> i64 {
        let own = |task: &super::Task| if task.group == id { task.anon } else { 0 };
        let anons: Vec<i64> = self.tasks.iter().map(own).collect();
        let mut moved = 0;
        for (task, part) in self.tasks.iter_mut().zip(portions(&anons, bytes)) {
            task.anon -= part;
            task.swap += part;
            moved += part;
        }
        self.account(id, -moved, moved);
        moved
    }
}

/// Divides so much in proportion to what there is, nowhere more than that: rounded down, and what is left over from the first
/// on.
fn portions(available: &[i64], need: i64) -> Vec<i64> {
    let total: i128 = available.iter().map(|n| i128::from(*n)).sum();
    let need = i128::from(need.max(0)).min(total);
    if total == 0 {
        return vec![0; available.len()];
    }
    let mut parts: Vec<i64> = available.iter().map(|n| (i128::from(*n) * need / total) as i64).collect();
    let mut left = need - parts.iter().map(|n| i128::from(*n)).sum::<i128>();
    for (part, available) in parts.iter_mut().zip(available) {
        if left > 0 && *part < *available {
            *part += 1;
            left -= 1;
        }
    }
    parts
}
