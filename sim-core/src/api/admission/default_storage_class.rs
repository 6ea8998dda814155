//! DefaultStorageClass: a claim that names no class gets the default one.
//! Upstream: `plugin/pkg/admission/storage/storageclass/setdefault` and `pkg/volume/util/storageclass.go`.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::AdmissionView;
use crate::api::kind::Kind;
use crate::api::object::{Body, Object};

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_MARKS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

pub(super) fn admit(claim: &mut Object, view: &dyn AdmissionView) {
    if claim.meta.annotations.contains_key(BETA_CLASS) {
        return;
    }
    let Body::Json(body) = &mut claim.body else { return };
    // An empty name is a statement: no class.
    if body.pointer("/spec/storageClassName").is_some_and(|c| !c.is_null()) {
        return;
    }
    let Some(class) = default_class(view) else { return };
    let Value::Object(fields) = Arc::make_mut(body) else { return };
    let spec = fields.entry("spec").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(spec) = spec {
        spec.insert("storageClassName".to_string(), Value::String(class));
    }
}

/// The newest class marked as default; of equally old ones the first by name.
fn default_class(view: &dyn AdmissionView) -> Option<String> {
    let marked = view
        .list(Kind::STORAGE_CLASS)
        .into_iter()
        .filter(|c| DEFAULT_MARKS.iter().any(|m| c.meta.annotation(m) == Some("true")));
    let newest = marked.min_by(|a, b| {
        (Reverse(a.meta.creation_timestamp), a.meta.name())
            .cmp(&(Reverse(b.meta.creation_timestamp), b.meta.name()))
    })?;
    Some(newest.meta.name().to_string())
}
