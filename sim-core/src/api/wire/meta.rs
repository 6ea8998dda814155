//! `metadata`.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time as WireTime};
use serde_json::{Map, Value};
use smol_str::SmolStr;

use crate::api::meta::{Deletion, Key, Labels, Meta, OwnerReference, Uid};
use crate::load::de::{De, DeError, Ignored};
use crate::load::tree::{Node, Path};
use crate::time::{Epoch, Time};

/// Reads `metadata`. `managedFields` and `selfLink` are checked and dropped.
pub(super) fn decode(node: Option<&Node<'_>>, epoch: Epoch, ignored: &Ignored) -> Result<Meta, DeError> {
    let Some(node) = node.filter(|n| !n.is_null()) else { return Ok(Meta::default()) };
    let path = Path::Key(&Path::Root, "metadata");
    let wire: ObjectMeta = De::wire(node, &path, ignored).read(std::marker::PhantomData)?;
    Ok(from_wire(wire, epoch))
}

pub(super) fn time(wire: &WireTime, epoch: Epoch) -> Time {
    epoch.time_of(wire.0)
}

fn from_wire(wire: ObjectMeta, epoch: Epoch) -> Meta {
    let text = |t: Option<String>| SmolStr::from(t.unwrap_or_default());
    let owners = wire.owner_references.unwrap_or_default().into_iter().map(|o| OwnerReference {
        api_version: o.api_version.into(),
        kind: o.kind.into(),
        name: o.name.into(),
        uid: uid(&o.uid),
        controller: o.controller.unwrap_or_default(),
        block_owner_deletion: o.block_owner_deletion.unwrap_or_default(),
    });
    Meta {
        key: Key { namespace: text(wire.namespace), name: text(wire.name) },
        generate_name: text(wire.generate_name),
        uid: uid(wire.uid.as_deref().unwrap_or_default()),
        resource_version: wire.resource_version.and_then(|v| v.parse().ok()).unwrap_or_default(),
        generation: wire.generation.unwrap_or_default(),
        creation_timestamp: wire.creation_timestamp.map(|t| time(&t, epoch)).unwrap_or_default(),
        deletion: wire.deletion_timestamp.map(|t| Deletion {
            timestamp: time(&t, epoch),
            grace_period_seconds: wire.deletion_grace_period_seconds.unwrap_or_default(),
        }),
        labels: Arc::new(wire.labels.unwrap_or_default()),
        annotations: Arc::new(wire.annotations.unwrap_or_default()),
        owner_references: owners.collect(),
        finalizers: wire.finalizers.unwrap_or_default().into_iter().map(SmolStr::from).collect(),
    }
}

fn uid(text: &str) -> Uid {
    if text.is_empty() { Uid::default() } else { Uid::parse(text) }
}

/// `metadata` as JSON, keys sorted. Absent parts are left out, as upstream's `omitempty` does.
pub fn meta_to_json(meta: &Meta, epoch: Epoch) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        out.insert(key.to_string(), value);
    };
    if !meta.annotations.is_empty() {
        put("annotations", map(&meta.annotations));
    }
    if !(meta.uid.is_unset() && meta.creation_timestamp == Time::ZERO) {
        put("creationTimestamp", epoch.rfc3339(meta.creation_timestamp).into());
    }
    if let Some(deletion) = meta.deletion {
        put("deletionGracePeriodSeconds", deletion.grace_period_seconds.into());
        put("deletionTimestamp", epoch.rfc3339(deletion.timestamp).into());
    }
    if !meta.finalizers.is_empty() {
        put("finalizers", meta.finalizers.iter().map(|f| Value::from(f.as_str())).collect());
    }
    if !meta.generate_name.is_empty() {
        put("generateName", meta.generate_name.as_str().into());
    }
    if meta.generation != 0 {
        put("generation", meta.generation.into());
    }
    if !meta.labels.is_empty() {
        put("labels", map(&meta.labels));
    }
    if !meta.key.name.is_empty() {
        put("name", meta.key.name.as_str().into());
    }
    if !meta.key.namespace.is_empty() {
        put("namespace", meta.key.namespace.as_str().into());
    }
    if !meta.owner_references.is_empty() {
        put("ownerReferences", meta.owner_references.iter().map(owner).collect());
    }
    if meta.resource_version != 0 {
        put("resourceVersion", meta.resource_version.to_string().into());
    }
    if !meta.uid.is_unset() {
        put("uid", meta.uid.to_string().into());
    }
    Value::Object(out)
}

fn map(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect())
}

fn owner(o: &OwnerReference) -> Value {
    let mut out = Map::new();
    out.insert("apiVersion".into(), o.api_version.as_str().into());
    if o.block_owner_deletion {
        out.insert("blockOwnerDeletion".into(), true.into());
    }
    if o.controller {
        out.insert("controller".into(), true.into());
    }
    out.insert("kind".into(), o.kind.as_str().into());
    out.insert("name".into(), o.name.as_str().into());
    out.insert("uid".into(), o.uid.to_string().into());
    Value::Object(out)
}
