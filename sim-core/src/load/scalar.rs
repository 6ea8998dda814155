//! What an unquoted YAML scalar means to kubectl: the rules of go.yaml.in/yaml/v2, YAML 1.1 with exceptions.
//!
//! `yes`, `on` and `y` are booleans, `0644` and `0o644` are octal, `1_000` is a number; times and base 60 are texts.

use std::borrow::Cow;

use super::tree::Data;
use crate::yaml_scalar::Scalar;

/// The value of a plain scalar.
pub(crate) fn resolve(text: Cow<'_, str>) -> Data<'_> {
    match Scalar::resolve(&text) {
        Scalar::Null => Data::Null,
        Scalar::Bool(value) => Data::Bool(value),
        Scalar::Int(value) => i64::try_from(value).map_or_else(|_| Data::UInt(value as u64), Data::Int),
        Scalar::Float(value) => float(value),
        Scalar::Text(_) => Data::Str(text),
    }
}

fn float<'s>(value: f64) -> Data<'s> {
    // A whole float is printed without a fraction when it becomes JSON, so `3.0` is good for an integer field.
    if value.fract() == 0.0 && value.abs() < 9e18 {
        return Data::Int(value as i64);
    }
    Data::Float { value, text: "" }
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
