//! What a plain YAML scalar means to `sigs.k8s.io/yaml` (YAML 1.1 as `go.yaml.in/yaml/v2` has it), and how it reaches
//! the JSON decoder: `yes` is a boolean, `012` is ten, `1e3` is 1000, and large numbers lose digits as floats.

use std::borrow::Cow;

use crate::syntax::go_json;

/// A plain (unquoted) scalar, resolved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `yes`, `on`, `y` and their opposites.
    Bool(bool),
    /// A whole number of 64 bits, signed or not.
    Int(i128),
    /// Any other number, also infinite or not a number.
    Float(f64),
    /// Text.
    Text(&'a str),
}

/// Whole numbers in Go's notations: decimal, `0x`, `0o`, `0b`, and octal after a leading zero.
fn parse_int(text: &str) -> Option<i128> {
    let (negative, signed, digits) = match text.as_bytes().first()? {
        b'-' => (true, true, &text[1..]),
        b'+' => (false, true, &text[1..]),
        _ => (false, false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = if let Some(hex) = lower.strip_prefix("0x") {
        (hex, 16)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (octal, 8)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (binary, 2)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8)
    } else {
        (lower.as_str(), 10)
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    let number = if negative { -number } else { number };
    let max = if signed { i128::from(i64::MAX) } else { i128::from(u64::MAX) };
    (i128::from(i64::MIN)..=max).contains(&number).then_some(number)
}

/// Digits with at most one point (and a digit before or after it), and an exponent.
fn looks_like_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}

impl<'a> Scalar<'a> {
    /// Resolves a plain scalar.
    ///
    /// ```
    /// # use sim_core::yaml_scalar::Scalar;
    /// assert_eq!(Scalar::resolve("012"), Scalar::Int(10));
    /// assert_eq!(Scalar::resolve("no"), Scalar::Bool(false));
    /// assert_eq!(Scalar::resolve("1:30"), Scalar::Text("1:30"));
    /// ```
    pub fn resolve(text: &'a str) -> Scalar<'a> {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
                return Scalar::Bool(true);
            }
            "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
                return Scalar::Bool(false);
            }
            ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
            _ => {}
        }
        if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
            return Scalar::Text(text);
        }
        // A leading point keeps its underscores, which no number has.
        let plain: Cow<'_, str> = if text.contains('_') && !text.starts_with('.') {
            text.replace('_', "").into()
        } else {
            text.into()
        };
        if let Some(number) = parse_int(&plain) {
            return Scalar::Int(number);
        }
        let float = plain.parse::<f64>().ok().filter(|f| f.is_finite() && looks_like_float(&plain));
        float.map_or_else(|| Scalar::Text(text), Scalar::Float)
    }

    /// The JSON token that the decoder sees.
    ///
    /// # Errors
    /// Infinities and NaN have none; upstream's text.
    pub fn to_json(self) -> Result<String, String> {
        match self {
            Scalar::Null => Ok("null".to_string()),
            Scalar::Bool(value) => Ok(value.to_string()),
            Scalar::Int(value) => Ok(value.to_string()),
            Scalar::Text(text) => Ok(go_json(&text)),
            Scalar::Float(value) => go_json_float(value),
        }
    }
}

/// A float as `encoding/json` prints it: the shortest digits, with an exponent only if very small or large.
fn go_json_float(value: f64) -> Result<String, String> {
    if value.is_nan() {
        return Err("json: unsupported value: NaN".to_string());
    }
    if value.is_infinite() {
        let sign = if value > 0.0 { '+' } else { '-' };
        return Err(format!("json: unsupported value: {sign}Inf"));
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return Ok(if text.contains("e-") { text } else { text.replace('e', "e+") });
    }
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        for (plain, token) in [
            ("", "null"),
            ("off", "false"),
            ("-0x10", "-16"),
            ("0o17", "15"),
            ("08", "8"),
            ("1_000", "1000"),
            ("18446744073709551615", "18446744073709551615"),
            ("-18446744073709551615", "-18446744073709552000"),
            ("-0", "0"),
            (".5", "0.5"),
            ("1e21", "1e+21"),
            ("1e-7", "1e-7"),
            ("1e400", "\"1e400\""),
            ("1.2.3", "\"1.2.3\""),
            ("2001-01-01", "\"2001-01-01\""),
            ("a<b", "\"a\\u003cb\""),
            ("+", "\"+\""),
        ] {
            assert_eq!(Scalar::resolve(plain).to_json().as_deref(), Ok(token), "{plain:?}");
        }
        assert_eq!(Scalar::resolve("-.inf").to_json(), Err("json: unsupported value: -Inf".to_string()));
    }
}
