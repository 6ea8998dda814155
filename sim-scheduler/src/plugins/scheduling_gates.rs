//! `SchedulingGates`: pods with gates wait until all are taken away.

use sim_core::api::object::Object;
use smol_str::format_smolstr;

use crate::framework::{Code, Fits, Plugin, PreEnqueue, Reads, Status, Surroundings, Verdict, Wake};
use crate::pod::PodInfo;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    const NAME: &'static str = "SchedulingGates";
    const READS: Reads = Reads::NodeLocal;
    const WAKES_ON: &'static [Wake] = &[Wake::OwnGatesEliminated];
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cache::Objects;
    use crate::testing::pod;
    use serde_json::json;

    #[test]
    fn gates_are_named_in_the_order_of_the_spec() {
        let gated = pod("p").with("schedulingGates", json!([{"name": "b"}, {"name": "a/x"}])).build();
        let (objects, preempting) = (Objects::default(), BTreeSet::new());
        let ask = |pod: &Object| {
            SchedulingGates.pre_enqueue(pod, Surroundings { objects: &objects, preempting: &preempting })
        };
        let status = ask(&gated).into_status("SchedulingGates").expect("gated");
        assert_eq!(status.message(), "waiting for scheduling gates: [b a/x]");
        assert_eq!(ask(&pod("p").build()), Fits);
    }
}
