//! `controllers/job_success_policy.json`: when a successPolicy is met.

use k8s_openapi::api::batch::v1::SuccessPolicy;
use serde_json::Value;
use sim_controllers::job::success_policy::met;
use sim_core::api::wire::decode_value;

use super::controllers::{equal, intervals, number};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let policy: Option<SuccessPolicy> = match &input["successPolicy"] {
        Value::Null => None,
        policy => Some(decode_value(policy).map_err(|e| e.message().to_string())?),
    };
    let ours = met(policy.as_ref(), number(input, "completions"), &intervals(&input["succeededIndexes"]));
    equal("met", ours.is_some(), expected["wantMetSuccessPolicy"] == true)?;
    equal("message", ours.unwrap_or_default().as_str(), expected["wantMessage"].as_str().unwrap_or(""))
}
