//! Syntax trees with macros expanded. Their nodes carry the numbers by which types, overloads and places are kept.

use smol_str::SmolStr;

use crate::value::Value;

/// The name of the accumulator that macros introduce; no source can spell it.
pub(crate) const ACCUMULATOR: &str = "@result";

/// The iteration variable of a comprehension over nothing, which is how a binding is written.
pub(crate) const UNUSED: &str = "#unused";

pub(crate) type Id = u32;

/// A node and its number.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) id: Id,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Literal(Value),
    Ident(SmolStr),
    Select(Box<Select>),
    Call(Box<Call>),
    List(Vec<Element>),
    Map(Vec<Entry>),
    /// A message literal; Kubernetes' environments know no message that could be made.
    Struct(SmolStr, Vec<Expr>),
    Comprehension(Box<Comprehension>),
}

#[derive(Clone, Debug)]
pub(crate) struct Select {
    pub(crate) operand: Expr,
    pub(crate) field: SmolStr,
    /// `has(operand.field)`.
    pub(crate) test: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) function: SmolStr,
    pub(crate) target: Option<Expr>,
    pub(crate) args: Vec<Expr>,
}

#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Expr,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Comprehension {
    pub(crate) range: Expr,
    pub(crate) var: SmolStr,
    pub(crate) var2: Option<SmolStr>,
    pub(crate) accu: SmolStr,
    pub(crate) init: Expr,
    pub(crate) condition: Expr,
    pub(crate) step: Expr,
    pub(crate) result: Expr,
}

impl Comprehension {
    /// A binding: nothing is iterated, the result may use the accumulator (`cel.bind`, `optMap`, `sortBy`).
    pub(crate) fn is_binding(&self) -> bool {
        matches!(&self.range.kind, Kind::List(elements) if elements.is_empty())
            && matches!(self.condition.kind, Kind::Literal(Value::Bool(false)))
            && self.accu != ACCUMULATOR
    }
}

/// `a.b.c` of identifiers and selections; no presence test.
pub(crate) fn qualified_name(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Ident(name) => Some(name.to_string()),
        Kind::Select(select) if !select.test => {
            Some(format!("{}.{}", qualified_name(&select.operand)?, select.field))
        }
        _ => None,
    }
}

/// Nodes of a tree, counted up to a limit.
pub(crate) fn count(expr: &Expr, limit: usize) -> usize {
    let mut total = 1;
    let mut add = |part: &Expr| {
        if total < limit {
            total += count(part, limit - total);
        }
    };
    match &expr.kind {
        Kind::Literal(_) | Kind::Ident(_) => {}
        Kind::Select(select) => add(&select.operand),
        Kind::Call(call) => call.target.iter().chain(&call.args).for_each(add),
        Kind::List(elements) => elements.iter().for_each(|e| add(&e.value)),
        Kind::Map(entries) => entries.iter().flat_map(|e| [&e.key, &e.value]).for_each(add),
        Kind::Struct(_, values) => values.iter().for_each(add),
        Kind::Comprehension(c) => {
            [&c.range, &c.init, &c.condition, &c.step, &c.result].into_iter().for_each(add);
        }
    }
    total
}
