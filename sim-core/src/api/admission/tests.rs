use std::sync::Arc;

use k8s_openapi::api::core::v1::{NodeSpec, PodSpec, Taint};
use serde_json::{Value, json};

use super::*;
use crate::api::error::Reason;
use crate::api::meta::{Key, Meta};
use crate::api::object::{Node, Pod};
use crate::time::{Time, secs};

/// A store of cluster-scoped objects.
#[derive(Default)]
struct View {
    kinds: Kinds,
    objects: Vec<Object>,
    revision: u64,
    lenient: bool,
}

impl View {
    fn with(mut self, kind: Kind, name: &str, body: Value) -> View {
        self.objects.push(Object::json(kind, Meta::named(Key::cluster(name)), body));
        self.objects.sort_by(|a, b| a.meta.key.cmp(&b.meta.key));
        self.revision += 1;
        self
    }

    fn typical() -> View {
        View::default()
            .with(Kind::NAMESPACE, "default", json!({}))
            .with(Kind::NAMESPACE, "going", json!({"status": {"phase": "Terminating"}}))
            .with(Kind::PRIORITY_CLASS, "high", json!({"value": 1000, "preemptionPolicy": "Never"}))
            .with(
                Kind::RUNTIME_CLASS,
                "kata",
                json!({
                    "handler": "kata",
                    "overhead": {"podFixed": {"cpu": "250m"}},
                    "scheduling": {
                        "nodeSelector": {"runtime": "kata"},
                        "tolerations": [
                            {"key": "kata", "operator": "Exists"},
                            {"key": "kata", "operator": "Equal", "value": "1", "effect": "NoSchedule"},
                        ],
                    },
                }),
            )
            .with(Kind::RUNTIME_CLASS, "plain", json!({"handler": "runc"}))
    }
}

impl AdmissionView for View {
    fn kinds(&self) -> &Kinds {
        &self.kinds
    }
    fn get(&self, kind: Kind, name: &str) -> Option<&Object> {
        self.objects.iter().find(|o| o.kind == kind && o.meta.name() == name)
    }
    fn list(&self, kind: Kind) -> Vec<&Object> {
        self.objects.iter().filter(|o| o.kind == kind).collect()
    }
    fn strict_namespaces(&self) -> bool {
        !self.lenient
    }
}

fn pod(spec: Value) -> Object {
    pod_of(Arc::new(serde_json::from_value::<PodSpec>(spec).unwrap()))
}

fn pod_of(spec: Arc<PodSpec>) -> Object {
    Object::new(Meta::named(Key::new("default", "p")), Body::Pod(Pod { spec, ..Pod::default() }))
}

fn admitted(spec: Value, view: &View) -> Result<Value, String> {
    let mut object = pod(spec);
    admit(&mut object, view).map_err(|e| e.message)?;
    Ok(serde_json::to_value(&*object.as_pod().unwrap().spec).unwrap())
}

#[test]
fn priority_comes_from_the_class() {
    let view = View::typical();
    let with_default = View::typical()
        .with(Kind::PRIORITY_CLASS, "base", json!({"value": 7, "globalDefault": true}))
        .with(Kind::PRIORITY_CLASS, "base-higher", json!({"value": 8, "globalDefault": true}));
    let lower = "PreemptLowerPriority";
    for (view, spec, expected) in [
        (&view, json!({}), json!([0, lower, null])),
        (&view, json!({"priorityClassName": "high"}), json!([1000, "Never", "high"])),
        (&view, json!({"priorityClassName": "high", "priority": 1000}), json!([1000, "Never", "high"])),
        (
            &view,
            json!({"priorityClassName": "system-node-critical"}),
            json!([2_000_001_000, lower, "system-node-critical"]),
        ),
        (
            &view,
            json!({"priorityClassName": "system-cluster-critical"}),
            json!([2_000_000_000, lower, "system-cluster-critical"]),
        ),
        (&with_default, json!({}), json!([7, lower, "base"])),
    ] {
        let got = admitted(spec, view).unwrap();
        let row: Vec<Value> = ["priority", "preemptionPolicy", "priorityClassName"]
            .iter()
            .map(|f| got.get(*f).cloned().unwrap_or(Value::Null))
            .collect();
        assert_eq!(Value::Array(row), expected);
    }
}

#[test]
fn pods_are_refused_in_upstreams_words() {
    let view = View::typical();
    for (spec, message) in [
        (
            json!({"priorityClassName": "x"}),
            "pods \"p\" is forbidden: no PriorityClass with name x was found",
        ),
        (
            json!({"priority": 5}),
            "pods \"p\" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority \
             admission controller computed 0 from the given PriorityClass name",
        ),
        (
            json!({"priorityClassName": "high", "preemptionPolicy": "PreemptLowerPriority"}),
            "pods \"p\" is forbidden: the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided \
             in pod spec; priority admission controller computed Never from the given PriorityClass name",
        ),
        (
            json!({"runtimeClassName": "gvisor"}),
            "pods \"p\" is forbidden: pod rejected: RuntimeClass \"gvisor\" not found",
        ),
        (
            json!({"runtimeClassName": "kata", "overhead": {"cpu": "1"}}),
            "pods \"p\" is forbidden: pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            json!({"runtimeClassName": "plain", "overhead": {"cpu": "1"}}),
            "pods \"p\" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            json!({"runtimeClassName": "kata", "nodeSelector": {"runtime": "runc"}}),
            "pods \"p\" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[runtime] = kata; \
             pod.spec.nodeSelector[runtime] = runc",
        ),
    ] {
        assert_eq!(admitted(spec, &view), Err(message.to_string()));
    }
}

#[test]
fn runtime_class_adds_overhead_selector_and_tolerations() {
    let spec = json!({
        "runtimeClassName": "kata",
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
    });
    let same_overhead = json!({"runtimeClassName": "kata", "overhead": {"cpu": "0.25"}});
    assert!(admitted(same_overhead, &View::typical()).is_ok());
    let got = admitted(spec, &View::typical()).unwrap();
    assert_eq!(got["overhead"], json!({"cpu": "250m"}));
    assert_eq!(got["nodeSelector"], json!({"zone": "a", "runtime": "kata"}));
    // The second toleration of the class is covered by its first.
    assert_eq!(
        got["tolerations"],
        json!([{"operator": "Exists", "effect": "NoExecute"}, {"key": "kata", "operator": "Exists"}])
    );
}

#[test]
fn tolerations_of_300_seconds_unless_given() {
    let exists = |key: &str, seconds: i64| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
    let (not_ready, unreachable) = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable");
    for (given, expected) in [
        (json!(null), json!([exists(not_ready, 300), exists(unreachable, 300)])),
        (json!([exists(not_ready, 5)]), json!([exists(not_ready, 5), exists(unreachable, 300)])),
        (json!([{"operator": "Exists"}]), json!([{"operator": "Exists"}])),
        (
            json!([{"operator": "Exists", "effect": "NoSchedule"}]),
            json!([
                {"operator": "Exists", "effect": "NoSchedule"},
                exists(not_ready, 300),
                exists(unreachable, 300),
            ]),
        ),
    ] {
        assert_eq!(
            admitted(json!({"tolerations": given}), &View::typical()).unwrap()["tolerations"],
            expected
        );
    }
}

#[test]
fn the_service_account_is_default_except_for_mirror_pods() {
    let view = View::typical();
    assert_eq!(admitted(json!({}), &view).unwrap()["serviceAccountName"], "default");
    assert_eq!(admitted(json!({"serviceAccountName": "robot"}), &view).unwrap()["serviceAccount"], "robot");
    let mut mirror = pod(json!({}));
    mirror.meta.annotations = Arc::new([(MIRROR_ANNOTATION.to_string(), "x".to_string())].into());
    admit(&mut mirror, &view).unwrap();
    assert_eq!(mirror.as_pod().unwrap().spec.service_account_name, None);
}

#[test]
fn a_new_node_is_tainted_once() {
    let mut node = Object::new(Meta::named(Key::cluster("n")), Body::Node(Node::default()));
    for _ in 0..2 {
        admit(&mut node, &View::default()).unwrap();
        let taints = node.as_node().unwrap().spec.taints.clone().unwrap_or_default();
        let keys: Vec<(&str, &str)> = taints.iter().map(|t| (t.key.as_str(), t.effect.as_str())).collect();
        assert_eq!(keys, [("node.kubernetes.io/not-ready", "NoSchedule")]);
    }
    let other = Taint { key: "a".into(), effect: "NoSchedule".into(), ..Taint::default() };
    let spec = Arc::new(NodeSpec { taints: Some(vec![other]), ..NodeSpec::default() });
    let mut node = Object::new(Meta::named(Key::cluster("n")), Body::Node(Node { spec, ..Node::default() }));
    admit(&mut node, &View::default()).unwrap();
    assert_eq!(node.as_node().unwrap().spec.taints.as_ref().map(Vec::len), Some(2));
}

#[test]
fn namespaces_must_exist_and_stay() {
    let mut lenient = View::typical();
    lenient.lenient = true;
    for (view, namespace, expected) in [
        (&View::typical(), "default", Ok(())),
        (&View::typical(), "nowhere", Err((Reason::NotFound, "namespaces \"nowhere\" not found"))),
        (
            &View::typical(),
            "going",
            Err((
                Reason::Forbidden,
                "pods \"p\" is forbidden: unable to create new content in namespace going because it is being terminated",
            )),
        ),
        (&lenient, "nowhere", Ok(())),
    ] {
        let mut object = pod(json!({}));
        object.meta.key = Key::new(namespace, "p");
        let got = admit(&mut object, view).map_err(|e| (e.reason, e.message));
        assert_eq!(got, expected.map_err(|(r, m)| (r, m.to_string())));
    }
}

#[test]
fn claims_get_the_newest_default_class() {
    let mut view = View::typical();
    for (name, second, default) in
        [("old", 1, "true"), ("b", 5, "true"), ("a", 5, "true"), ("newest", 9, "false")]
    {
        view = view.with(Kind::STORAGE_CLASS, name, json!({"provisioner": "x"}));
        let class = view.objects.iter_mut().find(|o| o.meta.name() == name).unwrap();
        class.meta.creation_timestamp = Time::ZERO + secs(second);
        class.meta.annotations = Arc::new(
            [("storageclass.kubernetes.io/is-default-class".to_string(), default.to_string())].into(),
        );
    }
    for (body, expected) in [
        (json!({"spec": {}}), json!("a")),
        (json!({"spec": {"storageClassName": null}}), json!("a")),
        (json!({"spec": {"storageClassName": ""}}), json!("")),
        (json!({"spec": {"storageClassName": "x"}}), json!("x")),
    ] {
        let meta = Meta::named(Key::new("default", "c"));
        let mut claim = Object::json(Kind::PERSISTENT_VOLUME_CLAIM, meta, body);
        admit(&mut claim, &view).unwrap();
        assert_eq!(claim.as_json().unwrap()["spec"]["storageClassName"], expected);
    }
}

#[test]
fn one_global_default_only() {
    let view = View::default().with(Kind::PRIORITY_CLASS, "a", json!({"value": 1, "globalDefault": true}));
    let class = |name: &str| {
        let body = json!({"value": 2, "globalDefault": true});
        Object::json(Kind::PRIORITY_CLASS, Meta::named(Key::cluster(name)), body)
    };
    let error = admit(&mut class("b"), &view).unwrap_err();
    assert_eq!(
        error.message,
        "priorityclasses.scheduling.k8s.io \"b\" is forbidden: PriorityClass a is already marked as default. Only one \
         default can exist"
    );
    assert_eq!(admit_update(&mut class("a"), &class("a"), &view), Ok(()));
}
