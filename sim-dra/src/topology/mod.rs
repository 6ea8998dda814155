//! Where devices are, and what connects them: NUMA nodes, PCIe roots, NVLink domains, racks, as one graph of a cluster.
//!
//! - [`Place`] says where a device is. It is published as attributes ([`Place::attributes`]) and read from them
//!   ([`Place::of`]), so that claims can ask for it with constraints like any other attribute.
//! - [`Topology`] is the graph that follows from places; it finds the path between two devices whose slowest link is fastest.
//! - [`collective`] estimates what an all-reduce over a placement can reach.
//!
//! Eight GPUs of one NVLink domain, one of them with a NIC on its PCIe root, are two claims or three requests:
//!
//! ```yaml
//! requests:
//! - {name: gpu, exactly: {deviceClassName: gpu.nvidia.com, count: 1}}
//! - {name: more, exactly: {deviceClassName: gpu.nvidia.com, count: 7}}
//! - {name: nic, exactly: {deviceClassName: dra.net, count: 1}}
//! constraints:
//! - {requests: [gpu, more], matchAttribute: topology.wavetank.dev/nvlinkDomain}
//! - {requests: [gpu, nic], matchAttribute: resource.kubernetes.io/pcieRoot}
//! ```
//!
//! The graph is a tree of hosts (fabric, rack, node, NUMA node, PCIe root, device) with two kinds of short cuts: an NVLink
//! domain connects its GPUs, also of several nodes, and a NIC connects its PCIe root with the rack. Without a NIC there is no
//! way from node to node but NVLink. What is not known of a device is left out of its way: one without a PCIe root hangs at its
//! NUMA node, one without that at its node.

pub mod collective;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Add;

use petgraph::algo::astar;
use petgraph::graph::{EdgeIndex, NodeIndex, UnGraph};
use smol_str::SmolStr;

use crate::allocator::DeviceId;
use crate::api::{Device, DeviceAttribute};

/// The PCIe root complex, `pci<domain>:<bus>`: the one attribute of the kind that Kubernetes 1.34 defines
/// (`k8s.io/dynamic-resource-allocation/deviceattribute`). Drivers that know it publish it, so it matches across drivers.
pub const PCIE_ROOT: &str = "resource.kubernetes.io/pcieRoot";
/// The NUMA node, a number. `dra.net` publishes it in its own domain as `numaNode`; this name matches across drivers.
pub const NUMA_NODE: &str = "topology.wavetank.dev/numaNode";
/// The GPUs that reach each other by NVLink: one board with NVSwitch, or a rack of them. What NVIDIA writes to nodes as the
/// label `nvidia.com/gpu.clique`.
pub const NVLINK_DOMAIN: &str = "topology.wavetank.dev/nvlinkDomain";
/// The rack.
pub const RACK: &str = "topology.wavetank.dev/rack";

/// Where a device is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The rack; devices without one share one.
    pub rack: Option<SmolStr>,
    /// The node.
    pub node: SmolStr,
    /// The NUMA node within the node.
    pub numa_node: Option<i64>,
    /// The PCIe root complex within the node.
    pub pcie_root: Option<SmolStr>,
    /// The NVLink domain, unique in the cluster.
    pub nvlink_domain: Option<SmolStr>,
}

impl Place {
    /// As attributes of a device, by fully qualified name; the node is not one, slices say it.
    pub fn attributes(&self) -> BTreeMap<SmolStr, DeviceAttribute> {
        let text = |name, value: &Option<SmolStr>| {
            let attribute =
                |value: &SmolStr| DeviceAttribute { string: Some(value.clone()), ..Default::default() };
            value.as_ref().map(|value| (SmolStr::new_static(name), attribute(value)))
        };
        let number = |number| DeviceAttribute { int: Some(number), ..Default::default() };
        let numa_node = self.numa_node.map(|numa_node| (SmolStr::new_static(NUMA_NODE), number(numa_node)));
        let texts = [
            text(PCIE_ROOT, &self.pcie_root),
            text(NVLINK_DOMAIN, &self.nvlink_domain),
            text(RACK, &self.rack),
        ];
        texts.into_iter().flatten().chain(numa_node).collect()
    }

    /// As a device of a node says it. Without [`NUMA_NODE`], the `numaNode` that the driver publishes in its own domain counts.
    pub fn of(node: &str, device: &Device) -> Place {
        let text = |name| device.attributes.get(name).and_then(|attribute| attribute.string.clone());
        let number = |name| device.attributes.get(name).and_then(|attribute: &DeviceAttribute| attribute.int);
        Place {
            rack: text(RACK),
            node: node.into(),
            numa_node: number(NUMA_NODE).or_else(|| number("numaNode")),
            pcie_root: text(PCIE_ROOT),
            nvlink_domain: text(NVLINK_DOMAIN),
        }
    }
}

/// What kind of thing a device is, as far as its links go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Computes; reaches the NVLink domain, if it is in one.
    Accelerator,
    /// Connects its PCIe root with the rack.
    Nic,
}

/// How fast links are, in bytes per second and direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speeds {
    /// A GPU to its NVLink domain.
    pub nvlink: u64,
    /// A device to its PCIe root.
    pub pcie: u64,
    /// A PCIe root to its NUMA node. Roots of servers have as many lanes as the slot they serve.
    pub root: u64,
    /// A NUMA node to the others of the node.
    pub socket: u64,
    /// A NIC to its rack.
    pub nic: u64,
    /// A rack to the fabric between racks.
    pub rack: u64,
}

const GB: u64 = 1_000_000_000;

impl Speeds {
    /// HGX H100: 18 links of NVLink 4 with 25 GB/s each way (NVIDIA H100 data sheet: 900 GB/s, both ways together), PCIe 5.0
    /// x16 (32 GT/s × 16 lanes × 128/130), three UPI links of 16 GT/s and 20 lanes, NICs of 400 Gbit/s, and a fabric that
    /// is not blocking for 16 such nodes.
    pub const HGX_H100: Speeds = Speeds {
        nvlink: 450 * GB,
        pcie: 63 * GB,
        root: 63 * GB,
        socket: 96 * GB,
        nic: 50 * GB,
        rack: 6_400 * GB,
    };
    /// DGX A100: 12 links of NVLink 3 with 25 GB/s each way, PCIe 4.0 x16, NICs of 200 Gbit/s, four xGMI links.
    pub const DGX_A100: Speeds = Speeds {
        nvlink: 300 * GB,
        pcie: 31 * GB,
        root: 31 * GB,
        socket: 72 * GB,
        nic: 25 * GB,
        rack: 3_200 * GB,
    };
}

/// A thing in the graph.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vertex {
    /// What connects racks.
    Fabric,
    /// A rack's switch; without a name, the one of all devices of which no rack is known.
    Rack(Option<SmolStr>),
    /// A node: what connects its NUMA nodes.
    Node(SmolStr),
    /// A NUMA node.
    NumaNode(SmolStr, i64),
    /// A PCIe root of a node.
    PcieRoot(SmolStr, SmolStr),
    /// An NVLink domain.
    NvlinkDomain(SmolStr),
    /// A device.
    Device(DeviceId),
}

/// The devices of a cluster and the links between them.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// Weights are bytes per second and direction.
    graph: UnGraph<Vertex, u64>,
    vertices: BTreeMap<Vertex, NodeIndex>,
}

/// A way between two devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// What it passes, both ends included.
    pub vertices: Vec<Vertex>,
    /// Bytes per second of its slowest link.
    pub bandwidth: u64,
    links: Vec<(EdgeIndex, bool)>,
}

impl Topology {
    /// Adds a device and what connects it. A device that is there already keeps its links and gets those of the new place.
    pub fn add(&mut self, id: DeviceId, role: Role, place: &Place, speeds: &Speeds) {
        let device = self.vertex(Vertex::Device(id));
        let rack = self.vertex(Vertex::Rack(place.rack.clone()));
        let fabric = self.vertex(Vertex::Fabric);
        self.link(rack, fabric, speeds.rack);
        let mut host = self.vertex(Vertex::Node(place.node.clone()));
        if let Some(number) = place.numa_node {
            let numa_node = self.vertex(Vertex::NumaNode(place.node.clone(), number));
            self.link(numa_node, host, speeds.socket);
            host = numa_node;
        }
        if let Some(name) = &place.pcie_root {
            let root = self.vertex(Vertex::PcieRoot(place.node.clone(), name.clone()));
            self.link(root, host, speeds.root);
            host = root;
        }
        self.link(device, host, speeds.pcie);
        match (role, &place.nvlink_domain) {
            (Role::Accelerator, Some(name)) => {
                let domain = self.vertex(Vertex::NvlinkDomain(name.clone()));
                self.link(device, domain, speeds.nvlink);
            }
            (Role::Accelerator, None) => {}
            (Role::Nic, _) => self.link(device, rack, speeds.nic),
        }
    }

    fn vertex(&mut self, vertex: Vertex) -> NodeIndex {
        let graph = &mut self.graph;
        *self.vertices.entry(vertex).or_insert_with_key(|vertex| graph.add_node(vertex.clone()))
    }

    /// One link between two things; the first speed counts.
    fn link(&mut self, a: NodeIndex, b: NodeIndex, speed: u64) {
        if self.graph.find_edge(a, b).is_none() {
            self.graph.add_edge(a, b, speed);
        }
    }

    /// The way between two devices whose slowest link is the fastest; `None` if there is none, or a device is unknown.
    /// Devices of others are no way: data passes a NIC, but not a GPU.
    pub fn path(&self, from: &DeviceId, to: &DeviceId) -> Option<Path> {
        let [from, to] = [from, to].map(|id| self.vertices.get(&Vertex::Device(id.clone())).copied());
        let (from, to) = (from?, to?);
        // A GPU that is not at an end is not passed; it has no other links than to its root and its domain.
        let passable = |index: NodeIndex| {
            index == from
                || index == to
                || !matches!(self.graph[index], Vertex::Device(_))
                || self.is_nic(index)
        };
        let open = petgraph::visit::NodeFiltered::from_fn(&self.graph, passable);
        let cost = |edge: petgraph::graph::EdgeReference<'_, u64>| Slowest::of(*edge.weight());
        let (_, indices) = astar(&open, from, |index| index == to, cost, |_| Slowest::default())?;
        let links: Vec<_> = indices
            .windows(2)
            .filter_map(|pair| self.graph.find_edge_undirected(pair[0], pair[1]))
            .map(|(edge, direction)| (edge, direction == petgraph::Direction::Outgoing))
            .collect();
        let bandwidth = links.iter().map(|(edge, _)| self.graph[*edge]).min().unwrap_or(u64::MAX);
        let vertices = indices.into_iter().map(|index| self.graph[index].clone()).collect();
        Some(Path { vertices, bandwidth, links })
    }

    fn is_nic(&self, index: NodeIndex) -> bool {
        self.graph.neighbors(index).any(|other| matches!(self.graph[other], Vertex::Rack(_)))
    }

    /// The speed of a link.
    fn speed(&self, link: EdgeIndex) -> u64 {
        self.graph[link]
    }

    /// What a link connects.
    fn ends(&self, link: EdgeIndex) -> Option<[Vertex; 2]> {
        let (a, b) = self.graph.edge_endpoints(link)?;
        Some([self.graph[a].to_owned(), self.graph[b].to_owned()])
    }
}

/// The cost of a way: the slower its slowest link, the more; then the number of links.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
struct Slowest {
    /// `u64::MAX` less the speed, so that faster is less.
    lack: u64,
    links: u32,
}

impl Slowest {
    fn of(speed: u64) -> Slowest {
        Slowest { lack: u64::MAX - speed, links: 1 }
    }
}

impl Add for Slowest {
    type Output = Slowest;

    fn add(self, other: Slowest) -> Slowest {
        Slowest { lack: self.lack.max(other.lack), links: self.links.saturating_add(other.links) }
    }
}

impl std::fmt::Display for Vertex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Vertex::Fabric => f.write_str("fabric"),
            Vertex::Rack(None) => f.write_str("rack"),
            Vertex::Rack(Some(name)) => write!(f, "rack {name}"),
            Vertex::Node(name) => write!(f, "node {name}"),
            Vertex::NumaNode(node, number) => write!(f, "NUMA node {number} of {node}"),
            Vertex::PcieRoot(node, name) => write!(f, "PCIe root {name} of {node}"),
            Vertex::NvlinkDomain(name) => write!(f, "NVLink domain {name}"),
            Vertex::Device(DeviceId { driver, pool, device }) => write!(f, "device {driver}/{pool}/{device}"),
        }
    }
}
