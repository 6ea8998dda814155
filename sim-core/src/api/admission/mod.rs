//! Built-in admission: what the API server adds to an object, or refuses, between defaulting and validation.
//!
//! Each stage is a pure function in a file of its own; [`admit`] runs them in upstream's order. What a stage needs of
//! the stored state it reads through an [`AdmissionView`]. Upstream: `plugin/pkg/admission/*` and
//! `pkg/kubeapiserver/options/plugins.go` (the order).

mod default_storage_class;
mod default_toleration_seconds;
mod namespace_lifecycle;
mod priority;
mod runtime_class;
mod service_account;
mod taint_nodes_by_condition;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::core::v1::PodSpec;

use super::error::ApiError;
use super::kind::{Kind, Kinds};
use super::object::{Body, Object};

/// Marks the API object of a static pod; admission leaves its spec alone where upstream does.
pub(crate) const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// What admission sees of the stored state: PriorityClasses, RuntimeClasses, StorageClasses and Namespaces.
pub trait AdmissionView {
    /// The kinds of this run, for messages.
    fn kinds(&self) -> &Kinds;

    /// A cluster-scoped object by name.
    fn get(&self, kind: Kind, name: &str) -> Option<&Object>;

    /// All objects of a cluster-scoped kind, in order of their names.
    fn list(&self, kind: Kind) -> Vec<&Object>;

    /// True if objects in a namespace that does not exist are refused. Else the caller creates the namespace.
    fn strict_namespaces(&self) -> bool {
        true
    }
}

/// Admits an object that is being created.
///
/// # Errors
/// 403 or 404 in upstream's wording; the object may be half changed then.
pub fn admit(object: &mut Object, view: &dyn AdmissionView) -> Result<(), ApiError> {
    namespace_lifecycle::admit(object, view)?;
    match &mut object.body {
        Body::Pod(pod) => {
            let mirror = object.meta.annotations.contains_key(MIRROR_ANNOTATION);
            let name = pod_name(&object.meta.key.name, &object.meta.generate_name);
            let mut admitted = PodSpec::clone(&pod.spec);
            admit_pod_spec(name, &mut admitted, mirror, view)?;
            // A spec that nothing was added to stays the shared one.
            if admitted != *pod.spec {
                pod.spec = Arc::new(admitted);
            }
            Ok(())
        }
        Body::Node(node) => {
            taint_nodes_by_condition::admit(node);
            Ok(())
        }
        _ if object.kind == Kind::PRIORITY_CLASS => priority::admit_class(object, false, view),
        _ if object.kind == Kind::PERSISTENT_VOLUME_CLAIM => {
            default_storage_class::admit(object, view);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Admits an object that is being replaced. `old` is what is stored.
///
/// # Errors
/// 403 in upstream's wording.
pub fn admit_update(object: &mut Object, old: &Object, view: &dyn AdmissionView) -> Result<(), ApiError> {
    match (&mut object.body, &old.body) {
        (Body::Pod(pod), Body::Pod(old_pod)) => {
            let mut spec = PodSpec::clone(&pod.spec);
            priority::admit_pod_update(&mut spec, &old_pod.spec);
            default_toleration_seconds::admit(&mut spec);
            if spec != *pod.spec {
                pod.spec = Arc::new(spec);
            }
            Ok(())
        }
        _ if object.kind == Kind::PRIORITY_CLASS => priority::admit_class(object, true, view),
        _ => Ok(()),
    }
}

/// The stages that change pods, in upstream's order.
fn admit_pod_spec(
    pod_name: &str,
    spec: &mut PodSpec,
    mirror: bool,
    view: &dyn AdmissionView,
) -> Result<(), ApiError> {
    if !mirror {
        service_account::admit(spec);
    }
    priority::admit_pod(pod_name, spec, view)?;
    default_toleration_seconds::admit(spec);
    runtime_class::admit(pod_name, spec, view)
}

/// The name that messages carry: of a pod whose name is still to be generated, upstream's admission prints the prefix.
fn pod_name<'a>(name: &'a str, generate_name: &'a str) -> &'a str {
    if name.is_empty() { generate_name } else { name }
}

/// `pods "x" is forbidden: <why>`.
fn pod_forbidden(pod_name: &str, view: &dyn AdmissionView, why: &str) -> ApiError {
    ApiError::forbidden(view.kinds().info(Kind::POD), pod_name, why)
}
