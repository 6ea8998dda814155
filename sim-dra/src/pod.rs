//! How pods and claims refer to each other (`k8s.io/dynamic-resource-allocation/resourceclaim`).

use k8s_openapi::api::core::v1::PodResourceClaim;
use serde_json::Value;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::syntax::go_quote;
use smol_str::SmolStr;

/// Keeps claims that have devices from being deleted (`resourceapi.Finalizer`).
pub const FINALIZER: SmolStr = SmolStr::new_static("resource.kubernetes.io/delete-protection");

/// Why a pod's claim has no name. Cheap to make: hints of the scheduler ask for names of every pod that waits for its claims.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unnamed {
    /// It is to be made from a template, and nobody has done so yet.
    #[error("pod {}: ResourceClaim not created yet", go_quote(&.pod.to_string()))]
    NotCreated {
        /// Namespace and name.
        pod: Key,
    },
    /// It says nothing that is known.
    #[error(
        "pod {}, spec.resourceClaim {}: none of the supported fields are set",
        go_quote(&.pod.to_string()),
        go_quote(.claim)
    )]
    Unsupported {
        /// Namespace and name.
        pod: Key,
        /// The pod's name for the claim.
        claim: SmolStr,
    },
}

/// The name of the object behind one of a pod's claims, and whether it must have been made for the pod; `None` if there
/// is to be none (`Name`).
///
/// # Errors
/// It is not made yet, or says nothing.
pub fn claim_name<'a>(
    pod: &'a Object,
    claim: &'a PodResourceClaim,
) -> Result<Option<(&'a str, bool)>, Unnamed> {
    if let Some(name) = &claim.resource_claim_name {
        return Ok(Some((name, false)));
    }
    if claim.resource_claim_template_name.is_none() {
        return Err(Unnamed::Unsupported { pod: pod.key().clone(), claim: SmolStr::new(&claim.name) });
    }
    let statuses = pod.as_pod().and_then(|pod| pod.status.other.as_ref()?.get("resourceClaimStatuses"));
    let mut statuses = statuses.and_then(Value::as_array).into_iter().flatten();
    match statuses.find(|status| status["name"] == claim.name.as_str()) {
        Some(status) => Ok(status["resourceClaimName"].as_str().map(|name| (name, true))),
        None => Err(Unnamed::NotCreated { pod: pod.key().clone() }),
    }
}

/// The claims of a pod, as its spec has them.
pub fn claims_of(pod: &Object) -> &[PodResourceClaim] {
    pod.as_pod().and_then(|pod| pod.spec.resource_claims.as_deref()).unwrap_or_default()
}

/// True if the claim was made for the pod (`IsForPod`).
pub fn is_for(pod: &Object, claim: &Object) -> bool {
    claim.meta.namespace() == pod.meta.namespace()
        && claim.meta.controller_of().is_some_and(|owner| owner.uid == pod.meta.uid)
}

/// A part of the claim that is there and not null.
fn part<'a>(claim: &'a Object, path: &str) -> Option<&'a Value> {
    claim.as_json()?.pointer(path).filter(|value| !value.is_null())
}

/// `status.allocation`, if the claim has devices.
pub fn allocation(claim: &Object) -> Option<&Value> {
    part(claim, "/status/allocation")
}

/// `status.reservedFor`.
pub fn reserved_for(claim: &Object) -> &[Value] {
    part(claim, "/status/reservedFor").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The uid in an entry of `status.reservedFor`.
pub fn consumer(entry: &Value) -> Uid {
    Uid::parse(entry["uid"].as_str().unwrap_or_default())
}

/// True if the entry is about a pod. Nothing else can use claims yet.
pub fn is_pod_entry(entry: &Value) -> bool {
    entry["resource"] == "pods" && entry["apiGroup"].as_str().unwrap_or_default().is_empty()
}

/// True if the pod has reserved the claim (`IsReservedForPod`).
pub fn is_reserved_for(claim: &Object, pod: Uid) -> bool {
    reserved_for(claim).iter().any(|entry| consumer(entry) == pod)
}
