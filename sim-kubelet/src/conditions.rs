//! Pod conditions from container statuses (pkg/kubelet/status/generate.go). Pure.

use std::borrow::Cow;

use sim_core::api::pod_status::{ConditionStatus, PodPhase};

use crate::phase::{Seen, View};
use crate::plan::{Plan, Role};

/// A condition without its type and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Status.
    pub status: ConditionStatus,
    /// Reason; empty if there is none.
    pub reason: &'static str,
    /// Message; empty if there is none.
    pub message: Cow<'static, str>,
}

impl Verdict {
    /// True, with no reason.
    pub const TRUE: Verdict = Verdict::bare(ConditionStatus::True, "");

    const fn bare(status: ConditionStatus, reason: &'static str) -> Verdict {
        Verdict { status, reason, message: Cow::Borrowed("") }
    }

    const fn no(reason: &'static str) -> Verdict {
        Verdict::bare(ConditionStatus::False, reason)
    }
}

/// Names as Go prints a slice of strings.
fn bracketed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", names.collect::<Vec<_>>().join(" "))
}

fn message(plan: &Plan, unknown: &[usize], bad: &[usize], bad_is: &str) -> String {
    let list = |of: &[usize]| bracketed(of.iter().map(|i| plan.containers[*i].name.as_str()));
    let mut parts = Vec::new();
    if !unknown.is_empty() {
        parts.push(format!("containers with unknown status: {}", list(unknown)));
    }
    if !bad.is_empty() {
        parts.push(format!("containers with {bad_is} status: {}", list(bad)));
    }
    parts.join(", ")
}

/// `ContainersReady`: all main containers and sidecars are ready. `views` are aligned with `plan.containers`; `None`
/// as a whole means that the pod has no statuses at all yet.
pub fn containers_ready(plan: &Plan, views: Option<&[Option<View>]>, phase: PodPhase) -> Verdict {
    let Some(views) = views else { return Verdict::no("UnknownContainerStatuses") };
    let looked_at = |role: Role| plan.containers.iter().enumerate().filter(move |(_, c)| c.role == role);
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    for (i, _) in looked_at(Role::Sidecar).chain(looked_at(Role::Main)) {
        match views.get(i).copied().flatten() {
            None => unknown.push(i),
            Some(view) if !view.ready => unready.push(i),
            Some(_) => {}
        }
    }
    if phase == PodPhase::Succeeded && unknown.is_empty() {
        return Verdict::no("PodCompleted");
    }
    if phase == PodPhase::Failed {
        return Verdict::no("PodFailed");
    }
    if unknown.is_empty() && unready.is_empty() {
        return Verdict::TRUE;
    }
    let message = message(plan, &unknown, &unready, "unready").into();
    Verdict { message, ..Verdict::no("ContainersNotReady") }
}

/// `Ready`: `ContainersReady`, and every readiness gate's condition is True. `gate` looks a condition's status up.
pub fn ready(
    plan: &Plan,
    containers_ready: &Verdict,
    gate: impl Fn(&str) -> Option<ConditionStatus>,
) -> Verdict {
    if containers_ready.status != ConditionStatus::True {
        return containers_ready.clone();
    }
    let complaint = |name: &str| match gate(name) {
        Some(ConditionStatus::True) => None,
        Some(other) => {
            Some(format!("the status of pod readiness gate {name:?} is not \"True\", but {}", other.as_str()))
        }
        None => Some(format!("corresponding condition of pod readiness gate {name:?} does not exist.")),
    };
    let complaints: Vec<String> = plan.readiness_gates.iter().filter_map(|g| complaint(g)).collect();
    if complaints.is_empty() {
        return Verdict::TRUE;
    }
    Verdict { message: complaints.join(", ").into(), ..Verdict::no("ReadinessGatesNotReady") }
}

/// `Initialized`: regular init containers have succeeded and sidecars have started, or a main container has run.
pub fn initialized(plan: &Plan, views: Option<&[Option<View>]>, phase: PodPhase) -> Verdict {
    if plan.init_count == 0 && phase != PodPhase::Succeeded {
        return Verdict::TRUE;
    }
    let Some(views) = views else {
        return if plan.init_count > 0 { Verdict::no("UnknownContainerStatuses") } else { Verdict::TRUE };
    };
    let (mut unknown, mut incomplete) = (Vec::new(), Vec::new());
    for (i, c) in plan.inits().iter().enumerate() {
        match views.get(i).copied().flatten() {
            None => unknown.push(i),
            Some(view) => {
                let done = if c.role == Role::Sidecar { view.started } else { view.ready };
                if !done {
                    incomplete.push(i);
                }
            }
        }
    }
    if phase == PodPhase::Succeeded && unknown.is_empty() {
        return Verdict::bare(ConditionStatus::True, "PodCompleted");
    }
    let main_has_run = views
        .iter()
        .skip(plan.init_count)
        .flatten()
        .any(|v| matches!(v.seen, Seen::Running | Seen::Terminated { .. }));
    if main_has_run || (unknown.is_empty() && incomplete.is_empty()) {
        return Verdict::TRUE;
    }
    let message = message(plan, &unknown, &incomplete, "incomplete").into();
    Verdict { message, ..Verdict::no("ContainersNotInitialized") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Gates;

    fn plan(json: serde_json::Value) -> Plan {
        Plan::compile(&serde_json::from_value(json).unwrap(), Gates::default())
    }

    fn view(seen: Seen, ready: bool, started: bool) -> Option<View> {
        Some(View { seen, ready, started })
    }

    const NEW: Seen = Seen::Waiting { last_exit: None };

    #[test]
    fn unready_containers_are_named() {
        let plan = plan(serde_json::json!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}));
        let views = [view(Seen::Running, false, true), view(Seen::Running, true, true), None];
        let got = containers_ready(&plan, Some(&views), PodPhase::Running);
        assert_eq!(got.reason, "ContainersNotReady");
        assert_eq!(got.message, "containers with unknown status: [c], containers with unready status: [a]");
        assert_eq!(containers_ready(&plan, Some(&views), PodPhase::Failed).reason, "PodFailed");
    }

    #[test]
    fn a_running_main_makes_the_pod_initialized_whatever_the_sidecar_does() {
        let plan = plan(serde_json::json!({
            "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}],
            "containers": [{"name": "m"}]}));
        let views = [view(Seen::Running, true, true), view(NEW, false, false), view(NEW, false, false)];
        let got = initialized(&plan, Some(&views), PodPhase::Pending);
        assert_eq!(
            (got.reason, &*got.message),
            ("ContainersNotInitialized", "containers with incomplete status: [i]")
        );
        let views = [view(NEW, false, false), view(NEW, false, false), view(Seen::Running, true, true)];
        assert_eq!(initialized(&plan, Some(&views), PodPhase::Running), Verdict::TRUE);
    }

    #[test]
    fn gates_hold_ready_back() {
        let plan = plan(serde_json::json!({"containers": [],
            "readinessGates": [{"conditionType": "x"}, {"conditionType": "y"}]}));
        let got = ready(&plan, &Verdict::TRUE, |g| (g == "x").then_some(ConditionStatus::False));
        assert_eq!(
            got.message,
            "the status of pod readiness gate \"x\" is not \"True\", but False, \
             corresponding condition of pod readiness gate \"y\" does not exist."
        );
        assert_eq!(ready(&plan, &Verdict::TRUE, |_| Some(ConditionStatus::True)), Verdict::TRUE);
    }
}
