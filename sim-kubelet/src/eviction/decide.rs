//! Which thresholds are met, for how long, and what conditions follow (pkg/kubelet/eviction/helpers.go).

use std::collections::BTreeMap;

use sim_core::time::{Span, Time};

use super::observe::Observations;
use super::threshold::{Condition, Operator, Signal, Threshold};

/// Since when each met threshold is met, in the order in which they were found.
pub type FirstObserved = Vec<(Threshold, Time)>;

/// When each condition was last observed.
pub type LastObserved = BTreeMap<Condition, Time>;

/// The thresholds that are met, whatever their grace periods. `with_min_reclaim` asks whether they are resolved: what is to
/// be reclaimed at least must be there too (`thresholdsMet`).
pub fn thresholds_met(
    thresholds: &[Threshold],
    observations: &Observations,
    with_min_reclaim: bool,
) -> Vec<Threshold> {
    let met = |threshold: &&Threshold| {
        let Some(seen) = observations.get(&threshold.signal) else { return false };
        let mut needed = threshold.value.quantity(&seen.capacity);
        if let Some(more) = threshold.min_reclaim.as_ref().filter(|_| with_min_reclaim) {
            needed.add(&more.quantity(&seen.capacity));
        }
        threshold.operator == Operator::LessThan && seen.available < needed
    };
    thresholds.iter().filter(met).cloned().collect()
}

/// Adds those of the second list that the first does not have (`mergeThresholds`).
pub fn merge(mut first: Vec<Threshold>, second: Vec<Threshold>) -> Vec<Threshold> {
    for threshold in second {
        if !first.iter().any(|known| known.same(&threshold)) {
            first.push(threshold);
        }
    }
    first
}

/// Since when each threshold is met: as before, or from now on (`thresholdsFirstObservedAt`).
pub fn first_observed_at(thresholds: &[Threshold], last: &FirstObserved, now: Time) -> FirstObserved {
    let since = |threshold: &Threshold| last.iter().find(|(t, _)| t == threshold).map_or(now, |(_, at)| *at);
    let mut result = FirstObserved::new();
    for threshold in thresholds {
        if !result.iter().any(|(t, _)| t == threshold) {
            result.push((threshold.clone(), since(threshold)));
        }
    }
    result
}

/// Those that are met for as long as their grace period (`thresholdsMetGracePeriod`). In the order in which they were
/// found, where upstream's order is random.
pub fn grace_period_over(observed: &FirstObserved, now: Time) -> Vec<Threshold> {
    let over = observed.iter().filter(|(threshold, since)| now - *since >= threshold.grace_period);
    over.map(|(threshold, _)| threshold.clone()).collect()
}

/// Those for which something new was measured (`thresholdsUpdatedStats`): nobody is evicted twice on the same news.
pub fn updated(thresholds: Vec<Threshold>, now: &Observations, last: &Observations) -> Vec<Threshold> {
    let is_new = |threshold: &Threshold| {
        let Some(seen) = now.get(&threshold.signal) else { return false };
        match (seen.time, last.get(&threshold.signal)) {
            (None, _) | (_, None) => true,
            (Some(time), Some(before)) => before.time.is_none_or(|t| time > t),
        }
    };
    thresholds.into_iter().filter(is_new).collect()
}

/// The conditions of a node on which these are met (`nodeConditions`).
pub fn conditions(thresholds: &[Threshold]) -> Vec<Condition> {
    let mut all = Vec::new();
    for condition in thresholds.iter().filter_map(|t| t.signal.condition()) {
        if !all.contains(&condition) {
            all.push(condition);
        }
    }
    all
}

/// When each condition was last observed, these being observed now (`nodeConditionsLastObservedAt`).
pub fn last_observed_at(conditions: &[Condition], last: &LastObserved, now: Time) -> LastObserved {
    let mut result = last.clone();
    result.extend(conditions.iter().map(|condition| (*condition, now)));
    result
}

/// The conditions that were observed less than a transition period ago (`nodeConditionsObservedSince`).
pub fn observed_since(observed: &LastObserved, period: Span, now: Time) -> Vec<Condition> {
    observed.iter().filter(|(_, at)| now - **at < period).map(|(condition, _)| *condition).collect()
}

/// The threshold to act on, and what is to be reclaimed: memory before all else, unknown signals last and never
/// (`byEvictionPriority`, `getReclaimableThreshold`).
pub fn reclaimable(mut thresholds: Vec<Threshold>) -> Option<(Threshold, &'static str)> {
    thresholds.sort_by_key(|threshold| match threshold.signal {
        Signal::MemoryAvailable | Signal::AllocatableMemoryAvailable => 0,
        Signal::Unknown => 2,
        _ => 1,
    });
    thresholds.into_iter().find_map(|t| t.signal.resource().map(|resource| (t, resource)))
}

#[cfg(test)]
mod tests {
    use super::super::observe::Observation;
    use super::super::threshold::ThresholdValue;
    use super::*;
    use sim_core::quantity::Quantity;
    use sim_core::time::secs;

    fn threshold(signal: Signal, value: &str, grace: i64) -> Threshold {
        Threshold {
            signal,
            operator: Operator::LessThan,
            value: ThresholdValue::parse(value).unwrap(),
            grace_period: secs(grace),
            min_reclaim: None,
        }
    }

    fn seen(signal: Signal, available: &str, at: Option<i64>) -> Observations {
        let quantity = |text| Quantity::parse(text).unwrap();
        let time = at.map(|s| Time::ZERO + secs(s));
        let observation = Observation { available: quantity(available), capacity: quantity("8Gi"), time };
        Observations::from([(signal, observation)])
    }

    const MEMORY: Signal = Signal::MemoryAvailable;

    #[test]
    fn met_below_and_resolved_above_what_is_reclaimed() {
        let mut all = vec![threshold(MEMORY, "1Gi", 0), threshold(Signal::PidAvailable, "10", 0)];
        all[0].min_reclaim = Some(ThresholdValue::parse("12.5%").unwrap());
        for (available, met, unresolved) in
            [("1023Mi", 1, 1), ("1Gi", 0, 1), ("2047Mi", 0, 1), ("2048Mi", 0, 0)]
        {
            let now = seen(MEMORY, available, None);
            assert_eq!(thresholds_met(&all, &now, false).len(), met, "{available}");
            assert_eq!(thresholds_met(&all, &now, true).len(), unresolved, "{available}");
        }
        all[0].operator = Operator::None;
        assert_eq!(thresholds_met(&all, &seen(MEMORY, "0", None), true), []);
        let merged = merge(vec![all[0].clone()], vec![all[0].clone(), all[1].clone()]);
        assert_eq!(merged, all);
    }

    #[test]
    fn grace_counts_from_the_first_observation() {
        let soft = threshold(MEMORY, "1Gi", 90);
        let at = |s| Time::ZERO + secs(s);
        let first = first_observed_at(std::slice::from_ref(&soft), &Vec::new(), at(10));
        let later = first_observed_at(std::slice::from_ref(&soft), &first, at(60));
        assert_eq!(later, first);
        assert_eq!(grace_period_over(&later, at(99)), []);
        assert_eq!(grace_period_over(&later, at(100)), [soft]);
    }

    #[test]
    fn old_news_is_no_news() {
        let hard = || vec![threshold(MEMORY, "1Gi", 0)];
        for (now, last, kept) in [
            (Some(5), Some(5), 0),
            (Some(6), Some(5), 1),
            (Some(4), Some(5), 0),
            (None, Some(5), 1),
            (Some(5), None, 1),
        ] {
            let (now, last) = (seen(MEMORY, "0", now), seen(MEMORY, "0", last));
            assert_eq!(updated(hard(), &now, &last).len(), kept);
        }
        assert_eq!(updated(hard(), &Observations::new(), &Observations::new()), []);
    }

    #[test]
    fn conditions_stay_for_a_transition_period() {
        let at = |s| Time::ZERO + secs(s);
        let disks =
            [threshold(Signal::NodeFsAvailable, "1", 0), threshold(Signal::ImageFsInodesFree, "1", 0)];
        let found = conditions(&disks);
        assert_eq!(found, [Condition::Disk]);
        let observed = last_observed_at(&found, &LastObserved::from([(Condition::Memory, at(0))]), at(9));
        assert_eq!(observed_since(&observed, secs(10), at(9)).len(), 2);
        assert_eq!(observed_since(&observed, secs(10), at(10)), [Condition::Disk]);
        assert_eq!(observed_since(&observed, secs(10), at(19)), []);
    }

    #[test]
    fn memory_is_reclaimed_first() {
        let of = |signals: &[Signal]| {
            let all = signals.iter().map(|s| threshold(*s, "1", 0)).collect();
            reclaimable(all).map(|(t, resource)| (t.signal, resource))
        };
        use Signal::{AllocatableMemoryAvailable, ImageFsInodesFree, PidAvailable, Unknown};
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[Unknown]), None);
        assert_eq!(of(&[Unknown, PidAvailable, ImageFsInodesFree]), Some((PidAvailable, "pids")));
        let memory = Some((AllocatableMemoryAvailable, "memory"));
        assert_eq!(of(&[PidAvailable, AllocatableMemoryAvailable]), memory);
    }
}
