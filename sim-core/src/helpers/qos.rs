//! QoS class of a pod (`pkg/apis/core/v1/helper/qos`).

use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};

use super::resources::{ResourceList, WireResources};
use crate::api::pod_status::QosClass;

/// What counts for the class: cpu and memory above zero.
fn add(list: &mut ResourceList, resources: Option<&WireResources>) -> usize {
    let mut counted = 0;
    let parsed = ResourceList::from_wire(resources);
    for (name, quantity) in
        parsed.iter().filter(|(name, q)| matches!(*name, "cpu" | "memory") && q.sign() > 0)
    {
        list.add(name, quantity);
        counted += 1;
    }
    counted
}

/// The class of a pod: Guaranteed if every container limits cpu and memory and requests just as much, BestEffort if none
/// requests or limits either, else Burstable. If the pod has resources of its own, only those are looked at.
///
/// Sidecars and init containers count, ephemeral containers do not. Requests must have been defaulted from limits.
pub fn pod_qos(spec: &PodSpec) -> QosClass {
    let own = spec.resources.as_ref();
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    match own {
        Some(resources) => class_of([Some(resources)].into_iter()),
        None => class_of(containers.map(|c| c.resources.as_ref())),
    }
}

/// The class by containers alone, as with the feature gate `PodLevelResources` off.
pub fn pod_qos_by_containers(spec: &PodSpec) -> QosClass {
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    class_of(containers.map(|c| c.resources.as_ref()))
}

fn class_of<'a>(all: impl Iterator<Item = Option<&'a ResourceRequirements>>) -> QosClass {
    let (mut requests, mut limits) = (ResourceList::default(), ResourceList::default());
    let mut all_limited = true;
    for resources in all {
        add(&mut requests, resources.and_then(|r| r.requests.as_ref()));
        let limited = add(&mut limits, resources.and_then(|r| r.limits.as_ref()));
        all_limited &= limited == 2;
    }
    if requests.is_empty() && limits.is_empty() {
        QosClass::BestEffort
    } else if all_limited && requests == limits {
        QosClass::Guaranteed
    } else {
        QosClass::Burstable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(requests: &str, limits: &str) -> serde_json::Value {
        let list = |text: &str| -> serde_json::Value {
            let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
            pairs.map(|(k, v)| (k.to_string(), v.into())).collect::<serde_json::Map<_, _>>().into()
        };
        serde_json::json!({"requests": list(requests), "limits": list(limits)})
    }

    fn pod(containers: &[(&str, &str)], own: Option<(&str, &str)>) -> PodSpec {
        let containers: Vec<_> = containers
            .iter()
            .map(|(r, l)| serde_json::json!({"name": "c", "resources": resources(r, l)}))
            .collect();
        let mut spec = serde_json::json!({"containers": containers});
        if let Some((r, l)) = own {
            spec["resources"] = resources(r, l);
        }
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn classes() {
        let full = ("cpu=1 memory=1Gi", "cpu=1000m memory=1024Mi");
        for (containers, own, class) in [
            (vec![("", "")], None, QosClass::BestEffort),
            (vec![("cpu=0", "nvidia.com/gpu=1")], None, QosClass::BestEffort),
            (vec![full], None, QosClass::Guaranteed),
            (vec![full, ("", "")], None, QosClass::Burstable),
            (vec![full, ("cpu=1 memory=1Gi", "cpu=2 memory=1Gi")], None, QosClass::Burstable),
            (vec![("cpu=1", "cpu=1")], None, QosClass::Burstable),
            (vec![("", "")], Some(full), QosClass::Guaranteed),
            (vec![full], Some(("cpu=1", "")), QosClass::Burstable),
        ] {
            assert_eq!(pod_qos(&pod(&containers, own)), class, "{containers:?} {own:?}");
        }
    }
}
