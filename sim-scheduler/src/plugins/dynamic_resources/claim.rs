//! Claims of a pod: their names, and views of their JSON bodies.

use std::sync::Arc;

use k8s_openapi::api::core::v1::NodeSelector as WireSelector;
use serde::Deserialize;
use serde_json::{Value, json};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::{Body, Object};
use sim_core::api::request::{DeleteOptions, Request};
use sim_core::selectors::{NodeSelector, SelectorError};
use sim_core::syntax::go_quote;
use sim_dra::api::ResourceClaim;
use sim_dra::pod::{self, FINALIZER, Unnamed};
use smol_str::{SmolStr, format_smolstr};

use crate::cache::{Objects, metadata};

/// Why a pod's claims cannot be used; a text only where somebody wants it.
#[derive(Debug)]
pub(super) enum Problem<'a> {
    Unnamed(Unnamed),
    Absent(Key),
    Deleting(&'a str),
    OfAnother { claim: Key, pod: &'a Object },
}

impl Problem<'_> {
    /// Upstream's text.
    pub(super) fn text(&self) -> SmolStr {
        match self {
            Problem::Unnamed(why) => format_smolstr!("{why}"),
            Problem::Absent(key) => absent(key),
            Problem::Deleting(name) => format_smolstr!("resourceclaim {} is being deleted", go_quote(name)),
            Problem::OfAnother { claim, pod } => {
                let pod = pod.key();
                format_smolstr!("ResourceClaim {claim} was not created for pod {pod} (pod is not owner)")
            }
        }
    }
}

/// The objects of a pod's claims, in the order of the pod (`foreachPodResourceClaim`).
///
/// # Errors
/// Why one of them cannot be used.
pub(super) fn claims_of<'a>(
    pod: &'a Object,
    objects: &'a Objects,
) -> Result<Vec<&'a Arc<Object>>, Problem<'a>> {
    let mut found = Vec::new();
    for named in pod::claims_of(pod) {
        let Some((name, made_for_pod)) = pod::claim_name(pod, named).map_err(Problem::Unnamed)? else {
            continue;
        };
        let key = Key::new(pod.meta.namespace(), name);
        let Some(claim) = objects.get(Kind::RESOURCE_CLAIM, &key) else { return Err(Problem::Absent(key)) };
        if claim.meta.is_deleting() {
            return Err(Problem::Deleting(name));
        }
        let owner = claim.meta.controller_of();
        if made_for_pod && owner.is_none_or(|owner| owner.uid != pod.meta.uid) {
            return Err(Problem::OfAnother { claim: key, pod });
        }
        found.push(claim);
    }
    Ok(found)
}

/// What the cache of assumed claims says of one that is not there (`assumecache`).
pub(super) fn absent(claim: &Key) -> SmolStr {
    format_smolstr!("could not find ResourceClaim {}", go_quote(&claim.to_string()))
}

/// The claim as allocators read it.
///
/// # Errors
/// It cannot be read.
pub(super) fn decode(claim: &Object) -> Result<ResourceClaim, SmolStr> {
    let body = claim.as_json().unwrap_or(&Value::Null);
    let mut decoded =
        ResourceClaim::deserialize(body).map_err(|e| format_smolstr!("claim {}: {e}", claim.key()))?;
    decoded.metadata = metadata(claim);
    Ok(decoded)
}

pub(super) fn at<'a>(claim: &'a Object, path: &str) -> Option<&'a Value> {
    claim.as_json()?.pointer(path).filter(|value| !value.is_null())
}

/// `status`; null if there is none.
pub(super) fn status(claim: &Object) -> &Value {
    at(claim, "/status").unwrap_or(&Value::Null)
}

/// True if the claim has devices.
pub(super) fn is_allocated(claim: &Object) -> bool {
    at(claim, "/status/allocation").is_some()
}

/// Nodes that reach the devices; `None` for all.
///
/// # Errors
/// The selector is broken.
pub(super) fn reachable_from(claim: &Object) -> Result<Option<NodeSelector>, SmolStr> {
    let Some(selector) = at(claim, "/status/allocation/nodeSelector") else { return Ok(None) };
    let selector = WireSelector::deserialize(selector).map_err(|e| format_smolstr!("{e}"))?;
    let selector = NodeSelector::strict(&selector);
    selector.map(Some).map_err(|e: SelectorError| format_smolstr!("{e}"))
}

/// The pods that have reserved the claim.
pub(super) fn reserved_for(claim: &Object) -> impl ExactSizeIterator<Item = Uid> {
    pod::reserved_for(claim).iter().map(pod::consumer)
}

fn with_status(claim: &Object, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Object {
    let mut claim = claim.clone();
    if let Body::Json(body) = &mut claim.body
        && let Value::Object(body) = Arc::make_mut(body)
    {
        let status = body.entry("status").or_insert_with(|| json!({}));
        if !status.is_object() {
            *status = json!({});
        }
        if let Value::Object(status) = status {
            change(status);
        }
    }
    claim
}

/// The claim with devices.
pub(super) fn allocated(claim: &Object, allocation: &Value) -> Object {
    with_status(claim, |status| drop(status.insert("allocation".to_owned(), allocation.clone())))
}

/// The claim with the time of its allocation, unless it has one (`allocationTimestamp`).
pub(super) fn dated(claim: &Object, date: &str) -> Object {
    with_status(claim, |status| {
        if let Some(Value::Object(allocation)) = status.get_mut("allocation") {
            let entry = allocation.entry("allocationTimestamp").or_insert(Value::Null);
            if entry.is_null() {
                *entry = date.into();
            }
        }
    })
}

/// The claim without devices and users.
pub(super) fn deallocated(claim: &Object) -> Object {
    with_status(claim, |status| {
        for field in ["reservedFor", "allocation", "devices"] {
            status.remove(field);
        }
    })
}

/// Deletes the claim, once nothing keeps it from that (`deleteClaim`).
// DIFFERS: upstream waits for the first answer, and tries again on conflicts; a claim that stays is found on the next attempt.
pub(super) fn deletion(claim: &Object) -> [Request; 2] {
    let (kind, key) = (claim.kind, claim.key().clone());
    let mut free = claim.clone();
    free.meta.finalizers.retain(|finalizer| *finalizer != FINALIZER);
    [Request::Update(Box::new(free)), Request::Delete { kind, key, options: DeleteOptions::default() }]
}

/// The claim with one user more.
pub(super) fn reserved(claim: &Object, pod: &Object) -> Object {
    let entry = json!({"resource": "pods", "name": pod.meta.name(), "uid": pod.meta.uid.to_string()});
    with_status(claim, |status| match status.get_mut("reservedFor") {
        Some(Value::Array(users)) => users.push(entry),
        _ => drop(status.insert("reservedFor".to_owned(), json!([entry]))),
    })
}

/// The claim with one user less.
pub(super) fn released(claim: &Object, pod: Uid) -> Object {
    with_status(claim, |status| {
        if let Some(Value::Array(users)) = status.get_mut("reservedFor") {
            users.retain(|entry| entry["uid"].as_str().is_none_or(|uid| Uid::parse(uid) != pod));
        }
    })
}

/// True if the claim cannot be deleted while it has devices.
pub(super) fn is_protected(claim: &Object) -> bool {
    claim.meta.finalizers.contains(&FINALIZER)
}

/// The claim, protected.
pub(super) fn protected(claim: &Object) -> Object {
    let mut claim = claim.clone();
    if !is_protected(&claim) {
        claim.meta.finalizers.push(FINALIZER);
    }
    claim
}
