//! Checks of literals after the type check (`cel/validator.go`): durations, timestamps, patterns, and lists and maps of one
//! type.

use crate::ast::{Expr, Kind};
use crate::check::Checked;
use crate::functions::{convert, regexes};
use crate::source::Issues;
use crate::syntax::Parsed;
use crate::types::Type;
use crate::value::Value;

/// Complaints about literals.
pub(crate) fn validate(parsed: &Parsed, checked: &Checked) -> Issues {
    let mut validator = Validator { parsed, checked, issues: Issues::default() };
    validator.visit(&parsed.expr, false);
    validator.issues
}

struct Validator<'a> {
    parsed: &'a Parsed,
    checked: &'a Checked,
    issues: Issues,
}

impl Validator<'_> {
    /// `formatting`: within a call of `format`, whose arguments may be of many types.
    fn visit(&mut self, expr: &Expr, formatting: bool) {
        match &expr.kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select(select) => self.visit(&select.operand, formatting),
            Kind::Call(call) => {
                if let Some(arg) = call.args.first()
                    && let Kind::Literal(Value::String(text)) = &arg.kind
                    && !valid(&call.function, text)
                {
                    let message = format!("invalid {} argument", call.function);
                    self.issues.report(self.parsed.place(arg.id), message);
                }
                let formatting = formatting || call.function == "format";
                call.target.iter().chain(&call.args).for_each(|part| self.visit(part, formatting));
            }
            Kind::List(elements) => {
                elements.iter().for_each(|e| self.visit(&e.value, formatting));
                if !formatting {
                    self.same(elements.iter().map(|e| (&e.value, e.optional)));
                }
            }
            Kind::Map(entries) => {
                entries.iter().flat_map(|e| [&e.key, &e.value]).for_each(|e| self.visit(e, formatting));
                if !formatting && self.same(entries.iter().map(|e| (&e.key, false))) {
                    self.same(entries.iter().map(|e| (&e.value, e.optional)));
                }
            }
            Kind::Struct(_, values) => values.iter().for_each(|value| self.visit(value, formatting)),
            Kind::Comprehension(c) => {
                for part in [&c.range, &c.init, &c.condition, &c.step, &c.result] {
                    self.visit(part, formatting);
                }
            }
        }
    }

    /// Complains of the first whose type is not that of those before; true if there is none.
    fn same<'e>(&mut self, exprs: impl Iterator<Item = (&'e Expr, bool)>) -> bool {
        let mut first: Option<&Type> = None;
        for (expr, optional) in exprs {
            let ty = self.checked.ty(expr.id);
            let ty = if optional { ty.unwrap_optional().unwrap_or(ty) } else { ty };
            match first {
                None => first = Some(ty),
                Some(expected) if expected != ty => {
                    let (expected, found) = (expected.checker_text(), ty.checker_text());
                    let message = format!("expected type '{expected}' but found '{found}'");
                    self.issues.report(self.parsed.place(expr.id), message);
                    return false;
                }
                Some(_) => {}
            }
        }
        true
    }
}

fn valid(function: &str, text: &str) -> bool {
    match function {
        "duration" => convert::parse_duration(text).is_some(),
        "timestamp" => convert::parse_timestamp(text).is_some(),
        "matches" => regexes::compile(text).is_ok(),
        _ => true,
    }
}
