//! Limits, protection, swap and who dies, told by numbers.

use proptest::prelude::*;
use sim_core::time::{millis, secs};

use super::*;

const MIB: i64 = 1 << 20;

fn knobs(max: Option<i64>) -> Knobs {
    Knobs { memory_max: max.map(|mib| mib * MIB), swap_max: Some(0), ..Knobs::default() }
}

#[test]
fn page_cache_goes_before_anybody_dies() {
    let mut node = MemoryModel::new(8192 * MIB, 0);
    let group = node.add(MemoryId::ROOT, &knobs(Some(100)));
    let task = node.spawn(group, 0);
    assert!(node.read_files(group, 80 * MIB).fits);
    assert_eq!(node.headroom(group), (None, Some(100 * MIB)));
    let charge = node.grow(task, 70 * MIB);
    assert_eq!((charge.fits, charge.reclaimed, charge.kills.len()), (true, 50 * MIB, 0));
    assert_eq!((node.current(group), node.working_set(group)), (100 * MIB, 70 * MIB));
    let more = node.read_files(group, 500 * MIB);
    assert!(!more.fits, "page cache does not push anonymous memory out: {more:?}");
    assert_eq!(node.events(group).max, 2);
}

#[test]
fn a_limit_above_counts_for_all_below() {
    let mut node = MemoryModel::new(8192 * MIB, 0);
    let pod = node.add(MemoryId::ROOT, &knobs(Some(100)));
    let [a, b] = [60, 60].map(|mib| node.add(pod, &knobs(Some(mib))));
    let [x, y] = [a, b].map(|group| node.spawn(group, 0));
    assert!(node.grow(x, 60 * MIB).fits);
    let charge = node.grow(y, 50 * MIB);
    // The pod is full; its largest process dies, in the other container.
    assert!(charge.fits);
    assert_eq!(charge.kills, [Kill { domain: pod, victim: x, killed: vec![x] }]);
    assert_eq!((node.events(pod).oom_kill, node.events(a).oom_kill, node.events(b).oom_kill), (1, 1, 0));
    assert_eq!(node.events(a).oom, 0);
}

#[test]
fn the_node_kills_by_adjusted_size() {
    let mut node = MemoryModel::new(1000 * MIB, 0);
    let groups = [-997, 900, 1000].map(|adj| {
        let group = node.add(MemoryId::ROOT, &knobs(None));
        (group, node.spawn(group, adj))
    });
    assert!(node.grow(groups[0].1, 700 * MIB).fits);
    assert!(node.grow(groups[1].1, 200 * MIB).fits);
    assert!(node.grow(groups[2].1, 50 * MIB).fits);
    // 200 + 900 of 1000 is worse than 50 + 1000.
    let charge = node.grow(groups[0].1, 100 * MIB);
    assert_eq!(charge.kills.iter().map(|k| k.victim).collect::<Vec<_>>(), [groups[1].1]);
    let kill = &node.grow(groups[0].1, 150 * MIB + MIB).kills[0];
    assert_eq!((kill.domain, kill.victim), (MemoryId::ROOT, groups[2].1));
}

#[test]
fn who_must_not_die_survives_its_group() {
    let mut node = MemoryModel::new(1000 * MIB, 0);
    let group = node.add(MemoryId::ROOT, &Knobs { oom_group: true, ..knobs(Some(100)) });
    let (never, small, big) = (node.spawn(group, -1000), node.spawn(group, 0), node.spawn(group, 0));
    assert!(node.grow(never, 40 * MIB).fits && node.grow(small, 10 * MIB).fits);
    let charge = node.grow(big, 60 * MIB);
    assert_eq!(charge.kills[0].killed, [small, big]);
    assert!(!charge.fits && node.is_alive(never));
    let charge = node.grow(never, 100 * MIB);
    assert_eq!((charge.fits, charge.kills.len()), (false, 0));
    assert_eq!(node.current(group), 40 * MIB);
}

#[test]
fn swap_takes_what_it_may() {
    let mut node = MemoryModel::new(8192 * MIB, 100 * MIB);
    let swaps = Knobs { swap_max: Some(30 * MIB), ..knobs(Some(100)) };
    let group = node.add(MemoryId::ROOT, &swaps);
    let task = node.spawn(group, 0);
    assert!(node.grow(task, 90 * MIB).fits);
    assert_eq!(node.headroom(group).1, Some(40 * MIB));
    let charge = node.grow(task, 40 * MIB);
    assert_eq!((charge.fits, charge.swapped), (true, 30 * MIB));
    assert_eq!((node.current(group), node.swap_current(group)), (100 * MIB, 30 * MIB));
    assert_eq!(node.grow(task, 1).kills[0].victim, task);
    assert_eq!((node.current(group), node.swap_current(MemoryId::ROOT)), (0, 0));
}

#[test]
fn what_is_protected_stays_and_is_divided_among_claims() {
    for (args, want) in [
        // Claims fit: each keeps its own.
        ((50, 100, 30, 60, 50), 30 + 10 * 20 / 50),
        // Over-committed: in proportion to the claims.
        ((50, 100, 50, 50, 100), 25),
        // Nothing claimed: the parent's protection follows usage.
        ((25, 100, 0, 40, 0), 10),
        ((25, 100, 0, 0, 0), 0),
    ] {
        let (usage, parent, setting, effective, siblings) = args;
        assert_eq!(effective_protection(usage, parent, setting, effective, siblings), want, "{args:?}");
    }
    let mut node = MemoryModel::new(100 * MIB, 0);
    let min = Knobs { memory_min: 40 * MIB, ..knobs(None) };
    let (safe, open) = (node.add(MemoryId::ROOT, &min), node.add(MemoryId::ROOT, &knobs(None)));
    let task = node.spawn(open, 0);
    assert!(node.read_files(safe, 50 * MIB).fits && node.read_files(open, 30 * MIB).fits);
    let charge = node.grow(task, 60 * MIB);
    assert_eq!((charge.fits, charge.reclaimed), (true, 40 * MIB));
    assert_eq!(node.current(safe), 40 * MIB);
    assert!(!node.grow(task, MIB).fits);
}

#[test]
fn low_is_spared_while_others_have_something() {
    let mut node = MemoryModel::new(100 * MIB, 0);
    let low = Knobs { memory_low: 50 * MIB, ..knobs(None) };
    let (spared, open) = (node.add(MemoryId::ROOT, &low), node.add(MemoryId::ROOT, &knobs(None)));
    let task = node.spawn(open, 0);
    assert!(node.read_files(spared, 50 * MIB).fits && node.read_files(open, 50 * MIB).fits);
    assert!(node.grow(task, 50 * MIB).fits);
    assert_eq!((node.current(spared), node.events(spared).low), (50 * MIB, 0));
    assert!(node.grow(task, 20 * MIB).fits);
    assert_eq!((node.current(spared), node.events(spared).low), (30 * MIB, 1));
}

#[test]
fn above_high_it_sleeps_instead() {
    let mut node = MemoryModel::new(8192 * MIB, 0);
    let high = Knobs { memory_high: Some(100 * MIB), ..knobs(Some(400)) };
    let group = node.add(MemoryId::ROOT, &high);
    let task = node.spawn(group, 0);
    assert!(node.read_files(group, 60 * MIB).fits);
    let within = node.grow(task, 90 * MIB);
    assert_eq!((within.reclaimed, within.delay, node.events(group).high), (50 * MIB, Span(0), 1));
    let charge = node.grow(task, 100 * MIB);
    assert_eq!((charge.fits, charge.reclaimed, charge.delay), (true, 10 * MIB, secs(2)));
    assert_eq!(node.events(group).oom, 0);
    // One batch of 64 pages, a tenth above: (0.1 * 2^20)^2 * 250 / 2^34 jiffies of 4 ms.
    assert_eq!(high_delay(110 * MIB, 100 * MIB, 64 * 4096, 250), millis(4 * 159));
    assert_eq!(high_delay(101 * MIB, 100 * MIB, 64 * 4096, 250), Span(0));
    assert_eq!(high_delay(100 * MIB, 100 * MIB, MIB, 250), Span(0));
}

proptest! {
    /// Sums are sums, limits hold, and whatever happens nothing is negative.
    #[test]
    fn books_balance(
        groups in prop::collection::vec((0_usize..5, prop::option::of(1_i64..200), 0_i64..60, 0_i64..50, any::<bool>()), 1..8),
        steps in prop::collection::vec((0_usize..12, 0_u8..4, 0_i64..120), 1..60),
    ) {
        let mut node = MemoryModel::new(300 * MIB, 60 * MIB);
        let mut tasks = Vec::new();
        for (i, (parent, max, min, swap, group)) in groups.iter().enumerate() {
            let knobs = Knobs { memory_min: min * MIB, swap_max: Some(swap * MIB), oom_group: *group, ..knobs(*max) };
            let id = node.add(MemoryId((*parent).min(i) as u32), &knobs);
            tasks.extend([node.spawn(id, 0), node.spawn(id, 900)]);
        }
        for (who, what, mib) in steps {
            let task = tasks[who % tasks.len()];
            let group = node.tasks[task.0 as usize].group;
            match what {
                0 | 1 => { node.grow(task, mib * MIB); }
                2 => { node.read_files(group, mib * MIB); }
                _ => node.shrink(task, mib * MIB),
            }
            for i in 0..node.groups.len() {
                let id = MemoryId(i as u32);
                let own = |field: fn(&Task) -> i64| -> i64 {
                    node.tasks.iter().filter(|t| node.is_below(t.group, id)).map(field).sum()
                };
                prop_assert_eq!(node.current(id), own(|t| t.anon) + node.page_cache(id));
                prop_assert_eq!(node.swap_current(id), own(|t| t.swap));
                prop_assert!(node.current(id) <= node.limit(id), "{} of {}", node.current(id), node.limit(id));
                prop_assert!(node.swap_current(id) <= node.groups[i].knobs.swap_max.unwrap_or(60 * MIB).min(60 * MIB));
                prop_assert!(node.groups[i].file >= 0 && node.tasks.iter().all(|t| t.anon >= 0 && t.swap >= 0));
            }
        }
    }
}
