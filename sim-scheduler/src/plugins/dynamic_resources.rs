//! `DynamicResources`: pods with ResourceClaims go where their devices are.
//!
//! Pods without claims pass, as upstream. Pods with claims are refused: nothing allocates devices yet.

use sim_core::api::object::Object;

use crate::framework::{
    Attempt, Code, Diagnosis, Effects, Filter, Fits, Handle, Plugin, PostFilter, PostFiltered, PreBind,
    PreBound, PreEnqueue, PreFilter, PreFiltered, Reads, Reserve, Status, Surroundings, Verdict, Wake,
};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct DynamicResources;

/// What PreFilter found out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claims {
    /// False if another plugin ended PreFilter before this one was asked.
    known: bool,
    any: bool,
}

impl Plugin for DynamicResources {
    const NAME: &'static str = "DynamicResources";
    // Of pods without claims it says nothing, and pods with claims it refuses before it comes to nodes.
    const READS: Reads = Reads::NodeLocal;
    // Nothing that happens helps pods with claims yet.
    const WAKES_ON: &'static [Wake] = &[];
    type Cycle = Claims;
    fn pre_filter(&self, _: &PodInfo) -> Claims {
        Claims::default()
    }
}

impl PreEnqueue for DynamicResources {
    fn pre_enqueue(&self, _: &Object, _: Surroundings<'_>) -> Verdict {
        Fits
    }
}

impl PreFilter for DynamicResources {
    fn check(&self, claims: &mut Claims, attempt: &Attempt<'_>) -> PreFiltered {
        let any = attempt.pod.spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty());
        *claims = Claims { known: true, any };
        if any {
            let text = "devices of ResourceClaims are not modelled yet";
            return PreFiltered::Refused(Status::new(Code::UnschedulableAndUnresolvable, text));
        }
        PreFiltered::Skip
    }
}

impl Filter for DynamicResources {
    fn filter(&self, _: &Claims, _: &PodInfo, _: &NodeInfo) -> Verdict {
        Fits
    }
}

impl PostFilter for DynamicResources {
    fn post_filter(&self, claims: &Claims, _: &Handle<'_>, _: &Diagnosis, _: &mut Effects) -> PostFiltered {
        let status = match claims {
            // Upstream misses the state that its PreFilter would have left.
            Claims { known: false, .. } => Status::error("not found"),
            Claims { any: false, .. } => Status::new(Code::Unschedulable, "no new claims to deallocate"),
            Claims { any: true, .. } => Status::new(Code::Unschedulable, "still not schedulable"),
        };
        PostFiltered { status, ..PostFiltered::default() }
    }
}

impl Reserve for DynamicResources {
    fn reserve(&self, _: &mut Claims, _: &Attempt<'_>, _: &str, _: &mut Effects) -> Status {
        Status::success()
    }

    fn unreserve(&self, _: &mut Claims, _: &Attempt<'_>, _: &str, _: &mut Effects) {}
}

impl PreBind for DynamicResources {
    fn pre_bind(
        &self,
        _: &mut Claims,
        _: &Attempt<'_>,
        _: &str,
        _: &[Result<std::sync::Arc<Object>, sim_core::api::error::ApiError>],
    ) -> PreBound {
        PreBound::Done(Status::skip())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sim_core::time::Time;

    use super::*;
    use crate::cache::Cache;
    use crate::cycle::{Nominator, Sampling, evaluate, run_post_filters};
    use crate::framework::Profile;
    use crate::pod::Classes;
    use crate::testing::{PodBuilder, node, pod};

    /// The text for a pod in a cluster of one node, up to what preemption says.
    fn check(pod: PodBuilder, expected: &str) {
        let mut cache = Cache::default();
        cache.set_node(&node("n").cpu("1").build());
        cache.refresh();
        let object = pod.build();
        let info = Classes::default().of(&object).expect("a pod");
        let attempt = Attempt { pod: &info, object: &object, cluster: &cache, now: Time::ZERO };
        let (profile, nominator) = (Profile::default_profile(), Nominator::default());
        let (mut found, state) = evaluate(&profile, attempt, &nominator, Sampling::All, 0);
        let handle = Handle {
            profile: &profile,
            attempt,
            state: &state,
            nominator: &nominator,
            random: 0,
            memory: None,
            extenders: None,
            explain: false,
        };
        let outcome = run_post_filters(&handle, &found.diagnosis, &mut Effects::default());
        found.diagnosis.post_filter = outcome.expect("there are such plugins").status.message();
        let message = found.diagnosis.message(1);
        let text = message.split_once(", preemption: ").map_or(message.as_str(), |(before, _)| before);
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_said_to_pods_with_and_without_claims() {
        check(
            pod("plain").cpu("2"),
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate",
        );
        let claim = json!([{"name": "gpu", "resourceClaimName": "gpu"}]);
        check(
            pod("claims").with("resourceClaims", claim),
            "0/1 nodes are available: devices of ResourceClaims are not modelled yet. still not schedulable",
        );
        let term = json!([{"key": "metadata.name", "operator": "In", "values": []}]);
        let nowhere = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchFields": term}]}}});
        check(
            pod("stopped before").with("affinity", nowhere),
            "0/1 nodes are available: pod affinity terms conflict. not found",
        );
    }
}
