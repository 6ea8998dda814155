//! Which of several nodes to take victims from (`pickOneNodeForPreemption`).

use std::cmp::Reverse;
use std::sync::Arc;

use sim_core::time::Time;

use super::victims::Victims;
use crate::cache::Slot;

/// The best candidates, in their order; more than one if they are equal in everything that counts. One by one: fewest
/// violated budgets, lowest priority of the most important victim, lowest sum of priorities, fewest victims, latest start
/// of the first of the most important victims.
pub(super) fn best(candidates: &[(Slot, Arc<Victims>)]) -> Vec<Slot> {
    let rank = |victims: &Victims| {
        (
            victims.pdb_violations,
            victims.top_priority,
            victims.priority_sum,
            victims.pods.len(),
            // Pods that have not started count as started now, later than all others.
            Reverse(victims.earliest_start.unwrap_or(Time(i64::MAX))),
        )
    };
    let Some(lowest) = candidates.iter().map(|(_, victims)| rank(victims)).min() else { return Vec::new() };
    candidates.iter().filter(|(_, victims)| rank(victims) == lowest).map(|(slot, _)| *slot).collect()
}

#[cfg(test)]
mod tests {
    use sim_core::api::meta::Uid;

    use super::*;

    /// Candidates given as (violations, priorities, earliest start).
    fn check(candidates: &[(i64, &[i32], i64)], expected: &[Slot]) {
        let made: Vec<_> = candidates
            .iter()
            .zip(0..)
            .map(|((pdb_violations, priorities, start), slot)| {
                let victims = Victims {
                    pods: priorities.iter().map(|p| Uid(*p as u128)).collect(),
                    pdb_violations: *pdb_violations,
                    top_priority: priorities[0],
                    priority_sum: priorities.iter().map(|p| i64::from(*p) - i64::from(i32::MIN)).sum(),
                    earliest_start: Some(Time(*start)),
                };
                (slot, Arc::new(victims))
            })
            .collect();
        assert_eq!(best(&made), expected, "{candidates:?}");
    }

    #[test]
    fn one_criterion_after_the_other() {
        check(&[], &[]);
        check(&[(1, &[0], 9), (0, &[100, 100], 0)], &[1]);
        check(&[(0, &[10], 9), (0, &[5, 5, 5], 0)], &[1]);
        check(&[(0, &[10, 9], 9), (0, &[10, 8], 0)], &[1]);
        // Negative priorities: one victim less is less, too.
        check(&[(0, &[-10, -10], 9), (0, &[-10], 0)], &[1]);
        check(&[(0, &[10], 5), (0, &[10], 6), (0, &[10], 6), (0, &[10], 1)], &[1, 2]);
    }
}
