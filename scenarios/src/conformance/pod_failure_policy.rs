//! `controllers/pod_failure_policy.json`: what a podFailurePolicy says about a failed pod.

use k8s_openapi::api::batch::v1::PodFailurePolicy;
use serde_json::Value;
use sim_controllers::job::failure_policy::{Action, evaluate_with};
use sim_core::api::wire::decode_value;

use super::controllers::{equal, pod};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let policy: PodFailurePolicy = match &input["podFailurePolicy"] {
        Value::Null => PodFailurePolicy::default(),
        policy => decode_value(policy).map_err(|e| e.message().to_string())?,
    };
    let failed = pod(&input["failedPod"])?;
    let ours = evaluate_with(&policy, &failed, input["enableJobBackoffLimitPerIndex"] == true);
    equal("counted", ours.counted, expected["wantCountFailed"] == true)?;
    equal("action", ours.action, expected["wantAction"].as_str().and_then(Action::parse))?;
    equal("message", ours.message.as_deref(), expected["wantJobFailureMessage"].as_str())
}
