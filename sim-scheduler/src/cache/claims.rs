//! Which claims are used by pods on which nodes (`NodeInfo.PVCRefCounts`).

use rustc_hash::FxHashMap;
use sim_core::api::meta::Key;

use super::Slot;
use crate::pod::PodInfo;

/// Users of all claims. Claims of ephemeral volumes do not count, as upstream.
#[derive(Clone, Debug, Default)]
pub(super) struct ClaimUsers {
    /// Nodes, once per volume that uses the claim.
    nodes: FxHashMap<Key, Vec<Slot>>,
}

impl ClaimUsers {
    /// A pod came to a node.
    pub(super) fn add(&mut self, slot: Slot, pod: &PodInfo) {
        for claim in pod.claims.iter().filter(|claim| !claim.ephemeral) {
            let key = Key::new(pod.namespace.clone(), claim.name.clone());
            self.nodes.entry(key).or_default().push(slot);
        }
    }

    /// A pod left a node.
    pub(super) fn remove(&mut self, slot: Slot, pod: &PodInfo) {
        for claim in pod.claims.iter().filter(|claim| !claim.ephemeral) {
            let key = Key::new(pod.namespace.clone(), claim.name.clone());
            let Some(nodes) = self.nodes.get_mut(&key) else { continue };
            if let Some(at) = nodes.iter().position(|node| *node == slot) {
                nodes.swap_remove(at);
            }
            if nodes.is_empty() {
                self.nodes.remove(&key);
            }
        }
    }

    /// Nodes with pods that use a claim, in no order.
    pub(super) fn of(&self, claim: &Key) -> &[Slot] {
        self.nodes.get(claim).map_or(&[], Vec::as_slice)
    }
}
