//! Topology domains: which value of a topology key every node has, as numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;
use sim_core::api::meta::Labels;
use smol_str::SmolStr;

use super::Slot;
use crate::node::NodeInfo;

/// A value of a topology key, as a small number: below [`Topology::bound`], and reused after the last node with that
/// value is gone.
pub type Domain = u32;

const ABSENT: Domain = Domain::MAX;

/// The domains of one topology key.
#[derive(Clone, Debug)]
pub struct Topology {
    key: SmolStr,
    of_slot: Vec<Domain>,
    by_value: FxHashMap<SmolStr, Domain>,
    /// Value and number of nodes of each domain.
    values: Vec<(SmolStr, u32)>,
    free: Vec<Domain>,
}

impl Topology {
    /// A value that no node of the cluster has.
    pub const UNKNOWN: Domain = Domain::MAX - 1;

    fn new(key: &str) -> Topology {
        Topology {
            key: SmolStr::new(key),
            of_slot: Vec::new(),
            by_value: FxHashMap::default(),
            values: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The key.
    pub fn key(&self) -> &SmolStr {
        &self.key
    }

    /// All domains are below this.
    pub fn bound(&self) -> usize {
        self.values.len()
    }

    /// The domain of a value.
    pub fn domain(&self, value: &str) -> Option<Domain> {
        self.by_value.get(value).copied()
    }

    /// True if just one node is in a domain.
    pub fn is_single(&self, domain: Domain) -> bool {
        self.values.get(domain as usize).is_some_and(|(_, nodes)| *nodes == 1)
    }

    /// The domain of the node in a slot; `None` if it does not have the label.
    #[inline]
    pub fn at(&self, slot: Slot) -> Option<Domain> {
        self.of_slot.get(slot as usize).copied().filter(|domain| *domain != ABSENT)
    }

    /// The domain of a node; `None` if it does not have the label. A node from outside of the cache may be in
    /// [`Topology::UNKNOWN`].
    pub fn of(&self, node: &NodeInfo) -> Option<Domain> {
        match node.slot {
            Some(slot) => self.at(slot),
            None => node.label(&self.key).map(|value| self.domain(value).unwrap_or(Topology::UNKNOWN)),
        }
    }

    /// The value that a node has.
    fn value(&self, slot: Slot) -> Option<&str> {
        let domain = self.of_slot.get(slot as usize)?;
        self.values.get(*domain as usize).map(|(value, _)| value.as_str())
    }

    fn set(&mut self, slot: Slot, value: Option<&str>) {
        let at = slot as usize;
        if self.of_slot.len() <= at {
            self.of_slot.resize(at + 1, ABSENT);
        }
        let old = self.of_slot[at];
        if let Some((known, nodes)) = self.values.get_mut(old as usize) {
            *nodes -= 1;
            if *nodes == 0 {
                self.by_value.remove(known);
                self.free.push(old);
            }
        }
        self.of_slot[at] = value.map_or(ABSENT, |value| self.enter(value));
    }

    /// Counts a node into the domain of a value.
    fn enter(&mut self, value: &str) -> Domain {
        if let Some(&domain) = self.by_value.get(value) {
            self.values[domain as usize].1 += 1;
            return domain;
        }
        let domain = self.free.pop().unwrap_or(self.values.len() as Domain);
        let entry = (SmolStr::new(value), 1);
        self.by_value.insert(entry.0.clone(), domain);
        match self.values.get_mut(domain as usize) {
            Some(place) => *place = entry,
            None => self.values.push(entry),
        }
        domain
    }
}

/// Topologies by key: each is made when it is first asked for, and kept up to date from then on.
// The lock is there because plugins ask while they only read the cluster; nobody waits for it.
#[derive(Debug, Default)]
pub(super) struct Topologies(RwLock<BTreeMap<SmolStr, Arc<Topology>>>);

impl Clone for Topologies {
    fn clone(&self) -> Topologies {
        Topologies(RwLock::new(self.0.read().unwrap_or_else(PoisonError::into_inner).clone()))
    }
}

impl Topologies {
    /// The topology of a key. `nodes` are all nodes, for the first time.
    pub(super) fn of<'a>(
        &self,
        key: &str,
        nodes: impl Iterator<Item = (Slot, &'a Arc<Labels>)>,
    ) -> Arc<Topology> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return known.clone();
        }
        let mut topology = Topology::new(key);
        for (slot, labels) in nodes {
            topology.set(slot, labels.get(key).map(String::as_str));
        }
        let topology = Arc::new(topology);
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(topology.key.clone(), topology.clone());
        topology
    }

    /// A node joined or changed; without labels, it left.
    pub(super) fn set(&mut self, slot: Slot, labels: Option<&Labels>) {
        for topology in self.0.get_mut().unwrap_or_else(PoisonError::into_inner).values_mut() {
            let value = labels.and_then(|labels| labels.get(topology.key.as_str())).map(String::as_str);
            // Others may hold the topology: it is only copied for a change.
            if topology.value(slot) != value {
                Arc::make_mut(topology).set(slot, value);
            }
        }
    }
}
