//! `NodePorts`: host ports are taken once per node, address and protocol.

use crate::framework::{
    Attempt, Filter, Fits, Plugin, PreFilter, PreFiltered, Reads, Rejected, Verdict, Wake,
};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct NodePorts;

impl Plugin for NodePorts {
    const NAME: &'static str = "NodePorts";
    const READS: Reads = Reads::NodeLocal;
    const WAKES_ON: &'static [Wake] = &[Wake::PodDeleted, Wake::NodeAdded];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod};
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
}
