//! `kubelet/qos.json`: the QoS class of pods.

use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::Value;
use sim_core::helpers::qos::{pod_qos, pod_qos_by_containers};

use super::quantity::same;

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let pod = Pod::deserialize(&input["pod"]).map_err(|e| e.to_string())?;
    let spec = pod.spec.unwrap_or_default();
    let class = match input["podLevelResourcesEnabled"].as_bool() {
        Some(false) => pod_qos_by_containers(&spec),
        _ => pod_qos(&spec),
    };
    same("class", class.as_str(), &expected["expected"])
}
