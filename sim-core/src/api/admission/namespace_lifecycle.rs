//! NamespaceLifecycle: nothing is created in a namespace that is not there or is being deleted.
//! Upstream: `k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle`.

use super::AdmissionView;
use crate::api::error::ApiError;
use crate::api::kind::Kind;
use crate::api::object::Object;

pub(super) fn admit(object: &Object, view: &dyn AdmissionView) -> Result<(), ApiError> {
    let namespace = object.meta.namespace();
    if namespace.is_empty() {
        return Ok(());
    }
    let Some(found) = view.get(Kind::NAMESPACE, namespace) else {
        // DIFFERS: unless namespaces are strict, a missing one is created by the caller, with a notice, because people
        // try manifests out without the namespace they were written for.
        return match view.strict_namespaces() {
            true => Err(ApiError::not_found(view.kinds().info(Kind::NAMESPACE), namespace)),
            false => Ok(()),
        };
    };
    let phase = found.as_json().and_then(|body| body.pointer("/status/phase")).and_then(|p| p.as_str());
    if found.meta.is_deleting() || phase == Some("Terminating") {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        return Err(ApiError::forbidden(view.kinds().info(object.kind), object.meta.name(), &why));
    }
    Ok(())
}
