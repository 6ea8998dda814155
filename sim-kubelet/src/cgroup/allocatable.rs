//! What of a node is for pods: reserved for scheduling, enforced by the top cgroup
//! (pkg/kubelet/cm/node_container_manager_linux.go).

use sim_core::helpers::resources::ResourceList;
use sim_core::quantity::{Format, Quantity};

use super::cpu::shares;
use super::pod::{ResourceConfig, huge_page_limits};
use crate::eviction::threshold::{Operator, Signal, Threshold};

/// What the administrator keeps back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reserved {
    /// `kubeReserved`.
    pub kube: ResourceList,
    /// `systemReserved`.
    pub system: ResourceList,
}

/// A node that reserves more than it has. The kubelet does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid Node Allocatable configuration. {}", .0.join(" "))]
pub struct InvalidReservation(pub Vec<String>);

/// What hard eviction thresholds keep free: memory and the storage of the kubelet only (`hardEvictionReservation`).
pub fn hard_eviction_reservation(thresholds: &[Threshold], capacity: &ResourceList) -> ResourceList {
    let mut reserved = ResourceList::default();
    for threshold in thresholds.iter().filter(|t| t.operator == Operator::LessThan) {
        let resource = match threshold.signal {
            Signal::MemoryAvailable => "memory",
            Signal::NodeFsAvailable => "ephemeral-storage",
            _ => continue,
        };
        let zero = Quantity::new(0, Format::BinarySI);
        reserved.set(resource, threshold.value.quantity(capacity.get(resource).unwrap_or(&zero)));
    }
    reserved
}

/// What is kept from scheduling, per resource the node has (`GetNodeAllocatableReservation`): both reservations, and what
/// hard eviction thresholds keep free. Resources of which nothing is reserved are left out.
pub fn reservation(capacity: &ResourceList, reserved: &Reserved, hard: &[Threshold]) -> ResourceList {
    let eviction = hard_eviction_reservation(hard, capacity);
    let mut result = ResourceList::default();
    for (name, _) in capacity.iter() {
        let mut sum = Quantity::new(0, Format::DecimalSI);
        [&reserved.system, &reserved.kube, &eviction]
            .into_iter()
            .filter_map(|list| list.get(name))
            .for_each(|amount| sum.add(amount));
        if !sum.is_zero() {
            result.set(name, sum);
        }
    }
    result
}

/// What the top cgroup of pods may use (`GetNodeAllocatableAbsolute`): eviction thresholds do not count, so that pods can
/// reach them.
pub fn enforced(capacity: &ResourceList, reserved: &Reserved) -> ResourceList {
    let mut result = ResourceList::default();
    for (name, amount) in capacity.iter() {
        let mut left = amount.clone();
        for list in [&reserved.system, &reserved.kube] {
            if let Some(taken) = list.get(name) {
                left.sub(taken);
            }
        }
        if left.sign() < 0 {
            left = Quantity::new(0, left.format());
        }
        result.set(name, left);
    }
    result
}

/// Refuses a reservation of more than there is (`validateNodeAllocatable`).
///
/// # Errors
/// Names every such resource, in the order of their names.
pub fn validate(
    capacity: &ResourceList,
    reserved: &Reserved,
    hard: &[Threshold],
) -> Result<(), InvalidReservation> {
    let mut errors = Vec::new();
    for (name, amount) in reservation(capacity, reserved, hard).iter() {
        let has = capacity.get(name).cloned().unwrap_or_else(|| Quantity::new(0, Format::DecimalSI));
        if *amount > has {
            errors.push(format!(
                "Resource {name:?} has a reservation of {amount} but capacity of {has}. Expected capacity >= reservation.",
            ));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(InvalidReservation(errors)) }
}

/// What is written to a cgroup that is given so much (`getCgroupConfig`): weight, `memory.max`, `pids.max` (resource
/// `pid`) and huge pages, never a CPU quota. `compressible_only` leaves the weight alone.
pub fn cgroup_config(list: &ResourceList, compressible_only: bool) -> ResourceConfig {
    let mut config = ResourceConfig {
        cpu_shares: list.get("cpu").map(|q| shares(q.milli_value())),
        ..ResourceConfig::default()
    };
    if !compressible_only {
        config.memory = list.get("memory").map(Quantity::value);
        config.pids = list.get("pid").map(Quantity::value);
        config.huge_page_limit = huge_page_limits(list);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eviction::threshold::ThresholdValue;

    fn list(text: &str) -> ResourceList {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, q)| (name, Quantity::parse(q).unwrap())).collect()
    }

    fn hard(signal: Signal, value: &str) -> Threshold {
        Threshold {
            signal,
            operator: Operator::LessThan,
            value: ThresholdValue::parse(value).unwrap(),
            ..Threshold::default()
        }
    }

    fn reserved() -> Reserved {
        Reserved { kube: list("cpu=100m memory=1Gi"), system: list("cpu=100m pid=100") }
    }

    #[test]
    fn eviction_counts_for_scheduling_and_not_for_the_cgroup() {
        let capacity = list("cpu=4 memory=16Gi ephemeral-storage=100Gi pid=1000 pods=110");
        let hard = [hard(Signal::MemoryAvailable, "100Mi"), hard(Signal::NodeFsAvailable, "10%")];
        let got = reservation(&capacity, &reserved(), &hard);
        let tenth = (100_f64 * 1024.0 * 1024.0 * 1024.0 * f64::from(10_f32 / 100.0)) as i64;
        let mut want = list("cpu=200m memory=1124Mi pid=100");
        want.set("ephemeral-storage", Quantity::new(tenth, Format::BinarySI));
        assert_eq!(got, want);
        let left = enforced(&capacity, &reserved());
        assert_eq!(left, list("cpu=3800m memory=15Gi ephemeral-storage=100Gi pid=900 pods=110"));
        let config = cgroup_config(&left, false);
        assert_eq!(config.cpu_shares, Some(3891));
        assert_eq!((config.memory, config.pids), (Some(15 << 30), Some(900)));
        assert_eq!(cgroup_config(&left, true).memory, None);
    }

    #[test]
    fn nobody_reserves_more_than_there_is() {
        let capacity = list("cpu=200m memory=512Mi");
        assert_eq!(enforced(&capacity, &reserved()), list("cpu=0 memory=0"));
        let error = validate(&capacity, &reserved(), &[]).unwrap_err().to_string();
        assert_eq!(
            error,
            "invalid Node Allocatable configuration. Resource \"memory\" has a reservation of 1Gi but capacity of \
             512Mi. Expected capacity >= reservation."
        );
        assert!(validate(&list("cpu=200m memory=1Gi"), &reserved(), &[]).is_ok());
    }
}
