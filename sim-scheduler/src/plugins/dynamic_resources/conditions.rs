//! Conditions of devices that bindings wait for (KEP-5007).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as WireTime;
use serde::Deserialize;
use serde_json::Value;
use sim_core::api::object::Object;
use sim_core::features::{FeatureGates, Gate};
use sim_core::syntax::go_quote;
use sim_core::time::{Epoch, Span, Time, secs};
use smol_str::{SmolStr, format_smolstr};

use super::claim;

/// How long after its allocation a claim is waited for (`BindingTimeoutDefaultSeconds`).
pub(super) const TIMEOUT: Span = secs(600);
/// How often its conditions are looked at.
pub(super) const INTERVAL: Span = secs(5);

/// True if bindings wait at all.
pub(super) fn are_waited_for(features: FeatureGates) -> bool {
    features.on(Gate::DRADeviceBindingConditions) && features.on(Gate::DRAResourceClaimDeviceStatus)
}

fn results(claim: &Object) -> impl Iterator<Item = &Value> {
    let results = claim::at(claim, "/status/allocation/devices/results");
    results.and_then(Value::as_array).into_iter().flatten()
}

fn names<'a>(result: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    result[field].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// True if a device of the claim has conditions to wait for (`hasBindingConditions`).
pub(super) fn has_some(claim: &Object) -> bool {
    results(claim).any(|result| names(result, "bindingConditions").next().is_some())
}

/// True if all conditions are met (`isClaimReadyForBinding`).
///
/// # Errors
/// One is met that ends the waiting.
pub(super) fn are_met(claim: &Object) -> Result<bool, SmolStr> {
    if !claim::is_allocated(claim) {
        return Ok(false);
    }
    for result in results(claim) {
        if names(result, "bindingConditions").next().is_none() {
            continue;
        }
        let devices = claim::at(claim, "/status/devices").and_then(Value::as_array).into_iter().flatten();
        let same = |device: &&Value| {
            ["driver", "pool", "device"]
                .iter()
                .all(|field| device[*field].as_str() == result[*field].as_str())
        };
        let Some(device) = devices.into_iter().find(same) else { return Ok(false) };
        let met = |name: &str| {
            let mut conditions = device["conditions"].as_array().into_iter().flatten();
            conditions.find(|condition| condition["type"] == name).filter(|found| found["status"] == "True")
        };
        if let Some(failed) = names(result, "bindingFailureConditions").find_map(met) {
            let text = |field: &str| failed[field].as_str().unwrap_or_default();
            return Err(format_smolstr!(
                "claim {} binding failed: reason={}, message={}",
                claim.key().name,
                text("reason"),
                go_quote(text("message"))
            ));
        }
        if names(result, "bindingConditions").any(|name| met(name).is_none()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// True if the claim was waited for long enough (`isClaimTimeout`).
pub(super) fn is_timeout(claim: &Object, epoch: Epoch, now: Time) -> bool {
    let Some(since) = claim::at(claim, "/status/allocation/allocationTimestamp") else { return false };
    let Ok(WireTime(since)) = WireTime::deserialize(since) else { return false };
    let over = epoch.time_of(since) + TIMEOUT < now;
    over && results(claim).any(|result| !result["bindingConditions"].is_null())
}

/// True if the claim's devices cannot be waited for any more: others may do better.
pub(super) fn have_failed(claim: &Object, epoch: Epoch, now: Time) -> bool {
    match are_met(claim) {
        Err(_) => true,
        Ok(met) => !met && is_timeout(claim, epoch, now),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sim_core::api::kind::Kind;
    use sim_core::api::meta::{Key, Meta};
    use sim_core::time::mins;

    use super::*;

    fn claim(devices: &Value, since: &Value) -> Object {
        let result = |device: &str, conditions: Value| {
            json!({"driver": "d", "pool": "p", "device": device, "bindingConditions": conditions,
                "bindingFailureConditions": ["Broken"]})
        };
        let results = [result("plain", Value::Null), result("x", json!(["Ready", "Attached"]))];
        let allocation = json!({"devices": {"results": results}, "allocationTimestamp": since});
        let body = json!({"status": {"allocation": allocation, "devices": devices}});
        Object::json(Kind::RESOURCE_CLAIM, Meta::named(Key::new("default", "c")), body)
    }

    #[test]
    fn conditions_are_met_fail_or_run_out_of_time() {
        let device = |conditions: &[(&str, &str)]| {
            let condition = |(kind, status): &(&str, &str)| json!({"type": kind, "status": status, "reason": "Why", "message": "a \"b\""});
            let conditions: Vec<_> = conditions.iter().map(condition).collect();
            json!([{"driver": "d", "pool": "p", "device": "x", "conditions": conditions}])
        };
        let ready = ("Ready", "True");
        let failed = Err("claim c binding failed: reason=Why, message=\"a \\\"b\\\"\"".into());
        for (devices, expected) in [
            (json!(null), Ok(false)),
            (json!([{"driver": "d", "pool": "p", "device": "plain"}]), Ok(false)),
            (device(&[ready]), Ok(false)),
            (device(&[ready, ("Attached", "Unknown")]), Ok(false)),
            (device(&[ready, ("Attached", "True")]), Ok(true)),
            (device(&[ready, ("Attached", "True"), ("Broken", "False")]), Ok(true)),
            (device(&[ready, ("Attached", "True"), ("Broken", "True")]), failed),
        ] {
            assert_eq!(are_met(&claim(&devices, &json!("2025-01-01T00:00:00Z"))), expected, "{devices}");
        }
        for (since, after, expected) in [
            (json!("2025-01-01T00:00:00Z"), mins(10), false),
            (json!("2025-01-01T00:00:00Z"), mins(10) + Span(1), true),
            (json!(null), mins(99), false),
        ] {
            let claim = claim(&json!(null), &since);
            assert!(has_some(&claim));
            assert_eq!(is_timeout(&claim, Epoch::default(), Time::ZERO + after), expected, "{since}");
            assert_eq!(have_failed(&claim, Epoch::default(), Time::ZERO + after), expected, "{since}");
        }
    }
}
