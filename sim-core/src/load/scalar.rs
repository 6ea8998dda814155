//! What an unquoted YAML scalar means to kubectl: the rules of go.yaml.in/yaml/v2, YAML 1.1 with exceptions.
//!
//! `yes`, `on` and `y` are booleans, `0644` and `0o644` are octal, `1_000` is a number; times and base 60 are texts.

use std::borrow::Cow;

use super::tree::Data;

/// The value of a plain scalar.
pub(crate) fn resolve(text: Cow<'_, str>) -> Data<'_> {
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Data::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Data::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => number(&text).unwrap_or(Data::Str(text)),
        _ => Data::Str(text),
    }
}

fn float<'s>(value: f64) -> Data<'s> {
    // A whole float is printed without a fraction when it becomes JSON, so `3.0` is good for an integer field.
    if value.fract() == 0.0 && value.abs() < 9e18 {
        return Data::Int(value as i64);
    }
    Data::Float { value, text: "" }
}

fn number(text: &str) -> Option<Data<'static>> {
    let plain: Cow<'_, str> =
        if text.contains('_') && !text.starts_with('.') { text.replace('_', "").into() } else { text.into() };
    if let Some(data) = integer(&plain) {
        return Some(data);
    }
    if !is_float(&plain) {
        return None;
    }
    plain.parse::<f64>().ok().filter(|v| v.is_finite()).map(float)
}

/// `strconv.ParseInt(text, 0, 64)`, then `ParseUint`.
fn integer(plain: &str) -> Option<Data<'static>> {
    let (negative, signed, rest) = match plain.as_bytes().first()? {
        b'-' => (true, true, &plain[1..]),
        b'+' => (false, true, &plain[1..]),
        _ => (false, false, plain),
    };
    let (radix, digits) = match rest.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &rest[2..]),
        [b'0', b'b' | b'B', ..] => (2, &rest[2..]),
        [b'0', b'o' | b'O', ..] => (8, &rest[2..]),
        [b'0', _, ..] => (8, &rest[1..]),
        _ => (10, rest),
    };
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let n = u64::from_str_radix(digits, radix).ok()?;
    match (negative, i64::try_from(n)) {
        (false, Ok(n)) => Some(Data::Int(n)),
        (true, Ok(n)) => Some(Data::Int(-n)),
        (true, Err(_)) => (n == 1 << 63).then_some(Data::Int(i64::MIN)),
        (false, Err(_)) => (!signed).then_some(Data::UInt(n)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = digits(rest);
    rest = &rest[whole..];
    if let Some(after) = rest.strip_prefix('.') {
        let fraction = digits(after);
        if whole + fraction == 0 {
            return false;
        }
        rest = &after[fraction..];
    } else if whole == 0 {
        return false;
    }
    let Some(exponent) = rest.strip_prefix(['e', 'E']) else { return rest.is_empty() };
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    !exponent.is_empty() && digits(exponent) == exponent.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_mean_what_kubectl_reads() {
        let cases: &[(&str, Data<'_>)] = &[
            ("", Data::Null),
            ("~", Data::Null),
            ("yes", Data::Bool(true)),
            ("N", Data::Bool(false)),
            ("Off", Data::Bool(false)),
            ("0644", Data::Int(420)),
            ("0o644", Data::Int(420)),
            ("0888", Data::Int(888)),
            ("0x1F", Data::Int(31)),
            ("-0b11", Data::Int(-3)),
            ("+12", Data::Int(12)),
            ("1_000", Data::Int(1000)),
            ("-9223372036854775808", Data::Int(i64::MIN)),
            ("18446744073709551615", Data::UInt(u64::MAX)),
            ("3.0", Data::Int(3)),
            ("1e3", Data::Int(1000)),
            ("0.5", Data::Float { value: 0.5, text: "" }),
            (".5", Data::Float { value: 0.5, text: "" }),
            ("5.", Data::Int(5)),
            ("1e400", Data::Str("1e400".into())),
            ("12:30:45", Data::Str("12:30:45".into())),
            ("2025-01-01", Data::Str("2025-01-01".into())),
            ("1.2.3", Data::Str("1.2.3".into())),
            ("-", Data::Str("-".into())),
            (".", Data::Str(".".into())),
            ("0x", Data::Str("0x".into())),
            ("100m", Data::Str("100m".into())),
            ("Yes!", Data::Str("Yes!".into())),
        ];
        for (text, data) in cases {
            assert_eq!(resolve(Cow::Borrowed(text)), *data, "{text}");
        }
    }
}
