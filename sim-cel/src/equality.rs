//! Equality and order (`types.Equal`, `traits.Comparer`): numbers across types, other types only with their own kind, and
//! Kubernetes' types not at all with others.

use std::cmp::Ordering;

use crate::failure::Failure;
use crate::meter::Meter;
use crate::value::Value;

/// Whether two values are equal.
pub(crate) fn equal(meter: &mut Meter, left: &Value, right: &Value) -> Result<bool, Failure> {
    meter.work(1)?;
    Ok(match (left, right) {
        (Value::Null, _) | (_, Value::Null) => matches!((left, right), (Value::Null, Value::Null)),
        (
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
        ) => numbers(left, right) == Some(Ordering::Equal),
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a.name() == b.name(),
        (Value::List(a), Value::List(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (x, y) in a.iter().zip(b.iter()) {
                if differ(meter, x, y)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (key, x) in a.iter() {
                match b.find(key) {
                    Some(y) if !differ(meter, x, y)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (Some(a), Some(b)) => return equal(meter, a, b),
            (a, b) => a.is_none() && b.is_none(),
        },
        (Value::Quantity { value: a, .. }, Value::Quantity { value: b, computed: false }) => a == b,
        (Value::Semver(a), Value::Semver(b)) => a.compare(b).is_eq(),
        (Value::Ip(a), Value::Ip(b)) => a == b,
        (Value::Cidr(a, bits_a), Value::Cidr(b, bits_b)) => (a, bits_a) == (b, bits_b),
        (Value::Url(a), Value::Url(b)) => a.text() == b.text(),
        (Value::Format(a), Value::Format(b)) => a.key == b.key,
        (
            Value::Quantity { .. }
            | Value::Semver(_)
            | Value::Ip(_)
            | Value::Cidr(..)
            | Value::Url(_)
            | Value::Format(_),
            _,
        ) => return Err(Failure::no_overload()),
        _ => false,
    })
}

/// Within containers, what cannot be compared does not differ.
fn differ(meter: &mut Meter, a: &Value, b: &Value) -> Result<bool, Failure> {
    match equal(meter, a, b) {
        Ok(same) => Ok(!same),
        Err(Failure::CostLimit) => Err(Failure::CostLimit),
        Err(Failure::Error(_)) => Ok(false),
    }
}

/// The order of two values that have one.
pub(crate) fn compare(left: &Value, right: &Value) -> Result<Ordering, Failure> {
    match (left, right) {
        (
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
        ) => numbers(left, right).ok_or_else(|| Failure::error("NaN values cannot be ordered")),
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        (Value::Bytes(a), Value::Bytes(b)) => Ok(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Ok(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Ok(a.cmp(b)),
        _ => Err(Failure::no_overload()),
    }
}

/// Whether the value has an order at all.
pub(crate) fn ordered(value: &Value) -> bool {
    matches!(
        value,
        Value::Int(_)
            | Value::Uint(_)
            | Value::Double(_)
            | Value::Bool(_)
            | Value::String(_)
            | Value::Bytes(_)
            | Value::Duration(_)
            | Value::Timestamp(_)
    )
}

/// Numbers of any type by their value; none with NaN.
fn numbers(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Double(a), Value::Int(b)) => double(*a, *b as f64, i64::MIN as f64, i64::MAX as f64),
        (Value::Int(a), Value::Double(b)) => {
            double(*b, *a as f64, i64::MIN as f64, i64::MAX as f64).map(Ordering::reverse)
        }
        (Value::Double(a), Value::Uint(b)) => double(*a, *b as f64, 0.0, u64::MAX as f64),
        (Value::Uint(a), Value::Double(b)) => {
            double(*b, *a as f64, 0.0, u64::MAX as f64).map(Ordering::reverse)
        }
        _ => None,
    }
}

/// A double with an integer, which upstream turns into a double where the double is in range.
fn double(a: f64, b: f64, least: f64, most: f64) -> Option<Ordering> {
    if a < least {
        return Some(Ordering::Less);
    }
    if a > most { Some(Ordering::Greater) } else { a.partial_cmp(&b) }
}
