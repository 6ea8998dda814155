//! Inter-pod affinity of a pod class, compiled (`newAffinityTerm` and `PodInfo.Update` in
//! `pkg/scheduler/framework/types.go`).

use k8s_openapi::api::core::v1 as wire;
use k8s_openapi::api::core::v1::PodSpec;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Labels};
use sim_core::selectors::{Selector, SelectorError};
use smol_str::SmolStr;

use crate::cache::Objects;
use crate::pod::PodInfo;

/// One term: pods by labels and namespace, and the key of the topology in which they count.
#[derive(Clone, Debug)]
pub struct AffinityTerm {
    /// Key of the node label whose values are the domains.
    pub topology_key: SmolStr,
    namespaces: Vec<SmolStr>,
    selector: Selector,
    namespace_selector: Selector,
}

impl AffinityTerm {
    fn new(term: &wire::PodAffinityTerm, own_namespace: &SmolStr) -> Result<AffinityTerm, SelectorError> {
        let selector = Selector::from_label_selector(term.label_selector.as_ref())?;
        let named = term.namespaces.as_deref().unwrap_or(&[]);
        let namespaces = match named {
            [] if term.namespace_selector.is_none() => vec![own_namespace.clone()],
            named => named.iter().map(SmolStr::new).collect(),
        };
        let namespace_selector = Selector::from_label_selector(term.namespace_selector.as_ref())?;
        Ok(AffinityTerm {
            topology_key: SmolStr::new(&term.topology_key),
            namespaces,
            selector,
            namespace_selector,
        })
    }

    /// True if it selects a pod of a namespace, which has these labels (`AffinityTerm.Matches`).
    pub fn matches(&self, namespace: &str, labels: &Labels, of_namespace: &Labels) -> bool {
        (self.namespaces.iter().any(|n| n == namespace) || self.namespace_selector.matches(of_namespace))
            && self.selector.matches(labels)
    }

    /// True if it selects a pod, as a term of a pod that is to be placed. Namespaces that its selector selects count as
    /// named (`mergeAffinityTermNamespacesIfNotEmpty`). Upstream goes on to hold the selector against no labels at all,
    /// so that one that only asks for absent labels selects every namespace.
    pub fn selects(&self, pod: &PodInfo, objects: &Objects) -> bool {
        let selected = || {
            let namespace = objects.get(Kind::NAMESPACE, &Key::cluster(pod.namespace.clone()));
            namespace.is_some_and(|namespace| self.namespace_selector.matches(&namespace.meta.labels))
        };
        self.selector.matches(&pod.labels)
            && (self.matches(&pod.namespace, &pod.labels, &Labels::new()) || selected())
    }
}

/// All terms of a pod class. A list that does not parse is empty.
#[derive(Clone, Debug, Default)]
pub struct AffinityTerms {
    /// Required affinity.
    pub required: Vec<AffinityTerm>,
    /// Required anti-affinity.
    pub required_anti: Vec<AffinityTerm>,
    /// Preferred affinity, with weights.
    pub preferred: Vec<(AffinityTerm, i32)>,
    /// Preferred anti-affinity, with weights.
    pub preferred_anti: Vec<(AffinityTerm, i32)>,
    /// What does not parse, in upstream's words.
    pub error: Option<String>,
    /// True if some required terms do not parse.
    pub required_error: bool,
}

impl AffinityTerms {
    /// Those of a spec; `None` without any.
    pub fn of(spec: &PodSpec, namespace: &SmolStr) -> Option<AffinityTerms> {
        let affinity = spec.affinity.as_ref()?;
        let (near, far) = (affinity.pod_affinity.as_ref(), affinity.pod_anti_affinity.as_ref());
        let required = |terms: Option<&Vec<wire::PodAffinityTerm>>| {
            let terms = terms.into_iter().flatten();
            terms.map(|term| AffinityTerm::new(term, namespace)).collect::<Result<Vec<_>, _>>()
        };
        let preferred = |terms: Option<&Vec<wire::WeightedPodAffinityTerm>>| {
            let terms = terms.into_iter().flatten();
            let compiled = terms.map(|t| Ok((AffinityTerm::new(&t.pod_affinity_term, namespace)?, t.weight)));
            compiled.collect::<Result<Vec<_>, SelectorError>>()
        };
        fn taken<T>(name: &str, list: Result<Vec<T>, SelectorError>, errors: &mut Vec<String>) -> Vec<T> {
            list.unwrap_or_else(|error| {
                errors.push(format!("{name}: {error}"));
                Vec::new()
            })
        }
        let near_required = near.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        let far_required = far.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        let near_preferred =
            near.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
        let far_preferred = far.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
        let mut errors: Vec<String> = Vec::new();
        let mut terms = AffinityTerms {
            required: taken("requiredAffinityTerms", required(near_required), &mut errors),
            required_anti: taken("requiredAntiAffinityTerms", required(far_required), &mut errors),
            required_error: !errors.is_empty(),
            preferred: taken("preferredAffinityTerms", preferred(near_preferred), &mut errors),
            preferred_anti: taken("preferredAntiAffinityTerms", preferred(far_preferred), &mut errors),
            error: None,
        };
        terms.error = match errors.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            more => Some(format!("[{}]", more.join(", "))),
        };
        let empty = terms.required.is_empty()
            && terms.required_anti.is_empty()
            && terms.preferred.is_empty()
            && terms.preferred_anti.is_empty();
        (!empty || terms.error.is_some()).then_some(terms)
    }

    /// True if a pod is selected by all terms of a list, and there are some (`podMatchesAllAffinityTerms`).
    pub fn all_select(terms: &[AffinityTerm], selects: impl Fn(&AffinityTerm) -> bool) -> bool {
        !terms.is_empty() && terms.iter().all(selects)
    }
}
