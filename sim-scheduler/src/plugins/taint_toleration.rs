//! `TaintToleration`: pods stay away from taints that they do not tolerate, and rather go where fewer soft ones are.

use k8s_openapi::api::core::v1::{Taint, Toleration};
use sim_core::api::kind::Kind;
use sim_core::api::object::Object;
use sim_core::helpers::taints::{PREFER_NO_SCHEDULE, find_untolerated, keeps_off, tolerate};
use smol_str::format_smolstr;

use crate::cache::{Cache, Objects};
use crate::framework::{
    ActionType, ClusterEvent, Code, EventChange, EventResource, Filter, Fits, Hint, Normalize, Plugin,
    QueueingHint, Reads, Score, Status, Verdict,
};
use crate::mask::Mask;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct TaintToleration;

impl Plugin for TaintToleration {
    const NAME: &'static str = "TaintToleration";
    const READS: Reads = Reads::NodeLocal;
    /// The pod's tolerations that can tolerate a soft taint.
    type Cycle = Vec<Toleration>;

    fn pre_filter(&self, pod: &PodInfo) -> Vec<Toleration> {
        let soft = |t: &&Toleration| matches!(t.effect.as_deref(), None | Some("" | PREFER_NO_SCHEDULE));
        tolerations(pod).iter().filter(soft).cloned().collect()
    }
}

fn tolerations(pod: &PodInfo) -> &[Toleration] {
    pod.spec.tolerations.as_deref().unwrap_or(&[])
}

/// The first hard taint that is not tolerated.
fn untolerated<'a>(pod: &PodInfo, node: &'a NodeInfo) -> Option<&'a Taint> {
    find_untolerated(node.taints(), tolerations(pod), keeps_off)
}

/// How many soft taints are not tolerated.
fn untolerated_soft(soft: &[Toleration], taints: &[Taint]) -> i64 {
    let taints = taints.iter().filter(|t| t.effect == PREFER_NO_SCHEDULE);
    taints.filter(|t| !tolerate(soft, t)).count() as i64
}

impl Filter for TaintToleration {
    fn filter(&self, _: &Self::Cycle, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(taint) = untolerated(pod, node) else { return Fits };
        let value = taint.value.as_deref().unwrap_or_default();
        let reason = format_smolstr!("node(s) had untolerated taint {{{}: {value}}}", taint.key);
        Verdict::because(Status::new(Code::UnschedulableAndUnresolvable, reason))
    }

    fn fits(&self, _: &Self::Cycle, pod: &PodInfo, node: &NodeInfo) -> bool {
        untolerated(pod, node).is_none()
    }

    fn filter_column(&self, _: &Self::Cycle, pod: &PodInfo, cluster: &Cache, mask: &mut Mask) {
        let columns = cluster.columns();
        let tolerated = |list: &Vec<Taint>| find_untolerated(list, tolerations(pod), keeps_off).is_none();
        let tolerated: Vec<bool> = columns.taint_lists.iter().map(tolerated).collect();
        if tolerated.contains(&false) {
            mask.retain_all(|at| tolerated[columns.taints[at] as usize]);
        }
    }
}

impl Score for TaintToleration {
    const NORMALIZE: Normalize = Normalize::ToMaxReversed;

    /// Number of soft taints that are not tolerated.
    fn score(&self, soft: &Self::Cycle, _: &PodInfo, node: &NodeInfo) -> i64 {
        untolerated_soft(soft, node.taints())
    }

    fn score_column(&self, soft: &Self::Cycle, _: &PodInfo, cluster: &Cache, out: &mut [i64]) {
        let columns = cluster.columns();
        let counts: Vec<i64> = columns.taint_lists.iter().map(|list| untolerated_soft(soft, list)).collect();
        for (score, list) in out.iter_mut().zip(&columns.taints) {
            *score = counts[*list as usize];
        }
    }
}

impl QueueingHint for TaintToleration {
    const BY_CLASS: bool = true;

    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Node, ActionType::ADD | ActionType::UPDATE_NODE_TAINT),
            ClusterEvent::new(EventResource::Pod, ActionType::UPDATE_POD_TOLERATION),
        ]
    }

    fn hint(&self, pod: &PodInfo, object: &Object, change: &EventChange<'_>, _: &Objects) -> Hint {
        if change.event.resource == EventResource::Node {
            let Some((old, Some(new))) = change.of(Kind::NODE) else { return Hint::Queue };
            let refuses = |node: &Object| {
                let taints = node.as_node().and_then(|n| n.spec.taints.as_deref()).unwrap_or(&[]);
                find_untolerated(taints, tolerations(pod), keeps_off).is_some()
            };
            return Hint::queue_if(old.is_none_or(refuses) && !refuses(new));
        }
        let Some((_, Some(new))) = change.of(Kind::POD) else { return Hint::Queue };
        Hint::queue_if(new.meta.uid == object.meta.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::Wake;
    use crate::testing::{ask, node, pod};
    use serde_json::json;

    #[test]
    fn hard_taints_refuse_and_soft_ones_count() {
        let taints = json!([
            {"key": "soft", "value": "v", "effect": "PreferNoSchedule"},
            {"key": "hard", "value": "v", "effect": "NoExecute"},
            {"key": "other", "effect": "Whatever"},
        ]);
        let node = node("n").spec(json!({"taints": taints})).info();
        let refused = Some("node(s) had untolerated taint {hard: v}");
        for (tolerations, reason, score) in [
            (json!([]), refused, 1),
            (json!([{"key": "hard", "value": "v"}]), None, 1),
            (json!([{"key": "hard", "value": "w"}]), refused, 1),
            (json!([{"key": "hard", "operator": "Exists", "effect": "NoSchedule"}]), refused, 1),
            (json!([{"operator": "Exists"}]), None, 0),
            (json!([{"key": "soft", "operator": "Exists", "effect": "PreferNoSchedule"}]), refused, 0),
            (json!([{"key": "hard", "operator": "Lt", "value": "v"}]), refused, 1),
        ] {
            let info = pod("p").with("tolerations", tolerations.clone()).info();
            let cycle = TaintToleration.pre_filter(&info);
            let status = TaintToleration.filter(&cycle, &info, &node).into_status("TaintToleration");
            assert_eq!(status.map(|s| s.message()).as_deref(), reason, "{tolerations}");
            assert_eq!(TaintToleration.fits(&cycle, &info, &node), reason.is_none(), "{tolerations}");
            assert_eq!(TaintToleration.score(&cycle, &info, &node), score, "{tolerations}");
        }
    }

    #[test]
    fn what_helps() {
        let tolerations = json!([{"key": "a", "operator": "Exists"}]);
        let waiting = pod("p").with("tolerations", tolerations).build();
        let tainted = |key: &str, effect: &str| {
            node("n").spec(json!({"taints": [{"key": key, "effect": effect}]})).build()
        };
        let (known, hard) = (tainted("a", "NoSchedule"), tainted("b", "NoSchedule"));
        let soft = tainted("b", "PreferNoSchedule");
        let other = pod("q").build();
        for (event, old, new, hint) in [
            (Wake::NodeAdded, None, Some(&known), Hint::Queue),
            (Wake::NodeAdded, None, Some(&hard), Hint::Skip),
            (Wake::NodeTaints, Some(&hard), Some(&soft), Hint::Queue),
            (Wake::NodeTaints, Some(&known), Some(&soft), Hint::Skip),
            (Wake::NodeTaints, Some(&hard), Some(&other), Hint::Queue),
            (Wake::OwnTolerations, Some(&waiting), Some(&waiting), Hint::Queue),
            (Wake::OwnTolerations, Some(&other), Some(&other), Hint::Skip),
        ] {
            assert_eq!(ask(&TaintToleration, &waiting, event, old, new), hint, "{} {new:?}", event.label());
        }
    }
}
