//! What the hottest filters and scores read of all nodes, as columns by position in the order of the cache.

use k8s_openapi::api::core::v1::Taint;

use crate::node::NodeInfo;

/// The columns. All have the length of [`Cache::order`](super::Cache::order) and say what the [`NodeInfo`]s say.
#[derive(Clone, Debug, Default)]
pub struct NodeColumns {
    /// `status.allocatable`: CPU in thousandths.
    pub allocatable_cpu: Vec<i64>,
    /// Bytes.
    pub allocatable_memory: Vec<i64>,
    /// Bytes.
    pub allocatable_ephemeral_storage: Vec<i64>,
    /// Pods.
    pub allocatable_pods: Vec<i64>,
    /// Sum of the pods' requests: CPU in thousandths.
    pub requested_cpu: Vec<i64>,
    /// Bytes.
    pub requested_memory: Vec<i64>,
    /// Bytes.
    pub requested_ephemeral_storage: Vec<i64>,
    /// The same with defaults for containers without a request.
    pub non_zero_cpu: Vec<i64>,
    /// Bytes.
    pub non_zero_memory: Vec<i64>,
    /// Number of pods.
    pub pods: Vec<i64>,
    /// Number of images.
    pub images: Vec<u32>,
    /// `spec.unschedulable`.
    pub unschedulable: Vec<bool>,
    /// Index into [`NodeColumns::taint_lists`].
    pub taints: Vec<u32>,
    /// Different lists of taints; the first is empty. Lists that no node has any more stay until the order changes.
    pub taint_lists: Vec<Vec<Taint>>,
}

impl NodeColumns {
    /// Starts over for so many nodes. All rows must be set afterwards.
    pub(super) fn reset(&mut self, nodes: usize) {
        for column in [
            &mut self.allocatable_cpu,
            &mut self.allocatable_memory,
            &mut self.allocatable_ephemeral_storage,
            &mut self.allocatable_pods,
            &mut self.requested_cpu,
            &mut self.requested_memory,
            &mut self.requested_ephemeral_storage,
            &mut self.non_zero_cpu,
            &mut self.non_zero_memory,
            &mut self.pods,
        ] {
            column.clear();
            column.resize(nodes, 0);
        }
        self.images.clear();
        self.images.resize(nodes, 0);
        self.unschedulable.clear();
        self.unschedulable.resize(nodes, false);
        self.taints.clear();
        self.taints.resize(nodes, 0);
        self.taint_lists.clear();
        self.taint_lists.push(Vec::new());
    }

    /// Takes over a node.
    pub(super) fn set(&mut self, at: usize, node: &NodeInfo) {
        let (allocatable, requested) = (&node.allocatable, &node.requested);
        self.allocatable_cpu[at] = allocatable.milli_cpu;
        self.allocatable_memory[at] = allocatable.memory;
        self.allocatable_ephemeral_storage[at] = allocatable.ephemeral_storage;
        self.allocatable_pods[at] = allocatable.pods;
        self.requested_cpu[at] = requested.milli_cpu;
        self.requested_memory[at] = requested.memory;
        self.requested_ephemeral_storage[at] = requested.ephemeral_storage;
        (self.non_zero_cpu[at], self.non_zero_memory[at]) = node.non_zero_requested;
        self.pods[at] = node.pods.len() as i64;
        self.images[at] = node.images.len() as u32;
        self.unschedulable[at] = node.unschedulable;
        let taints = node.taints();
        if self.taint_lists[self.taints[at] as usize] != taints {
            let known = self.taint_lists.iter().position(|list| list == taints);
            self.taints[at] = known.unwrap_or_else(|| {
                self.taint_lists.push(taints.to_vec());
                self.taint_lists.len() - 1
            }) as u32;
        }
    }
}
