//! Label selectors, as controllers use them (`metav1.LabelSelectorAsSelector`).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use sim_core::api::meta::Labels;

/// True if the labels match. An empty selector matches everything; an unknown operator nothing.
pub fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal && selector.match_expressions.iter().flatten().all(|r| requirement_matches(r, labels))
}

/// True if nothing is asked for.
pub fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(|m| m.is_empty())
        && selector.match_expressions.as_ref().is_none_or(|m| m.is_empty())
}

fn requirement_matches(requirement: &LabelSelectorRequirement, labels: &Labels) -> bool {
    let value = labels.get(&requirement.key);
    let listed = |v: &String| requirement.values.iter().flatten().any(|x| x == v);
    match requirement.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators() {
        let labels: Labels = [("app".to_string(), "web".to_string())].into();
        for (operator, key, values, want) in [
            ("In", "app", vec!["web"], true),
            ("In", "app", vec!["db"], false),
            ("NotIn", "app", vec!["db"], true),
            ("NotIn", "tier", vec!["db"], true),
            ("Exists", "app", vec![], true),
            ("Exists", "tier", vec![], false),
            ("DoesNotExist", "tier", vec![], true),
            ("Gt", "app", vec!["1"], false),
        ] {
            let requirement = LabelSelectorRequirement {
                key: key.into(),
                operator: operator.into(),
                values: Some(values.into_iter().map(String::from).collect()),
            };
            assert_eq!(requirement_matches(&requirement, &labels), want, "{operator} {key}");
        }
        assert!(is_empty(&LabelSelector::default()) && matches(&LabelSelector::default(), &labels));
    }
}
