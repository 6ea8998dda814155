//! Selectors: compiled when they are written, and their worst cost is limited.

use k8s_openapi::api::resource::v1::DeviceSelector;
use rustc_hash::FxHashMap;
use sim_cel::{CompileError, Env, device};
use smol_str::SmolStr;

use super::lists::limit;
use crate::api::validation::common::list;
use crate::api::validation::field::{Errors, Path};
use crate::features::{FeatureGates, Gate};

const MOST_SELECTORS: usize = 32;
const LONGEST_EXPRESSION: usize = 10 * 1024;

/// Expressions whose outcome is kept; beyond it the memory starts anew.
const KEPT: usize = 1024;

/// What validation of the device kinds needs beside the object: the feature gates, and what is known of expressions.
///
/// A value is cheap until the first expression comes.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub(super) gates: FeatureGates,
    written: Expressions,
    stored: Expressions,
}

/// Expressions of one environment, each compiled once.
#[derive(Clone, Debug, Default)]
struct Expressions {
    env: Option<Env>,
    known: FxHashMap<SmolStr, Outcome>,
}

#[derive(Clone, Debug)]
enum Outcome {
    Fine,
    TooComplex,
    Invalid(String),
    Internal(String),
}

impl Rules {
    /// With these gates.
    pub fn new(gates: FeatureGates) -> Rules {
        Rules { gates, ..Rules::default() }
    }

    fn outcome(&mut self, expression: &str, stored: bool) -> &Outcome {
        let consumable = self.gates.on(Gate::DRAConsumableCapacity);
        let expressions = if stored { &mut self.stored } else { &mut self.written };
        let env = expressions.env.get_or_insert_with(|| match stored {
            true => Env::stored_device_selectors(),
            false => Env::new_device_selectors(consumable),
        });
        if expressions.known.len() >= KEPT && !expressions.known.contains_key(expression) {
            expressions.known.clear();
        }
        expressions.known.entry(expression.into()).or_insert_with(|| compile(env, expression))
    }
}

fn compile(env: &Env, expression: &str) -> Outcome {
    match env.compile_condition(expression) {
        Ok(program) if program.max_cost() > device::MAX_COST => Outcome::TooComplex,
        Ok(_) => Outcome::Fine,
        Err(error @ CompileError::Constant(_)) => Outcome::Internal(error.to_string()),
        Err(error) => Outcome::Invalid(error.to_string()),
    }
}

/// `validateSelectorSlice`. `stored`: the same selectors were there before.
pub(super) fn selectors(
    e: &mut Errors,
    path: &Path<'_>,
    selectors: &Option<Vec<DeviceSelector>>,
    stored: bool,
    rules: &mut Rules,
) {
    let selectors = list(selectors);
    for (i, selector) in selectors.iter().enumerate() {
        let item = path.index(i);
        let cel = item.child("cel");
        let Some(selector) = &selector.cel else {
            e.required(&cel, "");
            continue;
        };
        let (at, expression) = (cel.child("expression"), selector.expression.as_str());
        if expression.len() > LONGEST_EXPRESSION {
            e.too_long(&at, LONGEST_EXPRESSION);
            continue;
        }
        match rules.outcome(expression, stored) {
            Outcome::Fine => {}
            Outcome::TooComplex => e.forbidden(&at, "too complex, exceeds cost limit"),
            Outcome::Invalid(why) => e.invalid(&at, expression, why),
            Outcome::Internal(why) => e.internal(&at, why),
        }
    }
    limit(e, path, selectors, MOST_SELECTORS);
}
