//! One sync at a time, against a real API server. The cases are those of upstream's `controller_test.go`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PodResourceClaim, PodSpec};
use serde_json::{Value, json};
use sim_core::api::meta::{Deletion, Meta, Uid};
use sim_core::api::object::{Body, Pod};
use sim_core::api::pod_status::{PodPhase, PodStatus};
use sim_core::api::server::{ApiOptions, ApiServer, Moment};
use sim_core::engine::log::Log;
use sim_core::engine::random::Seed;
use sim_core::features::Gate;
use sim_core::time::Epoch;
use sim_dra::pod::FINALIZER;
use smol_str::SmolStr;

use super::*;
use crate::machinery::fx::{Round, Stop};
use crate::machinery::host::Controller as _;
use crate::machinery::pod_control::controller_ref;

const POD: Uid = Uid(1);

fn pod(name: &str, uid: Uid, claims: &[(&str, &str)]) -> Object {
    let claim = |(name, template): &(&str, &str)| PodResourceClaim {
        name: (*name).into(),
        resource_claim_template_name: Some((*template).into()),
        ..PodResourceClaim::default()
    };
    let spec = PodSpec {
        resource_claims: (!claims.is_empty()).then(|| claims.iter().map(claim).collect()),
        ..PodSpec::default()
    };
    let meta = Meta { uid, ..Meta::named(Key::new("ns", name)) };
    Object::new(meta, Body::Pod(Pod { spec: Arc::new(spec), ..Pod::default() }))
}

fn test_pod() -> Object {
    pod("test-pod", POD, &[("acme", "my-template")])
}

fn with_pod(mut object: Object, change: impl FnOnce(&mut Pod)) -> Object {
    if let Body::Pod(pod) = &mut object.body {
        change(pod);
    }
    object
}

fn knows(pod: Object, claim: &str) -> Object {
    let statuses = json!({"resourceClaimStatuses": [{"name": "acme", "resourceClaimName": claim}]});
    let other = statuses.as_object().cloned().map(Arc::new);
    with_pod(pod, |pod| pod.status = Arc::new(PodStatus { other, ..PodStatus::clone(&pod.status) }))
}

fn finished(pod: Object) -> Object {
    with_pod(pod, |pod| Arc::make_mut(&mut pod.status).phase = PodPhase::Succeeded)
}

fn bound(pod: Object) -> Object {
    with_pod(pod, |pod| pod.node_name = "worker".into())
}

fn deleting(mut object: Object) -> Object {
    object.meta.deletion = Some(Deletion { timestamp: Time::ZERO, grace_period_seconds: 0 });
    object
}

fn template(requests: Value) -> Object {
    let metadata = json!({"labels": {"l": "1"}, "annotations": {"a": "2"}});
    let body = json!({"spec": {"metadata": metadata, "spec": {"devices": {"requests": requests}}}});
    Object::json(Kind::RESOURCE_CLAIM_TEMPLATE, Meta::named(Key::new("ns", "my-template")), body)
}

fn requests() -> Value {
    json!([{"name": "r", "exactly": {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1}}])
}

fn claim(name: &str) -> Object {
    let body = json!({"spec": {"devices": {"requests": requests()}}, "status": {}});
    let meta = Meta { uid: Uid(100), ..Meta::named(Key::new("ns", name)) };
    Object::json(Kind::RESOURCE_CLAIM, meta, body)
}

fn owned(mut claim: Object) -> Object {
    claim.meta.owner_references = smallvec::smallvec![controller_ref(&test_pod(), "v1")];
    claim
}

/// As if made by the controller for `test-pod`.
fn generated() -> Object {
    let mut claim = owned(claim("test-pod-acme-x"));
    claim.meta.annotations = Arc::new([(POD_CLAIM_NAME.to_owned(), "acme".to_owned())].into());
    claim
}

fn with_status(mut claim: Object, change: impl FnOnce(&mut Value)) -> Object {
    if let Body::Json(body) = &mut claim.body {
        change(&mut Arc::make_mut(body)["status"]);
    }
    claim
}

fn allocated(claim: Object) -> Object {
    with_status(claim, |status| status["allocation"] = json!({"devices": {}}))
}

fn protected(mut claim: Object) -> Object {
    claim.meta.finalizers.push(FINALIZER);
    claim
}

fn reserved(claim: Object, pods: &[(&str, u128)]) -> Object {
    let entry =
        |(name, uid): &(&str, u128)| json!({"resource": "pods", "name": name, "uid": Uid(*uid).to_string()});
    with_status(claim, |status| status["reservedFor"] = pods.iter().map(entry).collect())
}

/// Name of a claim, its users, whether it has devices, whether it is protected.
type Facts<'a> = (&'a str, usize, bool, bool);

/// A world for one sync.
struct Bench {
    api: ApiServer,
    caches: Caches,
    controller: Controller,
    creates: bool,
}

impl Bench {
    fn new() -> Bench {
        let api = ApiServer::new(Seed(1), Epoch::default(), ApiOptions::default());
        Bench { api, caches: Caches::default(), controller: Controller::default(), creates: true }
    }

    fn stored(mut self, object: Object) -> Self {
        self.api.store.put(Time::ZERO, object);
        self
    }

    fn seen(mut self, object: Object) -> Self {
        let new = self.api.store.put(Time::ZERO, object);
        self.caches.apply(&Change { kind: ChangeKind::Added, old: None, new });
        self
    }

    fn sync(&mut self, work: Work) -> Result<(), String> {
        let Some(input) = self.controller.gather(&self.caches, &work, Time::ZERO) else { return Ok(()) };
        let (mut journal, mut log) = (Vec::new(), Log::default());
        loop {
            let mut fx = Fx::new(Epoch::default(), Time::ZERO, &journal);
            let outcome = Controller::sync(&input, &mut fx);
            let effects = fx.into_effects();
            match outcome {
                Err(Stop::Waiting(requests)) => {
                    let answer = |request| match (&request, self.creates) {
                        (sim_core::api::request::Request::Create(_), false) => {
                            Err(sim_core::api::error::ApiError::new(
                                sim_core::api::error::Reason::Conflict,
                                "fake",
                            ))
                        }
                        _ => self.api.handle(&mut Moment { now: Time::ZERO, log: &mut log }, request),
                    };
                    journal
                        .push(Round { at: Time::ZERO, answers: requests.into_iter().map(answer).collect() });
                }
                end => {
                    for effect in effects {
                        self.controller.apply(&work, effect, Time::ZERO);
                    }
                    return end.map_err(|stop| format!("{stop:?}"));
                }
            }
        }
    }

    /// Every claim: name, users, whether it has devices and is protected.
    fn claims(&self) -> Vec<(SmolStr, usize, bool, bool)> {
        let facts = |claim: &Arc<Object>| {
            let is_protected = claim.meta.finalizers.contains(&FINALIZER);
            let is_allocated = claims::allocation(claim).is_some();
            (claim.meta.key.name.clone(), claims::reserved_for(claim).len(), is_allocated, is_protected)
        };
        self.api.store.iter(Kind::RESOURCE_CLAIM).map(facts).collect()
    }

    fn noted(&self) -> Option<String> {
        let pod = self.api.store.get(Kind::POD, &Key::new("ns", "test-pod"))?;
        let statuses = pod.as_pod()?.status.other.as_ref()?.get("resourceClaimStatuses")?;
        Some(statuses[0]["resourceClaimName"].as_str()?.to_owned())
    }
}

fn pod_work() -> Work {
    Work::Pod(Key::new("ns", "test-pod"))
}

#[test]
fn a_claim_is_made_from_the_template_and_noted() {
    let mut bench = Bench::new().seen(test_pod()).seen(template(requests()));
    bench.sync(pod_work()).expect("made");
    let made = bench.api.store.iter(Kind::RESOURCE_CLAIM).next().expect("a claim").clone();
    assert!(made.meta.name().starts_with("test-pod-acme-"), "{}", made.meta.name());
    assert_eq!(made.meta.owner_references.to_vec(), [controller_ref(&test_pod(), "v1")]);
    assert_eq!(made.meta.labels["l"], "1");
    assert_eq!((&*made.meta.annotations["a"], &*made.meta.annotations[POD_CLAIM_NAME]), ("2", "acme"));
    assert_eq!(made.as_json().map(|b| &b["spec"]["devices"]["requests"][0]["name"]), Some(&json!("r")));
    assert_eq!(bench.noted().as_deref(), Some(made.meta.name()));
    // Nothing was seen yet: it is not made again.
    bench.sync(pod_work()).expect("known");
    assert_eq!(bench.claims().len(), 1);
}

#[test]
fn what_becomes_of_a_pods_claims() {
    let admin = || json!([{"name": "r", "exactly": {"deviceClassName": "c", "adminAccess": true}}]);
    let first = || json!([{"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "c"}]}]);
    let without = |gate: Gate| {
        let mut bench = Bench::new();
        bench.controller.features = FeatureGates::default().without(gate);
        bench.seen(test_pod())
    };
    let missing = r#"resource claim template \"my-template\": resourceclaimtemplate.resource.k8s.io \"my-template\" not found"#;
    let none: &[Facts<'_>] = &[];
    let untouched: [Facts<'_>; 1] = [("test-pod-acme-x", 0, false, false)];
    // What there is; the claims afterwards, the name in the pod's status, and the error.
    type Row<'a> = (&'a str, Bench, &'a [Facts<'a>], Option<&'a str>, &'a str);
    let table: [Row<'_>; 12] = [
        (
            "admin access, gate off",
            without(Gate::DRAAdminAccess).seen(template(admin())),
            none,
            None,
            "admin access is requested, but the feature is disabled",
        ),
        (
            "alternatives, gate off",
            without(Gate::DRAPrioritizedList).seen(template(first())),
            none,
            None,
            "template includes a prioritized list of subrequests, but the feature is disabled",
        ),
        (
            "known already",
            Bench::new().seen(knows(test_pod(), "test-pod-acme-x")).seen(generated()),
            &untouched,
            Some("test-pod-acme-x"),
            "",
        ),
        ("no template", Bench::new().seen(test_pod()), none, None, missing),
        (
            "made, but not noted",
            Bench::new().seen(test_pod()).seen(generated()),
            &untouched,
            Some("test-pod-acme-x"),
            "",
        ),
        ("no such pod", Bench::new().seen(template(requests())), none, None, ""),
        ("pod deleted", Bench::new().seen(deleting(test_pod())), none, None, ""),
        ("pod without claims", Bench::new().seen(pod("test-pod", POD, &[])), none, None, ""),
        (
            "a claim of that name, not the pod's",
            Bench::new().seen(test_pod()).seen(claim("test-pod-acme-x")),
            &untouched,
            None,
            missing,
        ),
        (
            "refused",
            Bench { creates: false, ..Bench::new().seen(test_pod()).seen(template(requests())) },
            none,
            None,
            "create ResourceClaim : ",
        ),
        (
            "bound without a scheduler",
            Bench::new().seen(bound(knows(test_pod(), "test-pod-acme-x"))).seen(allocated(generated())),
            &[("test-pod-acme-x", 1, true, false)],
            Some("test-pod-acme-x"),
            "",
        ),
        (
            "bound, and without devices",
            Bench::new().seen(bound(knows(test_pod(), "test-pod-acme-x"))).seen(generated()),
            &untouched,
            Some("test-pod-acme-x"),
            "",
        ),
    ];
    for (case, mut bench, want, noted, error) in table {
        let outcome = bench.sync(pod_work());
        let failed = outcome.err().unwrap_or_default();
        assert!(failed.contains(error) && failed.is_empty() == error.is_empty(), "{case}: {failed}");
        let got = bench.claims();
        let got: Vec<_> = got.iter().map(|(name, u, a, p)| (name.as_str(), *u, *a, *p)).collect();
        assert_eq!(got, want, "{case}");
        assert_eq!(bench.noted().as_deref(), noted, "{case}");
    }
}

#[test]
fn a_claim_that_was_deleted_by_mistake_is_made_again() {
    let mut bench = Bench::new().seen(knows(test_pod(), "gone")).seen(template(requests()));
    bench.sync(pod_work()).expect("made");
    let name = bench.claims().first().map(|c| c.0.to_string());
    assert!(name.is_some());
    assert_eq!(bench.noted(), name);
}

#[test]
fn a_claim_that_was_just_made_is_not_missed() {
    let mut bench = Bench::new().seen(test_pod()).seen(template(requests()));
    bench.sync(pod_work()).expect("made");
    let made = bench.api.store.iter(Kind::RESOURCE_CLAIM).next().expect("a claim").clone();
    bench.api.store.remove(Time::ZERO, Kind::RESOURCE_CLAIM, made.key());
    bench.sync(pod_work()).expect("known");
    assert_eq!(bench.claims(), [], "as upstream: it is remembered");
    for (at, _) in &mut bench.controller.made {
        *at = Time::ZERO - MADE_FOR;
    }
    bench.sync(pod_work()).expect("made");
    assert_eq!(bench.claims().len(), 1);
}

#[test]
fn what_becomes_of_a_claim() {
    let mine = |claim| reserved(claim, &[("test-pod", 1)]);
    let structured = |claim| protected(allocated(claim));
    let used = || mine(structured(claim("c")));
    let done = || finished(test_pod());
    // What there is, and users, devices and protection of the claim afterwards.
    let table = [
        ("its pod is there", Bench::new().seen(test_pod()).seen(used()), Some((1, true, true))),
        ("its pod is there, unseen", Bench::new().stored(test_pod()).seen(used()), Some((1, true, true))),
        ("its pod is gone", Bench::new().seen(used()), Some((0, false, false))),
        (
            "its pod was replaced",
            Bench::new().seen(pod("test-pod", Uid(9), &[("acme", "t")])).seen(used()),
            Some((0, false, false)),
        ),
        (
            "its pod was replaced, unseen",
            Bench::new().stored(pod("test-pod", Uid(9), &[])).seen(used()),
            Some((0, false, false)),
        ),
        (
            "one of two is gone",
            Bench::new()
                .seen(test_pod())
                .seen(reserved(structured(claim("c")), &[("test-pod", 1), ("other", 2)])),
            Some((1, true, true)),
        ),
        ("being deleted, its pod gone", Bench::new().seen(deleting(used())), None),
        ("being deleted, unused", Bench::new().seen(deleting(structured(claim("c")))), None),
        ("being deleted, used", Bench::new().seen(test_pod()).seen(deleting(used())), Some((1, true, true))),
        ("unused, but not since just now", Bench::new().seen(structured(claim("c"))), Some((0, true, true))),
        ("its pod is over", Bench::new().seen(done()).seen(used()), Some((0, false, false))),
        (
            "its pod was deleted before it had a node",
            Bench::new().seen(deleting(test_pod())).seen(used()),
            Some((0, false, false)),
        ),
        (
            "its pod is deleted and still runs",
            Bench::new().seen(bound(deleting(test_pod()))).seen(used()),
            Some((1, true, true)),
        ),
        (
            "not allocated by a scheduler",
            Bench::new().seen(done()).seen(mine(allocated(claim("c")))),
            Some((0, true, false)),
        ),
        ("its owner is over", Bench::new().seen(done()).seen(owned(used())), None),
        ("its owner is unseen", Bench::new().seen(owned(claim("c"))), Some((0, false, false))),
        (
            "its pod, which has no claims of its own, is over",
            Bench::new().seen(finished(pod("test-pod", POD, &[]))).seen(used()),
            Some((0, false, false)),
        ),
    ];
    for (case, mut bench, want) in table {
        bench.sync(Work::Claim(Key::new("ns", "c"))).expect(case);
        let got = bench.claims().first().map(|(_, users, has, protected)| (*users, *has, *protected));
        assert_eq!(got, want, "{case}");
    }
}

#[test]
fn users_that_are_no_pods_are_an_error() {
    let strange = with_status(claim("c"), |status| {
        status["reservedFor"] =
            json!([{"apiGroup": "example.com", "resource": "things", "name": "t", "uid": "u"}]);
    });
    let refused = Bench::new().seen(strange).sync(Work::Claim(Key::new("ns", "c")));
    assert!(refused.expect_err("not supported").contains("unsupported ReservedFor entry"));
}

#[test]
fn what_changes_put_into_the_queue() {
    let queued = |bench: &mut Bench, change: Change| {
        bench.caches.apply(&change);
        let mut queue = Vec::new();
        let mut add = |work: Work, _| queue.push(work);
        match change.new.kind {
            Kind::POD => bench.controller.pod_changed(&bench.caches, &change, &mut add),
            _ => bench.controller.claim_changed(&bench.caches, &change, &mut add),
        }
        queue
    };
    let (claim_work, pod_work) = (Work::Claim(Key::new("ns", "test-pod-acme-x")), pod_work());
    let named = || knows(test_pod(), "test-pod-acme-x");
    let table: Vec<(&str, Bench, ChangeKind, Object, Vec<Work>)> = vec![
        ("a pod without a claim", Bench::new(), ChangeKind::Added, test_pod(), vec![pod_work.clone()]),
        ("one that has it", Bench::new().seen(generated()), ChangeKind::Added, named(), vec![]),
        ("one whose claim is lost", Bench::new(), ChangeKind::Added, named(), vec![pod_work.clone()]),
        ("no claims", Bench::new(), ChangeKind::Added, pod("test-pod", POD, &[]), vec![]),
        (
            "over",
            Bench::new().seen(generated()),
            ChangeKind::Modified,
            finished(named()),
            vec![claim_work.clone()],
        ),
        (
            "gone",
            Bench::new().seen(generated()),
            ChangeKind::Deleted,
            deleting(named()),
            vec![claim_work.clone()],
        ),
        (
            "bound by hand",
            Bench::new().seen(allocated(generated())),
            ChangeKind::Modified,
            bound(named()),
            vec![pod_work.clone()],
        ),
        ("a claim", Bench::new(), ChangeKind::Added, generated(), vec![claim_work.clone()]),
        ("a claim that is gone", Bench::new(), ChangeKind::Deleted, generated(), vec![]),
        (
            "a claim that its pod lacks now",
            Bench::new().seen(named()),
            ChangeKind::Deleted,
            generated(),
            vec![pod_work.clone()],
        ),
        (
            "the claim of a pod that is over",
            Bench::new().seen(bound(finished(named()))),
            ChangeKind::Deleted,
            generated(),
            vec![claim_work.clone()],
        ),
        (
            "devices that a pod that is over shared",
            Bench::new().seen(bound(finished(named()))),
            ChangeKind::Modified,
            reserved(allocated(generated()), &[("other", 2)]),
            vec![claim_work.clone(), claim_work.clone()],
        ),
        (
            "a claim that its bound pod can reserve",
            Bench::new().seen(bound(named())),
            ChangeKind::Added,
            allocated(generated()),
            vec![claim_work.clone(), pod_work.clone()],
        ),
    ];
    for (case, mut bench, kind, object, want) in table {
        let change = Change { kind, old: None, new: Arc::new(object) };
        assert_eq!(queued(&mut bench, change), want, "{case}");
    }
}
