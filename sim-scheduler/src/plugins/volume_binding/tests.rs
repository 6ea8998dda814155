use serde_json::{Value, json};
use sim_core::api::meta::Key;

use super::*;
use crate::cache::Cache;
use crate::framework::{AnyPlugin, Wake, plugin};
use crate::pod::Classes;
use crate::testing::volumes::*;
use crate::testing::{ask, node, pod};

fn binding(args: Value) -> VolumeBinding {
    VolumeBinding::new(crate::config::args::read(&args).expect("arguments")).expect("a plugin")
}

fn local(name: &str, node: &str) -> Object {
    volume(name, json!({"nodeAffinity": only_on("host", node)}))
}

fn nodes() -> Vec<Object> {
    let zone = |name: &str, zone: &str| node(name).label("host", name).label("zone", zone).build();
    vec![zone("a", "x"), zone("b", "y")]
}

/// What the plugin says of a pod with some claims, among these objects, a class that makes volumes and one that does
/// not.
fn say(objects: &[Object], claims: &[&str]) -> String {
    let registered: Arc<dyn AnyPlugin> = plugin(binding(Value::Null)).pre_filter().cluster_filter().into();
    let classes = [wait(), class("local", "kubernetes.io/no-provisioner", "WaitForFirstConsumer")];
    let all = nodes().into_iter().chain(classes).chain(objects.iter().cloned());
    verdicts(&*registered, &cluster(all), &pod_with("p", claims))
}

fn refused(nodes: &[&str], reason: &str) -> String {
    let line = |node: &&str| format!("{node} UnschedulableAndUnresolvable: {reason}");
    nodes.iter().map(line).collect::<Vec<_>>().join("; ")
}

#[test]
fn claims_that_keep_a_pod_from_all_nodes() {
    let lost = || {
        let body = json!({"spec": {"volumeName": "v"}, "status": {"phase": "Lost"}});
        stored(Kind::PERSISTENT_VOLUME_CLAIM, "c", body)
    };
    let deleting = || {
        let mut object = claim("c", json!({}));
        object.meta.deletion =
            Some(sim_core::api::meta::Deletion { timestamp: Time::ZERO, grace_period_seconds: 0 });
        object
    };
    let unbound = "UnschedulableAndUnresolvable: pod has unbound immediate PersistentVolumeClaims";
    for (objects, claims, want) in [
        (vec![], vec![], "skipped"),
        (vec![], vec!["c"], "UnschedulableAndUnresolvable: persistentvolumeclaim \"c\" not found"),
        (
            vec![],
            vec!["e!"],
            "UnschedulableAndUnresolvable: waiting for ephemeral volume controller to create the \
             persistentvolumeclaim \"p-e\"",
        ),
        (
            vec![claim("p-e", json!({}))],
            vec!["e!"],
            "UnschedulableAndUnresolvable: PVC default/p-e was not created for pod default/p (pod is not owner)",
        ),
        (vec![owned_by(claim("p-e", json!({})), "p")], vec!["e!"], "fits"),
        (
            vec![lost()],
            vec!["c"],
            "UnschedulableAndUnresolvable: persistentvolumeclaim \"c\" bound to non-existent persistentvolume \"v\"",
        ),
        (
            vec![deleting()],
            vec!["c"],
            "UnschedulableAndUnresolvable: persistentvolumeclaim \"c\" is being deleted",
        ),
        (
            vec![claim("c", json!({"storageClassName": "now"})), class("now", "x", "Immediate")],
            vec!["c"],
            unbound,
        ),
        (vec![claim("c", json!({"storageClassName": "gone"}))], vec!["c"], unbound),
        (vec![claim("c", json!({"storageClassName": ""}))], vec!["c"], unbound),
        (
            // Bound by the user, but not yet by the controller.
            vec![stored(
                Kind::PERSISTENT_VOLUME_CLAIM,
                "c",
                json!({"spec": {"storageClassName": "wait", "volumeName": "v"}}),
            )],
            vec!["c"],
            unbound,
        ),
        (
            vec![
                claim("c", json!({"storageClassName": "silent"})),
                stored(Kind::STORAGE_CLASS, "silent", json!({"provisioner": "x"})),
            ],
            vec!["c"],
            "Error: VolumeBindingMode not set for StorageClass \"silent\"",
        ),
    ] {
        assert_eq!(say(&objects, &claims), want, "{objects:?}");
    }
}

#[test]
fn bound_volumes_say_where() {
    let bound = |volume: Option<Object>| {
        [Some(claim("c", json!({"volumeName": "v"}))), volume].into_iter().flatten().collect::<Vec<_>>()
    };
    let in_tree = labelled(
        volume("v", json!({"awsElasticBlockStore": {"volumeID": "vol-1"}})),
        "topology.kubernetes.io/zone",
        "x",
    );
    let migrated = |node: &str| {
        let object = stored(Kind::CSI_NODE, node, json!({}));
        annotated(object, "storage.alpha.kubernetes.io/migrated-plugins", "kubernetes.io/aws-ebs")
    };
    let broken = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "Near"}]}]}});
    let gone = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
    let conflict = "node(s) didn't match PersistentVolume's node affinity";
    let mut on_a = bound(Some(in_tree.clone()));
    on_a.push(migrated("a"));
    let mut untranslatable =
        bound(Some(volume("v", json!({"awsElasticBlockStore": {"volumeID": "aws://"}}))));
    untranslatable.push(migrated("a"));
    for (objects, want) in [
        (bound(Some(volume("v", json!({})))), "fits".to_owned()),
        (bound(Some(local("v", "a"))), refused(&["b"], conflict)),
        (bound(Some(volume("v", json!({"nodeAffinity": broken})))), refused(&["a", "b"], conflict)),
        (bound(None), refused(&["a", "b"], gone)),
        (bound(Some(in_tree)), "fits".to_owned()),
        // Where it is the driver's volume, its zone goes by the driver's label, which the node does not have.
        (on_a, refused(&["a"], conflict)),
        (
            untranslatable,
            "a Error: could not translate pv: failed to translate Kubernetes ID to EBS Volume ID Invalid format for \
             AWS volume (aws://)"
                .to_owned(),
        ),
    ] {
        assert_eq!(say(&objects, &["c"]), want, "{objects:?}");
    }
}

#[test]
fn volumes_are_made_where_the_class_allows() {
    let no_volume = "node(s) didn't find available persistent volumes to bind";
    let no_space = "node(s) did not have enough free storage";
    let wants = |spec: Value| claim("c", spec);
    let topology = |zones: Value| json!([{"matchLabelExpressions": [{"key": "zone", "values": zones}]}]);
    let limited = |topologies: Value| {
        let body = json!({"provisioner": "csi.x", "volumeBindingMode": "WaitForFirstConsumer",
            "allowedTopologies": topologies});
        stored(Kind::STORAGE_CLASS, "limited", body)
    };
    let in_limited = || wants(json!({"storageClassName": "limited"}));
    let tracked = |on: bool| stored(Kind::CSI_DRIVER, "csi.x", json!({"spec": {"storageCapacity": on}}));
    let room = |name: &str, zone: &str, more: Value| {
        let mut body = json!({"storageClassName": "wait", "nodeTopology": {"matchLabels": {"zone": zone}}});
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        stored(Kind::CSI_STORAGE_CAPACITY, name, body)
    };
    let selected = |node: &str| annotated(wants(json!({})), "volume.kubernetes.io/selected-node", node);
    for (objects, want) in [
        (vec![wants(json!({}))], "fits".to_owned()),
        (vec![wants(json!({"storageClassName": "local"}))], refused(&["a", "b"], no_volume)),
        (vec![in_limited(), limited(topology(json!(["x", "z"])))], refused(&["b"], no_volume)),
        (vec![in_limited(), limited(json!([{}]))], refused(&["a", "b"], no_volume)),
        (vec![in_limited(), limited(topology(json!([])))], refused(&["a", "b"], no_volume)),
        (vec![in_limited(), limited(json!([]))], "fits".to_owned()),
        (vec![selected("b")], refused(&["a"], no_volume)),
        (vec![wants(json!({})), tracked(true)], refused(&["a", "b"], no_space)),
        (vec![wants(json!({})), tracked(false)], "fits".to_owned()),
        (vec![wants(json!({"resources": {}})), tracked(true)], "fits".to_owned()),
        (
            vec![wants(json!({})), tracked(true), room("r", "x", json!({"capacity": "1Gi"}))],
            refused(&["b"], no_space),
        ),
        (
            vec![wants(json!({})), tracked(true), room("r", "x", json!({"capacity": "1073741823"}))],
            refused(&["a", "b"], no_space),
        ),
        (
            // The largest volume counts, where it is known.
            vec![
                wants(json!({})),
                tracked(true),
                room("r", "x", json!({"capacity": "9Gi", "maximumVolumeSize": "1Mi"})),
                room("s", "y", json!({"capacity": "1Mi", "maximumVolumeSize": "1Gi"})),
            ],
            refused(&["a"], no_space),
        ),
        (
            vec![
                wants(json!({})),
                tracked(true),
                room("r", "x", json!({"capacity": "1Gi", "storageClassName": "local"})),
            ],
            refused(&["a", "b"], no_space),
        ),
    ] {
        assert_eq!(say(&objects, &["c"]), want, "{objects:?}");
    }
}

/// The volumes that a pod with some claims reserves on a node, and what is assumed then.
fn reserve(cache: &Cache, claims: &[&str], node: &str) -> (PodVolumes, Effects) {
    let (pod, plugin) = (pod_with("p", claims), binding(Value::Null));
    let info = Classes::default().of(&pod).expect("a pod");
    let attempt = Attempt { pod: &info, object: &pod, cluster: cache, now: Time::ZERO };
    let mut cycle = plugin.pre_filter(&info);
    assert_eq!(plugin.check(&mut cycle, &attempt), PreFiltered::Proceed);
    let mut effects = Effects::default();
    assert_eq!(plugin.reserve(&mut cycle, &attempt, node, &mut effects), Status::success());
    (cycle, effects)
}

fn chosen(cycle: &PodVolumes) -> Vec<(&str, &str)> {
    let bound = cycle.chosen.bindings.iter().map(|b| (b.claim.meta.name(), b.volume.meta.name()));
    bound.chain(cycle.chosen.provisions.iter().map(|claim| (claim.meta.name(), ""))).collect()
}

#[test]
fn the_smallest_volume_that_suits() {
    let sized = |name: &str, size: &str, more: Value| {
        let mut spec = json!({"capacity": {"storage": size}});
        if let (Value::Object(spec), Value::Object(more)) = (&mut spec, more) {
            spec.extend(more);
        }
        volume(name, spec)
    };
    let plain = json!({});
    let any = || claim("c", json!({}));
    let of = |claim: &str| json!({"claimRef": {"namespace": "default", "name": claim}});
    let unavailable = |object: &Object| {
        let mut body = object.as_json().expect("JSON").clone();
        body["status"]["phase"] = json!("Released");
        Object { body: sim_core::api::object::Body::Json(Arc::new(body)), ..object.clone() }
    };
    for (case, claims, volumes, want) in [
        (
            "size",
            vec![any()],
            vec![sized("l", "3Gi", plain.clone()), sized("m", "2Gi", plain.clone())],
            vec![("c", "m")],
        ),
        ("too small", vec![any()], vec![sized("s", "1023Mi", plain.clone())], vec![("c", "")]),
        ("by name", vec![any()], vec![volume("z", json!({})), volume("y", json!({}))], vec![("c", "y")]),
        ("elsewhere", vec![any()], vec![local("v", "b"), sized("w", "5Gi", plain.clone())], vec![("c", "w")]),
        ("class", vec![any()], vec![volume("v", json!({"storageClassName": "local"}))], vec![("c", "")]),
        ("mode", vec![any()], vec![volume("v", json!({"volumeMode": "Block"}))], vec![("c", "")]),
        ("access", vec![any()], vec![volume("v", json!({"accessModes": ["ReadOnlyMany"]}))], vec![("c", "")]),
        (
            "attributes",
            vec![any()],
            vec![volume("v", json!({"volumeAttributesClassName": "fast"}))],
            vec![("c", "")],
        ),
        ("phase", vec![any()], vec![unavailable(&volume("v", json!({})))], vec![("c", "")]),
        (
            "selector",
            vec![claim("c", json!({"selector": {"matchLabels": {"disk": "ssd"}}}))],
            vec![volume("v", json!({})), labelled(volume("w", json!({})), "disk", "ssd")],
            vec![("c", "w")],
        ),
        ("another's", vec![any()], vec![volume("v", of("d"))], vec![("c", "")]),
        (
            "promised",
            vec![any()],
            vec![volume("u", json!({})), unavailable(&sized("w", "9Gi", of("c")))],
            vec![("c", "w")],
        ),
        (
            "smallest claim first",
            vec![claim("c", json!({"resources": {"requests": {"storage": "2Gi"}}})), claim("d", json!({}))],
            vec![sized("l", "3Gi", plain.clone()), sized("m", "2Gi", plain)],
            vec![("d", "m"), ("c", "l")],
        ),
    ] {
        let names: Vec<String> = claims.iter().map(|claim| claim.meta.name().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let cache = cluster(nodes().into_iter().chain([wait()]).chain(claims).chain(volumes));
        assert_eq!(chosen(&reserve(&cache, &names, "a").0), want, "{case}");
    }
    // A promised volume that is elsewhere leaves nothing else, and the class makes none.
    let of_c = volume(
        "v",
        json!({"claimRef": {"namespace": "default", "name": "c"}, "nodeAffinity": only_on("host", "b"),
        "storageClassName": "local"}),
    );
    let objects = [
        claim("c", json!({"storageClassName": "local"})),
        of_c,
        volume("u", json!({"storageClassName": "local"})),
    ];
    let no_volume = "node(s) didn't find available persistent volumes to bind";
    assert_eq!(say(&objects, &["c"]), refused(&["a"], no_volume));
}

#[test]
fn what_is_assumed_and_taken_back() {
    let mut cache = cluster(nodes().into_iter().chain([
        wait(),
        claim("c", json!({})),
        claim("d", json!({})),
        volume("v", json!({})),
    ]));
    let (mut cycle, effects) = reserve(&cache, &["c", "d"], "a");
    assert_eq!(chosen(&cycle), [("c", "v"), ("d", "")]);
    let [volume, claim] = &effects.assume[..] else { panic!("two objects: {effects:?}") };
    let reference = volume.as_json().and_then(|body| body.pointer("/spec/claimRef")).expect("a claim");
    assert_eq!(reference["name"], "c");
    assert_eq!(reference["uid"], sim_core::api::meta::Uid::parse("c").to_string());
    assert_eq!(volume.meta.annotation("pv.kubernetes.io/bound-by-controller"), Some("yes"));
    assert_eq!(claim.meta.annotation("volume.kubernetes.io/selected-node"), Some("a"));
    for object in &effects.assume {
        assert!(cache.objects_mut().assume(object.clone()));
    }
    // The next pod does not get the volume, and follows the claim to its node.
    let next = cluster_says(&cache, &["d"]);
    assert_eq!(next, refused(&["b"], "node(s) didn't find available persistent volumes to bind"));
    let mut undone = Effects::default();
    let pod = pod_with("p", &["c", "d"]);
    let info = Classes::default().of(&pod).expect("a pod");
    let attempt = Attempt { pod: &info, object: &pod, cluster: &cache, now: Time::ZERO };
    binding(Value::Null).unreserve(&mut cycle, &attempt, "a", &mut undone);
    let taken_back = [
        (Kind::PERSISTENT_VOLUME, Key::cluster("v")),
        (Kind::PERSISTENT_VOLUME_CLAIM, Key::new("default", "d")),
    ];
    assert_eq!(undone.restore, taken_back);
}

fn cluster_says(cache: &Cache, claims: &[&str]) -> String {
    let registered: Arc<dyn AnyPlugin> = plugin(binding(Value::Null)).pre_filter().cluster_filter().into();
    verdicts(&*registered, cache, &pod_with("next", claims))
}

#[test]
fn a_promise_by_the_user_is_kept_as_it_is() {
    let uid = sim_core::api::meta::Uid::parse("c").to_string();
    for (reference, assumed, annotated) in [
        (json!({"namespace": "default", "name": "c", "uid": uid}), 0, false),
        (json!({"namespace": "default", "name": "c"}), 1, false),
        (Value::Null, 1, true),
    ] {
        let volume = volume("v", json!({"claimRef": reference}));
        let cache = cluster(nodes().into_iter().chain([wait(), claim("c", json!({})), volume]));
        let (_, effects) = reserve(&cache, &["c"], "a");
        assert_eq!(effects.assume.len(), assumed, "{reference}");
        let marked = effects
            .assume
            .iter()
            .any(|v| v.meta.annotation("pv.kubernetes.io/bound-by-controller").is_some());
        assert_eq!(marked, annotated, "{reference}");
    }
}

#[test]
fn what_helps() {
    let event = |resource, action| ClusterEvent::new(resource, action);
    let add = |resource| event(resource, ActionType::ADD);
    let update = |resource| event(resource, ActionType::UPDATE);
    let (classes, claims) = (EventResource::StorageClass, EventResource::PersistentVolumeClaim);
    let (csi_nodes, drivers) = (EventResource::CSINode, EventResource::CSIDriver);
    let capacities = EventResource::CSIStorageCapacity;
    let with_topology = |zone: &str| {
        let terms = json!([{"matchLabelExpressions": [{"key": "zone", "values": [zone]}]}]);
        stored(Kind::STORAGE_CLASS, "wait", json!({"provisioner": "x", "allowedTopologies": terms}))
    };
    let migrated = |plugins: &str| {
        annotated(
            stored(Kind::CSI_NODE, "n", json!({})),
            "storage.alpha.kubernetes.io/migrated-plugins",
            plugins,
        )
    };
    let driver =
        |tracks: bool| stored(Kind::CSI_DRIVER, "csi.x", json!({"spec": {"storageCapacity": tracks}}));
    let room = |size: Value| stored(Kind::CSI_STORAGE_CAPACITY, "r", json!({"capacity": size}));
    let own = || pod_with("p", &["c", "e!"]);
    let inline = pod("p").with("volumes", json!([{"name": "v", "csi": {"driver": "csi.x"}}])).build();
    for (case, waiting, event, old, new, hint) in [
        ("a class", own(), add(classes), None, wait(), Hint::Queue),
        ("topology", own(), update(classes), Some(with_topology("a")), with_topology("b"), Hint::Queue),
        ("same topology", own(), update(classes), Some(with_topology("a")), with_topology("a"), Hint::Skip),
        ("its claim", own(), update(claims), Some(claim("c", json!({}))), claim("c", json!({})), Hint::Queue),
        ("made for it", own(), add(claims), None, claim("p-e", json!({})), Hint::Queue),
        ("another", own(), add(claims), None, claim("d", json!({})), Hint::Skip),
        ("a volume", own(), add(EventResource::PersistentVolume), None, volume("v", json!({})), Hint::Queue),
        ("a node", own(), Wake::NodeAdded, None, node("n").build(), Hint::Queue),
        ("a CSINode", own(), add(csi_nodes), None, migrated(""), Hint::Queue),
        ("migrated", own(), update(csi_nodes), Some(migrated("")), migrated("x"), Hint::Queue),
        ("not migrated", own(), update(csi_nodes), Some(migrated("x")), migrated("x"), Hint::Skip),
        ("no more capacity", inline.clone(), update(drivers), Some(driver(true)), driver(false), Hint::Queue),
        ("from now on", inline, update(drivers), Some(driver(false)), driver(true), Hint::Skip),
        ("not its driver", own(), update(drivers), Some(driver(true)), driver(false), Hint::Skip),
        ("room", own(), add(capacities), None, room(json!("1Gi")), Hint::Queue),
        ("more", own(), update(capacities), Some(room(json!("1Gi"))), room(json!("2Gi")), Hint::Queue),
        ("known", own(), update(capacities), Some(room(Value::Null)), room(json!("1Gi")), Hint::Queue),
        ("less", own(), update(capacities), Some(room(json!("2Gi"))), room(json!("1Gi")), Hint::Skip),
        ("not known", own(), update(capacities), Some(room(json!("2Gi"))), room(Value::Null), Hint::Skip),
    ] {
        let answer = ask(&binding(Value::Null), &waiting, event, old.as_ref(), Some(&new));
        assert_eq!(answer, hint, "{case}");
    }
}

#[test]
fn arguments_out_of_range() {
    let args = crate::config::args::read(&json!({"bindTimeoutSeconds": -1})).expect("arguments");
    let text = VolumeBinding::new(args).expect_err("must be refused");
    assert!(text.starts_with("bindTimeoutSeconds: Invalid value: -1"), "{text}");
}
