//! Evaluation (`interpreter/interpretable.go`, `interpreter/attributes.go`), charged as upstream observes it: a node is paid for
//! once it has a value or an error, a call only if all its arguments were computed.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::cost::{LIST_BASE, MAP_BASE};
use crate::equality::equal;
use crate::failure::Failure;
use crate::functions::{lists, operators, regexes};
use crate::meter::nominal_equality;
use crate::plan::{Attr, Fold, Invocation, Key, Node, Plan, Qualifier, Root};
use crate::value::{List, Map, Value};

pub(crate) use crate::meter::Meter;

type Outcome = Result<Value, Failure>;

/// A name of a comprehension.
enum Slot<'p> {
    Unset,
    /// Not computed before it is asked for: bindings that nobody uses cost nothing.
    Lazy(&'p Node),
    /// Also errors: a comprehension goes on with an accumulator that failed.
    Done(Outcome),
}

/// One evaluation.
pub(crate) struct Eval<'p, 'v, 'm> {
    plan: &'p Plan,
    variables: &'v [Value],
    slots: SmallVec<[Slot<'p>; 4]>,
    meter: &'m mut Meter,
}

impl<'p, 'v, 'm> Eval<'p, 'v, 'm> {
    pub(crate) fn new(plan: &'p Plan, variables: &'v [Value], meter: &'m mut Meter) -> Self {
        let slots = std::iter::repeat_with(|| Slot::Unset).take(plan.slots).collect();
        Eval { plan, variables, slots, meter }
    }

    pub(crate) fn run(mut self) -> Outcome {
        let plan = self.plan;
        self.node(&plan.root)
    }

    fn node(&mut self, node: &'p Node) -> Outcome {
        match node {
            Node::Const(value) => Ok(value.clone()),
            Node::Attr(attr) => self.attr(attr),
            Node::Logical { or, terms } => self.logical(*or, terms),
            Node::Equal { not, sides } => self.equal(*not, sides),
            Node::Call(call) => self.call(call),
            Node::List(elements) => {
                let made = self.list(elements);
                self.meter.charge(LIST_BASE)?;
                made
            }
            Node::Map(entries) => {
                let made = self.map(entries);
                self.meter.charge(MAP_BASE)?;
                made
            }
            Node::Fold(fold) => self.fold(fold),
            Node::InSet(parts) => {
                let needle = self.node(&parts.0)?;
                let found = lists::contains(self.meter, &parts.1, &needle)?;
                Ok(Value::Bool(found))
            }
            Node::OrElse { value, sides } => match self.node(&sides[0])? {
                Value::Optional(None) => self.node(&sides[1]),
                Value::Optional(Some(inner)) if *value => Ok((*inner).clone()),
                other => Ok(other),
            },
            Node::Append { slot, list } => self.append(*slot, list),
            Node::Insert { slot, args } => self.insert(*slot, args),
        }
    }

    /// An error that may be absorbed stays a value here; the cost limit goes straight up.
    fn absorb(&mut self, node: &'p Node) -> Result<Outcome, Failure> {
        match self.node(node) {
            Err(Failure::CostLimit) => Err(Failure::CostLimit),
            outcome => Ok(outcome),
        }
    }

    fn logical(&mut self, or: bool, terms: &'p [Node; 2]) -> Outcome {
        let mut failed = None;
        for term in terms {
            let failure = match self.absorb(term)? {
                Ok(Value::Bool(decides)) if decides == or => return Ok(Value::Bool(or)),
                Ok(Value::Bool(_)) => continue,
                Ok(_) => Failure::no_overload(),
                Err(failure) => failure,
            };
            failed.get_or_insert(failure);
        }
        failed.map_or(Ok(Value::Bool(!or)), Err)
    }

    fn equal(&mut self, not: bool, sides: &'p [Node; 2]) -> Outcome {
        let args = [self.absorb(&sides[0])?, self.absorb(&sides[1])?];
        let result = match &args {
            [Ok(left), Ok(right)] => match equal(self.meter, left, right) {
                Err(Failure::CostLimit) => return Err(Failure::CostLimit),
                same if not => Ok(Value::Bool(same != Ok(true))),
                same => same.map(Value::Bool),
            },
            [Err(failure), _] | [_, Err(failure)] => Err(failure.clone()),
        };
        let nominal = !not && matches!(&args[0], Ok(left) if nominal_equality(left));
        let price = if nominal { crate::meter::Price::One } else { crate::meter::Price::Shorter };
        self.meter.charge(price.charge(&args, None))?;
        result
    }

    fn call(&mut self, call: &'p Invocation) -> Outcome {
        let strict = call.function != "@not_strictly_false";
        let mut args: SmallVec<[Outcome; 3]> = SmallVec::new();
        for (index, arg) in call.args.iter().enumerate() {
            let outcome = self.absorb(arg)?;
            if call.early
                && index + 1 < call.args.len()
                && let Err(failure) = outcome
            {
                // The rest is not computed, so nothing is charged.
                return Err(failure);
            }
            args.push(outcome);
        }
        let failed = args.iter().find_map(|arg| arg.as_ref().err()).filter(|_| strict).cloned();
        let result = match failed {
            Some(failure) => Err(failure),
            None if !strict => Ok(operators::not_strictly(args.first())),
            None => {
                let values: SmallVec<[Value; 3]> =
                    args.iter().filter_map(|a| a.as_ref().ok()).cloned().collect();
                self.invoke(call, &values)
            }
        };
        if matches!(result, Err(Failure::CostLimit)) {
            return result;
        }
        self.meter.charge(call.price.charge(&args, result.as_ref().ok()))?;
        result
    }

    fn invoke(&mut self, call: &Invocation, args: &[Value]) -> Outcome {
        if let Some(regex) = &call.regex {
            return regexes::run(self.meter, &call.function, regex, args);
        }
        let found = if call.unguarded {
            call.candidates.first()
        } else {
            call.candidates.iter().find(|overload| overload.accepts(args))
        };
        match found {
            Some(overload) => (overload.run)(self.meter, args),
            None => {
                let types: Vec<_> = args.iter().map(|arg| arg.type_of().name().to_owned()).collect();
                Err(Failure::error(format!("no such overload: {}({})", call.function, types.join(", "))))
            }
        }
    }

    fn list(&mut self, elements: &'p [(Node, bool)]) -> Outcome {
        let mut values = Vec::with_capacity(elements.len());
        for (node, optional) in elements {
            match (self.node(node)?, optional) {
                (value, false) => values.push(value),
                (Value::Optional(inner), true) => values.extend(inner.map(|v| (*v).clone())),
                (other, true) => {
                    let text = other.key_text();
                    let message = "cannot initialize optional list element from non-optional value";
                    return Err(Failure::error(format!("{message} {text}")));
                }
            }
        }
        Ok(Value::List(List::new(values)))
    }

    fn map(&mut self, entries: &'p [(Node, Node, bool)]) -> Outcome {
        let mut map = Map::new();
        for (key, value, optional) in entries {
            let key = self.node(key)?;
            let value = match (self.node(value)?, optional) {
                (value, false) => value,
                (Value::Optional(Some(inner)), true) => (*inner).clone(),
                (Value::Optional(None), true) => {
                    map.remove(&key);
                    continue;
                }
                (other, true) => {
                    let (key, value) = (key.key_text(), other.key_text());
                    let message =
                        format!("cannot initialize optional entry '{key}' from non-optional value {value}");
                    return Err(Failure::error(message));
                }
            };
            if !map.insert(key, value) {
                return Err(Failure::error("unsupported key type"));
            }
        }
        Ok(Value::Map(Arc::new(map)))
    }

    fn fold(&mut self, fold: &'p Fold) -> Outcome {
        let range = self.node(&fold.range)?;
        self.slots[fold.accu] = Slot::Lazy(&fold.init);
        match &range {
            Value::List(list) => {
                for (index, element) in list.iter().enumerate() {
                    let index = Value::Int(index as i64);
                    if !self.iterate(fold, &index, element, true)? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, value) in map.iter() {
                    if !self.iterate(fold, key, value, false)? {
                        break;
                    }
                }
            }
            other => return Err(Failure::error(not_iterable(other))),
        }
        let result = self.node(&fold.result);
        self.slots[fold.accu] = Slot::Unset;
        result
    }

    /// One round; false if the loop is over.
    fn iterate(&mut self, fold: &'p Fold, key: &Value, value: &Value, list: bool) -> Result<bool, Failure> {
        match fold.var2 {
            Some(var2) => {
                self.slots[fold.var] = Slot::Done(Ok(key.clone()));
                self.slots[var2] = Slot::Done(Ok(value.clone()));
            }
            None => self.slots[fold.var] = Slot::Done(Ok(if list { value } else { key }.clone())),
        }
        if let Ok(Value::Bool(false)) = self.absorb(&fold.condition)? {
            return Ok(false);
        }
        let step = self.absorb(&fold.step)?;
        self.slots[fold.accu] = Slot::Done(step);
        Ok(true)
    }

    fn slot(&mut self, slot: usize) -> Outcome {
        if let Slot::Lazy(node) = self.slots[slot] {
            let outcome = self.absorb(node)?;
            self.slots[slot] = Slot::Done(outcome);
        }
        match &self.slots[slot] {
            Slot::Done(outcome) => outcome.clone(),
            _ => Err(Failure::error("no such attribute(s)")),
        }
    }

    /// Takes an accumulator that is about to be replaced, so that it can grow in place.
    fn take(&mut self, slot: usize) -> Outcome {
        if matches!(self.slots[slot], Slot::Lazy(_)) {
            self.slot(slot).ok();
        }
        match std::mem::replace(&mut self.slots[slot], Slot::Unset) {
            Slot::Done(outcome) => outcome,
            _ => Err(Failure::error("no such attribute(s)")),
        }
    }

    fn append(&mut self, slot: usize, list: &'p Node) -> Outcome {
        // The accumulator is read first, as the left operand it is.
        self.slot(slot).err().filter(|f| *f == Failure::CostLimit).map_or(Ok(()), Err)?;
        self.meter.charge(1)?;
        let list = self.absorb(list)?;
        let accu = self.take(slot);
        self.meter.charge(1)?;
        match (accu?, list?) {
            (Value::List(mut own), Value::List(more)) => {
                self.meter.work(more.len() as u64)?;
                own.append(more.iter().cloned().collect());
                Ok(Value::List(own))
            }
            _ => Err(Failure::no_overload()),
        }
    }

    fn insert(&mut self, slot: usize, args: &'p [Node]) -> Outcome {
        let failed = self.slot(slot).err();
        self.meter.charge(1)?;
        // With a key and a value, what fails ends the call before the next is computed, and uncharged.
        let early = args.len() > 1;
        let mut failed = match failed {
            Some(Failure::CostLimit) => return Err(Failure::CostLimit),
            Some(failure) if early => return Err(failure),
            failed => failed,
        };
        let mut values = Vec::with_capacity(args.len());
        for (index, arg) in args.iter().enumerate() {
            match self.absorb(arg)? {
                Ok(value) => values.push(value),
                Err(failure) if early && index + 1 < args.len() => return Err(failure),
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        self.meter.charge(1)?;
        if let Some(failure) = failed {
            return Err(failure);
        }
        let accu = self.take(slot)?;
        lists::insert_all(self.meter, accu, &values)
    }

    fn attr(&mut self, attr: &'p Attr) -> Outcome {
        let outcome = self.resolve(attr);
        if matches!(outcome, Err(Failure::CostLimit)) {
            return outcome;
        }
        if !matches!(attr.root, Root::Conditional(_)) {
            self.meter.cost += 1;
        }
        if attr.test {
            self.meter.refund();
        }
        self.meter.charge(0)?;
        match outcome {
            Ok(Value::Optional(inner)) if attr.test => Ok(Value::Bool(inner.is_some())),
            other => other,
        }
    }

    fn resolve(&mut self, attr: &'p Attr) -> Outcome {
        match &attr.root {
            Root::Variable(index) => {
                let variables = self.variables;
                match variables.get(*index) {
                    Some(value) => self.qualify(value, &attr.qualifiers),
                    None => Err(Failure::error("no such attribute(s)")),
                }
            }
            Root::Slot(slot) => {
                let value = self.slot(*slot)?;
                self.qualify(&value, &attr.qualifiers)
            }
            Root::Type(value) => self.qualify(value, &attr.qualifiers),
            Root::Node(node) => {
                let value = self.node(node)?;
                self.qualify(&value, &attr.qualifiers)
            }
            Root::Conditional(parts) => match self.node(&parts.0)? {
                Value::Bool(true) => self.resolve(&parts.1),
                Value::Bool(false) => self.resolve(&parts.2),
                _ => Err(Failure::no_overload()),
            },
        }
    }

    fn qualify(&mut self, value: &Value, qualifiers: &'p [Arc<Qualifier>]) -> Outcome {
        let (mut current, mut optional) = match value {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => (&**inner, true),
            other => (other, false),
        };
        // Values found in other values are borrowed; only keys that are computed own something meanwhile.
        for (index, qualifier) in qualifiers.iter().enumerate() {
            optional |= qualifier.optional;
            let key = self.key(qualifier);
            let found = match &key {
                Ok(key) => find(current, key.get()),
                Err(Failure::CostLimit) => return Err(Failure::CostLimit),
                Err(failure) => Err(failure.clone()),
            };
            if qualifier.test {
                self.meter.charge(1)?;
                let present = found_or_absent(found, key.as_ref().ok().map(Held::get), current)?.is_some();
                debug_assert_eq!(index + 1, qualifiers.len(), "a presence test is the last qualifier");
                return Ok(if optional {
                    Value::Optional(present.then(|| Arc::new(Value::Null)))
                } else {
                    Value::Bool(present)
                });
            }
            if optional {
                match found_or_absent(found, key.as_ref().ok().map(Held::get), current)? {
                    Some(value) => {
                        self.meter.charge(1)?;
                        current = value;
                    }
                    None => return Ok(Value::Optional(None)),
                }
            } else {
                self.meter.charge(1)?;
                current = found?;
            }
        }
        Ok(if optional { Value::some(current.clone()) } else { current.clone() })
    }

    fn key(&mut self, qualifier: &'p Qualifier) -> Result<Held<'p>, Failure> {
        Ok(match &qualifier.key {
            Key::Const(value) => Held::Borrowed(value),
            Key::Attr(attr) => Held::Owned(self.resolve(attr)?),
            Key::Node(node) => Held::Owned(self.node(node)?),
        })
    }
}

enum Held<'p> {
    Borrowed(&'p Value),
    Owned(Value),
}

impl Held<'_> {
    fn get(&self) -> &Value {
        match self {
            Held::Borrowed(value) => value,
            Held::Owned(value) => value,
        }
    }
}

/// What a key leads to.
fn find<'a>(value: &'a Value, key: &Value) -> Result<&'a Value, Failure> {
    let missing = || Failure::error(format!("no such key: {}", key.key_text()));
    match value {
        Value::Map(map) => map.find(key).ok_or_else(missing),
        Value::Object(object) => match key {
            Value::String(field) => object.field(field).ok_or_else(missing),
            _ => Err(missing()),
        },
        Value::List(list) => {
            let index = lists::index(key)?;
            let found = usize::try_from(index).ok().and_then(|i| list.get(i));
            found.ok_or_else(|| Failure::error(format!("index out of bounds: {}", key.key_text())))
        }
        _ => Err(missing()),
    }
}

/// Absence is no error where presence was asked for; a key that failed or cannot be an index still is.
fn found_or_absent<'a>(
    found: Result<&'a Value, Failure>,
    key: Option<&Value>,
    value: &Value,
) -> Result<Option<&'a Value>, Failure> {
    match (found, key) {
        (Ok(value), _) => Ok(Some(value)),
        (Err(failure), None) => Err(failure),
        (Err(failure), Some(key)) if matches!(value, Value::List(_)) && lists::index(key).is_err() => {
            Err(failure)
        }
        (Err(_), Some(_)) => Ok(None),
    }
}

/// With the Go type that upstream prints.
fn not_iterable(value: &Value) -> String {
    let ty = match value {
        Value::Null => "types.Null",
        Value::Bool(_) => "types.Bool",
        Value::Int(_) => "types.Int",
        Value::Uint(_) => "types.Uint",
        Value::Double(_) => "types.Double",
        Value::String(_) => "types.String",
        Value::Bytes(_) => "types.Bytes",
        Value::Duration(_) => "types.Duration",
        Value::Timestamp(_) => "types.Timestamp",
        Value::Optional(_) => "*types.Optional",
        Value::Quantity { .. } => "cel.Quantity",
        Value::Semver(_) => "cel.Semver",
        Value::Url(_) => "cel.URL",
        Value::Ip(_) => "cel.IP",
        Value::Cidr(..) => "cel.CIDR",
        Value::Format(_) => "cel.Format",
        _ => "*types.Type",
    };
    format!("got '{ty}', expected iterable type")
}
