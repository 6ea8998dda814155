//! When that changed last what nodes can have of devices: their slices, what others have of the pools that they reach, or
//! the nodes themselves.

use rustc_hash::FxHashMap;
use sim_dra::inventory::Slice;
use smol_str::SmolStr;

use super::Slot;
use super::allocations::PoolId;

/// Versions by node, and which pools are reached by whom.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    now: u64,
    /// Of all nodes.
    all: u64,
    /// By slot.
    nodes: Vec<u64>,
    /// Nodes that reach a pool; `None` if it may be any node.
    pools: FxHashMap<PoolId, Option<Vec<SmolStr>>>,
}

impl Default for Reach {
    fn default() -> Reach {
        Reach { now: 1, all: 1, nodes: Vec::new(), pools: FxHashMap::default() }
    }
}

/// The one node that has the devices of a slice; `None` if others may reach them.
pub(super) fn only_node(slice: &Slice) -> Option<&SmolStr> {
    slice.body().spec.node_name.as_ref().filter(|name| !name.is_empty())
}

impl Reach {
    /// The version of everything.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// The version at which a node changed last.
    pub(super) fn of(&self, slot: Slot) -> u64 {
        self.nodes.get(slot as usize).map_or(self.all, |own| self.all.max(*own))
    }

    /// All nodes may have changed.
    pub(super) fn all_changed(&mut self) {
        self.now += 1;
        self.all = self.now;
    }

    /// A node changed.
    pub(super) fn changed(&mut self, slot: Slot) {
        let at = slot as usize;
        if self.nodes.len() <= at {
            self.nodes.resize(at + 1, 0);
        }
        self.now += 1;
        self.nodes[at] = self.now;
    }

    /// Something of a pool was taken or given back.
    pub(super) fn pool_changed(&mut self, pool: &PoolId, slots: &FxHashMap<SmolStr, Slot>) {
        match self.pools.get(pool) {
            // What is in no slice is not looked at.
            None => {}
            Some(None) => self.all_changed(),
            Some(Some(nodes)) => {
                let touched: Vec<Slot> = nodes.iter().filter_map(|name| slots.get(name)).copied().collect();
                touched.into_iter().for_each(|slot| self.changed(slot));
            }
        }
    }

    /// The slices are these.
    pub(super) fn set_slices<'a>(&mut self, slices: impl Iterator<Item = &'a Slice>) {
        self.pools.clear();
        for slice in slices {
            let spec = &slice.body().spec;
            let pool = (spec.driver.clone(), spec.pool.name.clone());
            let nodes = self.pools.entry(pool).or_insert_with(|| Some(Vec::new()));
            match (only_node(slice), &mut *nodes) {
                (None, _) => *nodes = None,
                (Some(name), Some(names)) if names.last() != Some(name) => names.push(name.clone()),
                _ => {}
            }
        }
    }
}
