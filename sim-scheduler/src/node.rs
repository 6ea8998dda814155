//! One node as filters and scores see it (`framework.NodeInfo`).

use std::sync::Arc;

use k8s_openapi::api::core::v1::{NodeSpec, Taint};
use sim_core::api::meta::{Labels, Uid};
use sim_core::api::object::Object;
use sim_core::helpers::ports::HostPorts;
use smol_str::SmolStr;

use crate::cache::Slot;
use crate::pod::PodInfo;
use crate::resources::Resources;

/// An image on a node, as `ImageLocality` counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageState {
    /// One of its names.
    pub name: SmolStr,
    /// Bytes, as the first node that reported the name had it.
    pub size: i64,
    /// Nodes that have it.
    pub nodes: usize,
}

/// A pod on a node.
#[derive(Clone, Debug)]
pub struct NodePod {
    /// Its uid.
    pub uid: Uid,
    /// Its class.
    pub info: Arc<PodInfo>,
}

/// A node with the pods that are bound to it or assumed to be.
#[derive(Clone, Debug, Default)]
pub struct NodeInfo {
    /// Name.
    pub name: SmolStr,
    /// Where it is in the cache; `None` for a node from outside.
    pub slot: Option<Slot>,
    /// Labels.
    pub labels: Arc<Labels>,
    /// `spec`.
    pub spec: Arc<NodeSpec>,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// `status.allocatable`.
    pub allocatable: Resources,
    /// Sum of its pods' requests.
    pub requested: Resources,
    /// CPU (thousandths) and memory of its pods, with defaults for containers without a request.
    pub non_zero_requested: (i64, i64),
    /// Its pods, in the order they came.
    pub pods: Vec<NodePod>,
    /// Host ports that its pods take.
    pub used_ports: HostPorts,
    /// Images on it.
    pub images: Vec<ImageState>,
    /// Rises with every change; unique over all nodes of a cache.
    pub generation: u64,
    /// Rises whenever one of its pods was seen to have started.
    pub start_times: u64,
}

impl NodeInfo {
    /// A node without pods: for tests of plugins.
    pub fn of(object: &Object) -> NodeInfo {
        let mut node = NodeInfo::default();
        node.set_object(object);
        node
    }

    /// Takes over the node object.
    pub(crate) fn set_object(&mut self, object: &Object) {
        self.name = object.meta.key.name.clone();
        self.labels = object.meta.labels.clone();
        let Some(body) = object.as_node() else { return };
        self.unschedulable = body.spec.unschedulable.unwrap_or(false);
        self.spec = body.spec.clone();
        self.allocatable = Resources::from_wire(body.status.allocatable.as_ref());
    }

    /// Counts a pod in. Used by the cache, and to look at a node as if nominated pods were on it.
    pub fn add_pod(&mut self, uid: Uid, info: Arc<PodInfo>) {
        self.count(&info, 1);
        for port in &info.host_ports {
            self.used_ports.insert(port.clone());
        }
        self.pods.push(NodePod { uid, info });
    }

    /// Counts a pod out; false if it is not here.
    pub fn remove_pod(&mut self, uid: Uid) -> bool {
        let Some(at) = self.pods.iter().position(|p| p.uid == uid) else { return false };
        let NodePod { info, .. } = self.pods.swap_remove(at);
        self.count(&info, -1);
        for port in &info.host_ports {
            self.used_ports.remove(port);
        }
        true
    }

    fn count(&mut self, info: &PodInfo, sign: i64) {
        self.requested.add(&info.requests, sign);
        let (cpu, memory) = &mut self.non_zero_requested;
        *cpu = cpu.wrapping_add(sign.wrapping_mul(info.non_zero.0));
        *memory = memory.wrapping_add(sign.wrapping_mul(info.non_zero.1));
    }

    /// `spec.taints`.
    pub fn taints(&self) -> &[Taint] {
        self.spec.taints.as_deref().unwrap_or(&[])
    }

    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }
}
