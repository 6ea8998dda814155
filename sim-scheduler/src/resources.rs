//! Amounts of resources as the scheduler counts them: `int64` each (`framework.Resource`), and what a pod asks for
//! (`component-helpers/resource/helpers.go`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use sim_core::quantity::{Format, Quantity};
use smallvec::SmallVec;
use smol_str::SmolStr;

/// Name of a resource, e.g. `nvidia.com/gpu`.
pub type ResourceName = SmolStr;

/// CPU that a container without a request counts for in scores, in thousandths of a core.
pub const DEFAULT_MILLI_CPU: i64 = 100;
/// Memory that a container without a request counts for in scores, in bytes.
pub const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts of resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    /// Thousandths of a core.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes.
    pub ephemeral_storage: i64,
    /// Pods (allocatable only).
    pub pods: i64,
    /// Extended resources, huge pages and the like, sorted by name.
    pub scalars: SmallVec<[(ResourceName, i64); 1]>,
}

impl Resources {
    /// Amount of a scalar resource; 0 if there is none.
    pub fn scalar(&self, name: &str) -> i64 {
        self.scalars.iter().find(|(n, _)| n == name).map_or(0, |(_, amount)| *amount)
    }

    /// Adds to a scalar resource.
    pub fn add_scalar(&mut self, name: &ResourceName, amount: i64) {
        match self.scalars.binary_search_by(|(n, _)| n.cmp(name)) {
            Ok(at) => self.scalars[at].1 = self.scalars[at].1.wrapping_add(amount),
            Err(at) => self.scalars.insert(at, (name.clone(), amount)),
        }
    }

    /// Adds `sign` times all amounts but the number of pods.
    pub fn add(&mut self, other: &Resources, sign: i64) {
        // Go's integers wrap; a hostile sum of requests must do the same here.
        self.milli_cpu = self.milli_cpu.wrapping_add(sign.wrapping_mul(other.milli_cpu));
        self.memory = self.memory.wrapping_add(sign.wrapping_mul(other.memory));
        self.ephemeral_storage =
            self.ephemeral_storage.wrapping_add(sign.wrapping_mul(other.ephemeral_storage));
        for (name, amount) in &other.scalars {
            self.add_scalar(name, sign.wrapping_mul(*amount));
        }
    }

    /// The amounts of a resource list (`NewResource`); names the scheduler does not count are left out.
    pub fn from_wire(list: Option<&BTreeMap<String, WireQuantity>>) -> Resources {
        let mut resources = Resources::default();
        for (name, quantity) in list.into_iter().flatten() {
            resources.put(name, &Quantity::from_wire(quantity));
        }
        resources
    }

    fn from_list(list: &ResourceList) -> Resources {
        let mut resources = Resources::default();
        for (name, quantity) in list {
            resources.put(name, quantity);
        }
        resources
    }

    fn put(&mut self, name: &str, quantity: &Quantity) {
        match name {
            "cpu" => self.milli_cpu = quantity.milli_value(),
            "memory" => self.memory = quantity.value(),
            "ephemeral-storage" => self.ephemeral_storage = quantity.value(),
            "pods" => self.pods = quantity.value(),
            _ if is_scalar(name) => self.add_scalar(&SmolStr::new(name), quantity.value()),
            _ => {}
        }
    }
}

/// True for resources outside the core namespace (`IsExtendedResourceName`).
pub fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    !native && !name.starts_with("requests.") && is_qualified_name(name)
}

/// True for extended resources, huge pages, prefixed native ones and attachable volumes.
pub fn is_scalar(name: &str) -> bool {
    is_extended(name)
        || name.starts_with("hugepages-")
        || name.contains("kubernetes.io/")
        || name.starts_with("attachable-volumes-")
}

/// `requests.<name>` as a qualified name: prefix up to 253 characters (a DNS subdomain), name up to 63.
fn is_qualified_name(name: &str) -> bool {
    let Some((prefix, rest)) = name.split_once('/') else { return false };
    let subdomain = prefix.len() + "requests.".len() <= 253
        && prefix.split('.').all(|part| {
            let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            let bytes = part.as_bytes();
            bytes.iter().all(|&b| alnum(b) || b == b'-')
                && bytes.first().is_some_and(|&b| alnum(b))
                && bytes.last().is_some_and(|&b| alnum(b))
        });
    let bytes = rest.as_bytes();
    subdomain
        && bytes.len() <= 63
        && bytes.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

type ResourceList = BTreeMap<SmolStr, Quantity>;

/// Which defaults a container without a request counts for.
#[derive(Clone, Copy, Default)]
struct NonMissing {
    cpu: bool,
    memory: bool,
}

/// What a pod asks for, in the three ways that the scheduler counts it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PodRequests {
    /// As the spec says, overhead included.
    pub exact: Resources,
    /// CPU and memory that it adds to its node's `NonZeroRequested`.
    pub non_zero: (i64, i64),
    /// As `exact`, with defaults for containers without a request: what scores of new pods are computed from.
    pub scored: Resources,
}

/// Computes a pod's requests.
// Container statuses (in-place resize) do not enter: the compact status rows carry no resources yet.
pub fn pod_requests(spec: &PodSpec) -> PodRequests {
    let exact = request_list(spec, NonMissing::default());
    let scored = request_list(spec, NonMissing { cpu: true, memory: true });
    let non_zero = if pod_level(spec).is_some() {
        let missing =
            NonMissing { cpu: !exact.contains_key("cpu"), memory: !exact.contains_key("memory") };
        request_list(spec, missing)
    } else {
        scored.clone()
    };
    PodRequests {
        exact: Resources::from_list(&exact),
        non_zero: (
            non_zero.get("cpu").map_or(0, Quantity::milli_value),
            non_zero.get("memory").map_or(0, Quantity::value),
        ),
        scored: Resources::from_list(&scored),
    }
}

/// Pod-level requests, if there is one of a resource that supports them.
fn pod_level(spec: &PodSpec) -> Option<impl Iterator<Item = (&String, &WireQuantity)>> {
    let requests = spec.resources.as_ref()?.requests.as_ref()?;
    let supported = |name: &str| name == "cpu" || name == "memory" || name.starts_with("hugepages-");
    requests
        .keys()
        .any(|name| supported(name))
        .then(|| requests.iter().filter(move |(name, _)| supported(name)))
}

fn request_list(spec: &PodSpec, non_missing: NonMissing) -> ResourceList {
    let mut sum = ResourceList::new();
    for container in &spec.containers {
        add_list(&mut sum, &container_list(container, non_missing));
    }
    let mut sidecars = ResourceList::new();
    let mut init = ResourceList::new();
    for container in spec.init_containers.iter().flatten() {
        let mut list = container_list(container, non_missing);
        if is_sidecar(container) {
            add_list(&mut sum, &list);
            add_list(&mut sidecars, &list);
            max_list(&mut init, &sidecars);
        } else {
            add_list(&mut list, &sidecars);
            max_list(&mut init, &list);
        }
    }
    max_list(&mut sum, &init);
    for (name, quantity) in pod_level(spec).into_iter().flatten() {
        sum.insert(SmolStr::new(name), Quantity::from_wire(quantity));
    }
    for (name, quantity) in spec.overhead.iter().flatten() {
        sum.entry(SmolStr::new(name)).or_default().add(&Quantity::from_wire(quantity));
    }
    sum
}

/// True for an init container that runs on beside the others.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn container_list(container: &Container, non_missing: NonMissing) -> ResourceList {
    let mut list: ResourceList = container
        .resources
        .iter()
        .flat_map(|r| r.requests.iter().flatten())
        .map(|(name, quantity)| (SmolStr::new(name), Quantity::from_wire(quantity)))
        .collect();
    if non_missing.cpu {
        list.entry(SmolStr::new_static("cpu"))
            .or_insert_with(|| Quantity::new_milli(DEFAULT_MILLI_CPU, Format::DecimalSI));
    }
    if non_missing.memory {
        list.entry(SmolStr::new_static("memory"))
            .or_insert_with(|| Quantity::new(DEFAULT_MEMORY, Format::DecimalSI));
    }
    list
}

fn add_list(sum: &mut ResourceList, list: &ResourceList) {
    for (name, quantity) in list {
        sum.entry(name.clone()).or_default().add(quantity);
    }
}

fn max_list(max: &mut ResourceList, list: &ResourceList) {
    for (name, quantity) in list {
        match max.get_mut(name) {
            Some(old) if *old >= *quantity => {}
            _ => {
                max.insert(name.clone(), quantity.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(spec: serde_json::Value) -> PodRequests {
        pod_requests(&serde_json::from_value(spec).expect("a pod spec"))
    }

    #[test]
    fn requests_of_pods() {
        let ask = |cpu: &str, memory: &str| serde_json::json!({"requests": {"cpu": cpu, "memory": memory}});
        let plain = requests(serde_json::json!({"containers": [
            {"name": "a", "resources": ask("100m", "1Gi")}, {"name": "b"}]}));
        assert_eq!((plain.exact.milli_cpu, plain.exact.memory), (100, 1 << 30));
        assert_eq!(plain.non_zero, (200, (1 << 30) + DEFAULT_MEMORY));

        let init = requests(serde_json::json!({"overhead": {"cpu": "10m"}, "containers": [
            {"name": "a", "resources": ask("100m", "1")}], "initContainers": [
            {"name": "s", "restartPolicy": "Always", "resources": ask("50m", "1")},
            {"name": "i", "resources": ask("2", "1")}]}));
        assert_eq!((init.exact.milli_cpu, init.exact.memory), (2060, 2));

        let level = requests(serde_json::json!({"resources": {"requests": {"cpu": "3"}}, "containers": [
            {"name": "a", "resources": {"requests": {"cpu": "1"}}}]}));
        assert_eq!((level.exact.milli_cpu, level.exact.memory), (3000, 0));
        assert_eq!(level.non_zero, (3000, DEFAULT_MEMORY));
    }

    #[test]
    fn sums_are_rounded_once() {
        let half = serde_json::json!({"requests": {"cpu": "500u"}});
        let sum = requests(serde_json::json!({"containers": [
            {"name": "a", "resources": half}, {"name": "b", "resources": half}]}));
        assert_eq!(sum.exact.milli_cpu, 1);
    }

    #[test]
    fn names_of_scalars() {
        for (name, extended, scalar) in [
            ("nvidia.com/gpu", true, true),
            ("hugepages-2Mi", false, true),
            ("attachable-volumes-x", false, true),
            ("kubernetes.io/batch", false, true),
            ("cpu", false, false),
            ("storage", false, false),
            ("requests.nvidia.com/gpu", false, false),
            ("UPPER/gpu", false, false),
        ] {
            assert_eq!((is_extended(name), is_scalar(name)), (extended, scalar), "{name}");
        }
    }
}
