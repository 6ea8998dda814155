//! Which nodes a DaemonSet wants (`NodeShouldRunDaemonPod`, `pkg/controller/daemon/util`).

use k8s_openapi::api::apps::v1::DaemonSetSpec;
use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Toleration,
};
use sim_core::api::object::{Object, Pod};
use sim_core::helpers::taints::{find_untolerated, keeps_off};
use sim_core::selectors::RequiredNodeAffinity;
use smol_str::SmolStr;

/// What a DaemonSet asks of a node, ready to match many.
#[derive(Clone, Debug)]
pub struct Wanted {
    node_name: Option<String>,
    affinity: RequiredNodeAffinity,
    tolerations: Vec<Toleration>,
}

impl Wanted {
    /// What the template asks, with the tolerations that all daemon pods get.
    pub fn new(spec: &DaemonSetSpec) -> Wanted {
        let mut pod = spec.template.spec.clone().unwrap_or_default();
        add_tolerations(&mut pod);
        Wanted {
            node_name: pod.node_name.clone().filter(|n| !n.is_empty()),
            affinity: RequiredNodeAffinity::new(&pod),
            tolerations: pod.tolerations.unwrap_or_default(),
        }
    }

    /// Whether a pod should be started on this node, and whether one that is there may go on.
    pub fn should_run(&self, object: &Object) -> (bool, bool) {
        let Some(node) = object.as_node() else { return (false, false) };
        if self.node_name.as_deref().is_some_and(|wanted| wanted != object.meta.name()) {
            return (false, false);
        }
        // Malformed terms match nothing, as upstream ignores the error.
        if !self.affinity.matches(object.meta.name(), &object.meta.labels).unwrap_or(false) {
            return (false, false);
        }
        let taints = node.spec.taints.as_deref().unwrap_or_default();
        if find_untolerated(taints, &self.tolerations, keeps_off).is_none() {
            return (true, true);
        }
        (false, find_untolerated(taints, &self.tolerations, |t| t.effect == "NoExecute").is_none())
    }
}

/// Adds the tolerations of daemon pods (`AddOrUpdateDaemonPodTolerations`).
pub fn add_tolerations(spec: &mut PodSpec) {
    const ALL: [(&str, &str); 6] = [
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ];
    const HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");
    let host_network = spec.host_network.unwrap_or(false).then_some(HOST_NETWORK);
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in ALL.into_iter().chain(host_network) {
        let new = Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            effect: Some(effect.into()),
            ..Toleration::default()
        };
        let same = |t: &&mut Toleration| {
            t.key == new.key && t.effect == new.effect && t.operator == new.operator && t.value == new.value
        };
        match tolerations.iter_mut().find(same) {
            Some(old) => *old = new,
            None => tolerations.push(new),
        }
    }
}

/// Makes the required node affinity ask for exactly this node (`ReplaceDaemonSetPodNodeNameNodeAffinity`).
pub fn pin_to_node(spec: &mut PodSpec, node: &str) {
    let requirement = NodeSelectorRequirement {
        key: "metadata.name".into(),
        operator: "In".into(),
        values: Some(vec![node.into()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![requirement]), match_expressions: None };
    let affinity: &mut Affinity = spec.affinity.get_or_insert_default();
    let affinity: &mut NodeAffinity = affinity.node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
}

/// The node a daemon pod is on or meant for (`GetTargetNodeName`).
pub fn target_node(pod: &Pod) -> Option<SmolStr> {
    if !pod.node_name.is_empty() {
        return Some(pod.node_name.clone());
    }
    let affinity = pod.spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let fields = terms.iter().flat_map(|t| t.match_fields.iter().flatten());
    fields.filter(|r| r.key == "metadata.name" && r.operator == "In").find_map(|r| {
        match r.values.as_deref() {
            Some([only]) => Some(SmolStr::from(only)),
            _ => None,
        }
    })
}
