//! Constraints of pods, compiled (`podtopologyspread/common.go`).

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Toleration, TopologySpreadConstraint};
use sim_core::api::meta::Labels;
use sim_core::helpers::taints::{find_untolerated, keeps_off};
use sim_core::selectors::{RequiredNodeAffinity, Selector};
use smol_str::SmolStr;

use super::PodTopologySpread;
use crate::cache::Objects;
use crate::node::NodeInfo;
use crate::plugins::default_selector::{default_selector, service_labels};
use crate::pod::PodInfo;

/// The topology key whose domains are single nodes: scores count it node by node.
pub(super) const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// `whenUnsatisfiable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A node that does not satisfy the constraint is refused.
    DoNotSchedule,
    /// It is only rated lower.
    ScheduleAnyway,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Action::DoNotSchedule => "DoNotSchedule",
            Action::ScheduleAnyway => "ScheduleAnyway",
        }
    }
}

/// One constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Constraint {
    /// How much fuller a domain may be than the emptiest.
    pub(super) max_skew: i32,
    /// The node label whose values are the domains.
    pub(super) topology_key: SmolStr,
    /// Which pods count.
    pub(super) selector: Arc<Selector>,
    /// With fewer domains than this, the emptiest counts as empty.
    pub(super) min_domains: i32,
    /// Leave out nodes that the pod's node selector and affinity leave out.
    pub(super) honors_affinity: bool,
    /// Leave out nodes with taints that the pod does not tolerate.
    pub(super) honors_taints: bool,
}

impl Constraint {
    fn new(wire: &TopologySpreadConstraint, labels: &Labels) -> Result<Constraint, String> {
        let selector =
            Selector::from_label_selector(wire.label_selector.as_ref()).map_err(|e| e.to_string())?;
        let policy = |given: Option<&String>, default: bool| given.map_or(default, |p| p == "Honor");
        Ok(Constraint {
            max_skew: wire.max_skew,
            topology_key: SmolStr::new(&wire.topology_key),
            selector: Arc::new(with_label_keys(selector, wire, labels)),
            min_domains: wire.min_domains.unwrap_or(1),
            honors_affinity: policy(wire.node_affinity_policy.as_ref(), true),
            honors_taints: policy(wire.node_taints_policy.as_ref(), false),
        })
    }

    /// True if a pod of the class counts. Terminating pods do not, and a selector of everything selects nothing here
    /// (`countPodsMatchSelector`).
    pub(super) fn counts(&self, namespace: &str, pod: &PodInfo) -> bool {
        !pod.terminating
            && !self.selector.is_empty()
            && pod.namespace == namespace
            && self.selector.matches(&pod.labels)
    }
}

/// The pod's own values of `matchLabelKeys` narrow the selector.
fn with_label_keys(selector: Selector, wire: &TopologySpreadConstraint, labels: &Labels) -> Selector {
    let keys = wire.match_label_keys.iter().flatten();
    let own: Labels = keys.filter_map(|key| Some((key.clone(), labels.get(key)?.clone()))).collect();
    if own.is_empty() || selector.is_nothing() {
        return selector;
    }
    Selector::new([Selector::from_set(&own).requirements(), selector.requirements()].concat())
}

/// What decides which nodes count for the constraints of a pod.
#[derive(Clone, Debug)]
pub(super) struct Inclusion {
    affinity: RequiredNodeAffinity,
    tolerations: Vec<Toleration>,
}

impl Inclusion {
    /// Of a pod.
    pub(super) fn of(pod: &PodInfo) -> Inclusion {
        Inclusion {
            affinity: RequiredNodeAffinity::new(&pod.spec),
            tolerations: pod.spec.tolerations.clone().unwrap_or_default(),
        }
    }

    /// True if the node counts for the constraint (`matchNodeInclusionPolicies`). Node affinity that does not parse
    /// matches nothing.
    pub(super) fn includes(&self, constraint: &Constraint, node: &NodeInfo) -> bool {
        let affine =
            || self.affinity.is_empty() || self.affinity.matches(&node.name, &node.labels) == Ok(true);
        let tolerated = || find_untolerated(node.taints(), &self.tolerations, keeps_off).is_none();
        (!constraint.honors_affinity || affine()) && (!constraint.honors_taints || tolerated())
    }
}

/// The built-in constraints of pods without any.
pub(super) fn system_defaults() -> Vec<TopologySpreadConstraint> {
    let soft = |key: &str, max_skew| TopologySpreadConstraint {
        topology_key: key.to_owned(),
        when_unsatisfiable: Action::ScheduleAnyway.as_str().to_owned(),
        max_skew,
        ..TopologySpreadConstraint::default()
    };
    vec![soft(HOSTNAME, 3), soft(ZONE, 5)]
}

/// Those of a list that have an action (`filterTopologySpreadConstraints`).
fn with_action(
    list: &[TopologySpreadConstraint],
    labels: &Labels,
    action: Action,
) -> Result<Vec<Constraint>, String> {
    let wanted = list.iter().filter(|c| c.when_unsatisfiable == action.as_str());
    wanted.map(|constraint| Constraint::new(constraint, labels)).collect()
}

impl PodTopologySpread {
    /// The constraints of a pod: its own, or else the default ones with the selector of what the pod belongs to. They
    /// are the same for all pods of a class as long as Services, ReplicationControllers, ReplicaSets and StatefulSets
    /// stay as they are.
    ///
    /// # Errors
    /// Selectors that do not parse.
    pub(super) fn constraints(
        &self,
        pod: &PodInfo,
        action: Action,
        objects: &Objects,
    ) -> Result<Vec<Constraint>, String> {
        let strength = match action {
            Action::DoNotSchedule => "hard",
            Action::ScheduleAnyway => "soft",
        };
        if has_own(pod) {
            let own = pod.spec.topology_spread_constraints.as_deref().unwrap_or(&[]);
            return with_action(own, &pod.labels, action)
                .map_err(|e| format!("obtaining pod's {strength} topology spread constraints: {e}"));
        }
        let mut constraints = with_action(&self.defaults, &pod.labels, action)
            .map_err(|e| format!("setting default {strength} topology spread constraints: {e}"))?;
        if constraints.is_empty() {
            return Ok(constraints);
        }
        let selector = default_selector(pod, service_labels(pod, objects), objects);
        if selector.is_empty() {
            return Ok(Vec::new());
        }
        let selector = Arc::new(selector);
        for constraint in &mut constraints {
            constraint.selector = selector.clone();
        }
        Ok(constraints)
    }

    /// True if a pod's constraints follow from what it belongs to.
    pub(super) fn has_defaults(&self, pod: &PodInfo) -> bool {
        !has_own(pod) && !self.defaults.is_empty()
    }

    /// True if only nodes with the labels of all of a pod's constraints are rated: not with the built-in constraints,
    /// so that nodes without a zone are still spread over by name.
    pub(super) fn requires_all_topologies(&self, pod: &PodInfo) -> bool {
        has_own(pod) || !self.system_defaulted
    }
}

fn has_own(pod: &PodInfo) -> bool {
    pod.spec.topology_spread_constraints.as_ref().is_some_and(|own| !own.is_empty())
}
