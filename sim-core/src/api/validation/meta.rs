//! Object metadata. Upstream: `k8s.io/apimachinery/pkg/api/validation/objectmeta.go`.

use serde_json::{Map, Value, json};

use super::common::{labels, non_negative};
use super::field::{Errors, Path, Shown};
use super::names::{self, Check};
use crate::api::kind::{Kind, KindInfo};
use crate::api::meta::{Meta, OwnerReference, Uid};

const ANNOTATIONS_LIMIT: usize = 256 * 1024;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// How the names of a kind are checked: a full name, and a `generateName`.
#[derive(Clone, Copy)]
pub(super) struct NameRule {
    name: Check,
    prefix: Check,
}

/// The rule of a kind. Kinds without one (and custom kinds) take what upstream's defaults take.
pub(super) fn name_rule(kind: Kind) -> NameRule {
    match kind {
        Kind::NAMESPACE => NameRule { name: names::dns1123_label, prefix: names::dns_label_prefix },
        Kind::SERVICE => NameRule { name: names::dns1035_label, prefix: names::dns1035_label_prefix },
        Kind::ROLE | Kind::ROLE_BINDING | Kind::CLUSTER_ROLE | Kind::CLUSTER_ROLE_BINDING => {
            NameRule { name: names::path_segment, prefix: names::path_segment }
        }
        _ => NameRule { name: names::dns1123_subdomain, prefix: names::dns_subdomain_prefix },
    }
}

/// `ValidateObjectMeta`.
pub(super) fn create(e: &mut Errors, meta: &Meta, info: &KindInfo, rule: NameRule) {
    let path = Path::root("metadata");
    if !meta.generate_name.is_empty() {
        let prefix = meta.generate_name.as_str();
        e.invalid_each(&path.child("generateName"), prefix, (rule.prefix)(prefix));
    }
    if meta.name().is_empty() {
        e.required(&path.child("name"), "name or generateName is required");
    } else {
        e.invalid_each(&path.child("name"), meta.name(), (rule.name)(meta.name()));
    }
    let namespace = path.child("namespace");
    match (info.namespaced, meta.namespace()) {
        (true, "") => e.required(&namespace, ""),
        (true, name) => e.invalid_each(&namespace, name, names::dns1123_label(name)),
        (false, "") => {}
        (false, _) => e.forbidden(&namespace, "not allowed on this type"),
    }
    non_negative(e, &path.child("generation"), meta.generation);
    shared(e, meta, &path);
    finalizers(e, meta, &path.child("finalizers"));
}

/// `ValidateObjectMetaUpdate`.
pub(super) fn update(e: &mut Errors, new: &Meta, old: &Meta) {
    let path = Path::root("metadata");
    if old.is_deleting() {
        let mut added: Vec<&str> =
            new.finalizers.iter().filter(|f| !old.finalizers.contains(f)).map(|f| f.as_str()).collect();
        added.sort_unstable();
        added.dedup();
        if !added.is_empty() {
            let shown: Vec<String> = added.iter().map(|f| format!("{f:?}")).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                shown.join(", ")
            );
            e.forbidden(&path.child("finalizers"), &detail);
        }
    }
    for (field, new_text, old_text) in [
        ("name", new.name().to_string(), old.name().to_string()),
        ("namespace", new.namespace().to_string(), old.namespace().to_string()),
    ] {
        if new_text != old_text {
            e.invalid(&path.child(field), &new_text, super::common::IMMUTABLE);
        }
    }
    if !new.uid.is_unset() && new.uid != old.uid {
        e.invalid(&path.child("uid"), &new.uid.to_string(), super::common::IMMUTABLE);
    }
    shared(e, new, &path);
}

fn shared(e: &mut Errors, meta: &Meta, path: &Path<'_>) {
    labels(e, &path.child("labels"), &meta.labels);
    annotations(e, &path.child("annotations"), &meta.annotations);
    owner_references(e, &meta.owner_references, &path.child("ownerReferences"));
}

/// `ValidateAnnotations`.
pub(super) fn annotations(e: &mut Errors, path: &Path<'_>, annotations: &crate::api::meta::Labels) {
    for key in annotations.keys() {
        e.invalid_each(path, key, names::qualified_name(&key.to_lowercase()));
    }
    let size: usize = annotations.iter().map(|(k, v)| k.len() + v.len()).sum();
    if size > ANNOTATIONS_LIMIT {
        e.too_long(path, ANNOTATIONS_LIMIT);
    }
}

fn owner_references(e: &mut Errors, owners: &[OwnerReference], path: &Path<'_>) {
    let mut first_controller: Option<String> = None;
    for owner in owners {
        let version = owner.api_version.rsplit('/').next().unwrap_or("");
        if version.is_empty() {
            e.invalid(&path.child("apiVersion"), owner.api_version.as_str(), "version must not be empty");
        }
        for (field, value) in [("kind", &owner.kind), ("name", &owner.name)] {
            if value.is_empty() {
                e.invalid(&path.child(field), "", "must not be empty");
            }
        }
        if owner.uid.is_unset() || owner.uid == Uid::parse("") {
            e.invalid(&path.child("uid"), "", "must not be empty");
        }
        if owner.api_version == "v1" && owner.kind == "Event" {
            let shown = Shown::json(&wire(owner));
            e.invalid(path, shown, "/v1, Kind=Event is disallowed from being an owner");
        }
        if owner.controller {
            let name = format!("{}/{}", owner.kind, owner.name);
            match &first_controller {
                None => first_controller = Some(name),
                Some(first) => {
                    let all: Vec<Value> = owners.iter().map(wire).collect();
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} \
                         and {name}"
                    );
                    e.invalid(path, Shown::json(&all), &detail);
                }
            }
        }
    }
}

// DIFFERS: a uid that is no UUID is shown in the form we keep it in, not as it was written.
fn wire(owner: &OwnerReference) -> Value {
    let mut fields = Map::new();
    fields.insert("apiVersion".into(), json!(owner.api_version));
    fields.insert("kind".into(), json!(owner.kind));
    fields.insert("name".into(), json!(owner.name));
    fields.insert("uid".into(), json!(owner.uid.to_string()));
    if owner.controller {
        fields.insert("controller".into(), json!(true));
    }
    if owner.block_owner_deletion {
        fields.insert("blockOwnerDeletion".into(), json!(true));
    }
    Value::Object(fields)
}

fn finalizers(e: &mut Errors, meta: &Meta, path: &Path<'_>) {
    for finalizer in &meta.finalizers {
        e.invalid_each(path, finalizer, names::qualified_name(finalizer));
    }
    let has = |name: &str| meta.finalizers.iter().any(|f| f == name);
    if has(ORPHAN) && has(FOREGROUND) {
        let all: Vec<&str> = meta.finalizers.iter().map(|f| f.as_str()).collect();
        let detail = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        e.invalid(path, Shown::json(&all), &detail);
    }
    // `validateKubeFinalizerName`: names without a domain are reserved.
    for (i, finalizer) in meta.finalizers.iter().enumerate() {
        let standard = matches!(finalizer.as_str(), "kubernetes" | ORPHAN | FOREGROUND);
        if !finalizer.contains('/') && !standard {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            e.invalid(&path.index(i), finalizer.as_str(), detail);
        }
    }
}
