//! What claims ask for.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::resource::v1::{
    DeviceClaim, DeviceConstraint, DeviceRequest, DeviceSelector, DeviceToleration, ResourceClaimSpec,
    ResourceClaimTemplateSpec,
};
use serde_json::Value;

use super::class::{configuration, toleration};
use super::lists::{fully_qualified, limit, unique_texts};
use super::selectors::{Rules, selectors};
use super::{part, shapes};
use crate::api::validation::common::{IMMUTABLE, dns_label, dns_subdomain, labels, list, text};
use crate::api::validation::field::{Errors, Path, Shown};
use crate::api::validation::meta::annotations;
use crate::features::Gate;

pub(super) const MOST_REQUESTS: usize = 32;
pub(super) const MOST_CONFIGS: usize = 32;
const MOST_CONSTRAINTS: usize = 32;
const MOST_ALTERNATIVES: usize = 8;

const ONE_OF: &str = "exactly one of `exactly` or `firstAvailable` is required";
const NAME_OF_REQUEST: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/// The names by which a claim's requests are known: of requests, and of the alternatives of each.
pub(super) struct RequestNames(BTreeMap<String, BTreeSet<String>>);

impl RequestNames {
    pub(super) fn of(spec: &ResourceClaimSpec) -> RequestNames {
        let requests = spec.devices.as_ref().map_or(&[][..], |devices| list(&devices.requests));
        let names = requests.iter().map(|request| {
            let alternatives = list(&request.first_available).iter().map(|sub| sub.name.clone()).collect();
            (request.name.clone(), alternatives)
        });
        RequestNames(names.collect())
    }

    fn has(&self, name: &str) -> bool {
        match name.split('/').collect::<Vec<_>>().as_slice() {
            [request] => self.0.contains_key(*request),
            [request, sub] => self.0.get(*request).is_some_and(|subs| subs.contains(*sub)),
            _ => false,
        }
    }

    /// `validateRequestNameRef`.
    pub(super) fn check(&self, e: &mut Errors, path: &Path<'_>, name: &str) {
        if name.split('/').count() <= 2 {
            name.split('/').for_each(|part| dns_label(e, path, part));
        }
        if !self.has(name) {
            e.invalid(path, name, NAME_OF_REQUEST);
        }
    }

    /// A set of such names.
    pub(super) fn check_all(&self, e: &mut Errors, path: &Path<'_>, names: &Option<Vec<String>>) {
        let names = list(names);
        for (i, name) in names.iter().enumerate() {
            self.check(e, &path.index(i), name);
        }
        limit(e, path, names, MOST_REQUESTS);
        unique_texts(e, path, "", names.iter().map(String::as_str));
    }
}

/// `validateResourceClaimSpec`.
pub(super) fn claim(
    e: &mut Errors,
    path: &Path<'_>,
    spec: &ResourceClaimSpec,
    stored: bool,
    rules: &mut Rules,
) {
    let names = RequestNames::of(spec);
    let none = DeviceClaim::default();
    let devices = spec.devices.as_ref().unwrap_or(&none);
    let path = path.child("devices");
    let (at, requests) = (path.child("requests"), list(&devices.requests));
    for (i, request) in requests.iter().enumerate() {
        self::request(e, &at.index(i), request, stored, rules);
    }
    limit(e, &at, requests, MOST_REQUESTS);
    unique_texts(e, &at, "name", requests.iter().map(|request| request.name.as_str()));
    let (at, constraints) = (path.child("constraints"), list(&devices.constraints));
    for (i, constraint) in constraints.iter().enumerate() {
        self::constraint(e, &at.index(i), constraint, &names, rules);
    }
    limit(e, &at, constraints, MOST_CONSTRAINTS);
    let (at, configs) = (path.child("config"), list(&devices.config));
    for (i, config) in configs.iter().enumerate() {
        let at = at.index(i);
        names.check_all(e, &at.child("requests"), &config.requests);
        configuration(e, &at, config.opaque.as_ref(), stored);
    }
    limit(e, &at, configs, MOST_CONFIGS);
}

fn request(e: &mut Errors, path: &Path<'_>, request: &DeviceRequest, stored: bool, rules: &mut Rules) {
    dns_label(e, &path.child("name"), &request.name);
    let subs = list(&request.first_available);
    let at = path.child("firstAvailable");
    for (i, sub) in subs.iter().enumerate() {
        let at = at.index(i);
        dns_label(e, &at.child("name"), &sub.name);
        let wanted = Wanted {
            class: &sub.device_class_name,
            selectors: &sub.selectors,
            mode: text(&sub.allocation_mode),
            count: sub.count.unwrap_or_default(),
            tolerations: list(&sub.tolerations),
        };
        wanted.check(e, &at, stored, rules);
    }
    limit(e, &at, subs, MOST_ALTERNATIVES);
    unique_texts(e, &at, "name", subs.iter().map(|sub| sub.name.as_str()));
    if let Some(exact) = &request.exactly {
        let wanted = Wanted {
            class: &exact.device_class_name,
            selectors: &exact.selectors,
            mode: text(&exact.allocation_mode),
            count: exact.count.unwrap_or_default(),
            tolerations: list(&exact.tolerations),
        };
        wanted.check(e, &path.child("exactly"), stored, rules);
    }
    match (request.exactly.is_some(), subs.is_empty()) {
        (false, true) => e.required(path, ONE_OF),
        (true, false) => {
            e.invalid(path, Shown::raw("null"), &format!("{ONE_OF}, but multiple fields are set"))
        }
        _ => {}
    }
}

/// What a request and its alternatives have in common.
struct Wanted<'a> {
    class: &'a str,
    selectors: &'a Option<Vec<DeviceSelector>>,
    mode: &'a str,
    count: i64,
    tolerations: &'a [DeviceToleration],
}

impl Wanted<'_> {
    fn check(&self, e: &mut Errors, path: &Path<'_>, stored: bool, rules: &mut Rules) {
        let at = path.child("deviceClassName");
        match self.class {
            "" => e.required(&at, ""),
            class => dns_subdomain(e, &at, class),
        }
        selectors(e, &path.child("selectors"), self.selectors, stored, rules);
        let (mode, count) = (path.child("allocationMode"), path.child("count"));
        match self.mode {
            "All" if self.count != 0 => {
                e.invalid(&count, self.count, "must not be specified when allocationMode is 'All'");
            }
            "ExactCount" if self.count <= 0 => e.invalid(&count, self.count, "must be greater than zero"),
            "All" | "ExactCount" => {}
            other => e.not_supported(&mode, other, &["All", "ExactCount"]),
        }
        let at = path.child("tolerations");
        for (i, given) in self.tolerations.iter().enumerate() {
            toleration(e, &at.index(i), given);
        }
    }
}

fn constraint(
    e: &mut Errors,
    path: &Path<'_>,
    constraint: &DeviceConstraint,
    names: &RequestNames,
    rules: &Rules,
) {
    names.check_all(e, &path.child("requests"), &constraint.requests);
    match (&constraint.match_attribute, &constraint.distinct_attribute) {
        (Some(name), _) => fully_qualified(e, &path.child("matchAttribute"), name),
        (None, Some(name)) => fully_qualified(e, &path.child("distinctAttribute"), name),
        (None, None) if rules.gates.on(Gate::DRAConsumableCapacity) => {
            // The message is upstream's: it is about the wrong case.
            let detail = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
            e.required(path, detail);
        }
        (None, None) => e.required(&path.child("matchAttribute"), ""),
    }
}

/// `validateResourceClaimTemplateSpec`.
pub(super) fn template(
    e: &mut Errors,
    path: &Path<'_>,
    template: &ResourceClaimTemplateSpec,
    stored: bool,
    rules: &mut Rules,
) {
    let at = path.child("metadata");
    if let Some(meta) = &template.metadata {
        let none = BTreeMap::new();
        labels(e, &at.child("labels"), meta.labels.as_ref().unwrap_or(&none));
        annotations(e, &at.child("annotations"), meta.annotations.as_ref().unwrap_or(&none));
    }
    claim(e, &path.child("spec"), &template.spec, stored, rules);
}

/// A claim's spec never changes.
pub(super) fn claim_is_fixed(e: &mut Errors, new: &Value, old: &Value) {
    if part::<ResourceClaimSpec>(e, new, "spec") != part(e, old, "spec") {
        let spec = new.get("spec").unwrap_or(&Value::Null);
        e.invalid(&Path::root("spec"), Shown::json(&shapes::claim_spec(spec)), IMMUTABLE);
    }
}

/// A template's spec never changes.
pub(super) fn template_is_fixed(e: &mut Errors, new: &Value, old: &Value) {
    if part::<ResourceClaimTemplateSpec>(e, new, "spec") != part(e, old, "spec") {
        let spec = new.get("spec").unwrap_or(&Value::Null);
        e.invalid(&Path::root("spec"), Shown::json(&shapes::template_spec(spec)), IMMUTABLE);
    }
}
