//! Which images are on how many nodes.

use rustc_hash::{FxHashMap, FxHashSet};
use sim_core::api::object::Object;
use smol_str::SmolStr;

use super::Slot;
use crate::node::ImageState;

#[derive(Clone, Debug)]
struct Image {
    size: i64,
    nodes: FxHashSet<Slot>,
}

/// Images of all nodes, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Images {
    by_name: FxHashMap<SmolStr, Image>,
}

impl Images {
    /// Replaces the images of a node.
    pub(super) fn set(&mut self, slot: Slot, object: &Object, of_node: &mut Vec<ImageState>) {
        self.clear(slot, of_node);
        let Some(node) = object.as_node() else { return };
        for image in node.status.images.iter().flatten() {
            for name in image.names.iter().flatten() {
                let name = SmolStr::new(name);
                let size = image.size_bytes.unwrap_or(0);
                let state = self
                    .by_name
                    .entry(name.clone())
                    .or_insert_with(|| Image { size, nodes: FxHashSet::default() });
                state.nodes.insert(slot);
                if !of_node.iter().any(|i| i.name == name) {
                    of_node.push(ImageState { name, size: state.size, nodes: 0 });
                }
            }
        }
    }

    /// A node has no images any more.
    pub(super) fn clear(&mut self, slot: Slot, of_node: &mut Vec<ImageState>) {
        for image in of_node.drain(..) {
            if let Some(state) = self.by_name.get_mut(&image.name) {
                state.nodes.remove(&slot);
                if state.nodes.is_empty() {
                    self.by_name.remove(&image.name);
                }
            }
        }
    }

    /// Fixes the numbers of nodes for a node's images.
    pub(super) fn count(&self, of_node: &mut [ImageState]) {
        for image in of_node {
            if let Some(state) = self.by_name.get(&image.name) {
                image.nodes = state.nodes.len();
                image.size = state.size;
            }
        }
    }
}
