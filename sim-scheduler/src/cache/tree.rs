//! Order of the nodes (`node_tree.go`): zones in the order they were first seen, one node of each in turns.

use sim_core::api::meta::Labels;
use smol_str::{SmolStr, format_smolstr};

use super::Slot;

/// Key of a node's region and zone (`GetZoneKey`); empty without both.
pub(super) fn zone_of(labels: &Labels) -> SmolStr {
    let first = |beta: &str, stable: &str| {
        labels.get(beta).or_else(|| labels.get(stable)).map_or("", String::as_str).to_owned()
    };
    let zone = first("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone");
    let region = first("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region");
    if zone.is_empty() && region.is_empty() {
        return SmolStr::default();
    }
    format_smolstr!("{region}:\0:{zone}")
}

/// Nodes by zone.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeTree {
    zones: Vec<(SmolStr, Vec<Slot>)>,
}

impl NodeTree {
    pub(super) fn add(&mut self, zone: &SmolStr, slot: Slot) {
        match self.zones.iter_mut().find(|(name, _)| name == zone) {
            Some((_, slots)) => slots.push(slot),
            None => self.zones.push((zone.clone(), vec![slot])),
        }
    }

    pub(super) fn remove(&mut self, zone: &SmolStr, slot: Slot) {
        let Some(at) = self.zones.iter().position(|(name, _)| name == zone) else { return };
        let slots = &mut self.zones[at].1;
        slots.retain(|s| *s != slot);
        if slots.is_empty() {
            self.zones.remove(at);
        }
    }

    pub(super) fn list(&self) -> Vec<Slot> {
        let longest = self.zones.iter().map(|(_, slots)| slots.len()).max().unwrap_or(0);
        (0..longest)
            .flat_map(|i| self.zones.iter().filter_map(move |(_, slots)| slots.get(i).copied()))
            .collect()
    }
}
