//! Which arguments of in-tree plugins are refused (`apis/config/validation/validation_pluginargs.go`).

use std::collections::BTreeSet;

use sim_core::api::validation::field::{ErrorType, FieldError, Shown};
use sim_core::api::validation::names;
use sim_core::selectors::{NodeSelector, PreferredSchedulingTerms, SelectorError};
use sim_core::time::Span;

use super::*;
use crate::config::field;

const PERCENT: &str = "not in valid range [0, 100]";

fn percent(errors: &mut Errors, path: &Path<'_>, value: i32) {
    if !(0..=100).contains(&value) {
        errors.invalid(path, value, PERCENT);
    }
}

impl PluginArgs for DefaultPreemptionArgs {
    const PLUGIN: &'static str = "DefaultPreemption";

    fn validate(&self, path: Option<&Path<'_>>, errors: &mut Errors) {
        let (percentage, absolute) = ("minCandidateNodesPercentage", "minCandidateNodesAbsolute");
        percent(errors, &field(path, percentage), self.min_candidate_nodes_percentage);
        if self.min_candidate_nodes_absolute < 0 {
            let why = "not in valid range [0, inf)";
            errors.invalid(&field(path, absolute), self.min_candidate_nodes_absolute, why);
        }
        if (self.min_candidate_nodes_percentage, self.min_candidate_nodes_absolute) == (0, 0) {
            for (name, other) in [(percentage, absolute), (absolute, percentage)] {
                let why = format!("cannot be zero at the same time as {other}");
                errors.invalid(&field(path, name), 0, &why);
            }
        }
    }
}

impl PluginArgs for DynamicResourcesArgs {
    const PLUGIN: &'static str = "DynamicResources";

    fn validate(&self, path: Option<&Path<'_>>, errors: &mut Errors) {
        if let Some(timeout) = self.filter_timeout.filter(|t| t.0 < Span::ZERO) {
            errors.invalid(&field(path, "filterTimeout"), Shown::json(&timeout), "must be zero or positive");
        }
    }
}

impl PluginArgs for InterPodAffinityArgs {
    const PLUGIN: &'static str = "InterPodAffinity";

    fn validate(&self, path: Option<&Path<'_>>, errors: &mut Errors) {
        percent(errors, &field(path, "hardPodAffinityWeight"), self.hard_pod_affinity_weight);
    }
}

impl PluginArgs for NodeAffinityArgs {
    const PLUGIN: &'static str = "NodeAffinity";

    fn validate(&self, path: Option<&Path<'_>>, errors: &mut Errors) {
        let Some(affinity) = &self.added_affinity else { return };
        let added = field(path, "addedAffinity");
        let mut complain = |field, separator, error: SelectorError| {
            let path = added.child(field);
            for message in error.messages() {
                // What the selector says begins with the field in the selector.
                let (inner, message) = message.split_once(": ").unwrap_or(("", message));
                let field = format!("{path}{separator}{inner}");
                errors.0.push(FieldError { kind: ErrorType::Invalid, field, message: message.to_owned() });
            }
        };
        let required = affinity.required_during_scheduling_ignored_during_execution.as_ref();
        if let Some(Err(error)) = required.map(NodeSelector::strict) {
            complain("requiredDuringSchedulingIgnoredDuringExecution", ".", error);
        }
        let preferred = affinity.preferred_during_scheduling_ignored_during_execution.as_deref();
        if let Err(error) = PreferredSchedulingTerms::new(preferred.unwrap_or_default()) {
            complain("preferredDuringSchedulingIgnoredDuringExecution", "", error);
        }
    }
}

impl PluginArgs for NodeResourcesBalancedAllocationArgs {
    const PLUGIN: &'static str = "NodeResourcesBalancedAllocation";

    fn set_defaults(&mut self) {
        default_weights(&mut self.resources);
    }

    fn validate(&self, path: Option<&Path<'_>>, errors: &mut Errors) {
        let resources = field(path, "resources");
        let mut seen = BTreeSet::new();
        for (i, resource) in self.resources.iter().enumerate() {
            let path = resources.index(i);
            if !seen.insert(&resource.name) {
                errors.duplicate(&path.child("name"), resource.name.as_str());
            }
            if resource.weight != 1 {
                errors.invalid(&path.child("weight"), resource.weight, "must be 1");
            }
        }
    }
}

fn curve(errors: &mut Errors, path: &Path<'_>, shape: &[UtilizationShapePoint]) {
    if shape.is_empty() {
        return errors.required(path, "at least one point must be specified");
    }
    if let Some(i) = shape.windows(2).position(|pair| pair[0].utilization >= pair[1].utilization) {
        let (path, why) = (path.index(i + 1), "values must be sorted in increasing order");
        errors.invalid(&path.child("utilization"), shape[i + 1].utilization, why);
    }
    for (i, point) in shape.iter().enumerate() {
        let path = path.index(i);
        percent(errors, &path.child("utilization"), point.utilization);
        if !(0..=10).contains(&point.score) {
            errors.invalid(&path.child("score"), point.score, "not in valid range [0, 10]");
        }
    }
}

impl PluginArgs for NodeResourcesFitArgs {
    const PLUGIN: &'static str = "NodeResourcesFit";

    fn set_defaults(&mut self) {
        default_weights(&mut self.scoring_strategy.resources);
    }

    fn validate(&self, path: Option<&Path<'_>>, errors: &mut Errors) {
        let resources = field(path, "ignoredResources");
        for (i, name) in self.ignored_resources.iter().enumerate() {
            errors.invalid_each(&resources.index(i), name, names::qualified_name(name));
        }
        let groups = field(path, "ignoredResourceGroups");
        for (i, group) in self.ignored_resource_groups.iter().enumerate() {
            let path = groups.index(i);
            if group.contains('/') {
                errors.invalid(&path, group.as_str(), "resource group name can't contain '/'");
            }
            errors.invalid_each(&path, group, names::qualified_name(group));
        }
        let (strategy, path) = (&self.scoring_strategy, field(path, "scoringStrategy"));
        if let ScoringStrategyType::Other(kind) = &strategy.kind {
            let supported = ["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"];
            errors.not_supported(&path.child("type"), Shown::json(kind), &supported);
        }
        let resources = path.child("resources");
        for (i, resource) in strategy.resources.iter().enumerate() {
            if !(1..=100).contains(&resource.weight) {
                let why = format!("resource weight of {} not in valid range (0, 100]", resource.name);
                errors.invalid(&resources.index(i).child("weight"), resource.weight, &why);
            }
        }
        if let Some(ratio) = &strategy.requested_to_capacity_ratio {
            curve(errors, &path.child("shape"), &ratio.shape);
        }
    }
}

impl PluginArgs for PodTopologySpreadArgs {
    const PLUGIN: &'static str = "PodTopologySpread";

    fn validate(&self, path: Option<&Path<'_>>, errors: &mut Errors) {
        let defaulting = field(path, "defaultingType");
        match &self.defaulting_type {
            PodTopologySpreadConstraintsDefaulting::Other(kind) => {
                errors.not_supported(&defaulting, Shown::json(kind), &["System", "List"]);
            }
            PodTopologySpreadConstraintsDefaulting::System if !self.default_constraints.is_empty() => {
                errors.invalid(&defaulting, "System", "when .defaultConstraints are not empty");
            }
            _ => {}
        }
        let constraints = field(path, "defaultConstraints");
        for (i, constraint) in self.default_constraints.iter().enumerate() {
            let path = constraints.index(i);
            if constraint.max_skew <= 0 {
                errors.invalid(&path.child("maxSkew"), constraint.max_skew, "not in valid range (0, inf)");
            }
            match constraint.topology_key.as_str() {
                "" => errors.required(&path.child("topologyKey"), "can not be empty"),
                key => errors.invalid_each(&path.child("topologyKey"), key, names::qualified_name(key)),
            }
            match constraint.when_unsatisfiable.as_str() {
                "" => errors.required(&path.child("whenUnsatisfiable"), "can not be empty"),
                "DoNotSchedule" | "ScheduleAnyway" => {}
                other => errors.not_supported(
                    &path.child("whenUnsatisfiable"),
                    Shown::json(&other),
                    &["DoNotSchedule", "ScheduleAnyway"],
                ),
            }
            if constraint.label_selector.is_some() {
                let why = "constraint must not define a selector, as they deduced for each pod";
                errors.forbidden(&path.child("labelSelector"), why);
            }
            let same = |other: &k8s_openapi::api::core::v1::TopologySpreadConstraint| {
                (&other.topology_key, &other.when_unsatisfiable)
                    == (&constraint.topology_key, &constraint.when_unsatisfiable)
            };
            if self.default_constraints[..i].iter().any(same) {
                let pair = format!("{{{}, {}}}", constraint.topology_key, constraint.when_unsatisfiable);
                errors.duplicate(&path, pair.as_str());
            }
        }
    }
}

impl PluginArgs for VolumeBindingArgs {
    const PLUGIN: &'static str = "VolumeBinding";

    fn validate(&self, path: Option<&Path<'_>>, errors: &mut Errors) {
        if self.bind_timeout_seconds < 0 {
            let why = "invalid BindTimeoutSeconds, should not be a negative value";
            errors.invalid(&field(path, "bindTimeoutSeconds"), self.bind_timeout_seconds, why);
        }
        if let Some(shape) = &self.shape {
            // The internal type has no JSON names.
            let points: Vec<String> = shape
                .iter()
                .map(|p| format!("{{\"Utilization\":{},\"Score\":{}}}", p.utilization, p.score))
                .collect();
            let why =
                "unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring";
            errors.invalid(&field(path, "shape"), Shown::raw(format!("[{}]", points.join(","))), why);
        }
    }
}
