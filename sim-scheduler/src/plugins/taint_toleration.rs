//! `TaintToleration`: pods stay away from taints that they do not tolerate, and rather go where fewer soft ones are.

use smol_str::format_smolstr;

use super::tolerations::{self, Toleration, tolerate};
use crate::framework::{Code, Filter, Fits, Normalize, Plugin, Reads, Score, Status, Verdict, Wake};
use crate::node::{Effect, NodeInfo, Taint};
use crate::pod::PodInfo;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct TaintToleration;

/// The pod's tolerations.
#[derive(Debug)]
pub struct Tolerations {
    all: Vec<Toleration>,
    /// Those that can tolerate a soft taint.
    soft: Vec<Toleration>,
}

impl Plugin for TaintToleration {
    const NAME: &'static str = "TaintToleration";
    const READS: Reads = Reads::NodeLocal;
    const WAKES_ON: &'static [Wake] = &[Wake::NodeAdded, Wake::NodeTaints, Wake::OwnTolerations];
    type Cycle = Tolerations;

    fn pre_filter(&self, pod: &PodInfo) -> Tolerations {
        let all = tolerations::of(pod);
        let is_soft = |t: &&Toleration| matches!(t.effect, None | Some(Effect::PreferNoSchedule));
        let soft = all.iter().filter(is_soft).cloned().collect();
        Tolerations { all, soft }
    }
}

/// The first hard taint that is not tolerated.
fn untolerated<'a>(cycle: &Tolerations, node: &'a NodeInfo) -> Option<&'a Taint> {
    let hard = |t: &&Taint| matches!(t.effect, Effect::NoSchedule | Effect::NoExecute);
    node.taints.iter().filter(hard).find(|t| !tolerate(&cycle.all, t))
}

impl Filter for TaintToleration {
    fn filter(&self, cycle: &Tolerations, _: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(taint) = untolerated(cycle, node) else { return Fits };
        let reason = format_smolstr!("node(s) had untolerated taint {{{}: {}}}", taint.key, taint.value);
        Verdict::because(Status::new(Code::UnschedulableAndUnresolvable, reason))
    }

    fn fits(&self, cycle: &Tolerations, _: &PodInfo, node: &NodeInfo) -> bool {
        node.taints.is_empty() || untolerated(cycle, node).is_none()
    }
}

impl Score for TaintToleration {
    const NORMALIZE: Normalize = Normalize::ToMaxReversed;

    /// Number of soft taints that are not tolerated.
    fn score(&self, cycle: &Tolerations, _: &PodInfo, node: &NodeInfo) -> i64 {
        let soft = node.taints.iter().filter(|t| t.effect == Effect::PreferNoSchedule);
        soft.filter(|t| !tolerate(&cycle.soft, t)).count() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod};
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
}
