//! From checked tree to something that runs (`interpreter/planner.go`, `interpreter/decorators.go`): names become slots,
//! constants are computed, chains of selections become one attribute with qualifiers, patterns are compiled.

use std::sync::Arc;

use regex::Regex;
use smol_str::SmolStr;

use crate::ast::{Call, Comprehension, Expr, Kind};
use crate::check::Checked;
use crate::decls::Overload;
use crate::env::Env;
use crate::eval::{Eval, Meter};
use crate::failure::Failure;
use crate::functions::regexes;
use crate::meter::Price;
use crate::types::Type;
use crate::value::{List, Value};

/// What runs.
#[derive(Debug)]
pub(crate) enum Node {
    Const(Value),
    Attr(Attr),
    Logical {
        or: bool,
        terms: Box<[Node; 2]>,
    },
    Equal {
        not: bool,
        sides: Box<[Node; 2]>,
    },
    Call(Box<Invocation>),
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Fold(Box<Fold>),
    /// Membership in a constant list of primitive values, which upstream does not charge for.
    InSet(Box<(Node, List)>),
    /// `or` and `orValue` of optionals.
    OrElse {
        value: bool,
        sides: Box<[Node; 2]>,
    },
    /// `accumulator + list`, in place.
    Append {
        slot: usize,
        list: Box<Node>,
    },
    /// `cel.@mapInsert(accumulator, …)`, in place.
    Insert {
        slot: usize,
        args: Vec<Node>,
    },
}

/// A root with qualifiers: `device.attributes["x"].y`.
#[derive(Debug)]
pub(crate) struct Attr {
    pub(crate) root: Root,
    pub(crate) qualifiers: Vec<Arc<Qualifier>>,
    /// `has(…)`: the last qualifier is only looked for.
    pub(crate) test: bool,
}

#[derive(Debug)]
pub(crate) enum Root {
    Variable(usize),
    Slot(usize),
    /// The name of a type.
    Type(Value),
    /// Anything that is computed.
    Node(Box<Node>),
    /// A ternary: qualifiers go to both branches.
    Conditional(Box<(Node, Attr, Attr)>),
}

#[derive(Debug)]
pub(crate) struct Qualifier {
    pub(crate) key: Key,
    pub(crate) optional: bool,
    pub(crate) test: bool,
}

#[derive(Debug)]
pub(crate) enum Key {
    Const(Value),
    Attr(Attr),
    Node(Node),
}

/// A call.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) function: SmolStr,
    pub(crate) args: Vec<Node>,
    /// The overload of the check, or all that could apply.
    pub(crate) candidates: Vec<Arc<Overload>>,
    /// The implementation looks at its arguments itself.
    pub(crate) unguarded: bool,
    pub(crate) price: Price,
    /// The pattern, where it is constant.
    pub(crate) regex: Option<Regex>,
    /// An argument that fails ends the call before the next is computed, and then nothing is charged: calls of more than two
    /// arguments, and of whatever upstream dispatches with a list of arguments.
    pub(crate) early: bool,
}

/// A comprehension.
#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) range: Node,
    pub(crate) var: usize,
    pub(crate) var2: Option<usize>,
    pub(crate) accu: usize,
    pub(crate) init: Node,
    pub(crate) condition: Node,
    pub(crate) step: Node,
    pub(crate) result: Node,
}

/// A plan and the number of its slots.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) root: Node,
    pub(crate) slots: usize,
}

/// Plans a checked tree.
///
/// # Errors
/// A constant part that fails.
pub(crate) fn plan(env: &Env, expr: &Expr, checked: &Checked) -> Result<Plan, Failure> {
    let mut planner = Planner { env, checked, scopes: Vec::new(), slots: 0 };
    let root = planner.node(expr)?;
    Ok(Plan { root, slots: planner.slots })
}

struct Planner<'a> {
    env: &'a Env,
    checked: &'a Checked,
    scopes: Vec<(SmolStr, usize)>,
    slots: usize,
}

impl Planner<'_> {
    fn node(&mut self, expr: &Expr) -> Result<Node, Failure> {
        Ok(match &expr.kind {
            Kind::Literal(value) => Node::Const(value.clone()),
            Kind::Ident(name) => {
                Node::Attr(Attr { root: self.root(name)?, qualifiers: Vec::new(), test: false })
            }
            Kind::Select(select) => {
                let mut attr = self.attr(&select.operand)?;
                let key = Key::Const(Value::String(select.field.clone()));
                attr.qualify(&Arc::new(Qualifier { key, optional: false, test: select.test }));
                attr.test |= select.test;
                Node::Attr(attr)
            }
            Kind::Call(call) => self.call(expr, call)?,
            Kind::List(elements) => {
                let mut nodes = Vec::with_capacity(elements.len());
                for element in elements {
                    nodes.push((self.node(&element.value)?, element.optional));
                }
                constant_list(nodes)
            }
            Kind::Map(entries) => {
                let mut nodes = Vec::with_capacity(entries.len());
                for entry in entries {
                    nodes.push((self.node(&entry.key)?, self.node(&entry.value)?, entry.optional));
                }
                let constant = |n: &(Node, Node, bool)| n.0.constant().is_some() && n.1.constant().is_some();
                if nodes.iter().all(constant) { fold_constant(Node::Map(nodes))? } else { Node::Map(nodes) }
            }
            Kind::Struct(name, _) => return Err(Failure::error(format!("unknown type: {name}"))),
            Kind::Comprehension(c) => self.fold(c)?,
        })
    }

    fn root(&self, name: &str) -> Result<Root, Failure> {
        let absolute = name.strip_prefix('.');
        let local = self.scopes.iter().rev().find(|(n, _)| absolute.is_none() && n == name);
        let name = absolute.unwrap_or(name);
        let variable = || self.env.variable(name).map(Root::Variable);
        let ty = || self.env.named_type(name).map(|ty| Root::Type(Value::Type(Arc::new(ty))));
        let found = local.map(|(_, slot)| Root::Slot(*slot)).or_else(variable).or_else(ty);
        found.ok_or_else(|| Failure::error(format!("no such attribute(s): {name}")))
    }

    /// As an attribute that qualifiers can be added to.
    fn attr(&mut self, expr: &Expr) -> Result<Attr, Failure> {
        Ok(match self.node(expr)? {
            Node::Attr(attr) => attr,
            node => Attr { root: Root::Node(Box::new(node)), qualifiers: Vec::new(), test: false },
        })
    }

    fn index(&mut self, operand: &Expr, key: &Expr, optional: bool) -> Result<Node, Failure> {
        let mut attr = self.attr(operand)?;
        let key = match self.node(key)? {
            Node::Const(value) => Key::Const(value),
            Node::Attr(attr) => Key::Attr(attr),
            node => Key::Node(node),
        };
        attr.qualify(&Arc::new(Qualifier { key, optional, test: false }));
        Ok(Node::Attr(attr))
    }

    fn pair(&mut self, a: &Expr, b: &Expr) -> Result<Box<[Node; 2]>, Failure> {
        Ok(Box::new([self.node(a)?, self.node(b)?]))
    }

    fn call(&mut self, expr: &Expr, call: &Call) -> Result<Node, Failure> {
        match (call.function.as_str(), call.target.as_ref(), call.args.as_slice()) {
            ("_&&_", _, [a, b]) => Ok(Node::Logical { or: false, terms: self.pair(a, b)? }),
            ("_||_", _, [a, b]) => Ok(Node::Logical { or: true, terms: self.pair(a, b)? }),
            ("_==_", _, [a, b]) => Ok(Node::Equal { not: false, sides: self.pair(a, b)? }),
            ("_!=_", _, [a, b]) => Ok(Node::Equal { not: true, sides: self.pair(a, b)? }),
            ("_?_:_", _, [condition, yes, no]) => {
                let parts = (self.node(condition)?, self.attr(yes)?, self.attr(no)?);
                let root = Root::Conditional(Box::new(parts));
                Ok(Node::Attr(Attr { root, qualifiers: Vec::new(), test: false }))
            }
            ("_[_]", _, [operand, key]) => self.index(operand, key, false),
            ("_[?_]" | "_?._", _, [operand, key]) => self.index(operand, key, true),
            ("or", Some(target), [other]) => {
                Ok(Node::OrElse { value: false, sides: self.pair(target, other)? })
            }
            ("orValue", Some(target), [other]) => {
                Ok(Node::OrElse { value: true, sides: self.pair(target, other)? })
            }
            _ => self.invocation(expr, call),
        }
    }

    fn invocation(&mut self, expr: &Expr, call: &Call) -> Result<Node, Failure> {
        let mut args = Vec::with_capacity(call.args.len() + 1);
        for part in call.target.iter().chain(&call.args) {
            args.push(self.node(part)?);
        }
        let declaration = self.env.functions.get(call.function.as_str());
        let Some(declaration) = declaration else {
            return Err(Failure::error(format!("no such overload: {}", call.function)));
        };
        let chosen = self.checked.chosen(expr.id).map_or(&[][..], |chosen| chosen.as_slice());
        let single = match chosen {
            [index] => declaration.overloads.get(*index),
            _ => None,
        };
        let candidates: Vec<Arc<Overload>> = match single {
            Some(overload) => vec![overload.clone()],
            None => declaration.overloads.iter().filter(|o| o.args.len() == args.len()).cloned().collect(),
        };
        let price = Price::of(&call.function, single.map_or("", |o| o.id.as_str()));
        let regex = match (call.function.as_str(), args.get(1)) {
            ("matches" | "find" | "findAll", Some(Node::Const(Value::String(pattern)))) => {
                Some(regexes::compile(pattern).map_err(Failure::error)?)
            }
            _ => None,
        };
        let dispatched = single.is_none() && declaration.overloads.len() > 1;
        let unguarded_dispatch = dispatched && (!declaration.unguarded || call.function == "flatten");
        let early = args.len() > 2 || regex.is_some() || unguarded_dispatch || call.function == "format";
        let invocation = Invocation {
            early,
            function: call.function.clone(),
            args,
            candidates,
            unguarded: declaration.unguarded,
            price,
            regex,
        };
        specialize(invocation)
    }

    fn slot(&mut self, name: &SmolStr) -> usize {
        let slot = self.slots;
        self.slots += 1;
        self.scopes.push((name.clone(), slot));
        slot
    }

    fn fold(&mut self, c: &Comprehension) -> Result<Node, Failure> {
        let outer = self.scopes.len();
        let range = self.node(&c.range)?;
        let init = self.node(&c.init)?;
        let accu = self.slot(&c.accu);
        let inner = self.scopes.len();
        let var = self.slot(&c.var);
        let var2 = c.var2.as_ref().map(|name| self.slot(name));
        let condition = self.node(&c.condition)?;
        let step = self.node(&c.step)?;
        self.scopes.truncate(inner);
        let result = self.node(&c.result)?;
        self.scopes.truncate(outer);
        let step = in_place(step, accu);
        Ok(Node::Fold(Box::new(Fold { range, var, var2, accu, init, condition, step, result })))
    }
}

impl Node {
    pub(crate) fn constant(&self) -> Option<&Value> {
        match self {
            Node::Const(value) => Some(value),
            _ => None,
        }
    }

    /// Reads a slot, unqualified.
    fn is_slot(&self, slot: usize) -> bool {
        matches!(self, Node::Attr(Attr { root: Root::Slot(own), qualifiers, test: false })
            if *own == slot && qualifiers.is_empty())
    }
}

impl Attr {
    fn qualify(&mut self, qualifier: &Arc<Qualifier>) {
        match &mut self.root {
            Root::Conditional(parts) => {
                parts.1.qualify(qualifier);
                parts.2.qualify(qualifier);
            }
            _ => self.qualifiers.push(qualifier.clone()),
        }
    }
}

/// Turns the growing of an accumulator into growing in place, also inside a filter's ternary.
fn in_place(step: Node, accu: usize) -> Node {
    match step {
        Node::Call(mut call) if call.args.first().is_some_and(|first| first.is_slot(accu)) => {
            match (call.function.as_str(), call.args.len()) {
                ("_+_", 2) if matches!(call.args[1], Node::List(_) | Node::Const(Value::List(_))) => {
                    let list = Box::new(call.args.swap_remove(1));
                    Node::Append { slot: accu, list }
                }
                ("cel.@mapInsert", _) => Node::Insert { slot: accu, args: call.args.split_off(1) },
                _ => Node::Call(call),
            }
        }
        Node::Attr(Attr { root: Root::Conditional(mut parts), qualifiers, test }) => {
            if let Root::Node(branch) = &mut parts.1.root {
                let node = std::mem::replace(&mut **branch, Node::Const(Value::Null));
                **branch = in_place(node, accu);
            }
            Node::Attr(Attr { root: Root::Conditional(parts), qualifiers, test })
        }
        other => other,
    }
}

fn constant_list(nodes: Vec<(Node, bool)>) -> Node {
    let constants: Option<Vec<Value>> =
        nodes.iter().map(|(node, optional)| node.constant().filter(|_| !optional).cloned()).collect();
    match constants {
        Some(values) => Node::Const(Value::List(List::new(values))),
        None => Node::List(nodes),
    }
}

/// Computes a node that uses no variable.
fn fold_constant(node: Node) -> Result<Node, Failure> {
    let plan = Plan { root: node, slots: 0 };
    let mut meter = Meter::unlimited();
    Eval::new(&plan, &[], &mut meter).run().map(Node::Const)
}

/// Conversions of constants are computed, membership in constant lists is looked up.
fn specialize(call: Invocation) -> Result<Node, Failure> {
    let conversion = matches!(
        call.function.as_str(),
        "bool" | "bytes" | "double" | "duration" | "dyn" | "int" | "string" | "timestamp" | "type" | "uint"
    );
    if conversion && matches!(call.args.as_slice(), [arg] if arg.constant().is_some()) {
        return fold_constant(Node::Call(Box::new(call)));
    }
    let in_list =
        call.function == "@in" && matches!(call.candidates.as_slice(), [only] if only.id == "in_list");
    if in_list
        && let [_, Node::Const(Value::List(list))] = call.args.as_slice()
        && list.iter().all(primitive)
    {
        if list.is_empty() {
            return Ok(Node::Const(Value::Bool(false)));
        }
        let list = list.clone();
        let mut args = call.args;
        args.truncate(1);
        let needle = args.pop().unwrap_or(Node::Const(Value::Null));
        return Ok(Node::InSet(Box::new((needle, list))));
    }
    Ok(Node::Call(Box::new(call)))
}

fn primitive(value: &Value) -> bool {
    matches!(value.type_of(), Type::Bool | Type::Double | Type::Int | Type::Uint | Type::String)
}
