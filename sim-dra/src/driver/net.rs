//! Network devices: RDMA NICs as `dra.net` publishes them (github.com/google/dranet), and the IMEX channels of
//! `compute-domain.nvidia.com` (github.com/NVIDIA/k8s-dra-driver-gpu, `cmd/compute-domain-kubelet-plugin/deviceinfo.go`).

use serde_json::{Value, json};
use sim_core::engine::random::Stream;
use sim_core::time::Span;

use super::{Answer, Claim, Driver, Pool, Prepared, Service, SliceContent};

/// The driver of NICs.
pub const NIC_DRIVER: &str = "dra.net";
/// The driver of IMEX channels.
pub const IMEX_DRIVER: &str = "compute-domain.nvidia.com";

/// Bus and root complex of the NICs of an HGX machine: each shares its root with the GPU of its number.
const PCI: [(u8, u8); 8] = [
    (0x18, 0x15),
    (0x40, 0x3d),
    (0x4f, 0x4c),
    (0x5e, 0x5b),
    (0x9a, 0x97),
    (0xc0, 0xbd),
    (0xce, 0xcb),
    (0xdc, 0xd9),
];

fn pool(node: &str, devices: Vec<Value>) -> Vec<Pool> {
    let slice = SliceContent { devices, ..SliceContent::default() };
    vec![Pool { name: node.into(), slices: vec![slice] }]
}

/// The NICs of a node.
#[derive(Clone, Debug)]
pub struct Nics {
    count: usize,
    service: Service,
}

impl Nics {
    /// NICs of 400 Gbit/s (ConnectX-7).
    pub fn new(count: usize, service: Service) -> Nics {
        Nics { count, service }
    }

    fn nic(index: usize) -> Value {
        let (domain, place) = (index / PCI.len(), index % PCI.len());
        let (bus, root) = PCI[place];
        json!({
            "name": format!("pci-{domain:04x}-{bus:02x}-00-0"),
            "attributes": {
                // The first is the machine's own.
                "ifName": {"string": format!("eth{}", index + 1)},
                "rdma": {"bool": true},
                "rdmaDevice": {"string": format!("mlx5_{index}")},
                "numaNode": {"int": i64::from(place >= PCI.len() / 2)},
                "mtu": {"int": 9000},
                "virtual": {"bool": false},
                "pciVendor": {"string": "Mellanox Technologies"},
                "pciDevice": {"string": "MT2910 Family [ConnectX-7]"},
                "resource.kubernetes.io/pciBusID": {"string": format!("{domain:04x}:{bus:02x}:00.0")},
                "resource.kubernetes.io/pcieRoot": {"string": format!("pci{domain:04x}:{root:02x}")},
            },
        })
    }
}

impl Driver for Nics {
    fn name(&self) -> &str {
        NIC_DRIVER
    }

    fn pools(&self, node: &str) -> Vec<Pool> {
        pool(node, (0..self.count).map(Nics::nic).collect())
    }

    fn prepare(&mut self, claim: &Claim, random: &mut Stream) -> Answer<Vec<Prepared>> {
        self.service.prepared(Span::ZERO, random, || claim.ready("dra.net/nic"))
    }

    fn unprepare(&mut self, claim: &Claim, random: &mut Stream) -> Answer<()> {
        self.service.unprepared(claim, random)
    }

    fn clone_box(&self) -> Box<dyn Driver> {
        Box::new(self.clone())
    }
}

/// IMEX channels of a node, through which GPUs of several nodes share memory, and the daemon that serves them.
#[derive(Clone, Debug)]
pub struct Imex {
    channels: usize,
    service: Service,
}

impl Imex {
    /// So many channels.
    pub fn new(channels: usize, service: Service) -> Imex {
        Imex { channels, service }
    }
}

impl Driver for Imex {
    fn name(&self) -> &str {
        IMEX_DRIVER
    }

    fn pools(&self, node: &str) -> Vec<Pool> {
        let device = |kind: &str, id: usize| {
            json!({
                "name": format!("{kind}-{id}"),
                "attributes": {"type": {"string": kind}, "id": {"int": id}},
            })
        };
        let channels = (0..self.channels).map(|id| device("channel", id));
        pool(node, std::iter::once(device("daemon", 0)).chain(channels).collect())
    }

    fn prepare(&mut self, claim: &Claim, random: &mut Stream) -> Answer<Vec<Prepared>> {
        self.service.prepared(Span::ZERO, random, || claim.ready("k8s.compute-domain.nvidia.com/claim"))
    }

    fn unprepare(&mut self, claim: &Claim, random: &mut Stream) -> Answer<()> {
        self.service.unprepared(claim, random)
    }

    fn clone_box(&self) -> Box<dyn Driver> {
        Box::new(self.clone())
    }
}
