//! Nodes. Upstream: `ValidateNode` and `ValidateNodeUpdate` in `pkg/apis/core/validation/validation.go`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{NodeStatus, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Wire;

use super::common::{label_name, list, text};
use super::field::{Errors, Path, Shown, go_json};
use super::names;
use super::pod::resources::amount;
use super::pod::scheduling::TAINT_EFFECTS;
use crate::api::object::Node;
use crate::quantity::Quantity;

/// `ValidateNode`, without the metadata.
pub(super) fn create(e: &mut Errors, node: &Node) {
    taints(e, list(&node.spec.taints));
    resources(e, &node.status);
    let spec = Path::root("spec");
    let path = spec.child("podCIDRs");
    let cidrs = pod_cidrs(node);
    let mut families = Vec::new();
    for (i, cidr) in cidrs.iter().enumerate() {
        match family(cidr) {
            Some(v6) => families.push(v6),
            None => {
                let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
                e.invalid(&path.index(i), cidr, detail);
            }
        }
    }
    if cidrs.len() > 1 && (cidrs.len() > 2 || families.first() == families.get(1)) {
        let detail = "may specify no more than one CIDR for each IP family";
        e.invalid(&path, Shown::json(&cidrs), detail);
    }
}

/// `podCIDRs`, or `podCIDR` of those who know no better.
fn pod_cidrs(node: &Node) -> &[String] {
    match (list(&node.spec.pod_cidrs), &node.spec.pod_cidr) {
        ([], Some(only)) if !only.is_empty() => std::slice::from_ref(only),
        (all, _) => all,
    }
}

/// Of a CIDR: true if it is of IPv6.
fn family(cidr: &str) -> Option<bool> {
    let (address, length) = cidr.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    (length <= if address.is_ipv6() { 128 } else { 32 }).then_some(address.is_ipv6())
}

fn taints(e: &mut Errors, taints: &[Taint]) {
    let metadata = Path::root("metadata");
    // Upstream's own place for them.
    let path = metadata.child("taints");
    for (i, taint) in taints.iter().enumerate() {
        let at = path.index(i);
        label_name(e, &at.child("key"), &taint.key);
        let value = text(&taint.value);
        let messages = names::label_value(value);
        if !messages.is_empty() {
            e.invalid(&at.child("value"), value, &messages.join(";"));
        }
        match taint.effect.as_str() {
            "" => e.required(&at.child("effect"), ""),
            known if TAINT_EFFECTS.contains(&known) => {}
            other => e.not_supported(&at.child("effect"), other, &TAINT_EFFECTS),
        }
        if taints[..i].iter().any(|t| t.key == taint.key && t.effect == taint.effect) {
            let shown = format!(
                "{{\"Key\":{},\"Value\":{},\"Effect\":{},\"TimeAdded\":{}}}: taints must be unique by key and effect pair",
                go_json(&taint.key),
                go_json(&value),
                go_json(&taint.effect),
                go_json(&taint.time_added)
            );
            e.duplicate(&at, Shown::raw(shown));
        }
    }
}

fn resources(e: &mut Errors, status: &NodeStatus) {
    let path = Path::root("status");
    let none = BTreeMap::<String, Wire>::new();
    for (field, amounts) in [("capacity", &status.capacity), ("allocatable", &status.allocatable)] {
        let at = path.child(field);
        for (name, quantity) in amounts.as_ref().unwrap_or(&none) {
            amount(e, &at.child(name), name, &Quantity::from_wire(quantity));
        }
    }
}

/// `ValidateNodeUpdate`, without the metadata.
pub(super) fn update(e: &mut Errors, new: &Node, old: &Node) {
    resources(e, &new.status);
    let spec = Path::root("spec");
    let (new_cidrs, old_cidrs) = (pod_cidrs(new), pod_cidrs(old));
    if !old_cidrs.is_empty() {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        let changes = match new_cidrs.len() == old_cidrs.len() {
            true => new_cidrs.iter().zip(old_cidrs).filter(|(n, o)| n != o).count(),
            false => 1,
        };
        for _ in 0..changes {
            e.forbidden(&spec.child("podCIDRs"), detail);
        }
    }
    let provider = text(&old.spec.provider_id);
    if !provider.is_empty() && provider != text(&new.spec.provider_id) {
        let detail = "node updates may not change providerID except from \"\" to valid";
        e.forbidden(&spec.child("providerID"), detail);
    }
    taints(e, list(&new.spec.taints));
    if new.spec.external_id != old.spec.external_id {
        e.forbidden(&spec.child("externalID"), "may not be updated");
    }
}
