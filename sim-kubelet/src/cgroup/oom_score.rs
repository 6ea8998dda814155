//! `oom_score_adj` of containers (pkg/kubelet/qos/policy.go).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use sim_core::api::pod_status::QosClass;
use sim_core::helpers::resources::{
    PodResourcesOptions, container_requests, is_pod_level_resource, is_restartable,
};
use sim_core::quantity::Quantity;

use super::pod::{container_resource, qos_class};

/// Of the kubelet and of kube-proxy.
pub const KUBELET: i64 = -999;
/// Of sandboxes, as the runtimes set it.
pub const SANDBOX: i64 = -998;
/// Of containers of Guaranteed and of node-critical pods.
pub const GUARANTEED: i64 = -997;
/// Of containers of BestEffort pods.
pub const BEST_EFFORT: i64 = 1000;

/// Priority from which a pod is critical (`SystemCriticalPriority`).
const SYSTEM_CRITICAL: i32 = 2_000_000_000;

/// Whether a pod is critical: static, a mirror, or of a system priority (`IsCriticalPod`).
pub fn is_critical(spec: &PodSpec, annotations: Option<&BTreeMap<String, String>>) -> bool {
    let has = |key: &str| annotations.and_then(|a| a.get(key));
    has("kubernetes.io/config.source").is_some_and(|source| source != "api")
        || has("kubernetes.io/config.mirror").is_some()
        || spec.priority.is_some_and(|p| p >= SYSTEM_CRITICAL)
}

/// The score of a container's processes on a node with so much memory, in bytes (`GetContainerOOMScoreAdjust`).
///
/// Burstable containers get the closer to -997 the more they request; sidecars no more than the regular container that
/// requests least. `critical` is [`is_critical`] of the pod.
pub fn oom_score_adj(
    spec: &PodSpec,
    container: &Container,
    critical: bool,
    memory_capacity: i64,
    pod_level_resources: bool,
) -> i64 {
    if critical && spec.priority_class_name.as_deref() == Some("system-node-critical") {
        return GUARANTEED;
    }
    match qos_class(spec, pod_level_resources) {
        QosClass::Guaranteed => return GUARANTEED,
        QosClass::BestEffort => return BEST_EFFORT,
        QosClass::Burstable => {}
    }
    let share = if pod_level_resources { unclaimed_share(spec) } else { 0 };
    let adjust = |request: i64| {
        let thousandths = 1000 * (i128::from(request) + i128::from(share));
        1000 - thousandths.checked_div(i128::from(memory_capacity)).unwrap_or(0)
    };
    let mut score = adjust(request(container));
    let init = spec.init_containers.iter().flatten().any(|c| c.name == container.name);
    if init && is_restartable(container) {
        score = score.min(adjust(spec.containers.iter().map(request).min().unwrap_or(0)));
    }
    match score {
        i128::MIN..3 => 1000 + GUARANTEED,
        1000 => 999,
        other => other as i64,
    }
}

fn request(container: &Container) -> i64 {
    container_resource(container, false, "memory").map_or(0, |q| q.value())
}

/// What the pod requests beyond its containers, divided by their number (`remainingPodMemReqPerContainer`).
fn unclaimed_share(spec: &PodSpec) -> i64 {
    let own = spec.resources.as_ref().and_then(|r| r.requests.as_ref());
    if !own.is_some_and(|requests| requests.keys().any(|name| is_pod_level_resource(name))) {
        return 0;
    }
    let total = own.and_then(|requests| requests.get("memory")).map_or(0, |q| Quantity::from_wire(q).value());
    let containers = spec.containers.len() + spec.init_containers.as_ref().map_or(0, Vec::len);
    if total == 0 || containers == 0 {
        return 0;
    }
    let claimed = container_requests(spec, &PodResourcesOptions::default()).value("memory");
    (total - claimed) / containers as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const GIB: i64 = 1 << 30;

    fn check(mut spec: Value, want: &[(&str, i64)]) {
        spec["containers"].as_array_mut().unwrap().iter_mut().for_each(|c| c["image"] = "i".into());
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        for (name, want) in want {
            let mut all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            let container = all.find(|c| c.name == *name).unwrap();
            let critical = is_critical(&spec, None);
            assert_eq!(oom_score_adj(&spec, container, critical, 16 * GIB, true), *want, "{name}");
        }
    }

    fn requests(name: &str, memory: &str) -> Value {
        json!({"name": name, "resources": {"requests": {"memory": memory}}})
    }

    #[test]
    fn the_more_it_requests_the_safer() {
        check(json!({"containers": [{"name": "a"}]}), &[("a", 1000)]);
        check(
            json!({"containers": [requests("a", "4Gi"), requests("b", "1"), requests("c", "32Gi"),
                requests("d", "17145509446")]}),
            &[("a", 750), ("b", 999), ("c", 3), ("d", 3)],
        );
        let full = json!({"cpu": "1", "memory": "1Gi"});
        check(
            json!({"containers": [{"name": "a", "resources": {"requests": full, "limits": full}}]}),
            &[("a", -997)],
        );
    }

    #[test]
    fn sidecars_are_as_safe_as_what_they_serve() {
        let mut sidecar = requests("s", "1Gi");
        sidecar["restartPolicy"] = "Always".into();
        check(
            json!({"initContainers": [sidecar, requests("i", "1Gi")],
                "containers": [requests("a", "4Gi"), requests("b", "8Gi")]}),
            &[("s", 750), ("i", 938), ("b", 500)],
        );
    }

    #[test]
    fn what_a_pod_requests_beyond_its_containers_is_divided() {
        check(
            json!({"containers": [requests("a", "1Gi"), {"name": "b"}],
                "resources": {"requests": {"memory": "5Gi"}}}),
            &[("a", 813), ("b", 875)],
        );
    }

    #[test]
    fn critical_pods() {
        let of = |priority: i32, class: &str| json!({"containers": [{"name": "a"}], "priority": priority, "priorityClassName": class});
        check(of(2_000_001_000, "system-node-critical"), &[("a", -997)]);
        check(of(2_000_000_000, "system-cluster-critical"), &[("a", 1000)]);
        let spec = PodSpec::default();
        let annotated = |key: &str, value: &str| {
            is_critical(&spec, Some(&BTreeMap::from([(key.to_string(), value.to_string())])))
        };
        assert!(annotated("kubernetes.io/config.source", "file"));
        assert!(!annotated("kubernetes.io/config.source", "api"));
        assert!(annotated("kubernetes.io/config.mirror", "hash"));
    }
}
