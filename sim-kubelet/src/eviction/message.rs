//! What an evicted pod is told (`evictionMessage`, pkg/kubelet/eviction/helpers.go).

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Container;
use sim_core::helpers::resources::is_pod_level_resource;
use sim_core::quantity::{Format, Quantity};

use super::observe::{ContainerStats, Observations, Summary};
use super::rank::Candidate;
use super::threshold::Threshold;

/// Annotations of an event, in the order of their keys.
pub type Annotations = Vec<(&'static str, String)>;

/// The message, and the annotations of the event; a pod that nothing is known of has none.
pub fn eviction_message(
    resource: &str,
    pod: &Candidate<'_>,
    summary: &Summary,
    thresholds: &[Threshold],
    observations: &Observations,
    pod_level_resources: bool,
) -> (String, Annotations) {
    let mut message = format!("The node was low on resource: {resource}. ");
    let met = thresholds.iter().filter(|t| t.signal.resource() == Some(resource));
    if let Some((threshold, seen)) = met.filter_map(|t| Some((t, observations.get(&t.signal)?))).next() {
        let quantity = threshold.value.quantity(&seen.capacity);
        let _ = write!(message, "Threshold quantity: {quantity}, available: {}. ", seen.available);
    }
    let Some(stats) = summary.pods.get(pod.uid) else { return (message, Annotations::new()) };
    let mut annotations = Annotations::new();
    let (mut names, mut usages) = (Vec::new(), Vec::new());
    let own = pod.spec.resources.as_ref().and_then(|r| r.requests.as_ref());
    let own = own.filter(|_| pod_level_resources && resource == "memory" && is_pod_level_resource(resource));
    let mut of_pod = None;
    if let (Some(request), Some(used)) = (own.and_then(|list| list.get(resource)), stats.memory) {
        let used = Quantity::new(used, Format::BinarySI);
        let _ =
            write!(message, "Pod {}", consumption(pod.name, &used, &Quantity::from_wire(request), resource));
        of_pod = Some(used);
    }
    for container in &stats.containers {
        let all = pod.spec.containers.iter().chain(pod.spec.init_containers.iter().flatten());
        let Some(spec) = all.into_iter().find(|c| container.name == c.name) else { continue };
        let Some(used) = usage(container, resource) else { continue };
        let request = request(spec, resource);
        if used > request {
            let _ = write!(message, "Container {}", consumption(&spec.name, &used, &request, resource));
            names.push(spec.name.as_str());
            usages.push(used.to_string());
        }
    }
    annotations.push(("offending_containers", names.join(",")));
    annotations.push(("offending_containers_usage", usages.join(",")));
    if let Some(used) = of_pod {
        annotations.push(("offending_pod", pod.name.to_string()));
        annotations.push(("offending_pod_usage", used.to_string()));
    }
    annotations.push(("starved_resource", resource.to_string()));
    (message, annotations)
}

fn consumption(name: &str, used: &Quantity, request: &Quantity, resource: &str) -> String {
    format!("{name} was using {used}, request is {request}, has larger consumption of {resource}. ")
}

fn usage(container: &ContainerStats, resource: &str) -> Option<Quantity> {
    let bytes = match resource {
        "memory" => container.memory?,
        "ephemeral-storage" => container.rootfs.bytes?.saturating_add(container.logs.bytes?),
        _ => return None,
    };
    Some(Quantity::new(bytes, Format::BinarySI))
}

fn request(container: &Container, resource: &str) -> Quantity {
    let list = container.resources.as_ref().and_then(|r| r.requests.as_ref());
    let zero = || Quantity::new(0, Format::DecimalSI);
    list.and_then(|list| list.get(resource)).map_or_else(zero, Quantity::from_wire)
}

#[cfg(test)]
mod tests {
    use super::super::observe::{FsUsage, Observation, PodStats};
    use super::super::threshold::{Operator, Signal, ThresholdValue};
    use super::*;
    use k8s_openapi::api::core::v1::PodSpec;
    use serde_json::json;

    fn stats() -> PodStats {
        let bytes = |n: i64| FsUsage { bytes: Some(n << 30), inodes: None };
        let container = |name: &str, memory: i64| ContainerStats {
            name: name.into(),
            memory: Some(memory << 20),
            rootfs: bytes(1),
            logs: bytes(2),
        };
        let containers = vec![container("a", 600), container("b", 5), container("gone", 9)];
        PodStats { memory: Some(605 << 20), containers, ..PodStats::default() }
    }

    fn check(spec: serde_json::Value, signal: Signal, want: &str, annotations: &[&str]) {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let pod = Candidate { name: "p", uid: "u", spec: &spec, critical: false };
        let summary = Summary { pods: [("u".into(), stats())].into(), ..Summary::default() };
        let threshold = Threshold {
            signal,
            operator: Operator::LessThan,
            value: ThresholdValue::parse("10%").unwrap(),
            ..Threshold::default()
        };
        let quantity = |text| Quantity::parse(text).unwrap();
        let observation =
            Observation { available: quantity("50Mi"), capacity: quantity("1000Mi"), time: None };
        let observations = Observations::from([(signal, observation)]);
        let resource = signal.resource().unwrap();
        let (message, got) = eviction_message(resource, &pod, &summary, &[threshold], &observations, true);
        assert_eq!(message, want);
        let got: Vec<String> = got.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(got, annotations);
        let nothing_known = Summary::default();
        let (message, none) = eviction_message(resource, &pod, &nothing_known, &[], &observations, true);
        assert_eq!((message, none.len()), (format!("The node was low on resource: {resource}. "), 0));
    }

    #[test]
    fn containers_over_their_requests_are_named() {
        let containers = json!([
            {"name": "a", "resources": {"requests": {"memory": "500Mi", "ephemeral-storage": "4Gi"}}},
            {"name": "b", "resources": {"requests": {"memory": "5Mi"}}}]);
        check(
            json!({ "containers": containers }),
            Signal::MemoryAvailable,
            "The node was low on resource: memory. Threshold quantity: 104857601, available: 50Mi. Container a was \
             using 600Mi, request is 500Mi, has larger consumption of memory. ",
            &["offending_containers=a", "offending_containers_usage=600Mi", "starved_resource=memory"],
        );
        check(
            json!({"containers": containers, "resources": {"requests": {"memory": "510Mi"}}}),
            Signal::NodeFsAvailable,
            "The node was low on resource: ephemeral-storage. Threshold quantity: 104857601, available: 50Mi. \
             Container b was using 3Gi, request is 0, has larger consumption of ephemeral-storage. ",
            &[
                "offending_containers=b",
                "offending_containers_usage=3Gi",
                "starved_resource=ephemeral-storage",
            ],
        );
        check(
            json!({"containers": containers, "resources": {"requests": {"memory": "510Mi"}}}),
            Signal::MemoryAvailable,
            "The node was low on resource: memory. Threshold quantity: 104857601, available: 50Mi. Pod p was using \
             605Mi, request is 510Mi, has larger consumption of memory. Container a was using 600Mi, request is \
             500Mi, has larger consumption of memory. ",
            &[
                "offending_containers=a",
                "offending_containers_usage=600Mi",
                "offending_pod=p",
                "offending_pod_usage=605Mi",
                "starved_resource=memory",
            ],
        );
    }
}
