//! Objects to and from the wire: the compact form inside, Kubernetes' JSON outside.
//!
//! JSON comes out as `kubectl get -o json` prints it, keys sorted. It goes in through the one deserializer of
//! [`crate::load`], so that errors have a field path.

mod kinds;
mod meta;
mod pod_status;
mod yaml;

use std::sync::Arc;

use k8s_openapi::api::core::v1::PodSpec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use smol_str::SmolStr;

pub use meta::meta_to_json;
pub use pod_status::pod_status_to_json;
pub use yaml::{to_yaml, value_to_yaml};

use super::kind::{Kind, Kinds};
use super::object::{Body, Object, Pod, Typed};
use crate::load::LoadError;
use crate::load::de::{De, DeError, Ignored, nearest};
use crate::load::served;
use crate::load::tree::{Node, Path};
use crate::time::Epoch;

/// The wire form of an object.
///
/// ```
/// use sim_core::api::{kind::Kinds, meta::{Key, Meta}, object::{Body, Object, Pod}, wire};
/// use sim_core::time::Epoch;
/// let pod = Object::new(Meta::named(Key::new("default", "web")), Body::Pod(Pod::default()));
/// let json = wire::to_json(&pod, &Kinds::default(), Epoch::default());
/// assert_eq!(json["kind"], "Pod");
/// assert_eq!(json["metadata"]["name"], "web");
/// ```
pub fn to_json(object: &Object, kinds: &Kinds, epoch: Epoch) -> Value {
    let info = kinds.info(object.kind);
    let mut out = Map::new();
    out.insert("apiVersion".into(), info.api_version().as_str().into());
    out.insert("kind".into(), info.kind.as_str().into());
    out.insert("metadata".into(), meta_to_json(&object.meta, epoch));
    match &object.body {
        Body::Pod(pod) => {
            let mut spec = encode(&*pod.spec);
            if let (Value::Object(spec), false) = (&mut spec, pod.node_name.is_empty()) {
                spec.insert("nodeName".into(), pod.node_name.as_str().into());
            }
            out.insert("spec".into(), spec);
            out.insert("status".into(), pod_status_to_json(&pod.status, epoch));
        }
        Body::Node(o) => halves(&mut out, o),
        Body::Deployment(o) => halves(&mut out, o),
        Body::ReplicaSet(o) => halves(&mut out, o),
        Body::DaemonSet(o) => halves(&mut out, o),
        Body::Job(o) => halves(&mut out, o),
        Body::Json(body) => {
            if let Value::Object(body) = &**body {
                out.extend(body.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
        }
    }
    let mut out = Value::Object(out);
    out.sort_all_objects();
    out
}

fn halves<S: Serialize, T: Serialize>(out: &mut Map<String, Value>, object: &Typed<S, T>) {
    out.insert("spec".into(), encode(&*object.spec));
    out.insert("status".into(), encode(&*object.status));
}

/// A typed part as JSON. All serialization of Kubernetes' types goes through here, to compile it once.
pub fn encode<T: Serialize>(part: &T) -> Value {
    // Only map keys that are no texts can fail, and Kubernetes has none.
    serde_json::to_value(part).unwrap_or(Value::Null)
}

/// A typed part from JSON, through the one deserializer. Unknown fields are dropped, as the API server does.
///
/// # Errors
/// A value has the wrong type; the error has its field path.
pub fn decode_value<T: DeserializeOwned>(value: &Value) -> Result<T, LoadError> {
    let node = Node::of_value(value);
    let ignored = Ignored::default();
    De::wire(&node, &Path::Root, &ignored).read(std::marker::PhantomData).map_err(plain)
}

/// An object from its wire form; unknown fields are dropped, as the API server does without strict validation.
///
/// # Errors
/// The kind is not known, or a value has the wrong type.
pub fn from_json(value: &Value, kinds: &Kinds, epoch: Epoch) -> Result<Object, LoadError> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let (api_version, name) = (text("apiVersion"), text("kind"));
    let (mut node, ignored) = (Node::of_value(value), Ignored::default());
    let kind = kinds
        .resolve(api_version, name)
        .or_else(|| served::convert(api_version, name, &mut node, &ignored))
        .ok_or_else(|| no_match(kinds, api_version, name))?;
    decode(kind, &node, epoch, &ignored).map_err(plain)
}

/// `no matches for kind "X" in version "g/v"`, with what this Kubernetes version serves instead, if anything.
pub(crate) fn no_match(kinds: &Kinds, api_version: &str, name: &str) -> LoadError {
    let error = LoadError::new(format!("no matches for kind {name:?} in version {api_version:?}"));
    let served: Vec<_> = kinds.iter().map(|(_, i)| i).filter(|i| i.kind == name).collect();
    if let Some(info) = served.first() {
        return error
            .with_help(format!("Kubernetes 1.34 serves {name} as `apiVersion: {}`", info.api_version()));
    }
    let names: Vec<&str> = kinds.iter().map(|(_, i)| i.kind.as_str()).collect();
    match (name, nearest(name, &names)) {
        ("ResourceClass", _) => error.with_help(
            "ResourceClass existed up to Kubernetes 1.30; write a DeviceClass of resource.k8s.io/v1 with CEL selectors",
        ),
        ("ResourceDriver", _) => error.with_help(
            "no Kubernetes version has ResourceDriver; a driver is named by `spec.driver` of its ResourceSlices",
        ),
        _ if is_configuration(api_version) => {
            error.with_help("this is a configuration file of a program, not an object of the cluster")
        }
        (_, Some(near)) => error.with_help(format!("did you mean {near}?")),
        _ => error.with_help("a custom kind needs its CustomResourceDefinition to be loaded before it"),
    }
}

fn is_configuration(api_version: &str) -> bool {
    let group = api_version.split('/').next().unwrap_or_default();
    group.ends_with(".config.k8s.io") || matches!(group, "audit.k8s.io" | "kind.x-k8s.io" | "kubeadm.k8s.io")
}

fn plain(error: DeError) -> LoadError {
    let inner = error.into_inner();
    let made = LoadError::new(inner.message).with_path(inner.path);
    match inner.help {
        Some(help) => made.with_help(help),
        None => made,
    }
}

/// Reads an object of a known kind from its tree.
pub(crate) fn decode(
    kind: Kind,
    node: &Node<'_>,
    epoch: Epoch,
    ignored: &Ignored,
) -> Result<Object, DeError> {
    let meta = meta::decode(node.get("metadata"), epoch, ignored)?;
    let body = match kind {
        Kind::POD => {
            unknown_top(node, ignored);
            let mut spec: PodSpec = part(node, "spec", ignored)?;
            let node_name = SmolStr::from(spec.node_name.take().unwrap_or_default());
            let status = pod_status::decode(node.get("status"), epoch, ignored)?;
            Body::Pod(Pod { spec: Arc::new(spec), node_name, status: Arc::new(status) })
        }
        Kind::NODE => Body::Node(typed(node, ignored)?),
        Kind::DEPLOYMENT => Body::Deployment(typed(node, ignored)?),
        Kind::REPLICA_SET => Body::ReplicaSet(typed(node, ignored)?),
        Kind::DAEMON_SET => Body::DaemonSet(typed(node, ignored)?),
        Kind::JOB => Body::Job(typed(node, ignored)?),
        _ => Body::Json(Arc::new(json_body(kind, node, ignored)?)),
    };
    Ok(Object { kind, meta, body })
}

fn typed<S: DeserializeOwned + Default, T: DeserializeOwned + Default>(
    node: &Node<'_>,
    ignored: &Ignored,
) -> Result<Typed<S, T>, DeError> {
    unknown_top(node, ignored);
    Ok(Typed {
        spec: Arc::new(part(node, "spec", ignored)?),
        status: Arc::new(part(node, "status", ignored)?),
    })
}

/// One top-level field, or its default.
pub(crate) fn part<T: DeserializeOwned + Default>(
    node: &Node<'_>,
    key: &str,
    ignored: &Ignored,
) -> Result<T, DeError> {
    match node.get(key) {
        Some(value) if !value.is_null() => {
            De::wire(value, &Path::Key(&Path::Root, key), ignored).read(std::marker::PhantomData)
        }
        _ => Ok(T::default()),
    }
}

fn unknown_top(node: &Node<'_>, ignored: &Ignored) {
    for entry in node.entries().unwrap_or_default() {
        if !matches!(&*entry.key, "apiVersion" | "kind" | "metadata" | "spec" | "status") {
            let field = crate::load::IgnoredField { path: entry.key.to_string(), at: entry.key_at };
            ignored.borrow_mut().push(field);
        }
    }
}

/// The wire type always writes the type of a claim template; what was sent may leave it out.
fn untype_claim_templates(body: &mut Value, node: &Node<'_>) {
    let sent = node.get("spec").and_then(|s| s.get("volumeClaimTemplates")).and_then(Node::items);
    let Some(templates) = body.pointer_mut("/spec/volumeClaimTemplates").and_then(Value::as_array_mut) else {
        return;
    };
    for (template, sent) in templates.iter_mut().zip(sent.unwrap_or_default()) {
        if let Value::Object(template) = template {
            template
                .retain(|key, _| !matches!(key.as_str(), "apiVersion" | "kind") || sent.get(key).is_some());
        }
    }
}

/// The wire type writes quantities that were left out as empty texts; upstream has zeros, and no pointer.
fn absent_quantities(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(absent_quantities),
        Value::Object(fields) => {
            if fields.get("min").and_then(Value::as_str) == Some("") {
                fields.shift_remove("min");
            }
            if let Some(amount) = fields.get_mut("value").filter(|v| v.as_str() == Some("")) {
                *amount = "0".into();
            }
            for name in
                ["spec", "devices", "requestPolicy", "validRange", "sharedCounters", "consumesCounters"]
            {
                fields.get_mut(name).into_iter().for_each(absent_quantities);
            }
            for name in ["capacity", "counters"] {
                let named = fields.get_mut(name).and_then(Value::as_object_mut);
                named.into_iter().flat_map(|named| named.values_mut()).for_each(absent_quantities);
            }
        }
        _ => {}
    }
}

/// Everything beside the type and the metadata.
fn json_body(kind: Kind, node: &Node<'_>, ignored: &Ignored) -> Result<Value, DeError> {
    // What is wrong inside the metadata has been reported already.
    let before = ignored.borrow().len();
    let canonical = kinds::canonical(kind, node, ignored)?;
    let mut at = 0;
    ignored.borrow_mut().retain(|f| {
        at += 1;
        at <= before || !f.path.starts_with("metadata.")
    });
    let mut body = canonical.unwrap_or_else(|| node.to_value());
    match kind {
        Kind::STATEFUL_SET => untype_claim_templates(&mut body, node),
        Kind::RESOURCE_SLICE => absent_quantities(&mut body),
        _ => {}
    }
    if let Value::Object(map) = &mut body {
        map.retain(|key, _| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata"));
    }
    Ok(body)
}

#[cfg(test)]
mod tests;
