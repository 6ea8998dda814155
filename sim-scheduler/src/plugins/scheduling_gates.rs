//! `SchedulingGates`: pods with gates wait until all are taken away.

use sim_core::api::kind::Kind;
use sim_core::api::object::Object;
use smol_str::format_smolstr;

use crate::cache::Objects;
use crate::framework::{
    ActionType, ClusterEvent, Code, EventChange, EventResource, Fits, Hint, Plugin, PreEnqueue, QueueingHint,
    Reads, Status, Surroundings, Verdict,
};
use crate::pod::PodInfo;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    const NAME: &'static str = "SchedulingGates";
    const READS: Reads = Reads::NodeLocal;
    type Cycle = ();
    fn pre_filter(&self, _: &PodInfo) {}
}

impl PreEnqueue for SchedulingGates {
    fn pre_enqueue(&self, pod: &Object, _: Surroundings<'_>) -> Verdict {
        let gates = pod.as_pod().and_then(|p| p.spec.scheduling_gates.as_deref()).unwrap_or(&[]);
        if gates.is_empty() {
            return Fits;
        }
        let names: Vec<&str> = gates.iter().map(|g| g.name.as_str()).collect();
        let reason = format_smolstr!("waiting for scheduling gates: [{}]", names.join(" "));
        Verdict::because(Status::new(Code::UnschedulableAndUnresolvable, reason))
    }
}

impl QueueingHint for SchedulingGates {
    const BY_CLASS: bool = true;

    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::new(EventResource::Pod, ActionType::UPDATE_POD_SCHEDULING_GATES_ELIMINATED)]
    }

    fn hint(&self, _: &PodInfo, object: &Object, change: &EventChange<'_>, _: &Objects) -> Hint {
        let Some((_, Some(new))) = change.of(Kind::POD) else { return Hint::Queue };
        Hint::queue_if(new.meta.uid == object.meta.uid)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::framework::Wake;
    use crate::testing::{ask, pod};
    use serde_json::json;

    #[test]
    fn gates_are_named_in_the_order_of_the_spec() {
        let gated = pod("p").with("schedulingGates", json!([{"name": "b"}, {"name": "a/x"}])).build();
        let (objects, preempting) = (Objects::default(), BTreeSet::new());
        let gate = |pod: &Object| {
            SchedulingGates.pre_enqueue(pod, Surroundings { objects: &objects, preempting: &preempting })
        };
        let status = gate(&gated).into_status("SchedulingGates").expect("gated");
        assert_eq!(status.message(), "waiting for scheduling gates: [b a/x]");
        assert_eq!(gate(&pod("p").build()), Fits);
    }

    #[test]
    fn only_the_pod_itself_helps() {
        let (own, other) = (pod("p").build(), pod("q").build());
        for (changed, hint) in [(&own, Hint::Queue), (&other, Hint::Skip)] {
            let event = Wake::OwnGatesEliminated;
            assert_eq!(ask(&SchedulingGates, &own, event, Some(changed), Some(changed)), hint);
        }
    }
}
