//! `NodeUnschedulable`: cordoned nodes take no pods, unless these tolerate it.

use k8s_openapi::api::core::v1::Taint;
use sim_core::helpers::taints::{NO_SCHEDULE, tolerate};

use crate::framework::{Filter, Fits, Plugin, Reads, Unresolvable, Verdict, Wake};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    const NAME: &'static str = "NodeUnschedulable";
    const READS: Reads = Reads::NodeLocal;
    const WAKES_ON: &'static [Wake] = &[Wake::NodeAdded, Wake::NodeTaints, Wake::OwnTolerations];
    /// True if the pod tolerates cordoned nodes.
    type Cycle = bool;

    fn pre_filter(&self, pod: &PodInfo) -> bool {
        let cordon = Taint {
            key: "node.kubernetes.io/unschedulable".to_owned(),
            effect: NO_SCHEDULE.to_owned(),
            ..Taint::default()
        };
        tolerate(pod.spec.tolerations.as_deref().unwrap_or(&[]), &cordon)
    }
}

impl Filter for NodeUnschedulable {
    fn filter(&self, tolerates: &bool, _: &PodInfo, node: &NodeInfo) -> Verdict {
        if !node.unschedulable || *tolerates { Fits } else { Unresolvable("node(s) were unschedulable") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod};
    use serde_json::json;

    #[test]
    fn cordoned_nodes() {
        let key = "node.kubernetes.io/unschedulable";
        for (tolerations, cordoned, fits) in [
            (json!([]), false, true),
            (json!([]), true, false),
            (json!([{"key": key, "operator": "Exists"}]), true, true),
            (json!([{"key": key, "effect": "NoSchedule"}]), true, true),
            (json!([{"key": key, "value": "x"}]), true, false),
            (json!([{"key": key, "operator": "Exists", "effect": "NoExecute"}]), true, false),
        ] {
            let info = pod("p").with("tolerations", tolerations.clone()).info();
            let node = node("n").spec(json!({"unschedulable": cordoned})).info();
            let cycle = NodeUnschedulable.pre_filter(&info);
            assert_eq!(NodeUnschedulable.filter(&cycle, &info, &node).fits(), fits, "{tolerations}");
        }
    }
}
