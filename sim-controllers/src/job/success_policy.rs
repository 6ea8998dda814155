//! successPolicy (`success_policy.go`).

use k8s_openapi::api::batch::v1::{SuccessPolicy, SuccessPolicyRule};

use super::intervals::Intervals;

/// The message of the first rule that is met (`matchSuccessPolicy`).
pub fn met(policy: Option<&SuccessPolicy>, completions: i64, succeeded: &Intervals) -> Option<String> {
    if succeeded.0.is_empty() {
        return None;
    }
    let number = policy?.rules.iter().position(|rule| is_met(rule, completions, succeeded))?;
    Some(format!("Matched rules at index {number}"))
}

fn is_met(rule: &SuccessPolicyRule, completions: i64, succeeded: &Intervals) -> bool {
    let count = rule.succeeded_count.map(i64::from);
    match &rule.succeeded_indexes {
        Some(text) => {
            let required = Intervals::parse(text, completions);
            succeeded.overlap(&required) >= count.unwrap_or(required.total())
        }
        None => count.is_some_and(|count| succeeded.total() >= count),
    }
}
