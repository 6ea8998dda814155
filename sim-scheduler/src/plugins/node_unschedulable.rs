//! `NodeUnschedulable`: cordoned nodes take no pods, unless these tolerate it.

use k8s_openapi::api::core::v1::{Taint, Toleration};
use sim_core::api::kind::Kind;
use sim_core::api::object::Object;
use sim_core::helpers::taints::{NO_SCHEDULE, tolerate};

use crate::cache::{Cache, Objects};
use crate::framework::{
    ActionType, ClusterEvent, EventChange, EventResource, Filter, Fits, Hint, Plugin, QueueingHint, Reads,
    Unresolvable, Verdict,
};
use crate::mask::Mask;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    const NAME: &'static str = "NodeUnschedulable";
    const READS: Reads = Reads::NodeLocal;
    /// True if the pod tolerates cordoned nodes.
    type Cycle = bool;

    fn pre_filter(&self, pod: &PodInfo) -> bool {
        tolerates_cordons(pod.spec.tolerations.as_deref())
    }
}

fn tolerates_cordons(tolerations: Option<&[Toleration]>) -> bool {
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: NO_SCHEDULE.to_owned(),
        ..Taint::default()
    };
    tolerate(tolerations.unwrap_or(&[]), &cordon)
}

impl Filter for NodeUnschedulable {
    fn filter(&self, tolerates: &bool, _: &PodInfo, node: &NodeInfo) -> Verdict {
        if !node.unschedulable || *tolerates { Fits } else { Unresolvable("node(s) were unschedulable") }
    }

    fn filter_column(&self, tolerates: &bool, _: &PodInfo, cluster: &Cache, mask: &mut Mask) {
        if !tolerates {
            let cordoned = &cluster.columns().unschedulable;
            mask.retain_all(|at| !cordoned[at]);
        }
    }
}

impl QueueingHint for NodeUnschedulable {
    const BY_CLASS: bool = true;

    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Node, ActionType::ADD | ActionType::UPDATE_NODE_TAINT),
            ClusterEvent::new(EventResource::Pod, ActionType::UPDATE_POD_TOLERATION),
        ]
    }

    fn hint(&self, _: &PodInfo, object: &Object, change: &EventChange<'_>, _: &Objects) -> Hint {
        if change.event.resource == EventResource::Node {
            let Some((old, Some(new))) = change.of(Kind::NODE) else { return Hint::Queue };
            let cordoned = |o: &Object| o.as_node().is_some_and(|n| n.spec.unschedulable == Some(true));
            return Hint::queue_if(old.is_none_or(cordoned) && !cordoned(new));
        }
        let Some((_, Some(new))) = change.of(Kind::POD) else { return Hint::Queue };
        let tolerations = new.as_pod().and_then(|p| p.spec.tolerations.as_deref());
        Hint::queue_if(new.meta.uid == object.meta.uid && tolerates_cordons(tolerations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::Wake;
    use crate::testing::{ask, node, pod};
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

    #[test]
    fn what_helps() {
        let waiting = pod("p").build();
        let [free, cordoned] = [false, true].map(|c| node("n").spec(json!({"unschedulable": c})).build());
        let tolerant = |name: &str, key: &str| {
            pod(name).with("tolerations", json!([{"key": key, "operator": "Exists"}])).build()
        };
        let (right, wrong) = (tolerant("p", "node.kubernetes.io/unschedulable"), tolerant("p", "x"));
        let other = tolerant("q", "node.kubernetes.io/unschedulable");
        for (event, old, new, hint) in [
            (Wake::NodeAdded, None, Some(&free), Hint::Queue),
            (Wake::NodeAdded, None, Some(&cordoned), Hint::Skip),
            (Wake::NodeTaints, Some(&cordoned), Some(&free), Hint::Queue),
            (Wake::NodeTaints, Some(&cordoned), Some(&cordoned), Hint::Skip),
            (Wake::NodeTaints, Some(&free), Some(&free), Hint::Skip),
            (Wake::NodeTaints, Some(&waiting), Some(&free), Hint::Queue),
            (Wake::OwnTolerations, Some(&waiting), Some(&right), Hint::Queue),
            (Wake::OwnTolerations, Some(&waiting), Some(&wrong), Hint::Skip),
            (Wake::OwnTolerations, Some(&waiting), Some(&other), Hint::Skip),
        ] {
            assert_eq!(ask(&NodeUnschedulable, &waiting, event, old, new), hint, "{} {new:?}", event.label());
        }
    }
}
