//! Which events may help pods that affinity refused (`isSchedulableAfterPodChange` and `isSchedulableAfterNodeChange` in
//! `interpodaffinity/plugin.go`).

use sim_core::api::kind::Kind;
use sim_core::api::meta::Labels;
use sim_core::api::object::Object;

use super::InterPodAffinity;
use crate::affinity_terms::{AffinityTerm, AffinityTerms};
use crate::cache::Objects;
use crate::framework::{ActionType, ClusterEvent, EventChange, EventResource, Hint, QueueingHint};
use crate::pod::PodInfo;

impl QueueingHint for InterPodAffinity {
    const BY_CLASS: bool = true;

    fn events(&self) -> Vec<ClusterEvent> {
        let pod = ActionType::ADD | ActionType::UPDATE_POD_LABEL | ActionType::DELETE;
        let node = ActionType::ADD | ActionType::UPDATE_NODE_LABEL;
        vec![ClusterEvent::new(EventResource::Pod, pod), ClusterEvent::new(EventResource::Node, node)]
    }

    fn hint(&self, pod: &PodInfo, _: &Object, change: &EventChange<'_>, _: &Objects) -> Hint {
        let terms = pod.affinity.clone().unwrap_or_default();
        if change.event.resource == EventResource::Node {
            let Some((old, Some(new))) = change.of(Kind::NODE) else { return Hint::Queue };
            return Hint::queue_if(terms.required_error || node_helps(&terms, old, new));
        }
        let Some((old, new)) = change.of(Kind::POD) else { return Hint::Queue };
        let waits = |pod: &Object| pod.as_pod().is_none_or(|pod| pod.node_name.is_empty());
        if [old, new].into_iter().flatten().any(waits) {
            return Hint::Skip;
        }
        Hint::queue_if(terms.required_error || pod_helps(&terms, old, new))
    }
}

/// True if all terms select a pod. Unlike in a cycle, upstream does not look for namespaces that a selector selects.
fn all_select(terms: &[AffinityTerm], pod: &Object) -> bool {
    let meta = &pod.meta;
    let selects = |term: &AffinityTerm| term.matches(meta.namespace(), &meta.labels, &Labels::new());
    AffinityTerms::all_select(terms, selects)
}

/// A pod on a node is one of those wanted near now, or is no longer one of those wanted far away.
fn pod_helps(terms: &AffinityTerms, old: Option<&Object>, new: Option<&Object>) -> bool {
    let near = |pod: &Object| all_select(&terms.required, pod);
    let far = |pod: &Object| all_select(&terms.required_anti, pod);
    match (old, new) {
        (Some(old), Some(new)) => (!near(old) && near(new)) || (far(old) && !far(new)),
        (None, Some(new)) => near(new),
        (Some(old), None) => far(old),
        (None, None) => false,
    }
}

/// A node came into a domain that may be wanted, or out of one that may not be.
fn node_helps(terms: &AffinityTerms, old: Option<&Object>, new: &Object) -> bool {
    let value = |node: &Object, term: &AffinityTerm| node.meta.label(&term.topology_key).map(str::to_owned);
    let Some(old) = old else {
        return !terms.required_anti.is_empty() || terms.required.iter().any(|t| value(new, t).is_some());
    };
    let changes = |term: &AffinityTerm| (value(old, term), value(new, term));
    let near = terms.required.iter().map(changes).any(|(old, new)| new.is_some() && old != new);
    let far = terms.required_anti.iter().map(changes).any(|(old, new)| old.is_some() && old != new);
    near || far
}
