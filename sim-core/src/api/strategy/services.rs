//! Services: `clusterIP` and `clusterIPs` are two forms of one field (`NormalizeClusterIPs`, `patchAllocatedValues` in
//! `pkg/registry/core/service/storage`). Addresses are not allocated.

use serde_json::{Map, Value, json};

type Json = Map<String, Value>;

fn needs_ip(spec: &Json) -> bool {
    matches!(spec.get("type").and_then(Value::as_str), Some("ClusterIP" | "NodePort" | "LoadBalancer") | None)
}

fn is_blank(spec: &Json, field: &str) -> bool {
    match spec.get(field) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    }
}

/// True if [`settle_ips`] would change anything.
pub(super) fn is_unsettled(body: &Value, old: Option<&Value>) -> bool {
    let Some(spec) = body.get("spec").and_then(Value::as_object) else { return false };
    let had = old.and_then(|old| old.get("spec")?.as_object()).is_some_and(|old| !is_blank(old, "clusterIP"));
    (!is_blank(spec, "clusterIP") && is_blank(spec, "clusterIPs")) || (had && is_blank(spec, "clusterIP"))
}

/// What is left out is taken from the stored service, or from the other form.
pub(super) fn settle_ips(body: &mut Value, old: Option<&Value>) {
    let Some(spec) = body.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if let Some(old) = old.and_then(|old| old.get("spec")?.as_object())
        && needs_ip(old)
        && needs_ip(spec)
    {
        if is_blank(spec, "clusterIP") && !is_blank(old, "clusterIP") {
            spec.insert("clusterIP".into(), old["clusterIP"].clone());
        }
        let same = spec.get("clusterIP") == old.get("clusterIP");
        if same && is_blank(spec, "clusterIPs") && !is_blank(old, "clusterIPs") {
            spec.insert("clusterIPs".into(), old["clusterIPs"].clone());
        }
    }
    if !is_blank(spec, "clusterIP") && is_blank(spec, "clusterIPs") {
        let only = spec["clusterIP"].clone();
        spec.insert("clusterIPs".into(), json!([only]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_a_list_of_one() {
        let service = |spec: Value| json!({"spec": spec});
        let both = |ip: &str| service(json!({"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip]}));
        for (given, old, expected) in [
            (service(json!({"type": "ClusterIP", "clusterIP": "None"})), None, both("None")),
            (service(json!({"type": "ClusterIP"})), None, service(json!({"type": "ClusterIP"}))),
            (service(json!({"type": "ClusterIP"})), Some(both("10.0.0.1")), both("10.0.0.1")),
            (
                service(json!({"type": "ClusterIP", "clusterIP": "10.0.0.2"})),
                Some(both("10.0.0.1")),
                both("10.0.0.2"),
            ),
            (
                service(json!({"type": "ExternalName"})),
                Some(both("10.0.0.1")),
                service(json!({"type": "ExternalName"})),
            ),
        ] {
            let mut body = given.clone();
            if is_unsettled(&body, old.as_ref()) {
                settle_ips(&mut body, old.as_ref());
            }
            assert_eq!(body, expected, "{given}");
        }
    }
}
