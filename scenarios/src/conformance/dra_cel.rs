//! `dra/cel*.json`: selectors compiled and evaluated for one device: result, error text, type, estimated and actual cost.

use std::sync::Arc;

use serde_json::Value;
use sim_cel::{Map, Object, Value as CelValue};
use sim_dra::api::Device;
use sim_dra::selector::{Match, Selector, Selectors, device_value};
use smol_str::SmolStr;

use super::quantity::{same, text};

/// Orders of map iteration that are tried where the recorded cost is not that of the sorted order.
const ORDERS: usize = 400;

pub(crate) fn check(input: &Value, _: &Value) -> Result<(), String> {
    let consumable = input["consumableCapacity"].as_bool().unwrap_or(false);
    let mut selectors = match text(input, "envType") {
        "NewExpressions" => Selectors::written(consumable),
        _ => Selectors::stored(),
    };
    let selector = selectors.get(&SmolStr::new(text(input, "expression")));
    let program = match selector.program() {
        Err(error) => return same("compileError", error.to_string(), &input["compileError"]),
        Ok(program) => program,
    };
    same("compileError", Value::Null, &input["compileError"])?;
    same("outputType", program.output_type().to_string(), &input["outputType"])?;
    same("maxCost", program.max_cost().to_string(), &input["maxCost"])?;
    let device: Device = serde_json::from_value(input.clone()).map_err(|e| e.to_string())?;
    let value = match device_value(text(input, "driver"), &device) {
        Ok(value) => value,
        Err(error) => return same("matchError", error, &input["matchError"]),
    };
    let found = evaluate(&selector, &value)?;
    match &found.outcome {
        Ok(matches) => same("match", *matches, &input["match"])?,
        Err(error) => same("matchError", error.as_str(), &input["matchError"])?,
    }
    let recorded = input["actualCost"].as_u64().unwrap_or_default();
    // The real evaluator iterates over maps in an order that changes from run to run, and quantifiers stop early: the
    // recorded cost must be that of some order.
    let reachable = |order| evaluate(&selector, &reordered(&value, order)).is_ok_and(|m| m.cost == recorded);
    if found.cost == recorded || (1..ORDERS).any(reachable) {
        return Ok(());
    }
    same("actualCost", found.cost, &input["actualCost"])
}

fn evaluate(selector: &Selector, device: &CelValue) -> Result<Match, String> {
    selector.matches(device).map_err(ToString::to_string)
}

/// The device with the entries of its maps in another order, the same for the same number.
fn reordered(value: &CelValue, order: usize) -> CelValue {
    match value {
        CelValue::Object(object) => {
            let fields = ["driver", "allowMultipleAllocations", "attributes", "capacity"];
            let fields = fields.into_iter().filter_map(|name| {
                object.field(name).map(|field| (SmolStr::new(name), reordered(field, order)))
            });
            CelValue::Object(Arc::new(Object::new(object.type_name(), fields.collect())))
        }
        CelValue::Map(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            // A linear congruential generator (Knuth's constants), the same on every machine.
            let mut state = order as u64;
            for last in (1..entries.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                entries.swap(last, (state >> 33) as usize % (last + 1));
            }
            let mut shuffled = Map::new();
            if let Some(default) = map.find(&CelValue::string("\u{0}")) {
                shuffled = shuffled.with_default(default.clone());
            }
            for (key, value) in entries {
                shuffled.insert(key.clone(), reordered(value, order));
            }
            CelValue::Map(Arc::new(shuffled))
        }
        other => other.clone(),
    }
}
