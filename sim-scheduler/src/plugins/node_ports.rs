//! `NodePorts`: host ports are taken once per node, address and protocol.

use sim_core::api::object::Object;
use sim_core::helpers::ports::host_ports;

use crate::cache::Objects;
use crate::framework::{
    ActionType, Attempt, ClusterEvent, EventChange, EventResource, Filter, Fits, Hint, Plugin, PreFilter,
    PreFiltered, QueueingHint, Reads, Rejected, Verdict, Wake,
};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct NodePorts;

impl Plugin for NodePorts {
    const NAME: &'static str = "NodePorts";
    const READS: Reads = Reads::NodeLocal;
    type Cycle = ();
    fn pre_filter(&self, _: &PodInfo) {}
}

impl PreFilter for NodePorts {
    fn check(&self, (): &mut (), attempt: &Attempt<'_>) -> PreFiltered {
        if attempt.pod.host_ports.is_empty() { PreFiltered::Skip } else { PreFiltered::Proceed }
    }
}

impl Filter for NodePorts {
    fn filter(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if pod.host_ports.iter().any(|wanted| node.used_ports.conflicts(wanted)) {
            return Rejected("node(s) didn't have free ports for the requested pod ports");
        }
        Fits
    }
}

impl QueueingHint for NodePorts {
    const BY_CLASS: bool = true;

    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::new(EventResource::Pod, ActionType::DELETE), Wake::NodeAdded]
    }

    fn hint(&self, pod: &PodInfo, _: &Object, change: &EventChange<'_>, _: &Objects) -> Hint {
        if change.event.resource == EventResource::Node {
            return Hint::Queue;
        }
        let Some(old) = change.old.and_then(Object::as_pod) else { return Hint::Queue };
        let placed = !old.node_name.is_empty() || !old.status.nominated_node_name.is_empty();
        let conflict = || {
            let freed = host_ports(&old.spec);
            freed.iter().any(|freed| pod.host_ports.iter().any(|wanted| wanted.conflicts(freed)))
        };
        Hint::queue_if(placed && conflict())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ask, node, on, pod};
    use serde_json::json;
    use sim_core::api::meta::Uid;
    use std::sync::Arc;

    #[test]
    fn ports_conflict_by_address_protocol_and_number() {
        let with = |port: serde_json::Value| pod("p").container("ports", json!([port])).info();
        let used = json!({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.1"});
        let mut node = node("n").info();
        node.add_pod(Uid(1), Arc::new(with(used)));
        for (port, fits) in [
            (json!({"containerPort": 1, "hostPort": 80}), false),
            (json!({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.1"}), false),
            (json!({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.2"}), true),
            (json!({"containerPort": 1, "hostPort": 80, "protocol": "UDP"}), true),
            (json!({"containerPort": 1, "hostPort": 81}), true),
            (json!({"containerPort": 80}), true),
        ] {
            assert_eq!(NodePorts.filter(&(), &with(port.clone()), &node).fits(), fits, "{port}");
        }
        assert!(node.remove_pod(Uid(1)) && node.used_ports.is_empty());
    }

    #[test]
    fn what_helps() {
        let with =
            |port: i32| pod("p").container("ports", json!([{"containerPort": 1, "hostPort": port}])).build();
        let waiting = with(80);
        let deleted = Wake::PodDeleted;
        for (event, old, hint) in [
            (deleted, Some(on(with(80), "n")), Hint::Queue),
            (deleted, Some(on(with(81), "n")), Hint::Skip),
            (deleted, Some(on(pod("q").build(), "n")), Hint::Skip),
            (deleted, Some(with(80)), Hint::Skip),
            (deleted, Some(node("n").build()), Hint::Queue),
            (Wake::NodeAdded, None, Hint::Queue),
        ] {
            assert_eq!(ask(&NodePorts, &waiting, event, old.as_ref(), None), hint, "{old:?}");
        }
    }
}
