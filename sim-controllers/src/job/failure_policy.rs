//! podFailurePolicy (`pod_failure_policy.go`).

use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
};
use sim_core::api::object::Object;
use sim_core::api::pod_status::{ContainerState, ContainerStatus, PodStatus};

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The pod is replaced and not counted.
    Ignore,
    /// Default handling.
    Count,
    /// The pod's index has failed.
    FailIndex,
    /// The Job has failed.
    FailJob,
}

impl Action {
    /// The action of a wire text.
    pub fn parse(text: &str) -> Option<Action> {
        match text {
            "Ignore" => Some(Action::Ignore),
            "Count" => Some(Action::Count),
            "FailIndex" => Some(Action::FailIndex),
            "FailJob" => Some(Action::FailJob),
            _ => None,
        }
    }
}

/// What a policy says about a failed pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the failure counts.
    pub counted: bool,
    /// Of the rule that matched; `None` if none did.
    pub action: Option<Action>,
    /// FailJob only: the message of the Job's failure.
    pub message: Option<String>,
}

/// What a policy says about a failed pod (`matchPodFailurePolicy`). The first rule that matches decides.
pub fn evaluate(policy: &PodFailurePolicy, object: &Object) -> Verdict {
    evaluate_with(policy, object, true)
}

/// [`evaluate`], with rules of action FailIndex in force or not (gate `JobBackoffLimitPerIndex`).
pub fn evaluate_with(policy: &PodFailurePolicy, object: &Object, fail_index: bool) -> Verdict {
    let default = Verdict { counted: true, action: None, message: None };
    let Some(pod) = object.as_pod() else { return default };
    for (number, rule) in policy.rules.iter().enumerate() {
        let cause = match (&rule.on_exit_codes, &rule.on_pod_conditions) {
            (Some(codes), _) => exit_code(&pod.status, codes),
            (None, Some(patterns)) => condition(&pod.status, patterns),
            (None, None) => None,
        };
        let (Some(cause), Some(action)) = (cause, Action::parse(&rule.action)) else { continue };
        if action == Action::FailIndex && !fail_index {
            continue;
        }
        let message = (action == Action::FailJob).then(|| {
            let place = object.key();
            let matching = format!("matching FailJob rule at index {number}");
            match cause {
                Cause::Exit(container, code) => {
                    format!("Container {container} for pod {place} failed with exit code {code} {matching}")
                }
                Cause::Condition(kind) => format!("Pod {place} has condition {kind} {matching}"),
            }
        });
        return Verdict { counted: action != Action::Ignore, action: Some(action), message };
    }
    default
}

enum Cause<'a> {
    Exit(&'a str, i32),
    Condition(&'a str),
}

fn exit_code<'a>(
    status: &'a PodStatus,
    wanted: &PodFailurePolicyOnExitCodesRequirement,
) -> Option<Cause<'a>> {
    let fits = |container: &'a ContainerStatus| {
        let ContainerState::Terminated(ended) = &container.state else { return None };
        if ended.exit_code == 0
            || wanted.container_name.as_ref().is_some_and(|n| container.name != n.as_str())
        {
            return None;
        }
        let listed = wanted.values.contains(&ended.exit_code);
        let holds = match wanted.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        holds.then_some(Cause::Exit(&container.name, ended.exit_code))
    };
    status.container_statuses.iter().chain(&status.init_container_statuses).find_map(fits)
}

fn condition<'a>(
    status: &'a PodStatus,
    patterns: &[PodFailurePolicyOnPodConditionsPattern],
) -> Option<Cause<'a>> {
    let matches = |kind: &str, value: &str| {
        // An absent status means True; the API server fills it in.
        let wanted = |p: &str| if p.is_empty() { "True" == value } else { p == value };
        patterns.iter().any(|p| p.type_ == kind && wanted(&p.status))
    };
    let found = status.conditions.iter().find(|c| matches(&c.kind, c.status.as_str()))?;
    Some(Cause::Condition(&found.kind))
}
