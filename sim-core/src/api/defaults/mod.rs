//! Defaulting: what the API server fills in before admission and validation.
//!
//! Typed kinds are defaulted on their wire types, the others on JSON, with one function per kind. Fields that upstream
//! always prints (`resources: {}`, `status: {}`) are set too, so that an object reads as it does there. Defaulting is
//! idempotent. Upstream: `pkg/apis/*/defaults.go` (v1.34), and the generated `SetObjectDefaults_*` that say where each
//! applies.

mod image;
mod json;
mod others;
mod pod;
mod volumes;
mod workloads;

use std::sync::Arc;

use crate::api::kind::Kind;
use crate::api::meta::{Labels, Meta};
use crate::api::object::{Body, Object};

pub use image::image_tag;
pub use pod::{default_pod, default_pod_spec, default_template};
pub use workloads::{
    default_daemon_set, default_deployment, default_job, default_node_status, default_replica_set,
};

/// Applies the defaults of its kind to an object. A shared spec stays shared if nothing is missing in it.
///
/// `now` gives the time as the wire has it (RFC 3339); only device taints ask for it.
///
/// ```
/// # use sim_core::api::{defaults, meta::{Key, Meta}, object::{Body, Deployment, Object}};
/// let meta = Meta::named(Key::new("default", "web"));
/// let mut object = Object::new(meta, Body::Deployment(Deployment::default()));
/// defaults::apply(&mut object, &String::new);
/// assert_eq!(object.as_deployment().unwrap().spec.replicas, Some(1));
/// ```
pub fn apply(object: &mut Object, now: &dyn Fn() -> String) {
    match &mut object.body {
        Body::Pod(pod) => edit(&mut pod.spec, default_pod),
        Body::Node(node) => edit(&mut node.status, default_node_status),
        Body::Deployment(o) => edit(&mut o.spec, default_deployment),
        Body::ReplicaSet(o) => edit(&mut o.spec, default_replica_set),
        Body::DaemonSet(o) => edit(&mut o.spec, default_daemon_set),
        Body::Job(o) => {
            edit(&mut o.spec, default_job);
            let template = o.spec.template.metadata.as_ref().and_then(|m| m.labels.as_ref());
            inherit_labels(&mut object.meta, template);
        }
        Body::Json(body) => edit(body, |body| others::apply(object.kind, &mut object.meta, body, now)),
    }
}

/// What the API server's internal form adds to an object on its way through: stored objects have it.
///
/// `serviceAccount` repeats `serviceAccountName`; the claim templates of a StatefulSet get their type; a DaemonSet
/// carries its template generation as an annotation; the `stringData` of a Secret moves into its `data`.
pub fn apply_internal(object: &mut Object) {
    match &mut object.body {
        Body::Pod(pod) => edit(&mut pod.spec, pod::repeat_service_account),
        Body::DaemonSet(_) => {
            let key = "deprecated.daemonset.template.generation";
            if !object.meta.annotations.contains_key(key) {
                Arc::make_mut(&mut object.meta.annotations).insert(key.to_string(), "0".to_string());
            }
        }
        Body::Json(body) if object.kind == Kind::STATEFUL_SET => edit(body, others::type_claim_templates),
        Body::Json(body) if object.kind == Kind::SECRET && body.get("stringData").is_some() => {
            edit(body, others::encode_string_data);
        }
        _ => {}
    }
    if let Some(template) = template_of(&mut object.body) {
        template.spec.iter_mut().for_each(pod::repeat_service_account);
    }
}

fn template_of(body: &mut Body) -> Option<&mut k8s_openapi::api::core::v1::PodTemplateSpec> {
    let needs = |t: &k8s_openapi::api::core::v1::PodTemplateSpec| {
        t.spec.as_ref().is_some_and(|s| s.service_account != s.service_account_name)
    };
    match body {
        Body::Deployment(o) if needs(&o.spec.template) => Some(&mut Arc::make_mut(&mut o.spec).template),
        Body::DaemonSet(o) if needs(&o.spec.template) => Some(&mut Arc::make_mut(&mut o.spec).template),
        Body::Job(o) if needs(&o.spec.template) => Some(&mut Arc::make_mut(&mut o.spec).template),
        Body::ReplicaSet(o) if o.spec.template.as_ref().is_some_and(needs) => {
            Arc::make_mut(&mut o.spec).template.as_mut()
        }
        _ => None,
    }
}

/// Changes a shared part, and keeps it shared if nothing changed.
fn edit<T: Clone + PartialEq>(part: &mut Arc<T>, change: impl FnOnce(&mut T)) {
    if let Some(own) = Arc::get_mut(part) {
        return change(own);
    }
    let mut own = T::clone(part);
    change(&mut own);
    if own != **part {
        *part = Arc::new(own);
    }
}

/// An object without labels takes those of its template.
fn inherit_labels(meta: &mut Meta, template: Option<&Labels>) {
    if let (true, Some(labels)) = (meta.labels.is_empty(), template.filter(|l| !l.is_empty())) {
        meta.labels = Arc::new(labels.clone());
    }
}

#[cfg(test)]
mod tests;
