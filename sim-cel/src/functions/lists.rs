//! Lists and sets (cel-go `ext/lists.go` version 3, `ext/sets.go`; library `lists.go`), and growing maps.

use std::cmp::Ordering;
use std::sync::Arc;

use super::integer;
use super::operators;
use crate::equality::{compare, equal, ordered};
use crate::failure::Failure;
use crate::meter::{MAX_LENGTH, Meter};
use crate::types::Type;
use crate::value::{List, Map, Value};

type Outcome = Result<Value, Failure>;

fn list(args: &[Value], index: usize) -> Result<&List, Failure> {
    match args.get(index) {
        Some(Value::List(list)) => Ok(list),
        _ => Err(Failure::no_overload()),
    }
}

/// Equality where an error means no.
fn same(meter: &mut Meter, a: &Value, b: &Value) -> Result<bool, Failure> {
    match equal(meter, a, b) {
        Err(Failure::Error(_)) => Ok(false),
        outcome => outcome,
    }
}

/// Whether an element is equal.
pub(crate) fn contains(meter: &mut Meter, list: &List, needle: &Value) -> Result<bool, Failure> {
    for element in list.iter() {
        if same(meter, needle, element)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// An index into a list.
///
/// # Errors
/// If it is no whole number.
pub(crate) fn index(key: &Value) -> Result<i64, Failure> {
    match key {
        Value::Int(i) => Ok(*i),
        Value::Uint(u) => Ok(i64::try_from(*u).unwrap_or(i64::MAX)),
        Value::Double(d) if *d == d.trunc() && d.abs() < 9.2e18 => Ok(*d as i64),
        Value::Double(d) => {
            Err(Failure::error(format!("unsupported index value {} in list", super::text::double(*d))))
        }
        other => Err(Failure::error(format!("unsupported index type '{}' in list", other.type_of().name()))),
    }
}

pub(crate) fn slice(_: &mut Meter, args: &[Value]) -> Outcome {
    let (list, start, end) = (list(args, 0)?, integer(args, 1)?, integer(args, 2)?);
    let length = list.len() as i64;
    let why = if start < 0 || end < 0 {
        "negative indexes not supported".to_owned()
    } else if start > end {
        "start index must be less than or equal to end index".to_owned()
    } else if length < end {
        format!("list is length {length}")
    } else {
        let values = list.iter().skip(start as usize).take((end - start) as usize);
        return Ok(Value::List(values.cloned().collect()));
    };
    Err(Failure::error(format!("cannot slice({start}, {end}), {why}")))
}

pub(crate) fn flatten(meter: &mut Meter, args: &[Value]) -> Outcome {
    let depth = if args.len() > 1 { integer(args, 1)? } else { 1 };
    if depth < 0 {
        return Err(Failure::error("level must be non-negative"));
    }
    let mut flat = Vec::new();
    flatten_into(meter, list(args, 0)?, depth, &mut flat)?;
    Ok(Value::List(List::new(flat)))
}

fn flatten_into(meter: &mut Meter, list: &List, depth: i64, flat: &mut Vec<Value>) -> Result<(), Failure> {
    for value in list.iter() {
        meter.work(1)?;
        match value {
            Value::List(inner) if depth > 0 => flatten_into(meter, inner, depth - 1, flat)?,
            other => flat.push(other.clone()),
        }
    }
    Ok(())
}

pub(crate) fn range(meter: &mut Meter, args: &[Value]) -> Outcome {
    let count = integer(args, 0)?;
    let Ok(length) = usize::try_from(count) else {
        return Ok(Value::List(List::new(Vec::new())));
    };
    if length > MAX_LENGTH || count as u64 > meter.limit {
        // The call would cost more than is allowed.
        return Err(Failure::CostLimit);
    }
    Ok(Value::List((0..count).map(Value::Int).collect()))
}

pub(crate) fn reverse(_: &mut Meter, args: &[Value]) -> Outcome {
    let mut values: Vec<Value> = list(args, 0)?.iter().cloned().collect();
    values.reverse();
    Ok(Value::List(List::new(values)))
}

pub(crate) fn distinct(meter: &mut Meter, args: &[Value]) -> Outcome {
    let mut unique: Vec<Value> = Vec::new();
    for value in list(args, 0)?.iter() {
        let mut seen = false;
        for other in &unique {
            seen = same(meter, value, other)?;
            if seen {
                break;
            }
        }
        if !seen {
            unique.push(value.clone());
        }
    }
    Ok(Value::List(List::new(unique)))
}

pub(crate) fn sort(meter: &mut Meter, args: &[Value]) -> Outcome {
    let values = list(args, 0)?;
    sorted(meter, values, values)
}

pub(crate) fn sort_by_keys(meter: &mut Meter, args: &[Value]) -> Outcome {
    sorted(meter, list(args, 0)?, list(args, 1)?)
}

fn sorted(meter: &mut Meter, values: &List, keys: &List) -> Outcome {
    let (length, count) = (values.len(), keys.len());
    if length != count {
        let message = "expected a list of the same size as the associated keys list, but got";
        return Err(Failure::error(format!(
            "@sortByAssociatedKeys() {message} {length} and {count} elements respectively"
        )));
    }
    let Some(first) = keys.get(0) else { return Ok(Value::List(values.clone())) };
    if !ordered(first) {
        return Err(Failure::error("list elements must be comparable"));
    }
    let ty = first.type_of();
    if keys.iter().any(|key| key.type_of() != ty) {
        return Err(Failure::error("list elements must have the same type"));
    }
    meter.work((length as u64).saturating_mul(32))?;
    let mut pairs: Vec<(&Value, &Value)> = keys.iter().zip(values.iter()).collect();
    // DIFFERS: equal keys keep their order; upstream's sort leaves it open beyond twelve elements.
    pairs.sort_by(|(a, _), (b, _)| compare(a, b).unwrap_or(Ordering::Equal));
    Ok(Value::List(pairs.into_iter().map(|(_, value)| value.clone()).collect()))
}

pub(crate) fn is_sorted(_: &mut Meter, args: &[Value]) -> Outcome {
    let values = list(args, 0)?;
    let mut previous: Option<&Value> = None;
    for next in values.iter() {
        if !ordered(next) {
            return Err(Failure::no_overload());
        }
        if previous.is_some_and(|p| compare(p, next).is_ok_and(Ordering::is_gt)) {
            return Ok(Value::Bool(false));
        }
        previous = Some(next);
    }
    Ok(Value::Bool(true))
}

fn extreme(args: &[Value], name: &str, replaces: Ordering) -> Outcome {
    let mut best: Option<&Value> = None;
    for next in list(args, 0)?.iter() {
        if !ordered(next) {
            return Err(Failure::no_overload());
        }
        let better = best.is_none_or(|b| compare(b, next).is_ok_and(|order| order == replaces));
        if better {
            best = Some(next);
        }
    }
    best.cloned().ok_or_else(|| Failure::error(format!("{name} called on empty list")))
}

pub(crate) fn min(_: &mut Meter, args: &[Value]) -> Outcome {
    extreme(args, "min", Ordering::Greater)
}

pub(crate) fn max(_: &mut Meter, args: &[Value]) -> Outcome {
    extreme(args, "max", Ordering::Less)
}

fn sum(meter: &mut Meter, args: &[Value], zero: Value) -> Outcome {
    let mut total = zero;
    for next in list(args, 0)?.iter() {
        total = operators::add(meter, &[total, next.clone()])?;
    }
    Ok(total)
}

pub(crate) fn sum_int(meter: &mut Meter, args: &[Value]) -> Outcome {
    sum(meter, args, Value::Int(0))
}

pub(crate) fn sum_uint(meter: &mut Meter, args: &[Value]) -> Outcome {
    sum(meter, args, Value::Uint(0))
}

pub(crate) fn sum_double(meter: &mut Meter, args: &[Value]) -> Outcome {
    sum(meter, args, Value::Double(0.0))
}

pub(crate) fn sum_duration(meter: &mut Meter, args: &[Value]) -> Outcome {
    sum(meter, args, Value::Duration(0))
}

fn position(meter: &mut Meter, args: &[Value], last: bool) -> Outcome {
    let (values, needle) = (list(args, 0)?, args.get(1).ok_or_else(Failure::no_overload)?);
    let mut found = -1;
    for (index, value) in values.iter().enumerate() {
        if same(meter, value, needle)? {
            found = index as i64;
            if !last {
                break;
            }
        }
    }
    Ok(Value::Int(found))
}

pub(crate) fn index_of(meter: &mut Meter, args: &[Value]) -> Outcome {
    position(meter, args, false)
}

pub(crate) fn last_index_of(meter: &mut Meter, args: &[Value]) -> Outcome {
    position(meter, args, true)
}

fn contains_all(meter: &mut Meter, all: &List, some: &List) -> Result<bool, Failure> {
    for value in some.iter() {
        if !contains(meter, all, value)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn sets_contains(meter: &mut Meter, args: &[Value]) -> Outcome {
    contains_all(meter, list(args, 0)?, list(args, 1)?).map(Value::Bool)
}

pub(crate) fn sets_equivalent(meter: &mut Meter, args: &[Value]) -> Outcome {
    let (a, b) = (list(args, 0)?, list(args, 1)?);
    Ok(Value::Bool(contains_all(meter, a, b)? && contains_all(meter, b, a)?))
}

pub(crate) fn sets_intersects(meter: &mut Meter, args: &[Value]) -> Outcome {
    let (a, b) = (list(args, 0)?, list(args, 1)?);
    for value in a.iter() {
        if contains(meter, b, value)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

pub(crate) fn map_insert(meter: &mut Meter, args: &[Value]) -> Outcome {
    let (map, rest) = args.split_first().ok_or_else(Failure::no_overload)?;
    insert_all(meter, map.clone(), rest)
}

/// Inserts a key and a value, or the entries of a map, where the key is not there yet.
pub(crate) fn insert_all(meter: &mut Meter, map: Value, rest: &[Value]) -> Outcome {
    let Value::Map(mut map) = map else { return Err(Failure::no_overload()) };
    let own = Arc::make_mut(&mut map);
    match rest {
        [key, value] => insert(meter, own, key, value)?,
        [Value::Map(more)] => {
            for (key, value) in more.iter() {
                insert(meter, own, key, value)?;
            }
        }
        _ => return Err(Failure::no_overload()),
    }
    Ok(Value::Map(map))
}

fn insert(meter: &mut Meter, map: &mut Map, key: &Value, value: &Value) -> Result<(), Failure> {
    meter.work(1)?;
    if map.get(key).is_some() {
        return Err(Failure::error(format!("insert failed: key {} already exists", key.key_text())));
    }
    if map.insert(key.clone(), value.clone()) {
        return Ok(());
    }
    let ty: Type = key.type_of();
    Err(Failure::error(format!("unsupported key type: {}", ty.name())))
}
