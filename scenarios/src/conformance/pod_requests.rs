//! `kubelet/pod_requests.json`: what a pod requests and is limited to in all.

use k8s_openapi::api::core::v1::{PodSpec, PodStatus};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sim_core::helpers::resources::{
    PodResourcesOptions, ResourceList, WireResources, pod_limits, pod_requests,
};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let containers = input.get("containers").cloned().unwrap_or_else(|| json!([]));
    let spec: PodSpec = read(json!({
        "containers": containers,
        "initContainers": input.get("initContainers"),
        "overhead": input.get("overhead"),
        "resources": input.get("podResources"),
    }))?;
    let status: PodStatus = read(json!({
        "containerStatuses": input.get("containerStatus").or(input.get("containerStatuses")),
        "initContainerStatuses": input.get("initContainerStatuses"),
        "conditions": input.get("podResizeStatus"),
    }))?;
    let given = input.get("options").or(input.get("opts")).unwrap_or(&Value::Null);
    let on = |name: &str| given[name] == true;
    let non_missing = given.get("NonMissingContainerRequests").map(list).transpose()?;
    let options = PodResourcesOptions {
        status: Some(&status).filter(|_| on("UseStatusResources")),
        exclude_overhead: on("ExcludeOverhead"),
        non_missing_container_requests: non_missing.as_ref(),
        skip_pod_level_resources: on("SkipPodLevelResources"),
        skip_container_level_resources: on("SkipContainerLevelResources"),
    };
    let mut checked = false;
    for (field, ours) in
        [("expectedRequests", pod_requests(&spec, &options)), ("expectedLimits", pod_limits(&spec, &options))]
    {
        if let Some(wanted) = expected.get(field) {
            checked = true;
            let wanted = list(wanted)?;
            if ours != wanted {
                return Err(format!("{field}: expected {wanted:?}, got {ours:?}"));
            }
        }
    }
    if checked { Ok(()) } else { Err("nothing expected".to_string()) }
}

fn list(value: &Value) -> Result<ResourceList, String> {
    let wire: WireResources = read(value.clone())?;
    Ok(ResourceList::from_wire(Some(&wire)))
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|e| format!("bad vector: {e}"))
}
