//! Short words for tests with volumes.

use std::sync::Arc;

use serde_json::{Value, json};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Labels, Meta, OwnerReference, Uid};
use sim_core::api::object::Object;
use sim_core::time::Time;

use crate::cache::Cache;
use crate::framework::{AnyPlugin, Attempt, PreFiltered, Status};
use crate::pod::Classes;

/// An object of a storage kind.
pub(crate) fn stored(kind: Kind, name: &str, body: Value) -> Object {
    let key = match kind {
        Kind::PERSISTENT_VOLUME_CLAIM | Kind::CSI_STORAGE_CAPACITY => Key::new("default", name),
        _ => Key::cluster(name),
    };
    let mut meta = Meta::named(key);
    meta.uid = Uid::parse(name);
    meta.resource_version = 1;
    Object::json(kind, meta, body)
}

/// A claim of 1 GiB and the class `wait`, unless the spec says otherwise.
pub(crate) fn claim(name: &str, spec: Value) -> Object {
    let mut whole = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "wait",
        "resources": {"requests": {"storage": "1Gi"}}});
    merge(&mut whole, spec);
    let object = stored(Kind::PERSISTENT_VOLUME_CLAIM, name, json!({"spec": whole}));
    match object.as_json().and_then(|body| body.pointer("/spec/volumeName")) {
        Some(_) => annotated(object, "pv.kubernetes.io/bind-completed", "yes"),
        None => object,
    }
}

/// An available volume of 1 GiB and the class `wait`, unless the spec says otherwise.
pub(crate) fn volume(name: &str, spec: Value) -> Object {
    let mut whole = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "wait",
        "capacity": {"storage": "1Gi"}});
    merge(&mut whole, spec);
    let body = json!({"spec": whole, "status": {"phase": "Available"}});
    stored(Kind::PERSISTENT_VOLUME, name, body)
}

fn merge(whole: &mut Value, more: Value) {
    if let (Value::Object(whole), Value::Object(more)) = (whole, more) {
        whole.extend(more);
    }
}

/// `nodeAffinity` for nodes with a label.
pub(crate) fn only_on(key: &str, value: &str) -> Value {
    json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": key, "operator": "In", "values": [value]}]}]}})
}

pub(crate) fn class(name: &str, provisioner: &str, mode: &str) -> Object {
    stored(Kind::STORAGE_CLASS, name, json!({"provisioner": provisioner, "volumeBindingMode": mode}))
}

/// The class `wait`, whose volumes are made by `csi.x` once a pod needs them.
pub(crate) fn wait() -> Object {
    class("wait", "csi.x", "WaitForFirstConsumer")
}

pub(crate) fn annotated(mut object: Object, key: &str, value: &str) -> Object {
    let annotations: &mut Labels = Arc::make_mut(&mut object.meta.annotations);
    annotations.insert(key.to_owned(), value.to_owned());
    object
}

pub(crate) fn labelled(mut object: Object, key: &str, value: &str) -> Object {
    Arc::make_mut(&mut object.meta.labels).insert(key.to_owned(), value.to_owned());
    object
}

/// The object, made for a pod.
pub(crate) fn owned_by(mut object: Object, pod: &str) -> Object {
    object.meta.owner_references.push(OwnerReference {
        api_version: "v1".into(),
        kind: "Pod".into(),
        name: pod.into(),
        uid: Uid::parse(pod),
        controller: true,
        block_owner_deletion: true,
    });
    object
}

/// A pod with claims of these names; `<name>!` stands for an ephemeral volume.
pub(crate) fn pod_with(name: &str, claims: &[&str]) -> Object {
    let volume = |claim: &&str| match claim.strip_suffix('!') {
        Some(name) => json!({"name": name, "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}),
        None => json!({"name": "v", "persistentVolumeClaim": {"claimName": claim}}),
    };
    let volumes: Vec<Value> = claims.iter().map(volume).collect();
    crate::testing::pod(name).with("volumes", json!(volumes)).build()
}

/// A cluster of these objects. Pods with a node are there.
pub(crate) fn cluster(objects: impl IntoIterator<Item = Object>) -> Cache {
    let mut cache = Cache::default();
    let mut classes = Classes::default();
    for object in objects {
        if let Some(pod) = object.as_pod() {
            let info = classes.of(&object).expect("a pod");
            cache.set_pod(&Arc::new(object.clone()), info, &pod.node_name);
        } else if object.as_node().is_some() {
            cache.set_node(&object);
        } else {
            cache.objects_mut().set(Arc::new(object));
        }
    }
    cache.refresh();
    cache
}

fn words(status: &Status) -> String {
    format!("{}: {status}", status.code.as_str())
}

/// What PreFilter says of a pod, or else what Filter says of each node.
pub(crate) fn verdicts(plugin: &dyn AnyPlugin, cluster: &Cache, pod: &Object) -> String {
    let info = Classes::default().of(pod).expect("a pod");
    let attempt = Attempt { pod: &info, object: pod, cluster, now: Time::ZERO };
    let mut state = plugin.state(&info);
    match plugin.pre_filter(&mut state, &attempt) {
        PreFiltered::Proceed => {}
        PreFiltered::Skip => return "skipped".to_owned(),
        PreFiltered::Nodes(_) => return "only some nodes".to_owned(),
        PreFiltered::Refused(status) => return words(&status),
    }
    let verdict = |slot: &u32| {
        let node = cluster.node(*slot);
        let status = plugin.filter(&state, &attempt, node).into_status(plugin.name());
        status.map(|status| format!("{} {}", node.name, words(&status)))
    };
    let refused: Vec<String> = cluster.order().iter().filter_map(verdict).collect();
    if refused.is_empty() { "fits".to_owned() } else { refused.join("; ") }
}
