//! The cgroups of a node as a tree of files: the pods' root, QoS classes, pods, containers
//! (pkg/kubelet/cm/node_container_manager_linux.go, qos_container_manager_linux.go, pod_container_manager_linux.go).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use sim_core::api::pod_status::QosClass;
use sim_core::helpers::resources::{PodResourcesOptions, ResourceList, pod_requests};
use smol_str::SmolStr;

use super::allocatable::cgroup_config;
use super::container::{ContainerOptions, container_resources};
use super::cpu::{MIN_SHARES, RuntimeWeights, shares};
use super::knobs::Knobs;
use super::name::{CgroupName, Driver, InvalidComponent};
use super::pod::{HUGE_PAGE_SIZES, PodOptions, ResourceConfig, qos_class, resource_config_for_pod};

/// What huge pages of the classes are limited to: nothing at all, practically.
const UNBOUNDED: i64 = 1 << 62;

/// A node's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeConfig {
    /// `cgroupDriver`.
    pub driver: Driver,
    /// How the container runtime makes weights.
    pub weights: RuntimeWeights,
    /// What the runtime puts before the IDs of containers under systemd.
    pub scope_prefix: SmolStr,
    /// What pods may use in all ([`super::allocatable::enforced`], or the capacity if that is not enforced). Process numbers
    /// under `pid`.
    pub kubepods: ResourceList,
    /// `podPidsLimit`; 0 or less: unlimited.
    pub pod_pids_limit: i64,
    /// The rest.
    pub options: ContainerOptions,
}

/// v1.34's defaults with containerd, on a machine without anything.
impl Default for TreeConfig {
    fn default() -> TreeConfig {
        TreeConfig {
            driver: Driver::Systemd,
            weights: RuntimeWeights::Quadratic,
            scope_prefix: SmolStr::new_static("cri-containerd"),
            kubepods: ResourceList::default(),
            pod_pids_limit: -1,
            options: ContainerOptions::default(),
        }
    }
}

/// A pod on the node.
#[derive(Clone, Debug)]
pub struct PodEntry<'a> {
    /// UID.
    pub uid: &'a str,
    /// Spec, as allocated.
    pub spec: &'a PodSpec,
    /// [`super::oom_score::is_critical`].
    pub critical: bool,
    /// Names of the containers with CPUs of their own (static CPU manager).
    pub exclusive_cpus: &'a [SmolStr],
    /// Containers that run: name and ID.
    pub containers: &'a [(SmolStr, SmolStr)],
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing at this path.
    #[error("no cgroup {0}")]
    NoCgroup(String),
    /// The cgroup has no such file.
    #[error("no file {1} in cgroup {0}")]
    NoFile(String, String),
}

/// The tree. Paths are relative to `/sys/fs/cgroup`.
#[derive(Clone, Debug, PartialEq)]
pub struct CgroupTree {
    config: TreeConfig,
    groups: BTreeMap<String, Knobs>,
}

impl CgroupTree {
    /// The tree of a node with so many pods; the classes fit them.
    ///
    /// # Errors
    /// If a UID cannot be a part of a cgroup's name.
    pub fn new(config: TreeConfig, pods: &[PodEntry<'_>]) -> Result<CgroupTree, InvalidComponent> {
        let mut tree = CgroupTree { config, groups: BTreeMap::new() };
        let mut root = Knobs::default();
        root.configure(&cgroup_config(&tree.config.kubepods, false));
        for class in [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort] {
            tree.groups.insert(tree.class_path(class), root.clone());
            root = Knobs::default();
        }
        tree.refresh_classes(pods);
        for pod in pods {
            tree.add_pod(pod)?;
        }
        Ok(tree)
    }

    fn class_name(class: QosClass) -> CgroupName {
        let parts: &[&str] = match class {
            QosClass::Guaranteed => &["kubepods"],
            QosClass::Burstable => &["kubepods", "burstable"],
            QosClass::BestEffort => &["kubepods", "besteffort"],
        };
        CgroupName::new(parts.iter().copied()).unwrap_or_default()
    }

    /// Path of a class. Guaranteed pods are right below the root of all pods.
    pub fn class_path(&self, class: QosClass) -> String {
        Self::class_name(class).path(self.config.driver)
    }

    /// Path of a pod.
    ///
    /// # Errors
    /// If its UID cannot be a part of a cgroup's name.
    pub fn pod_path(&self, uid: &str, spec: &PodSpec) -> Result<String, InvalidComponent> {
        let class = qos_class(spec, self.config.options.pod.pod_level_resources);
        let name = Self::class_name(class).join([format!("pod{uid}").as_str()])?;
        Ok(name.path(self.config.driver))
    }

    /// Path of a container below its pod.
    pub fn container_path(&self, pod: &str, id: &str) -> String {
        match self.config.driver {
            Driver::Systemd => format!("{pod}/{}-{id}.scope", self.config.scope_prefix),
            Driver::Cgroupfs => format!("{pod}/{id}"),
        }
    }

    /// Fits the classes to the pods that are active (`UpdateCgroups`): the kubelet does so once a minute and whenever a
    /// pod is synced.
    pub fn refresh_classes(&mut self, active: &[PodEntry<'_>]) {
        let gate = self.config.options.pod.pod_level_resources;
        let sums = PodResourcesOptions { skip_pod_level_resources: !gate, ..PodResourcesOptions::default() };
        let (mut cpu, mut guaranteed_memory, mut burstable_memory) = (0_i64, 0_i64, 0_i64);
        for pod in active {
            let class = qos_class(pod.spec, gate);
            let requests = pod_requests(pod.spec, &sums);
            let memory = requests.value("memory");
            match class {
                QosClass::Guaranteed => guaranteed_memory = guaranteed_memory.saturating_add(memory),
                QosClass::Burstable => {
                    cpu = cpu.saturating_add(requests.milli_value("cpu"));
                    burstable_memory = burstable_memory.saturating_add(memory);
                }
                QosClass::BestEffort => {}
            }
        }
        let all_memory = guaranteed_memory.saturating_add(burstable_memory);
        for (class, weight, memory) in [
            (QosClass::Guaranteed, None, all_memory),
            (QosClass::Burstable, Some(shares(cpu)), burstable_memory),
            (QosClass::BestEffort, Some(MIN_SHARES), 0),
        ] {
            // The root of all pods is updated as if it were a class: its huge pages lose their limit here, upstream too.
            let mut config = ResourceConfig {
                cpu_shares: weight,
                huge_page_limit: HUGE_PAGE_SIZES.map(|size| (size, UNBOUNDED)).into(),
                ..ResourceConfig::default()
            };
            if self.config.options.pod.memory_qos && memory > 0 {
                config.unified.insert("memory.min", memory.to_string());
            }
            self.groups.entry(self.class_path(class)).or_default().configure(&config);
        }
    }

    /// Creates the cgroup of a pod and of its containers. What a pod had before is replaced.
    ///
    /// # Errors
    /// If its UID cannot be a part of a cgroup's name.
    pub fn add_pod(&mut self, pod: &PodEntry<'_>) -> Result<(), InvalidComponent> {
        let path = self.pod_path(pod.uid, pod.spec)?;
        self.remove(&path);
        let options = self.config.options.pod;
        let enforce = options.enforce_cpu_limits && pod.exclusive_cpus.is_empty();
        let options = PodOptions { enforce_cpu_limits: enforce, ..options };
        let mut config = resource_config_for_pod(pod.spec, &options);
        config.pids = Some(self.config.pod_pids_limit);
        let mut knobs = Knobs::default();
        knobs.configure(&config);
        for (name, id) in pod.containers {
            let all = pod.spec.containers.iter().chain(pod.spec.init_containers.iter().flatten());
            let mut of_container = Knobs::default();
            if let Some(container) = all.into_iter().find(|c| *name == c.name) {
                let exclusive = pod.exclusive_cpus.contains(name);
                let options = &self.config.options;
                let resources = container_resources(pod.spec, container, pod.critical, exclusive, options);
                of_container.contain(&resources, self.config.weights);
            }
            self.groups.insert(self.container_path(&path, id), of_container);
        }
        self.groups.insert(path, knobs);
        Ok(())
    }

    /// Removes a cgroup and all below.
    pub fn remove(&mut self, path: &str) {
        let below = format!("{path}/");
        self.groups.retain(|known, _| known != path && !known.starts_with(&below));
    }

    /// What a file shows.
    ///
    /// ```
    /// use sim_kubelet::cgroup::tree::{CgroupTree, PodEntry, TreeConfig};
    /// let spec = serde_json::from_value(serde_json::json!({"containers": [
    ///     {"name": "web", "resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "500m"}}}]}))?;
    /// let containers = [("web".into(), "0123".into())];
    /// let pod = PodEntry { uid: "a-b", spec: &spec, critical: false, exclusive_cpus: &[], containers: &containers };
    /// let tree = CgroupTree::new(TreeConfig::default(), &[pod])?;
    /// let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda_b.slice";
    /// assert_eq!(tree.read(pod, "cpu.max")?, "50000 100000");
    /// assert_eq!(tree.read(&format!("{pod}/cri-containerd-0123.scope"), "cpu.weight")?, "35");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such cgroup or file.
    pub fn read(&self, path: &str, file: &str) -> Result<String, ReadError> {
        let group = self.get(path).ok_or_else(|| ReadError::NoCgroup(path.into()))?;
        group.read(file).ok_or_else(|| ReadError::NoFile(path.into(), file.into()))
    }

    /// The settings of a cgroup. A slash at the end does not count.
    pub fn get(&self, path: &str) -> Option<&Knobs> {
        self.groups.get(path.trim_end_matches('/'))
    }

    /// The settings of a cgroup, to be written to.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Knobs> {
        self.groups.get_mut(path.trim_end_matches('/'))
    }

    /// All cgroups, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Knobs)> {
        self.groups.iter().map(|(path, knobs)| (path.as_str(), knobs))
    }

    /// Everything that differs from a fresh cgroup, a line per file: for people.
    pub fn dump(&self) -> String {
        let fresh = Knobs::default();
        let mut text = String::new();
        for (path, knobs) in &self.groups {
            text.push_str(path);
            text.push('\n');
            for file in knobs.files() {
                let shown = knobs.read(&file).unwrap_or_default();
                if fresh.read(&file).as_ref() != Some(&shown) {
                    text.push_str(&format!("  {file}: {shown}\n"));
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests;
