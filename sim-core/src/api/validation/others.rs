//! Kinds that are stored as JSON and have pods or storage to do with: PodDisruptionBudgets, StatefulSets,
//! PersistentVolumeClaims. Upstream: `pkg/apis/{policy,apps,core}/validation`.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::common::{
    dns_label, dns_subdomain, int_or_percent, is_convertible, is_empty_selector, label_selector,
    non_negative, not_more_than_100_percent, selects,
};
use super::field::{Errors, Path, Shown, go_json};
use super::internal::{self, Fields, Shape};
use super::pod;
use super::pod::resources::amount;
use super::workloads::{labels_of, mismatch, runs_forever};
use crate::api::wire::decode_value;
use crate::quantity::Quantity;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

fn number(value: &Value, field: &str) -> i64 {
    value.get(field).and_then(Value::as_i64).unwrap_or(0)
}

/// A part that is there and not null.
fn part<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    value.get(field).filter(|v| !v.is_null())
}

fn selector(value: &Value) -> Option<LabelSelector> {
    part(value, "selector").and_then(|s| decode_value(s).ok())
}

fn count(value: &Value) -> Option<IntOrString> {
    match value {
        Value::String(text) => Some(IntOrString::String(text.clone())),
        Value::Number(n) => n.as_i64().and_then(|n| i32::try_from(n).ok()).map(IntOrString::Int),
        _ => None,
    }
}

/// `ValidatePodDisruptionBudgetSpec`.
pub(super) fn disruption_budget(e: &mut Errors, body: &Value) {
    let path = Path::root("spec");
    let none = Value::Null;
    let spec = body.get("spec").unwrap_or(&none);
    if part(spec, "minAvailable").is_some() && part(spec, "maxUnavailable").is_some() {
        const SPEC: Fields = &[
            ("MinAvailable", Shape::Plain),
            ("Selector", Shape::Plain),
            ("MaxUnavailable", Shape::Plain),
            ("UnhealthyPodEvictionPolicy", Shape::Plain),
        ];
        let shown = Shown::json(&internal::structure(spec, SPEC));
        e.invalid(&path, shown, "minAvailable and maxUnavailable cannot be both set");
    }
    for field in ["minAvailable", "maxUnavailable"] {
        if let Some(value) = part(spec, field).and_then(count) {
            int_or_percent(e, &path.child(field), &value);
            not_more_than_100_percent(e, &path.child(field), &value);
        }
    }
    label_selector(e, &path.child("selector"), selector(spec).as_ref());
    if let Some(policy) = part(spec, "unhealthyPodEvictionPolicy").and_then(Value::as_str)
        && !matches!(policy, "AlwaysAllow" | "IfHealthyBudget")
    {
        let at = path.child("unhealthyPodEvictionPolicy");
        e.not_supported(&at, policy, &["AlwaysAllow", "IfHealthyBudget"]);
    }
}

/// `ValidateStatefulSetSpec`.
pub(super) fn stateful_set(e: &mut Errors, body: &Value, update: bool) {
    let path = Path::root("spec");
    let none = Value::Null;
    let spec = body.get("spec").unwrap_or(&none);
    match text(spec, "podManagementPolicy") {
        "" => e.required(&path.child("podManagementPolicy"), ""),
        "OrderedReady" | "Parallel" => {}
        other => e.invalid(&path.child("podManagementPolicy"), other, "must be 'OrderedReady' or 'Parallel'"),
    }
    update_strategy(e, &path.child("updateStrategy"), spec.get("updateStrategy").unwrap_or(&none));
    for field in ["replicas", "minReadySeconds"] {
        non_negative(e, &path.child(field), number(spec, field));
    }
    if let Some(ordinals) = part(spec, "ordinals") {
        non_negative(e, &path.child("ordinals.start"), number(ordinals, "start"));
    }
    let service = text(spec, "serviceName");
    if !update && !service.is_empty() {
        dns_label(e, &path.child("serviceName"), service);
    }
    let at = path.child("selector");
    let selector = selector(spec).unwrap_or_default();
    label_selector(e, &at, Some(&selector));
    if is_empty_selector(&selector) {
        e.invalid(&at, Shown::json(&selector), "empty selector is invalid for statefulset");
    }
    let Ok(mut template) = decode_value::<PodTemplateSpec>(spec.get("template").unwrap_or(&none)) else {
        return;
    };
    let at = path.child("template");
    if is_convertible(&selector) {
        if !selects(&selector, labels_of(&template)) {
            mismatch(e, &at, &template);
        }
        claimed_volumes(&mut template, spec);
        pod::template(e, &at, &template);
    } else {
        e.invalid(&path.child("selector"), Shown::json(&selector), "");
    }
    runs_forever(e, &at, &template, "StatefulSet");
}

/// Containers may mount the volumes that claim templates make; a volume of the same name is replaced by them.
fn claimed_volumes(template: &mut PodTemplateSpec, spec: &Value) {
    let Some(pod) = &mut template.spec else { return };
    pod.subdomain = None;
    pod.hostname = None;
    let claims = spec.get("volumeClaimTemplates").and_then(Value::as_array);
    let volumes = pod.volumes.get_or_insert_with(Vec::new);
    for claim in claims.into_iter().flatten() {
        let name = claim.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("");
        volumes.retain(|v| v.name != name);
        volumes.push(k8s_openapi::api::core::v1::Volume {
            name: name.to_string(),
            persistent_volume_claim: Some(k8s_openapi::api::core::v1::PersistentVolumeClaimVolumeSource {
                claim_name: name.to_string(),
                read_only: None,
            }),
            ..Default::default()
        });
    }
}

fn update_strategy(e: &mut Errors, path: &Path<'_>, strategy: &Value) {
    const ROLLING: Fields = &[("Partition", Shape::Number), ("MaxUnavailable", Shape::Plain)];
    let at = path.child("rollingUpdate");
    let rolling = part(strategy, "rollingUpdate");
    match (text(strategy, "type"), rolling) {
        ("", _) => e.required(path, ""),
        ("OnDelete", Some(rolling)) => {
            let shown = Shown::json(&internal::structure(rolling, ROLLING));
            e.invalid(&at, shown, "only allowed for updateStrategy 'RollingUpdate'");
        }
        ("RollingUpdate", Some(rolling)) => {
            non_negative(e, &at.child("partition"), number(rolling, "partition"));
        }
        ("OnDelete" | "RollingUpdate", None) => {}
        (other, rolling) => {
            let rolling =
                rolling.map_or_else(|| "null".to_string(), |r| go_json(&internal::structure(r, ROLLING)));
            let shown = format!("{{\"Type\":{},\"RollingUpdate\":{rolling}}}", go_json(&other));
            e.invalid(path, Shown::raw(shown), "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
}

/// `ValidateStatefulSetUpdate`, without the metadata.
pub(super) fn stateful_set_update(e: &mut Errors, new: &Value, old: &Value) {
    const MUTABLE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    stateful_set(e, new, true);
    let fixed = |body: &Value| {
        let mut spec = body.get("spec").cloned().unwrap_or_default();
        if let Value::Object(fields) = &mut spec {
            fields.retain(|name, value| !MUTABLE.contains(&name.as_str()) && !value.is_null());
        }
        spec
    };
    if fixed(new) != fixed(old) {
        e.forbidden(
            &Path::root("spec"),
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
             'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        );
    }
}

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// `ValidatePersistentVolumeClaimSpec`.
pub(super) fn volume_claim(e: &mut Errors, body: &Value) {
    let path = Path::root("spec");
    let none = Value::Null;
    let spec = body.get("spec").unwrap_or(&none);
    let modes: Vec<&str> = spec
        .get("accessModes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let at = path.child("accessModes");
    if modes.is_empty() {
        e.required(&at, "at least 1 access mode is required");
    }
    label_selector(e, &path.child("selector"), selector(spec).as_ref());
    for mode in modes.iter().filter(|m| !ACCESS_MODES.contains(m)) {
        e.not_supported(&at, *mode, &ACCESS_MODES);
    }
    let others = modes.iter().any(|m| ACCESS_MODES.contains(m) && *m != "ReadWriteOncePod");
    if modes.contains(&"ReadWriteOncePod") && others {
        e.forbidden(&at, "may not use ReadWriteOncePod with other access modes");
    }
    let at = path.child("resources");
    let at = at.key("storage");
    let storage = spec.pointer("/resources/requests/storage").filter(|v| !v.is_null());
    let storage = storage.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_string));
    match storage.map(|s| s.parse::<Quantity>()) {
        None => e.required(&at, ""),
        Some(Ok(storage)) if storage.sign() <= 0 => {
            e.invalid(&at, &storage.to_string(), "must be greater than zero");
        }
        Some(Ok(storage)) => amount(e, &at, "storage", &storage),
        Some(Err(_)) => {}
    }
    for field in ["storageClassName", "volumeAttributesClassName"] {
        let class = text(spec, field);
        if !class.is_empty() {
            dns_subdomain(e, &path.child(field), class);
        }
    }
    if let Some(mode) = part(spec, "volumeMode").and_then(Value::as_str)
        && !matches!(mode, "Block" | "Filesystem")
    {
        e.not_supported(&path.child("volumeMode"), mode, &["Block", "Filesystem"]);
    }
    // Sources of other kinds are dropped before validation (`EnforceDataSourceBackwardsCompatibility`).
    if let Some(source) = part(spec, "dataSource").filter(|s| {
        let kind = (text(s, "apiGroup"), text(s, "kind"));
        matches!(kind, ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot"))
    }) {
        data_source(e, &path.child("dataSource"), source);
    }
    if let Some(source) = part(spec, "dataSourceRef") {
        data_source(e, &path.child("dataSourceRef"), source);
    }
}

fn data_source(e: &mut Errors, path: &Path<'_>, source: &Value) {
    for field in ["name", "kind"] {
        if text(source, field).is_empty() {
            e.required(&path.child(field), "");
        }
    }
    let (group, kind) = (text(source, "apiGroup"), text(source, "kind"));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        e.invalid(path, kind, detail);
    }
    if !group.is_empty() {
        dns_subdomain(e, &path.child("apiGroup"), group);
    }
}

const CLAIM_SPEC: Fields = &[
    ("AccessModes", Shape::Plain),
    ("Selector", Shape::Plain),
    ("Resources", Shape::Struct(&[("Limits", Shape::Plain), ("Requests", Shape::Plain)])),
    ("VolumeName", Shape::Text),
    ("StorageClassName", Shape::Plain),
    ("VolumeMode", Shape::Plain),
    ("DataSource", Shape::Plain),
    ("DataSourceRef", Shape::Plain),
    ("VolumeAttributesClassName", Shape::Plain),
];

/// `ValidatePersistentVolumeClaimUpdate`, without the metadata: what may change of a claim.
pub(super) fn volume_claim_update(e: &mut Errors, new: &Value, old: &Value) {
    volume_claim(e, new);
    let none = Value::Null;
    let old_spec = old.get("spec").unwrap_or(&none);
    let mut munged = new.get("spec").cloned().unwrap_or_default();
    let bound = old.pointer("/status/phase").and_then(Value::as_str) == Some("Bound");
    if let Value::Object(fields) = &mut munged {
        let mut keep = |field: &str| match old_spec.get(field) {
            Some(value) => {
                fields.insert(field.to_string(), value.clone());
            }
            None => {
                fields.shift_remove(field);
            }
        };
        // The binder sets the volume once.
        if text(old_spec, "volumeName").is_empty() {
            keep("volumeName");
        }
        if part(old_spec, "storageClassName").is_none() {
            keep("storageClassName");
        }
        if bound {
            keep("volumeAttributesClassName");
            keep("resources");
        }
    }
    let (before, after) =
        (internal::structure(old_spec, CLAIM_SPEC), internal::structure(&munged, CLAIM_SPEC));
    if before != after {
        let detail = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{}",
            internal::diff(&before, &after)
        );
        e.forbidden(&Path::root("spec"), &detail);
    }
    if bound {
        shrinks(e, new.get("spec").unwrap_or(&none), old_spec);
    }
}

fn shrinks(e: &mut Errors, new: &Value, old: &Value) {
    let size = |spec: &Value| {
        let text = spec.pointer("/resources/requests/storage").and_then(Value::as_str)?;
        text.parse::<Quantity>().ok()
    };
    if let (Some(new), Some(old)) = (size(new), size(old))
        && new < old
    {
        let path = Path::root("spec");
        let at = path.child("resources");
        let at = at.child("requests");
        let at = at.child("storage");
        e.forbidden(&at, "field can not be less than previous value");
    }
}
