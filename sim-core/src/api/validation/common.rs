//! Checks that many kinds share: labels, selectors, numbers, texts of a set.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::field::{Errors, Path, Shown};
use super::names;

/// An optional text, empty if absent: Go has no difference between the two.
pub(super) fn text(field: &Option<String>) -> &str {
    field.as_deref().unwrap_or("")
}

/// An optional list, empty if absent.
pub(super) fn list<T>(field: &Option<Vec<T>>) -> &[T] {
    field.as_deref().unwrap_or(&[])
}

/// An optional flag, false if absent.
pub(super) fn flag(field: Option<bool>) -> bool {
    field.unwrap_or(false)
}

pub(super) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
pub(super) const IMMUTABLE: &str = "field is immutable";

pub(super) fn non_negative(e: &mut Errors, path: &Path<'_>, value: impl Into<i64>) {
    let value = value.into();
    if value < 0 {
        e.invalid(path, value, NOT_NEGATIVE);
    }
}

/// A text that must be there and one of a set.
pub(super) fn one_of(e: &mut Errors, path: &Path<'_>, value: &str, supported: &[&str]) {
    if value.is_empty() {
        e.required(path, "");
    } else if !supported.contains(&value) {
        e.not_supported(path, value, supported);
    }
}

/// A text that is one of a set, or absent.
pub(super) fn optional_one_of(e: &mut Errors, path: &Path<'_>, value: &Option<String>, supported: &[&str]) {
    if let Some(value) = value.as_deref().filter(|v| !supported.contains(v)) {
        e.not_supported(path, value, supported);
    }
}

pub(super) fn label_name(e: &mut Errors, path: &Path<'_>, name: &str) {
    e.invalid_each(path, name, names::qualified_name(name));
}

pub(super) fn labels(e: &mut Errors, path: &Path<'_>, labels: &BTreeMap<String, String>) {
    for (key, value) in labels {
        label_name(e, path, key);
        e.invalid_each(path, value, names::label_value(value));
    }
}

pub(super) fn dns_label(e: &mut Errors, path: &Path<'_>, value: &str) {
    e.invalid_each(path, value, names::dns1123_label(value));
}

pub(super) fn dns_subdomain(e: &mut Errors, path: &Path<'_>, value: &str) {
    e.invalid_each(path, value, names::dns1123_subdomain(value));
}

/// `ValidateLabelSelector`.
pub(super) fn label_selector(e: &mut Errors, path: &Path<'_>, selector: Option<&LabelSelector>) {
    let Some(selector) = selector else { return };
    if let Some(wanted) = &selector.match_labels {
        labels(e, &path.child("matchLabels"), wanted);
    }
    let expressions = path.child("matchExpressions");
    for (i, expression) in list(&selector.match_expressions).iter().enumerate() {
        let path = expressions.index(i);
        selector_requirement(e, &path, &expression.key, &expression.operator, list(&expression.values));
    }
}

fn selector_requirement(e: &mut Errors, path: &Path<'_>, key: &str, operator: &str, values: &[String]) {
    operator_and_values(e, path, operator, values, false);
    label_name(e, &path.child("key"), key);
    let values_path = path.child("values");
    for (i, value) in values.iter().enumerate() {
        e.invalid_each(&values_path.index(i), value, names::label_value(value));
    }
}

/// The number of values must fit the operator. Node selectors know `Gt` and `Lt`, too.
pub(super) fn operator_and_values(
    e: &mut Errors,
    path: &Path<'_>,
    operator: &str,
    values: &[String],
    node: bool,
) {
    let values_path = path.child("values");
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            e.required(&values_path, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "In" | "NotIn" => {}
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            e.forbidden(&values_path, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Exists" | "DoesNotExist" => {}
        "Gt" | "Lt" if node => {
            if values.len() != 1 {
                e.required(&values_path, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
        }
        other => e.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
}

/// True if `LabelSelectorAsSelector` takes it: operators known, values as many as they need, keys and values well-formed.
pub(super) fn is_convertible(selector: &LabelSelector) -> bool {
    let mut e = Errors::default();
    label_selector(&mut e, &Path::root(""), Some(selector));
    e.is_empty()
}

/// A selector without requirements: matches everything.
pub(super) fn is_empty_selector(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && list(&selector.match_expressions).is_empty()
}

/// Whether a well-formed selector matches a set of labels.
pub(super) fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(k, v)| labels.get(k) == Some(v));
    equal
        && list(&selector.match_expressions).iter().all(|r| {
            let value = labels.get(&r.key);
            let among = value.is_some_and(|v| list(&r.values).contains(v));
            match r.operator.as_str() {
                "In" => among,
                "NotIn" => !among,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// A port by number or by name.
pub(super) fn port_or_name(e: &mut Errors, path: &Path<'_>, port: &IntOrString) {
    match port {
        IntOrString::Int(number) => port_number(e, path, i64::from(*number)),
        IntOrString::String(name) => e.invalid_each(path, name, names::port_name(name)),
    }
}

pub(super) fn port_number(e: &mut Errors, path: &Path<'_>, port: i64) {
    if let Some(message) = names::port_number(port) {
        e.invalid(path, port, message);
    }
}

/// An IP address as older fields take it: leading zeros are tolerated upstream, but not by us.
// DIFFERS: `010.1.2.3` is refused; Go's legacy parser reads it as decimal. Nobody should write it.
pub(super) fn legacy_ip(e: &mut Errors, path: &Path<'_>, address: &str) {
    if address.parse::<IpAddr>().is_err() {
        e.invalid(path, address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
}

/// `maxUnavailable` and the like: a number that is not negative, or a percentage.
pub(super) fn int_or_percent(e: &mut Errors, path: &Path<'_>, value: &IntOrString) {
    match value {
        IntOrString::String(percent) => e.invalid_each(path, percent, names::percent(percent)),
        IntOrString::Int(number) => non_negative(e, path, *number),
    }
}

/// A percentage above 100 makes no sense for what may be unavailable.
pub(super) fn not_more_than_100_percent(e: &mut Errors, path: &Path<'_>, value: &IntOrString) {
    if let IntOrString::String(percent) = value
        && names::percent(percent).is_empty()
        && percent.trim_end_matches('%').parse::<u64>().is_ok_and(|n| n > 100)
    {
        e.invalid(path, percent, "must not be greater than 100%");
    }
}

/// A field that may not change.
pub(super) fn immutable<T: PartialEq>(
    e: &mut Errors,
    path: &Path<'_>,
    new: &T,
    old: &T,
    shown: impl FnOnce() -> Shown,
) {
    if new != old {
        e.invalid(path, shown(), IMMUTABLE);
    }
}
