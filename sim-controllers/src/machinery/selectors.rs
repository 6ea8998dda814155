//! Label selectors, as controllers use them (`metav1.LabelSelectorAsSelector`).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use sim_core::api::meta::Labels;
use sim_core::selectors::Selector;

/// The selector, ready to match; `None` if it is malformed.
pub fn compile(selector: &LabelSelector) -> Option<Selector> {
    Selector::from_label_selector(Some(selector)).ok()
}

/// True if the labels match. An empty selector matches everything, a malformed one nothing.
pub fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    compile(selector).is_some_and(|s| s.matches(labels))
}

/// True if nothing is asked for.
pub fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(|m| m.is_empty())
        && selector.match_expressions.as_ref().is_none_or(|m| m.is_empty())
}
