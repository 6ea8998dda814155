//! What an update of a node or a pod changed, as events (`pkg/scheduler/framework/events.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use sim_core::api::object::{Node, Object, Pod};
use sim_core::helpers::resources::ResourceList;
use smallvec::SmallVec;

use super::event::{ActionType, ClusterEvent, EventResource};
use crate::pod::requests_in_all;

/// Events of one update.
pub type Changes = SmallVec<[ClusterEvent; 2]>;

/// What changed about a node that matters to scheduling (`NodeSchedulingPropertiesChange`), in upstream's order. An
/// uncordoned node with other taints than before is two changes of taints.
pub fn node_changes(old: &Object, new: &Object) -> Changes {
    let (Some(a), Some(b)) = (old.as_node(), new.as_node()) else { return Changes::new() };
    let same_spec = Arc::ptr_eq(&a.spec, &b.spec);
    let same_status = Arc::ptr_eq(&a.status, &b.status);
    let cordoned = |n: &Node| n.spec.unschedulable == Some(true);
    let allocatable = |n: &Node| ResourceList::from_wire(n.status.allocatable.as_ref());
    let taints = |n: &'_ Node| n.spec.taints.clone().unwrap_or_default();
    let checks = [
        (ActionType::UPDATE_NODE_TAINT, cordoned(a) && !cordoned(b)),
        (ActionType::UPDATE_NODE_ALLOCATABLE, !same_status && allocatable(a) != allocatable(b)),
        (ActionType::UPDATE_NODE_LABEL, old.meta.labels != new.meta.labels),
        (ActionType::UPDATE_NODE_TAINT, !same_spec && taints(a) != taints(b)),
        (ActionType::UPDATE_NODE_CONDITION, !same_status && conditions(a) != conditions(b)),
        (ActionType::UPDATE_NODE_ANNOTATION, old.meta.annotations != new.meta.annotations),
    ];
    found(EventResource::Node, &checks)
}

/// Statuses by type; the last of one type counts.
fn conditions(node: &Node) -> BTreeMap<&str, &str> {
    let list = node.status.conditions.iter().flatten();
    list.map(|c| (c.type_.as_str(), c.status.as_str())).collect()
}

/// What changed about a pod that matters to scheduling (`PodSchedulingPropertiesChange`), in upstream's order; the
/// general update if nothing does.
pub fn pod_changes(old: &Object, new: &Object) -> Changes {
    let (Some(a), Some(b)) = (old.as_pod(), new.as_pod()) else { return Changes::new() };
    let resource = match b.node_name.is_empty() {
        true => EventResource::UnscheduledPod,
        false => EventResource::AssignedPod,
    };
    let same_spec = Arc::ptr_eq(&a.spec, &b.spec);
    let gated = |p: &Pod| p.spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    let tolerations = |p: &Pod| p.spec.tolerations.as_ref().map_or(0, Vec::len);
    let checks = [
        (ActionType::UPDATE_POD_LABEL, old.meta.labels != new.meta.labels),
        (ActionType::UPDATE_POD_SCALE_DOWN, !(same_spec && same_rest(a, b)) && scaled_down(old, new)),
        (ActionType::UPDATE_POD_SCHEDULING_GATES_ELIMINATED, gated(a) && !gated(b)),
        (ActionType::UPDATE_POD_TOLERATION, tolerations(a) != tolerations(b)),
        (ActionType::UPDATE_POD_GENERATED_RESOURCE_CLAIM, !same_rest(a, b) && claims(a) != claims(b)),
    ];
    let mut changes = found(resource, &checks);
    if changes.is_empty() {
        changes.push(ClusterEvent::new(resource, ActionType::UPDATE));
    }
    changes
}

fn found(resource: EventResource, checks: &[(ActionType, bool)]) -> Changes {
    let changed = checks.iter().filter(|(_, changed)| *changed);
    changed.map(|(action, _)| ClusterEvent::new(resource, *action)).collect()
}

/// True if the parts of the status that tell of resources and claims are surely the same.
fn same_rest(a: &Pod, b: &Pod) -> bool {
    a.status.other.as_ref().map(Arc::as_ptr) == b.status.other.as_ref().map(Arc::as_ptr)
}

/// True if less of something is asked for, also if it is asked for no more.
fn scaled_down(old: &Object, new: &Object) -> bool {
    let (old, new) = (requests_in_all(old), requests_in_all(new));
    old.iter().any(|(name, amount)| new.get(name).is_none_or(|now| amount.milli_value() > now.milli_value()))
}

/// `resourceClaimStatuses` and `extendedResourceClaimStatus`; what is empty is absent.
fn claims(pod: &Pod) -> [Option<&Value>; 2] {
    ["resourceClaimStatuses", "extendedResourceClaimStatus"].map(|field| {
        let value = pod.status.other.as_ref()?.get(field)?;
        Some(value).filter(|v| !v.is_null() && v.as_array().is_none_or(|list| !list.is_empty()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::Wake;
    use crate::testing::{node, on, pod};
    use serde_json::json;
    use sim_core::api::object::Body;

    #[test]
    fn changes_of_nodes() {
        let spec = |unschedulable: bool, effect: &str| json!({"unschedulable": unschedulable, "taints": [{"key": "a", "effect": effect}]});
        let old = || node("n").cpu("4").spec(spec(true, "NoSchedule"));
        let mut noted = old().build();
        noted.meta.annotations = Arc::new([("a".to_owned(), "b".to_owned())].into());
        for (new, events) in [
            (old().build(), &[][..]),
            (old().cpu("4000m").build(), &[]),
            (old().cpu("3").label("a", "b").build(), &[Wake::NodeAllocatable, Wake::NodeLabels]),
            (old().spec(spec(false, "NoSchedule")).build(), &[Wake::NodeTaints]),
            (old().spec(spec(false, "NoExecute")).build(), &[Wake::NodeTaints, Wake::NodeTaints]),
            (noted, &[Wake::NodeAnnotations]),
        ] {
            assert_eq!(node_changes(&old().build(), &new).as_slice(), events, "{new:?}");
        }
        let condition = |status: &str, reason: &str| {
            let mut object = node("n").build();
            if let Body::Node(body) = &mut object.body {
                let condition = json!([{"type": "Ready", "status": status, "reason": reason}]);
                Arc::make_mut(&mut body.status).conditions = serde_json::from_value(condition).ok();
            }
            object
        };
        let ready = condition("True", "a");
        assert_eq!(node_changes(&ready, &condition("False", "a")).as_slice(), [Wake::NodeConditions]);
        assert_eq!(node_changes(&ready, &condition("True", "b")).as_slice(), []);
    }

    #[test]
    fn changes_of_pods() {
        let old = || pod("p").cpu("1").with("schedulingGates", json!([{"name": "g"}]));
        let claim = |name: &str| {
            let mut object = old().build();
            if let Body::Pod(body) = &mut object.body {
                let statuses = json!([{"name": "c", "resourceClaimName": name}]);
                let other = [("resourceClaimStatuses".to_owned(), statuses)].into_iter().collect();
                Arc::make_mut(&mut body.status).other = Some(Arc::new(other));
            }
            object
        };
        let own = |action| ClusterEvent::new(EventResource::UnscheduledPod, action);
        let open = old().with("schedulingGates", json!([]));
        let claims = own(ActionType::UPDATE_POD_GENERATED_RESOURCE_CLAIM);
        for (old, new, events) in [
            (old().build(), old().build(), &[Wake::OwnUpdated][..]),
            (old().build(), on(old().build(), "n"), &[Wake::PodUpdated]),
            (old().build(), old().cpu("2").build(), &[Wake::OwnUpdated]),
            (old().build(), old().cpu("999m").build(), &[Wake::OwnScaledDown]),
            (old().build(), old().cpu("999999u").build(), &[Wake::OwnUpdated]),
            (old().build(), pod("p").memory("1").build(), &[Wake::OwnScaledDown, Wake::OwnGatesEliminated]),
            (
                old().build(),
                open.with("tolerations", json!([{}])).build(),
                &[Wake::OwnGatesEliminated, Wake::OwnTolerations],
            ),
            (old().build(), claim("x"), &[claims]),
            (claim("x"), claim("x"), &[Wake::OwnUpdated]),
            (claim("x"), claim("y"), &[claims]),
        ] {
            assert_eq!(pod_changes(&old, &new).as_slice(), events, "{new:?}");
        }
    }
}
