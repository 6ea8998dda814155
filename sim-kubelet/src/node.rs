//! The node object as its kubelet writes it: registration, status, and the heartbeats nobody sends.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{NodeAddress, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta_v1;
use sim_core::api::meta::{Key, Labels, Meta};
use sim_core::api::object::{Body, Node, Object};
use sim_core::quantity;
use sim_core::time::{Epoch, Span, Time, secs};
use smol_str::SmolStr;

/// Resources by name, as on the wire.
pub type ResourceList = BTreeMap<String, Quantity>;

/// `nodeLeaseDurationSeconds`.
pub const LEASE_DURATION: Span = secs(40);
/// A quarter of the lease's duration.
pub const LEASE_RENEWAL: Span = secs(10);
/// `nodeStatusReportFrequency`.
pub const STATUS_REPORT: Span = secs(300);
/// Set on nodes that are not ready.
pub const NOT_READY_TAINT: &str = "node.kubernetes.io/not-ready";

/// A node that joins the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeConfig {
    /// Name.
    pub name: SmolStr,
    /// Labels beside those the kubelet sets.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
    /// Taints it registers with.
    pub taints: Vec<Taint>,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// `spec.podCIDR`; empty = chosen by the fleet.
    pub pod_cidr: String,
    /// What the machine has. `pods` defaults to 110 (`maxPods`).
    pub capacity: ResourceList,
    /// Taken off the capacity: `kubeReserved`, `systemReserved` and hard eviction thresholds together.
    pub reserved: ResourceList,
    /// Images that are there from the beginning.
    pub images: Vec<SmolStr>,
}

impl NodeConfig {
    /// Capacity with the defaults filled in.
    fn full_capacity(&self) -> ResourceList {
        let mut capacity = self.capacity.clone();
        capacity.entry("pods".into()).or_insert_with(|| Quantity("110".into()));
        capacity
    }

    /// The object this node registers with.
    pub fn object(&self, epoch: Epoch, now: Time, address: &str) -> Object {
        let mut meta = Meta::named(Key::cluster(self.name.clone()));
        let own = [
            ("beta.kubernetes.io/arch", "amd64"),
            ("beta.kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
            ("kubernetes.io/hostname", self.name.as_str()),
            ("kubernetes.io/os", "linux"),
        ];
        let mut labels: Labels = own.map(|(k, v)| (k.to_string(), v.to_string())).into();
        labels.extend(self.labels.clone());
        meta.labels = Arc::new(labels);
        meta.annotations = Arc::new(self.annotations.clone());
        let capacity = self.full_capacity();
        let spec = NodeSpec {
            taints: (!self.taints.is_empty()).then(|| self.taints.clone()),
            unschedulable: self.unschedulable.then_some(true),
            pod_cidr: (!self.pod_cidr.is_empty()).then(|| self.pod_cidr.clone()),
            ..NodeSpec::default()
        };
        let status = NodeStatus {
            allocatable: Some(allocatable(&capacity, &self.reserved)),
            capacity: Some(capacity),
            addresses: Some(addresses(&self.name, address)),
            conditions: Some(conditions(epoch, now)),
            node_info: Some(node_info()),
            ..NodeStatus::default()
        };
        Object::new(meta, Body::Node(Node { spec: Arc::new(spec), status: Arc::new(status) }))
    }
}

fn addresses(name: &str, address: &str) -> Vec<NodeAddress> {
    let of = |type_: &str, address: &str| NodeAddress { address: address.into(), type_: type_.into() };
    vec![of("InternalIP", address), of("Hostname", name)]
}

fn node_info() -> NodeSystemInfo {
    NodeSystemInfo {
        architecture: "amd64".into(),
        container_runtime_version: "containerd://2.1.4".into(),
        kubelet_version: "v1.34.1".into(),
        operating_system: "linux".into(),
        ..NodeSystemInfo::default()
    }
}

/// Allocatable: capacity less what is reserved, never below zero; reserved huge pages come off memory too.
pub fn allocatable(capacity: &ResourceList, reserved: &ResourceList) -> ResourceList {
    let parse = |q: &Quantity| quantity::Quantity::parse(&q.0).ok();
    let mut out = capacity.clone();
    let mut take = |name: &str, amount: &quantity::Quantity| {
        let Some(left) = out.get(name).and_then(parse) else { return };
        let mut left = left;
        left.sub(amount);
        let text = if left.sign() < 0 { "0".to_string() } else { left.canonical() };
        out.insert(name.to_string(), Quantity(text));
    };
    for (name, amount) in reserved.iter().filter_map(|(n, q)| Some((n, parse(q)?))) {
        take(name, &amount);
    }
    for (_, amount) in capacity.iter().filter(|(n, _)| n.starts_with("hugepages-")) {
        if let Some(amount) = parse(amount) {
            take("memory", &amount);
        }
    }
    out
}

/// The conditions of a healthy node, in upstream's order and words.
pub fn conditions(epoch: Epoch, now: Time) -> Vec<NodeCondition> {
    let at = || Some(meta_v1::Time(epoch.timestamp(now.truncate_to_secs())));
    let of = |type_: &str, status: &str, reason: &str, message: &str| NodeCondition {
        type_: type_.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_heartbeat_time: at(),
        last_transition_time: at(),
    };
    vec![
        of(
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        of("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        of("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        of("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]
}

/// Whether a node's status says that it is ready.
pub fn is_ready(node: &Node) -> bool {
    node.status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// A node's status completed as a kubelet that starts there would: ready, with allocatable and an address. `None` if
/// there is nothing to complete.
pub fn completed_status(
    node: &Node,
    name: &str,
    epoch: Epoch,
    now: Time,
    address: &str,
) -> Option<NodeStatus> {
    let complete = is_ready(node) && node.status.allocatable.is_some();
    if complete {
        return None;
    }
    let mut status = NodeStatus::clone(&node.status);
    status.conditions = Some(conditions(epoch, now));
    let capacity = status.capacity.get_or_insert_with(|| status.allocatable.clone().unwrap_or_default());
    capacity.entry("pods".into()).or_insert_with(|| Quantity("110".into()));
    status.allocatable.get_or_insert_with(|| allocatable(capacity, &ResourceList::new()));
    status.addresses.get_or_insert_with(|| addresses(name, address));
    status.node_info.get_or_insert_with(node_info);
    Some(status)
}

/// `spec.renewTime` of a node's Lease at an instant: the last renewal by then. Renewals are no events.
pub fn lease_at(joined: Time, now: Time) -> Time {
    last_multiple(joined, LEASE_RENEWAL, now)
}

/// `lastHeartbeatTime` of a node's conditions at an instant.
pub fn heartbeat_at(joined: Time, now: Time) -> Time {
    last_multiple(joined, STATUS_REPORT, now)
}

fn last_multiple(from: Time, period: Span, now: Time) -> Time {
    let since = (now - from).0.max(0);
    from + Span(since - since % period.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[(&str, &str)]) -> ResourceList {
        items.iter().map(|(k, v)| (k.to_string(), Quantity(v.to_string()))).collect()
    }

    #[test]
    fn allocatable_is_what_is_left() {
        let capacity = list(&[("cpu", "4"), ("memory", "16Gi"), ("hugepages-2Mi", "2Gi"), ("pods", "110")]);
        let got = allocatable(&capacity, &list(&[("cpu", "100m"), ("memory", "1Gi")]));
        let want = [("cpu", "3900m"), ("memory", "13Gi"), ("hugepages-2Mi", "2Gi"), ("pods", "110")];
        assert_eq!(got, list(&want));
        assert_eq!(allocatable(&capacity, &list(&[("cpu", "5")]))["cpu"].0, "0");
    }

    #[test]
    fn heartbeats_are_computed() {
        let joined = Time::ZERO + secs(3);
        assert_eq!(lease_at(joined, Time::ZERO + secs(57)), Time::ZERO + secs(53));
        assert_eq!(lease_at(joined, Time::ZERO), joined);
        assert_eq!(heartbeat_at(joined, Time::ZERO + secs(302)), joined);
        assert_eq!(heartbeat_at(joined, Time::ZERO + secs(303)), joined + STATUS_REPORT);
    }

    #[test]
    fn a_node_registers_ready() {
        let config =
            NodeConfig { name: "n1".into(), capacity: list(&[("cpu", "4")]), ..NodeConfig::default() };
        let object = config.object(Epoch::default(), Time::ZERO, "10.0.0.1");
        let node = object.as_node().unwrap();
        assert!(is_ready(node));
        assert_eq!(node.status.allocatable.as_ref().unwrap()["pods"].0, "110");
        assert_eq!(object.meta.label("kubernetes.io/hostname"), Some("n1"));
        assert_eq!(completed_status(node, "n1", Epoch::default(), Time::ZERO, ""), None);
        let bare =
            completed_status(&Node::default(), "n1", Epoch::default(), Time::ZERO, "10.0.0.1").unwrap();
        assert_eq!(bare.allocatable.unwrap()["pods"].0, "110");
    }
}
