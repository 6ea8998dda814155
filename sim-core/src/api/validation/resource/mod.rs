//! The device kinds: DeviceClass, ResourceSlice, ResourceClaim, ResourceClaimTemplate, DeviceTaintRule.
//! Upstream: `pkg/apis/resource/validation/validation.go`, `pkg/registry/resource/*/strategy.go`.

mod admin;
mod capacity;
mod claim;
mod class;
mod lists;
mod selectors;
mod shapes;
mod slice;
mod status;
#[cfg(test)]
mod tests;

pub use selectors::Rules;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::field::{Errors, Path};
use crate::api::kind::{Kind, KindInfo};
use crate::api::meta::{Labels, Meta};
use crate::api::object::Object;
use crate::api::wire::decode_value;

/// A part of a body as its wire type. What came over the wire was read by that type before; what a component wrote need not
/// fit, and is refused.
fn part<T: DeserializeOwned + Default>(e: &mut Errors, body: &Value, name: &str) -> T {
    let Some(part) = body.get(name).filter(|part| !part.is_null()) else { return T::default() };
    decode_value(part).unwrap_or_else(|error| {
        e.internal(&Path::root(name), &error.to_string());
        T::default()
    })
}

/// True for kinds whose rules are here.
pub(super) fn has_rules(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::DEVICE_CLASS
            | Kind::RESOURCE_SLICE
            | Kind::RESOURCE_CLAIM
            | Kind::RESOURCE_CLAIM_TEMPLATE
            | Kind::DEVICE_TAINT_RULE
    )
}

/// `Validate` of the strategies, metadata included. `namespace`: the labels of the object's namespace.
pub(super) fn create(
    e: &mut Errors,
    object: &Object,
    info: &KindInfo,
    rules: &mut Rules,
    namespace: Option<&Labels>,
) {
    let Some(body) = object.as_json() else { return };
    admin::requested(e, object.kind, body, namespace);
    whole(e, (object.kind, &object.meta, body), info, rules);
}

/// Everything that `Validate<Kind>` of a new object looks at.
fn whole(e: &mut Errors, (kind, meta, body): (Kind, &Meta, &Value), info: &KindInfo, rules: &mut Rules) {
    super::meta::create(e, meta, info, super::meta::name_rule(kind));
    spec(e, kind, body, None, rules);
}

fn spec(e: &mut Errors, kind: Kind, body: &Value, old: Option<&Value>, rules: &mut Rules) {
    let path = Path::root("spec");
    match kind {
        Kind::DEVICE_CLASS => {
            let (new, old) = (part(e, body, "spec"), old.map(|old| part(e, old, "spec")));
            class::class(e, &path, &new, old.as_ref(), rules);
        }
        Kind::DEVICE_TAINT_RULE => {
            let (new, old) = (part(e, body, "spec"), old.map(|old| part(e, old, "spec")));
            class::taint_rule(e, &path, &new, old.as_ref(), rules);
        }
        Kind::RESOURCE_SLICE => {
            let (new, old) = (part(e, body, "spec"), old.map(|old| part(e, old, "spec")));
            slice::slice(e, &path, &new, old.as_ref());
        }
        Kind::RESOURCE_CLAIM => {
            let new = part(e, body, "spec");
            claim::claim(e, &path, &new, old.is_some(), rules);
        }
        Kind::RESOURCE_CLAIM_TEMPLATE => {
            let new = part(e, body, "spec");
            claim::template(e, &path, &new, old.is_some(), rules);
        }
        _ => {}
    }
}

/// `ValidateUpdate` of the strategies, metadata included. Some of them look at the new object as if it were created, too.
pub(super) fn update(e: &mut Errors, new: &Object, old: &Object, info: &KindInfo, rules: &mut Rules) {
    let (Some(body), Some(old_body)) = (new.as_json(), old.as_json()) else { return };
    if !matches!(new.kind, Kind::RESOURCE_SLICE | Kind::DEVICE_TAINT_RULE) {
        whole(e, (new.kind, &new.meta, body), info, rules);
    }
    super::meta::update(e, &new.meta, &old.meta);
    match new.kind {
        Kind::RESOURCE_CLAIM => claim::claim_is_fixed(e, body, old_body),
        Kind::RESOURCE_CLAIM_TEMPLATE => claim::template_is_fixed(e, body, old_body),
        _ => {}
    }
    spec(e, new.kind, body, Some(old_body), rules);
}

/// `ValidateUpdate` of the status strategy of ResourceClaims.
pub(super) fn status(e: &mut Errors, new: &Object, old: &Object, namespace: Option<&Labels>) {
    let (Some(body), Some(old_body)) = (new.as_json(), old.as_json()) else { return };
    let (status, old_status) = (part(e, body, "status"), part(e, old_body, "status"));
    admin::granted(e, &status, &old_status, namespace);
    super::meta::update(e, &new.meta, &old.meta);
    let requests = claim::RequestNames::of(&part(e, body, "spec"));
    status::claim(e, &Path::root("status"), &status, &old_status, new.meta.is_deleting(), &requests);
}
