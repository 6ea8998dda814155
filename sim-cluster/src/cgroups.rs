//! The cgroups of a node, computed when somebody looks: nothing is kept for them, and nothing ticks.

use sim_core::api::kind::Kind;
use sim_core::api::object::Pod;
use sim_core::api::pod_status::ContainerState;
use sim_core::helpers::resources::ResourceList;
use sim_kubelet::cgroup::container::ContainerOptions;
use sim_kubelet::cgroup::oom_score::is_critical;
use sim_kubelet::cgroup::tree::{CgroupTree, PodEntry, TreeConfig};
use smol_str::SmolStr;

use crate::Cluster;

impl Cluster {
    /// The cgroups of a node as files, as its kubelet and its container runtime would have written them by now: systemd driver,
    /// defaults of v1.34. `None` if there is no such node.
    ///
    /// DIFFERS: a container's ID is its name here, and the limit of all pods is the node's allocatable: what the simulation
    /// knows is one reservation, hard eviction thresholds included.
    ///
    /// ```
    /// use sim_cluster::prelude::*;
    /// let mut sim = Cluster::builder().node(node("n1").cpu("4").memory("8Gi")).build();
    /// sim.create(pod("web").cpu("250m"));
    /// sim.run_for(mins(1));
    /// let cgroups = sim.cgroups("n1").unwrap();
    /// assert_eq!(cgroups.read("/kubepods.slice/kubepods-burstable.slice", "cpu.weight").unwrap(), "10");
    /// ```
    pub fn cgroups(&self, node: &str) -> Option<CgroupTree> {
        let object = self.get(Kind::NODE, node)?;
        let status = &object.as_node()?.status;
        let list = |wire| ResourceList::from_wire(wire);
        let (capacity, kubepods) = (list(status.capacity.as_ref()), list(status.allocatable.as_ref()));
        let options = ContainerOptions {
            memory_capacity: capacity.value("memory"),
            allocatable_memory: kubepods.value("memory"),
            ..ContainerOptions::default()
        };
        let config = TreeConfig { kubepods, options, ..TreeConfig::default() };
        let pods: Vec<_> = self.list(Kind::POD);
        let here = pods.iter().filter_map(|object| {
            let pod = object.as_pod()?;
            let runs = pod.node_name == node && !pod.status.phase.is_terminal() && admitted(pod);
            runs.then(|| (object.meta.uid.to_string(), running(pod), object))
        });
        let here: Vec<_> = here.collect();
        let entries: Vec<PodEntry<'_>> = here
            .iter()
            .filter_map(|(uid, containers, object)| {
                let spec = &object.as_pod()?.spec;
                let critical = is_critical(spec, Some(&object.meta.annotations));
                Some(PodEntry { uid, spec, critical, exclusive_cpus: &[], containers })
            })
            .collect();
        CgroupTree::new(config, &entries).ok()
    }
}

/// Its kubelet has taken it.
fn admitted(pod: &Pod) -> bool {
    pod.status.start_time.is_some()
}

/// Containers that run: name and ID.
fn running(pod: &Pod) -> Vec<(SmolStr, SmolStr)> {
    let all = pod.status.init_container_statuses.iter().chain(&pod.status.container_statuses);
    let runs = all.filter(|c| matches!(c.state, ContainerState::Running { .. }));
    runs.map(|c| (c.name.clone(), c.name.clone())).collect()
}
