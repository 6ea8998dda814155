//! When pods are to go, after one change or several.

use k8s_openapi::api::core::v1::{PodResourceClaim, PodSpec};
use serde_json::json;
use sim_core::api::meta::{Meta, OwnerReference, Uid};
use sim_core::api::object::{Body, Pod};
use sim_core::api::pod_status::PodStatus;
use sim_core::time::secs;

use super::*;
use crate::machinery::host::Controller as _;

const POD: Uid = Uid(1);

/// When taints are set, in seconds since the beginning.
fn stamp(seconds: i64) -> String {
    Epoch::default().rfc3339(Time::ZERO + secs(seconds))
}

fn pod() -> Object {
    let claim = PodResourceClaim {
        name: "gpu".into(),
        resource_claim_template_name: Some("t".into()),
        ..PodResourceClaim::default()
    };
    let spec = PodSpec { resource_claims: Some(vec![claim]), ..PodSpec::default() };
    let statuses = json!({"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "claim"}]});
    let status = PodStatus { other: statuses.as_object().cloned().map(Arc::new), ..PodStatus::default() };
    let body = Pod { spec: Arc::new(spec), node_name: "node-1".into(), status: Arc::new(status) };
    Object::new(Meta { uid: POD, ..Meta::named(Key::new("ns", "pod")) }, Body::Pod(body))
}

fn unbound() -> Object {
    let mut pod = pod();
    if let Body::Pod(body) = &mut pod.body {
        body.node_name = "".into();
    }
    pod
}

/// Has the devices of `driver/pool`, with these tolerations, for these pods.
fn claim(devices: &[(&str, Value)], users: &[(&str, u128)]) -> Object {
    let result = |(device, tolerations): &(&str, Value)| json!({"request": "r", "driver": "driver", "pool": "pool", "device": device, "tolerations": tolerations});
    let user =
        |(name, uid): &(&str, u128)| json!({"resource": "pods", "name": name, "uid": Uid(*uid).to_string()});
    let results: Value = devices.iter().map(result).collect();
    let reserved: Value = users.iter().map(user).collect();
    let body = json!({"spec": {}, "status": {"allocation": {"devices": {"results": results}}, "reservedFor": reserved}});
    let owner = OwnerReference {
        api_version: "v1".into(),
        kind: "Pod".into(),
        name: "pod".into(),
        uid: POD,
        controller: true,
        block_owner_deletion: true,
    };
    let meta = Meta {
        uid: Uid(50),
        owner_references: smallvec::smallvec![owner],
        ..Meta::named(Key::new("ns", "claim"))
    };
    Object::json(Kind::RESOURCE_CLAIM, meta, body)
}

fn used() -> Object {
    claim(&[("gpu-0", Value::Null)], &[("pod", 1)])
}

/// One slice of the pool: devices with their taints, each an effect and an instant.
fn slice(name: &str, generation: i64, devices: &[(&str, &[(&str, i64)])]) -> Object {
    let taint = |(effect, at): &(&str, i64)| json!({"key": "k", "effect": effect, "timeAdded": stamp(*at)});
    let device = |(name, taints): &(&str, &[(&str, i64)])| {
        let taints: Value = taints.iter().map(taint).collect();
        json!({"name": name, "taints": taints})
    };
    let devices: Value = devices.iter().map(device).collect();
    let pool = json!({"name": "pool", "generation": generation, "resourceSliceCount": 1});
    let body = json!({"spec": {"driver": "driver", "pool": pool, "nodeName": "node-1", "devices": devices}});
    Object::json(Kind::RESOURCE_SLICE, Meta::named(Key::cluster(name)), body)
}

fn tainted(at: i64) -> Object {
    slice("s", 1, &[("gpu-0", &[("NoExecute", at)])])
}

fn healthy() -> Object {
    slice("s", 1, &[("gpu-0", &[])])
}

fn rule(selector: Value, at: i64) -> Object {
    let taint = json!({"key": "k", "effect": "NoExecute", "timeAdded": stamp(at)});
    let body = json!({"spec": {"deviceSelector": selector, "taint": taint}});
    Object::json(Kind::DEVICE_TAINT_RULE, Meta::named(Key::cluster("rule")), body)
}

struct World {
    caches: Caches,
    controller: Controller,
    now: Time,
    queue: Vec<(ObjectRef, Span)>,
}

impl World {
    fn new() -> World {
        let mut controller = Controller::default();
        controller.start(FeatureGates::default().with(Gate::DRADeviceTaints), Epoch::default());
        World { caches: Caches::default(), controller, now: Time::ZERO + secs(100), queue: Vec::new() }
    }

    fn tell(&mut self, kind: ChangeKind, old: Option<Object>, new: Object) {
        let change = Change { kind, old: old.map(Arc::new), new: Arc::new(new) };
        self.caches.apply(&change);
        let queue = &mut self.queue;
        self.controller.changed(&self.caches, self.now, &change, &mut |key, after| queue.push((key, after)));
    }

    fn with(objects: impl IntoIterator<Item = Object>) -> World {
        let mut world = World::new();
        objects.into_iter().for_each(|object| world.tell(ChangeKind::Added, None, object));
        world
    }

    /// The second at which the pod is to go.
    fn plan(&self) -> Option<i64> {
        let eviction = self.controller.evictions.get(&Key::new("ns", "pod"))?;
        assert_eq!(eviction.pod.meta.uid, POD);
        Some((eviction.at - Time::ZERO).0 / secs(1).0)
    }
}

#[test]
fn who_has_to_go_and_when() {
    let tolerates =
        |seconds: Value| json!([{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]);
    let two = json!([
        {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
        {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
    ]);
    let any_effect = json!([{"operator": "Exists"}]);
    let with = |tolerations: Value| vec![tainted(40), claim(&[("gpu-0", tolerations)], &[("pod", 1)]), pod()];
    let table: Vec<(&str, Vec<Object>, Option<i64>)> = vec![
        ("a taint", vec![tainted(40), used(), pod()], Some(40)),
        ("the order does not matter", vec![pod(), used(), tainted(40)], Some(40)),
        ("no taint", vec![healthy(), used(), pod()], None),
        ("another effect", vec![slice("s", 1, &[("gpu-0", &[("NoSchedule", 40)])]), used(), pod()], None),
        ("another device", vec![slice("s", 1, &[("gpu-1", &[("NoExecute", 40)])]), used(), pod()], None),
        (
            "the earliest of two",
            vec![slice("s", 1, &[("gpu-0", &[("NoExecute", 70), ("NoExecute", 50)])]), used(), pod()],
            Some(50),
        ),
        ("an old generation", vec![tainted(40), slice("new", 2, &[("gpu-0", &[])]), used(), pod()], None),
        ("no node yet", vec![tainted(40), used(), unbound()], None),
        ("not reserved", vec![tainted(40), claim(&[("gpu-0", Value::Null)], &[]), pod()], None),
        ("of another pod", vec![tainted(40), claim(&[("gpu-0", Value::Null)], &[("pod", 2)]), pod()], None),
        ("tolerated for ever", with(tolerates(Value::Null)), None),
        ("tolerated for a while", with(tolerates(json!(300))), Some(340)),
        ("less than nothing is nothing", with(tolerates(json!(-5))), Some(40)),
        ("the least of several", with(two), Some(70)),
        ("tolerations for any effect do not count", with(any_effect), Some(40)),
        ("a rule", vec![healthy(), used(), pod(), rule(json!({"driver": "driver"}), 60)], Some(60)),
        ("a rule for another pool", vec![healthy(), used(), pod(), rule(json!({"pool": "p"}), 60)], None),
        (
            "one of two devices",
            vec![
                slice("s", 1, &[("gpu-0", &[]), ("gpu-1", &[("NoExecute", 80)])]),
                claim(&[("gpu-0", Value::Null), ("gpu-1", Value::Null)], &[("pod", 1)]),
                pod(),
            ],
            Some(80),
        ),
        (
            "as upstream, users after one that is not there are not looked at",
            vec![pod(), claim(&[("gpu-0", Value::Null)], &[("gone", 7), ("pod", 1)]), tainted(40)],
            None,
        ),
    ];
    for (case, objects, want) in table {
        assert_eq!(World::with(objects).plan(), want, "{case}");
    }
}

#[test]
fn nothing_happens_with_the_gate_off() {
    let mut world = World::new();
    world.controller.start(FeatureGates::default(), Epoch::default());
    [tainted(40), used(), pod()].into_iter().for_each(|object| world.tell(ChangeKind::Added, None, object));
    assert_eq!(world.plan(), None);
}

#[test]
fn plans_change_with_what_is_seen() {
    let later = || {
        claim(
            &[("gpu-0", json!([{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]))],
            &[("pod", 1)],
        )
    };
    let planned = || World::with([tainted(40), later(), pod()]);
    assert_eq!(planned().plan(), Some(340));
    // The change, what it makes of the plan, and whether it is told.
    let table = [
        ("healed", ChangeKind::Modified, tainted(40), healthy(), None, true),
        ("tainted later", ChangeKind::Modified, tainted(40), tainted(50), Some(350), false),
        ("the slice is gone", ChangeKind::Deleted, tainted(40), tainted(40), None, true),
        ("the pod is gone", ChangeKind::Deleted, pod(), pod(), None, false),
        ("the claim is gone", ChangeKind::Deleted, later(), later(), None, true),
        (
            "not reserved any more",
            ChangeKind::Modified,
            later(),
            claim(
                &[(
                    "gpu-0",
                    json!([{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]),
                )],
                &[],
            ),
            None,
            true,
        ),
    ];
    for (case, kind, old, new, want, told) in table {
        let mut world = planned();
        world.tell(kind, Some(old), new);
        assert_eq!(world.plan(), want, "{case}");
        assert_eq!(!world.controller.cancelled.is_empty(), told, "{case}");
    }
}

#[test]
fn what_is_due_is_not_called_off_and_what_is_put_off_waits() {
    let mut world = World::with([tainted(40), used(), pod()]);
    let key = reference(&pod());
    assert_eq!(world.queue, [(key.clone(), secs(-60))]);
    world.tell(ChangeKind::Modified, Some(tainted(40)), tainted(400));
    assert_eq!((world.plan(), world.queue.len()), (Some(40), 1), "it is under way");

    let mut world = World::with([tainted(200), used(), pod()]);
    world.tell(ChangeKind::Modified, Some(tainted(200)), tainted(400));
    let input = world.controller.gather(&world.caches, &key, Time::ZERO + secs(200)).expect("planned");
    assert_eq!((input.wait, input.is_last), (secs(200), false));
    for attempt in 1..=TRIES {
        let input = world.controller.gather(&world.caches, &key, Time::ZERO + secs(400)).expect("planned");
        assert_eq!((input.wait, input.is_last), (Span::ZERO, attempt == TRIES));
    }
}
