//! Compiled conditions.

use crate::eval::{Eval, Meter};
use crate::failure::Failure;
use crate::plan::Plan;
use crate::types::Type;
use crate::value::Value;

/// A compiled expression, ready to be evaluated any number of times.
#[derive(Debug)]
pub struct Program {
    plan: Plan,
    output: Type,
    max_cost: u64,
}

/// What an evaluation gave, and what it cost.
#[derive(Debug)]
pub struct Evaluation {
    /// The value, or why there is none.
    pub outcome: Result<Value, Failure>,
    /// Cost units spent.
    pub cost: u64,
}

impl Program {
    pub(crate) fn new(plan: Plan, output: Type, max_cost: u64) -> Program {
        Program { plan, output, max_cost }
    }

    /// The type of its results.
    pub fn output_type(&self) -> &Type {
        &self.output
    }

    /// The most an evaluation can cost, as the API server estimates it.
    pub fn max_cost(&self) -> u64 {
        self.max_cost
    }

    /// Evaluates with the values of the environment's variables, in the order of their declaration, up to a cost.
    pub fn evaluate(&self, variables: &[Value], cost_limit: u64) -> Evaluation {
        let mut meter = Meter::new(cost_limit);
        let outcome = Eval::new(&self.plan, variables, &mut meter).run();
        Evaluation { outcome, cost: meter.cost }
    }
}
