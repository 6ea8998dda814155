//! `format` of strings (cel-go `ext/formatting.go`, of version 2: English numbers).

use sim_values::syntax::go_quote;

use super::text::{double, fixed};
use super::{convert, text};
use crate::failure::Failure;
use crate::meter::Meter;
use crate::value::{List, Map, Value};

type Outcome<T> = Result<T, Failure>;

/// Digits after the point if none are given.
const PRECISION: usize = 6;
/// Most digits after the point that are given out.
const MAX_PRECISION: usize = 1000;

pub(crate) fn format(meter: &mut Meter, args: &[Value]) -> Outcome<Value> {
    let (template, Some(Value::List(values))) = (text(args)?, args.get(1)) else {
        return Err(Failure::no_overload());
    };
    let (mut out, mut index) = (String::new(), 0);
    let mut rest = template;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('%') {
            out.push('%');
            rest = tail;
            continue;
        }
        let value = values.get(index).ok_or_else(|| fail(&format!("index {index} out of range")))?;
        index += 1;
        let (precision, tail) = precision(rest)?;
        let mut characters = tail.chars();
        let verb = characters.next().ok_or_else(|| fail("unexpected end of string"))?;
        rest = characters.as_str();
        out.push_str(&clause(meter, verb, precision, value)?);
        meter.allow(out.len())?;
    }
    out.push_str(rest);
    Ok(Value::string(out))
}

fn fail(why: &str) -> Failure {
    Failure::error(why)
}

/// `.N` before the verb.
fn precision(text: &str) -> Outcome<(usize, &str)> {
    let Some(tail) = text.strip_prefix('.') else { return Ok((PRECISION, text)) };
    let end = tail
        .find(|c: char| !c.is_ascii_digit())
        .ok_or_else(|| fail("could not find end of precision specifier"))?;
    if end == 0 {
        return Ok((PRECISION, tail));
    }
    let digits = &tail[..end];
    match digits.parse::<usize>() {
        Ok(precision) if precision <= MAX_PRECISION => Ok((precision, &tail[end..])),
        _ => Err(fail(&format!("could not parse precision: {digits}"))),
    }
}

fn clause(meter: &mut Meter, verb: char, precision: usize, value: &Value) -> Outcome<String> {
    let done = match verb {
        's' => return plain(meter, value),
        'd' => decimal(value),
        'f' => float(value).map(|v| fixed_english(v, precision)),
        'e' => float(value).map(|v| scientific_english(v, precision)),
        'b' => binary(value),
        'x' | 'X' => hex(value).map(|text| if verb == 'X' { text.to_uppercase() } else { text }),
        'o' => octal(value),
        other => {
            return Err(fail(&format!(
                "could not parse formatting clause: unrecognized formatting clause {:?}",
                String::from(other)
            )));
        }
    };
    done.ok_or_else(|| {
        let name = value.type_of().name().to_owned();
        let why = match verb {
            'd' => format!("decimal clause can only be used on integers, was given {name}"),
            'f' => format!("fixed-point clause can only be used on doubles, was given {name}"),
            'e' => format!("scientific clause can only be used on doubles, was given {name}"),
            'b' => format!("only integers and bools can be formatted as binary, was given {name}"),
            'o' => format!("octal clause can only be used on integers, was given {name}"),
            _ => {
                format!("only integers, byte buffers, and strings can be formatted as hex, was given {name}")
            }
        };
        fail(&format!("error during formatting: {why}"))
    })
}

fn decimal(value: &Value) -> Option<String> {
    match value {
        Value::Int(i) => Some(i.to_string()),
        Value::Uint(u) => Some(u.to_string()),
        _ => None,
    }
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Double(d) => Some(*d),
        Value::String(s) => match s.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// Not a number at all, as English prints it.
fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("∞")
    } else if value == f64::NEG_INFINITY {
        Some("-∞")
    } else {
        None
    }
}

/// With commas between thousands.
fn fixed_english(value: f64, precision: usize) -> String {
    if let Some(text) = special(value) {
        return text.into();
    }
    let plain = fixed(value, precision);
    let (sign, digits) = plain.strip_prefix('-').map_or(("", plain.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match fraction {
        Some(fraction) => format!("{sign}{grouped}.{fraction}"),
        None => format!("{sign}{grouped}"),
    }
}

/// `1.000000 × 10⁰³`, with narrow spaces.
fn scientific_english(value: f64, precision: usize) -> String {
    if let Some(text) = special(value) {
        return text.into();
    }
    let text = format!("{value:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(("", exponent), |e| ("⁻", e));
    let raised: String = format!("{exponent:0>2}").chars().map(superscript).collect();
    format!("{digits}\u{202f}×\u{202f}10{sign}{raised}")
}

fn superscript(digit: char) -> char {
    match digit {
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' => '⁰',
        digit => char::from_u32(0x2070 + u32::from(digit) - u32::from('0')).unwrap_or(digit),
    }
}

/// A sign and the digits of the magnitude.
fn signed(value: i64, digits: fn(u64) -> String) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", digits(value.unsigned_abs()))
}

fn binary(value: &Value) -> Option<String> {
    match value {
        Value::Int(i) => Some(signed(*i, |u| format!("{u:b}"))),
        Value::Uint(u) => Some(format!("{u:b}")),
        Value::Bool(b) => Some(u8::from(*b).to_string()),
        _ => None,
    }
}

fn octal(value: &Value) -> Option<String> {
    match value {
        Value::Int(i) => Some(signed(*i, |u| format!("{u:o}"))),
        Value::Uint(u) => Some(format!("{u:o}")),
        _ => None,
    }
}

fn hex(value: &Value) -> Option<String> {
    let bytes = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
    match value {
        Value::Int(i) => Some(signed(*i, |u| format!("{u:x}"))),
        Value::Uint(u) => Some(format!("{u:x}")),
        Value::String(s) => Some(bytes(s.as_bytes())),
        Value::Bytes(b) => Some(bytes(b)),
        _ => None,
    }
}

/// `%s`.
fn plain(meter: &mut Meter, value: &Value) -> Outcome<String> {
    meter.work(1)?;
    match value {
        Value::Null => Ok("null".into()),
        Value::List(values) => list(meter, values),
        Value::Map(entries) => map(meter, entries),
        other => convert::value_text(other).ok_or_else(|| {
            let name = other.type_of().name().to_owned();
            fail(&format!(
                "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, \
                 types, durations, and timestamps, was given {name}"
            ))
        }),
    }
}

/// Within a list or map: as a literal.
fn literal(meter: &mut Meter, value: &Value) -> Outcome<String> {
    Ok(match value {
        Value::String(s) => go_quote(s),
        Value::Bytes(b) => format!("b{}", go_quote(&String::from_utf8_lossy(b))),
        Value::Double(d) if d.is_finite() => fixed(*d, PRECISION),
        Value::Double(d) => go_quote(&double(*d)),
        Value::Timestamp(at) => format!("timestamp({})", go_quote(&convert::timestamp_text(*at))),
        Value::Duration(nanos) => format!("duration({})", go_quote(&convert::duration_text(*nanos))),
        other => plain(meter, other)?,
    })
}

fn list(meter: &mut Meter, values: &List) -> Outcome<String> {
    let mut parts = Vec::with_capacity(values.len().min(1024));
    let mut length = 0;
    for value in values.iter() {
        let part = literal(meter, value)?;
        length += part.len() + 2;
        meter.allow(length)?;
        parts.push(part);
    }
    Ok(format!("[{}]", parts.join(", ")))
}

fn map(meter: &mut Meter, entries: &Map) -> Outcome<String> {
    let mut parts = Vec::with_capacity(entries.len().min(1024));
    let mut length = 0;
    for (key, value) in entries.iter() {
        let (key, value) = (literal(meter, key)?, literal(meter, value)?);
        length += key.len() + value.len() + 3;
        meter.allow(length)?;
        parts.push((key, value));
    }
    parts.sort();
    let parts: Vec<String> = parts.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
    Ok(format!("{{{}}}", parts.join(", ")))
}
