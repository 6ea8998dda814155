//! TaintNodesByCondition: a new node starts as not ready, so that no pod lands before the first heartbeat.
//! Upstream: `plugin/pkg/admission/nodetaint`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Taint;

use crate::api::object::Node;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const NO_SCHEDULE: &str = "NoSchedule";

pub(super) fn admit(node: &mut Node) {
    let tainted = node.spec.taints.iter().flatten().any(|t| t.key == NOT_READY && t.effect == NO_SCHEDULE);
    if !tainted {
        let taint = Taint { key: NOT_READY.to_string(), effect: NO_SCHEDULE.to_string(), ..Taint::default() };
        Arc::make_mut(&mut node.spec).taints.get_or_insert_with(Vec::new).push(taint);
    }
}
