//! GPUs as `gpu.nvidia.com` publishes them (github.com/NVIDIA/k8s-dra-driver-gpu, `cmd/gpu-kubelet-plugin/deviceinfo.go`).

use serde_json::{Value, json};
use sim_core::api::meta::Uid;
use sim_core::engine::random::Stream;
use sim_core::time::Span;

use super::mig::{self, Profile};
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
    /// Its MIG partitions, the whole GPU last; empty if it has none, or none are modelled.
    pub mig: &'static [Profile],
}

/// H100 SXM5, 80 GB.
pub static H100_80GB: Product = Product {
    key: "h100-80gb",
    name: "NVIDIA H100 80GB HBM3",
    architecture: "Hopper",
    compute: "9.0.0",
    memory: 81559,
    mig: &mig::H100,
};
/// H200 SXM5, 141 GB.
pub static H200_141GB: Product = Product {
    key: "h200-141gb",
    name: "NVIDIA H200",
    architecture: "Hopper",
    compute: "9.0.0",
    memory: 143_771,
    mig: &[],
};
/// A100 SXM4, 80 GB.
pub static A100_80GB: Product = Product {
    key: "a100-80gb",
    name: "NVIDIA A100-SXM4-80GB",
    architecture: "Ampere",
    compute: "8.0.0",
    memory: 81920,
    mig: &[],
};
/// A100 SXM4, 40 GB.
pub static A100_40GB: Product = Product {
    key: "a100-40gb",
    name: "NVIDIA A100-SXM4-40GB",
    architecture: "Ampere",
    compute: "8.0.0",
    memory: 40960,
    mig: &mig::A100,
};
/// L4, 24 GB.
pub static L4: Product = Product {
    key: "l4",
    name: "NVIDIA L4",
    architecture: "Ada Lovelace",
    compute: "8.9.0",
    memory: 23034,
    mig: &[],
};
/// T4, 16 GB.
pub static T4: Product = Product {
    key: "t4",
    name: "Tesla T4",
    architecture: "Turing",
    compute: "7.5.0",
    memory: 15360,
    mig: &[],
};

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

/// How a GPU is given away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Whole, to one claim.
    #[default]
    Exclusive,
    /// Whole, or in any partition that fits beside those that there are. Needs `DRAPartitionableDevices`.
    Mig,
    /// To so many claims at a time, which take turns and see all of its memory. Needs `DRAConsumableCapacity`.
    // DIFFERS: the driver shares a GPU among the pods of one claim, as its configuration says; this is what KEP-5075 lets
    // it publish instead, which needs no claim that everybody knows.
    TimeSlicing(u32),
    /// As before, by portions of its threads and memory; a claim that asks for none gets its part of so many. Needs
    /// `DRAConsumableCapacity`.
    Mps(u32),
}

/// Equal GPUs of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuGroup {
    /// What they are.
    pub product: &'static Product,
    /// How many.
    pub count: usize,
    /// How they are given away.
    pub sharing: Sharing,
}

impl GpuGroup {
    /// GPUs that are given away whole.
    pub fn whole(product: &'static Product, count: usize) -> GpuGroup {
        GpuGroup { product, count, sharing: Sharing::Exclusive }
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

    /// A partition has to be made, and each client of MPS has a daemon here.
    fn takes_set_up(&self, device: &str) -> bool {
        let Some(number) = device.strip_prefix("gpu-") else { return false };
        let mut groups = self.groups.iter().flat_map(|group| std::iter::repeat_n(group, group.count));
        match number.parse().ok().and_then(|n| groups.nth(n)) {
            Some(group) => matches!(group.sharing, Sharing::Mps(_)),
            None => number.contains("-mig-"),
        }
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
        let memory = self.group.product.memory;
        let mut device = json!({
            "name": format!("gpu-{}", self.index),
            "attributes": attributes,
            "capacity": {"memory": {"value": format!("{memory}Mi")}},
        });
        let portions = |default: String, max: String, step: &str| json!({"default": default, "validRange": {"min": step, "max": max, "step": step}});
        match self.group.sharing {
            Sharing::Exclusive | Sharing::Mig => {}
            Sharing::TimeSlicing(ways) => {
                let ways = ways.max(1).to_string();
                let policy = portions("1".to_owned(), ways.clone(), "1");
                device["allowMultipleAllocations"] = true.into();
                // Without a policy the first claim would take all of it.
                device["capacity"]["memory"]["requestPolicy"] = json!({"default": "0"});
                device["capacity"]["timeSlices"] = json!({"value": ways, "requestPolicy": policy});
            }
            Sharing::Mps(ways) => {
                let ways = ways.clamp(1, 100);
                let policy = portions((100 / ways).to_string(), "100".to_owned(), "1");
                device["allowMultipleAllocations"] = true.into();
                device["capacity"]["threadPercentage"] = json!({"value": "100", "requestPolicy": policy});
                device["capacity"]["memory"]["requestPolicy"] =
                    portions(format!("{}Mi", memory / ways), format!("{memory}Mi"), "1Mi");
            }
        }
        device
    }

    /// The whole GPU and its partitions, in a slice of their own: counters are shared within a slice.
    fn partitions(&self) -> SliceContent {
        let mut whole = self.attributes("gpu");
        whole["uuid"] = json!({"string": self.uuid});
        let mut part = self.attributes("mig");
        part["parentUUID"] = json!({"string": self.uuid});
        let name = format!("gpu-{}", self.index);
        let (devices, shared_counters) = mig::devices(&name, self.group.product.mig, &whole, &part);
        SliceContent { devices, shared_counters }
    }
}

impl Driver for Gpus {
    fn name(&self) -> &str {
        GPU_DRIVER
    }

    fn pools(&self, node: &str) -> Vec<Pool> {
        let in_parts = |gpu: &Gpu<'_>| gpu.group.sharing == Sharing::Mig && !gpu.group.product.mig.is_empty();
        let (parts, whole): (Vec<_>, Vec<_>) = self.gpus(node).partition(in_parts);
        let devices: Vec<Value> = whole.iter().map(Gpu::whole).collect();
        let whole = SliceContent { devices, ..SliceContent::default() };
        let slices = Some(whole).filter(|s| !s.devices.is_empty() || parts.is_empty()).into_iter();
        vec![Pool { name: node.into(), slices: slices.chain(parts.iter().map(Gpu::partitions)).collect() }]
    }

    fn prepare(&mut self, claim: &Claim, random: &mut Stream) -> Answer<Vec<Prepared>> {
        let mut set_up = Span::ZERO;
        for result in &claim.results {
            if self.takes_set_up(&result.device) {
                set_up = set_up + self.service.set_up.sample(random);
            }
        }
        self.service.prepared(set_up, random, || claim.ready("k8s.gpu.nvidia.com/claim"))
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
