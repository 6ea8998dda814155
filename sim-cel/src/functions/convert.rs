//! Conversions between types (`common/types`), with Go's texts of durations and timestamps.

use std::sync::Arc;

use super::operators::timestamp;
use crate::failure::Failure;
use crate::meter::Meter;
use crate::types::Type;
use crate::value::{Timestamp, Value};

type Outcome = Result<Value, Failure>;

/// The first second CEL knows: year 1.
pub(crate) const MIN_SECONDS: i64 = -62_135_596_800;
/// The last: year 9999.
pub(crate) const MAX_SECONDS: i64 = 253_402_300_799;

const NANOS: i64 = 1_000_000_000;

fn arg(args: &[Value]) -> Result<&Value, Failure> {
    args.first().ok_or_else(Failure::no_overload)
}

fn unconvertible(value: &Value, to: &Type) -> Failure {
    Failure::error(format!("type conversion error from '{}' to '{}'", value.type_of().name(), to.name()))
}

fn overflow() -> Failure {
    Failure::error("integer overflow")
}

pub(crate) fn identity(_: &mut Meter, args: &[Value]) -> Outcome {
    arg(args).cloned()
}

pub(crate) fn type_of(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Type(Arc::new(arg(args)?.type_of())))
}

pub(crate) fn to_bool(_: &mut Meter, args: &[Value]) -> Outcome {
    let value = arg(args)?;
    match value {
        Value::String(text) => match text.as_str() {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            _ => Err(unconvertible(value, &Type::Bool)),
        },
        _ => Err(unconvertible(value, &Type::Bool)),
    }
}

pub(crate) fn to_bytes(_: &mut Meter, args: &[Value]) -> Outcome {
    match arg(args)? {
        Value::String(text) => Ok(Value::Bytes(text.as_bytes().into())),
        other => Err(unconvertible(other, &Type::Bytes)),
    }
}

pub(crate) fn to_double(_: &mut Meter, args: &[Value]) -> Outcome {
    let value = arg(args)?;
    match value {
        Value::Int(i) => Ok(Value::Double(*i as f64)),
        Value::Uint(u) => Ok(Value::Double(*u as f64)),
        Value::String(text) => {
            text.parse().map(Value::Double).map_err(|_| unconvertible(value, &Type::Double))
        }
        other => Err(unconvertible(other, &Type::Double)),
    }
}

pub(crate) fn to_int(_: &mut Meter, args: &[Value]) -> Outcome {
    let value = arg(args)?;
    match value {
        Value::Uint(u) => i64::try_from(*u).map(Value::Int).map_err(|_| overflow()),
        Value::Double(d) if d.is_finite() && *d > i64::MIN as f64 && *d < i64::MAX as f64 => {
            Ok(Value::Int(*d as i64))
        }
        Value::Double(_) => Err(overflow()),
        Value::Duration(nanos) => Ok(Value::Int(*nanos)),
        Value::Timestamp(at) => Ok(Value::Int(at.seconds)),
        Value::String(text) => text
            .strip_prefix('+')
            .filter(|rest| !rest.starts_with(['+', '-']))
            .unwrap_or(text)
            .parse()
            .map(Value::Int)
            .map_err(|_| unconvertible(value, &Type::Int)),
        other => Err(unconvertible(other, &Type::Int)),
    }
}

pub(crate) fn to_uint(_: &mut Meter, args: &[Value]) -> Outcome {
    let value = arg(args)?;
    let overflow = || Failure::error("unsigned integer overflow");
    match value {
        Value::Int(i) => u64::try_from(*i).map(Value::Uint).map_err(|_| overflow()),
        Value::Double(d) if d.is_finite() && *d >= 0.0 && *d < u64::MAX as f64 => Ok(Value::Uint(*d as u64)),
        Value::Double(_) => Err(overflow()),
        Value::String(text) if !text.starts_with('+') => {
            text.parse().map(Value::Uint).map_err(|_| unconvertible(value, &Type::Uint))
        }
        other => Err(unconvertible(other, &Type::Uint)),
    }
}

pub(crate) fn to_string(_: &mut Meter, args: &[Value]) -> Outcome {
    let value = arg(args)?;
    value_text(value).map(Value::string).ok_or_else(|| match value {
        Value::Bytes(_) => Failure::error("invalid UTF-8 in bytes, cannot convert to string"),
        other => unconvertible(other, &Type::String),
    })
}

/// What `string()` gives.
pub(crate) fn value_text(value: &Value) -> Option<String> {
    Some(match value {
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Uint(u) => u.to_string(),
        Value::Double(d) => super::text::double(*d),
        Value::String(s) => s.to_string(),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.to_owned(),
        Value::Duration(nanos) => duration_text(*nanos),
        Value::Timestamp(at) => timestamp_text(*at),
        Value::Type(ty) => ty.name().to_owned(),
        _ => return None,
    })
}

pub(crate) fn to_duration(_: &mut Meter, args: &[Value]) -> Outcome {
    let value = arg(args)?;
    match value {
        Value::Int(nanos) => Ok(Value::Duration(*nanos)),
        Value::String(text) => {
            parse_duration(text).map(Value::Duration).ok_or_else(|| unconvertible(value, &Type::Duration))
        }
        other => Err(unconvertible(other, &Type::Duration)),
    }
}

pub(crate) fn to_timestamp(_: &mut Meter, args: &[Value]) -> Outcome {
    let value = arg(args)?;
    match value {
        Value::Int(seconds) => {
            timestamp((*seconds).into(), 0).ok_or_else(|| Failure::error("timestamp overflow"))
        }
        Value::String(text) => {
            parse_timestamp(text).ok_or_else(|| unconvertible(value, &Type::Timestamp)).and_then(|at| {
                timestamp(at.seconds.into(), at.nanos).ok_or_else(|| Failure::error("timestamp overflow"))
            })
        }
        other => Err(unconvertible(other, &Type::Timestamp)),
    }
}

/// `time.ParseDuration`, in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let units = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(units);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(scale)?)?;
        // Digits below a nanosecond do not count.
        let mut place = scale;
        for digit in fraction.bytes() {
            place /= 10;
            total += i128::from(digit - b'0') * place;
        }
        rest = tail;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// Seconds with an `s`, as cel-go prints durations.
pub(crate) fn duration_text(nanos: i64) -> String {
    let seconds = nanos as f64 / NANOS as f64;
    let mut text = format!("{seconds}");
    if text == "-0" {
        text = "0".into();
    }
    format!("{text}s")
}

/// `time.Parse(time.RFC3339, …)`.
pub(crate) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    // Go wants a capital T and a zone; jiff is more lenient.
    let bytes = text.as_bytes();
    let date = bytes.len() >= 20 && bytes[10] == b'T' && bytes[4] == b'-' && bytes[7] == b'-';
    let zone = text.ends_with('Z')
        || bytes.len() > 6 && matches!(bytes[bytes.len() - 6], b'+' | b'-') && bytes[bytes.len() - 3] == b':';
    if !date || !zone {
        return None;
    }
    let at: jiff::Timestamp = text.parse().ok()?;
    let nanos = i128::from(at.as_second()) * i128::from(NANOS) + i128::from(at.subsec_nanosecond());
    let seconds = nanos.div_euclid(NANOS.into());
    Some(Timestamp {
        seconds: i64::try_from(seconds).ok()?,
        nanos: u32::try_from(nanos.rem_euclid(NANOS.into())).ok()?,
    })
}

/// RFC 3339 in UTC, with as many digits as needed.
pub(crate) fn timestamp_text(at: Timestamp) -> String {
    match jiff::Timestamp::new(at.seconds, at.nanos as i32) {
        Ok(timestamp) => timestamp.to_string(),
        Err(_) => format!("{}s", at.seconds),
    }
}
