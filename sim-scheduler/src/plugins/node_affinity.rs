//! `NodeAffinity`: node selectors and node affinity of pods, and affinity that the profile adds to all of them.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::NodeAffinity as WireAffinity;
use sim_core::api::kind::Kind;
use sim_core::api::object::Object;
use smol_str::SmolStr;

use super::selector::{NodeSelector, Preferred};
use crate::cache::{Objects, Slot};
use crate::config::args::NodeAffinityArgs;
use crate::framework::{
    ActionType, Attempt, ClusterEvent, Code, EventChange, EventResource, Filter, Fits, Hint, Normalize,
    Plugin, PreFilter, PreFiltered, PreScore, QueueingHint, Reads, Score, Status, Unresolvable, Verdict,
};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// The plugin.
#[derive(Clone, Debug, Default)]
pub struct NodeAffinity {
    added_required: Option<NodeSelector>,
    added_preferred: Option<Preferred>,
}

impl NodeAffinity {
    /// The plugin with arguments.
    ///
    /// # Errors
    /// An added affinity that does not parse.
    pub fn new(args: &NodeAffinityArgs) -> Result<NodeAffinity, String> {
        let Some(added) = &args.added_affinity else { return Ok(NodeAffinity::default()) };
        let added_required = added.required_during_scheduling_ignored_during_execution.as_ref();
        let added_required = added_required.map(NodeSelector::parse);
        if let Some(error) = added_required.as_ref().and_then(NodeSelector::error) {
            return Err(format!(
                "parsing addedAffinity.requiredDuringSchedulingIgnoredDuringExecution: {error}"
            ));
        }
        let preferred = added.preferred_during_scheduling_ignored_during_execution.as_deref().unwrap_or(&[]);
        let added_preferred = if preferred.is_empty() {
            None
        } else {
            Some(Preferred::parse(preferred).map_err(|error| {
                format!("parsing addedAffinity.preferredDuringSchedulingIgnoredDuringExecution: {error}")
            })?)
        };
        Ok(NodeAffinity { added_required, added_preferred })
    }
}

/// The pod's own wishes.
#[derive(Clone, Debug)]
pub struct Wishes {
    selector: Vec<(SmolStr, SmolStr)>,
    required: Option<NodeSelector>,
    /// Nodes that the required terms name; `None` if one of them names none.
    named: Option<BTreeSet<SmolStr>>,
    preferred: Option<Result<Preferred, String>>,
    /// True if it has no selector and no required affinity.
    indifferent: bool,
}

impl Wishes {
    fn selected(&self, node: &NodeInfo) -> bool {
        self.selector.iter().all(|(key, value)| node.label(key) == Some(value))
    }

    /// True if selector and required terms match; `None` if none does and one does not parse
    /// (`RequiredNodeAffinity.Match`).
    fn matches(&self, node: &NodeInfo) -> Option<bool> {
        let Some(required) = self.required.as_ref().filter(|_| self.selected(node)) else {
            return Some(self.selected(node));
        };
        let matches = required.matches(node);
        (matches || required.error().is_none()).then_some(matches)
    }
}

fn affinity_of(pod: &PodInfo) -> Option<&WireAffinity> {
    pod.spec.affinity.as_ref()?.node_affinity.as_ref()
}

/// Nodes that come into question because every required term names some.
fn named_nodes(affinity: &WireAffinity) -> Option<BTreeSet<SmolStr>> {
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    if terms.is_empty() {
        return None;
    }
    let mut names = BTreeSet::new();
    for term in terms {
        let mut of_term: Option<BTreeSet<SmolStr>> = None;
        for requirement in term.match_fields.iter().flatten() {
            if requirement.key == "metadata.name" && requirement.operator == "In" {
                let set: BTreeSet<SmolStr> = requirement.values.iter().flatten().map(SmolStr::new).collect();
                of_term = Some(match of_term {
                    None => set,
                    Some(old) => old.intersection(&set).cloned().collect(),
                });
            }
        }
        names.append(&mut of_term?);
    }
    Some(names)
}

impl Plugin for NodeAffinity {
    const NAME: &'static str = "NodeAffinity";
    const READS: Reads = Reads::NodeLocal;
    type Cycle = Wishes;

    fn pre_filter(&self, pod: &PodInfo) -> Wishes {
        let affinity = affinity_of(pod);
        let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        let preferred =
            affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_deref());
        let selector = pod.spec.node_selector.iter().flatten();
        Wishes {
            indifferent: required.is_none() && pod.spec.node_selector.is_none(),
            selector: selector.map(|(k, v)| (SmolStr::new(k), SmolStr::new(v))).collect(),
            required: required.map(NodeSelector::parse),
            named: affinity.and_then(named_nodes),
            preferred: preferred.map(Preferred::parse),
        }
    }
}

impl PreFilter for NodeAffinity {
    fn check(&self, wishes: &mut Wishes, _: &Attempt<'_>) -> PreFiltered {
        if wishes.indifferent && self.added_required.is_none() {
            return PreFiltered::Skip;
        }
        match &wishes.named {
            None => PreFiltered::Proceed,
            Some(names) if names.is_empty() => PreFiltered::Refused(Status::new(
                Code::UnschedulableAndUnresolvable,
                "pod affinity terms conflict",
            )),
            Some(names) => PreFiltered::Nodes(names.clone()),
        }
    }
}

impl Filter for NodeAffinity {
    fn filter(&self, wishes: &Wishes, _: &PodInfo, node: &NodeInfo) -> Verdict {
        if self.added_required.as_ref().is_some_and(|s| !s.matches(node)) {
            return Unresolvable("node(s) didn't match scheduler-enforced node affinity");
        }
        if wishes.selected(node) && wishes.required.as_ref().is_none_or(|s| s.matches(node)) {
            return Fits;
        }
        Unresolvable("node(s) didn't match Pod's node affinity/selector")
    }
}

impl PreScore for NodeAffinity {
    fn pre_score(&self, wishes: &mut Wishes, _: &Attempt<'_>, _: &[Slot]) -> Status {
        match &wishes.preferred {
            Some(Err(error)) => Status::error(error),
            None if self.added_preferred.is_none() => Status::skip(),
            _ => Status::success(),
        }
    }
}

impl Score for NodeAffinity {
    const NORMALIZE: Normalize = Normalize::ToMax;

    /// Sum of the weights of the preferred terms that match.
    fn score(&self, wishes: &Wishes, _: &PodInfo, node: &NodeInfo) -> i64 {
        let added = self.added_preferred.as_ref().map_or(0, |p| p.score(node));
        let own = match &wishes.preferred {
            Some(Ok(preferred)) => preferred.score(node),
            _ => 0,
        };
        added + own
    }
}

impl QueueingHint for NodeAffinity {
    const BY_CLASS: bool = true;

    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::new(EventResource::Node, ActionType::ADD | ActionType::UPDATE_NODE_LABEL)]
    }

    fn hint(&self, pod: &PodInfo, _: &Object, change: &EventChange<'_>, _: &Objects) -> Hint {
        let Some((old, Some(new))) = change.of(Kind::NODE) else { return Hint::Queue };
        let new = NodeInfo::of(new);
        if self.added_required.as_ref().is_some_and(|s| !s.matches(&new)) {
            return Hint::Skip;
        }
        let wishes = self.pre_filter(pod);
        match (wishes.matches(&new), old) {
            (None, _) => Hint::Queue,
            (Some(false), _) => Hint::Skip,
            (Some(true), None) => Hint::Queue,
            (Some(true), Some(old)) => Hint::queue_if(wishes.matches(&NodeInfo::of(old)) != Some(true)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::Wake;
    use crate::testing::{ask, node, pod};
    use serde_json::{Value, json};

    fn with_required(terms: Value) -> PodInfo {
        let required = json!({"nodeSelectorTerms": terms});
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
        pod("p").with("affinity", affinity).info()
    }

    #[test]
    fn required_terms() {
        let plugin = NodeAffinity::default();
        let node = node("n1").label("disk", "ssd").label("rank", "5").info();
        let label = |key: &str, op: &str, values: Value| {
            json!([{"matchExpressions": [
            {"key": key, "operator": op, "values": values}]}])
        };
        let field = |op: &str, values: Value| {
            json!([{"matchFields": [
            {"key": "metadata.name", "operator": op, "values": values}]}])
        };
        for (terms, fits) in [
            (label("disk", "In", json!(["ssd", "hdd"])), true),
            (label("disk", "NotIn", json!(["ssd"])), false),
            (label("gone", "NotIn", json!(["ssd"])), true),
            (label("disk", "Exists", json!([])), true),
            (label("disk", "DoesNotExist", json!([])), false),
            (label("rank", "Gt", json!(["4"])), true),
            (label("rank", "Lt", json!(["5"])), false),
            (label("rank", "Gt", json!(["-1"])), false),
            (label("disk", "Gt", json!(["4"])), false),
            (label("rank", "In", json!([])), false),
            (label("disk", "What", json!(["ssd"])), false),
            (field("In", json!(["n1"])), true),
            (field("NotIn", json!(["n1"])), false),
            (field("In", json!(["n1", "n2"])), false),
            (json!([{}]), false),
            (json!([]), false),
        ] {
            let info = with_required(terms.clone());
            let wishes = plugin.pre_filter(&info);
            assert_eq!(plugin.filter(&wishes, &info, &node).fits(), fits, "{terms}");
        }
        let selected = pod("p").with("nodeSelector", json!({"disk": "hdd"})).info();
        assert!(!plugin.filter(&plugin.pre_filter(&selected), &selected, &node).fits());
    }

    #[test]
    fn errors_have_upstreams_words() {
        let term = |op: &str, values: Value| {
            let wire = json!([{"weight": 1, "preference": {"matchExpressions": [
                {"key": "rank", "operator": op, "values": values}]}}]);
            let terms: Vec<_> = serde_json::from_value(wire).expect("terms");
            Preferred::parse(&terms).expect_err("must not parse")
        };
        assert!(term("Gt", json!(["-1"])).starts_with(
            "[0].matchExpressions[0].values[0][rank]: Invalid value: \"-1\": a valid label must be an empty string"
        ));
        assert_eq!(
            term("Gt", json!(["a"])),
            "[0].matchExpressions[0].values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer"
        );
    }

    #[test]
    fn what_helps() {
        let ssd = pod("p").with("nodeSelector", json!({"disk": "ssd"}));
        let term =
            |op: &str| json!({"matchExpressions": [{"key": "disk", "operator": op, "values": ["ssd"]}]});
        let required = |terms: Value| {
            let required = json!({"nodeSelectorTerms": terms});
            let affinity = json!({"requiredDuringSchedulingIgnoredDuringExecution": required});
            pod("p").with("affinity", json!({"nodeAffinity": affinity})).build()
        };
        let (ssd, broken) = (ssd.build(), required(json!([term("What")])));
        let half_broken = required(json!([term("What"), term("In")]));
        let [right, wrong] = ["ssd", "hdd"].map(|disk| node("n").label("disk", disk).build());
        let added =
            json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term("NotIn")]}});
        let args = NodeAffinityArgs { added_affinity: serde_json::from_value(added).ok() };
        let picky = NodeAffinity::new(&args).expect("a plugin");
        let plain = NodeAffinity::default();
        for (plugin, waiting, old, new, hint) in [
            (&plain, &ssd, None, &right, Hint::Queue),
            (&plain, &ssd, None, &wrong, Hint::Skip),
            (&plain, &ssd, Some(&wrong), &right, Hint::Queue),
            (&plain, &ssd, Some(&right), &right, Hint::Skip),
            (&plain, &ssd, Some(&ssd), &right, Hint::Queue),
            (&plain, &broken, None, &right, Hint::Queue),
            (&plain, &half_broken, Some(&right), &right, Hint::Skip),
            (&plain, &half_broken, Some(&wrong), &right, Hint::Queue),
            (&picky, &ssd, None, &right, Hint::Skip),
        ] {
            let event = if old.is_some() { Wake::NodeLabels } else { Wake::NodeAdded };
            assert_eq!(ask(plugin, waiting, event, old, Some(new)), hint, "{waiting:?} {old:?} {new:?}");
        }
    }

    #[test]
    fn named_nodes_restrict_the_search() {
        let names = |list: &[&str]| json!({"key": "metadata.name", "operator": "In", "values": list});
        for (terms, want) in [
            (json!([{"matchFields": [names(&["a"])]}, {"matchFields": [names(&["b"])]}]), Some(2)),
            (json!([{"matchFields": [names(&["a"]), names(&["b"])]}]), Some(0)),
            (json!([{"matchFields": [names(&["a"])]}, {"matchExpressions": []}]), None),
        ] {
            let info = with_required(terms.clone());
            let wishes = NodeAffinity::default().pre_filter(&info);
            assert_eq!(wishes.named.map(|n| n.len()), want, "{terms}");
        }
    }
}
