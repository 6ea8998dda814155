//! Environment variables.

use k8s_openapi::api::core::v1::{
    EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector,
};

use crate::api::validation::common::text;
use crate::api::validation::field::{Errors, Path};
use crate::api::validation::names;
use crate::quantity::Quantity;

const FIELD_PATHS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const BYTE_DIVISORS: [&str; 13] =
    ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// `ValidateEnv`.
pub(super) fn variables(e: &mut Errors, path: &Path<'_>, variables: &[EnvVar]) {
    for (i, variable) in variables.iter().enumerate() {
        let path = path.index(i);
        if variable.name.is_empty() {
            e.required(&path.child("name"), "");
        } else {
            let messages = names::relaxed_env_var_name(&variable.name);
            e.invalid_each(&path.child("name"), &variable.name, messages);
        }
        if let Some(source) = &variable.value_from {
            value_from(e, &path.child("valueFrom"), source, text(&variable.value));
        }
    }
}

fn value_from(e: &mut Errors, path: &Path<'_>, source: &EnvVarSource, value: &str) {
    let mut sources = 0;
    if let Some(selector) = &source.field_ref {
        sources += 1;
        field_selector(e, &path.child("fieldRef"), selector, &FIELD_PATHS);
    }
    if let Some(selector) = &source.resource_field_ref {
        sources += 1;
        resource_selector(e, &path.child("resourceFieldRef"), selector, false);
    }
    if let Some(selector) = &source.config_map_key_ref {
        sources += 1;
        key_selector(e, &path.child("configMapKeyRef"), &selector.name, &selector.key);
    }
    if let Some(selector) = &source.secret_key_ref {
        sources += 1;
        key_selector(e, &path.child("secretKeyRef"), &selector.name, &selector.key);
    }
    match sources {
        0 => {
            let detail =
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
            e.invalid(path, "", detail);
        }
        _ if !value.is_empty() => e.invalid(path, "", "may not be specified when `value` is not empty"),
        1 => {}
        _ => e.invalid(path, "", "may not have more than one field specified at a time"),
    }
}

/// `validateObjectFieldSelector`.
pub(super) fn field_selector(
    e: &mut Errors,
    path: &Path<'_>,
    selector: &ObjectFieldSelector,
    supported: &[&str],
) {
    if text(&selector.api_version).is_empty() {
        e.required(&path.child("apiVersion"), "");
        return;
    }
    let field = selector.field_path.as_str();
    let at = path.child("fieldPath");
    if field.is_empty() {
        e.required(&at, "");
        return;
    }
    let subscripted = field
        .strip_suffix(']')
        .and_then(|f| f.split_once("['"))
        .and_then(|(base, key)| key.strip_suffix('\'').map(|key| (base, key)));
    match subscripted {
        Some(("metadata.annotations", key)) => {
            e.invalid_each(path, &key.to_lowercase(), names::qualified_name(&key.to_lowercase()));
        }
        Some(("metadata.labels", key)) => e.invalid_each(path, key, names::qualified_name(key)),
        Some(_) => {
            let detail =
                format!("error converting fieldPath: field label does not support subscript: {field}");
            e.invalid(&at, field, &detail);
        }
        None => plain_field(e, &at, field, supported),
    }
}

/// Fields that the downward API converts at all; which of them are usable depends on the place.
fn plain_field(e: &mut Errors, at: &Path<'_>, field: &str, supported: &[&str]) {
    // The one old name that conversion maps.
    let field = if field == "spec.host" { "spec.nodeName" } else { field };
    let known = FIELD_PATHS.contains(&field)
        || matches!(
            field,
            "metadata.annotations"
                | "metadata.labels"
                | "spec.restartPolicy"
                | "spec.schedulerName"
                | "status.phase"
        );
    if !known {
        let detail = format!("error converting fieldPath: field label not supported: {field}");
        e.invalid(at, field, &detail);
    } else if !supported.contains(&field) {
        e.not_supported(at, field, supported);
    }
}

/// `validateContainerResourceFieldSelector`.
pub(super) fn resource_selector(
    e: &mut Errors,
    path: &Path<'_>,
    selector: &ResourceFieldSelector,
    in_volume: bool,
) {
    let resource = selector.resource.as_str();
    let huge = resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-");
    if in_volume && text(&selector.container_name).is_empty() {
        e.required(&path.child("containerName"), "");
    } else if resource.is_empty() {
        e.required(&path.child("resource"), "");
    } else if !RESOURCES.contains(&resource) && !huge {
        e.not_supported(&path.child("resource"), resource, &RESOURCES);
    }
    let Some(divisor) = selector.divisor.as_ref().map(Quantity::from_wire).filter(|d| !d.is_zero()) else {
        return;
    };
    let divisor = divisor.to_string();
    let at = path.child("divisor");
    let bytes = |of: &str| {
        format!("only divisor's values {} are supported with the {of} resource", BYTE_DIVISORS.join(", "))
    };
    let complaint = match resource {
        "limits.cpu" | "requests.cpu" => (!matches!(divisor.as_str(), "1m" | "1"))
            .then(|| "only divisor's values 1m and 1 are supported with the cpu resource".to_string()),
        _ if BYTE_DIVISORS.contains(&divisor.as_str()) => None,
        "limits.memory" | "requests.memory" => Some(bytes("memory")),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => Some(bytes("local ephemeral storage")),
        _ if huge => Some(bytes("hugepages")),
        _ => None,
    };
    if let Some(complaint) = complaint {
        e.invalid(&at, resource, &complaint);
    }
}

fn key_selector(e: &mut Errors, path: &Path<'_>, name: &str, key: &str) {
    e.invalid_each(&path.child("name"), name, names::dns1123_subdomain(name));
    if key.is_empty() {
        e.required(&path.child("key"), "");
    } else {
        e.invalid_each(&path.child("key"), key, names::config_map_key(key));
    }
}

/// `ValidateEnvFrom`.
pub(super) fn sources(e: &mut Errors, path: &Path<'_>, sources: &[EnvFromSource]) {
    for (i, source) in sources.iter().enumerate() {
        let at = path.index(i);
        let prefix = text(&source.prefix);
        if !prefix.is_empty() {
            e.invalid_each(&at.child("prefix"), prefix, names::relaxed_env_var_name(prefix));
        }
        let config_map = source.config_map_ref.as_ref().map(|s| ("configMapRef", s.name.as_str()));
        let secret = source.secret_ref.as_ref().map(|s| ("secretRef", s.name.as_str()));
        for (field, name) in [config_map, secret].into_iter().flatten() {
            let at = at.child(field);
            let at = at.child("name");
            match name {
                "" => e.required(&at, ""),
                name => e.invalid_each(&at, name, names::dns_subdomain_prefix(name)),
            }
        }
        match (config_map, secret) {
            (None, None) => e.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"),
            (Some(_), Some(_)) => {
                e.invalid(path, "", "may not have more than one field specified at a time");
            }
            _ => {}
        }
    }
}
