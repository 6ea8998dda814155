//! GPUs as `gpu.nvidia.com` publishes them (github.com/NVIDIA/k8s-dra-driver-gpu, `cmd/gpu-kubelet-plugin/deviceinfo.go`).

use serde_json::{Value, json};
use sim_core::api::meta::Uid;
use sim_core::engine::random::Stream;
use sim_core::time::Span;

use super::{Answer, Claim, Driver, Pool, Prepared, Service, SliceContent};

/// The name of the driver.
pub const GPU_DRIVER: &str = "gpu.nvidia.com";

/// A GPU one can buy: what `nvidia-smi` says of it.
#[derive(Debug, PartialEq)]
pub struct Product {
    /// What scenarios call it.
    pub key: &'static str,
    /// `productName`.
    pub name: &'static str,
    /// `architecture`.
    pub architecture: &'static str,
    /// `cudaComputeCapability`.
    pub compute: &'static str,
    /// Memory in MiB.
    pub memory: u32,
}

/// H100 SXM5, 80 GB.
pub static H100_80GB: Product = Product {
    key: "h100-80gb",
    name: "NVIDIA H100 80GB HBM3",
    architecture: "Hopper",
    compute: "9.0.0",
    memory: 81559,
};
/// H200 SXM5, 141 GB.
pub static H200_141GB: Product = Product {
    key: "h200-141gb",
    name: "NVIDIA H200",
    architecture: "Hopper",
    compute: "9.0.0",
    memory: 143_771,
};
/// A100 SXM4, 80 GB.
pub static A100_80GB: Product = Product {
    key: "a100-80gb",
    name: "NVIDIA A100-SXM4-80GB",
    architecture: "Ampere",
    compute: "8.0.0",
    memory: 81920,
};
/// A100 SXM4, 40 GB.
pub static A100_40GB: Product = Product {
    key: "a100-40gb",
    name: "NVIDIA A100-SXM4-40GB",
    architecture: "Ampere",
    compute: "8.0.0",
    memory: 40960,
};
/// L4, 24 GB.
pub static L4: Product =
    Product { key: "l4", name: "NVIDIA L4", architecture: "Ada Lovelace", compute: "8.9.0", memory: 23034 };
/// T4, 16 GB.
pub static T4: Product =
    Product { key: "t4", name: "Tesla T4", architecture: "Turing", compute: "7.5.0", memory: 15360 };

/// All products.
pub static PRODUCTS: [&Product; 6] = [&H100_80GB, &H200_141GB, &A100_80GB, &A100_40GB, &L4, &T4];

impl Product {
    /// The product of a name in scenarios.
    pub fn named(key: &str) -> Option<&'static Product> {
        PRODUCTS.into_iter().find(|product| product.key == key)
    }
}

/// Bus and root complex of the GPUs of an HGX board, as such machines list them. The first four are on NUMA node 0.
const PCI: [(u8, u8); 8] = [
    (0x1b, 0x15),
    (0x43, 0x3d),
    (0x52, 0x4c),
    (0x61, 0x5b),
    (0x9d, 0x97),
    (0xc3, 0xbd),
    (0xd1, 0xcb),
    (0xdf, 0xd9),
];

/// PCI address and root of the n-th GPU. Beyond eight there is one root more for each, in a domain of its own.
fn pci(index: usize) -> (String, String) {
    let (domain, (bus, root)) = (index / PCI.len(), PCI[index % PCI.len()]);
    (format!("{domain:04x}:{bus:02x}:00.0"), format!("pci{domain:04x}:{root:02x}"))
}

/// Equal GPUs of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuGroup {
    /// What they are.
    pub product: &'static Product,
    /// How many.
    pub count: usize,
}

impl GpuGroup {
    /// GPUs that are given away whole.
    pub fn whole(product: &'static Product, count: usize) -> GpuGroup {
        GpuGroup { product, count }
    }
}

/// The GPUs of a node.
#[derive(Clone, Debug)]
pub struct Gpus {
    groups: Vec<GpuGroup>,
    service: Service,
    /// By number of a GPU: how often it has been replaced.
    replaced: Vec<(usize, u32)>,
}

/// A GPU and its number on the node.
struct Gpu<'a> {
    group: &'a GpuGroup,
    index: usize,
    uuid: String,
}

impl Gpus {
    /// The GPUs of a node, numbered through all groups.
    pub fn new(groups: Vec<GpuGroup>, service: Service) -> Gpus {
        Gpus { groups, service, replaced: Vec::new() }
    }

    fn gpus<'a>(&'a self, node: &'a str) -> impl Iterator<Item = Gpu<'a>> {
        let all = self.groups.iter().flat_map(|group| std::iter::repeat_n(group, group.count));
        all.enumerate().map(move |(index, group)| {
            let times = self.replaced.iter().find(|r| r.0 == index).map_or(0, |r| r.1);
            let uuid = format!("GPU-{}", Uid::parse(&format!("{GPU_DRIVER}/{node}/{index}/{times}")));
            Gpu { group, index, uuid }
        })
    }
}

impl Gpu<'_> {
    /// What the driver says of all that is on this GPU.
    fn attributes(&self, kind: &str) -> Value {
        let (bus_id, root) = pci(self.index);
        let product = self.group.product;
        json!({
            "type": {"string": kind},
            "productName": {"string": product.name},
            "brand": {"string": "Nvidia"},
            "architecture": {"string": product.architecture},
            "cudaComputeCapability": {"version": product.compute},
            "driverVersion": {"version": "550.54.15"},
            "cudaDriverVersion": {"version": "12.4.0"},
            "resource.kubernetes.io/pciBusID": {"string": bus_id},
            "resource.kubernetes.io/pcieRoot": {"string": root},
        })
    }

    fn whole(&self) -> Value {
        let mut attributes = self.attributes("gpu");
        attributes["uuid"] = json!({"string": self.uuid});
        json!({
            "name": format!("gpu-{}", self.index),
            "attributes": attributes,
            "capacity": {"memory": {"value": format!("{}Mi", self.group.product.memory)}},
        })
    }
}

impl Driver for Gpus {
    fn name(&self) -> &str {
        GPU_DRIVER
    }

    fn pools(&self, node: &str) -> Vec<Pool> {
        let whole = SliceContent {
            devices: self.gpus(node).map(|gpu| gpu.whole()).collect(),
            ..SliceContent::default()
        };
        vec![Pool { name: node.into(), slices: vec![whole] }]
    }

    fn prepare(&mut self, claim: &Claim, random: &mut Stream) -> Answer<Vec<Prepared>> {
        self.service.prepared(Span::ZERO, random, || claim.ready("k8s.gpu.nvidia.com/claim"))
    }

    fn unprepare(&mut self, claim: &Claim, random: &mut Stream) -> Answer<()> {
        self.service.unprepared(claim, random)
    }

    /// A GPU takes its partitions with it: `gpu-3-mig-…` is part of `gpu-3`.
    fn is_part(&self, device: &str, of: &str) -> bool {
        device.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with("-mig-"))
    }

    fn replaced(&mut self, hardware: &str) {
        let Some(index) = hardware.strip_prefix("gpu-").and_then(|n| n.parse().ok()) else { return };
        match self.replaced.iter_mut().find(|r| r.0 == index) {
            Some((_, times)) => *times += 1,
            None => self.replaced.push((index, 1)),
        }
    }

    fn clone_box(&self) -> Box<dyn Driver> {
        Box::new(self.clone())
    }
}
