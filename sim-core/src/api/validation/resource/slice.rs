//! ResourceSlices: what drivers offer.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::resource::v1::{
    CounterSet, Device, DeviceAttribute, DeviceCounterConsumption, ResourcePool, ResourceSliceSpec,
};
use serde_json::json;

use super::capacity::capacity;
use super::class::device_taint;
use super::lists::{
    LABEL_LENGTH, QUALIFIED_LENGTH, device as device_name, driver, limit, pool, qualified, shortened,
    unique_texts,
};
use super::status::binding_conditions;
use crate::api::validation::common::{IMMUTABLE, dns_label, immutable, list};
use crate::api::validation::field::{Errors, Path, Shown};
use crate::api::validation::pod::scheduling::node_selector;
use crate::api::validation::{internal, names};

const MOST_DEVICES: usize = 128;
const MOST_PROPERTIES: usize = 32;
const MOST_TAINTS: usize = 4;
const MOST_COUNTERS_OF_DEVICE: usize = 32;
const MOST_COUNTERS_OF_DEVICES: usize = 1024;
const MOST_SHARED_COUNTERS: usize = 32;
const LONGEST_VALUE: usize = 64;

const SET_TO_TRUE: &str = "must be either unset or set to true";

/// Names of counters by the name of their set.
type Counters<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// `validateResourceSliceSpec`.
pub(super) fn slice(
    e: &mut Errors,
    path: &Path<'_>,
    spec: &ResourceSliceSpec,
    old: Option<&ResourceSliceSpec>,
) {
    driver(e, &path.child("driver"), &spec.driver);
    resource_pool(e, &path.child("pool"), &spec.pool);
    if let Some(old) = old {
        let pool = path.child("pool");
        immutable(e, &pool.child("name"), &spec.pool.name, &old.pool.name, || (&spec.pool.name).into());
        immutable(e, &path.child("driver"), &spec.driver, &old.driver, || (&spec.driver).into());
        if spec.node_name != old.node_name {
            let shown = spec.node_name.as_deref().map_or_else(|| Shown::raw("null"), Shown::from);
            e.invalid(&path.child("nodeName"), shown, IMMUTABLE);
        }
    }
    where_it_is(e, path, spec);
    let counters = shared_counters(list(&spec.shared_counters));
    let (at, devices) = (path.child("devices"), list(&spec.devices));
    let per_device = spec.per_device_node_selection == Some(true);
    for (i, given) in devices.iter().enumerate() {
        device(e, &at.index(i), given, &counters, per_device);
    }
    limit(e, &at, devices, MOST_DEVICES);
    unique_texts(e, &at, "name", devices.iter().map(|device| device.name.as_str()));
    let consumed: usize =
        devices.iter().flat_map(|d| list(&d.consumes_counters)).map(|c| c.counters.len()).sum();
    if consumed > MOST_COUNTERS_OF_DEVICES {
        let detail =
            format!("the total number of counters in devices must not exceed {MOST_COUNTERS_OF_DEVICES}");
        e.invalid(&at, consumed as i64, &detail);
    }
    counter_sets(e, &path.child("sharedCounters"), list(&spec.shared_counters));
}

fn resource_pool(e: &mut Errors, path: &Path<'_>, given: &ResourcePool) {
    pool(e, &path.child("name"), &given.name);
    if given.resource_slice_count <= 0 {
        e.invalid(&path.child("resourceSliceCount"), given.resource_slice_count, "must be greater than zero");
    }
    if given.generation < 0 {
        e.invalid(&path.child("generation"), given.generation, "must be greater than or equal to zero");
    }
}

/// Exactly one way to say on which nodes the devices are.
fn where_it_is(e: &mut Errors, path: &Path<'_>, spec: &ResourceSliceSpec) {
    let mut set = Vec::new();
    let empty = "must be either unset or set to a non-empty string";
    node_name(e, path, spec.node_name.as_deref(), empty, &mut set);
    if let Some(selector) = &spec.node_selector {
        set.push("`nodeSelector`");
        let at = path.child("nodeSelector");
        node_selector(e, &at, selector);
        if selector.node_selector_terms.len() != 1 {
            let shown = Shown::json(&internal::node_selector_terms(selector));
            e.invalid(&at.child("nodeSelectorTerms"), shown, "must have exactly one node selector term");
        }
    }
    flag(e, &path.child("allNodes"), spec.all_nodes, "`allNodes`", &mut set);
    let at = path.child("perDeviceNodeSelection");
    flag(e, &at, spec.per_device_node_selection, "`perDeviceNodeSelection`", &mut set);
    let detail =
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match set.as_slice() {
        [] => e.required(path, detail),
        [_] => {}
        several => {
            let detail = format!("{detail}, but multiple fields are set");
            e.invalid(path, &format!("{{{}}}", several.join(", ")), &detail);
        }
    }
}

fn node_name(e: &mut Errors, path: &Path<'_>, name: Option<&str>, empty: &str, set: &mut Vec<&'static str>) {
    let at = path.child("nodeName");
    match name {
        None => {}
        Some("") => e.invalid(&at, "", empty),
        Some(name) => {
            set.push("`nodeName`");
            e.invalid_each(&at, name, names::dns1123_subdomain(name));
        }
    }
}

fn flag(
    e: &mut Errors,
    path: &Path<'_>,
    flag: Option<bool>,
    name: &'static str,
    set: &mut Vec<&'static str>,
) {
    match flag {
        None => {}
        Some(true) => set.push(name),
        Some(false) => e.invalid(path, false, SET_TO_TRUE),
    }
}

fn shared_counters(sets: &[CounterSet]) -> Counters<'_> {
    sets.iter().map(|set| (set.name.as_str(), set.counters.keys().map(String::as_str).collect())).collect()
}

fn counter_sets(e: &mut Errors, path: &Path<'_>, sets: &[CounterSet]) {
    let total: usize = sets.iter().map(|set| set.counters.len()).sum();
    if total > MOST_SHARED_COUNTERS {
        let detail = format!("the total number of shared counters must not exceed {MOST_SHARED_COUNTERS}");
        e.invalid(path, total as i64, &detail);
    }
    for (i, set) in sets.iter().enumerate() {
        let at = path.index(i);
        match set.name.as_str() {
            "" => e.required(&at.child("name"), ""),
            name => dns_label(e, &at.child("name"), name),
        }
        counter_names(e, &at.child("counters"), set.counters.keys());
    }
    unique_texts(e, path, "name", sets.iter().map(|set| set.name.as_str()));
}

fn counter_names<'a>(e: &mut Errors, path: &Path<'_>, names: impl ExactSizeIterator<Item = &'a String>) {
    if names.len() == 0 {
        e.required(path, "");
    }
    for name in names {
        dns_label(e, &path.key(&shortened(name, LABEL_LENGTH)), name);
    }
}

/// `validateDevice`.
fn device(e: &mut Errors, path: &Path<'_>, given: &Device, counters: &Counters<'_>, per_device: bool) {
    device_name(e, &path.child("name"), &given.name);
    let (attributes, capacities) = (given.attributes.iter().flatten(), given.capacity.iter().flatten());
    let properties =
        given.attributes.as_ref().map_or(0, BTreeMap::len) + given.capacity.as_ref().map_or(0, BTreeMap::len);
    if properties > MOST_PROPERTIES {
        let detail =
            format!("the total number of attributes and capacities must not exceed {MOST_PROPERTIES}");
        e.invalid(path, properties as i64, &detail);
    }
    let at = path.child("attributes");
    for (name, value) in attributes {
        let key = shortened(name, QUALIFIED_LENGTH);
        qualified(e, &at.key(&key), name);
        attribute(e, &at.key(&key), value);
    }
    let at = path.child("capacity");
    for (name, value) in capacities {
        let key = shortened(name, QUALIFIED_LENGTH);
        qualified(e, &at.key(&key), name);
        capacity(e, &at.key(&key), value, given.allow_multiple_allocations == Some(true));
    }
    let (at, taints) = (path.child("taints"), list(&given.taints));
    for (i, taint) in taints.iter().enumerate() {
        device_taint(e, &at.index(i), taint);
    }
    limit(e, &at, taints, MOST_TAINTS);
    consumed_counters(e, path, list(&given.consumes_counters), counters);
    if per_device {
        where_the_device_is(e, path, given);
    } else if given.node_name.is_some() || given.node_selector.is_some() || given.all_nodes.is_some() {
        let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true \
            in the ResourceSlice spec";
        e.invalid(path, Shown::raw("null"), detail);
    }
    binding_conditions(e, path, &given.binding_conditions, &given.binding_failure_conditions);
}

fn attribute(e: &mut Errors, path: &Path<'_>, given: &DeviceAttribute) {
    if let Some(text) = &given.string
        && text.len() > LONGEST_VALUE
    {
        e.too_long(&path.child("string"), LONGEST_VALUE);
    }
    if let Some(version) = &given.version {
        let at = path.child("version");
        if !is_semver(version) {
            e.invalid(&at, version, "must be a string compatible with semver.org spec 2.0.0");
        }
        if version.len() > LONGEST_VALUE {
            e.too_long(&at, LONGEST_VALUE);
        }
    }
    let set = [given.bool.is_some(), given.int.is_some(), given.string.is_some(), given.version.is_some()];
    let one = "exactly one value must be specified";
    match set.into_iter().filter(|set| *set).count() {
        0 => e.required(path, one),
        1 => {}
        _ => {
            let internal = json!({
                "IntValue": given.int, "BoolValue": given.bool, "StringValue": given.string, "VersionValue": given.version,
            });
            e.invalid(path, Shown::json(&internal), one);
        }
    }
}

/// The pattern of semver.org; unlike the version type, numbers have no limit.
fn is_semver(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let number = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (core, pre) = rest.split_once('-').map_or((rest, None), |(core, pre)| (core, Some(pre)));
    let core: Vec<&str> = core.split('.').collect();
    core.len() == 3
        && core.into_iter().all(number)
        && pre.is_none_or(|pre| pre.split('.').all(|part| word(part) && (!digits(part) || number(part))))
        && build.is_none_or(|build| build.split('.').all(word))
}

fn consumed_counters(
    e: &mut Errors,
    path: &Path<'_>,
    consumed: &[DeviceCounterConsumption],
    counters: &Counters<'_>,
) {
    let at = path.child("consumesCounters");
    for (i, set) in consumed.iter().enumerate() {
        let at = at.index(i);
        if set.counter_set.is_empty() {
            e.required(&at.child("counterSet"), "");
        }
        counter_names(e, &at.child("counters"), set.counters.keys());
    }
    unique_texts(e, &at, "counterSet", consumed.iter().map(|set| set.counter_set.as_str()));
    let total: usize = consumed.iter().map(|set| set.counters.len()).sum();
    if total > MOST_COUNTERS_OF_DEVICE {
        let detail = format!("the total number of counters must not exceed {MOST_COUNTERS_OF_DEVICE}");
        e.invalid(path, total as i64, &detail);
    }
    for (i, set) in consumed.iter().enumerate() {
        let at = at.index(i);
        let Some(known) = counters.get(set.counter_set.as_str()) else {
            let detail = "must reference a counterSet defined in the ResourceSlice sharedCounters";
            e.invalid(&at.child("counterSet"), &set.counter_set, detail);
            continue;
        };
        for name in set.counters.keys().filter(|name| !known.contains(name.as_str())) {
            let detail = "must reference a counter defined in the ResourceSlice sharedCounters";
            e.invalid(&at.child("counters"), name, detail);
        }
    }
}

fn where_the_device_is(e: &mut Errors, path: &Path<'_>, given: &Device) {
    let mut set = Vec::new();
    node_name(e, path, given.node_name.as_deref(), "must not be empty", &mut set);
    if let Some(selector) = &given.node_selector {
        set.push("`nodeSelector`");
        node_selector(e, &path.child("nodeSelector"), selector);
    }
    flag(e, &path.child("allNodes"), given.all_nodes, "`allNodes`", &mut set);
    let detail = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set \
        to true in the ResourceSlice spec";
    match set.as_slice() {
        [] => e.required(path, detail),
        [_] => {}
        several => e.invalid(path, &format!("{{{}}}", several.join(", ")), detail),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_follow_semver() {
        for (text, expected) in [
            ("1.2.3", true),
            ("0.0.0-alpha.1+b.01", true),
            ("1.0.0--", true),
            ("18446744073709551616.0.0", true),
            ("1.2", false),
            ("01.2.3", false),
            ("1.2.3-01", false),
            ("1.2.3-", false),
            ("1.2.3+", false),
            ("1.2.3+a+b", false),
            ("v1.2.3", false),
        ] {
            assert_eq!(super::is_semver(text), expected, "{text}");
        }
    }
}
