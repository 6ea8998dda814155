//! Selectors: CEL conditions on devices (`k8s.io/dynamic-resource-allocation/cel/compile.go`).

use std::sync::Arc;

use rustc_hash::FxHashMap;
use sim_cel::device::{DEVICE, MAX_COST};
use sim_cel::{CompileError, Env, Map, Object, Program, Semver, Value};
use smol_str::SmolStr;

use crate::api::{Device, DeviceAttribute};

/// A compiled selector, or why it cannot be compiled.
#[derive(Debug)]
pub struct Selector {
    compiled: Result<Program, CompileError>,
}

/// What a selector gave for a device, and what that cost.
#[derive(Debug)]
pub struct Match {
    /// Whether the device is selected; an error in upstream's words.
    pub outcome: Result<bool, String>,
    /// Cost units.
    pub cost: u64,
}

impl Selector {
    /// The program, or why there is none.
    ///
    /// # Errors
    /// The error of the compilation.
    pub fn program(&self) -> Result<&Program, &CompileError> {
        self.compiled.as_ref()
    }

    /// Whether a device is selected.
    ///
    /// # Errors
    /// If the selector does not compile.
    pub fn matches(&self, device: &Value) -> Result<Match, &CompileError> {
        let evaluation = self.program()?.evaluate(std::slice::from_ref(device), MAX_COST);
        let outcome = match evaluation.outcome {
            Ok(value) => value.as_condition(),
            Err(failure) => Err(failure.to_string()),
        };
        Ok(Match { outcome, cost: evaluation.cost })
    }
}

/// Selectors by expression, each compiled once. Clones share what is compiled already.
#[derive(Clone, Debug)]
pub struct Selectors {
    env: Env,
    by_expression: FxHashMap<SmolStr, Arc<Selector>>,
}

impl Selectors {
    /// For what is stored already, which is what allocation evaluates: every field of devices is known, whatever the
    /// features are, so that turning one off does not break stored expressions.
    pub fn stored() -> Selectors {
        Selectors::with(Env::stored_device_selectors())
    }

    /// For what is written now: `device.allowMultipleAllocations` is known only with the feature `DRAConsumableCapacity`.
    pub fn written(consumable_capacity: bool) -> Selectors {
        Selectors::with(Env::new_device_selectors(consumable_capacity))
    }

    fn with(env: Env) -> Selectors {
        Selectors { env, by_expression: FxHashMap::default() }
    }

    /// The selector of an expression.
    pub fn get(&mut self, expression: &SmolStr) -> Arc<Selector> {
        if let Some(found) = self.by_expression.get(expression) {
            return found.clone();
        }
        let selector = Arc::new(Selector { compiled: self.env.compile_condition(expression) });
        self.by_expression.insert(expression.clone(), selector.clone());
        selector
    }
}

/// A device as selectors see it: names without a domain get the driver's, and unknown domains are empty.
///
/// # Errors
/// If an attribute is of no known type, or no version.
pub fn device_value(driver: &str, device: &Device) -> Result<Value, String> {
    let mut attributes = Vec::with_capacity(device.attributes.len());
    for (name, attribute) in &device.attributes {
        let value = attribute_value(attribute).map_err(|why| format!("attribute {name}: {why}"))?;
        attributes.push((name, value));
    }
    let capacity = device.capacity.iter().map(|(name, c)| (name, Value::quantity(c.value.clone())));
    let fields = vec![
        ("driver".into(), Value::string(driver)),
        ("allowMultipleAllocations".into(), Value::Bool(device.allow_multiple_allocations == Some(true))),
        ("attributes".into(), by_domain(driver, attributes.into_iter())),
        ("capacity".into(), by_domain(driver, capacity)),
    ];
    Ok(Value::Object(Arc::new(Object::new(DEVICE, fields))))
}

fn by_domain<'a>(driver: &str, named: impl Iterator<Item = (&'a SmolStr, Value)>) -> Value {
    let mut domains: Vec<(&str, Map)> = Vec::new();
    for (name, value) in named {
        let (domain, id) = name.split_once('/').unwrap_or((driver, name));
        let index = domains.iter().position(|(known, _)| *known == domain).unwrap_or_else(|| {
            domains.push((domain, Map::new()));
            domains.len() - 1
        });
        domains[index].1.insert(Value::string(id), value);
    }
    let mut map = Map::new().with_default(Value::Map(Arc::new(Map::new())));
    for (domain, values) in domains {
        map.insert(Value::string(domain), Value::Map(Arc::new(values)));
    }
    Value::Map(Arc::new(map))
}

fn attribute_value(attribute: &DeviceAttribute) -> Result<Value, String> {
    let DeviceAttribute { int, bool, string, version } = attribute;
    if let Some(int) = int {
        return Ok(Value::Int(*int));
    }
    if let Some(bool) = bool {
        return Ok(Value::Bool(*bool));
    }
    if let Some(string) = string {
        return Ok(Value::String(string.clone()));
    }
    let version = version.as_ref().ok_or("unsupported attribute value")?;
    let parsed = Semver::parse(version).map_err(|why| format!("parse semantic version: {why}"))?;
    Ok(Value::Semver(Arc::new(parsed)))
}
