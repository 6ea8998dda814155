//! Devices for administration need a namespace with a label (`pkg/registry/resource/utils.go`).

use k8s_openapi::api::resource::v1::{
    DeviceRequestAllocationResult, ResourceClaimSpec, ResourceClaimStatus, ResourceClaimTemplateSpec,
};
use serde_json::Value;

use super::part;
use crate::api::kind::Kind;
use crate::api::meta::Labels;
use crate::api::validation::common::list;
use crate::api::validation::field::{Errors, Path};

const LABEL: &str = "resource.kubernetes.io/admin-access";

fn forbid(e: &mut Errors, path: &Path<'_>, namespace: Option<&Labels>) {
    if namespace.and_then(|labels| labels.get(LABEL)).map(String::as_str) != Some("true") {
        let detail =
            format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
        e.forbidden(path, &detail);
    }
}

/// `AuthorizedForAdmin`: of the requests of a new claim or template.
pub(super) fn requested(e: &mut Errors, kind: Kind, body: &Value, namespace: Option<&Labels>) {
    let spec: ResourceClaimSpec = match kind {
        Kind::RESOURCE_CLAIM => part(e, body, "spec"),
        Kind::RESOURCE_CLAIM_TEMPLATE => part::<ResourceClaimTemplateSpec>(e, body, "spec").spec,
        _ => return,
    };
    let devices = spec.devices.unwrap_or_default();
    let wants = |request: &k8s_openapi::api::resource::v1::DeviceRequest| {
        request.exactly.as_ref().and_then(|exact| exact.admin_access) == Some(true)
    };
    if let Some(first) = list(&devices.requests).iter().position(wants) {
        // The path leaves out `exactly`, as upstream's does.
        let (spec, devices) = (Path::root("spec"), "devices");
        let devices = spec.child(devices);
        forbid(e, &devices.child("requests").index(first).child("adminAccess"), namespace);
    }
}

/// `AuthorizedForAdminStatus`: of an allocation that is new.
pub(super) fn granted(
    e: &mut Errors,
    status: &ResourceClaimStatus,
    old: &ResourceClaimStatus,
    namespace: Option<&Labels>,
) {
    let first = |status: &ResourceClaimStatus| {
        let granted = |result: &DeviceRequestAllocationResult| result.admin_access == Some(true);
        let devices = status.allocation.as_ref()?.devices.as_ref()?;
        list(&devices.results).iter().position(granted)
    };
    if let (None, Some(first)) = (first(old), first(status)) {
        let status = Path::root("status");
        let allocation = status.child("allocation");
        let devices = allocation.child("devices");
        forbid(e, &devices.child("results").index(first).child("adminAccess"), namespace);
    }
}
