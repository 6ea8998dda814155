//! DeviceClasses and DeviceTaintRules; configurations, taints and tolerations of all.

use k8s_openapi::api::resource::v1::{
    DeviceClassSpec, DeviceSelector, DeviceTaint, DeviceToleration, OpaqueDeviceConfiguration,
};
use k8s_openapi::api::resource::v1alpha3::{self, DeviceTaintRuleSpec};

use super::claim::MOST_CONFIGS;
use super::lists::{device, driver, limit, pool, raw};
use super::selectors::{Rules, selectors};
use crate::api::validation::common::{dns_subdomain, label_name, list, text};
use crate::api::validation::field::{Errors, Path};
use crate::api::validation::names;
use crate::api::validation::pod::resources::is_extended;

const LONGEST_PARAMETERS: usize = 10 * 1024;
const EFFECTS: [&str; 2] = ["NoExecute", "NoSchedule"];

/// `validateDeviceClassSpec`. What did not change counts as stored.
pub(super) fn class(
    e: &mut Errors,
    path: &Path<'_>,
    spec: &DeviceClassSpec,
    old: Option<&DeviceClassSpec>,
    rules: &mut Rules,
) {
    let stored = old.is_some_and(|old| old.selectors == spec.selectors);
    selectors(e, &path.child("selectors"), &spec.selectors, stored, rules);
    let stored = old.is_some_and(|old| old.config == spec.config);
    let (at, configs) = (path.child("config"), list(&spec.config));
    for (i, config) in configs.iter().enumerate() {
        configuration(e, &at.index(i), config.opaque.as_ref(), stored);
    }
    limit(e, &at, configs, MOST_CONFIGS);
    if let Some(name) = spec.extended_resource_name.as_deref().filter(|name| !is_extended(name)) {
        e.invalid(&path.child("extendedResourceName"), name, "must be a valid extended resource name");
    }
}

/// `validateDeviceConfiguration`.
pub(super) fn configuration(
    e: &mut Errors,
    path: &Path<'_>,
    opaque: Option<&OpaqueDeviceConfiguration>,
    stored: bool,
) {
    let at = path.child("opaque");
    let Some(opaque) = opaque else { return e.required(&at, "") };
    driver(e, &at.child("driver"), &opaque.driver);
    let max = (!stored).then_some(LONGEST_PARAMETERS);
    raw(e, &at.child("parameters"), &opaque.parameters, max);
}

/// `validateDeviceTaintRuleSpec`.
pub(super) fn taint_rule(
    e: &mut Errors,
    path: &Path<'_>,
    spec: &DeviceTaintRuleSpec,
    old: Option<&DeviceTaintRuleSpec>,
    rules: &mut Rules,
) {
    let at = path.child("deviceSelector");
    if let Some(filter) = &spec.device_selector {
        if let Some(class) = &filter.device_class_name {
            dns_subdomain(e, &at.child("deviceClassName"), class);
        }
        if let Some(name) = &filter.driver {
            driver(e, &at.child("driver"), name);
        }
        if let Some(name) = &filter.pool {
            pool(e, &at.child("pool"), name);
        }
        if let Some(name) = &filter.device {
            device(e, &at.child("device"), name);
        }
        let old = old.and_then(|old| old.device_selector.as_ref());
        let stored = old.is_some_and(|old| old.selectors == filter.selectors);
        let given = filter.selectors.as_ref().map(|s| s.iter().map(as_v1).collect());
        selectors(e, &at.child("selectors"), &given, stored, rules);
    }
    let v1alpha3::DeviceTaint { effect, key, value, .. } = &spec.taint;
    taint(e, &path.child("taint"), key, text(value), effect);
}

fn as_v1(selector: &v1alpha3::DeviceSelector) -> DeviceSelector {
    let cel = selector
        .cel
        .as_ref()
        .map(|cel| k8s_openapi::api::resource::v1::CELDeviceSelector { expression: cel.expression.clone() });
    DeviceSelector { cel }
}

/// `validateDeviceTaint` of a device.
pub(super) fn device_taint(e: &mut Errors, path: &Path<'_>, given: &DeviceTaint) {
    taint(e, path, &given.key, text(&given.value), &given.effect);
}

fn taint(e: &mut Errors, path: &Path<'_>, key: &str, value: &str, effect: &str) {
    label_name(e, &path.child("key"), key);
    if !value.is_empty() {
        e.invalid_each(&path.child("value"), value, names::label_value(value));
    }
    let at = path.child("effect");
    match effect {
        "" => e.required(&at, ""),
        effect if EFFECTS.contains(&effect) => {}
        other => e.not_supported(&at, other, &EFFECTS),
    }
}

/// `validateDeviceToleration`.
pub(super) fn toleration(e: &mut Errors, path: &Path<'_>, given: &DeviceToleration) {
    let (key, value, effect) = (text(&given.key), text(&given.value), text(&given.effect));
    if !key.is_empty() {
        label_name(e, &path.child("key"), key);
    }
    let at = path.child("value");
    match text(&given.operator) {
        "Exists" if !value.is_empty() => e.invalid(&at, value, "must be empty for operator `Exists`"),
        "Exists" => {}
        "Equal" => e.invalid_each(&at, value, names::label_value(value)),
        "" => e.required(&path.child("operator"), ""),
        other => e.not_supported(&path.child("operator"), other, &["Equal", "Exists"]),
    }
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        e.not_supported(&path.child("effect"), effect, &EFFECTS);
    }
}
