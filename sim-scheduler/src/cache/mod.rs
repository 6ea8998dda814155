//! The scheduler's view of the cluster: nodes with their bound and assumed pods (`pkg/scheduler/backend/cache`).
//!
//! Upstream keeps a cache and copies what changed into a snapshot at the start of every cycle. A cycle is one instant
//! here, so there is one copy; [`Cache::refresh`] does what the copying did beside: it fixes the order of the nodes and
//! the number of nodes that have an image, which both lag behind the cache as upstream's do.

mod allocations;
mod claims;
mod columns;
mod devices;
mod groups;
mod images;
mod objects;
mod reach;
mod searches;
mod topology;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_dra::allocator::Allocator;
use sim_dra::api::ResourceClaim;
use smol_str::SmolStr;

use crate::mask::Mask;
use crate::node::{NodeInfo, NodePod};
use crate::pod::PodInfo;
use claims::ClaimUsers;
pub use columns::NodeColumns;
use devices::Devices;
pub(crate) use devices::metadata;
pub use groups::Group;
use groups::Groups;
use images::Images;
pub use objects::Objects;
pub use searches::Wish;
use topology::Topologies;
pub use topology::{Domain, Topology};
use tree::NodeTree;

/// Index of a node in the cache. Slots are reused after a node and all its pods are gone.
pub type Slot = u32;

#[derive(Clone, Debug, Default)]
struct Entry {
    info: NodeInfo,
    /// False while only pods refer to the node.
    present: bool,
    /// Present when the order was last fixed.
    listed: bool,
    dirty: bool,
    zone: SmolStr,
}

#[derive(Clone, Debug)]
struct PodState {
    slot: Slot,
    info: Arc<PodInfo>,
    object: Arc<Object>,
    assumed: bool,
    /// True of an assumed pod that is gone from the API server.
    deleted: bool,
}

/// Nodes and pods.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    entries: Vec<Entry>,
    free: Vec<Slot>,
    by_name: FxHashMap<SmolStr, Slot>,
    pods: FxHashMap<Uid, PodState>,
    tree: NodeTree,
    images: Images,
    generation: u64,
    dirty: Vec<Slot>,
    order: Vec<Slot>,
    position: Vec<u32>,
    order_version: u64,
    changes: Vec<Slot>,
    changes_base: u64,
    moves: Vec<PodMove>,
    moves_base: u64,
    shape_version: u64,
    columns: NodeColumns,
    objects: Objects,
    claim_users: ClaimUsers,
    groups: Groups,
    topologies: Topologies,
    devices: Devices,
    /// Nodes with pods that have inter-pod affinity of any sort, with their number.
    with_affinity: BTreeMap<Slot, u32>,
    /// The same of required anti-affinity.
    with_required_anti_affinity: BTreeMap<Slot, u32>,
}

/// A pod came to a node, or left it.
#[derive(Clone, Debug)]
pub struct PodMove {
    /// The node.
    pub slot: Slot,
    /// The pod's class.
    pub info: Arc<PodInfo>,
    /// True if it came.
    pub arrived: bool,
}

impl Cache {
    /// Nodes by slot, and nothing else: for scores of nodes that are not as they are.
    pub(crate) fn of_nodes(nodes: impl IntoIterator<Item = (Slot, NodeInfo)>) -> Cache {
        let mut cache = Cache::default();
        for (slot, info) in nodes {
            let at = slot as usize;
            cache.entries.resize_with(cache.entries.len().max(at + 1), Entry::default);
            cache.entries[at].info = info;
        }
        cache
    }

    /// Nodes that cycles see, in upstream's order: zone by zone in turns.
    pub fn order(&self) -> &[Slot] {
        &self.order
    }

    /// Rises whenever [`Cache::order`] changes.
    pub fn order_version(&self) -> u64 {
        self.order_version
    }

    /// What the hottest filters and scores read, by position in the order.
    pub fn columns(&self) -> &NodeColumns {
        &self.columns
    }

    /// A node by position in the order.
    pub fn node_at(&self, at: usize) -> &NodeInfo {
        self.node(self.order[at])
    }

    /// A node by slot.
    pub fn node(&self, slot: Slot) -> &NodeInfo {
        &self.entries[slot as usize].info
    }

    /// Position of a node in the order.
    pub fn position(&self, slot: Slot) -> Option<usize> {
        self.position.get(slot as usize).filter(|at| **at != u32::MAX).map(|at| *at as usize)
    }

    /// The domains of a topology key. The first question about a key looks at all nodes, later ones cost nothing.
    pub fn topology(&self, key: &str) -> Arc<Topology> {
        let present = self.entries.iter().enumerate().filter(|(_, entry)| entry.present);
        self.topologies.of(key, present.map(|(slot, entry)| (slot as Slot, &entry.info.labels)))
    }

    /// Finds devices for claims that have none yet, among those that no other claim has.
    pub fn allocator(&self, claims: &[Arc<ResourceClaim>]) -> Allocator {
        self.devices.allocator(self, claims)
    }

    /// Rises when devices that drivers offer change, or their taints. Costs a look at all slices after a change.
    pub fn devices_version(&self) -> u64 {
        self.devices.version(self)
    }

    /// Takes nodes that do not have the devices out of a mask, by position in the order. Only nodes are searched about which
    /// something changed since claims like these were asked about. False if an allocator gives an error about one.
    pub fn filter_by_devices(&self, wish: &Wish, mask: &mut Mask) -> bool {
        self.devices.filter(self, wish, mask)
    }

    /// Nodes that cycles see with pods that have inter-pod affinity or anti-affinity of any sort
    /// (`HavePodsWithAffinityList`), by slot.
    pub fn nodes_with_affinity(&self) -> impl Iterator<Item = &NodeInfo> {
        self.listed(self.with_affinity.keys())
    }

    /// Nodes that cycles see with pods that have required anti-affinity (`HavePodsWithRequiredAntiAffinityList`), by
    /// slot.
    pub fn nodes_with_required_anti_affinity(&self) -> impl Iterator<Item = &NodeInfo> {
        self.listed(self.with_required_anti_affinity.keys())
    }

    fn listed<'a>(&'a self, slots: impl Iterator<Item = &'a Slot>) -> impl Iterator<Item = &'a NodeInfo> {
        slots.map(|slot| &self.entries[*slot as usize]).filter(|entry| entry.listed).map(|entry| &entry.info)
    }

    /// Pods of a namespace with one value of a label. Known for keys that some plugin names in
    /// [`Plugin::GROUPS_BY`](crate::framework::Plugin::GROUPS_BY); `None` if there is no such pod.
    pub fn group(&self, key: &str, namespace: &SmolStr, value: &str) -> Option<&Group> {
        self.groups.get(key, namespace, value)
    }

    /// Groups pods by a label from now on. To be called before there are any.
    pub fn group_by(&mut self, key: &'static str) {
        self.groups.watch(key);
    }

    /// A pod came to be, changed, ended or went: what it was like before and is now, while it had not ended.
    pub fn pod_seen(&mut self, old: Option<&Object>, new: Option<&Object>) {
        for (object, exists) in [(old, false), (new, true)] {
            let Some(Object { meta, .. }) = object else { continue };
            self.groups.change(&meta.key.namespace, &meta.labels, |group| match exists {
                true => drop(group.members.insert(meta.uid)),
                false => drop(group.members.remove(&meta.uid)),
            });
        }
    }

    /// Slot of a node that cycles see.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        self.by_name.get(name).copied().filter(|slot| self.entries[*slot as usize].listed)
    }

    /// A node as last seen, whether or not cycles see it.
    pub fn node_named(&self, name: &str) -> Option<&NodeInfo> {
        let entry = &self.entries[*self.by_name.get(name)? as usize];
        entry.present.then_some(&entry.info)
    }

    /// True if a pod on a node that cycles see uses a claim (`IsPVCUsedByPods`).
    pub fn is_claim_used(&self, claim: &Key) -> bool {
        self.claim_users.of(claim).iter().any(|slot| self.entries[*slot as usize].listed)
    }

    /// Nodes that changed since a mark, oldest first, some more than once, and the new mark. `None` if the mark is too
    /// old: then every node may have changed.
    pub fn changes_since(&self, mark: u64) -> (Option<&[Slot]>, u64) {
        let end = self.changes_base + self.changes.len() as u64;
        let slots = mark.checked_sub(self.changes_base).and_then(|from| self.changes.get(from as usize..));
        (slots, end)
    }

    /// Number of nodes, also of those that only pods refer to, of pods, and of those of them that are assumed.
    pub fn sizes(&self) -> [usize; 3] {
        [self.by_name.len(), self.pods.len(), self.pods.values().filter(|pod| pod.assumed).count()]
    }

    /// Pods that came and went since a mark, oldest first, and the new mark. `None` if the mark is too old.
    pub fn moves_since(&self, mark: u64) -> (Option<&[PodMove]>, u64) {
        let end = self.moves_base + self.moves.len() as u64;
        let moves = mark.checked_sub(self.moves_base).and_then(|from| self.moves.get(from as usize..));
        (moves, end)
    }

    /// Rises whenever nodes join or leave, or change labels, taints or cordon.
    pub fn shape_version(&self) -> u64 {
        self.shape_version
    }

    fn entry_of(&mut self, name: &SmolStr) -> Slot {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            self.entries.len() as Slot - 1
        });
        self.entries[slot as usize] = Entry::default();
        self.entries[slot as usize].info.name = name.clone();
        self.entries[slot as usize].info.slot = Some(slot);
        self.by_name.insert(name.clone(), slot);
        slot
    }

    fn touch(&mut self, slot: Slot) {
        self.generation += 1;
        let entry = &mut self.entries[slot as usize];
        entry.info.generation = self.generation;
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push(slot);
        }
    }

    /// A node joined or changed.
    pub fn set_node(&mut self, object: &Object) {
        let slot = self.entry_of(&object.meta.key.name);
        let zone = tree::zone_of(&object.meta.labels);
        let entry = &mut self.entries[slot as usize];
        if !entry.present {
            self.tree.add(&zone, slot);
        } else if entry.zone != zone {
            self.tree.remove(&entry.zone, slot);
            self.tree.add(&zone, slot);
        }
        let same_shape = entry.present
            && entry.info.labels == object.meta.labels
            && object.as_node().is_some_and(|node| {
                Arc::ptr_eq(&node.spec, &entry.info.spec) || node.spec == entry.info.spec
            });
        if !same_shape {
            self.shape_version += 1;
            self.devices.node_changed(slot);
        }
        entry.present = true;
        entry.zone = zone;
        entry.info.set_object(object);
        self.images.set(slot, object, &mut entry.info.images);
        self.topologies.set(slot, Some(&object.meta.labels));
        self.touch(slot);
    }

    /// A node left. Its pods stay known until they are gone, too.
    pub fn remove_node(&mut self, name: &str) {
        let Some(&slot) = self.by_name.get(name) else { return };
        let entry = &mut self.entries[slot as usize];
        if !entry.present {
            return;
        }
        entry.present = false;
        self.shape_version += 1;
        self.tree.remove(&entry.zone, slot);
        self.images.clear(slot, &mut entry.info.images);
        self.topologies.set(slot, None);
        self.touch(slot);
    }

    /// A node like another one joined, with a name of its own and only such pods as every node of its sort has: those of
    /// DaemonSets. For what-ifs.
    pub(crate) fn add_like(&mut self, slot: Slot, name: &SmolStr) -> Slot {
        let like = self.node(slot).clone();
        let zone = self.entries[slot as usize].zone.clone();
        let slot = self.entry_of(name);
        let mut labels = (*like.labels).clone();
        if let Some(host) = labels.get_mut("kubernetes.io/hostname") {
            *host = name.to_string();
        }
        let mut info = NodeInfo {
            name: name.clone(),
            slot: Some(slot),
            labels: Arc::new(labels),
            spec: like.spec,
            unschedulable: like.unschedulable,
            allocatable: like.allocatable,
            ..NodeInfo::default()
        };
        self.topologies.set(slot, Some(&info.labels));
        self.tree.add(&zone, slot);
        let on_every_node =
            |pod: &NodePod| pod.info.controller.as_ref().is_some_and(|c| c.kind == "DaemonSet");
        for pod in like.pods.into_iter().filter(on_every_node) {
            self.count_affinity(slot, &pod.info, 1);
            info.add_pod(pod.uid, pod.info);
        }
        self.entries[slot as usize] = Entry { info, present: true, zone, ..Entry::default() };
        self.shape_version += 1;
        self.devices.node_changed(slot);
        self.touch(slot);
        slot
    }

    /// A pod is bound to a node, or assumed to be.
    fn place(&mut self, object: Arc<Object>, info: Arc<PodInfo>, node: &SmolStr, assumed: bool) {
        let slot = self.entry_of(node);
        let uid = object.meta.uid;
        self.entries[slot as usize].info.add_pod(uid, info.clone());
        self.claim_users.add(slot, &info);
        self.moves.push(PodMove { slot, info: info.clone(), arrived: true });
        self.count_affinity(slot, &info, 1);
        self.groups.change(&info.namespace, &info.labels, |group| group.placed += 1);
        self.pods.insert(uid, PodState { slot, info, object, assumed, deleted: false });
        self.touch(slot);
    }

    fn displace(&mut self, uid: Uid) -> Option<PodState> {
        let state = self.pods.remove(&uid)?;
        self.entries[state.slot as usize].info.remove_pod(uid);
        self.claim_users.remove(state.slot, &state.info);
        self.moves.push(PodMove { slot: state.slot, info: state.info.clone(), arrived: false });
        self.count_affinity(state.slot, &state.info, -1);
        self.groups.change(&state.info.namespace, &state.info.labels, |group| {
            group.placed = group.placed.saturating_sub(1);
        });
        self.touch(state.slot);
        Some(state)
    }

    fn count_affinity(&mut self, slot: Slot, info: &PodInfo, sign: i32) {
        let Some(terms) = &info.affinity else { return };
        let anti = (!terms.required_anti.is_empty()).then_some(&mut self.with_required_anti_affinity);
        for counts in [Some(&mut self.with_affinity), anti].into_iter().flatten() {
            let count = counts.entry(slot).or_default();
            *count = count.saturating_add_signed(sign);
            if *count == 0 {
                counts.remove(&slot);
            }
        }
    }

    /// A pod was seen on a node. An assumed pod is confirmed; one that was assumed elsewhere, or changed, moves.
    pub fn set_pod(&mut self, object: &Arc<Object>, info: Arc<PodInfo>, node: &SmolStr) {
        let uid = object.meta.uid;
        if let Some(state) = self.pods.get_mut(&uid) {
            let same_place = self.entries[state.slot as usize].info.name == *node;
            if same_place && Arc::ptr_eq(&state.info, &info) {
                state.assumed = false;
                self.set_pod_object(object);
                return;
            }
            self.displace(uid);
        }
        self.place(object.clone(), info, node, false);
    }

    /// A pod on a node was seen in a version that changes neither its class nor its place.
    pub fn set_pod_object(&mut self, object: &Arc<Object>) {
        if let Some(state) = self.pods.get_mut(&object.meta.uid) {
            let start = |object: &Object| object.as_pod().and_then(|pod| pod.status.start_time);
            let started = start(&state.object) != start(object);
            self.entries[state.slot as usize].info.start_times += u64::from(started);
            state.object = object.clone();
        }
    }

    /// A pod is gone. False if it was not known.
    pub fn remove_pod(&mut self, uid: Uid) -> bool {
        self.displace(uid).is_some()
    }

    /// Takes a place for a pod before its binding. False if the pod is known already.
    // Upstream never expires assumed pods by default (`durationToExpireAssumedPod` is 0), so nothing here does.
    pub fn assume(&mut self, object: &Arc<Object>, info: Arc<PodInfo>, node: &SmolStr) -> bool {
        if self.pods.contains_key(&object.meta.uid) {
            return false;
        }
        self.place(object.clone(), info, node, true);
        true
    }

    /// Gives an assumed pod's place back. False if it is not assumed (any more).
    pub fn forget(&mut self, uid: Uid) -> bool {
        if !self.is_assumed(uid) {
            return false;
        }
        self.displace(uid).is_some()
    }

    /// A pod is gone from the API server, though it may still be assumed.
    pub(crate) fn set_deleted(&mut self, uid: Uid) {
        if let Some(pod) = self.pods.get_mut(&uid) {
            pod.deleted = pod.assumed;
        }
    }

    /// True of an assumed pod that is gone from the API server.
    pub fn is_deleted(&self, uid: Uid) -> bool {
        self.pods.get(&uid).is_some_and(|pod| pod.deleted)
    }

    /// True while a pod is assumed and not yet seen on its node.
    pub fn is_assumed(&self, uid: Uid) -> bool {
        self.pods.get(&uid).is_some_and(|p| p.assumed)
    }

    /// Class of a known pod.
    pub fn pod(&self, uid: Uid) -> Option<&Arc<PodInfo>> {
        self.pods.get(&uid).map(|p| &p.info)
    }

    /// A known pod as last seen; an assumed one as it was when it was assumed.
    pub fn pod_object(&self, uid: Uid) -> Option<&Arc<Object>> {
        self.pods.get(&uid).map(|p| &p.object)
    }

    /// Objects of other kinds.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Objects of other kinds, to be changed.
    pub fn objects_mut(&mut self) -> &mut Objects {
        &mut self.objects
    }

    /// Makes the state of the cache what cycles see. To be called at the start of a cycle.
    pub fn refresh(&mut self) {
        if self.dirty.is_empty() {
            return;
        }
        let mut membership_changed = false;
        let dirty = std::mem::take(&mut self.dirty);
        for &slot in &dirty {
            let entry = &mut self.entries[slot as usize];
            entry.dirty = false;
            membership_changed |= entry.present != entry.listed;
            entry.listed = entry.present;
            self.images.count(&mut entry.info.images);
            if !entry.present && entry.info.pods.is_empty() {
                self.by_name.remove(&entry.info.name);
                self.free.push(slot);
            }
        }
        if membership_changed {
            self.list();
        }
        for &slot in &dirty {
            if let (false, Some(at)) = (membership_changed, self.position(slot)) {
                self.columns.set(at, &self.entries[slot as usize].info);
            }
        }
        self.changes.extend(&dirty);
        // Allocation of the emptied list is kept for the next round.
        self.dirty = dirty;
        self.dirty.clear();
        let keep = (4 * self.entries.len()).max(1024);
        if self.changes.len() > 2 * keep {
            let drop = self.changes.len() - keep;
            self.changes.drain(..drop);
            self.changes_base += drop as u64;
        }
        if self.moves.len() > 2 * keep {
            let drop = self.moves.len() - keep;
            self.moves.drain(..drop);
            self.moves_base += drop as u64;
        }
    }

    fn list(&mut self) {
        self.order = self.tree.list();
        self.order_version += 1;
        self.position.clear();
        self.position.resize(self.entries.len(), u32::MAX);
        for (at, slot) in self.order.iter().enumerate() {
            self.position[*slot as usize] = at as u32;
        }
        self.columns.reset(self.order.len());
        for (at, slot) in self.order.iter().enumerate() {
            self.columns.set(at, &self.entries[*slot as usize].info);
        }
    }
}

#[cfg(test)]
mod tests;
