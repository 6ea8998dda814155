//! Resource requests, limits and claims.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{PodSpec, ResourceClaim, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Wire;

use crate::api::validation::common::{NOT_NEGATIVE, dns_label, list};
use crate::api::validation::field::{Errors, Path};
use crate::api::validation::names;
use crate::quantity::Quantity;

/// Whose resources they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Container,
    Pod,
}

const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];
const INTEGER: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

pub(super) fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// `IsExtendedResourceName`.
pub(in crate::api::validation) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// `validateResourceName`. Returns whether it was fine.
fn resource_name(e: &mut Errors, path: &Path<'_>, name: &str) -> bool {
    let messages = names::qualified_name(name);
    let mut fine = messages.is_empty();
    e.invalid_each(path, name, messages);
    let quota_huge_page = is_huge_page(name) || name.starts_with("requests.hugepages-");
    if fine && !name.contains('/') && !STANDARD.contains(&name) && !quota_huge_page {
        e.invalid(path, name, "must be a standard resource type or fully qualified");
        fine = false;
    }
    fine
}

/// `ValidateContainerResourceName`.
pub(in crate::api::validation) fn container_resource_name(e: &mut Errors, path: &Path<'_>, resource: &str) {
    name(e, path, resource, Of::Container);
}

fn name(e: &mut Errors, path: &Path<'_>, name: &str, of: Of) {
    let fine = resource_name(e, path, name);
    match of {
        Of::Container
            if !name.contains('/')
                && !matches!(name, "cpu" | "memory" | "ephemeral-storage")
                && !is_huge_page(name) =>
        {
            e.invalid(path, name, "must be a standard resource for containers");
        }
        Of::Container if !is_native(name) && !is_extended(name) => {
            e.invalid(path, name, "doesn't follow extended resource name standard");
        }
        Of::Pod if fine && !matches!(name, "cpu" | "memory") && !is_huge_page(name) => {
            e.not_supported(path, name, &["cpu", "hugepages-", "memory"]);
        }
        _ => {}
    }
}

/// `ValidateResourceQuantityValue`.
pub(in crate::api::validation) fn amount(e: &mut Errors, path: &Path<'_>, name: &str, amount: &Quantity) {
    if amount.sign() < 0 {
        e.invalid(path, &amount.to_string(), NOT_NEGATIVE);
    }
    if (INTEGER.contains(&name) || is_extended(name)) && amount.milli_value() % 1000 != 0 {
        e.invalid(path, &amount.to_string(), "must be an integer");
    }
}

/// Returns whether the amount is of a huge page resource.
fn huge_page(e: &mut Errors, path: &Path<'_>, name: &str, amount: &Quantity) -> bool {
    let Some(size) = name.strip_prefix("hugepages-") else { return false };
    let divisible = size.parse::<Quantity>().is_ok_and(|size| {
        size.value() > 0 && size.milli_value() % 1000 == 0 && amount.value() % size.value() == 0
    });
    if !divisible {
        let detail = format!("{amount} is not positive integer multiple of {name}");
        e.invalid(path, &amount.to_string(), &detail);
    }
    true
}

/// `validateResourceRequirements`.
pub(super) fn requirements(
    e: &mut Errors,
    path: &Path<'_>,
    resources: &ResourceRequirements,
    of: Of,
    pod_claims: &BTreeSet<&str>,
) {
    let none = BTreeMap::new();
    let limits = resources.limits.as_ref().unwrap_or(&none);
    let requests = resources.requests.as_ref().unwrap_or(&none);
    let (limits_path, requests_path) = (path.child("limits"), path.child("requests"));
    let mut huge = false;
    for (resource, limit) in limits {
        let at = limits_path.key(resource);
        let limit = Quantity::from_wire(limit);
        name(e, &at, resource, of);
        amount(e, &at, resource, &limit);
        huge |= huge_page(e, &at, resource, &limit);
    }
    for (resource, request) in requests {
        let at = requests_path.key(resource);
        let request = Quantity::from_wire(request);
        name(e, &at, resource, of);
        amount(e, &at, resource, &request);
        let overcommit = is_native(resource) && !is_huge_page(resource);
        match limits.get(resource).map(Quantity::from_wire) {
            Some(limit) if request != limit && !overcommit => {
                let detail = format!("must be equal to {resource} limit of {limit}");
                e.invalid(&requests_path, &request.to_string(), &detail);
            }
            Some(limit) if request > limit => {
                let detail = format!("must be less than or equal to {resource} limit of {limit}");
                e.invalid(&requests_path, &request.to_string(), &detail);
            }
            Some(_) => {}
            None if !overcommit => {
                e.required(&limits_path, "Limit must be set for non overcommitable resources");
            }
            None => {}
        }
        huge |= huge_page(e, &at, resource, &request);
    }
    let compute = ["cpu", "memory"].iter().any(|r| limits.contains_key(*r) || requests.contains_key(*r));
    if huge && !compute {
        e.forbidden(path, "HugePages require cpu or memory");
    }
    claims(e, &path.child("claims"), list(&resources.claims), pod_claims);
}

fn claims(e: &mut Errors, path: &Path<'_>, claims: &[ResourceClaim], pod_claims: &BTreeSet<&str>) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (i, claim) in claims.iter().enumerate() {
        let at = path.index(i);
        let claim_name = claim.name.as_str();
        if claim_name.is_empty() {
            e.required(&at, "");
            continue;
        }
        if seen.contains(claim_name) {
            e.duplicate(&at, claim_name);
        } else {
            let request = claim.request.as_deref().unwrap_or("");
            let mut key = claim_name.to_string();
            if !request.is_empty() {
                dns_label(e, &at.child("request"), request);
                key = format!("{claim_name}/{request}");
            }
            if seen.contains(&key) {
                e.duplicate(&at, &key);
            } else if request.is_empty() {
                for _ in seen.iter().filter(|k| k.split_once('/').is_some_and(|(n, _)| n == claim_name)) {
                    e.duplicate(&at, claim_name);
                }
            }
            seen.insert(key);
        }
        if !pod_claims.contains(claim_name) {
            let mut detail = "must be one of the names in pod.spec.resourceClaims".to_string();
            if pod_claims.is_empty() {
                detail.push_str(" which is empty");
            } else {
                let names: Vec<&str> = pod_claims.iter().copied().collect();
                detail.push_str(&format!(": {}", names.join(", ")));
            }
            e.not_found(&at, claim_name, &detail);
        }
    }
}

/// `validatePodResources`: resources of the pod as a whole.
pub(super) fn pod_level(e: &mut Errors, path: &Path<'_>, spec: &PodSpec, pod_claims: &BTreeSet<&str>) {
    let Some(resources) = &spec.resources else { return };
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        e.forbidden(path, "may not be set for a windows pod");
        return;
    }
    if resources.claims.is_some() {
        e.forbidden(&path.child("claims"), "claims may not be set for Resources at pod-level");
    }
    requirements(e, path, resources, Of::Pod, pod_claims);
    consistency(e, path, spec, resources);
}

fn consistency(e: &mut Errors, path: &Path<'_>, spec: &PodSpec, resources: &ResourceRequirements) {
    let none = BTreeMap::new();
    let requests = resources.requests.as_ref().unwrap_or(&none);
    let limits = resources.limits.as_ref().unwrap_or(&none);
    let requests_path = path.child("requests");
    for (resource, asked) in aggregate(spec, |r| r.requests.as_ref()) {
        if let Some(own) = requests.get(resource).map(Quantity::from_wire)
            && asked > own
        {
            let detail = format!("must be greater than or equal to aggregate container requests of {asked}");
            e.invalid(&requests_path.key(resource), &own.to_string(), &detail);
        }
    }
    let limits_path = path.child("limits");
    for (resource, asked) in aggregate(spec, |r| r.limits.as_ref()) {
        if is_huge_page(resource)
            && let Some(own) = limits.get(resource).map(Quantity::from_wire)
            && asked > own
        {
            let detail = format!("must be greater than or equal to aggregate container limits of {asked}");
            e.invalid(&limits_path.key(resource), &own.to_string(), &detail);
        }
    }
    let containers = path.child("containers");
    for (i, container) in spec.containers.iter().enumerate() {
        let own_limits = container.resources.as_ref().and_then(|r| r.limits.as_ref()).unwrap_or(&none);
        for (resource, limit) in own_limits {
            let limit = Quantity::from_wire(limit);
            if let Some(pod_limit) = limits.get(resource).map(Quantity::from_wire)
                && limit > pod_limit
            {
                let detail = format!("must be less than or equal to pod limits of {pod_limit}");
                let at = containers.index(i);
                let at = at.key(resource);
                e.invalid(&at.child("limits"), &limit.to_string(), &detail);
            }
        }
    }
}

/// What the containers ask for together: the sum of mains and sidecars, or what the init containers need at their peak.
fn aggregate<'a>(
    spec: &'a PodSpec,
    of: impl Fn(&'a ResourceRequirements) -> Option<&'a BTreeMap<String, Wire>>,
) -> BTreeMap<&'a str, Quantity> {
    let amounts = |resources: &'a Option<ResourceRequirements>| -> Vec<(&'a str, Quantity)> {
        let map = resources.as_ref().and_then(&of);
        map.into_iter().flatten().map(|(k, v)| (k.as_str(), Quantity::from_wire(v))).collect()
    };
    let add = |to: &mut BTreeMap<&'a str, Quantity>, what: &[(&'a str, Quantity)]| {
        for (name, amount) in what {
            to.entry(name).and_modify(|sum| sum.add(amount)).or_insert_with(|| amount.clone());
        }
    };
    let mut total = BTreeMap::new();
    for container in &spec.containers {
        add(&mut total, &amounts(&container.resources));
    }
    let (mut sidecars, mut peak) = (BTreeMap::new(), BTreeMap::<&str, Quantity>::new());
    for container in list(&spec.init_containers) {
        let own = amounts(&container.resources);
        let mut now = sidecars.clone();
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut total, &own);
            add(&mut sidecars, &own);
            now = sidecars.clone();
        } else {
            add(&mut now, &own);
        }
        raise(&mut peak, now);
    }
    raise(&mut total, peak);
    total
}

fn raise<'a>(to: &mut BTreeMap<&'a str, Quantity>, at_least: BTreeMap<&'a str, Quantity>) {
    for (name, amount) in at_least {
        let entry = to.entry(name).or_insert_with(|| amount.clone());
        if amount > *entry {
            *entry = amount;
        }
    }
}
