//! The estimate of the least and most an evaluation can cost (`checker/cost.go`).

mod library;

use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use crate::ast::{ACCUMULATOR, Call, Comprehension, Expr, Id, Kind};
use crate::check::Checked;
use crate::env::Env;
use crate::types::Type;
use crate::value::Value;

/// Of reading one character.
pub(crate) const TRAVERSAL: f64 = 0.1;
/// Of one character of a pattern.
pub(crate) const REGEX: f64 = 0.25;
/// Of making a list.
pub(crate) const LIST_BASE: u64 = 10;
/// Of making a map.
pub(crate) const MAP_BASE: u64 = 30;
/// Of making a message.
const STRUCT_BASE: u64 = 40;

/// A range of costs or sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl Range {
    pub(crate) const UNKNOWN: Range = Range { min: 0, max: u64::MAX };

    pub(crate) const fn fixed(value: u64) -> Range {
        Range { min: value, max: value }
    }

    pub(crate) fn add(self, other: Range) -> Range {
        Range { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(crate) fn multiply(self, other: Range) -> Range {
        Range { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    pub(crate) fn scale(self, factor: f64) -> Range {
        Range { min: scale(self.min, factor), max: scale(self.max, factor) }
    }

    pub(crate) fn union(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// Rounded up; what does not fit is the largest number.
pub(crate) fn scale(value: u64, factor: f64) -> u64 {
    // The cast saturates, which is upstream's rule, too.
    (value as f64 * factor).ceil() as u64
}

/// What a call costs, and how large its result is if that matters.
pub(crate) struct CallCost {
    pub(crate) cost: Range,
    pub(crate) size: Option<Range>,
}

impl CallCost {
    pub(crate) fn of(cost: Range) -> CallCost {
        CallCost { cost, size: None }
    }
}

/// The sizes of a container's keys and values.
#[derive(Clone, Copy)]
struct EntrySize {
    list: bool,
    key: Range,
    value: Range,
}

#[derive(Clone)]
struct Local {
    name: SmolStr,
    path: Vec<SmolStr>,
    size: Option<Range>,
    entry: Option<EntrySize>,
}

/// An argument as the estimates of libraries see it.
pub(crate) struct Arg<'a> {
    pub(crate) expr: &'a Expr,
    pub(crate) ty: &'a Type,
    path: Vec<SmolStr>,
    pub(crate) computed: Option<Range>,
}

/// Estimates a checked tree.
pub(crate) fn estimate(env: &Env, expr: &Expr, checked: &Checked) -> Range {
    let mut coster = Coster {
        env,
        checked,
        locals: Vec::new(),
        paths: FxHashMap::default(),
        sizes: FxHashMap::default(),
        entries: FxHashMap::default(),
    };
    coster.cost(expr)
}

pub(crate) struct Coster<'a> {
    env: &'a Env,
    checked: &'a Checked,
    locals: Vec<Local>,
    paths: FxHashMap<Id, Vec<SmolStr>>,
    sizes: FxHashMap<Id, Range>,
    entries: FxHashMap<Id, EntrySize>,
}

impl<'a> Coster<'a> {
    fn cost(&mut self, expr: &Expr) -> Range {
        match &expr.kind {
            Kind::Literal(_) => Range::default(),
            Kind::Ident(name) => {
                let path = self.local(name).map_or_else(|| vec![name.clone()], |local| local.path.clone());
                self.paths.insert(expr.id, path);
                Range::fixed(1)
            }
            Kind::Select(select) if select.test => self.cost(&select.operand),
            Kind::Select(select) => {
                let mut sum = self.cost(&select.operand);
                if matches!(
                    self.checked.ty(select.operand.id),
                    Type::Map(_) | Type::Object(_) | Type::Param(_)
                ) {
                    sum = sum.add(Range::fixed(1));
                }
                let mut path = self.path(&select.operand);
                path.push(select.field.clone());
                self.paths.insert(expr.id, path);
                sum
            }
            Kind::Call(call) => self.call(expr, call),
            Kind::List(elements) => {
                let mut sum = Range::fixed(LIST_BASE);
                let mut size = Range { min: if elements.is_empty() { 0 } else { u64::MAX }, max: 0 };
                for element in elements {
                    sum = sum.add(self.cost(&element.value));
                    size = size.union(self.size_or_unknown(&element.value));
                }
                self.entries.insert(expr.id, EntrySize { list: true, key: Range::fixed(1), value: size });
                sum
            }
            Kind::Map(entries) => {
                let mut sum = Range::fixed(MAP_BASE);
                let empty = Range { min: if entries.is_empty() { 0 } else { u64::MAX }, max: 0 };
                let (mut key, mut value) = (empty, empty);
                for entry in entries {
                    sum = sum.add(self.cost(&entry.key)).add(self.cost(&entry.value));
                    key = key.union(self.size_or_unknown(&entry.key));
                    value = value.union(self.size_or_unknown(&entry.value));
                }
                self.entries.insert(expr.id, EntrySize { list: false, key, value });
                sum
            }
            Kind::Struct(_, values) => {
                values.iter().fold(Range::fixed(STRUCT_BASE), |sum, v| sum.add(self.cost(v)))
            }
            Kind::Comprehension(c) if c.is_binding() => self.binding(expr, c),
            Kind::Comprehension(c) => self.comprehension(expr, c),
        }
    }

    fn call(&mut self, expr: &Expr, call: &Call) -> Range {
        if call.function == "dyn"
            && let Some(arg) = call.args.first()
        {
            let cost = self.cost(arg);
            self.copy_sizes(expr, arg);
            return cost.add(Range::fixed(1));
        }
        let mut sum = Range::default();
        let (mut args, mut arg_costs) = (Vec::new(), Vec::new());
        for arg in &call.args {
            arg_costs.push(self.cost(arg));
            args.push(self.arg(arg));
        }
        let target = call.target.as_ref().map(|target| {
            sum = sum.add(self.cost(target));
            self.arg(target)
        });
        let overloads = self.overloads(expr, call);
        let Some(overloads) = overloads else { return Range::default() };
        let mut cost = Range { min: u64::MAX, max: 0 };
        let mut size: Option<Range> = None;
        for overload in &overloads {
            let one = self.function(expr, call, overload, target.as_ref(), &args, &arg_costs);
            cost = cost.union(one.cost);
            size = match (size, one.size) {
                (Some(a), Some(b)) => Some(a.union(b)),
                (a, b) => a.or(b),
            };
            if let ("index_list" | "index_map", Some(first)) = (overload.as_str(), call.args.first()) {
                size = self.entry_size(first).map(|entry| entry.value);
                let mut path = self.path(first);
                let step = if overload == "index_list" { "@items" } else { "@values" };
                path.push(SmolStr::new_static(step));
                self.paths.insert(expr.id, path);
            }
            if size.is_none() {
                size = self.size(expr);
            }
        }
        if let Some(size) = size {
            self.sizes.insert(expr.id, size);
        }
        sum.add(cost)
    }

    /// The overloads by name; the optional selection has one without being declared.
    fn overloads(&self, expr: &Expr, call: &Call) -> Option<Vec<SmolStr>> {
        let chosen = self.checked.chosen(expr.id)?;
        if call.function == "_?._" {
            return Some(vec![SmolStr::new_static("select_optional_field")]);
        }
        let declared = &self.env.functions.get(call.function.as_str())?.overloads;
        Some(chosen.iter().filter_map(|index| declared.get(*index)).map(|o| o.id.clone()).collect())
    }

    fn comprehension(&mut self, expr: &Expr, c: &Comprehension) -> Range {
        let mut sum = self.cost(&c.range).add(self.cost(&c.init));
        let outer = self.locals.len();
        self.push_accumulator(c);
        self.push_iteration(c);
        let condition = self.cost(&c.condition);
        let step = self.cost(&c.step);
        self.locals.truncate(outer + 1);
        sum = sum.add(self.cost(&c.result));
        self.locals.truncate(outer);
        let count = self.size_or_unknown(&c.range);
        sum = sum.add(count.multiply(step.add(condition)));
        match &c.init.kind {
            Kind::Literal(_) => {
                if let Some(size) = self.size(&c.init) {
                    self.sizes.insert(expr.id, size);
                }
            }
            Kind::List(_) | Kind::Map(_) => {
                self.sizes.insert(expr.id, count);
                if let Some(entry) = self.entry_size(&c.step) {
                    self.entries.insert(expr.id, entry);
                }
            }
            _ => {}
        }
        sum
    }

    fn binding(&mut self, expr: &Expr, c: &Comprehension) -> Range {
        let mut sum = self.cost(&c.range).add(self.cost(&c.init));
        let outer = self.locals.len();
        self.push_accumulator(c);
        sum = sum.add(self.cost(&c.result));
        self.copy_sizes(expr, &c.result);
        self.locals.truncate(outer);
        sum
    }

    fn push_accumulator(&mut self, c: &Comprehension) {
        let (path, size, entry) = (self.path(&c.init), self.size(&c.init), self.entry_size(&c.init));
        self.locals.push(Local { name: c.accu.clone(), path, size, entry });
    }

    fn push_iteration(&mut self, c: &Comprehension) {
        let entry = self.entry_size(&c.range);
        let list = entry.map_or_else(|| matches!(self.checked.ty(c.range.id), Type::List(_)), |e| e.list);
        let path = |last: &'static str, coster: &Self| {
            let mut path = coster.path(&c.range);
            path.push(SmolStr::new_static(last));
            path
        };
        let (key, value) = (entry.map(|e| e.key), entry.map(|e| e.value));
        let keys = if list { "@indices" } else { "@keys" };
        let values = if list { "@items" } else { "@values" };
        let (keys, values) = (path(keys, self), path(values, self));
        let mut push = |name: &SmolStr, path, size| {
            self.locals.push(Local { name: name.clone(), path, size, entry: None });
        };
        match &c.var2 {
            Some(var2) => {
                push(&c.var, keys, key);
                push(var2, values, value);
            }
            None if list => push(&c.var, values, value),
            None => push(&c.var, keys, key),
        }
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.iter().rev().find(|local| local.name == name)
    }

    fn path(&self, expr: &Expr) -> Vec<SmolStr> {
        if let Kind::Ident(name) = &expr.kind
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_default()
    }

    fn arg<'e>(&mut self, expr: &'e Expr) -> Arg<'e>
    where
        'a: 'e,
    {
        let mut path = self.path(expr);
        if path.first().is_some_and(|root| root == ACCUMULATOR) {
            path.clear();
        }
        let computed = self.size(expr);
        Arg { expr, ty: self.checked.ty(expr.id), path, computed }
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> Range {
        self.size(expr).unwrap_or(Range::UNKNOWN)
    }

    fn copy_sizes(&mut self, to: &Expr, from: &Expr) {
        if let Some(size) = self.size(from) {
            self.sizes.insert(to.id, size);
        }
        if let Some(entry) = self.entry_size(from) {
            self.entries.insert(to.id, entry);
        }
    }

    fn size(&mut self, expr: &Expr) -> Option<Range> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        if let Some(size) = literal_size(expr) {
            return Some(Range::fixed(size));
        }
        if let Some(max) = self.env.max_size(&self.path(expr)) {
            let size = Range { min: 0, max };
            self.sizes.insert(expr.id, size);
            return Some(size);
        }
        if is_scalar(self.checked.ty(expr.id)) {
            return Some(Range::fixed(1));
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name).and_then(|local| local.size),
            _ => None,
        }
    }

    fn entry_size(&self, expr: &Expr) -> Option<EntrySize> {
        if let Some(entry) = self.entries.get(&expr.id) {
            return Some(*entry);
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name).and_then(|local| local.entry),
            _ => None,
        }
    }

    /// The size of an argument where its declaration or the expression tells it.
    pub(crate) fn arg_size(&self, arg: &Arg<'_>) -> Range {
        let declared = || self.env.max_size(&arg.path).map(|max| Range { min: 0, max });
        arg.computed.or_else(declared).unwrap_or(Range::UNKNOWN)
    }

    /// The size of an element of a list, by its path.
    pub(crate) fn element_size(&self, list: &Arg<'_>) -> Range {
        let mut path = list.path.clone();
        if !path.is_empty() {
            path.push(SmolStr::new_static("@items"));
        }
        self.env.max_size(&path).map_or(Range::UNKNOWN, |max| Range { min: 0, max })
    }

    fn function(
        &mut self,
        expr: &Expr,
        call: &Call,
        overload: &str,
        target: Option<&Arg<'_>>,
        args: &[Arg<'_>],
        arg_costs: &[Range],
    ) -> CallCost {
        let all_args = arg_costs.iter().fold(Range::default(), |sum, cost| sum.add(*cost));
        let with_args = |cost: CallCost| CallCost { cost: cost.cost.add(all_args), ..cost };
        if let Some(cost) = library::overload(self, overload, target, args) {
            return with_args(cost);
        }
        if let Some(cost) = library::function(self, &call.function, overload, target, args) {
            return with_args(cost);
        }
        self.standard(expr, overload, target, args, arg_costs)
            .unwrap_or_else(|| with_args(CallCost::of(Range::fixed(1))))
    }

    /// The functions of the language itself.
    fn standard(
        &mut self,
        expr: &Expr,
        overload: &str,
        target: Option<&Arg<'_>>,
        args: &[Arg<'_>],
        arg_costs: &[Range],
    ) -> Option<CallCost> {
        let known = |arg: &Arg<'_>| arg.computed.unwrap_or(Range::UNKNOWN);
        let all_args = arg_costs.iter().fold(Range::default(), |sum, cost| sum.add(*cost));
        let traversal = |size: Range| size.scale(TRAVERSAL).add(all_args);
        let (cost, size) = match (overload, target, args) {
            ("string_format", Some(target), _) => (traversal(known(target)), Some(Range::UNKNOWN)),
            ("string_to_bytes", _, [arg]) => {
                let size = known(arg);
                (traversal(size), Some(Range { min: size.min, max: size.max.wrapping_mul(4) }))
            }
            ("bytes_to_string", _, [arg]) => {
                let size = known(arg);
                (traversal(size), Some(Range { min: size.min / 4, max: size.max }))
            }
            ("strings_quote", _, [arg]) => {
                let size = known(arg);
                let quoted =
                    Range { min: size.min.wrapping_add(2), max: size.max.wrapping_mul(2).wrapping_add(2) };
                (traversal(size), Some(quoted))
            }
            ("starts_with_string" | "ends_with_string", _, [arg]) => (traversal(known(arg)), None),
            ("in_list", _, [_, list]) => (known(list).scale(1.0).add(all_args), None),
            ("matches_string", Some(target), [pattern]) => {
                let text = known(target).add(Range::fixed(1)).scale(TRAVERSAL);
                (text.multiply(known(pattern).scale(REGEX)).add(all_args), None)
            }
            ("contains_string", Some(target), [part]) => {
                (known(target).scale(TRAVERSAL).multiply(known(part).scale(TRAVERSAL)).add(all_args), None)
            }
            ("logical_or" | "logical_and", _, _) => {
                let [lhs, rhs] = arg_costs else { return None };
                (Range { min: lhs.min, max: lhs.add(*rhs).max }, None)
            }
            ("conditional", _, [_, yes, no]) => {
                let [condition, cost_yes, cost_no] = arg_costs else { return None };
                let size = known(yes).union(known(no));
                self.join_entries(expr, yes.expr, no.expr);
                (condition.add(cost_yes.union(*cost_no)), Some(size))
            }
            ("add_string" | "add_bytes" | "add_list", _, [lhs, rhs]) => {
                let size = known(lhs).add(known(rhs));
                self.join_entries(expr, lhs.expr, rhs.expr);
                let cost =
                    if overload == "add_list" { Range::fixed(1).add(all_args) } else { traversal(size) };
                (cost, Some(size))
            }
            (id, _, [lhs, rhs]) if compares(id) => {
                let smaller = known(lhs).max.min(known(rhs).max);
                let range = Range { min: u64::from(smaller > 0), max: smaller };
                (traversal(range), None)
            }
            _ => return None,
        };
        Some(CallCost { cost, size })
    }

    fn join_entries(&mut self, expr: &Expr, a: &Expr, b: &Expr) {
        if let (Some(a), Some(b)) = (self.entry_size(a), self.entry_size(b)) {
            let joined = EntrySize { list: a.list, key: a.key.union(b.key), value: a.value.union(b.value) };
            self.entries.insert(expr.id, joined);
        }
    }
}

/// Comparisons that read both texts.
pub(crate) fn compares(overload: &str) -> bool {
    matches!(
        overload,
        "equals"
            | "not_equals"
            | "less_string"
            | "less_bytes"
            | "less_equals_string"
            | "less_equals_bytes"
            | "greater_string"
            | "greater_bytes"
            | "greater_equals_string"
            | "greater_equals_bytes"
    )
}

fn literal_size(expr: &Expr) -> Option<u64> {
    match &expr.kind {
        Kind::Literal(value @ (Value::String(_) | Value::Bytes(_))) => value.size(),
        Kind::Literal(_) => Some(1),
        Kind::List(elements) => Some(elements.len() as u64),
        Kind::Map(entries) => Some(entries.len() as u64),
        _ => None,
    }
}

fn is_scalar(ty: &Type) -> bool {
    match ty {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        other => other.unwrap_optional().is_some_and(is_scalar),
    }
}
