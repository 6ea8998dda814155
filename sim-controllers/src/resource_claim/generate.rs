//! A claim as it is made from a template for a pod.

use std::sync::Arc;

use serde_json::{Value, json};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Labels, Meta, OwnerReference};
use sim_core::api::object::Object;
use sim_core::features::{FeatureGates, Gate};
use smol_str::SmolStr;

use super::POD_CLAIM_NAME;
use crate::machinery::pod_control::controller_ref;

/// What is left of a name's 63 characters for what is before the random ones.
const MAX_BASE: usize = 57;

/// `metadata.generateName` of a pod's claim: both names, shortened in proportion if they are too long together.
pub(super) fn base_name(pod: &str, claim: &str) -> String {
    let base = format!("{pod}-{claim}-");
    if base.len() <= MAX_BASE {
        return base;
    }
    let share = |name: &str| {
        let length = name.len() * MAX_BASE / base.len();
        name.chars().take(length).collect::<String>()
    };
    format!("{}-{}", share(pod), share(claim))
}

/// Why a template cannot be used with these gates.
///
/// # Errors
/// In upstream's words.
pub(super) fn check(template: &Object, features: FeatureGates) -> Result<(), &'static str> {
    let requests =
        template.as_json().and_then(|body| body.pointer("/spec/spec/devices/requests")?.as_array());
    let any = |test: fn(&Value) -> bool| requests.into_iter().flatten().any(test);
    if !features.on(Gate::DRAAdminAccess) && any(|r| r["exactly"]["adminAccess"] == true) {
        return Err("admin access is requested, but the feature is disabled");
    }
    let has_alternatives = |r: &Value| r["firstAvailable"].as_array().is_some_and(|all| !all.is_empty());
    if !features.on(Gate::DRAPrioritizedList) && any(has_alternatives) {
        return Err("template includes a prioritized list of subrequests, but the feature is disabled");
    }
    Ok(())
}

/// The claim, to be named by the API server.
pub(super) fn claim(pod: &Object, name: &str, template: &Object) -> Object {
    let body = template.as_json().unwrap_or(&Value::Null);
    let texts = |path: &str| -> Labels {
        let found = body.pointer(path).and_then(Value::as_object).into_iter().flatten();
        found.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    };
    let mut annotations = texts("/spec/metadata/annotations");
    annotations.insert(POD_CLAIM_NAME.to_owned(), name.to_owned());
    let meta = Meta {
        key: Key::new(pod.meta.key.namespace.clone(), ""),
        generate_name: base_name(pod.meta.name(), name).into(),
        labels: Arc::new(texts("/spec/metadata/labels")),
        annotations: Arc::new(annotations),
        owner_references: smallvec::smallvec![controller_ref(pod, "v1")],
        ..Meta::default()
    };
    let spec = body.pointer("/spec/spec").cloned().unwrap_or_else(|| json!({}));
    Object::json(Kind::RESOURCE_CLAIM, meta, json!({ "spec": spec }))
}

fn is_a_pod(owner: &&OwnerReference) -> bool {
    owner.controller && owner.api_version == "v1" && owner.kind == "Pod"
}

/// True if a pod controls the claim.
pub(super) fn is_owned_by_a_pod(claim: &Object) -> bool {
    claim.meta.owner_references.iter().any(|owner| is_a_pod(&owner))
}

/// The pod that controls the claim (`owningPod`).
pub(super) fn owning_pod(claim: &Object) -> Option<(Key, &OwnerReference)> {
    let owner = claim.meta.owner_references.iter().find(is_a_pod)?;
    let name: SmolStr = owner.name.clone();
    Some((Key::new(claim.meta.key.namespace.clone(), name), owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_share_what_room_there_is() {
        let long = "a".repeat(63);
        let table = [
            ("pod", "gpu", "pod-gpu-".to_owned()),
            (&long[..50], "claim", format!("{}-claim-", &long[..50])),
            (&long[..51], "claim", format!("{}-{}", &long[..50], "clai")),
            (&long, &long, format!("{}-{}", &long[..28], &long[..28])),
        ];
        for (pod, claim, want) in table {
            let base = base_name(pod, claim);
            assert_eq!(base, want);
            assert!(base.len() <= MAX_BASE);
        }
    }
}
