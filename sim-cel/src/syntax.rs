//! From text to tree: the parser of the `cel` crate, whose messages are cel-go's because the grammar and the parser
//! generator are (but for [`expecting`]); its tree is turned into ours, and macros that it does not know are expanded on the way (`macros`).

use cel::common::ast::{EntryExpr, Expr as CelExpr, IdedExpr, LiteralValue, SourceInfo};
use cel::parser::{ParseErrors, Parser};
use smol_str::SmolStr;

use crate::ast::{self, Call, Comprehension, Element, Entry, Expr, Id, Kind, Select};
use crate::expecting;
use crate::macros;
use crate::nesting;
use crate::source::{Issues, NOWHERE, Place, Text};
use crate::value::Value;

/// Longest expression in characters (`expressionSizeCodePointLimit`).
const MAX_CHARACTERS: usize = 100_000;

/// Nodes that macros may repeat.
const MAX_COPIED: usize = 100_000;

/// Nesting that is parsed on the caller's stack.
const SHALLOW: usize = 6;

/// Stack for a parse at the limit of nesting: the generated parser takes up to 100 KiB per level without optimisation.
const STACK: usize = 128 << 20;

/// A tree and the place of every node.
pub(crate) struct Parsed {
    pub(crate) expr: Expr,
    places: Vec<Place>,
}

impl Parsed {
    pub(crate) fn place(&self, id: Id) -> Place {
        self.places.get(id as usize).copied().unwrap_or(NOWHERE)
    }
}

/// Parses an expression; `sort_by` tells whether the macro of that name is known.
///
/// # Errors
/// All complaints about its syntax.
pub(crate) fn parse(text: &str, sort_by: bool) -> Result<Parsed, Issues> {
    let mut issues = Issues::default();
    let characters = text.chars().count();
    if characters > MAX_CHARACTERS {
        let message =
            format!("expression code point size exceeds limit: size: {characters}, limit {MAX_CHARACTERS}");
        issues.report(NOWHERE, message);
        return Err(issues);
    }
    let depth = nesting::depth(text);
    if depth > nesting::LIMIT {
        issues.report(NOWHERE, format!("expression recursion limit exceeded: {}", nesting::LIMIT));
        return Err(issues);
    }
    let parsed = if depth <= SHALLOW { run(text) } else { on_large_stack(text) };
    let (tree, info) = parsed.map_err(|errors| {
        errors.into_iter().for_each(|(place, message)| issues.report(place, message));
        std::mem::take(&mut issues)
    })?;
    let mut builder = Builder { text: Text(text), info, places: Vec::new(), issues, copied: 0, sort_by };
    let expr = builder.convert(tree);
    if builder.issues.is_empty() { Ok(Parsed { expr, places: builder.places }) } else { Err(builder.issues) }
}

type Outcome = Result<(IdedExpr, SourceInfo), Vec<(Place, String)>>;

fn run(text: &str) -> Outcome {
    Parser::new()
        .max_recursion_depth(u16::MAX - 1)
        .enable_optional_syntax(true)
        .parse_with_source_info(text)
        .map_err(|errors| complaints(text, errors))
}

/// A pure function on a stack of its own; nothing else runs meanwhile, so the order of events is untouched.
fn on_large_stack(text: &str) -> Outcome {
    let too_deep = || vec![(NOWHERE, "expression recursion limit exceeded".to_owned())];
    std::thread::scope(|scope| {
        match std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || run(text)) {
            Ok(thread) => thread.join().unwrap_or_else(|_| Err(too_deep())),
            Err(_) => Err(too_deep()),
        }
    })
}

fn complaints(text: &str, errors: ParseErrors) -> Vec<(Place, String)> {
    let syntax = errors.errors.iter().any(|e| e.msg.starts_with("Syntax error"));
    let kept = errors.errors.into_iter().filter(|e| {
        // Where the grammar failed, the crate also complains about the holes in its own tree.
        !syntax || !(e.msg.starts_with("Incomplete") || e.msg.starts_with("No `") || e.msg == "UNKNOWN")
    });
    kept.map(|e| {
        // An empty text has no first column.
        let column = if text.is_empty() { -1 } else { e.pos.1 as i64 - 1 };
        let place = Place { line: e.pos.0 as i64, column };
        (place, expecting::as_upstream(e.msg, text, Text(text).offset(place)))
    })
    .collect()
}

/// Numbers nodes and keeps their places.
pub(crate) struct Builder<'a> {
    text: Text<'a>,
    info: SourceInfo,
    places: Vec<Place>,
    issues: Issues,
    copied: usize,
    pub(crate) sort_by: bool,
}

impl Builder<'_> {
    /// A new node at a place.
    pub(crate) fn node(&mut self, place: Place, kind: Kind) -> Expr {
        let id = self.places.len() as Id;
        self.places.push(place);
        Expr { id, kind }
    }

    pub(crate) fn place(&self, id: Id) -> Place {
        self.places.get(id as usize).copied().unwrap_or(NOWHERE)
    }

    /// A second copy of a tree, numbers included; none if copies of copies would grow without bound.
    pub(crate) fn copy(&mut self, expr: &Expr) -> Option<Expr> {
        self.copied += ast::count(expr, MAX_COPIED);
        (self.copied < MAX_COPIED).then(|| expr.clone())
    }

    pub(crate) fn complain(&mut self, place: Place, message: impl Into<String>) {
        self.issues.report(place, message);
    }

    fn origin(&self, id: u64) -> Place {
        self.info.offset_for(id).map_or(NOWHERE, |(start, _)| self.text.place(start as usize))
    }

    fn convert(&mut self, tree: IdedExpr) -> Expr {
        let place = self.origin(tree.id);
        let kind = match tree.expr {
            CelExpr::Unspecified => Kind::Literal(Value::Null),
            CelExpr::Ident(name) => Kind::Ident(name.into()),
            CelExpr::Literal(literal) => Kind::Literal(value(literal)),
            CelExpr::Select(select) => Kind::Select(Box::new(Select {
                operand: self.convert(*select.operand),
                field: select.field.into(),
                test: select.test,
            })),
            CelExpr::List(list) => {
                let optional = list.optional_indices;
                let convert = |(i, e)| Element { value: self.convert(e), optional: optional.contains(&i) };
                Kind::List(list.elements.into_iter().enumerate().map(convert).collect())
            }
            CelExpr::Map(map) => {
                Kind::Map(map.entries.into_iter().filter_map(|e| self.entry(e.expr)).collect())
            }
            CelExpr::Struct(message) => {
                let values = message.entries.into_iter().filter_map(|e| match e.expr {
                    EntryExpr::StructField(field) => Some(self.convert(field.value)),
                    EntryExpr::MapEntry(_) => None,
                });
                let values = values.collect();
                Kind::Struct(message.type_name.into(), values)
            }
            CelExpr::Comprehension(comprehension) => self.comprehension(*comprehension),
            CelExpr::Call(call) => {
                let target = call.target.map(|target| self.convert(*target));
                let args: Vec<Expr> = call.args.into_iter().map(|arg| self.convert(arg)).collect();
                let call = Call { function: call.func_name.into(), target, args };
                return match macros::expand(self, place, call) {
                    Ok(expanded) => expanded,
                    Err(call) => self.node(place, Kind::Call(Box::new(call))),
                };
            }
        };
        self.node(place, kind)
    }

    fn entry(&mut self, entry: EntryExpr) -> Option<Entry> {
        let EntryExpr::MapEntry(entry) = entry else { return None };
        let key = self.convert(entry.key);
        Some(Entry { key, value: self.convert(entry.value), optional: entry.optional })
    }

    fn comprehension(&mut self, c: cel::common::ast::ComprehensionExpr) -> Kind {
        Kind::Comprehension(Box::new(Comprehension {
            range: self.convert(c.iter_range),
            var: c.iter_var.into(),
            var2: c.iter_var2.map(SmolStr::from),
            accu: c.accu_var.into(),
            init: self.convert(c.accu_init),
            condition: self.convert(c.loop_cond),
            step: self.convert(c.loop_step),
            result: self.convert(c.result),
        }))
    }
}

fn value(literal: LiteralValue) -> Value {
    match literal {
        LiteralValue::Boolean(b) => Value::Bool(*b.inner()),
        LiteralValue::Bytes(b) => Value::Bytes(b.inner().into()),
        LiteralValue::Double(d) => Value::Double(*d.inner()),
        LiteralValue::Int(i) => Value::Int(*i.inner()),
        LiteralValue::Null => Value::Null,
        LiteralValue::String(s) => Value::String(s.inner().into()),
        LiteralValue::UInt(u) => Value::Uint(*u.inner()),
    }
}
