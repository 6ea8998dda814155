use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::kind::Kinds;
use crate::api::wire;
use crate::time::Epoch;

fn load(value: &Value) -> Object {
    wire::from_json(value, &Kinds::default(), Epoch::default()).unwrap()
}

fn defaulted(api_version: &str, kind: &str, mut value: Value) -> Value {
    value["apiVersion"] = api_version.into();
    value["kind"] = kind.into();
    let mut object = load(&value);
    apply(&mut object, &|| "2025-01-01T00:00:00Z".into());
    wire::to_json(&object, &Kinds::default(), Epoch::default())
}

/// Kinds that the recorded vectors leave out.
#[test]
fn defaults_of_rarer_kinds() {
    let cases = [
        (
            "v1",
            "Namespace",
            json!({"metadata": {"name": "a"}}),
            "/metadata/labels",
            json!({"kubernetes.io/metadata.name": "a"}),
        ),
        ("v1", "Namespace", json!({"metadata": {"name": "a"}}), "/status/phase", json!("Active")),
        ("v1", "Secret", json!({}), "/type", json!("Opaque")),
        (
            "v1",
            "PersistentVolume",
            json!({}),
            "/spec",
            json!({"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"}),
        ),
        (
            "resource.k8s.io/v1alpha3",
            "DeviceTaintRule",
            json!({"spec": {"deviceSelector": {"driver": "d"}, "taint": {"key": "broken", "effect": "NoExecute"}}}),
            "/spec/taint",
            json!({"key": "broken", "effect": "NoExecute", "timeAdded": "2025-01-01T00:00:00Z"}),
        ),
        (
            "storage.k8s.io/v1",
            "StorageClass",
            json!({"provisioner": "p"}),
            "/volumeBindingMode",
            json!("Immediate"),
        ),
        (
            "v1",
            "LimitRange",
            json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "0.5"}, "min": {"memory": "1Mi"}}]}}),
            "/spec/limits/0",
            json!({"type": "Container", "max": {"cpu": "500m"}, "min": {"memory": "1Mi"}, "default": {"cpu": "500m"},
                "defaultRequest": {"cpu": "500m", "memory": "1Mi"}}),
        ),
        (
            "v1",
            "ReplicationController",
            json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}),
            "/spec/selector",
            json!({"a": "b"}),
        ),
        (
            "networking.k8s.io/v1",
            "NetworkPolicy",
            json!({"spec": {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}}),
            "/spec",
            json!({"podSelector": {}, "egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}], "policyTypes": ["Ingress", "Egress"]}),
        ),
        (
            "v1",
            "Pod",
            json!({"spec": {"containers": [], "volumes": [{"name": "v", "rbd": {"image": "i", "monitors": ["m"]}}]}}),
            "/spec/volumes/0/rbd",
            json!({"image": "i", "monitors": ["m"], "pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}),
        ),
        (
            "v1",
            "Pod",
            json!({"spec": {"containers": [], "ephemeralContainers": [{"name": "e", "image": "i:1"}]}}),
            "/spec/ephemeralContainers/0/imagePullPolicy",
            json!("IfNotPresent"),
        ),
    ];
    for (api_version, kind, value, pointer, wanted) in cases {
        let found = defaulted(api_version, kind, value);
        assert_eq!(found.pointer(pointer), Some(&wanted), "{kind} {pointer}: {found}");
    }
}

#[test]
fn the_internal_form_moves_what_is_for_writing_only() {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "eA==", "b": "eQ=="}, "stringData": {"a": "new"}});
    let mut object = load(&secret);
    apply_internal(&mut object);
    assert_eq!(object.as_json(), Some(&json!({"data": {"a": "bmV3", "b": "eQ=="}})));
}

#[test]
fn a_finished_spec_stays_shared() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c"}]}});
    let mut first = load(&pod);
    apply(&mut first, &String::new);
    let mut second = first.clone();
    apply(&mut second, &String::new);
    assert!(Arc::ptr_eq(&first.as_pod().unwrap().spec, &second.as_pod().unwrap().spec));
}

fn container() -> impl Strategy<Value = Value> {
    let quantity = prop_oneof![Just("1"), Just("0.1"), Just("1500u"), Just("1.5Gi"), Just("5.")];
    let list = || {
        proptest::collection::btree_map(
            prop_oneof![Just("cpu"), Just("memory"), Just("x.io/y")],
            quantity.clone(),
            0..3,
        )
    };
    (list(), list(), any::<bool>(), prop_oneof![Just("i"), Just("i:1"), Just("I!")]).prop_map(
        |(limits, requests, probe, image)| {
            let mut c =
                json!({"name": "c", "image": image, "resources": {"limits": limits, "requests": requests}});
            if probe {
                c["livenessProbe"] = json!({"grpc": {"port": 1}});
                c["ports"] = json!([{"containerPort": 80}]);
            }
            c
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn defaulting_twice_is_defaulting_once(
        containers in proptest::collection::vec(container(), 0..3),
        own in container(),
        host in any::<bool>(),
    ) {
        let spec = json!({"containers": containers, "hostNetwork": host, "resources": own["resources"], "volumes": [{"name": "v"}]});
        let template = json!({"spec": spec});
        for (api_version, kind, spec) in [
            ("v1", "Pod", spec.clone()),
            ("batch/v1", "Job", json!({"template": template})),
            ("apps/v1", "StatefulSet", json!({"template": template})),
            ("batch/v1", "CronJob", json!({"jobTemplate": {"spec": {"template": template}}})),
        ] {
            let once = defaulted(api_version, kind, json!({"spec": spec}));
            prop_assert_eq!(&defaulted(api_version, kind, once.clone()), &once);
        }
    }
}
