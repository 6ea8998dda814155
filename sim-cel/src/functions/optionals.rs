//! Optional values (cel-go `cel/library.go`).

use crate::failure::Failure;
use crate::meter::Meter;
use crate::value::Value;

pub(crate) fn of(_: &mut Meter, args: &[Value]) -> Result<Value, Failure> {
    args.first().cloned().map(Value::some).ok_or_else(Failure::no_overload)
}

pub(crate) fn of_non_zero(meter: &mut Meter, args: &[Value]) -> Result<Value, Failure> {
    if args.first().is_some_and(is_zero) { Ok(Value::Optional(None)) } else { of(meter, args) }
}

pub(crate) fn none(_: &mut Meter, _: &[Value]) -> Result<Value, Failure> {
    Ok(Value::Optional(None))
}

pub(crate) fn value(_: &mut Meter, args: &[Value]) -> Result<Value, Failure> {
    match args {
        [Value::Optional(Some(inner))] => Ok((**inner).clone()),
        [Value::Optional(None)] => Err(Failure::error("optional.none() dereference")),
        _ => Err(Failure::no_overload()),
    }
}

pub(crate) fn has_value(_: &mut Meter, args: &[Value]) -> Result<Value, Failure> {
    match args {
        [Value::Optional(inner)] => Ok(Value::Bool(inner.is_some())),
        _ => Err(Failure::no_overload()),
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Int(i) => *i == 0,
        Value::Uint(u) => *u == 0,
        Value::Double(d) => *d == 0.0,
        Value::String(s) => s.is_empty(),
        Value::Bytes(b) => b.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Duration(nanos) => *nanos == 0,
        Value::Timestamp(at) => (at.seconds, at.nanos) == (super::convert::MIN_SECONDS, 0),
        Value::Optional(inner) => inner.is_none(),
        _ => false,
    }
}
