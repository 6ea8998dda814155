//! How containers are stopped: graces, budgets and order (pkg/kubelet/pod_workers.go, kuberuntime_container.go,
//! kuberuntime_termination_order.go). Pure.

use sim_core::time::{Span, secs};

use crate::actions::KillReason;
use crate::plan::{Plan, Role};

/// No stop is asked of the runtime with less than this (`minimumGracePeriodInSeconds`).
pub const MINIMUM_GRACE_SECONDS: i64 = 2;

/// Grace of a whole pod in seconds: the deletion's if there is one, else the evictor's; never longer than one given
/// before; else the spec's. At least 1.
pub fn effective_grace(plan: &Plan, deletion: Option<i64>, evictor: Option<i64>, before: Option<i64>) -> i64 {
    let asked = match (deletion, evictor) {
        (Some(d), Some(e)) => Some(d.min(e)),
        (d, e) => d.or(e),
    };
    let grace = match (asked, before) {
        (Some(a), Some(b)) => a.min(b),
        (a, b) => a.or(b).unwrap_or(plan.grace),
    };
    grace.max(1)
}

/// Grace of a single container's kill in seconds: the deletion's, else the failed probe's own, else the spec's.
pub fn container_grace(plan: &Plan, container: usize, reason: KillReason, deletion: Option<i64>) -> i64 {
    let probe = plan.containers.get(container).and_then(|c| match reason {
        KillReason::Liveness => c.liveness.and_then(|p| p.termination_grace),
        KillReason::Startup => c.startup.and_then(|p| p.termination_grace),
        KillReason::Changed | KillReason::Unknown => None,
    });
    deletion.or(probe).unwrap_or(plan.grace)
}

/// What is left of a grace after a hook or a wait: only whole seconds count.
pub fn remaining(grace: i64, spent: Span) -> i64 {
    grace - spent.as_secs()
}

/// Time from the stop signal to SIGKILL.
pub fn stop_timeout(grace: i64) -> Span {
    secs(grace.max(MINIMUM_GRACE_SECONDS))
}

/// Whether a container has to wait before it gets its stop signal, when the whole pod is killed. Mains never wait; a
/// sidecar waits for all mains and for the next later sidecar. `terminated` tells of any container by index; one that
/// did not run when the kill began counts as terminated.
pub fn must_wait(plan: &Plan, container: usize, terminated: impl Fn(usize) -> bool) -> bool {
    let sidecar = |i: usize| plan.containers[i].role == Role::Sidecar;
    if !plan.containers.get(container).is_some_and(|c| c.role == Role::Sidecar) {
        return false;
    }
    let next = (container + 1..plan.init_count).find(|i| sidecar(*i));
    let mut mains = plan.init_count..plan.containers.len();
    next.is_some_and(|i| !terminated(i)) || mains.any(|i| !terminated(i))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Gates;
    use sim_core::time::millis;

    fn plan() -> Plan {
        let spec = serde_json::json!({
            "terminationGracePeriodSeconds": 40,
            "initContainers": [{"name": "s0", "restartPolicy": "Always",
                "livenessProbe": {"terminationGracePeriodSeconds": 5}},
                {"name": "i1"}, {"name": "s2", "restartPolicy": "Always"}],
            "containers": [{"name": "m3"}],
        });
        Plan::compile(&serde_json::from_value(spec).unwrap(), Gates::default())
    }

    #[test]
    fn graces() {
        let p = plan();
        for (deletion, evictor, before, want) in [
            (None, None, None, 40),
            (Some(0), None, None, 1),
            (Some(50), None, None, 50),
            (Some(50), Some(3), None, 3),
            (None, None, Some(7), 7),
            (Some(30), None, Some(7), 7),
            (Some(3), None, Some(7), 3),
        ] {
            assert_eq!(effective_grace(&p, deletion, evictor, before), want);
        }
        assert_eq!(container_grace(&p, 0, KillReason::Liveness, None), 5);
        assert_eq!(container_grace(&p, 0, KillReason::Liveness, Some(9)), 9);
        assert_eq!(container_grace(&p, 0, KillReason::Changed, None), 40);
    }

    #[test]
    fn only_whole_seconds_are_taken_off_and_two_stay() {
        assert_eq!(remaining(10, millis(2_999)), 8);
        assert_eq!(stop_timeout(remaining(10, secs(30))), secs(2));
    }

    #[test]
    fn sidecars_wait_for_mains_and_for_the_next_sidecar() {
        let p = plan();
        for (gone, waiting) in [
            (&[][..], &[0, 2][..]),
            (&[3], &[0]),
            (&[3, 2], &[]),
            // The wait is on the next sidecar alone, and on mains.
            (&[2], &[0, 2]),
        ] {
            let got: Vec<usize> = (0..4).filter(|i| must_wait(&p, *i, |j| gone.contains(&j))).collect();
            assert_eq!(got, waiting, "{gone:?}");
        }
    }
}
