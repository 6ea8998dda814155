//! What the kubelet asks the container runtime to write for a container
//! (pkg/kubelet/kuberuntime/kuberuntime_container_linux.go).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use sim_core::api::pod_status::QosClass;
use sim_core::helpers::resources::ResourceList;

use super::cpu::shares;
use super::oom_score::oom_score_adj;
use super::pod::{
    HUGE_PAGE_SIZES, PodOptions, container_resource, has_own_resources, huge_page_limits, own_limit,
    qos_class,
};

/// `memorySwap.swapBehavior`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SwapBehavior {
    /// No container may swap.
    #[default]
    NoSwap,
    /// Burstable containers may, in proportion to their requests.
    LimitedSwap,
}

impl SwapBehavior {
    /// The behaviour of a text; anything unknown is the default.
    pub fn parse(text: &str) -> SwapBehavior {
        if text == "LimitedSwap" { SwapBehavior::LimitedSwap } else { SwapBehavior::NoSwap }
    }
}

/// What of a node and of its configuration changes the cgroups of containers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContainerOptions {
    /// What also changes pods.
    pub pod: PodOptions,
    /// Memory of the machine, in bytes.
    pub memory_capacity: i64,
    /// Swap of the machine, in bytes.
    pub swap_capacity: i64,
    /// Allocatable memory as the node reports it, in bytes.
    pub allocatable_memory: i64,
    /// `memorySwap.swapBehavior`.
    pub swap: SwapBehavior,
    /// Whether the kernel has the swap controller.
    pub swap_controller: bool,
    /// False for cgroup v1, where files of v2 are not written and nothing may swap.
    pub unified: bool,
    /// `singleProcessOOMKill`: only the victim dies, not its whole container.
    pub single_process_oom_kill: bool,
    /// `memoryThrottlingFactor`.
    pub memory_throttling_factor: f64,
    /// Size of a page in bytes.
    pub page_size: i64,
}

/// v1.34's defaults on a machine without memory: set at least `memory_capacity`.
impl Default for ContainerOptions {
    fn default() -> ContainerOptions {
        ContainerOptions {
            pod: PodOptions::default(),
            memory_capacity: 0,
            swap_capacity: 0,
            allocatable_memory: 0,
            swap: SwapBehavior::NoSwap,
            swap_controller: true,
            unified: true,
            single_process_oom_kill: false,
            memory_throttling_factor: 0.9,
            page_size: 4096,
        }
    }
}

/// `LinuxContainerResources` of the container runtime interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerResources {
    /// Shares, of which the runtime makes a weight.
    pub cpu_shares: u64,
    /// µs per period; 0 or less: unlimited.
    pub cpu_quota: i64,
    /// Length of the period in µs; 0: not set.
    pub cpu_period: i64,
    /// `memory.max`; 0: unlimited.
    pub memory_limit: i64,
    /// Memory and swap together, cgroup v1 only; 0: not set.
    pub memory_swap_limit: i64,
    /// What the OOM killer is told.
    pub oom_score_adj: i64,
    /// Bytes per page size in bytes, for all sizes of the machine.
    pub huge_page_limits: BTreeMap<i64, i64>,
    /// Files that are written as they are.
    pub unified: BTreeMap<&'static str, String>,
}

/// The resources of a container (`generateLinuxContainerResources`). `critical` is
/// [`super::oom_score::is_critical`] of the pod; `exclusive_cpus` says that it has CPUs of its own.
pub fn container_resources(
    spec: &PodSpec,
    container: &Container,
    critical: bool,
    exclusive_cpus: bool,
    options: &ContainerOptions,
) -> ContainerResources {
    let limit = |name: &str| {
        let own = container_resource(container, true, name).filter(|q| !q.is_zero());
        own.or_else(|| own_limit(spec, name).filter(|_| options.pod.pod_level_resources))
    };
    let cpu_limit = limit("cpu").map_or(0, |q| q.milli_value());
    let cpu_request = container_resource(container, false, "cpu").map_or(cpu_limit, |q| q.milli_value());
    let mut resources = ContainerResources {
        cpu_shares: shares(cpu_request),
        memory_limit: limit("memory").map_or(0, |q| q.value()),
        oom_score_adj: oom_score_adj(
            spec,
            container,
            critical,
            options.memory_capacity,
            options.pod.pod_level_resources,
        ),
        huge_page_limits: container_huge_pages(spec, container, options),
        ..ContainerResources::default()
    };
    if options.pod.enforce_cpu_limits {
        let quota = options.pod.quota(cpu_limit);
        resources.cpu_quota = if exclusive_cpus { -1 } else { quota };
        // The period that is asked for counts with the gate only.
        let period = if options.pod.custom_cpu_period { options.pod.cpu_period } else { 100_000 };
        resources.cpu_period = period;
    }
    if options.unified && !options.single_process_oom_kill {
        resources.unified.insert("memory.oom.group", "1".into());
    }
    set_swap(&mut resources, spec, container, critical, options);
    if options.unified && options.pod.memory_qos {
        set_memory_qos(&mut resources, container, options);
    }
    resources
}

fn memory(container: &Container) -> (i64, i64) {
    let value = |limit| container_resource(container, limit, "memory").map_or(0, |q| q.value());
    (value(false), value(true))
}

/// Whether and how a container may swap (`GetContainerSwapBehavior`).
pub fn swap_behavior(
    class: QosClass,
    container: &Container,
    critical: bool,
    options: &ContainerOptions,
) -> SwapBehavior {
    let (request, limit) = memory(container);
    let may = options.swap_controller
        && options.unified
        && !critical
        && class == QosClass::Burstable
        && request != limit;
    if may { options.swap } else { SwapBehavior::NoSwap }
}

fn set_swap(
    resources: &mut ContainerResources,
    spec: &PodSpec,
    container: &Container,
    critical: bool,
    options: &ContainerOptions,
) {
    if !options.swap_controller {
        return;
    }
    if !options.unified {
        resources.memory_swap_limit = resources.memory_limit;
        return;
    }
    let class = qos_class(spec, options.pod.pod_level_resources);
    let swap = match swap_behavior(class, container, critical, options) {
        SwapBehavior::NoSwap => 0,
        SwapBehavior::LimitedSwap => limited_swap(memory(container).0, options),
    };
    resources.unified.insert("memory.swap.max", swap.to_string());
}

/// The part of the node's swap that a request is of the node's memory (`calcSwapForBurstablePods`). None at all to a
/// request that is larger than the node.
fn limited_swap(request: i64, options: &ContainerOptions) -> i64 {
    if options.memory_capacity <= 0 || request > options.memory_capacity {
        return 0;
    }
    (request as f64 / options.memory_capacity as f64 * options.swap_capacity as f64) as i64
}

fn set_memory_qos(resources: &mut ContainerResources, container: &Container, options: &ContainerOptions) {
    let (request, limit) = memory(container);
    if request != 0 {
        resources.unified.insert("memory.min", request.to_string());
    }
    if request == limit {
        return;
    }
    let bound = if limit != 0 { limit } else { options.allocatable_memory };
    if bound <= 0 || options.page_size <= 0 {
        return;
    }
    let throttled = request as f64 + (bound as f64 - request as f64) * options.memory_throttling_factor;
    let high = (throttled.floor() / options.page_size as f64) as i64 * options.page_size;
    if high > request {
        resources.unified.insert("memory.high", high.to_string());
    }
}

/// Limits of all page sizes: the container's own, else the pod's, else 0 (`GetHugepageLimitsFromResources`).
fn container_huge_pages(
    spec: &PodSpec,
    container: &Container,
    options: &ContainerOptions,
) -> BTreeMap<i64, i64> {
    let mut limits = BTreeMap::from(HUGE_PAGE_SIZES.map(|size| (size, 0)));
    let own = spec.resources.as_ref().and_then(|r| r.limits.as_ref());
    let own = own.filter(|_| options.pod.pod_level_resources && has_own_resources(spec));
    let of_container = container.resources.as_ref().and_then(|r| r.limits.as_ref());
    for list in [own, of_container] {
        for (size, bytes) in huge_page_limits(&ResourceList::from_wire(list)) {
            limits.entry(size).and_modify(|limit| *limit = bytes);
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const GIB: i64 = 1 << 30;

    fn options() -> ContainerOptions {
        ContainerOptions {
            memory_capacity: 16 * GIB,
            swap_capacity: 4 * GIB,
            allocatable_memory: 15 * GIB,
            swap: SwapBehavior::LimitedSwap,
            ..ContainerOptions::default()
        }
    }

    fn resources(container: Value, options: &ContainerOptions) -> ContainerResources {
        let spec: PodSpec =
            serde_json::from_value(json!({"containers": [{"name": "c", "resources": container}]})).unwrap();
        container_resources(&spec, &spec.containers[0], false, false, options)
    }

    #[test]
    fn cpu_and_memory() {
        for (container, want) in [
            (json!({}), (2, 0, 0)),
            (json!({"limits": {"cpu": "500m", "memory": "1Gi"}}), (512, 50_000, GIB)),
            (json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}}), (102, 50_000, 0)),
        ] {
            let got = resources(container, &options());
            assert_eq!((got.cpu_shares, got.cpu_quota, got.memory_limit), want);
        }
        let mut off = options();
        off.pod.enforce_cpu_limits = false;
        let got = resources(json!({"limits": {"cpu": "1"}}), &off);
        assert_eq!((got.cpu_quota, got.cpu_period), (0, 0));
    }

    #[test]
    fn the_pods_own_limits_are_for_who_has_none() {
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [{"name": "a"}, {"name": "b", "resources": {"limits": {"cpu": "1"}}}],
            "resources": {"limits": {"cpu": "2", "hugepages-2Mi": "8Mi"}},
        }))
        .unwrap();
        let of = |i: usize| container_resources(&spec, &spec.containers[i], false, false, &options());
        assert_eq!((of(0).cpu_quota, of(1).cpu_quota), (200_000, 100_000));
        assert_eq!(of(0).huge_page_limits, BTreeMap::from([(2 << 20, 8 << 20), (1 << 30, 0)]));
        let exclusive = container_resources(&spec, &spec.containers[0], false, true, &options());
        assert_eq!(exclusive.cpu_quota, -1);
    }

    #[test]
    fn swap_goes_to_burstable_containers_by_request() {
        let swap = |container: Value| resources(container, &options()).unified["memory.swap.max"].clone();
        assert_eq!(swap(json!({"requests": {"memory": "1Gi"}})), (GIB / 4).to_string());
        assert_eq!(swap(json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}})), "0");
        assert_eq!(swap(json!({"requests": {"memory": "32Gi"}})), "0");
        assert_eq!(swap(json!({})), "0");
        let v1 = ContainerOptions { unified: false, ..options() };
        let got = resources(json!({"limits": {"memory": "1Gi"}}), &v1);
        assert_eq!((got.memory_swap_limit, got.unified.is_empty()), (GIB, true));
    }

    #[test]
    fn memory_qos_throttles_before_the_limit() {
        let mut on = options();
        on.pod.memory_qos = true;
        for (container, min, high) in [
            (json!({}), None, None),
            (json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}), Some(GIB), None),
            (json!({"requests": {"memory": "1000"}, "limits": {"memory": "10000"}}), Some(1000), Some(8192)),
            (json!({"requests": {"memory": "1Gi"}}), Some(GIB), Some(14_602_887_168)),
            (json!({"requests": {"memory": "1000"}, "limits": {"memory": "1001"}}), Some(1000), None),
        ] {
            let got = resources(container, &on);
            let file = |name: &str| got.unified.get(name).map(|text| text.parse::<i64>().unwrap());
            assert_eq!((file("memory.min"), file("memory.high")), (min, high));
        }
    }

    #[test]
    fn whole_containers_are_killed_by_default() {
        assert_eq!(resources(json!({}), &options()).unified["memory.oom.group"], "1");
        let single = ContainerOptions { single_process_oom_kill: true, ..options() };
        assert_eq!(resources(json!({}), &single).unified.get("memory.oom.group"), None);
    }
}
