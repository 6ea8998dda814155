//! PodDisruptionBudgets, as far as preemption minds them.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;
use sim_core::api::kind::Kind;
use sim_core::api::meta::Labels;
use sim_core::api::object::Object;
use sim_core::selectors::Selector;
use smol_str::SmolStr;

use crate::cache::Objects;

/// One budget.
struct Budget {
    namespace: SmolStr,
    selector: Selector,
    allowed: i64,
    /// Names of pods whose eviction the API server has counted already.
    disrupted: BTreeSet<String>,
}

/// All budgets that select anything.
pub(super) struct Budgets(Vec<Budget>);

impl Budgets {
    pub(super) fn of(objects: &Objects) -> Budgets {
        Budgets(objects.list(Kind::POD_DISRUPTION_BUDGET).filter_map(|object| budget(object)).collect())
    }

    /// Whether a budget would be violated, for each of these pods, if they were evicted in this order
    /// (`filterPodsWithPDBViolation`).
    pub(super) fn violations<'a>(&self, pods: impl Iterator<Item = &'a Object>) -> Vec<bool> {
        let mut allowed: Vec<i64> = self.0.iter().map(|budget| budget.allowed).collect();
        pods.map(|pod| {
            let mut violated = false;
            for (budget, allowed) in self.0.iter().zip(&mut allowed) {
                if budget.covers(&pod.meta.key.namespace, &pod.meta.key.name, &pod.meta.labels) {
                    *allowed -= 1;
                    violated |= *allowed < 0;
                }
            }
            violated
        })
        .collect()
    }
}

impl Budget {
    fn covers(&self, namespace: &str, name: &str, labels: &Labels) -> bool {
        self.namespace == namespace
            // Pods without labels are under no budget, not even one for the absence of a label.
            && !labels.is_empty()
            && self.selector.matches(labels)
            && !self.disrupted.contains(name)
    }
}

/// `None` if it selects nothing: upstream takes an empty selector and an invalid one for such.
fn budget(object: &Object) -> Option<Budget> {
    let body = object.as_json()?;
    let selector: LabelSelector = serde_json::from_value(body.pointer("/spec/selector")?.clone()).ok()?;
    let selector = Selector::from_label_selector(Some(&selector)).ok()?;
    let disrupted = body.pointer("/status/disruptedPods").and_then(Value::as_object);
    (!selector.is_empty()).then(|| Budget {
        namespace: object.meta.key.namespace.clone(),
        selector,
        allowed: body.pointer("/status/disruptionsAllowed").and_then(Value::as_i64).unwrap_or(0),
        disrupted: disrupted.into_iter().flatten().map(|(name, _)| name.clone()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use sim_core::api::meta::{Key, Meta};

    use super::*;
    use crate::testing::pod;

    #[test]
    fn which_evictions_violate_a_budget() {
        let pods: Vec<Object> = [("a", "x"), ("b", "x"), ("c", ""), ("d", "y"), ("e", "x")]
            .into_iter()
            .map(|(name, app)| pod(name).label("app", app).build())
            .collect();
        let app = |app: &str| json!({"matchLabels": {"app": app}});
        for (case, budgets, expected) in [
            ("none", vec![], [false; 5]),
            ("one may go", vec![(app("x"), 1, vec![])], [false, true, false, false, true]),
            ("counted already", vec![(app("x"), 1, vec!["a", "b"])], [false; 5]),
            ("empty", vec![(json!({}), 0, vec![])], [false; 5]),
            ("absent", vec![(Value::Null, 0, vec![])], [false; 5]),
            (
                "of two, the stricter one counts",
                vec![
                    (app("x"), 2, vec![]),
                    (json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}), 0, vec![]),
                ],
                [true, true, false, true, true],
            ),
            (
                "no label matches nothing",
                vec![(json!({"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}), 0, vec![])],
                [true, true, false, true, true],
            ),
            (
                "invalid",
                vec![(json!({"matchExpressions": [{"key": "app", "operator": "Near"}]}), 0, vec![])],
                [false; 5],
            ),
        ] {
            let mut objects = Objects::default();
            for (i, (selector, allowed, disrupted)) in budgets.into_iter().enumerate() {
                let disrupted: serde_json::Map<_, _> = disrupted
                    .into_iter()
                    .map(|name| (name.to_owned(), json!("2025-01-01T00:00:00Z")))
                    .collect();
                let body = json!({"spec": {"selector": selector},
                    "status": {"disruptionsAllowed": allowed, "disruptedPods": disrupted}});
                let meta = Meta::named(Key::new("default", format!("b{i}").as_str()));
                objects.set(Arc::new(Object::json(Kind::POD_DISRUPTION_BUDGET, meta, body.clone())));
                let elsewhere = Meta::named(Key::new("other", "b"));
                objects.set(Arc::new(Object::json(Kind::POD_DISRUPTION_BUDGET, elsewhere, body)));
            }
            assert_eq!(Budgets::of(&objects).violations(pods.iter()), expected, "{case}");
        }
    }
}
