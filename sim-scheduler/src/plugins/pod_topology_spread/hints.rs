//! Which events may help pods that the constraints refused (`isSchedulableAfterPodChange` and
//! `isSchedulableAfterNodeChange` in `podtopologyspread/plugin.go`).

use sim_core::api::kind::Kind;
use sim_core::api::meta::Labels;
use sim_core::api::object::Object;

use super::PodTopologySpread;
use super::constraints::{Action, Constraint};
use crate::cache::Objects;
use crate::framework::{ActionType, ClusterEvent, EventChange, EventResource, Hint, QueueingHint};
use crate::pod::PodInfo;

impl QueueingHint for PodTopologySpread {
    const BY_CLASS: bool = true;

    fn events(&self) -> Vec<ClusterEvent> {
        let pod = ActionType::ADD
            | ActionType::UPDATE_POD_LABEL
            | ActionType::UPDATE_POD_TOLERATION
            | ActionType::DELETE;
        let node = ActionType::ADD
            | ActionType::DELETE
            | ActionType::UPDATE_NODE_LABEL
            | ActionType::UPDATE_NODE_TAINT;
        vec![ClusterEvent::new(EventResource::Pod, pod), ClusterEvent::new(EventResource::Node, node)]
    }

    fn hint(&self, pod: &PodInfo, object: &Object, change: &EventChange<'_>, objects: &Objects) -> Hint {
        let constraints = || self.constraints(pod, Action::DoNotSchedule, objects);
        if change.event.resource == EventResource::Node {
            let (Some((old, new)), Ok(constraints)) = (change.of(Kind::NODE), constraints()) else {
                return Hint::Queue;
            };
            return Hint::queue_if(node_helps(&constraints, old, new));
        }
        let Some((old, new)) = change.of(Kind::POD) else { return Hint::Queue };
        if [old, new].into_iter().flatten().any(|changed| !is_involved(changed, object)) {
            return Hint::Skip;
        }
        let Ok(constraints) = constraints() else { return Hint::Queue };
        Hint::queue_if(match (old, new) {
            (Some(old), Some(new)) => pod_update_helps(&constraints, object, old, new),
            (old, new) => new.or(old).is_some_and(|pod| match_any(&constraints, &pod.meta.labels)),
        })
    }
}

/// True if one of the selectors selects the labels.
fn match_any(constraints: &[Constraint], labels: &Labels) -> bool {
    constraints.iter().any(|constraint| constraint.selector.matches(labels))
}

/// True for the refused pod itself and for pods on nodes in its namespace (`involvedInTopologySpreading`).
fn is_involved(changed: &Object, refused: &Object) -> bool {
    let placed = changed.as_pod().is_some_and(|pod| !pod.node_name.is_empty());
    changed.meta.uid == refused.meta.uid
        || (placed && changed.meta.key.namespace == refused.meta.key.namespace)
}

/// A pod was updated: its labels make it match or no longer match, or the refused pod tolerates something else.
fn pod_update_helps(constraints: &[Constraint], refused: &Object, old: &Object, new: &Object) -> bool {
    fn tolerations(object: &Object) -> &[k8s_openapi::api::core::v1::Toleration] {
        object.as_pod().and_then(|pod| pod.spec.tolerations.as_deref()).unwrap_or(&[])
    }
    let own_tolerations = new.meta.uid == refused.meta.uid && tolerations(old) != tolerations(new);
    if own_tolerations && constraints.iter().any(|c| c.honors_taints) {
        return true;
    }
    old.meta.labels != new.meta.labels
        && constraints
            .iter()
            .any(|c| c.selector.matches(&old.meta.labels) != c.selector.matches(&new.meta.labels))
}

/// A node with all topologies joined or left, or its place in them changed.
fn node_helps(constraints: &[Constraint], old: Option<&Object>, new: Option<&Object>) -> bool {
    fn taints(object: &Object) -> &[k8s_openapi::api::core::v1::Taint] {
        object.as_node().and_then(|node| node.spec.taints.as_deref()).unwrap_or(&[])
    }
    let complete = |labels: &Labels| constraints.iter().all(|c| labels.contains_key(c.topology_key.as_str()));
    let is_complete = |node: Option<&Object>| node.is_some_and(|node| complete(&node.meta.labels));
    let (was, is) = (is_complete(old), is_complete(new));
    let (Some(old), Some(new)) = (old, new) else { return was || is };
    let value =
        |node: &Object, c: &Constraint| node.meta.label(&c.topology_key).unwrap_or_default().to_owned();
    was != is
        || (is && (constraints.iter().any(|c| value(old, c) != value(new, c)) || taints(old) != taints(new)))
}
