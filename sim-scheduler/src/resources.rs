//! Amounts of resources as the scheduler counts them: `int64` each (`framework.Resource`), and what a pod asks for
//! (`component-helpers/resource/helpers.go`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use sim_core::helpers::resources::{PodResourcesOptions, ResourceList, is_pod_level_resource, pod_requests};
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
        let place = self.scalar_mut(name);
        *place = place.wrapping_add(amount);
    }

    /// Amount of a scalar resource, to be changed; it is listed from then on.
    pub(crate) fn scalar_mut(&mut self, name: &ResourceName) -> &mut i64 {
        let at = self.scalars.binary_search_by(|(n, _)| n.cmp(name)).unwrap_or_else(|at| {
            self.scalars.insert(at, (name.clone(), 0));
            at
        });
        &mut self.scalars[at].1
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

    /// The amounts of a list; names the scheduler does not count are left out.
    pub fn from_list(list: &ResourceList) -> Resources {
        let mut resources = Resources::default();
        for (name, quantity) in list.iter() {
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

/// What a pod asks for, in the three ways that the scheduler counts it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PodRequests {
    /// As the spec says, overhead included.
    pub exact: Resources,
    /// CPU and memory that it adds to its node's `NonZeroRequested`.
    pub non_zero: (i64, i64),
    /// What `NodeResourcesFit` scores new pods by: with defaults for containers without a request, and without the
    /// pod's own requests.
    pub scored: Resources,
}

/// Computes a pod's requests; a status with resources of containers (in-place resize) is looked at, too.
pub fn requests_of(spec: &PodSpec, status: Option<&PodStatus>) -> PodRequests {
    let with_defaults = |cpu: bool, memory: bool, skip_pod_level_resources: bool| {
        let mut defaults = ResourceList::default();
        if cpu {
            defaults.set("cpu", Quantity::new_milli(DEFAULT_MILLI_CPU, Format::DecimalSI));
        }
        if memory {
            defaults.set("memory", Quantity::new(DEFAULT_MEMORY, Format::DecimalSI));
        }
        let non_missing_container_requests = Some(&defaults).filter(|d| !d.is_empty());
        let options = PodResourcesOptions {
            non_missing_container_requests,
            skip_pod_level_resources,
            // That scorer does not look at statuses, either.
            status: status.filter(|_| !skip_pod_level_resources),
            ..PodResourcesOptions::default()
        };
        pod_requests(spec, &options)
    };
    let exact = with_defaults(false, false, false);
    // The scorer of NodeResourcesFit never learns that the gate PodLevelResources is on (1.34).
    let scored = with_defaults(true, true, true);
    let own = spec.resources.iter().flat_map(|r| r.requests.iter().flatten());
    let has_own = own.into_iter().any(|(name, _)| is_pod_level_resource(name));
    let counted = match has_own {
        true => with_defaults(exact.get("cpu").is_none(), exact.get("memory").is_none(), false),
        false => with_defaults(true, true, false),
    };
    PodRequests {
        exact: Resources::from_list(&exact),
        non_zero: (counted.milli_value("cpu"), counted.value("memory")),
        scored: Resources::from_list(&scored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(spec: serde_json::Value) -> PodRequests {
        requests_of(&serde_json::from_value(spec).expect("a pod spec"), None)
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
