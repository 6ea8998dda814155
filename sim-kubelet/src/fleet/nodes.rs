//! What the fleet keeps of one node, and how a node comes and goes.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Taint;
use sim_core::api::meta::Labels;
use sim_core::api::object::{Body, Node, Object};
use sim_core::api::request::Request;
use sim_core::engine::component::Ctx;
use sim_core::helpers::ports::HostPorts;
use sim_core::helpers::resources::ResourceList;
use sim_core::time::Time;
use smol_str::SmolStr;

use crate::admission::{Amounts, Ask, NodeView, Refusal, admit};
use crate::images::ImageCache;
use crate::node::{NOT_READY_TAINT, NodeConfig, completed_status, heartbeat_at, is_ready, lease_at};

use super::{Fleet, Timer};

/// A node of the fleet.
#[derive(Clone, Debug)]
pub struct NodeState {
    pub(super) name: SmolStr,
    /// Newest object seen; `None` once the node has left.
    pub(super) object: Option<Arc<Object>>,
    pub(super) joined: Time,
    /// It has been seen ready: from then on others may say otherwise.
    registered: bool,
    allocatable: Amounts,
    used: Amounts,
    ports: HostPorts,
    pub(super) images: ImageCache,
    /// Drivers and claims; nothing on nodes that have neither.
    pub(super) devices: Option<Box<super::NodeDevices>>,
    /// Slots of its pods.
    pub(super) pods: BTreeSet<u32>,
    address: SmolStr,
    /// First three numbers of pod addresses.
    pod_net: SmolStr,
    /// Last numbers in use.
    ips: [u64; 4],
}

impl NodeState {
    pub(super) fn new(index: u32, name: SmolStr, pod_cidr: &str, joined: Time) -> NodeState {
        let (high, mid, low) = (index >> 16, (index >> 8) & 255, index & 255);
        let own_net = pod_cidr.rsplit_once('.').map(|(net, _)| SmolStr::new(net));
        NodeState {
            name,
            object: None,
            joined,
            registered: false,
            allocatable: Amounts::default(),
            used: Amounts::default(),
            ports: HostPorts::default(),
            images: ImageCache::default(),
            devices: None,
            pods: BTreeSet::new(),
            address: address(index),
            pod_net: own_net.unwrap_or_else(|| format!("{}.{mid}.{low}", 10 + high).into()),
            // 0 is the network, 1 the gateway, 255 the broadcast.
            ips: [0b11, 0, 0, 1 << 63],
        }
    }

    pub(super) fn address(&self) -> &SmolStr {
        &self.address
    }

    /// An address for a new sandbox: the lowest that is free; the node's own with the host's network.
    pub(super) fn pod_ip(&mut self, host_network: bool) -> SmolStr {
        if host_network {
            return self.address.clone();
        }
        let free = self.ips.iter().position(|word| *word != u64::MAX);
        // A node has fewer than 253 pods; should it have more, the last address is shared.
        let Some(word) = free else { return format!("{}.254", self.pod_net).into() };
        let bit = self.ips[word].trailing_ones();
        self.ips[word] |= 1 << bit;
        format!("{}.{}", self.pod_net, word as u32 * 64 + bit).into()
    }

    /// The last number of an address of this node's range.
    fn number(&self, ip: &str) -> Option<u32> {
        let last = ip.strip_prefix(self.pod_net.as_str())?.strip_prefix('.')?;
        last.parse().ok().filter(|n| (2..255).contains(n))
    }

    pub(super) fn release_ip(&mut self, ip: &str) {
        if let Some(n) = self.number(ip) {
            self.ips[(n / 64) as usize] &= !(1 << (n % 64));
        }
    }

    /// Marks the address of an adopted pod as taken.
    pub(super) fn keep_ip(&mut self, ip: &str) {
        if let Some(n) = self.number(ip) {
            self.ips[(n / 64) as usize] |= 1 << (n % 64);
        }
    }

    /// Whether the node takes a pod.
    pub(super) fn admits(&self, ask: &Ask) -> Result<(), Refusal> {
        let Some(object) = &self.object else { return Ok(()) };
        let taints: &[Taint] = object.as_node().and_then(|n| n.spec.taints.as_deref()).unwrap_or_default();
        let labels: &Labels = &object.meta.labels;
        let node = NodeView {
            name: &self.name,
            labels,
            taints,
            allocatable: &self.allocatable,
            used: &self.used,
            ports: &self.ports,
        };
        admit(ask, &node)
    }

    pub(super) fn hold(&mut self, ask: &Ask) {
        self.used.add(&ask.requests);
        for port in &ask.ports {
            self.ports.insert(port.clone());
        }
    }

    pub(super) fn release(&mut self, ask: &Ask) {
        self.used.sub(&ask.requests);
        for port in &ask.ports {
            self.ports.remove(port);
        }
    }

    /// The newest object; `None` once the node has left.
    pub fn object(&self) -> Option<&Arc<Object>> {
        self.object.as_ref()
    }

    /// What admitted pods that are not finished ask for together.
    pub fn used(&self) -> &Amounts {
        &self.used
    }

    /// What pods may have.
    pub fn allocatable(&self) -> &Amounts {
        &self.allocatable
    }

    /// `spec.renewTime` of its Lease at an instant.
    // DIFFERS: upstream writes it every 10 s; here it is computed when somebody looks, so idle nodes cost nothing.
    pub fn lease_at(&self, now: Time) -> Time {
        lease_at(self.joined, now)
    }

    /// `lastHeartbeatTime` of its conditions at an instant.
    pub fn heartbeat_at(&self, now: Time) -> Time {
        heartbeat_at(self.joined, now)
    }
}

/// The address of the n-th machine.
fn address(index: u32) -> SmolStr {
    let n = index + 1;
    format!("172.{}.{}.{}", 16 + (n >> 16), (n >> 8) & 255, n & 255).into()
}

impl Fleet {
    /// Keeps a place for a node that registers, and gives its address.
    pub(super) fn expect_node(&mut self, config: &NodeConfig, now: Time) -> SmolStr {
        let next = self.nodes.len() as u32;
        let id = *self.node_ids.entry(config.name.clone()).or_insert(next);
        if id == next {
            self.nodes.push(NodeState::new(id, config.name.clone(), &config.pod_cidr, now));
        }
        address(id)
    }

    /// A node was created or written.
    pub(super) fn node_seen(&mut self, ctx: &mut Ctx<'_, Timer>, object: &Arc<Object>) {
        let Some(node) = object.as_node() else { return };
        let name = SmolStr::new(object.meta.name());
        let (id, is_new) = self.node_id(&name, ctx.now());
        let state = &mut self.nodes[id as usize];
        let same_status = state
            .object
            .as_ref()
            .and_then(|o| o.as_node())
            .is_some_and(|old| Arc::ptr_eq(&old.status, &node.status));
        state.object = Some(object.clone());
        if !same_status {
            state.allocatable = Amounts::of(&ResourceList::from_wire(node.status.allocatable.as_ref()));
            let addresses = node.status.addresses.iter().flatten();
            if let Some(own) = addresses.into_iter().find(|a| a.type_ == "InternalIP") {
                state.address = SmolStr::new(&own.address);
            }
        }
        let taint = without_not_ready(node);
        if is_ready(node) {
            state.registered = true;
            if let Some(spec) = taint {
                // DIFFERS: the node lifecycle controller takes this taint off; there is none yet.
                let mut ready = Object::clone(object);
                ready.body = Body::Node(Node { spec: Arc::new(spec), status: node.status.clone() });
                ctx.send(Request::Update(Box::new(ready)));
            }
        }
        if !state.registered {
            let status = completed_status(node, &name, ctx.epoch(), ctx.now(), &state.address);
            if let Some(status) = status {
                let mut complete = Object::clone(object);
                complete.body = Body::Node(Node { spec: node.spec.clone(), status: Arc::new(status) });
                ctx.send(Request::UpdateStatus(Box::new(complete)));
            }
        }
        if is_new {
            self.start_drivers(ctx, id);
            for (_, waiting) in self.waiting.swap_remove(&name).into_iter().flatten() {
                self.pod_added(ctx, &waiting.0, id, waiting.1);
            }
        }
    }

    /// The node of a name; a node that was not there, or had left, begins anew.
    fn node_id(&mut self, name: &SmolStr, now: Time) -> (u32, bool) {
        let known = self.node_ids.get(name).copied();
        if let Some(id) = known.filter(|id| self.nodes[*id as usize].object.is_some()) {
            return (id, false);
        }
        let id = known.unwrap_or(self.nodes.len() as u32);
        let config = self.configs.get(name);
        let cidr = config.map_or("", |c| c.pod_cidr.as_str());
        let mut state = NodeState::new(id, name.clone(), cidr, now);
        for image in config.iter().flat_map(|c| &c.images) {
            state.images.preload(image.clone());
        }
        if known.is_some() {
            self.nodes[id as usize] = state;
        } else {
            self.nodes.push(state);
            self.node_ids.insert(name.clone(), id);
        }
        (id, true)
    }

    /// A node has left: what ran on it is gone without a word.
    pub(super) fn node_gone(&mut self, name: &str) {
        let Some(id) = self.node_ids.get(name).copied() else { return };
        let state = &mut self.nodes[id as usize];
        state.object = None;
        state.devices = None;
        let name = state.name.clone();
        for slot in std::mem::take(&mut state.pods) {
            let Some(pod) = self.remove(slot) else { continue };
            if !pod.vanished {
                let waiting = self.waiting.entry(name.clone()).or_default();
                waiting.insert(pod.object.meta.uid, (pod.object, false));
            }
        }
    }
}

/// The spec without the not-ready taint, if it has one.
fn without_not_ready(node: &Node) -> Option<k8s_openapi::api::core::v1::NodeSpec> {
    let taints = node.spec.taints.as_ref()?;
    let kept: Vec<Taint> =
        taints.iter().filter(|t| !(t.key == NOT_READY_TAINT && t.effect == "NoSchedule")).cloned().collect();
    if kept.len() == taints.len() {
        return None;
    }
    let mut spec = node.spec.as_ref().clone();
    spec.taints = (!kept.is_empty()).then_some(kept);
    Some(spec)
}
