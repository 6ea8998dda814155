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
            !required.0.is_empty() && succeeded.overlap(&required) >= count.unwrap_or(required.total())
        }
        None => count.is_some_and(|count| succeeded.total() >= count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let rule = |indexes: Option<&str>, count| SuccessPolicyRule {
            succeeded_indexes: indexes.map(String::from),
            succeeded_count: count,
        };
        let succeeded = Intervals::parse("1-3,7", 10);
        for (indexes, count, want) in [
            (Some("1-3"), None, true),
            (Some("1-4"), None, false),
            (Some("1-4"), Some(3), true),
            (Some("0,4"), Some(1), false),
            (Some("10-12"), None, false),
            (None, Some(4), true),
            (None, Some(5), false),
        ] {
            let policy = SuccessPolicy { rules: vec![rule(indexes, count)] };
            assert_eq!(met(Some(&policy), 10, &succeeded).is_some(), want, "{indexes:?} {count:?}");
        }
        assert_eq!(met(None, 10, &succeeded), None);
    }
}
