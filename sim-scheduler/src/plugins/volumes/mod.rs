//! What the volume plugins share: views of the storage kinds, claims of pods, and the CSI drivers that took over from
//! in-tree plugins.

pub(super) mod csi;
pub(super) mod objects;

use k8s_openapi::api::core::v1::Volume as WireVolume;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use smol_str::{SmolStr, format_smolstr};

use crate::pod::{PodClaim, PodInfo};
use objects::Claim;

/// A pod's volumes, each with the claim that it uses.
pub(super) fn volumes(pod: &PodInfo) -> impl Iterator<Item = (&WireVolume, Option<&PodClaim>)> {
    let mut claims = pod.claims.iter();
    pod.spec.volumes.iter().flatten().map(move |volume| {
        let has_claim = volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some();
        (volume, if has_claim { claims.next() } else { None })
    })
}

/// Names of the claims that a pod's volumes name themselves: all but those of ephemeral volumes.
pub(super) fn named_claims(pod: &PodInfo) -> impl Iterator<Item = &SmolStr> {
    pod.claims.iter().filter(|claim| !claim.ephemeral).map(|claim| &claim.name)
}

/// True if a pod uses a claim, made for it or not.
pub(super) fn uses(pod: &PodInfo, claim: &Object) -> bool {
    let Key { namespace, name } = claim.key();
    *namespace == pod.namespace && pod.claims.iter().any(|own| own.name == *name)
}

/// The same, but for claims that were made for the pod.
pub(super) fn names(pod: &PodInfo, claim: &Object) -> bool {
    let Key { namespace, name } = claim.key();
    *namespace == pod.namespace && named_claims(pod).any(|own| own == name)
}

/// The claim of an ephemeral volume must have been made for the pod (`ephemeral.VolumeIsForPod`).
pub(super) fn made_for(pod: &Key, uid: Uid, claim: Claim<'_>) -> Result<(), SmolStr> {
    let meta = &claim.0.meta;
    let owned = meta.controller_of().is_some_and(|owner| owner.uid == uid);
    match owned && meta.key.namespace == pod.namespace {
        true => Ok(()),
        false => Err(format_smolstr!("PVC {} was not created for pod {pod} (pod is not owner)", meta.key)),
    }
}
