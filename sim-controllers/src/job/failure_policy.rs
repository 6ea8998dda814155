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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::batch::v1::PodFailurePolicyRule;
    use sim_core::api::meta::{Key, Meta};
    use sim_core::api::object::{Body, Pod};
    use sim_core::api::pod_status::{PodCondition, PodPhase, Terminated};

    use super::*;

    fn failed_pod(code: i32, condition: &str) -> Object {
        let ended = Terminated { exit_code: code, ..Terminated::default() };
        let mut status = PodStatus { phase: PodPhase::Failed, ..PodStatus::default() };
        status.container_statuses = vec![ContainerStatus {
            name: "main".into(),
            state: ContainerState::Terminated(Box::new(ended)),
            ..ContainerStatus::default()
        }];
        status.set_condition(PodCondition {
            kind: condition.into(),
            status: true.into(),
            ..PodCondition::default()
        });
        let body = Pod { status: Arc::new(status), ..Pod::default() };
        Object::new(Meta::named(Key::new("ns", "p")), Body::Pod(body))
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let on_condition = PodFailurePolicyRule {
            action: "Ignore".into(),
            on_exit_codes: None,
            on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                type_: "DisruptionTarget".into(),
                status: "True".into(),
            }]),
        };
        let on_code = |action: &str, operator: &str, values: Vec<i32>| PodFailurePolicyRule {
            action: action.into(),
            on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                container_name: None,
                operator: operator.into(),
                values,
            }),
            on_pod_conditions: None,
        };
        let rules =
            vec![on_condition, on_code("FailJob", "In", vec![42]), on_code("FailIndex", "NotIn", vec![1])];
        let policy = PodFailurePolicy { rules };
        for (code, condition, action, counted) in [
            (42, "DisruptionTarget", Some(Action::Ignore), false),
            (42, "Ready", Some(Action::FailJob), true),
            (7, "Ready", Some(Action::FailIndex), true),
            (1, "Ready", None, true),
            (0, "Ready", None, true),
        ] {
            let verdict = evaluate(&policy, &failed_pod(code, condition));
            assert_eq!((verdict.action, verdict.counted), (action, counted), "{code} {condition}");
        }
        let message = evaluate(&policy, &failed_pod(42, "Ready")).message;
        let want = "Container main for pod ns/p failed with exit code 42 matching FailJob rule at index 1";
        assert_eq!(message.as_deref(), Some(want));
    }
}
