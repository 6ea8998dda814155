//! Strings (cel-go `ext/strings.go`, version 2). Positions count characters.

use super::{integer, string, text};
use crate::failure::Failure;
use crate::meter::Meter;
use crate::value::{List, Value};

type Outcome = Result<Value, Failure>;

fn out_of_range(index: i64) -> Failure {
    Failure::error(format!("index out of range: {index}"))
}

/// A position from 0 to the length.
fn position(index: i64, length: usize) -> Result<usize, Failure> {
    usize::try_from(index).ok().filter(|at| *at <= length).ok_or_else(|| out_of_range(index))
}

pub(crate) fn contains(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(text(args)?.contains(string(args, 1)?)))
}

pub(crate) fn starts_with(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(text(args)?.starts_with(string(args, 1)?)))
}

pub(crate) fn ends_with(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(text(args)?.ends_with(string(args, 1)?)))
}

pub(crate) fn char_at(_: &mut Meter, args: &[Value]) -> Outcome {
    let (text, index) = (text(args)?, integer(args, 1)?);
    let at = position(index, text.chars().count())?;
    Ok(Value::string(text.chars().nth(at).map(String::from).unwrap_or_default()))
}

pub(crate) fn index_of(meter: &mut Meter, args: &[Value]) -> Outcome {
    let (text, part) = (text(args)?, string(args, 1)?);
    let offset = if args.len() > 2 { integer(args, 2)? } else { 0 };
    if part.is_empty() {
        return Ok(Value::Int(offset));
    }
    let characters: Vec<char> = text.chars().collect();
    let part: Vec<char> = part.chars().collect();
    let start = usize::try_from(offset).map_err(|_| out_of_range(offset))?;
    if start >= characters.len() {
        return Ok(Value::Int(-1));
    }
    meter.work((characters.len() as u64).saturating_mul(part.len() as u64) / 8)?;
    let found = characters[start..].windows(part.len()).position(|window| window == part);
    Ok(Value::Int(found.map_or(-1, |at| (at + start) as i64)))
}

pub(crate) fn last_index_of(meter: &mut Meter, args: &[Value]) -> Outcome {
    let (text, part) = (text(args)?, string(args, 1)?);
    let characters: Vec<char> = text.chars().collect();
    let length = characters.len() as i64;
    let offset = if args.len() > 2 { Some(integer(args, 2)?) } else { None };
    if part.is_empty() {
        return Ok(Value::Int(offset.unwrap_or(length)));
    }
    let part: Vec<char> = part.chars().collect();
    let start = offset.unwrap_or(length - 1);
    if start < 0 {
        return Err(out_of_range(start));
    }
    if start >= length {
        return Ok(Value::Int(-1));
    }
    meter.work((characters.len() as u64).saturating_mul(part.len() as u64) / 8)?;
    let last = start.min(length - part.len() as i64);
    let found = usize::try_from(last)
        .ok()
        .and_then(|last| (0..=last).rev().find(|at| characters[*at..].starts_with(&part)));
    Ok(Value::Int(found.map_or(-1, |at| at as i64)))
}

pub(crate) fn lower(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::string(text(args)?.to_ascii_lowercase()))
}

pub(crate) fn upper(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::string(text(args)?.to_ascii_uppercase()))
}

pub(crate) fn replace(meter: &mut Meter, args: &[Value]) -> Outcome {
    let (text, old, new) = (text(args)?, string(args, 1)?, string(args, 2)?);
    let limit = if args.len() > 3 { integer(args, 3)? } else { -1 };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = text.matches(old).count().min(limit);
    meter.allow(text.len().saturating_add(found.saturating_mul(new.len())))?;
    Ok(Value::string(text.replacen(old, new, limit)))
}

pub(crate) fn split(meter: &mut Meter, args: &[Value]) -> Outcome {
    let (text, separator) = (text(args)?, string(args, 1)?);
    let limit = if args.len() > 2 { integer(args, 2)? } else { -1 };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    meter.allow(text.len())?;
    let parts: Vec<Value> = if separator.is_empty() {
        characters(text, limit)
    } else if limit == usize::MAX {
        text.split(separator).map(Value::string).collect()
    } else {
        text.splitn(limit, separator).map(Value::string).collect()
    };
    Ok(Value::List(List::new(parts)))
}

/// Go splits at the empty separator into characters, the last of which takes the rest.
fn characters(text: &str, limit: usize) -> Vec<Value> {
    let mut parts = Vec::new();
    for (at, c) in text.char_indices() {
        if parts.len() + 1 >= limit {
            if limit > 0 {
                parts.push(Value::string(&text[at..]));
            }
            break;
        }
        parts.push(Value::string(String::from(c)));
    }
    parts
}

pub(crate) fn substring(_: &mut Meter, args: &[Value]) -> Outcome {
    let (text, start) = (text(args)?, integer(args, 1)?);
    let length = text.chars().count();
    let end = if args.len() > 2 { integer(args, 2)? } else { length as i64 };
    if args.len() > 2 && start > end {
        return Err(Failure::error(format!("invalid substring range. start: {start}, end: {end}")));
    }
    let (start, end) = (position(start, length)?, position(end, length)?);
    Ok(Value::string(text.chars().skip(start).take(end - start).collect::<String>()))
}

pub(crate) fn trim(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::string(text(args)?.trim()))
}

pub(crate) fn join(meter: &mut Meter, args: &[Value]) -> Outcome {
    let Some(Value::List(list)) = args.first() else { return Err(Failure::no_overload()) };
    let separator = if args.len() > 1 { string(args, 1)? } else { "" };
    let mut joined = String::new();
    for (index, element) in list.iter().enumerate() {
        let Value::String(part) = element else {
            let name = element.type_of().name().to_owned();
            return Err(Failure::error(format!("unsupported native conversion from {name} to 'string'")));
        };
        if index > 0 {
            joined.push_str(separator);
        }
        joined.push_str(part);
        if index % 64 == 0 {
            meter.allow(joined.len())?;
        }
    }
    Ok(Value::string(joined))
}

pub(crate) fn quote(_: &mut Meter, args: &[Value]) -> Outcome {
    let mut quoted = String::from('"');
    for c in text(args)?.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(Value::string(quoted))
}
