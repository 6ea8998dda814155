//! The status of claims: who holds which devices.

use std::collections::BTreeSet;

use k8s_openapi::api::resource::v1::{
    AllocatedDeviceStatus, AllocationResult, DeviceAllocationResult, NetworkDeviceData,
    ResourceClaimConsumerReference, ResourceClaimStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::claim::{MOST_CONFIGS, RequestNames};
use super::class::configuration;
use super::lists::{device, driver, limit, pool, raw, uid, unique, unique_texts};
use super::shapes;
use crate::api::validation::common::{IMMUTABLE, label_name, list, text};
use crate::api::validation::field::{Errors, Path, Shown};
use crate::api::validation::names;
use crate::api::validation::pod::scheduling::node_selector;
use crate::api::wire::encode;

const MOST_RESULTS: usize = 32;
const MOST_CONSUMERS: usize = 256;
const MOST_BINDING_CONDITIONS: usize = 4;
const MOST_CONDITIONS: usize = 8;
const LONGEST_DATA: usize = 10 * 1024;
const MOST_IPS: usize = 16;
const LONGEST_INTERFACE: usize = 256;
const LONGEST_ADDRESS: usize = 128;
const LONGEST_REASON: usize = 1024;
const LONGEST_MESSAGE: usize = 32 * 1024;

/// How upstream prints the identity of a device: its parts are interned, which JSON does not show.
const DEVICE_ID: &str = r#"{"Driver":{},"Pool":{},"Device":{},"ShareID":{}}"#;

type DeviceId<'a> = (&'a str, &'a str, &'a str, &'a str);

fn device_id(status: &AllocatedDeviceStatus) -> DeviceId<'_> {
    (&status.driver, &status.pool, &status.device, text(&status.share_id))
}

/// `validateResourceClaimStatusUpdate`.
pub(super) fn claim(
    e: &mut Errors,
    path: &Path<'_>,
    status: &ResourceClaimStatus,
    old: &ResourceClaimStatus,
    deleted: bool,
    requests: &RequestNames,
) {
    let (at, consumers) = (path.child("reservedFor"), list(&status.reserved_for));
    for (i, consumer) in consumers.iter().enumerate() {
        self::consumer(e, &at.index(i), consumer);
    }
    limit(e, &at, consumers, MOST_CONSUMERS);
    unique_texts(e, &at, "uid", consumers.iter().map(|consumer| consumer.uid.as_str()));
    devices(e, &path.child("devices"), status);
    if !consumers.is_empty() {
        if status.allocation.is_none() {
            e.forbidden(&at, "may not be specified when `allocated` is not set");
        } else if deleted && consumers.iter().any(|consumer| !list(&old.reserved_for).contains(consumer)) {
            let detail =
                "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
            e.forbidden(&at, detail);
        }
    }
    let at = path.child("allocation");
    match (&status.allocation, &old.allocation) {
        (Some(new), Some(old)) if new != old => {
            let shown = Shown::json(&shapes::allocation(&encode(new)));
            e.invalid(&at, shown, IMMUTABLE);
        }
        (Some(new), None) => allocation(e, &at, new, requests),
        _ => {}
    }
}

fn consumer(e: &mut Errors, path: &Path<'_>, consumer: &ResourceClaimConsumerReference) {
    for (field, value) in [("resource", &consumer.resource), ("name", &consumer.name), ("uid", &consumer.uid)]
    {
        if value.is_empty() {
            e.required(&path.child(field), "");
        }
    }
}

/// `validateAllocationResult`, of a result that is new.
fn allocation(e: &mut Errors, path: &Path<'_>, allocation: &AllocationResult, requests: &RequestNames) {
    let none = DeviceAllocationResult::default();
    let devices = allocation.devices.as_ref().unwrap_or(&none);
    results(e, &path.child("devices"), devices, requests);
    if let Some(selector) = &allocation.node_selector {
        node_selector(e, &path.child("nodeSelector"), selector);
    }
}

fn results(e: &mut Errors, path: &Path<'_>, devices: &DeviceAllocationResult, requests: &RequestNames) {
    let (at, results) = (path.child("results"), list(&devices.results));
    for (i, result) in results.iter().enumerate() {
        let at = at.index(i);
        requests.check(e, &at.child("request"), &result.request);
        driver(e, &at.child("driver"), &result.driver);
        pool(e, &at.child("pool"), &result.pool);
        device(e, &at.child("device"), &result.device);
        binding_conditions(e, &at, &result.binding_conditions, &result.binding_failure_conditions);
        if let Some(share) = &result.share_id {
            uid(e, &at.child("shareID"), share);
        }
    }
    limit(e, &at, results, MOST_RESULTS);
    let (at, configs) = (path.child("config"), list(&devices.config));
    for (i, config) in configs.iter().enumerate() {
        let at = at.index(i);
        let source = at.child("source");
        match config.source.as_str() {
            "" => e.required(&source, ""),
            "FromClaim" | "FromClass" => {}
            other => e.not_supported(&source, other, &["FromClaim", "FromClass"]),
        }
        requests.check_all(e, &at.child("requests"), &config.requests);
        configuration(e, &at, config.opaque.as_ref(), false);
    }
    // Those of the class and those of the claim.
    limit(e, &at, configs, 2 * MOST_CONFIGS);
}

/// `validateDeviceBindingParameters`.
pub(super) fn binding_conditions(
    e: &mut Errors,
    path: &Path<'_>,
    given: &Option<Vec<String>>,
    given_failures: &Option<Vec<String>>,
) {
    let (conditions, failures) = (list(given), list(given_failures));
    let (at, failures_at) = (path.child("bindingConditions"), path.child("bindingFailureConditions"));
    for (at, names) in [(&at, conditions), (&failures_at, failures)] {
        for (i, name) in names.iter().enumerate() {
            label_name(e, &at.index(i), name);
        }
        limit(e, at, names, MOST_BINDING_CONDITIONS);
    }
    unique_texts(e, &at, "", conditions.iter().map(String::as_str));
    let mut known = BTreeSet::new();
    for (i, name) in failures.iter().enumerate() {
        let at = failures_at.index(i);
        if !known.insert(name) {
            e.duplicate(&at, name);
        }
        if conditions.contains(name) {
            e.invalid(&at, name, "bindingFailureConditions must not overlap with bindingConditions");
        }
    }
    let empty = |given: &Option<Vec<String>>| Shown::json(given);
    if conditions.is_empty() && !failures.is_empty() {
        e.invalid(&at, empty(given), "bindingConditions are required to use bindingFailureConditions");
    }
    if failures.is_empty() && !conditions.is_empty() {
        let detail = "bindingFailureConditions are required to use bindingConditions";
        e.invalid(&failures_at, empty(given_failures), detail);
    }
}

/// What drivers tell of allocated devices.
fn devices(e: &mut Errors, path: &Path<'_>, status: &ResourceClaimStatus) {
    let results = status.allocation.iter().filter_map(|allocation| allocation.devices.as_ref());
    let allocated: BTreeSet<DeviceId<'_>> = results
        .flat_map(|devices| list(&devices.results))
        .map(|r| (r.driver.as_str(), r.pool.as_str(), r.device.as_str(), text(&r.share_id)))
        .collect();
    let devices = list(&status.devices);
    for (i, status) in devices.iter().enumerate() {
        device_status(e, &path.index(i), status, &allocated);
    }
    unique(e, path, "deviceID", devices.iter().map(device_id), |_| Shown::raw(DEVICE_ID));
}

fn device_status(
    e: &mut Errors,
    path: &Path<'_>,
    status: &AllocatedDeviceStatus,
    allocated: &BTreeSet<DeviceId<'_>>,
) {
    driver(e, &path.child("driver"), &status.driver);
    pool(e, &path.child("pool"), &status.pool);
    device(e, &path.child("device"), &status.device);
    if let Some(share) = &status.share_id {
        uid(e, &path.child("shareID"), share);
    }
    if !allocated.contains(&device_id(status)) {
        e.invalid(path, Shown::raw(DEVICE_ID), "must be an allocated device in the claim");
    }
    let (at, conditions) = (path.child("conditions"), list(&status.conditions));
    limit(e, &at, conditions, MOST_CONDITIONS);
    let mut known = BTreeSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        let at = at.index(i);
        if !known.insert(&condition.type_) {
            e.duplicate(&at.child("type"), &condition.type_);
        }
        self::condition(e, &at, condition);
    }
    if let Some(data) = &status.data {
        raw(e, &path.child("data"), data, Some(LONGEST_DATA));
    }
    if let Some(network) = &status.network_data {
        self::network(e, &path.child("networkData"), network);
    }
}

/// `ValidateCondition` (`k8s.io/apimachinery/pkg/apis/meta/v1/validation`). A missing time is refused by the reader already.
fn condition(e: &mut Errors, path: &Path<'_>, condition: &Condition) {
    label_name(e, &path.child("type"), &condition.type_);
    const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
    if !STATUSES.contains(&condition.status.as_str()) {
        e.not_supported(&path.child("status"), &condition.status, &STATUSES);
    }
    let generation = condition.observed_generation.unwrap_or_default();
    if generation < 0 {
        let detail = "must be greater than or equal to zero";
        e.invalid(&path.child("observedGeneration"), generation, detail);
    }
    let at = path.child("reason");
    if condition.reason.is_empty() {
        e.required(&at, "");
    } else {
        e.invalid_each(&at, &condition.reason, names::condition_reason(&condition.reason));
        if condition.reason.len() > LONGEST_REASON {
            e.too_long(&at, LONGEST_REASON);
        }
    }
    if condition.message.len() > LONGEST_MESSAGE {
        e.too_long(&path.child("message"), LONGEST_MESSAGE);
    }
}

fn network(e: &mut Errors, path: &Path<'_>, network: &NetworkDeviceData) {
    for (field, value, longest) in [
        ("interfaceName", &network.interface_name, LONGEST_INTERFACE),
        ("hardwareAddress", &network.hardware_address, LONGEST_ADDRESS),
    ] {
        if text(value).len() > longest {
            e.too_long(&path.child(field), longest);
        }
    }
    let (at, ips) = (path.child("ips"), list(&network.ips));
    for (i, address) in ips.iter().enumerate() {
        interface_address(e, &at.index(i), address);
    }
    limit(e, &at, ips, MOST_IPS);
    unique_texts(e, &at, "", ips.iter().map(String::as_str));
}

/// `IsValidInterfaceAddress`: an address and the length of its network's prefix, in canonical form.
fn interface_address(e: &mut Errors, path: &Path<'_>, given: &str) {
    let parsed = given.split_once('/').and_then(|(ip, bits)| {
        let ip: std::net::IpAddr = ip.parse().ok()?;
        let bits: u8 = bits.parse().ok().filter(|_| bits.bytes().all(|b| b.is_ascii_digit()))?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        (bits <= most).then_some((ip, bits))
    });
    let Some((ip, bits)) = parsed else {
        let detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
        return e.invalid(path, given, detail);
    };
    let canonical = match ip {
        std::net::IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) if bits > 32 => format!("{v4}/{}", bits.saturating_sub(96)),
            Some(v4) => format!("{v4}/{bits}"),
            None => format!("{v6}/{bits}"),
        },
        std::net::IpAddr::V4(v4) => format!("{v4}/{bits}"),
    };
    if given != canonical {
        e.invalid(
            path,
            given,
            &format!("must be in canonical form ({})", crate::syntax::go_quote(&canonical)),
        );
    }
}
