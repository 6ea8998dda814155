use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::meta::{Deletion, Key, Meta, OwnerReference, Uid};
use crate::api::pod_status::{
    ConditionStatus, ContainerState, ContainerStatus, PodCondition, PodPhase, PodStatus, QosClass, Terminated,
};
use crate::time::{Time, secs};

fn round_trip(object: &Object) -> Object {
    let (kinds, epoch) = (Kinds::default(), Epoch::default());
    let json = to_json(object, &kinds, epoch);
    let back = from_json(&json, &kinds, epoch).unwrap();
    assert_eq!(to_json(&back, &kinds, epoch), json);
    let text = to_yaml([object], &kinds, epoch);
    let source = crate::load::Source::new("f", text.clone());
    let loaded = crate::load::objects(&mut Kinds::default(), &[source], &Default::default());
    assert_eq!(to_json(&loaded.expect(&text).objects[0].object, &kinds, epoch), json, "{text}");
    back
}

fn word() -> impl Strategy<Value = SmolStr> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,12}".prop_map(SmolStr::from),
        "[ -~éß\n\t]{1,20}".prop_map(SmolStr::from),
        Just(SmolStr::new("yes")),
    ]
}

fn at() -> impl Strategy<Value = Time> {
    (-1_000_000..1_000_000i64).prop_map(|s| Time::ZERO + secs(s))
}

fn ended() -> impl Strategy<Value = Terminated> {
    (any::<i32>(), 0..64i32, word(), word(), at(), at()).prop_map(
        |(exit_code, signal, reason, message, started_at, finished_at)| Terminated {
            exit_code,
            signal,
            reason,
            message,
            started_at,
            finished_at,
        },
    )
}

fn container() -> impl Strategy<Value = ContainerStatus> {
    let state = prop_oneof![
        (word(), word()).prop_map(|(reason, message)| ContainerState::Waiting { reason, message }),
        at().prop_map(|started_at| ContainerState::Running { started_at }),
        ended().prop_map(|t| ContainerState::Terminated(Box::new(t))),
    ];
    let last = proptest::option::of(ended().prop_map(Box::new));
    (word(), state, last, any::<bool>(), any::<Option<bool>>(), 0..9i32, word()).prop_map(
        |(name, state, last_terminated, ready, started, restart_count, image)| ContainerStatus {
            name,
            state,
            last_terminated,
            ready,
            started,
            restart_count,
            image,
        },
    )
}

fn status() -> impl Strategy<Value = PodStatus> {
    let condition =
        (word(), any::<bool>(), word(), at(), 0..3i64).prop_map(|(kind, yes, reason, at, generation)| {
            PodCondition {
                kind,
                status: ConditionStatus::from(yes),
                reason: reason.clone(),
                message: reason,
                last_transition_time: at,
                observed_generation: generation,
            }
        });
    let phase = prop_oneof![Just(PodPhase::Pending), Just(PodPhase::Running), Just(PodPhase::Failed)];
    let qos = prop_oneof![Just(QosClass::BestEffort), Just(QosClass::Burstable), Just(QosClass::Guaranteed)];
    (
        (phase, qos, word(), word(), word(), proptest::option::of(at())),
        proptest::collection::vec(condition, 0..4),
        proptest::collection::vec(container(), 0..3),
        proptest::collection::vec(container(), 0..3),
        (word(), word(), 0..5i64),
    )
        .prop_map(|(first, conditions, main, init, (pod_ip, host_ip, observed_generation))| PodStatus {
            phase: first.0,
            qos_class: first.1,
            reason: first.2,
            message: first.3,
            nominated_node_name: first.4,
            start_time: first.5,
            conditions: conditions.into(),
            init_container_statuses: init,
            container_statuses: main,
            pod_ip,
            host_ip,
            observed_generation,
            other: None,
        })
}

fn meta() -> impl Strategy<Value = Meta> {
    let labels = || proptest::collection::btree_map("[a-z./]{1,9}", "[ -~\n]{0,9}", 0..4).prop_map(Arc::new);
    let owner = (word(), word(), any::<u128>(), any::<bool>()).prop_map(|(kind, name, uid, controller)| {
        let (api_version, uid) = (SmolStr::new("apps/v1"), Uid(uid | 1));
        OwnerReference { api_version, kind, name, uid, controller, block_owner_deletion: !controller }
    });
    let deletion = proptest::option::of((at(), 0..100i64)).prop_map(|d| {
        d.map(|(timestamp, grace_period_seconds)| Deletion { timestamp, grace_period_seconds })
    });
    (
        (word(), word(), any::<u64>(), 0..9i64, at(), any::<u128>()),
        (labels(), labels()),
        proptest::collection::vec(owner, 0..3),
        proptest::collection::vec(word(), 0..3),
        deletion,
    )
        .prop_map(|(first, (labels, annotations), owners, finalizers, deletion)| Meta {
            key: Key::new(first.0, first.1),
            generate_name: SmolStr::default(),
            uid: Uid(first.5 | 1),
            resource_version: first.2,
            generation: first.3,
            creation_timestamp: first.4,
            deletion,
            labels,
            annotations,
            owner_references: owners.into(),
            finalizers: finalizers.into(),
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pods_round_trip(meta in meta(), status in status(), node_name in word()) {
        let spec = Arc::new(decode_value(&json!({"containers": [{"name": "c"}], "priority": 5})).unwrap());
        let pod = Object::new(meta, Body::Pod(Pod { spec, node_name, status: Arc::new(status) }));
        prop_assert_eq!(round_trip(&pod), pod);
    }

    #[test]
    fn any_json_survives_yaml(text in "[ -~éß\n\t\u{85}\u{feff}]{0,24}", key in "[ -~\n]{0,10}", n in any::<i64>(), f in -1e12..1e12f64) {
        let value = json!({"a": {key.as_str(): [text, [n, [f]], {"x": [{}, []], "y": null}], "t": text.trim_end()}});
        let yaml = value_to_yaml(&value);
        let source = crate::load::Source::new("f", yaml.clone());
        let documents = crate::load::documents(&source, &Default::default()).expect(&yaml);
        prop_assert_eq!(documents[0].root.to_value(), value, "{}", yaml);
    }
}

#[test]
fn yaml_reads_well() {
    let value = json!({
        "args": ["-c", "echo a\necho b\n", "x: y", "5", "no", "a b", "0x1", "12:30", ""],
        "image": "registry.k8s.io/pause:3.10",
        "nested": [{"a": 1, "b": {"c": []}}, [1, 2]],
        "time": "2025-01-01T00:00:00Z",
    });
    let wanted = "args:\n- \"-c\"\n- |\n  echo a\n  echo b\n- \"x: y\"\n- \"5\"\n- \"no\"\n- a b\n- \"0x1\"\n- \"12:30\"\n- \"\"\n\
        image: registry.k8s.io/pause:3.10\nnested:\n- a: 1\n  b:\n    c: []\n- - 1\n  - 2\ntime: \"2025-01-01T00:00:00Z\"\n";
    assert_eq!(value_to_yaml(&value), wanted);
}

#[test]
fn fields_that_the_row_cannot_hold_are_kept() {
    let status = json!({
        "phase": "Running", "qosClass": "Burstable", "hostIP": "10.0.0.1", "podIP": "10.1.0.1",
        "hostIPs": [{"ip": "10.0.0.1"}],
        "podIPs": [{"ip": "10.1.0.1"}, {"ip": "fd00::1"}],
        "resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "gpu-x"}],
        "containerStatuses": [{
            "name": "c", "image": "i", "imageID": "sha256:1", "containerID": "containerd://2", "ready": true,
            "started": true, "restartCount": 1, "state": {"running": {"startedAt": "2025-01-01T00:00:01Z"}},
            "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": "2025-01-01T00:00:00Z",
                "finishedAt": "2025-01-01T00:00:01Z"}},
            "allocatedResources": {"cpu": "1"},
        }],
    });
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": status});
    let object = from_json(&pod, &Kinds::default(), Epoch::default()).unwrap();
    let mut wanted = status;
    wanted.sort_all_objects();
    assert_eq!(to_json(&object, &Kinds::default(), Epoch::default())["status"], wanted);
}

#[test]
fn errors_of_values_have_a_path() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"ports": [{"containerPort": "x"}]}]}});
    let error = from_json(&pod, &Kinds::default(), Epoch::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        "spec.containers[0].ports[0].containerPort: expected a whole number of 32 bits, found the text \"x\""
    );
    let error = from_json(&json!({"kind": "Pod"}), &Kinds::default(), Epoch::default()).unwrap_err();
    assert!(error.to_string().starts_with("no matches for kind \"Pod\" in version \"\""));
}

#[test]
fn quantities_keep_their_text() {
    let text = r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"},
        "status": {"capacity": {"cpu": 1e3, "memory": "5.", "pods": 110, "x": 0.50}}}"#;
    let source = crate::load::Source::new("f", text);
    let loaded = crate::load::objects(&mut Kinds::default(), &[source], &Default::default()).unwrap();
    let json = to_json(&loaded.objects[0].object, &Kinds::default(), Epoch::default());
    assert_eq!(json["status"]["capacity"], json!({"cpu": "1e3", "memory": "5.", "pods": "110", "x": "500m"}));
}
