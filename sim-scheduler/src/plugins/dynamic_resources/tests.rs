//! What is said to pods with and without claims, and what becomes of their claims.

use serde_json::json;
use sim_core::features::FeatureGates;

use super::*;
use crate::cache::Cache;
use crate::cycle::{Nominator, Sampling, evaluate, run_post_filters};
use crate::framework::Profile;
use crate::pod::Classes;
use crate::testing::{PodBuilder, node, pod};

/// The text for a pod in a cluster of one node, up to what preemption says.
fn check(pod: PodBuilder, expected: &str) {
    let mut cache = Cache::default();
    cache.set_node(&node("n").cpu("1").build());
    cache.refresh();
    let object = pod.build();
    let info = Classes::default().of(&object).expect("a pod");
    let attempt = Attempt { pod: &info, object: &object, cluster: &cache, now: Time::ZERO };
    let (profile, nominator) = (Profile::default_profile(), Nominator::default());
    let (mut found, state) = evaluate(&profile, attempt, &nominator, Sampling::All, 0);
    let handle = Handle {
        profile: &profile,
        attempt,
        state: &state,
        nominator: &nominator,
        random: 0,
        memory: None,
        extenders: None,
        explain: false,
    };
    let outcome = run_post_filters(&handle, &found.diagnosis, &mut Effects::default());
    found.diagnosis.post_filter = outcome.expect("there are such plugins").status.message();
    let message = found.diagnosis.message(1);
    let text = message.split_once(", preemption: ").map_or(message.as_str(), |(before, _)| before);
    assert_eq!(text, expected);
}

#[test]
fn what_is_said_to_pods_with_and_without_claims() {
    check(pod("plain").cpu("2"), "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate");
    let claim = json!([{"name": "gpu", "resourceClaimName": "gpu"}]);
    check(
        pod("claims").with("resourceClaims", claim),
        "0/1 nodes are available: could not find ResourceClaim \"default/gpu\". no new claims to deallocate",
    );
    let term = json!([{"key": "metadata.name", "operator": "In", "values": []}]);
    let nowhere = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchFields": term}]}}});
    check(
        pod("stopped before").with("affinity", nowhere),
        "0/1 nodes are available: pod affinity terms conflict. not found",
    );
}

fn stored(kind: Kind, name: &str, body: Value) -> Object {
    let key = if kind == Kind::RESOURCE_CLAIM { Key::new("default", name) } else { Key::cluster(name) };
    let mut meta = sim_core::api::meta::Meta::named(key);
    meta.uid = Uid::parse(name);
    meta.resource_version = 1;
    Object::json(kind, meta, body)
}

/// Node `n` with the devices `d0` and `d1`, and claims `a`, `b` and `c` for one each.
fn cluster() -> Cache {
    let mut cache = Cache::default();
    cache.set_node(&node("n").cpu("9").build());
    cache.refresh();
    let slice = json!({"spec": {"driver": "gpu.example.com", "nodeName": "n",
        "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "d0"}, {"name": "d1"}]}});
    let claim = json!({"spec": {"devices": {"requests": [{"name": "r",
        "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}}]}}});
    let objects = cache.objects_mut();
    objects.set(Arc::new(stored(Kind::RESOURCE_SLICE, "s", slice)));
    objects.set(Arc::new(stored(Kind::DEVICE_CLASS, "gpu", json!({"spec": {}}))));
    for name in ["a", "b", "c"] {
        objects.set(Arc::new(stored(Kind::RESOURCE_CLAIM, name, claim.clone())));
    }
    cache
}

fn user(name: &str, claim: &str) -> Object {
    pod(name).with("resourceClaims", json!([{"name": "gpu", "resourceClaimName": claim}])).build()
}

/// The pod's claims once the pod was given the node, or why it was not.
fn reserve(cache: &mut Cache, object: &Object) -> Result<PodClaims, String> {
    reserve_at(cache, object, Time::ZERO)
}

fn reserve_at(cache: &mut Cache, object: &Object, now: Time) -> Result<PodClaims, String> {
    let info = Classes::default().of(object).expect("a pod");
    let attempt = Attempt { pod: &info, object, cluster: cache, now };
    let (mut claims, mut effects) = (PodClaims::default(), Effects::default());
    if let PreFiltered::Refused(status) = DynamicResources.check(&mut claims, &attempt) {
        return Err(status.message());
    }
    let found = DynamicResources.filter(&claims, &attempt, cache.node_named("n").expect("a node"));
    if let Some(status) = found.into_status("") {
        return Err(status.message());
    }
    let status = DynamicResources.reserve(&mut claims, &attempt, "n", &mut effects);
    assert!(status.is_success(), "{status}");
    apply(cache, effects);
    Ok(claims)
}

fn apply(cache: &mut Cache, effects: Effects) {
    for object in effects.assume {
        cache.objects_mut().assume(object);
    }
    for (key, uid, pending) in effects.pending {
        cache.objects_mut().set_pending(&key, uid, pending);
    }
    for (kind, key) in effects.restore {
        cache.objects_mut().restore(kind, &key);
    }
}

#[test]
fn devices_are_taken_while_they_are_written_and_given_back() {
    let mut cache = cluster();
    let (p, q) = (user("p", "a"), user("q", "b"));
    let mut first = reserve(&mut cache, &p).expect("d0 is free");
    reserve(&mut cache, &q).expect("d1 is free");
    let refusal = |cache: &mut Cache, claim| reserve(cache, &user("x", claim)).err().unwrap_or_default();
    assert_eq!(refusal(&mut cache, "c"), "cannot allocate all claims");
    assert_eq!(refusal(&mut cache, "b"), "resource claim default/b is in the process of being allocated");
    let info = Classes::default().of(&p).expect("a pod");
    let attempt = Attempt { pod: &info, object: &p, cluster: &cache, now: Time::ZERO };
    let mut effects = Effects::default();
    DynamicResources.unreserve(&mut first, &attempt, "n", &mut effects);
    apply(&mut cache, effects);
    assert_eq!(refusal(&mut cache, "c"), "", "d0 is free again");
}

#[test]
fn claims_are_protected_then_written() {
    let mut cache = cluster();
    let p = user("p", "a");
    let mut claims = reserve(&mut cache, &p).expect("d0 is free");
    let info = Classes::default().of(&p).expect("a pod");
    let mut answers: Vec<Result<Arc<Object>, ApiError>> = Vec::new();
    let mut sent = Vec::new();
    let status = loop {
        let attempt = Attempt { pod: &info, object: &p, cluster: &cache, now: Time::ZERO };
        let mut effects = Effects::default();
        let outcome = DynamicResources.pre_bind(&mut claims, &attempt, "n", &answers, &mut effects);
        apply(&mut cache, effects);
        match outcome {
            PreBound::Done(status) => break status,
            PreBound::Wait(_) => answers.clear(),
            PreBound::Send(requests) => {
                let (Request::Update(object) | Request::UpdateStatus(object)) = &requests[0] else {
                    panic!("{requests:?}")
                };
                let mut written = (**object).clone();
                written.meta.resource_version += 1;
                sent.push(matches!(requests[0], Request::UpdateStatus(_)));
                // Somebody else is faster once.
                answers = vec![match sent.len() {
                    2 => Err(ApiError::new(sim_core::api::error::Reason::Conflict, "changed")),
                    _ => Ok(Arc::new(written)),
                }];
            }
        }
    };
    assert!(status.is_success(), "{status}");
    assert_eq!(sent, [false, true, false, true]);
    let written = cache.objects().get(Kind::RESOURCE_CLAIM, &Key::new("default", "a")).expect("a claim");
    assert_eq!(
        written.as_json().expect("JSON")["status"]["allocation"]["devices"]["results"][0]["device"],
        "d0"
    );
    assert!(sim_dra::pod::is_reserved_for(written, p.meta.uid) && claim::is_protected(written));
    assert!(!cache.objects().is_pending(written.meta.uid));
}

#[test]
fn claims_share_a_device_as_far_as_its_capacity_goes_if_the_gate_is_on() {
    let shared = json!({"spec": {"driver": "gpu.example.com", "nodeName": "n",
        "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "d0", "allowMultipleAllocations": true,
            "capacity": {"memory": {"value": "10Gi", "requestPolicy": {"default": "4Gi"}}}}]}});
    for (gates, expected) in [
        (FeatureGates::default(), ["", "cannot allocate all claims", "cannot allocate all claims"]),
        (FeatureGates::default().with(Gate::DRAConsumableCapacity), ["", "", "cannot allocate all claims"]),
    ] {
        let mut cache = cluster();
        cache.objects_mut().set_features(gates);
        cache.objects_mut().set(Arc::new(stored(Kind::RESOURCE_SLICE, "s", shared.clone())));
        let mut ids = Vec::new();
        let said = ["a", "b", "c"].map(|claim| match reserve(&mut cache, &user(claim, claim)) {
            Ok(claims) => {
                let allocation = claims.claims[0].allocation.as_ref().expect("devices");
                ids.extend(allocation["devices"]["results"][0]["shareID"].as_str().map(str::to_owned));
                String::new()
            }
            Err(why) => why,
        });
        assert_eq!(said, expected);
        // DIFFERS: named by claim and time.
        let unique: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
        assert!(ids.iter().all(|id| id.len() == 36), "{ids:?}");
        assert_eq!(ids.is_empty(), gates == FeatureGates::default());
    }
}

#[test]
fn requests_that_cannot_be_met_on_any_node() {
    let check = |gates: FeatureGates, request: Value, expected: &str| {
        let mut cache = cluster();
        cache.objects_mut().set_features(gates);
        let body = json!({"spec": {"devices": {"requests": [request]}}});
        cache.objects_mut().set(Arc::new(stored(Kind::RESOURCE_CLAIM, "x", body)));
        let object = user("p", "x");
        let info = Classes::default().of(&object).expect("a pod");
        let attempt = Attempt { pod: &info, object: &object, cluster: &cache, now: Time::ZERO };
        let said = match DynamicResources.check(&mut PodClaims::default(), &attempt) {
            PreFiltered::Refused(status) => format!("{:?}: {}", status.code, status.message()),
            other => format!("{other:?}"),
        };
        assert_eq!(said, expected);
    };
    let class = |name: &str| json!({"deviceClassName": name, "allocationMode": "ExactCount", "count": 1});
    let alternatives = json!({"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "gpu",
        "allocationMode": "ExactCount", "count": 1}]});
    let (default, strict) =
        (FeatureGates::default(), FeatureGates::default().without(Gate::DRAPrioritizedList));
    check(default, json!({"name": "r", "exactly": class("gpu")}), "Proceed");
    check(default, alternatives.clone(), "Proceed");
    check(
        strict,
        alternatives,
        "UnschedulableAndUnresolvable: resource claim default/x, request r: has subrequests, but the \
         DRAPrioritizedList feature is disabled",
    );
    check(
        default,
        json!({"name": "r", "exactly": class("none")}),
        "UnschedulableAndUnresolvable: request r: device class none does not exist",
    );
    check(default, json!({"name": "r", "exactly": class("")}), "Error: request r: unsupported request type");
    check(
        default,
        json!({"name": "r"}),
        "UnschedulableAndUnresolvable: resource claim default/x, request r: unknown request type",
    );
    check(
        default,
        json!({"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "none"}]}),
        "UnschedulableAndUnresolvable: request r/a: device class none does not exist",
    );
}

#[test]
fn tainted_devices_are_for_requests_that_tolerate_the_taint_if_the_gate_is_on() {
    let rule = |selector: Value| {
        let taint = json!({"key": "broken", "effect": "NoSchedule"});
        Arc::new(stored(
            Kind::DEVICE_TAINT_RULE,
            "r",
            json!({"spec": {"deviceSelector": selector, "taint": taint}}),
        ))
    };
    let (off, on) = (FeatureGates::default(), FeatureGates::default().with(Gate::DRADeviceTaints));
    let device = |device: &str| json!({"device": device});
    let cel = |expression: &str| json!({"selectors": [{"cel": {"expression": expression}}]});
    for (gates, selector, expected, changes) in [
        (off, device("d0"), "d0", false),
        (on, device("d0"), "d1", true),
        (on, device("d1"), "d0", true),
        (on, json!({"pool": "n"}), "cannot allocate all claims", true),
        (on, json!({"deviceClassName": "gpu"}), "cannot allocate all claims", true),
        (on, json!({"deviceClassName": "none"}), "d0", false),
        // DIFFERS: fails, and nobody is warned.
        (on, cel("device.attributes['x'].y == 1"), "d0", false),
        // Does not compile: what was known of the slice stays, which is nothing.
        (on, cel("what"), "cannot allocate all claims", true),
    ] {
        let mut cache = cluster();
        cache.objects_mut().set_features(gates);
        cache.objects_mut().set(rule(selector.clone()));
        let said = match reserve(&mut cache, &user("p", "a")) {
            Ok(claims) => {
                let allocation = claims.claims[0].allocation.as_ref().expect("devices");
                allocation["devices"]["results"][0]["device"].as_str().unwrap_or_default().to_owned()
            }
            Err(why) => why,
        };
        assert_eq!(said, expected, "{selector}");
        let version = cache.devices_version();
        cache.objects_mut().set(rule(json!({"driver": "another"})));
        assert_eq!(cache.devices_version() != version, changes, "{selector}");
    }
}

/// Pre-binds at an instant until a plugin waits or is done; every request is carried out as it is.
fn pre_bind(
    cache: &mut Cache,
    pod: &Object,
    claims: &mut PodClaims,
    now: Time,
) -> (PreBound, Vec<(&'static str, SmolStr)>) {
    let info = Classes::default().of(pod).expect("a pod");
    let (mut answers, mut events) = (Vec::new(), Vec::new());
    loop {
        let attempt = Attempt { pod: &info, object: pod, cluster: cache, now };
        let mut effects = Effects::default();
        let outcome = DynamicResources.pre_bind(claims, &attempt, "n", &answers, &mut effects);
        events.extend(effects.events.drain(..).map(|(_, _, reason, note)| (reason, note)));
        apply(cache, effects);
        let PreBound::Send(requests) = outcome else { return (outcome, events) };
        let (Request::Update(object) | Request::UpdateStatus(object)) = &requests[0] else {
            panic!("{requests:?}")
        };
        let mut written = (**object).clone();
        written.meta.resource_version += 1;
        answers = vec![Ok(Arc::new(written))];
    }
}

#[test]
fn bindings_wait_for_conditions_of_devices() {
    let gates = FeatureGates::default().with(Gate::DRADeviceBindingConditions);
    let slice = json!({"spec": {"driver": "gpu.example.com", "nodeName": "n",
        "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "d0", "bindingConditions": ["Ready"], "bindingFailureConditions": ["Broken"]}]}});
    let at = |seconds: i64| Time::ZERO + sim_core::time::secs(seconds);
    let said = |outcome: PreBound| match outcome {
        PreBound::Done(status) => format!("{:?} {}", status.code, status.message()),
        PreBound::Wait(span) => format!("Wait({})", sim_core::duration::Duration(span)),
        other => format!("{other:?}"),
    };
    for (conditions, later, expected) in [
        (json!([]), 5, "Wait(5s)"),
        (json!([]), 599, "Wait(5s)"),
        (json!([]), 600, "Error device binding timeout"),
        (json!([]), 601, "Error claim a binding timeout"),
        (json!([{"type": "Ready", "status": "True"}]), 5, "Success "),
        (
            json!([{"type": "Broken", "status": "True", "reason": "Bad", "message": "gone"}]),
            5,
            "Error claim a binding failed: reason=Bad, message=\"gone\"",
        ),
    ] {
        let mut cache = cluster();
        cache.objects_mut().set_features(gates);
        cache.objects_mut().set(Arc::new(stored(Kind::RESOURCE_SLICE, "s", slice.clone())));
        let p = user("p", "a");
        let mut claims = reserve(&mut cache, &p).expect("d0 is free");
        let (outcome, events) = pre_bind(&mut cache, &p, &mut claims, at(0));
        assert_eq!(said(outcome), "Wait(5s)");
        let note = "waiting for binding conditions for device on node n";
        assert_eq!(events, [("BindingConditionsPending", SmolStr::new_static(note))]);
        // Something else changed: it is not time yet.
        let (outcome, events) = pre_bind(&mut cache, &p, &mut claims, at(1));
        assert_eq!((said(outcome).as_str(), events.len()), ("Wait(4s)", 0));
        let key = Key::new("default", "a");
        let mut claim = Object::clone(cache.objects().get(Kind::RESOURCE_CLAIM, &key).expect("a claim"));
        let since = claim.as_json().and_then(|body| body.pointer("/status/allocation/allocationTimestamp"));
        assert_eq!(since, Some(&json!("2025-01-01T00:00:00Z")));
        if let sim_core::api::object::Body::Json(body) = &mut claim.body {
            Arc::make_mut(body)["status"]["devices"] = json!([{"driver": "gpu.example.com", "pool": "n",
                "device": "d0", "conditions": conditions}]);
        }
        claim.meta.resource_version += 1;
        cache.objects_mut().set(Arc::new(claim));
        let (outcome, _) = pre_bind(&mut cache, &p, &mut claims, at(later));
        assert_eq!(said(outcome), expected, "{conditions} {later}");
        // What failed, or took too long, is not available on the next attempt.
        let again = reserve_at(&mut cache, &p, at(later));
        let lost = expected.starts_with("Error claim");
        assert_eq!(again.err().as_deref(), lost.then_some(NOT_AVAILABLE), "{conditions} {later}");
    }
}

/// A cluster where class `gpu` means `example.com/gpu`, of which node `n` has devices; node `m` has a device plugin.
fn extended_cluster(gate: bool) -> Cache {
    let mut cache = cluster();
    let gates = FeatureGates::default();
    cache.objects_mut().set_features(if gate { gates.with(Gate::DRAExtendedResource) } else { gates });
    let class = json!({"spec": {"extendedResourceName": "example.com/gpu"}});
    cache.objects_mut().set(Arc::new(stored(Kind::DEVICE_CLASS, "gpu", class)));
    cache.set_node(&node("m").cpu("9").allocatable("example.com/gpu", "1").build());
    cache.refresh();
    cache
}

#[test]
fn extended_resources_are_devices_where_no_device_plugin_has_them() {
    let wants = |count: &str, other: &str| {
        let requests =
            json!({"requests": {"cpu": "1", "example.com/gpu": count, "example.com/other": other}});
        pod("p").container("resources", requests).build()
    };
    let all = |cache: &Cache, object: &Object| {
        let info = Classes::default().of(object).expect("a pod");
        let attempt = Attempt { pod: &info, object, cluster: cache, now: Time::ZERO };
        let (profile, nominator) = (Profile::default_profile(), Nominator::default());
        let (found, _) = evaluate(&profile, attempt, &nominator, Sampling::All, 0);
        let fit: Vec<_> = found.feasible.iter().map(|slot| cache.node(*slot).name.to_string()).collect();
        (fit.join(" "), found.diagnosis.message(2))
    };
    for (gate, count, other, fit, why) in [
        (false, "1", "0", "m", "1 Insufficient example.com/gpu"),
        (true, "1", "0", "n m", ""),
        (true, "2", "0", "n", "1 Insufficient example.com/gpu"),
        (true, "3", "0", "", "1 Insufficient example.com/gpu, 1 cannot allocate all claims"),
        (true, "1", "1", "", "2 Insufficient example.com/other"),
        (true, "0", "0", "n m", ""),
    ] {
        let (nodes, message) = all(&extended_cluster(gate), &wants(count, other));
        assert_eq!(nodes, fit, "{gate} {count} {other}: {message}");
        assert!(message.contains(why), "{gate} {count} {other}: {message}");
    }
}

#[test]
fn the_claim_for_extended_resources_is_made_when_the_pod_is_bound() {
    let mut cache = extended_cluster(true);
    let requests = json!({"requests": {"cpu": "1", "example.com/gpu": "2"}});
    let p = pod("p").container("resources", requests).build();
    let mut claims = reserve(&mut cache, &p).expect("two devices");
    let info = Classes::default().of(&p).expect("a pod");
    let (mut sent, mut answers) = (Vec::new(), Vec::new());
    let status = loop {
        let attempt = Attempt { pod: &info, object: &p, cluster: &cache, now: Time::ZERO };
        let mut effects = Effects::default();
        let outcome = DynamicResources.pre_bind(&mut claims, &attempt, "n", &answers, &mut effects);
        apply(&mut cache, effects);
        let requests = match outcome {
            PreBound::Done(status) => break status,
            PreBound::Wait(_) => {
                // The informer is behind.
                let seen = claims.claims[0].object.clone();
                cache.objects_mut().set(seen);
                answers.clear();
                continue;
            }
            PreBound::Send(requests) => requests,
        };
        let (what, answer) = match &requests[0] {
            Request::Create(object) => {
                assert_eq!(object.meta.generate_name, "p-extended-resources-");
                let mut made = (**object).clone();
                made.meta.key.name = "p-extended-resources-x".into();
                (made.meta.uid, made.meta.resource_version) = (Uid::parse("made"), 1);
                (json!("create"), made)
            }
            Request::Update(object) | Request::UpdateStatus(object) => {
                let mut written = (**object).clone();
                written.meta.resource_version += 1;
                (json!("write"), written)
            }
            Request::PatchPodStatus { patch, .. } => {
                let status = patch.extended_resource_claim_status.as_ref().expect("a status");
                (status.clone(), p.clone())
            }
            other => panic!("{other:?}"),
        };
        sent.push(what);
        answers = vec![Ok(Arc::new(answer))];
    };
    assert!(status.is_success(), "{status}");
    let mapping = json!({"containerName": "c", "requestName": "container-0-request-1",
        "resourceName": "example.com/gpu"});
    let told = json!({"requestMappings": [mapping], "resourceClaimName": "p-extended-resources-x"});
    assert_eq!(sent, [json!("create"), json!("write"), json!("write"), told]);
    let key = Key::new("default", "p-extended-resources-x");
    let made = cache.objects().get(Kind::RESOURCE_CLAIM, &key).expect("a claim").clone();
    assert!(claim::is_allocated(&made) && sim_dra::pod::is_reserved_for(&made, p.meta.uid));
    assert!(!cache.objects().is_pending(claims.claims[0].known_by().1));
    // DIFFERS: taken back without waiting for answers.
    let attempt = Attempt { pod: &info, object: &p, cluster: &cache, now: Time::ZERO };
    let mut effects = Effects::default();
    DynamicResources.unreserve(&mut claims, &attempt, "n", &mut effects);
    assert!(
        matches!(&effects.requests[..], [Request::Update(free), Request::Delete { .. }] if !claim::is_protected(free))
    );
    // What is left of an earlier attempt is in the way.
    assert_eq!(reserve(&mut cache, &p).err().as_deref(), Some("cannot schedule extended resource claim"));
}
