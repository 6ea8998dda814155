//! Lists of resources, and what a pod asks for in all (`k8s.io/component-helpers/resource`, v1.34).

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, PodSpec, PodStatus, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::quantity::Quantity;

/// A list of resources as the wire has it.
pub type WireResources = BTreeMap<String, WireQuantity>;

/// Quantities by resource name, ordered by name. Lists are equal if names and numbers are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ResourceList {
    items: SmallVec<[(SmolStr, Quantity); 2]>,
}

impl ResourceList {
    /// Reads the wire form; `None` is empty.
    pub fn from_wire(wire: Option<&WireResources>) -> ResourceList {
        let items = wire.into_iter().flatten().map(|(name, q)| (SmolStr::new(name), Quantity::from_wire(q)));
        ResourceList { items: items.collect() }
    }

    /// The wire form.
    pub fn to_wire(&self) -> WireResources {
        self.items.iter().map(|(name, q)| (name.to_string(), q.to_wire())).collect()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.items.binary_search_by(|(key, _)| key.as_str().cmp(name))
    }

    /// The quantity of a resource, if it is listed.
    pub fn get(&self, name: &str) -> Option<&Quantity> {
        self.find(name).ok().and_then(|i| self.items.get(i)).map(|(_, q)| q)
    }

    /// Whole units of a resource, rounded up; 0 if it is not listed.
    pub fn value(&self, name: &str) -> i64 {
        self.get(name).map_or(0, Quantity::value)
    }

    /// Thousandths of a resource, rounded up; 0 if it is not listed.
    pub fn milli_value(&self, name: &str) -> i64 {
        self.get(name).map_or(0, Quantity::milli_value)
    }

    /// Sets a resource.
    pub fn set(&mut self, name: &str, quantity: Quantity) {
        match self.find(name) {
            Ok(i) => self.items[i].1 = quantity,
            Err(i) => self.items.insert(i, (SmolStr::new(name), quantity)),
        }
    }

    /// Adds to a resource.
    pub fn add(&mut self, name: &str, quantity: &Quantity) {
        match self.find(name) {
            Ok(i) => self.items[i].1.add(quantity),
            Err(i) => self.items.insert(i, (SmolStr::new(name), quantity.clone())),
        }
    }

    /// Adds every resource of another list.
    pub fn add_list(&mut self, other: &ResourceList) {
        other.iter().for_each(|(name, quantity)| self.add(name, quantity));
    }

    /// Takes the larger quantity of each resource of both lists.
    pub fn max_list(&mut self, other: &ResourceList) {
        for (name, quantity) in other.iter() {
            if self.get(name).is_none_or(|ours| quantity > ours) {
                self.set(name, quantity.clone());
            }
        }
    }

    /// All resources, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Quantity)> {
        self.items.iter().map(|(name, quantity)| (name.as_str(), quantity))
    }

    /// Number of resources.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True if no resource is listed.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl<'a> FromIterator<(&'a str, Quantity)> for ResourceList {
    fn from_iter<I: IntoIterator<Item = (&'a str, Quantity)>>(items: I) -> ResourceList {
        let mut list = ResourceList::default();
        items.into_iter().for_each(|(name, quantity)| list.set(name, quantity));
        list
    }
}

impl fmt::Debug for ResourceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// `PodResourcesOptions`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PodResourcesOptions<'a> {
    /// Look at the resources in this status too (`UseStatusResources`): what is allocated and what is set, unless a
    /// resize is infeasible in place of what is asked for.
    pub status: Option<&'a PodStatus>,
    /// Leave out the overhead.
    pub exclude_overhead: bool,
    /// Requests of containers that do not name them (the scheduler's non-zero defaults).
    pub non_missing_container_requests: Option<&'a ResourceList>,
    /// Ignore the pod's own resources.
    pub skip_pod_level_resources: bool,
    /// Ignore the containers. Requests only, as upstream.
    pub skip_container_level_resources: bool,
}

/// True for a sidecar: an init container that is restarted always.
pub fn is_restartable(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// True for the resources that a pod can set for itself: cpu, memory and huge pages.
pub fn is_pod_level_resource(name: &str) -> bool {
    name == "cpu" || name == "memory" || name.starts_with("hugepages-")
}

/// What a pod requests in all, per resource: the most it needs at any moment of starting and running, and its overhead.
///
/// ```
/// # use sim_core::helpers::resources::{PodResourcesOptions, pod_requests};
/// let spec = serde_json::from_value(serde_json::json!({
///     "initContainers": [{"name": "setup", "resources": {"requests": {"cpu": "2"}}}],
///     "containers": [
///         {"name": "a", "resources": {"requests": {"cpu": "500m"}}},
///         {"name": "b", "resources": {"requests": {"cpu": "700m"}}},
///     ],
/// }))?;
/// assert_eq!(pod_requests(&spec, &PodResourcesOptions::default()).milli_value("cpu"), 2000);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn pod_requests(spec: &PodSpec, options: &PodResourcesOptions<'_>) -> ResourceList {
    let mut requests = match options.skip_container_level_resources {
        true => ResourceList::default(),
        false => container_requests(spec, options),
    };
    if !options.skip_pod_level_resources {
        let own = spec.resources.as_ref().and_then(|r| r.requests.as_ref());
        set_pod_level(&mut requests, own);
    }
    if !options.exclude_overhead {
        requests.add_list(&ResourceList::from_wire(spec.overhead.as_ref()));
    }
    requests
}

/// What a pod is limited to in all. Overhead is added to resources that have a limit only.
pub fn pod_limits(spec: &PodSpec, options: &PodResourcesOptions<'_>) -> ResourceList {
    let mut limits = container_limits(spec, options);
    if !options.skip_pod_level_resources {
        let own = spec.resources.as_ref().and_then(|r| r.limits.as_ref());
        set_pod_level(&mut limits, own);
    }
    if !options.exclude_overhead {
        for (name, quantity) in ResourceList::from_wire(spec.overhead.as_ref()).iter() {
            if limits.get(name).is_some_and(|limit| !limit.is_zero()) {
                limits.add(name, quantity);
            }
        }
    }
    limits
}

fn set_pod_level(list: &mut ResourceList, own: Option<&WireResources>) {
    for (name, quantity) in own.into_iter().flatten().filter(|(name, _)| is_pod_level_resource(name)) {
        list.set(name, Quantity::from_wire(quantity));
    }
}

/// What the containers request in all (`AggregateContainerRequests`).
pub fn container_requests(spec: &PodSpec, options: &PodResourcesOptions<'_>) -> ResourceList {
    aggregate(spec, |container, sidecar_or_main| {
        let mut requests =
            ResourceList::from_wire(container.resources.as_ref().and_then(|r| r.requests.as_ref()));
        let status = options.status.filter(|_| sidecar_or_main);
        if let Some((status, resources)) = status.and_then(|s| status_of(s, container)) {
            if options.status.is_some_and(is_resize_infeasible) {
                requests = ResourceList::default();
            }
            requests.max_list(&ResourceList::from_wire(resources.requests.as_ref()));
            requests.max_list(&ResourceList::from_wire(status.allocated_resources.as_ref()));
        }
        for (name, quantity) in
            options.non_missing_container_requests.into_iter().flat_map(ResourceList::iter)
        {
            if requests.get(name).is_none() {
                requests.set(name, quantity.clone());
            }
        }
        requests
    })
}

/// What the containers are limited to in all (`AggregateContainerLimits`).
pub fn container_limits(spec: &PodSpec, options: &PodResourcesOptions<'_>) -> ResourceList {
    aggregate(spec, |container, sidecar_or_main| {
        let mut limits =
            ResourceList::from_wire(container.resources.as_ref().and_then(|r| r.limits.as_ref()));
        let status = options.status.filter(|_| sidecar_or_main);
        if let Some((_, resources)) = status.and_then(|s| status_of(s, container)) {
            if options.status.is_some_and(is_resize_infeasible) {
                limits = ResourceList::default();
            }
            limits.max_list(&ResourceList::from_wire(resources.limits.as_ref()));
        }
        limits
    })
}

/// The status of a container, if it tells resources.
fn status_of<'a>(
    status: &'a PodStatus,
    container: &Container,
) -> Option<(&'a ContainerStatus, &'a ResourceRequirements)> {
    // Init containers come last in upstream's map, and so win over a main container of the same name.
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let status = all.into_iter().find(|s| s.name == container.name)?;
    status.resources.as_ref().map(|resources| (status, resources))
}

/// True if the pod's pending resize can never be done on its node.
pub fn is_resize_infeasible(status: &PodStatus) -> bool {
    let pending = status.conditions.iter().flatten().find(|c| c.type_ == "PodResizePending");
    pending.is_some_and(|c| c.reason.as_deref() == Some("Infeasible"))
}

/// Containers and sidecars run together; each init container runs beside the sidecars before it. The larger counts.
fn aggregate(spec: &PodSpec, resources: impl Fn(&Container, bool) -> ResourceList) -> ResourceList {
    let mut running = ResourceList::default();
    for container in &spec.containers {
        running.add_list(&resources(container, true));
    }
    let mut sidecars = ResourceList::default();
    let mut starting = ResourceList::default();
    for container in spec.init_containers.iter().flatten() {
        let restartable = is_restartable(container);
        let mut needs = resources(container, restartable);
        if restartable {
            running.add_list(&needs);
            sidecars.add_list(&needs);
            starting.max_list(&sidecars);
        } else {
            needs.add_list(&sidecars);
            starting.max_list(&needs);
        }
    }
    running.max_list(&starting);
    running
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: serde_json::Value) -> PodSpec {
        serde_json::from_value(json).unwrap()
    }

    fn container(cpu: &str, restart: Option<&str>) -> serde_json::Value {
        serde_json::json!({"name": "c", "restartPolicy": restart,
            "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}})
    }

    #[test]
    fn sidecars_add_to_what_comes_after_them() {
        let pod = spec(serde_json::json!({
            "initContainers": [container("3", None), container("1", Some("Always")), container("4", None)],
            "containers": [container("2", None)],
            "overhead": {"cpu": "250m", "memory": "1Mi"},
        }));
        let requests = pod_requests(&pod, &PodResourcesOptions::default());
        assert_eq!((requests.milli_value("cpu"), requests.value("memory")), (5250, 1 << 20));
        let limits = pod_limits(&pod, &PodResourcesOptions::default());
        assert_eq!((limits.milli_value("cpu"), limits.get("memory")), (5250, None));
    }

    #[test]
    fn the_pods_own_resources_replace_sums() {
        let pod = spec(serde_json::json!({
            "containers": [container("2", None)],
            "resources": {"requests": {"cpu": "1", "ephemeral-storage": "1Gi"}},
        }));
        let requests = pod_requests(&pod, &PodResourcesOptions::default());
        assert_eq!(requests, ResourceList::from_iter([("cpu", Quantity::parse("1").unwrap())]));
        let skip = PodResourcesOptions { skip_pod_level_resources: true, ..Default::default() };
        assert_eq!(pod_requests(&pod, &skip).value("cpu"), 2);
    }

    #[test]
    fn defaults_fill_what_is_missing() {
        let pod = spec(serde_json::json!({"containers": [container("2", None)]}));
        let defaults =
            ["cpu", "memory"].map(|name| (name, Quantity::parse("200Mi").unwrap())).into_iter().collect();
        let options =
            PodResourcesOptions { non_missing_container_requests: Some(&defaults), ..Default::default() };
        let requests = pod_requests(&pod, &options);
        assert_eq!((requests.value("cpu"), requests.value("memory")), (2, 200 << 20));
    }
}
