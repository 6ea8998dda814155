//! What the two resource plugins share: how much of a resource is there, and how much is asked for
//! (`resource_allocation.go`).

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::cache::NodeColumns;
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

/// A resource that a pod asks of all nodes.
pub(super) struct AskedColumn<'a> {
    used: &'a [i64],
    allocatable: &'a [i64],
    amount: i64,
    /// Weight of the resource.
    pub(super) weight: i64,
}

impl AskedColumn<'_> {
    /// As [`Asked::on`], of the node at a position.
    #[inline]
    pub(super) fn at(&self, at: usize) -> (i64, i64) {
        match self.allocatable[at] {
            0 => (0, 0),
            allocatable => (self.used[at].wrapping_add(self.amount), allocatable),
        }
    }
}

/// The columns of all these resources; `None` if one of them has none.
pub(super) fn asked_columns<'a>(
    asked: &[Asked],
    columns: &'a NodeColumns,
    non_zero: bool,
) -> Option<SmallVec<[AskedColumn<'a>; 2]>> {
    let of = |asked: &Asked| {
        let (used, allocatable) = match asked.resource {
            Resource::Cpu if non_zero => (&columns.non_zero_cpu, &columns.allocatable_cpu),
            Resource::Memory if non_zero => (&columns.non_zero_memory, &columns.allocatable_memory),
            Resource::Cpu => (&columns.requested_cpu, &columns.allocatable_cpu),
            Resource::Memory => (&columns.requested_memory, &columns.allocatable_memory),
            Resource::EphemeralStorage => {
                (&columns.requested_ephemeral_storage, &columns.allocatable_ephemeral_storage)
            }
            Resource::Scalar(_) | Resource::Other => return None,
        };
        Some(AskedColumn { used, allocatable, amount: asked.amount, weight: asked.weight })
    };
    asked.iter().map(of).collect()
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
