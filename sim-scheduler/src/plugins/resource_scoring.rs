//! What the two resource plugins share: how much of a resource is there, and how much is asked for
//! (`resource_allocation.go`).

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::config::args::ResourceSpec;
use crate::node::NodeInfo;
use crate::resources::{Resources, is_scalar};

/// A resource, told apart once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Cpu,
    Memory,
    EphemeralStorage,
    Scalar(SmolStr),
    /// Not counted.
    Other,
}

impl Resource {
    pub(super) fn of(name: &str) -> Resource {
        match name {
            "cpu" => Resource::Cpu,
            "memory" => Resource::Memory,
            "ephemeral-storage" => Resource::EphemeralStorage,
            _ if is_scalar(name) => Resource::Scalar(SmolStr::new(name)),
            _ => Resource::Other,
        }
    }

    fn amount(&self, resources: &Resources) -> i64 {
        match self {
            Resource::Cpu => resources.milli_cpu,
            Resource::Memory => resources.memory,
            Resource::EphemeralStorage => resources.ephemeral_storage,
            Resource::Scalar(name) => resources.scalar(name),
            Resource::Other => 0,
        }
    }
}

/// A resource with what the pod asks of it.
#[derive(Clone, Debug)]
pub struct Asked {
    resource: Resource,
    amount: i64,
    /// Weight of the resource.
    pub(super) weight: i64,
}

/// What a pod with these requests asks of the resources that count.
pub(super) fn asked(specs: &[ResourceSpec], requests: &Resources) -> SmallVec<[Asked; 2]> {
    specs
        .iter()
        .map(|spec| {
            let resource = Resource::of(&spec.name);
            let amount = resource.amount(requests);
            Asked { resource, amount, weight: spec.weight }
        })
        .collect()
}

impl Asked {
    /// True if the pod asks for none of it.
    pub(super) fn is_zero(&self) -> bool {
        self.amount == 0
    }

    /// Requested by all pods and this one, and allocatable. Scalar resources that the pod does not ask for, and
    /// resources that the node does not have, are (0, 0) and do not count.
    pub(super) fn on(&self, node: &NodeInfo, non_zero: bool) -> (i64, i64) {
        if self.amount == 0 && matches!(self.resource, Resource::Scalar(_)) {
            return (0, 0);
        }
        let used = match self.resource {
            Resource::Cpu if non_zero => node.non_zero_requested.0,
            Resource::Memory if non_zero => node.non_zero_requested.1,
            _ => self.resource.amount(&node.requested),
        };
        match self.resource.amount(&node.allocatable) {
            0 => (0, 0),
            allocatable => (used.wrapping_add(self.amount), allocatable),
        }
    }
}
