//! PriorityClasses and RuntimeClasses, which are stored as JSON.
//! Upstream: `pkg/apis/scheduling/validation`, `pkg/apis/node/validation`.

use serde_json::Value;

use super::common::{IMMUTABLE, label_name, one_of};
use super::field::{Errors, Path, Shown};
use super::names;
use super::pod::resources::amount;
use crate::api::meta::Meta;
use crate::quantity::Quantity;

const HIGHEST_USER_PRIORITY: i64 = 1_000_000_000;
const SYSTEM_PREFIX: &str = "system-";
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

fn priority(body: &Value) -> i64 {
    body.get("value").and_then(Value::as_i64).unwrap_or(0)
}

/// `ValidatePriorityClass`, without the metadata.
pub(super) fn priority_class(e: &mut Errors, meta: &Meta, body: &Value) {
    let value = priority(body);
    if meta.name().starts_with(SYSTEM_PREFIX) {
        let is_default = body.get("globalDefault").and_then(Value::as_bool).unwrap_or(false);
        let complaint = match SYSTEM_CLASSES.iter().find(|(name, _)| *name == meta.name()) {
            None => Some(format!("{} is not a known system priority class", meta.name())),
            Some((name, known)) if *known != value => {
                Some(format!("value of {name} PriorityClass must be {known}"))
            }
            Some((name, _)) if is_default => {
                Some(format!("globalDefault of {name} PriorityClass must be false"))
            }
            Some(_) => None,
        };
        if let Some(complaint) = complaint {
            let metadata = Path::root("metadata");
            let detail = format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {complaint}"
            );
            e.forbidden(&metadata.child("name"), &detail);
        }
    } else if value > HIGHEST_USER_PRIORITY {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}");
        e.forbidden(&Path::root("value"), &detail);
    }
    if let Some(policy) = body.get("preemptionPolicy").and_then(Value::as_str) {
        one_of(e, &Path::root("preemptionPolicy"), policy, &["PreemptLowerPriority", "Never"]);
    }
}

/// `ValidatePriorityClassUpdate`, without the metadata.
pub(super) fn priority_class_update(e: &mut Errors, new: &Value, old: &Value) {
    if priority(new) != priority(old) {
        e.forbidden(&Path::root("value"), "may not be changed in an update.");
    }
    let policy = |body: &Value| body.get("preemptionPolicy").cloned().unwrap_or_default();
    if policy(new) != policy(old) {
        e.invalid(&Path::root("preemptionPolicy"), Shown::json(&policy(new)), IMMUTABLE);
    }
}

fn handler(body: &Value) -> &str {
    body.get("handler").and_then(Value::as_str).unwrap_or("")
}

/// `ValidateRuntimeClass`, without the metadata.
pub(super) fn runtime_class(e: &mut Errors, body: &Value) {
    e.invalid_each(&Path::root("handler"), handler(body), names::dns1123_label(handler(body)));
    let overhead = Path::root("overhead");
    let limits = overhead.child("limits");
    for (name, value) in body.pointer("/overhead/podFixed").and_then(Value::as_object).into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        if let Ok(quantity) = text.parse::<Quantity>() {
            amount(e, &limits.key(name), name, &quantity);
        }
    }
    let scheduling = Path::root("scheduling");
    let selector = scheduling.child("nodeSelector");
    for (key, value) in
        body.pointer("/scheduling/nodeSelector").and_then(Value::as_object).into_iter().flatten()
    {
        label_name(e, &selector, key);
        let value = value.as_str().unwrap_or("");
        e.invalid_each(&selector, value, names::label_value(value));
    }
}

/// `ValidateRuntimeClassUpdate`, without the metadata.
pub(super) fn runtime_class_update(e: &mut Errors, new: &Value, old: &Value) {
    if handler(new) != handler(old) {
        e.invalid(&Path::root("handler"), handler(new), IMMUTABLE);
    }
}
