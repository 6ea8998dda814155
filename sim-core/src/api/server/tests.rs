use super::*;
use crate::api::error::Reason;
use crate::api::meta::Meta;
use crate::api::object::{Body, Deployment, Pod};
use crate::api::pod_status::PodPhase;
use crate::api::request::{DeleteOptions, MetaPatch, PodStatusPatch, Propagation};
use crate::time::secs;

struct Fixture {
    api: ApiServer,
    log: Log,
    now: Time,
}

impl Fixture {
    fn new() -> Fixture {
        let api = ApiServer::new(Seed(1), Epoch::default(), ApiOptions::default());
        Fixture { api, log: Log::default(), now: Time::ZERO + secs(10) }
    }

    fn send(&mut self, request: Request) -> Result<Arc<Object>, ApiError> {
        self.api.handle(&mut Moment { now: self.now, log: &mut self.log }, request)
    }

    fn create(&mut self, object: Object) -> Result<Arc<Object>, ApiError> {
        self.send(Request::Create(Box::new(object)))
    }

    fn delete(&mut self, object: &Object, grace: Option<i64>) -> Result<Arc<Object>, ApiError> {
        let options = DeleteOptions { grace_period_seconds: grace, ..DeleteOptions::default() };
        self.send(Request::Delete { kind: object.kind, key: object.key().clone(), options })
    }

    fn bind(&mut self, pod: &Object, node: &str) -> Result<Arc<Object>, ApiError> {
        self.send(Request::Bind { key: pod.key().clone(), uid: pod.meta.uid, node: node.into() })
    }
}

fn pod(name: &str) -> Object {
    let container = k8s_openapi::api::core::v1::Container {
        name: "c".into(),
        image: Some("i".into()),
        ..Default::default()
    };
    let spec = k8s_openapi::api::core::v1::PodSpec { containers: vec![container], ..Default::default() };
    let body = Body::Pod(Pod { spec: Arc::new(spec), ..Pod::default() });
    Object::new(Meta::named(Key::new("default", name)), body)
}

fn deployment(name: &str) -> Object {
    let spec = serde_json::json!({
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    });
    let spec = crate::api::wire::decode_value(&spec).expect("a valid spec");
    let body = Body::Deployment(Deployment { spec: Arc::new(spec), ..Deployment::default() });
    Object::new(Meta::named(Key::new("default", name)), body)
}

#[test]
fn create_gives_identity_and_refuses_twins() {
    let mut f = Fixture::new();
    let made = f.create(pod("a")).expect("created");
    assert!(!made.meta.uid.is_unset());
    assert_eq!(made.meta.generation, 1);
    assert_eq!(made.meta.creation_timestamp, Time::ZERO + secs(10));
    assert_eq!(made.meta.uid.to_string().as_bytes()[14], b'4', "a version 4 UUID");
    let twin = f.create(pod("a")).expect_err("twin");
    assert_eq!(twin.to_string(), "pods \"a\" already exists");
}

#[test]
fn generated_names_use_upstreams_alphabet() {
    let mut f = Fixture::new();
    let mut object = pod("");
    object.meta.generate_name = "web-".into();
    let name = f.create(object).expect("created").meta.key.name.clone();
    assert_eq!(name.len(), 9);
    assert!(name[4..].bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b)), "{name}");
}

#[test]
fn missing_namespaces_are_made_or_refused() {
    let mut object = pod("a");
    object.meta.key.namespace = "shop".into();
    let mut f = Fixture::new();
    f.create(object.clone()).expect("created with its namespace");
    assert_eq!(f.api.take_notices(), ["namespace \"shop\" was not there and has been created"]);
    f.api.options.strict_namespaces = true;
    object.meta.key.namespace = "other".into();
    let refused = f.create(object).expect_err("strict");
    assert_eq!(refused.to_string(), "namespaces \"other\" not found");
}

#[test]
fn stale_writes_conflict_and_equal_writes_cost_nothing() {
    let mut f = Fixture::new();
    let made = f.create(deployment("d")).expect("created");
    let mut first = Object::clone(&made);
    first.meta.labels = Arc::new([("a".to_owned(), "b".to_owned())].into());
    let written = f.send(Request::Update(Box::new(first.clone()))).expect("fresh");
    assert_eq!(written.meta.generation, 1, "labels are not desired state");
    let stale = f.send(Request::Update(Box::new(first.clone()))).expect_err("stale");
    assert_eq!(
        stale.to_string(),
        "Operation cannot be fulfilled on deployments.apps \"d\": the object has been modified; please apply your \
         changes to the latest version and try again"
    );
    first.meta.resource_version = 0;
    let again = f.send(Request::Update(Box::new(first))).expect("unconditional");
    assert_eq!(again.meta.resource_version, written.meta.resource_version);
    let scaled = f.send(Request::Scale { kind: Kind::DEPLOYMENT, key: made.key().clone(), replicas: 3 });
    assert_eq!(scaled.expect("scaled").meta.generation, 2);
}

#[test]
fn pods_are_bound_once() {
    let mut f = Fixture::new();
    let made = f.create(pod("a")).expect("created");
    let bound = f.bind(&made, "n1").expect("bound");
    assert!(bound.as_pod().is_some_and(|p| p.node_name == "n1" && p.status.is_true("PodScheduled")));
    let again = f.bind(&made, "n2").expect_err("twice");
    assert_eq!(
        again.to_string(),
        "Operation cannot be fulfilled on pods \"a\": pod a is already assigned to node \"n1\""
    );
}

#[test]
fn deletion_has_grace_only_for_running_pods() {
    let mut f = Fixture::new();
    let pending = f.create(pod("pending")).expect("created");
    f.delete(&pending, None).expect("gone at once");
    assert!(f.api.store.get(Kind::POD, pending.key()).is_none());

    let made = f.create(pod("bound")).expect("created");
    f.bind(&made, "n1").expect("bound");
    let marked = f.delete(&made, None).expect("marked");
    let deletion = marked.meta.deletion.expect("deleting");
    assert_eq!((deletion.timestamp, deletion.grace_period_seconds), (Time::ZERO + secs(40), 30));
    assert_eq!(marked.meta.generation, 2);
    let shorter = f.delete(&made, Some(5)).expect("shorter").meta.deletion.expect("deleting");
    assert_eq!((shorter.timestamp, shorter.grace_period_seconds), (Time::ZERO + secs(15), 5));
    let longer = f.delete(&made, Some(60)).expect("unchanged").meta.deletion.expect("deleting");
    assert_eq!(longer, shorter);
    f.delete(&made, Some(0)).expect("gone");
    assert!(f.api.store.get(Kind::POD, made.key()).is_none());
}

#[test]
fn finalizers_hold_an_object_until_the_last_is_removed() {
    let mut f = Fixture::new();
    let mut object = pod("a");
    object.meta.finalizers.push("example.com/hold".into());
    let made = f.create(object).expect("created");
    let held = f.delete(&made, Some(0)).expect("held");
    assert!(held.meta.is_deleting());
    let more = MetaPatch { add_finalizers: vec!["x/y".into()], ..MetaPatch::default() };
    let patch = |patch| Request::PatchMeta {
        kind: Kind::POD,
        key: made.key().clone(),
        uid: made.meta.uid,
        patch: Box::new(patch),
    };
    assert_eq!(f.send(patch(more)).expect_err("no new ones").reason, Reason::Invalid);
    let less = MetaPatch { remove_finalizers: vec!["example.com/hold".into()], ..MetaPatch::default() };
    f.send(patch(less)).expect("removed");
    assert!(f.api.store.get(Kind::POD, made.key()).is_none());
}

#[test]
fn foreground_deletion_waits_for_dependents() {
    let mut f = Fixture::new();
    let made = f.create(pod("a")).expect("created");
    let options = DeleteOptions { propagation: Propagation::Foreground, ..DeleteOptions::default() };
    let marked =
        f.send(Request::Delete { kind: Kind::POD, key: made.key().clone(), options }).expect("marked");
    assert_eq!(marked.meta.finalizers.as_slice(), ["foregroundDeletion"]);
}

#[test]
fn preconditions_are_checked() {
    let mut f = Fixture::new();
    let made = f.create(pod("a")).expect("created");
    let options = DeleteOptions { uid: Uid(5), ..DeleteOptions::default() };
    let refused = f.send(Request::Delete { kind: Kind::POD, key: made.key().clone(), options });
    assert!(refused.expect_err("other uid").is_conflict());
}

#[test]
fn a_terminal_phase_is_never_left() {
    let mut f = Fixture::new();
    let made = f.create(pod("a")).expect("created");
    let mut set = |phase| {
        let patch = Box::new(PodStatusPatch { phase: Some(phase), ..PodStatusPatch::default() });
        let done = f.send(Request::PatchPodStatus { key: made.key().clone(), uid: made.meta.uid, patch });
        done.expect("patched").as_pod().map(|p| p.status.phase)
    };
    assert_eq!(set(PodPhase::Failed), Some(PodPhase::Failed));
    assert_eq!(set(PodPhase::Running), Some(PodPhase::Failed));
}

#[test]
fn names_of_generated_claims_are_merged_by_entry() {
    let mut f = Fixture::new();
    let made = f.create(pod("a")).expect("created");
    let mut note = |claims: &[(&str, Option<&str>)]| {
        let claims = claims.iter().map(|(entry, claim)| ((*entry).into(), claim.map(Into::into)));
        let patch = PodStatusPatch { resource_claim_statuses: claims.collect(), ..PodStatusPatch::default() };
        let patch =
            Request::PatchPodStatus { key: made.key().clone(), uid: made.meta.uid, patch: Box::new(patch) };
        let done = f.send(patch).expect("patched");
        let status = &done.as_pod().expect("a pod").status;
        status.other.as_ref().and_then(|o| o.get("resourceClaimStatuses")).map(ToString::to_string)
    };
    assert_eq!(note(&[]), None);
    let first = r#"{"name":"x","resourceClaimName":"a-x-1"}"#;
    assert_eq!(note(&[("x", Some("a-x-1"))]), Some(format!("[{first}]")));
    assert_eq!(note(&[("y", None)]), Some(format!(r#"[{first},{{"name":"y"}}]"#)));
    let renamed = r#"[{"name":"x","resourceClaimName":"a-x-2"},{"name":"y"}]"#;
    assert_eq!(note(&[("x", Some("a-x-2"))]), Some(renamed.to_owned()));
}

#[test]
fn replicas_of_one_template_stay_one_class() {
    let mut f = Fixture::new();
    let template = pod("template");
    let pods: Vec<_> = (0..3)
        .map(|i| {
            let mut replica = template.clone();
            replica.meta.key.name = format!("r{i}").into();
            f.create(replica).expect("created")
        })
        .collect();
    let specs: Vec<_> = pods.iter().filter_map(|p| p.as_pod()).map(|p| Arc::as_ptr(&p.spec)).collect();
    assert_eq!(specs.len(), 3);
    assert!(specs.iter().all(|s| *s == specs[0]), "one Arc for all");
}

fn claim(name: &str, exactly: serde_json::Value) -> Object {
    let devices = serde_json::json!({"requests": [{"name": "r", "exactly": exactly}]});
    let status = serde_json::json!({"reservedFor": [{"resource": "pods", "name": "p", "uid": "1"}]});
    let body = serde_json::json!({"spec": {"devices": devices}, "status": status});
    Object::json(Kind::RESOURCE_CLAIM, Meta::named(Key::new("default", name)), body)
}

#[test]
fn claims_begin_without_status_and_keep_their_spec() {
    let mut f = Fixture::new();
    let made = f.create(claim("c", serde_json::json!({"deviceClassName": "gpu"}))).expect("created");
    assert_eq!(made.meta.generation, 0, "claims have no generations");
    let body = made.as_json().expect("a body");
    assert_eq!(body["status"], serde_json::json!({}));
    assert_eq!(body["spec"]["devices"]["requests"][0]["exactly"]["count"], 1);
    let mut other = Object::clone(&made);
    other.body = claim("c", serde_json::json!({"deviceClassName": "other"})).body;
    let refused = f.send(Request::Update(Box::new(other))).expect_err("fixed");
    assert!(refused.message.ends_with("field is immutable"), "{refused}");
    let mut reserved = Object::clone(&made);
    reserved.body = claim("c", serde_json::json!({"deviceClassName": "gpu"})).body;
    let refused = f.send(Request::UpdateStatus(Box::new(reserved))).expect_err("not allocated");
    assert!(refused.message.contains("status.reservedFor: Forbidden"), "{refused}");
}

#[test]
fn devices_for_administration_are_for_labelled_namespaces() {
    let mut f = Fixture::new();
    let wanting = || claim("c", serde_json::json!({"deviceClassName": "gpu", "adminAccess": true}));
    let refused = f.create(wanting()).expect_err("no label");
    assert!(refused.message.contains("admin access to devices requires"), "{refused}");
    let label = ("resource.kubernetes.io/admin-access".to_owned(), Some("true".to_owned()));
    let patch = Box::new(MetaPatch { labels: vec![label], ..MetaPatch::default() });
    let (kind, key, uid) = (Kind::NAMESPACE, Key::cluster("default"), Uid::default());
    f.send(Request::PatchMeta { kind, key, uid, patch }).expect("labelled");
    f.create(wanting()).expect("created");
}

#[test]
fn fields_of_gates_that_are_off_are_dropped_with_a_notice() {
    let mut f = Fixture::new();
    let pool = serde_json::json!({"name": "p", "generation": 1, "resourceSliceCount": 1});
    let taints = serde_json::json!([{"key": "k", "effect": "NoExecute"}]);
    let devices = serde_json::json!([{"name": "a", "taints": taints}]);
    let body =
        serde_json::json!({"spec": {"driver": "d", "pool": pool, "allNodes": true, "devices": devices}});
    let slice = Object::json(Kind::RESOURCE_SLICE, Meta::named(Key::cluster("s")), body);
    let made = f.create(slice).expect("created");
    assert_eq!(made.as_json().expect("a body")["spec"]["devices"], serde_json::json!([{"name": "a"}]));
    assert_eq!(
        f.api.take_notices(),
        ["spec.devices[].taints is dropped: the feature gate DRADeviceTaints is off"]
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]

    /// Whatever the order of creations and of changes to the classes: a pod of a shared template becomes what a pod with
    /// a copy of its own becomes.
    #[test]
    fn remembered_templates_equal_fresh_ones(steps in proptest::collection::vec((0usize..4, 0usize..3), 1..30)) {
        let mut f = Fixture::new();
        let classes = ["", "low", "high"];
        let template = |class: &str| {
            let mut object = pod("template");
            if let Body::Pod(pod) = &mut object.body {
                Arc::make_mut(&mut pod.spec).priority_class_name = Some(class.to_owned()).filter(|c| !c.is_empty());
            }
            object
        };
        let templates = classes.map(template);
        for (number, (what, which)) in steps.into_iter().enumerate() {
            let class = Key::cluster(classes[which]);
            if what == 0 && which > 0 {
                let options = DeleteOptions::default();
                let _ = f.send(Request::Delete { kind: Kind::PRIORITY_CLASS, key: class, options });
            } else if what == 1 && which > 0 {
                let body = serde_json::json!({"value": number});
                let _ = f.create(Object::json(Kind::PRIORITY_CLASS, Meta::named(class), body));
            } else {
                let mut shared = templates[which].clone();
                shared.meta.key.name = format!("shared-{number}").into();
                let mut own = shared.clone();
                own.meta.key.name = format!("own-{number}").into();
                if let Body::Pod(pod) = &mut own.body {
                    pod.spec = Arc::new((*pod.spec).clone());
                }
                let spec = |made: Result<Arc<Object>, ApiError>| {
                    made.ok().and_then(|o| o.as_pod().map(|p| p.spec.clone()))
                };
                proptest::prop_assert_eq!(spec(f.create(shared)), spec(f.create(own)));
            }
        }
    }
}
