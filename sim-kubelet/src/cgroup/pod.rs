//! What the kubelet writes to the cgroup of a pod (`ResourceConfigForPod`, pkg/kubelet/cm/helpers_linux.go).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use sim_core::api::pod_status::QosClass;
use sim_core::helpers::qos::{pod_qos, pod_qos_by_containers};
use sim_core::helpers::resources::{
    PodResourcesOptions, ResourceList, is_pod_level_resource, pod_limits, pod_requests,
};
use sim_core::quantity::Quantity;

use super::cpu::{MIN_SHARES, QUOTA_PERIOD, quota, shares};

/// Page sizes of huge pages that the machines have, in bytes.
pub const HUGE_PAGE_SIZES: [i64; 2] = [2 << 20, 1 << 30];

/// What a cgroup is configured with. `None` is not written at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceConfig {
    /// CPU shares, turned into a weight when written.
    pub cpu_shares: Option<u64>,
    /// µs per period; 0 or less: unlimited.
    pub cpu_quota: Option<i64>,
    /// Length of the period in µs.
    pub cpu_period: Option<i64>,
    /// `memory.max` in bytes; 0: unlimited.
    pub memory: Option<i64>,
    /// `pids.max`.
    pub pids: Option<i64>,
    /// Bytes per page size in bytes. Sizes that are not here are limited to 0.
    pub huge_page_limit: BTreeMap<i64, i64>,
    /// Files that are written as they are.
    pub unified: BTreeMap<&'static str, String>,
}

/// What of a node's configuration changes the cgroups of its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodOptions {
    /// `cpuCFSQuota`, and no exclusive CPUs: CPU limits are enforced.
    pub enforce_cpu_limits: bool,
    /// `cpuCFSQuotaPeriod` in µs, as it is written.
    pub cpu_period: i64,
    /// Feature gate `CPUCFSQuotaPeriod`: the quota follows the period. Without it, the quota is always per 100 ms.
    pub custom_cpu_period: bool,
    /// Feature gate `MemoryQoS`.
    pub memory_qos: bool,
    /// Feature gate `PodLevelResources`.
    pub pod_level_resources: bool,
}

/// v1.34's defaults.
impl Default for PodOptions {
    fn default() -> PodOptions {
        PodOptions {
            enforce_cpu_limits: true,
            cpu_period: QUOTA_PERIOD,
            custom_cpu_period: false,
            memory_qos: false,
            pod_level_resources: true,
        }
    }
}

impl PodOptions {
    /// The quota of so many thousandths of a CPU, in µs per period.
    pub(super) fn quota(&self, milli_cpu: i64) -> i64 {
        quota(milli_cpu, if self.custom_cpu_period { self.cpu_period } else { QUOTA_PERIOD })
    }
}

/// Whether the pod has resources of its own that count, requests or limits.
pub(crate) fn has_own_resources(spec: &PodSpec) -> bool {
    let own = spec.resources.as_ref();
    let lists = own.into_iter().flat_map(|r| [r.requests.as_ref(), r.limits.as_ref()]).flatten();
    lists.flat_map(BTreeMap::keys).any(|name| is_pod_level_resource(name))
}

/// One of the pod's own limits, if set and above zero.
pub(super) fn own_limit(spec: &PodSpec, name: &str) -> Option<Quantity> {
    let limits = spec.resources.as_ref()?.limits.as_ref()?;
    Some(Quantity::from_wire(limits.get(name)?)).filter(|quantity| !quantity.is_zero())
}

/// The class of a pod, with or without looking at its own resources.
pub fn qos_class(spec: &PodSpec, pod_level_resources: bool) -> QosClass {
    if pod_level_resources && has_own_resources(spec) { pod_qos(spec) } else { pod_qos_by_containers(spec) }
}

/// A limit or request of a container; zero if it has none.
pub(crate) fn container_resource(container: &Container, limit: bool, name: &str) -> Option<Quantity> {
    let resources = container.resources.as_ref()?;
    let list = if limit { resources.limits.as_ref() } else { resources.requests.as_ref() };
    list?.get(name).map(Quantity::from_wire)
}

/// Bytes of huge pages per page size in bytes (`HugePageLimits`). Names of one size add up.
pub fn huge_page_limits(list: &ResourceList) -> BTreeMap<i64, i64> {
    let mut limits = BTreeMap::new();
    for (name, amount) in list.iter() {
        let Some(size) = name.strip_prefix("hugepages-") else { continue };
        // As upstream: what is no quantity is the size 0.
        let size = Quantity::parse(size).map_or(0, |size| size.value());
        let sum = limits.entry(size).or_insert(0_i64);
        *sum = sum.saturating_add(amount.value());
    }
    limits
}

/// The configuration of a pod's cgroup. CPU and memory of a Burstable pod are limited only if every container, init
/// containers included, declares that limit, or the pod itself does.
pub fn resource_config_for_pod(spec: &PodSpec, options: &PodOptions) -> ResourceConfig {
    let sums =
        PodResourcesOptions { skip_pod_level_resources: !options.pod_level_resources, ..Default::default() };
    let (requests, limits) = (pod_requests(spec, &sums), pod_limits(spec, &sums));
    let declared = |name: &str| {
        let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let own = options.pod_level_resources && own_limit(spec, name).is_some();
        own || all.into_iter().all(|c| container_resource(c, true, name).is_some_and(|q| !q.is_zero()))
    };
    let mut config =
        ResourceConfig { huge_page_limit: huge_page_limits(&requests), ..ResourceConfig::default() };
    let class = qos_class(spec, options.pod_level_resources);
    if class == QosClass::BestEffort {
        config.cpu_shares = Some(MIN_SHARES);
    } else {
        let guaranteed = class == QosClass::Guaranteed;
        config.cpu_shares = Some(shares(requests.milli_value("cpu")));
        if guaranteed || declared("cpu") {
            let quota = options.quota(limits.milli_value("cpu"));
            config.cpu_quota = Some(if options.enforce_cpu_limits { quota } else { -1 });
            config.cpu_period = Some(options.cpu_period);
        }
        if guaranteed || declared("memory") {
            config.memory = Some(limits.value("memory"));
        }
    }
    let min = requests.value("memory");
    if options.memory_qos && min > 0 {
        config.unified.insert("memory.min", min.to_string());
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn container(requests: &str, limits: &str) -> serde_json::Value {
        let list = |text: &str| -> serde_json::Value {
            let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
            pairs.map(|(k, v)| (k.to_string(), v.into())).collect::<serde_json::Map<_, _>>().into()
        };
        json!({"name": "c", "resources": {"requests": list(requests), "limits": list(limits)}})
    }

    fn check(spec: serde_json::Value, options: &PodOptions, want: (u64, Option<i64>, Option<i64>)) {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let got = resource_config_for_pod(&spec, options);
        assert_eq!((got.cpu_shares.unwrap(), got.cpu_quota, got.memory), want, "{spec:?}");
    }

    #[test]
    fn limits_count_if_everybody_declares_them() {
        let limited = container("cpu=100m memory=1Mi", "cpu=200m memory=2Mi");
        let half = container("cpu=100m memory=1Mi", "memory=2Mi");
        let options = PodOptions::default();
        let both = json!({"containers": [limited, limited]});
        check(both.clone(), &options, (204, Some(40_000), Some(4 << 20)));
        check(json!({"containers": [limited, half]}), &options, (204, None, Some(4 << 20)));
        check(
            json!({"containers": [limited], "initContainers": [half]}),
            &options,
            (102, None, Some(2 << 20)),
        );
        check(json!({"containers": [container("", "")]}), &options, (2, None, None));
        let own = json!({"containers": [half], "resources": {"limits": {"cpu": "1"}}});
        check(own.clone(), &options, (102, Some(100_000), Some(2 << 20)));
        let gate_off = PodOptions { pod_level_resources: false, ..options };
        check(own, &gate_off, (102, None, Some(2 << 20)));
        let unenforced = PodOptions { enforce_cpu_limits: false, ..options };
        check(both, &unenforced, (204, Some(-1), Some(4 << 20)));
    }

    #[test]
    fn the_quota_follows_the_period_with_the_gate_only() {
        let pod = json!({"containers": [container("cpu=1 memory=1Gi", "cpu=1 memory=1Gi")]});
        let forced = PodOptions { cpu_period: 20_000, ..PodOptions::default() };
        check(pod.clone(), &forced, (1024, Some(100_000), Some(1 << 30)));
        let gated = PodOptions { custom_cpu_period: true, ..forced };
        check(pod, &gated, (1024, Some(20_000), Some(1 << 30)));
    }

    #[test]
    fn huge_pages_and_memory_min_follow_requests() {
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [container("memory=1Mi hugepages-2Mi=4Mi", "hugepages-2Mi=4Mi")],
        }))
        .unwrap();
        let config =
            resource_config_for_pod(&spec, &PodOptions { memory_qos: true, ..PodOptions::default() });
        assert_eq!(config.huge_page_limit, BTreeMap::from([(2 << 20, 4 << 20)]));
        assert_eq!(config.unified, BTreeMap::from([("memory.min", "1048576".to_string())]));
    }
}
