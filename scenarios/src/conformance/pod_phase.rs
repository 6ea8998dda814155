//! Group `pod_phase`: `getPhase` of the kubelet.

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;
use sim_kubelet::phase::{PodProgress, Seen, View, phase};
use sim_kubelet::plan::{Gates, Plan};

/// Compiles the spec of a vector under the gate the vector names.
///
/// A policy on a single container that is not a sidecar's can only be stored with the gate on, so seeing one says so.
pub(super) fn plan_of(spec: &Value, input: &Value) -> Result<Plan, String> {
    let filled = filled(spec);
    let spec: PodSpec = serde_json::from_value(filled).map_err(|e| format!("spec: {e}"))?;
    let mains = spec.containers.iter().any(|c| c.restart_policy.is_some());
    let inits = spec.init_containers.iter().flatten();
    let own = mains || inits.filter_map(|c| c.restart_policy.as_deref()).any(|p| p != "Always");
    let named = input["featureGates"]["ContainerRestartRules"].as_bool();
    Ok(Plan::compile(&spec, Gates { container_restart_rules: named.unwrap_or(own) }))
}

/// The vectors leave out empty lists.
fn filled(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec.is_null() {
        spec = serde_json::json!({});
    }
    if let Some(map) = spec.as_object_mut() {
        map.entry("containers").or_insert_with(|| Value::Array(Vec::new()));
    }
    spec
}

/// One container status; `state` may be empty.
pub(super) fn view_of(status: &Value) -> View {
    let code = |of: &Value| of["terminated"]["exitCode"].as_i64().unwrap_or(0) as i32;
    let (state, last) = (&status["state"], &status["lastState"]);
    let seen = if state.get("running").is_some() {
        Seen::Running
    } else if state.get("terminated").is_some() {
        Seen::Terminated { exit_code: code(state) }
    } else if state.get("waiting").is_some() {
        Seen::Waiting { last_exit: last.get("terminated").map(|_| code(last)) }
    } else {
        Seen::Unknown
    };
    View { seen, ready: status["ready"] == true, started: status["started"] == true }
}

/// Statuses of one or more lists, aligned with the plan.
pub(super) fn views_of(plan: &Plan, lists: &[&Value]) -> Vec<Option<View>> {
    let all = || lists.iter().filter_map(|l| l.as_array()).flatten();
    plan.containers.iter().map(|c| all().find(|s| s["name"] == c.name.as_str()).map(view_of)).collect()
}

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let pod = &input["pod"];
    let spec = if pod.is_null() { &input["spec"] } else { &pod["spec"] };
    let plan = plan_of(spec, input)?;
    let status = &pod["status"];
    let lists = [&status["initContainerStatuses"], &status["containerStatuses"], &input["statuses"]];
    let progress = PodProgress {
        terminal: input["podIsTerminal"] == true,
        initialized: input["podHasInitialized"] == true,
    };
    let got = phase(&plan, &views_of(&plan, &lists), progress).as_str();
    match expected["phase"].as_str() {
        Some(want) if want == got => Ok(()),
        want => Err(format!("phase: got {got}, want {}", want.unwrap_or("nothing"))),
    }
}
