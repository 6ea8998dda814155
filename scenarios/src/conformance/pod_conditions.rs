//! Group `pod_conditions`: the status manager's condition generators.

use serde_json::Value;
use sim_core::api::pod_status::{ConditionStatus, PodPhase};
use sim_kubelet::conditions::{Verdict, containers_ready, initialized, ready};

use super::pod_phase::{plan_of, views_of};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let plan = plan_of(&input["spec"], input)?;
    let phase = PodPhase::parse(input["podPhase"].as_str().unwrap_or_default());
    let statuses = input.get("containerStatuses").filter(|s| !s.is_null());
    let views = statuses.map(|list| views_of(&plan, &[list]));
    let views = views.as_deref();
    let gate = |name: &str| {
        let condition = input["conditions"].as_array()?.iter().find(|c| c["type"] == name)?;
        Some(ConditionStatus::parse(condition["status"].as_str().unwrap_or_default()))
    };
    match expected.get("expectReady") {
        Some(want) if want["type"] == "Ready" => {
            same(want, &ready(&plan, &containers_ready(&plan, views, phase), gate), true)
        }
        Some(want) => same(want, &containers_ready(&plan, views, phase), true),
        // The upstream table of this one compares no message.
        None => same(&expected["expected"], &initialized(&plan, views, phase), false),
    }
}

fn same(want: &Value, got: &Verdict, with_message: bool) -> Result<(), String> {
    let text = |field: &str| want[field].as_str().unwrap_or_default().to_string();
    let pairs = [
        ("status", text("status"), got.status.as_str()),
        ("reason", text("reason"), got.reason),
        ("message", text("message"), &got.message),
    ];
    let compared = pairs.iter().take(if with_message { 3 } else { 2 });
    for (field, want, got) in compared {
        if want != got {
            return Err(format!("{field}: got {got:?}, want {want:?}"));
        }
    }
    Ok(())
}
