//! The beta versions of dynamic resource allocation.
//!
//! `v1beta2` has the form of `v1`. `v1beta1` has a device's properties under `basic`, an exact request's beside its name, and
//! a slice's node fields as plain values. Upstream: `pkg/apis/resource/v1beta1/conversion.go`.

use super::{Ignored, field, map};
use crate::api::kind::Kind;
use crate::load::de::IgnoredField;
use crate::load::tree::{Data, Entry, Node};

/// The kind of a beta version, once the object has the form of `v1`.
pub(super) fn convert(version: &str, kind: &str, object: &mut Node<'_>, ignored: &Ignored) -> Option<Kind> {
    let kind = match kind {
        "DeviceClass" => Kind::DEVICE_CLASS,
        "ResourceSlice" => Kind::RESOURCE_SLICE,
        "ResourceClaim" => Kind::RESOURCE_CLAIM,
        "ResourceClaimTemplate" => Kind::RESOURCE_CLAIM_TEMPLATE,
        _ => return None,
    };
    if version == "v1beta1" {
        match kind {
            Kind::RESOURCE_SLICE => slice(object, ignored),
            Kind::RESOURCE_CLAIM => claim_spec(object, "spec", ignored),
            Kind::RESOURCE_CLAIM_TEMPLATE => {
                if let Some(spec) = field(object, "spec") {
                    claim_spec(spec, "spec.spec", ignored);
                }
            }
            _ => {}
        }
    }
    Some(kind)
}

fn slice(object: &mut Node<'_>, ignored: &Ignored) {
    let Some(spec) = field(object, "spec") else { return };
    let zero =
        |node: &Node<'_>| matches!(node.data, Data::Bool(false)) || node.as_str().is_some_and(str::is_empty);
    for name in ["nodeName", "allNodes"] {
        if spec.get(name).is_some_and(zero) {
            spec.take(name);
        }
    }
    for (i, device) in items(spec, "devices") {
        let unknown = split(device, &["name"]);
        let Data::Map(entries) = &mut device.data else { continue };
        for entry in unknown {
            match entry.value {
                Node { data: Data::Map(fields), .. } if entry.key == "basic" => entries.extend(fields),
                Node { data: Data::Null, .. } if entry.key == "basic" => {}
                // Left for the reader to complain about.
                value if entry.key == "basic" => entries.push(Entry { value, ..entry }),
                _ => ignore(ignored, format!("spec.devices[{i}].{}", entry.key), entry.key_at),
            }
        }
    }
}

/// The fields of a request that become those of its `exactly`.
const EXACT: [&str; 7] =
    ["deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity"];

/// The requests in the spec of a claim, whose path is given; `holder` has it as `spec`.
fn claim_spec(holder: &mut Node<'_>, path: &str, ignored: &Ignored) {
    let devices = field(holder, "spec").and_then(|spec| field(spec, "devices"));
    let Some(devices) = devices else { return };
    for (i, request) in items(devices, "requests") {
        let rest = split(request, &["name", "firstAvailable"]);
        let at = request.at;
        let (exact, unknown): (Vec<_>, Vec<_>) = rest.into_iter().partition(|e| EXACT.contains(&&*e.key));
        for entry in unknown {
            ignore(ignored, format!("{path}.devices.requests[{i}].{}", entry.key), entry.key_at);
        }
        if !exact.iter().any(|e| is_set(&e.value)) {
            continue;
        }
        let mut exactly = map(at, []);
        exactly.data = Data::Map(exact);
        if let Data::Map(entries) = &mut request.data {
            entries.push(Entry { key: "exactly".into(), key_at: at, value: exactly });
        }
    }
}

/// False for what decodes to the zero of its type.
fn is_set(node: &Node<'_>) -> bool {
    match &node.data {
        Data::Null | Data::Int(0) => false,
        Data::Str(text) => !text.is_empty(),
        _ => true,
    }
}

fn items<'n, 's>(node: &'n mut Node<'s>, list: &str) -> impl Iterator<Item = (usize, &'n mut Node<'s>)> {
    let items = match field(node, list) {
        Some(Node { data: Data::Seq(items), .. }) => items.as_mut_slice(),
        _ => &mut [],
    };
    items.iter_mut().enumerate()
}

/// Takes out all fields but some.
fn split<'s>(node: &mut Node<'s>, kept: &[&str]) -> Vec<Entry<'s>> {
    let Data::Map(entries) = &mut node.data else { return Vec::new() };
    let (stay, go) = std::mem::take(entries).into_iter().partition(|e| kept.contains(&&*e.key));
    *entries = stay;
    go
}

fn ignore(ignored: &Ignored, path: String, at: u32) {
    ignored.borrow_mut().push(IgnoredField { path, at });
}
