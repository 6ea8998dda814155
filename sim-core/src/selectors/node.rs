//! Node selectors and node affinity, as `component-helpers/scheduling/corev1/nodeaffinity` has them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;

use super::path::Path;
use super::{FieldSelector, Operator, Requirement, Selector, SelectorError};
use crate::api::meta::Labels;
use crate::syntax::go_quote;

/// A term: labels and fields, both of which must match where they are given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    labels: Option<Selector>,
    fields: Option<FieldSelector>,
}

impl Term {
    fn new(term: &core::NodeSelectorTerm, path: &Path<'_>) -> Result<Term, SelectorError> {
        let mut messages = Vec::new();
        let labels = term.match_expressions.as_deref().filter(|e| !e.is_empty());
        let labels = labels.map(|e| expressions(e, &path.child("matchExpressions"), &mut messages));
        let fields = term.match_fields.as_deref().filter(|e| !e.is_empty());
        let fields = fields.map(|e| field_expressions(e, &path.child("matchFields"), &mut messages));
        if messages.is_empty() { Ok(Term { labels, fields }) } else { Err(SelectorError { messages }) }
    }

    /// A node without a name has no fields, and matches all of them.
    fn matches(&self, name: &str, labels: &Labels) -> bool {
        let get = |field: &str| (field == "metadata.name").then_some(name);
        self.labels.as_ref().is_none_or(|s| s.matches(labels))
            && self.fields.as_ref().is_none_or(|s| name.is_empty() || s.matches(get))
    }
}

fn is_empty(term: &core::NodeSelectorTerm) -> bool {
    term.match_expressions.as_ref().is_none_or(Vec::is_empty)
        && term.match_fields.as_ref().is_none_or(Vec::is_empty)
}

fn unsupported(path: &Path<'_>, operator: &str, supported: &str) -> String {
    let (path, operator) = (path.child("operator"), go_quote(operator));
    format!("{path}: Unsupported value: {operator}: supported values: {supported}")
}

fn expressions(
    expressions: &[core::NodeSelectorRequirement],
    path: &Path<'_>,
    messages: &mut Vec<String>,
) -> Selector {
    let mut requirements = Vec::new();
    for (i, expression) in expressions.iter().enumerate() {
        let path = path.index(i);
        let operator = match expression.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::GreaterThan,
            "Lt" => Operator::LessThan,
            other => {
                let all = r#""In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt""#;
                messages.push(unsupported(&path, other, all));
                continue;
            }
        };
        match Requirement::at(&path, &expression.key, operator, expression.values.as_deref()) {
            Ok(requirement) => requirements.push(requirement),
            Err(error) => messages.extend(error.messages),
        }
    }
    Selector::new(requirements)
}

fn field_expressions(
    expressions: &[core::NodeSelectorRequirement],
    path: &Path<'_>,
    messages: &mut Vec<String>,
) -> FieldSelector {
    let mut selector = FieldSelector::default();
    for (i, expression) in expressions.iter().enumerate() {
        let path = path.index(i);
        let equal = match expression.operator.as_str() {
            "In" => true,
            "NotIn" => false,
            other => {
                messages.push(unsupported(&path, other, r#""In", "NotIn""#));
                continue;
            }
        };
        match expression.values.as_deref() {
            Some([value]) => selector = selector.and(&expression.key, equal, value),
            values => {
                let (path, values) = (path.child("values"), crate::syntax::go_json(&values));
                messages.push(format!("{path}: Invalid value: {values}: must have one element"));
            }
        }
    }
    selector
}

/// A node selector: any of its terms. Empty terms are left out, so that a selector of them matches nothing.
///
/// Errors of a term come up when a node is matched and no earlier term matches it: the lazy form of the scheduler. The
/// strict form of other callers is [`NodeSelector::strict`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSelector {
    terms: Vec<Result<Term, SelectorError>>,
}

impl NodeSelector {
    /// Reads a selector, keeping errors for later (`NewLazyErrorNodeSelector`).
    pub fn lazy(selector: &core::NodeSelector) -> NodeSelector {
        let root = Path::Root("");
        let path = root.child("nodeSelectorTerms");
        let terms = selector.node_selector_terms.iter().enumerate().filter(|(_, term)| !is_empty(term));
        NodeSelector { terms: terms.map(|(i, term)| Term::new(term, &path.index(i))).collect() }
    }

    /// Reads a selector (`NewNodeSelector`).
    ///
    /// # Errors
    /// Those of all terms.
    pub fn strict(selector: &core::NodeSelector) -> Result<NodeSelector, SelectorError> {
        let lazy = NodeSelector::lazy(selector);
        let errors = lazy.terms.iter().filter_map(|term| term.as_ref().err());
        let messages: Vec<String> = errors.flat_map(|e| e.messages.iter().cloned()).collect();
        if messages.is_empty() { Ok(lazy) } else { Err(SelectorError { messages }) }
    }

    /// True if a term matches the node.
    ///
    /// # Errors
    /// Those of the broken terms, if no term matches.
    pub fn matches(&self, name: &str, labels: &Labels) -> Result<bool, SelectorError> {
        let mut messages = Vec::new();
        for term in &self.terms {
            match term {
                Ok(term) if term.matches(name, labels) => return Ok(true),
                Ok(_) => {}
                Err(error) => messages.extend_from_slice(&error.messages),
            }
        }
        if messages.is_empty() { Ok(false) } else { Err(SelectorError { messages }) }
    }
}

/// What a pod requires of its node: `spec.nodeSelector` and the required node affinity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequiredNodeAffinity {
    selector: BTreeMap<String, String>,
    affinity: Option<NodeSelector>,
}

impl RequiredNodeAffinity {
    /// Of a pod (`GetRequiredNodeAffinity`).
    pub fn new(spec: &core::PodSpec) -> RequiredNodeAffinity {
        let affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        RequiredNodeAffinity {
            selector: spec.node_selector.clone().unwrap_or_default(),
            affinity: required.map(NodeSelector::lazy),
        }
    }

    /// True if nothing is required.
    pub fn is_empty(&self) -> bool {
        self.selector.is_empty() && self.affinity.is_none()
    }

    /// True if the node fulfils both.
    ///
    /// # Errors
    /// Those of broken affinity terms, if no term matches.
    pub fn matches(&self, name: &str, labels: &Labels) -> Result<bool, SelectorError> {
        if !self.selector.iter().all(|(key, value)| labels.get(key) == Some(value)) {
            return Ok(false);
        }
        self.affinity.as_ref().map_or(Ok(true), |affinity| affinity.matches(name, labels))
    }
}

/// The preferred terms of node affinity with their weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreferredSchedulingTerms {
    terms: Vec<(Term, i32)>,
}

impl PreferredSchedulingTerms {
    /// Reads the terms; those that are empty or of weight 0 are left out.
    ///
    /// # Errors
    /// Those of all terms.
    pub fn new(terms: &[core::PreferredSchedulingTerm]) -> Result<PreferredSchedulingTerms, SelectorError> {
        let root = Path::Root("");
        let mut messages = Vec::new();
        let mut parsed = Vec::new();
        for (i, term) in terms.iter().enumerate() {
            if term.weight == 0 || is_empty(&term.preference) {
                continue;
            }
            match Term::new(&term.preference, &root.index(i)) {
                Ok(preference) => parsed.push((preference, term.weight)),
                Err(error) => messages.extend(error.messages),
            }
        }
        if messages.is_empty() {
            Ok(PreferredSchedulingTerms { terms: parsed })
        } else {
            Err(SelectorError { messages })
        }
    }

    /// True if no term counts.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Sum of the weights of the terms that match the node.
    pub fn score(&self, name: &str, labels: &Labels) -> i64 {
        self.terms
            .iter()
            .filter(|(term, _)| term.matches(name, labels))
            .map(|(_, weight)| i64::from(*weight))
            .sum()
    }
}
