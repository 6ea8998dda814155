//! Taints of devices: those that drivers publish in slices, and those that DeviceTaintRules add
//! (`k8s.io/dynamic-resource-allocation/resourceslice/tracker`).
//!
//! ```
//! use std::sync::Arc;
//!
//! use serde_json::{from_value, json};
//! use sim_dra::api::{DeviceTaintRule, ResourceSlice};
//! use sim_dra::selector::Selectors;
//! use sim_dra::taints::Rules;
//!
//! let rule: DeviceTaintRule = from_value(json!({"metadata": {"name": "broken"}, "spec": {
//!     "deviceSelector": {"driver": "gpu.example.com", "device": "gpu-1"},
//!     "taint": {"key": "example.com/broken", "effect": "NoExecute"}}}))?;
//! let slice: ResourceSlice = from_value(json!({"spec": {"driver": "gpu.example.com", "nodeName": "node-1",
//!     "pool": {"name": "node-1", "generation": 1, "resourceSliceCount": 1},
//!     "devices": [{"name": "gpu-0"}, {"name": "gpu-1"}]}}))?;
//!
//! let rules = Rules::new([Arc::new(rule)], &Default::default(), &mut Selectors::stored());
//! let seen = rules.apply(&Arc::new(slice)).outcome.map_err(|why| why.to_string())?;
//! assert!(seen.spec.devices[0].taints.is_empty());
//! assert_eq!(seen.spec.devices[1].taints[0].key, "example.com/broken");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::Arc;

use sim_cel::Value;
use smol_str::{SmolStr, format_smolstr};

use crate::allocator::Classes;
use crate::api::{DeviceSelector, DeviceTaintRule, ResourceSlice};
use crate::selector::{Selector, Selectors, device_value};

/// The effect that makes pods go (`DeviceTaintEffectNoExecute`).
pub const NO_EXECUTE: &str = "NoExecute";

/// All rules of a cluster, with the classes they name, ready to be applied.
#[derive(Clone, Debug, Default)]
pub struct Rules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    body: Arc<DeviceTaintRule>,
    /// Of the class.
    class: Vec<Arc<Selector>>,
    own: Vec<Arc<Selector>>,
}

/// A slice as seen through the rules.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The slice with all taints, the same one if no rule is about it. An error in upstream's words if an expression does not
    /// compile: what was known of the slice before stays.
    pub outcome: Result<Arc<ResourceSlice>, SmolStr>,
    /// Selectors of rules that failed; the device counts as not selected. Upstream has a warning of the reason
    /// `CELRuntimeError` about the rule for each.
    pub failures: Vec<Failure>,
}

/// A selector of a rule failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Name of the rule.
    pub rule: SmolStr,
    /// Text of the warning.
    pub message: SmolStr,
}

impl Rules {
    /// Rules in the order in which their taints are added, which upstream leaves open; by name is best. A rule for a class that
    /// there is not is about nothing.
    pub fn new(
        rules: impl IntoIterator<Item = Arc<DeviceTaintRule>>,
        classes: &Classes,
        selectors: &mut Selectors,
    ) -> Rules {
        let mut compile = |all: &[DeviceSelector]| -> Vec<Arc<Selector>> {
            all.iter().filter_map(|s| s.cel.as_ref()).map(|cel| selectors.get(&cel.expression)).collect()
        };
        let rules = rules.into_iter().filter_map(|body| {
            let Some(wanted) = &body.spec.device_selector else {
                return Some(Rule { body, class: Vec::new(), own: Vec::new() });
            };
            let class = match &wanted.device_class_name {
                Some(name) => compile(&classes.get(name)?.spec.selectors),
                None => Vec::new(),
            };
            let own = compile(&wanted.selectors);
            Some(Rule { body, class, own })
        });
        Rules(rules.collect())
    }

    /// True if there is no rule that could be about anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A slice with the taints of its devices and those of the rules (`applyPatches`).
    pub fn apply(&self, slice: &Arc<ResourceSlice>) -> Applied {
        let (mut seen, mut failures) = (slice.clone(), Vec::new());
        for rule in &self.0 {
            if let Err(error) = rule.apply(slice, &mut seen, &mut failures) {
                return Applied { outcome: Err(error), failures };
            }
        }
        Applied { outcome: Ok(seen), failures }
    }
}

impl Rule {
    fn apply(
        &self,
        slice: &ResourceSlice,
        seen: &mut Arc<ResourceSlice>,
        failures: &mut Vec<Failure>,
    ) -> Result<(), SmolStr> {
        let wanted = self.body.spec.device_selector.as_ref();
        let other = |wanted: Option<&SmolStr>, is: &SmolStr| wanted.is_some_and(|wanted| wanted != is);
        if other(wanted.and_then(|w| w.driver.as_ref()), &slice.spec.driver)
            || other(wanted.and_then(|w| w.pool.as_ref()), &slice.spec.pool.name)
        {
            return Ok(());
        }
        for (index, device) in slice.spec.devices.iter().enumerate() {
            if other(wanted.and_then(|w| w.device.as_ref()), &device.name) {
                continue;
            }
            let value = match self.class.is_empty() && self.own.is_empty() {
                true => Err(String::new()),
                false => device_value(&slice.spec.driver, device),
            };
            if self.of_class(&value)? && self.selected(&value, failures)? {
                Arc::make_mut(seen).spec.devices[index].taints.push(self.body.spec.taint.clone());
            }
        }
        Ok(())
    }

    fn of_class(&self, device: &Result<Value, String>) -> Result<bool, SmolStr> {
        let wanted = self.body.spec.device_selector.as_ref();
        let class = wanted.and_then(|w| w.device_class_name.as_deref()).unwrap_or_default();
        for (i, selector) in self.class.iter().enumerate() {
            let whose = || format_smolstr!("class {class}: selector #{i}");
            match self.matches(selector, device, whose)? {
                Ok(true) => {}
                Ok(false) | Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    fn selected(&self, device: &Result<Value, String>, failures: &mut Vec<Failure>) -> Result<bool, SmolStr> {
        for (i, selector) in self.own.iter().enumerate() {
            match self.matches(selector, device, || format_smolstr!("selector #{i}"))? {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) => {
                    let message = format_smolstr!("selector #{i}: runtime error: {error}");
                    failures.push(Failure { rule: self.body.metadata.name.clone(), message });
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// What a selector says of a device; the outer error is that of the compilation.
    fn matches(
        &self,
        selector: &Selector,
        device: &Result<Value, String>,
        whose: impl FnOnce() -> SmolStr,
    ) -> Result<Result<bool, String>, SmolStr> {
        let compile_error = |error: &dyn std::fmt::Display| {
            let rule = &self.body.metadata.name;
            format_smolstr!("DeviceTaintRule {rule}: {}: CEL compile error: {error}", whose())
        };
        if let Err(error) = selector.program() {
            return Err(compile_error(error));
        }
        let Ok(device) = device else { return Ok(device.clone().map(|_| false)) };
        match selector.matches(device) {
            Ok(matched) => Ok(matched.outcome),
            Err(error) => Err(format_smolstr!("{error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, from_value, json};

    fn slice() -> Arc<ResourceSlice> {
        let device =
            |name: &str, model: &str| json!({"name": name, "attributes": {"model": {"string": model}}});
        let mut devices = vec![device("gpu-0", "A100"), device("gpu-1", "H100")];
        devices.push(json!({"name": "gpu-2", "taints": [{"key": "own", "effect": "NoSchedule"}]}));
        let pool = json!({"name": "pool-1", "generation": 1, "resourceSliceCount": 1});
        let slice = json!({"metadata": {"name": "slice"}, "spec": {
            "driver": "gpu.example.com", "nodeName": "node-1", "pool": pool, "devices": devices}});
        Arc::new(from_value(slice).expect("a slice"))
    }

    fn rule(name: &str, selector: Json) -> Arc<DeviceTaintRule> {
        let taint = json!({"key": name, "effect": NO_EXECUTE, "timeAdded": "2025-01-01T00:00:00Z"});
        let mut spec = json!({"taint": taint});
        if !selector.is_null() {
            spec["deviceSelector"] = selector;
        }
        Arc::new(from_value(json!({"metadata": {"name": name}, "spec": spec})).expect("a rule"))
    }

    fn classes() -> Classes {
        let class = |expression: &str| {
            let selectors = json!([{"cel": {"expression": expression}}]);
            Arc::new(from_value(json!({"spec": {"selectors": selectors}})).expect("a class"))
        };
        [
            ("h100".into(), class("device.attributes['gpu.example.com'].model == 'H100'")),
            ("broken".into(), class("device.")),
            ("failing".into(), class("device.attributes['gpu.example.com'].missing == 1")),
        ]
        .into()
    }

    fn applied(rules: Vec<Arc<DeviceTaintRule>>) -> Applied {
        Rules::new(rules, &classes(), &mut Selectors::stored()).apply(&slice())
    }

    /// What each device is tainted with.
    fn keys(slice: &ResourceSlice) -> Vec<Vec<&str>> {
        slice.spec.devices.iter().map(|d| d.taints.iter().map(|t| t.key.as_str()).collect()).collect()
    }

    /// The devices that a rule is about.
    #[test]
    fn selectors_of_rules() {
        let h100 = json!([{"cel": {"expression": "device.attributes['gpu.example.com'].model == 'H100'"}}]);
        let table: [(Json, &[usize]); 13] = [
            (Json::Null, &[0, 1, 2]),
            (json!({}), &[0, 1, 2]),
            (json!({"driver": "gpu.example.com"}), &[0, 1, 2]),
            (json!({"driver": "other.example.com"}), &[]),
            (json!({"pool": "pool-1"}), &[0, 1, 2]),
            (json!({"pool": "pool-2"}), &[]),
            (json!({"device": "gpu-1"}), &[1]),
            (json!({"pool": "pool-2", "device": "gpu-1"}), &[]),
            (json!({"deviceClassName": "h100"}), &[1]),
            (json!({"deviceClassName": "missing"}), &[]),
            (json!({"deviceClassName": "failing"}), &[]),
            (json!({"selectors": h100}), &[1]),
            (json!({"selectors": h100, "device": "gpu-0"}), &[]),
        ];
        for (selector, want) in table {
            let applied = applied(vec![rule("r", selector.clone())]);
            let seen = applied.outcome.expect("compiles");
            let tainted: Vec<usize> = (0..3).filter(|i| keys(&seen)[*i].contains(&"r")).collect();
            assert_eq!(tainted, want, "{selector}");
        }
    }

    #[test]
    fn taints_of_rules_come_after_the_devices_own() {
        let seen = applied(vec![rule("b", json!({"device": "gpu-2"})), rule("a", Json::Null)]).outcome;
        assert_eq!(keys(&seen.expect("compiles")), [vec!["a"], vec!["a"], vec!["own", "b", "a"]]);
        let untouched = slice();
        let rules = Rules::new([rule("x", json!({"pool": "no"}))], &classes(), &mut Selectors::stored());
        assert!(Arc::ptr_eq(&untouched, &rules.apply(&untouched).outcome.expect("compiles")));
    }

    #[test]
    fn broken_expressions_and_failing_ones() {
        let broken = applied(vec![rule("r", json!({"deviceClassName": "broken"}))]).outcome;
        let text = broken.expect_err("does not compile");
        assert!(
            text.starts_with("DeviceTaintRule r: class broken: selector #0: CEL compile error: "),
            "{text}"
        );
        let failing = json!({"selectors": [{"cel": {"expression": "device.attributes['gpu.example.com'].model == 'A100'"}}]});
        let applied = applied(vec![rule("r", failing)]);
        assert_eq!(keys(&applied.outcome.expect("compiles")), [vec!["r"], vec![], vec!["own"]]);
        let message = "selector #0: runtime error: no such key: model".into();
        assert_eq!(applied.failures, [Failure { rule: "r".into(), message }], "gpu-2 has no model");
    }
}
