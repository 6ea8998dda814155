use std::sync::Arc;

use serde_json::{Value, json};

use super::Rules;
use crate::api::kind::{Kind, Kinds};
use crate::api::meta::Labels;
use crate::api::object::{Body, Object};
use crate::api::validation::{check_create, check_update, validate_status};
use crate::api::{defaults, wire};
use crate::features::{FeatureGates, Gate};
use crate::time::Epoch;

fn object(kind: Kind, body: Value) -> Object {
    let kinds = Kinds::default();
    let info = kinds.info(kind);
    let mut value = body;
    value["apiVersion"] = info.api_version().as_str().into();
    value["kind"] = info.kind.as_str().into();
    value["metadata"] = json!({"name": "x"});
    if info.namespaced {
        value["metadata"]["namespace"] = "default".into();
    }
    let mut object = wire::from_json(&value, &kinds, Epoch::default()).expect("an object");
    defaults::apply(&mut object, &|| "2025-01-01T00:00:00Z".into());
    object
}

fn all_gates() -> Rules {
    Rules::new(Gate::ALL.iter().fold(FeatureGates::default(), |gates, gate| gates.with(*gate)))
}

fn created(kind: Kind, body: Value) -> Vec<String> {
    let (errors, _) = check_create(&object(kind, body), &Kinds::default(), &mut all_gates(), None);
    errors.0.iter().map(ToString::to_string).collect()
}

fn updated(kind: Kind, new: Value, old: Value) -> Vec<String> {
    let (new, old) = (object(kind, new), object(kind, old));
    let (errors, _) = check_update(&new, &old, &Kinds::default(), &mut all_gates());
    errors.0.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(kind: Kind, body: Value, expected: &[&str]) {
    assert_eq!(created(kind, body.clone()), expected, "{body}");
}

fn slice(change: impl FnOnce(&mut Value)) -> Value {
    let pool = json!({"name": "pool", "generation": 1, "resourceSliceCount": 1});
    let mut spec =
        json!({"driver": "d.example.com", "pool": pool, "nodeName": "n", "devices": [{"name": "a"}]});
    change(&mut spec);
    json!({"spec": spec})
}

fn claim(change: impl FnOnce(&mut Value)) -> Value {
    let mut devices = json!({"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]});
    change(&mut devices);
    json!({"spec": {"devices": devices}})
}

fn selecting(expression: &str) -> Value {
    claim(|devices| {
        devices["requests"][0]["exactly"]["selectors"] = json!([{"cel": {"expression": expression}}]);
    })
}

#[test]
fn good_objects_are_accepted() {
    check(Kind::RESOURCE_SLICE, slice(|_| {}), &[]);
    check(Kind::RESOURCE_CLAIM, claim(|_| {}), &[]);
    check(Kind::RESOURCE_CLAIM, selecting("device.driver == 'd' && !device.allowMultipleAllocations"), &[]);
    check(Kind::DEVICE_CLASS, json!({"spec": {"extendedResourceName": "example.com/gpu"}}), &[]);
    let rule =
        json!({"spec": {"deviceSelector": {"driver": "d"}, "taint": {"key": "k", "effect": "NoExecute"}}});
    check(Kind::DEVICE_TAINT_RULE, rule, &[]);
}

#[test]
fn claims() {
    let names = |n: usize| (0..n).map(|i| format!("r{i}")).collect::<Vec<_>>();
    let requests = |n: usize| {
        let request = |name: String| json!({"name": name, "exactly": {"deviceClassName": "c"}});
        names(n).into_iter().map(request).collect::<Vec<_>>()
    };
    let at = "spec.devices.requests[0]";
    check(
        Kind::RESOURCE_CLAIM,
        claim(|d| d["requests"] = requests(33).into()),
        &["spec.devices.requests: Too many: 33: must have at most 32 items"],
    );
    check(Kind::RESOURCE_CLAIM, claim(|d| d["requests"][0]["firstAvailable"] = json!([])), &[]);
    check(
        Kind::RESOURCE_CLAIM,
        claim(|d| d["requests"][0]["exactly"]["count"] = (-1).into()),
        &[&format!("{at}.exactly.count: Invalid value: -1: must be greater than zero")],
    );
    check(
        Kind::RESOURCE_CLAIM,
        claim(|d| {
            d["requests"][0]["exactly"]["tolerations"] =
                json!([{"operator": "Some", "effect": "Maybe"}, {"value": "a b"}]);
        }),
        &[
            &format!(
                "{at}.exactly.tolerations[0].operator: Unsupported value: \"Some\": supported values: \"Equal\", \"Exists\""
            ),
            &format!(
                "{at}.exactly.tolerations[0].effect: Unsupported value: \"Maybe\": supported values: \"NoExecute\", \"NoSchedule\""
            ),
            &format!(
                "{at}.exactly.tolerations[1].value: Invalid value: \"a b\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ),
        ],
    );
    let ask = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    check(
        Kind::RESOURCE_CLAIM,
        claim(|d| {
            d["constraints"] =
                json!([{"requests": ["r", "r", "r/x", "a/b/c"], "matchAttribute": "d.io/x"}, {}])
        }),
        &[
            &format!("spec.devices.constraints[0].requests[2]: Invalid value: \"r/x\": {ask}"),
            &format!("spec.devices.constraints[0].requests[3]: Invalid value: \"a/b/c\": {ask}"),
            "spec.devices.constraints[0].requests[1]: Duplicate value: \"r\"",
            "spec.devices.constraints[1]: Required value: exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set",
        ],
    );
    check(
        Kind::RESOURCE_CLAIM,
        claim(|d| {
            d["config"] = json!([{"opaque": {"driver": "", "parameters": {"a": "x".repeat(10 * 1024)}}}])
        }),
        &[
            "spec.devices.config[0].opaque.driver: Required value",
            "spec.devices.config[0].opaque.driver: Invalid value: \"\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            "spec.devices.config[0].opaque.parameters: Too long: may not be more than 10240 bytes",
        ],
    );
}

#[test]
fn selectors_are_compiled_and_their_cost_is_limited() {
    let at = "spec.devices.requests[0].exactly.selectors[0].cel.expression";
    check(
        Kind::RESOURCE_CLAIM,
        selecting(
            "device.attributes.map(d, device.attributes[d].map(k, device.attributes.map(x, device.attributes.map(y, x)))).size() > 0",
        ),
        &[&format!("{at}: Forbidden: too complex, exceeds cost limit")],
    );
    check(
        Kind::RESOURCE_CLAIM,
        selecting(&"x".repeat(10 * 1024 + 1)),
        &[&format!("{at}: Too long: may not be more than 10240 bytes")],
    );
    let sorted = "[2, 1].sort() == [1, 2]";
    let unknown = created(Kind::RESOURCE_CLAIM, selecting(sorted));
    assert!(unknown[0].contains("undeclared reference to 'sort'"), "{unknown:?}");
    // What is stored may use what the version before does not know.
    let class = |name: &str| json!({"spec": {"extendedResourceName": name, "selectors": [{"cel": {"expression": sorted}}]}});
    let (new, old) = (object(Kind::DEVICE_CLASS, class("a/b")), object(Kind::DEVICE_CLASS, class("a/c")));
    let mut e = super::super::field::Errors::default();
    super::spec(&mut e, Kind::DEVICE_CLASS, new.as_json().unwrap(), old.as_json(), &mut Rules::default());
    assert!(e.is_empty(), "{e:?}");
}

#[test]
fn specs_of_claims_and_templates_never_change() {
    let more = claim(|d| d["requests"][0]["exactly"]["count"] = 2.into());
    let found = updated(Kind::RESOURCE_CLAIM_TEMPLATE, json!({"spec": more}), json!({"spec": claim(|_| {})}));
    assert_eq!(
        found,
        [
            "spec: Invalid value: {\"Spec\":{\"Devices\":{\"Requests\":[{\"Name\":\"r\",\"Exactly\":{\"DeviceClassName\":\"c\",\"Selectors\":null,\"AllocationMode\":\"ExactCount\",\"Count\":2,\"AdminAccess\":null,\"Tolerations\":null,\"Capacity\":null},\"FirstAvailable\":null}],\"Constraints\":null,\"Config\":null}}}: field is immutable"
        ]
    );
    assert_eq!(updated(Kind::RESOURCE_CLAIM, claim(|_| {}), claim(|_| {})), [""; 0]);
}

#[test]
fn slices_and_their_devices() {
    let device = |device: Value| slice(|spec| spec["devices"][0] = device);
    let at = "spec.devices[0]";
    check(
        Kind::RESOURCE_SLICE,
        slice(|spec| {
            spec["nodeSelector"] = json!({"nodeSelectorTerms": []});
            spec["allNodes"] = false.into();
        }),
        &[
            "spec.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term",
            "spec.nodeSelector.nodeSelectorTerms: Invalid value: []: must have exactly one node selector term",
            "spec.allNodes: Invalid value: false: must be either unset or set to true",
            "spec: Invalid value: \"{`nodeName`, `nodeSelector`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
        ],
    );
    check(
        Kind::RESOURCE_SLICE,
        device(json!({"name": "a", "attributes": {
            "x/y/z": {"int": 1}, "a-b": {"int": 1}, "c/": {"int": 1}, "d": {}, "e": {"int": 1, "bool": true},
        }})),
        &[
            &format!(
                "{at}.attributes[a-b]: Invalid value: \"a-b\": a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')"
            ),
            &format!("{at}.attributes[c/]: Required value: the name must not be empty"),
            &format!("{at}.attributes[d]: Required value: exactly one value must be specified"),
            &format!(
                "{at}.attributes[e]: Invalid value: {{\"IntValue\":1,\"BoolValue\":true,\"StringValue\":null,\"VersionValue\":null}}: exactly one value must be specified"
            ),
        ],
    );
    check(
        Kind::RESOURCE_SLICE,
        device(
            json!({"name": "a", "taints": [{"key": "", "effect": ""}], "bindingConditions": ["a", "a"], "nodeName": "n"}),
        ),
        &[
            &format!("{at}.taints[0].key: Invalid value: \"\": name part must be non-empty"),
            &format!(
                "{at}.taints[0].key: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            ),
            &format!("{at}.taints[0].effect: Required value"),
            &format!(
                "{at}: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec"
            ),
            &format!("{at}.bindingConditions[1]: Duplicate value: \"a\""),
            &format!(
                "{at}.bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use bindingConditions"
            ),
        ],
    );
    check(
        Kind::RESOURCE_SLICE,
        slice(|spec| {
            spec["sharedCounters"] = json!([{"name": "s", "counters": {"c": {"value": "1"}}}, {"name": "s", "counters": {}}]);
            spec["devices"][0]["consumesCounters"] = json!([
                {"counterSet": "t", "counters": {"c": {"value": "1"}}},
                {"counterSet": "s", "counters": {"d": {"value": "1"}}},
            ]);
        }),
        &[
            &format!("{at}.consumesCounters[0].counterSet: Invalid value: \"t\": must reference a counterSet defined in the ResourceSlice sharedCounters"),
            &format!("{at}.consumesCounters[1].counterSet: Invalid value: \"s\": must reference a counterSet defined in the ResourceSlice sharedCounters")
                .replace("counterSet: Invalid value: \"s\": must reference a counterSet", "counters: Invalid value: \"d\": must reference a counter"),
            "spec.sharedCounters[1].counters: Required value",
            "spec.sharedCounters[1].name: Duplicate value: \"s\"",
        ],
    );
    let attributes: serde_json::Map<String, Value> =
        (0..33).map(|i| (format!("a{i}"), json!({"int": 1}))).collect();
    check(
        Kind::RESOURCE_SLICE,
        device(json!({"name": "a", "attributes": attributes})),
        &[&format!(
            "{at}: Invalid value: 33: the total number of attributes and capacities must not exceed 32"
        )],
    );
}

#[test]
fn policies_of_capacities() {
    let with = |policy: Value, shared: bool| {
        let device = json!({
            "name": "a", "allowMultipleAllocations": shared, "capacity": {"m": {"value": "10Gi", "requestPolicy": policy}},
        });
        slice(|spec| spec["devices"][0] = device)
    };
    let at = "spec.devices[0].capacity[m].requestPolicy";
    for (policy, expected) in [
        (json!({}), vec![]),
        (json!({"default": "1Gi", "validValues": ["1Gi", "2Gi"]}), vec![]),
        (json!({"default": "1Gi", "validRange": {"min": "1Gi", "step": "1Gi"}}), vec![]),
        (
            json!({"validValues": ["1Gi"]}),
            vec![".default: Required value: required when validValues is defined"],
        ),
        (
            json!({"default": "3Gi", "validValues": ["2Gi", "1Gi", "2Gi", "11Gi"]}),
            vec![
                ".validValues[1]: Invalid value: \"1Gi\": values must be sorted in ascending order",
                ".validValues[3]: Invalid value: \"11Gi\": option is larger than capacity value: 10Gi",
                ".validValues[2]: Duplicate value: \"2147483648\"",
                ".validValues: Invalid value: \"3Gi\": default value is not valid according to the requestPolicy",
            ],
        ),
        (
            json!({"default": "1Gi", "validValues": ["1Gi"], "validRange": {"min": "1Gi"}}),
            vec![
                ": Forbidden: exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time",
            ],
        ),
        (
            json!({"default": "1Gi", "validRange": {"min": "2Gi", "max": "11Gi", "step": "2Gi"}}),
            vec![
                ".validRange.min: Invalid value: \"1Gi\": default is less than min: 2Gi",
                ".validRange.max: Invalid value: \"11Gi\": max is larger than capacity value: 10Gi",
                ".validRange.step: Invalid value: \"1Gi\": value is not a multiple of a given step (2Gi) from (2Gi)",
                ".validRange.step: Invalid value: \"11Gi\": value is not a multiple of a given step (2Gi) from (2Gi)",
            ],
        ),
        (
            json!({"default": "1Gi", "validRange": {"min": "1Gi", "step": "0"}}),
            vec![
                ".validRange.step: Invalid value: \"1Gi\": value is not a multiple of a given step (0) from (1Gi)",
            ],
        ),
        (
            json!({"default": "1Gi", "validRange": {}}),
            vec![".validRange.min: Required value: required when validRange is defined"],
        ),
    ] {
        let expected: Vec<String> = expected.into_iter().map(|text| format!("{at}{text}")).collect();
        assert_eq!(created(Kind::RESOURCE_SLICE, with(policy.clone(), true)), expected, "{policy}");
    }
    let absent = slice(|spec| spec["devices"][0]["capacity"] = json!({"m": {}}));
    assert_eq!(
        object(Kind::RESOURCE_SLICE, absent).as_json().unwrap()["spec"]["devices"][0]["capacity"]["m"]["value"],
        "0"
    );
    let alone = created(Kind::RESOURCE_SLICE, with(json!({}), false));
    assert_eq!(alone, [format!("{at}: Forbidden: allowMultipleAllocations must be true")]);
}

#[test]
fn classes_and_taint_rules() {
    check(
        Kind::DEVICE_CLASS,
        json!({"spec": {"extendedResourceName": "gpu", "config": [{}], "selectors": [{}]}}),
        &[
            "spec.selectors[0].cel: Required value",
            "spec.config[0].opaque: Required value",
            "spec.extendedResourceName: Invalid value: \"gpu\": must be a valid extended resource name",
        ],
    );
    check(
        Kind::DEVICE_TAINT_RULE,
        json!({"spec": {
            "deviceSelector": {"pool": "a//b", "selectors": [{"cel": {"expression": "1"}}]},
            "taint": {"key": "k", "value": "-", "effect": "Evict"},
        }}),
        &[
            "spec.deviceSelector.pool: Invalid value: \"\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            "spec.deviceSelector.selectors[0].cel.expression: Invalid value: \"1\": must evaluate to bool or the unknown type, not int",
            "spec.taint.value: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            "spec.taint.effect: Unsupported value: \"Evict\": supported values: \"NoExecute\", \"NoSchedule\"",
        ],
    );
}

fn with_status(status: Value) -> Object {
    let mut body = claim(|_| {});
    body["status"] = status;
    object(Kind::RESOURCE_CLAIM, body)
}

fn status_error(new: Value, old: Value, labels: &[(&str, &str)]) -> String {
    let labels: Labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let (new, old) = (with_status(new), with_status(old));
    match validate_status(&new, &old, &Kinds::default(), Some(&labels)) {
        Ok(()) => String::new(),
        Err(error) => {
            error.message.trim_start_matches("ResourceClaim.resource.k8s.io \"x\" is invalid: ").into()
        }
    }
}

#[test]
fn statuses_of_claims() {
    let result = json!({"request": "r", "driver": "d", "pool": "p", "device": "a"});
    let allocated = json!({"allocation": {"devices": {"results": [result]}}});
    let with = |field: &str, value: Value| {
        let mut status = allocated.clone();
        status[field] = value;
        status
    };
    let user = |uid: &str| json!({"resource": "pods", "name": "p", "uid": uid});
    let mut other = allocated.clone();
    other["allocation"]["devices"]["results"][0]["device"] = "b".into();
    let mut admin = allocated.clone();
    admin["allocation"]["devices"]["results"][0]["adminAccess"] = true.into();
    let mut unknown = allocated.clone();
    unknown["allocation"]["devices"]["results"][0]["request"] = "q".into();
    let none = json!({});
    let device = json!({"driver": "d", "pool": "p", "device": "a"});
    for (new, old, expected) in [
        (&allocated, &none, ""),
        (&with("reservedFor", json!([user("1")])), &allocated, ""),
        (
            &json!({"reservedFor": [user("1")]}),
            &none,
            "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
        ),
        (
            &with("reservedFor", json!([user("1"), user("1"), {"resource": "", "name": "p", "uid": "2"}])),
            &allocated,
            "[status.reservedFor[2].resource: Required value, status.reservedFor[1].uid: Duplicate value: \"1\"]",
        ),
        (
            &other,
            &allocated,
            "status.allocation: Invalid value: {\"Devices\":{\"Results\":[{\"Request\":\"r\",\"Driver\":\"d\",\"Pool\":\"p\",\"Device\":\"b\",\"AdminAccess\":null,\"Tolerations\":null,\"BindingConditions\":null,\"BindingFailureConditions\":null,\"ShareID\":null,\"ConsumedCapacity\":null}],\"Config\":null},\"NodeSelector\":null,\"AllocationTimestamp\":null}: field is immutable",
        ),
        (
            &unknown,
            &none,
            "status.allocation.devices.results[0].request: Invalid value: \"q\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
        ),
        (&admin, &admin, ""),
        (
            &admin,
            &none,
            "status.allocation.devices.results[0].adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace",
        ),
        (&with("devices", json!([device])), &allocated, ""),
        (
            &json!({"devices": [device]}),
            &none,
            "status.devices[0]: Invalid value: {\"Driver\":{},\"Pool\":{},\"Device\":{},\"ShareID\":{}}: must be an allocated device in the claim",
        ),
        (
            &with(
                "devices",
                json!([{"driver": "d", "pool": "p", "device": "a", "networkData": {"ips": ["10.0.0.1", "2001:DB8::1/64"]}}]),
            ),
            &allocated,
            "[status.devices[0].networkData.ips[0]: Invalid value: \"10.0.0.1\": must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64), status.devices[0].networkData.ips[1]: Invalid value: \"2001:DB8::1/64\": must be in canonical form (\"2001:db8::1/64\")]",
        ),
    ] {
        assert_eq!(status_error(new.clone(), old.clone(), &[]), expected, "{new}");
    }
    assert_eq!(status_error(admin, none, &[("resource.kubernetes.io/admin-access", "true")]), "");
}

#[test]
fn devices_for_administration_need_a_label() {
    let wanting = claim(|d| d["requests"][0]["exactly"]["adminAccess"] = true.into());
    let refusal = "spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace";
    for (kind, body) in
        [(Kind::RESOURCE_CLAIM, wanting.clone()), (Kind::RESOURCE_CLAIM_TEMPLATE, json!({"spec": wanting}))]
    {
        check(kind, body.clone(), &[refusal]);
        let labels: Labels = [("resource.kubernetes.io/admin-access".to_owned(), "true".to_owned())].into();
        let (errors, _) =
            check_create(&object(kind, body), &Kinds::default(), &mut Rules::default(), Some(&labels));
        assert!(errors.is_empty());
    }
}

#[test]
fn what_a_component_wrote_wrongly_is_refused() {
    let mut broken = object(Kind::RESOURCE_CLAIM, claim(|_| {}));
    broken.body = Body::Json(Arc::new(json!({"spec": {"devices": 5}})));
    let (errors, _) = check_create(&broken, &Kinds::default(), &mut Rules::default(), None);
    assert!(errors.aggregate().contains("spec: Internal error: "), "{}", errors.aggregate());
}
