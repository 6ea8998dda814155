//! Pod failure back-off (`backoff_utils.go`).

use sim_core::api::object::{Object, Pod};
use sim_core::api::pod_status::{ConditionStatus, ContainerState, ContainerStatus};
use sim_core::time::{Span, Time, mins, secs};

/// `DefaultJobPodFailureBackOff`.
pub const BASE: Span = secs(10);
/// `MaxJobPodFailureBackOff`.
pub const MAX: Span = mins(10);

/// What is remembered of a Job's failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Failures since the latest success.
    pub failures: u32,
    /// When the latest of them ended.
    pub last_failure: Option<Time>,
}

impl Record {
    /// The record after pods that ended at these times (`newBackoffRecord`).
    pub fn after(self, succeeded: &[Time], failed: &[Time]) -> Record {
        let last_failure = failed.iter().max().copied();
        match succeeded.iter().max() {
            None if failed.is_empty() => self,
            None => Record { failures: self.failures + failed.len() as u32, last_failure },
            Some(success) => {
                let failures = failed.iter().filter(|f| *f > success).count() as u32;
                Record { failures, last_failure: last_failure.filter(|_| failures > 0) }
            }
        }
    }

    /// How long no pod may be created yet.
    pub fn remaining(self, base: Span, max: Span, now: Time) -> Span {
        remaining(base, max, self.failures, self.last_failure, now)
    }
}

/// What is left of the back-off after so many failures (`getRemainingTimeForFailuresCount`).
pub fn remaining(base: Span, max: Span, failures: u32, last_failure: Option<Time>, now: Time) -> Span {
    let (Some(last), 1..) = (last_failure, failures) else { return Span::ZERO };
    let delay =
        if failures == 1 { base } else { crate::machinery::queue::exponential(base, failures - 1, max) };
    (delay - (now - last)).max(Span::ZERO)
}

/// When a pod ended (`getFinishedTime`): its last container's end, else when it stopped to be ready, else when its
/// deletion was asked for, else its creation.
pub fn finished_at(object: &Object, pod: &Pod) -> Time {
    if let Some(at) = containers_finished(pod) {
        return at;
    }
    if let Some(ready) = pod.status.condition("Ready").filter(|c| c.status == ConditionStatus::False) {
        return ready.last_transition_time;
    }
    match object.meta.deletion {
        Some(deletion) => deletion.timestamp - secs(deletion.grace_period_seconds),
        None => object.meta.creation_timestamp,
    }
}

fn containers_finished(pod: &Pod) -> Option<Time> {
    let is_sidecar = |name: &str| {
        let inits = pod.spec.init_containers.iter().flatten();
        inits.into_iter().any(|c| c.name == name && c.restart_policy.as_deref() == Some("Always"))
    };
    let mut latest = None;
    for status in &pod.status.container_statuses {
        latest = latest.max(Some(ended(status)?));
    }
    for status in pod.status.init_container_statuses.iter().filter(|s| is_sidecar(&s.name)) {
        latest = latest.max(Some(ended(status)?));
    }
    latest
}

fn ended(status: &ContainerStatus) -> Option<Time> {
    match &status.state {
        ContainerState::Terminated(ended) => Some(ended.finished_at),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_resets_and_later_failures_count() {
        let at = |s| Time::ZERO + secs(s);
        let before = Record { failures: 3, last_failure: Some(at(5)) };
        for (succeeded, failed, want) in [
            (vec![], vec![], before),
            (vec![], vec![at(9), at(7)], Record { failures: 5, last_failure: Some(at(9)) }),
            (vec![at(8)], vec![], Record::default()),
            (vec![at(8)], vec![at(7), at(9)], Record { failures: 1, last_failure: Some(at(9)) }),
            (vec![at(9)], vec![at(9)], Record::default()),
        ] {
            assert_eq!(before.after(&succeeded, &failed), want, "{succeeded:?} {failed:?}");
        }
    }

    #[test]
    fn the_back_off_doubles_up_to_its_maximum() {
        for (failures, want) in [(0, 0), (1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (100, 600)] {
            let record = Record { failures, last_failure: Some(Time::ZERO) };
            assert_eq!(record.remaining(BASE, MAX, Time::ZERO), secs(want), "{failures}");
        }
        let record = Record { failures: 2, last_failure: Some(Time::ZERO) };
        assert_eq!(record.remaining(BASE, MAX, Time::ZERO + secs(15)), secs(5));
        assert_eq!(record.remaining(BASE, MAX, Time::ZERO + secs(25)), Span::ZERO);
    }
}
