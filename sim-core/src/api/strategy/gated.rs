//! Kinds that are stored as JSON: fields of gates that are off are dropped, unless the stored object has the gate in use
//! already. Upstream: `dropDisabledFields` in `pkg/registry/{resource,autoscaling}/*/strategy.go`.

use serde_json::{Map, Value};

use crate::api::kind::Kind;
use crate::features::{FeatureGates, Gate};

type Json = Map<String, Value>;

/// Fields that belong to a gate, by the path to their holders. `*` stands for all items of a list or all values of a map.
struct Gated {
    kind: Kind,
    /// All of them must be on.
    gates: &'static [Gate],
    fields: &'static [(&'static [&'static str], &'static [&'static str])],
    /// Fields that keep the others, too, although they are not dropped themselves.
    marks: &'static [(&'static [&'static str], &'static [&'static str])],
}

const REQUESTS: &[&str] = &["spec", "devices", "requests", "*"];
const EXACT: &[&str] = &["spec", "devices", "requests", "*", "exactly"];
const SUBS: &[&str] = &["spec", "devices", "requests", "*", "firstAvailable", "*"];
const CONSTRAINTS: &[&str] = &["spec", "devices", "constraints", "*"];
const TEMPLATE_REQUESTS: &[&str] = &["spec", "spec", "devices", "requests", "*"];
const TEMPLATE_EXACT: &[&str] = &["spec", "spec", "devices", "requests", "*", "exactly"];
const TEMPLATE_SUBS: &[&str] = &["spec", "spec", "devices", "requests", "*", "firstAvailable", "*"];
const TEMPLATE_CONSTRAINTS: &[&str] = &["spec", "spec", "devices", "constraints", "*"];
const ALLOCATION: &[&str] = &["status", "allocation"];
const RESULTS: &[&str] = &["status", "allocation", "devices", "results", "*"];
const STATUSES: &[&str] = &["status", "devices", "*"];
const SLICE: &[&str] = &["spec"];
const DEVICES: &[&str] = &["spec", "devices", "*"];
const CAPACITIES: &[&str] = &["spec", "devices", "*", "capacity", "*"];

const BINDING: &[Gate] = &[Gate::DRADeviceBindingConditions, Gate::DRAResourceClaimDeviceStatus];

/// In upstream's order. A `distinctAttribute` is not dropped: upstream means to, but changes a copy.
const GATED: &[Gated] = &[
    Gated {
        kind: Kind::RESOURCE_CLAIM,
        gates: &[Gate::DRAPrioritizedList],
        fields: &[(REQUESTS, &["firstAvailable"])],
        marks: &[],
    },
    Gated {
        kind: Kind::RESOURCE_CLAIM,
        gates: &[Gate::DRAAdminAccess],
        fields: &[(EXACT, &["adminAccess"]), (RESULTS, &["adminAccess"])],
        marks: &[],
    },
    Gated {
        kind: Kind::RESOURCE_CLAIM,
        gates: &[Gate::DRAResourceClaimDeviceStatus],
        fields: &[(&["status"], &["devices"])],
        marks: &[],
    },
    Gated {
        kind: Kind::RESOURCE_CLAIM,
        gates: BINDING,
        fields: &[
            (ALLOCATION, &["allocationTimestamp"]),
            (RESULTS, &["bindingConditions", "bindingFailureConditions"]),
        ],
        marks: &[],
    },
    Gated {
        kind: Kind::RESOURCE_CLAIM,
        gates: &[Gate::DRAConsumableCapacity],
        fields: &[
            (EXACT, &["capacity"]),
            (SUBS, &["capacity"]),
            (RESULTS, &["shareID", "consumedCapacity"]),
            (STATUSES, &["shareID"]),
        ],
        marks: &[(CONSTRAINTS, &["distinctAttribute"])],
    },
    Gated {
        kind: Kind::RESOURCE_CLAIM_TEMPLATE,
        gates: &[Gate::DRAPrioritizedList],
        fields: &[(TEMPLATE_REQUESTS, &["firstAvailable"])],
        marks: &[],
    },
    Gated {
        kind: Kind::RESOURCE_CLAIM_TEMPLATE,
        gates: &[Gate::DRAAdminAccess],
        fields: &[(TEMPLATE_EXACT, &["adminAccess"])],
        marks: &[],
    },
    Gated {
        kind: Kind::RESOURCE_CLAIM_TEMPLATE,
        gates: &[Gate::DRAConsumableCapacity],
        fields: &[(TEMPLATE_EXACT, &["capacity"]), (TEMPLATE_SUBS, &["capacity"])],
        marks: &[(TEMPLATE_CONSTRAINTS, &["distinctAttribute"])],
    },
    Gated {
        kind: Kind::DEVICE_CLASS,
        gates: &[Gate::DRAExtendedResource],
        fields: &[(&["spec"], &["extendedResourceName"])],
        marks: &[],
    },
    Gated {
        kind: Kind::RESOURCE_SLICE,
        gates: &[Gate::DRADeviceTaints],
        fields: &[(DEVICES, &["taints"])],
        marks: &[],
    },
    Gated {
        kind: Kind::RESOURCE_SLICE,
        gates: &[Gate::DRAPartitionableDevices],
        fields: &[
            (SLICE, &["sharedCounters", "perDeviceNodeSelection"]),
            (DEVICES, &["consumesCounters", "nodeName", "nodeSelector", "allNodes"]),
        ],
        marks: &[],
    },
    Gated {
        kind: Kind::RESOURCE_SLICE,
        gates: BINDING,
        fields: &[(DEVICES, &["bindingConditions", "bindingFailureConditions", "bindsToNode"])],
        marks: &[],
    },
    Gated {
        kind: Kind::RESOURCE_SLICE,
        gates: &[Gate::DRAConsumableCapacity],
        fields: &[(DEVICES, &["allowMultipleAllocations"]), (CAPACITIES, &["requestPolicy"])],
        marks: &[],
    },
    Gated {
        kind: Kind::HORIZONTAL_POD_AUTOSCALER,
        gates: &[Gate::HPAConfigurableTolerance],
        fields: &[
            (&["spec", "behavior", "scaleUp"], &["tolerance"]),
            (&["spec", "behavior", "scaleDown"], &["tolerance"]),
        ],
        marks: &[],
    },
];

/// True if a body has anything to drop: most have not, and stay shared.
pub(super) fn has_disabled(kind: Kind, body: &Value, old: Option<&Value>, gates: FeatureGates) -> bool {
    let off = |gated: &&Gated| is_off(gated, kind, old, gates);
    GATED.iter().filter(off).any(|gated| uses(body, gated.fields))
}

/// Drops what belongs to gates that are off; tells what was there, and why it went.
pub(super) fn drop_disabled(
    kind: Kind,
    body: &mut Value,
    old: Option<&Value>,
    gates: FeatureGates,
) -> Vec<String> {
    let mut dropped = Vec::new();
    for gated in GATED.iter().filter(|gated| is_off(gated, kind, old, gates)) {
        let gate = gated.gates.iter().find(|gate| !gates.on(**gate)).map_or("", |gate| gate.name());
        for (path, fields) in gated.fields {
            for field in *fields {
                let mut count = 0;
                each_mut(body, path, &mut |holder| {
                    count += usize::from(holder.shift_remove(*field).is_some_and(|value| is_set(&value)));
                });
                if count > 0 {
                    let path = path.join(".").replace(".*", "[]");
                    let times = if count > 1 { format!(" ({count} times)") } else { String::new() };
                    dropped.push(format!("{path}.{field} is dropped{times}: the feature gate {gate} is off"));
                }
            }
        }
    }
    dropped
}

fn is_off(gated: &Gated, kind: Kind, old: Option<&Value>, gates: FeatureGates) -> bool {
    let used = |old: &Value| uses(old, gated.fields) || uses(old, gated.marks);
    gated.kind == kind && !gated.gates.iter().all(|gate| gates.on(*gate)) && !old.is_some_and(used)
}

fn uses(body: &Value, fields: &[(&[&str], &[&str])]) -> bool {
    fields.iter().any(|(path, names)| {
        any(body, path, &|holder| names.iter().any(|name| holder.get(*name).is_some_and(is_set)))
    })
}

/// False for `null` and for empty lists, which are as good as absent.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}

fn any(value: &Value, path: &[&str], test: &dyn Fn(&Json) -> bool) -> bool {
    let Some((step, rest)) = path.split_first() else { return value.as_object().is_some_and(test) };
    match (value, *step) {
        (Value::Array(items), "*") => items.iter().any(|item| any(item, rest, test)),
        (Value::Object(fields), "*") => fields.values().any(|value| any(value, rest, test)),
        (Value::Object(fields), name) => fields.get(name).is_some_and(|value| any(value, rest, test)),
        _ => false,
    }
}

fn each_mut(value: &mut Value, path: &[&str], change: &mut dyn FnMut(&mut Json)) {
    let Some((step, rest)) = path.split_first() else {
        return value.as_object_mut().into_iter().for_each(change);
    };
    match (value, *step) {
        (Value::Array(items), "*") => items.iter_mut().for_each(|item| each_mut(item, rest, change)),
        (Value::Object(fields), "*") => {
            fields.values_mut().for_each(|value| each_mut(value, rest, change));
        }
        (Value::Object(fields), name) => {
            fields.get_mut(name).into_iter().for_each(|value| each_mut(value, rest, change));
        }
        _ => {}
    }
}

/// A device of an allocation, with the share of it.
fn device_id(value: &Value) -> [&str; 4] {
    ["driver", "pool", "device", "shareID"]
        .map(|field| value.get(field).and_then(Value::as_str).unwrap_or(""))
}

/// What drivers told of devices goes when the devices are taken back (`dropDeallocatedStatusDevices`).
pub(super) fn forget_deallocated(new: &mut Value, old: &Value, gates: FeatureGates) {
    const RESULTS: &str = "/status/allocation/devices/results";
    let had_statuses = old.pointer("/status/devices").is_some_and(is_set);
    if !gates.on(Gate::DRAResourceClaimDeviceStatus) && !had_statuses {
        return;
    }
    let results = |claim: &Value| -> Vec<[String; 4]> {
        let results = claim.pointer(RESULTS).and_then(Value::as_array);
        results.into_iter().flatten().map(|r| device_id(r).map(str::to_owned)).collect()
    };
    let (before, after) = (results(old), results(new));
    let is = |id: &[&str; 4], known: &[String; 4]| id.iter().zip(known).all(|(a, b)| a == b);
    let Some(status) = new.get_mut("status").and_then(Value::as_object_mut) else { return };
    let Some(devices) = status.get_mut("devices").and_then(Value::as_array_mut) else { return };
    devices.retain(|device| {
        let id = device_id(device);
        !before.iter().any(|known| is(&id, known)) || after.iter().any(|known| is(&id, known))
    });
    if devices.is_empty() {
        status.shift_remove("devices");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn dropped(kind: Kind, body: &Value, old: Option<&Value>, gates: FeatureGates) -> (Value, Vec<String>) {
        let mut body = body.clone();
        assert_eq!(has_disabled(kind, &body, old, gates), {
            let mut copy = body.clone();
            !drop_disabled(kind, &mut copy, old, gates).is_empty()
        });
        let told = drop_disabled(kind, &mut body, old, gates);
        (body, told)
    }

    #[test]
    fn fields_of_gates_that_are_off_go_unless_they_are_in_use() {
        let off = FeatureGates::default();
        let taint = json!([{"key": "k", "effect": "NoExecute"}]);
        let slice = json!({"spec": {"driver": "d", "devices": [
            {"name": "a", "taints": taint, "capacity": {"m": {"value": "1", "requestPolicy": {}}}},
            {"name": "b", "taints": taint, "allNodes": true},
        ]}});
        let (left, told) = dropped(Kind::RESOURCE_SLICE, &slice, None, off);
        let bare = json!({"spec": {"driver": "d", "devices": [
            {"name": "a", "capacity": {"m": {"value": "1"}}},
            {"name": "b"},
        ]}});
        assert_eq!(left, bare);
        assert_eq!(
            told,
            [
                "spec.devices[].taints is dropped (2 times): the feature gate DRADeviceTaints is off",
                "spec.devices[].allNodes is dropped: the feature gate DRAPartitionableDevices is off",
                "spec.devices[].capacity[].requestPolicy is dropped: the feature gate DRAConsumableCapacity is off",
            ]
        );
        let on = off
            .with(Gate::DRADeviceTaints)
            .with(Gate::DRAPartitionableDevices)
            .with(Gate::DRAConsumableCapacity);
        assert_eq!(dropped(Kind::RESOURCE_SLICE, &slice, None, on), (slice.clone(), vec![]));
        assert_eq!(dropped(Kind::RESOURCE_SLICE, &slice, Some(&slice), off), (slice.clone(), vec![]));
        assert_eq!(dropped(Kind::RESOURCE_SLICE, &slice, Some(&bare), off).0, bare);

        let claim = json!({"spec": {"devices": {
            "requests": [{"name": "r", "exactly": {"deviceClassName": "c", "adminAccess": true, "capacity": {}}}],
            "constraints": [{"distinctAttribute": "d/x"}],
        }}});
        let (left, _) = dropped(Kind::RESOURCE_CLAIM, &claim, None, off.without(Gate::DRAAdminAccess));
        assert_eq!(left["spec"]["devices"]["requests"][0]["exactly"], json!({"deviceClassName": "c"}));
        assert_eq!(left["spec"]["devices"]["constraints"], claim["spec"]["devices"]["constraints"]);
        let (left, _) = dropped(Kind::RESOURCE_CLAIM, &claim, Some(&left), off);
        assert_eq!(left, claim, "distinctAttribute is of the same gate");
        let class = json!({"spec": {"extendedResourceName": "a/b"}});
        assert_eq!(dropped(Kind::DEVICE_CLASS, &class, None, off).0, json!({"spec": {}}));
    }

    #[test]
    fn statuses_of_devices_go_with_their_allocation() {
        let allocated = |devices: &[&str]| {
            let result = |device: &&str| json!({"driver": "d", "pool": "p", "device": device});
            let all: Vec<Value> = ["a", "b", "c"].iter().map(result).collect();
            json!({"status": {
                "allocation": {"devices": {"results": devices.iter().map(result).collect::<Vec<_>>()}},
                "devices": all,
            }})
        };
        let old = allocated(&["a", "b"]);
        let mut new = allocated(&["b"]);
        forget_deallocated(&mut new, &old, FeatureGates::default());
        assert_eq!(
            new["status"]["devices"].as_array().map(Vec::len),
            Some(2),
            "a went; c is validation's matter"
        );
        let mut new = json!({"status": {"devices": [{"driver": "d", "pool": "p", "device": "a"}]}});
        forget_deallocated(&mut new, &old, FeatureGates::default());
        assert_eq!(new, json!({"status": {}}));
    }
}
