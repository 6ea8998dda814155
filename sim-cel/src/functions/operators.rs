//! Operators (`common/types`: arithmetic that overflows is an error) and what holds for all values.

use std::cmp::Ordering;

use super::lists;
use crate::equality::{compare, ordered};
use crate::failure::Failure;
use crate::meter::Meter;
use crate::value::{Timestamp, Value};

type Outcome = Result<Value, Failure>;

const NANOS: i128 = 1_000_000_000;

/// Of what is planned differently, and never called.
pub(crate) fn none(_: &mut Meter, _: &[Value]) -> Outcome {
    Err(Failure::no_overload())
}

pub(crate) fn not(_: &mut Meter, args: &[Value]) -> Outcome {
    match args {
        [Value::Bool(b)] => Ok(Value::Bool(!b)),
        _ => Err(Failure::no_overload()),
    }
}

/// Of an outcome: anything but `false`, also an error, goes on.
pub(crate) fn not_strictly(outcome: Option<&Result<Value, Failure>>) -> Value {
    Value::Bool(!matches!(outcome, Some(Ok(Value::Bool(false)))))
}

pub(crate) fn not_strictly_false(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(!matches!(args, [Value::Bool(false)])))
}

fn overflow() -> Failure {
    Failure::error("integer overflow")
}

fn unsigned_overflow() -> Failure {
    Failure::error("unsigned integer overflow")
}

fn checked(value: Option<i64>) -> Outcome {
    value.map(Value::Int).ok_or_else(overflow)
}

fn checked_unsigned(value: Option<u64>) -> Outcome {
    value.map(Value::Uint).ok_or_else(unsigned_overflow)
}

fn duration(value: Option<i64>) -> Outcome {
    // Upstream speaks of integers here, too.
    value.map(Value::Duration).ok_or_else(overflow)
}

/// An instant moved by nanoseconds, within the years 1 to 9999.
fn moved(at: Timestamp, nanos: i128) -> Outcome {
    let total = i128::from(at.seconds) * NANOS + i128::from(at.nanos) + nanos;
    let (seconds, nanos) = (total.div_euclid(NANOS), total.rem_euclid(NANOS));
    timestamp(seconds, nanos as u32).ok_or_else(|| Failure::error("timestamp overflow"))
}

/// An instant, if CEL can have it.
pub(crate) fn timestamp(seconds: i128, nanos: u32) -> Option<Value> {
    let range = i128::from(super::convert::MIN_SECONDS)..=i128::from(super::convert::MAX_SECONDS);
    let seconds = range.contains(&seconds).then(|| i64::try_from(seconds).ok()).flatten()?;
    Some(Value::Timestamp(Timestamp { seconds, nanos }))
}

pub(crate) fn add(meter: &mut Meter, args: &[Value]) -> Outcome {
    let [left, right] = args else { return Err(Failure::no_overload()) };
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => checked(a.checked_add(*b)),
        (Value::Uint(a), Value::Uint(b)) => checked_unsigned(a.checked_add(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::String(a), Value::String(b)) => {
            meter.allow(a.len() + b.len())?;
            Ok(Value::String([a.as_str(), b.as_str()].concat().into()))
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            meter.allow(a.len() + b.len())?;
            Ok(Value::Bytes([&**a, &**b].concat().into()))
        }
        (Value::List(a), Value::List(b)) => Ok(Value::List(a.concat(b))),
        (Value::Duration(a), Value::Duration(b)) => duration(a.checked_add(*b)),
        (Value::Duration(d), Value::Timestamp(t)) | (Value::Timestamp(t), Value::Duration(d)) => {
            moved(*t, i128::from(*d))
        }
        (left, _) if adds(left) => Err(Failure::no_overload()),
        _ => Err(Failure::no_function("_+_")),
    }
}

fn adds(value: &Value) -> bool {
    ordered(value) && !matches!(value, Value::Bool(_)) || matches!(value, Value::List(_))
}

fn number(value: &Value) -> bool {
    matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_))
}

pub(crate) fn subtract(_: &mut Meter, args: &[Value]) -> Outcome {
    let [left, right] = args else { return Err(Failure::no_overload()) };
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => checked(a.checked_sub(*b)),
        (Value::Uint(a), Value::Uint(b)) => checked_unsigned(a.checked_sub(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Value::Duration(a), Value::Duration(b)) => duration(a.checked_sub(*b)),
        (Value::Timestamp(t), Value::Duration(d)) => moved(*t, -i128::from(*d)),
        (Value::Timestamp(a), Value::Timestamp(b)) => {
            let seconds = i128::from(a.seconds) - i128::from(b.seconds);
            let nanos = seconds * NANOS + i128::from(a.nanos) - i128::from(b.nanos);
            duration(i64::try_from(nanos).ok())
        }
        (Value::Duration(_) | Value::Timestamp(_), _) => Err(Failure::no_overload()),
        (left, _) if number(left) => Err(Failure::no_overload()),
        _ => Err(Failure::no_function("_-_")),
    }
}

pub(crate) fn multiply(_: &mut Meter, args: &[Value]) -> Outcome {
    let [left, right] = args else { return Err(Failure::no_overload()) };
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => checked(a.checked_mul(*b)),
        (Value::Uint(a), Value::Uint(b)) => checked_unsigned(a.checked_mul(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a * b)),
        (left, _) if number(left) => Err(Failure::no_overload()),
        _ => Err(Failure::no_function("_*_")),
    }
}

pub(crate) fn divide(_: &mut Meter, args: &[Value]) -> Outcome {
    let [left, right] = args else { return Err(Failure::no_overload()) };
    match (left, right) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => {
            Err(Failure::error("division by zero"))
        }
        (Value::Int(a), Value::Int(b)) => checked(a.checked_div(*b)),
        (Value::Uint(a), Value::Uint(b)) => checked_unsigned(a.checked_div(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a / b)),
        (left, _) if number(left) => Err(Failure::no_overload()),
        _ => Err(Failure::no_function("_/_")),
    }
}

pub(crate) fn modulo(_: &mut Meter, args: &[Value]) -> Outcome {
    let [left, right] = args else { return Err(Failure::no_overload()) };
    match (left, right) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => {
            Err(Failure::error("modulus by zero"))
        }
        (Value::Int(a), Value::Int(b)) => checked(a.checked_rem(*b)),
        (Value::Uint(a), Value::Uint(b)) => checked_unsigned(a.checked_rem(*b)),
        (Value::Int(_) | Value::Uint(_), _) => Err(Failure::no_overload()),
        _ => Err(Failure::no_function("_%_")),
    }
}

pub(crate) fn negate(_: &mut Meter, args: &[Value]) -> Outcome {
    match args {
        [Value::Int(a)] => checked(a.checked_neg()),
        [Value::Double(a)] => Ok(Value::Double(-a)),
        [Value::Duration(a)] => duration(a.checked_neg()),
        [Value::Bool(_)] => Err(Failure::no_overload()),
        _ => Err(Failure::no_function("-_")),
    }
}

fn relation(args: &[Value], name: &str, holds: fn(Ordering) -> bool) -> Outcome {
    let [left, right] = args else { return Err(Failure::no_overload()) };
    if !ordered(left) {
        return Err(Failure::no_function(name));
    }
    compare(left, right).map(|order| Value::Bool(holds(order)))
}

pub(crate) fn less(_: &mut Meter, args: &[Value]) -> Outcome {
    relation(args, "_<_", Ordering::is_lt)
}

pub(crate) fn less_equals(_: &mut Meter, args: &[Value]) -> Outcome {
    relation(args, "_<=_", Ordering::is_le)
}

pub(crate) fn greater(_: &mut Meter, args: &[Value]) -> Outcome {
    relation(args, "_>_", Ordering::is_gt)
}

pub(crate) fn greater_equals(_: &mut Meter, args: &[Value]) -> Outcome {
    relation(args, "_>=_", Ordering::is_ge)
}

pub(crate) fn contains(meter: &mut Meter, args: &[Value]) -> Outcome {
    match args {
        [needle, Value::List(list)] => lists::contains(meter, list, needle).map(Value::Bool),
        [key, Value::Map(map)] => Ok(Value::Bool(map.get(key).is_some())),
        _ => Err(Failure::no_overload()),
    }
}

pub(crate) fn size(_: &mut Meter, args: &[Value]) -> Outcome {
    match args {
        [value @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))] => {
            Ok(Value::Int(value.size().unwrap_or(0) as i64))
        }
        _ => Err(Failure::no_function("size")),
    }
}
