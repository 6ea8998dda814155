//! Numbers or percentages, as `k8s.io/apimachinery/pkg/util/intstr` reads them.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::syntax::go_quote;

/// Why a value is neither a number nor a percentage; upstream's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid value for IntOrString: {0}")]
pub struct IntOrStringError(String);

/// A number if the text is one of 32 bits, else the text (`intstr.Parse`).
pub fn parse(text: &str) -> IntOrString {
    text.parse().map_or_else(|_| IntOrString::String(text.to_string()), IntOrString::Int)
}

/// As it prints: the text, or the number in digits.
pub fn print(value: &IntOrString) -> String {
    match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    }
}

/// The number, and whether it is a percentage.
///
/// # Errors
/// Text that is not a whole number followed by `%`.
pub fn number_or_percent(value: &IntOrString) -> Result<(i64, bool), IntOrStringError> {
    let text = match value {
        IntOrString::Int(number) => return Ok((i64::from(*number), false)),
        IntOrString::String(text) => text,
    };
    let Some(digits) = text.strip_suffix('%') else {
        return Err(IntOrStringError("invalid type: string is not a percentage".to_string()));
    };
    let percent = digits.parse::<i64>().map_err(|e| {
        let cause = match e.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        let parsing = format!("strconv.Atoi: parsing {}: {cause}", go_quote(digits));
        IntOrStringError(format!("invalid value {}: {parsing}", go_quote(text)))
    })?;
    Ok((percent, true))
}

/// The number itself, or its percentage of `total` rounded up or down (`GetScaledValueFromIntOrPercent`).
///
/// ```
/// # use sim_core::int_or_string::{parse, scaled_value};
/// assert_eq!(scaled_value(&parse("25%"), 10, true), Ok(3));
/// assert_eq!(scaled_value(&parse("25%"), 10, false), Ok(2));
/// assert_eq!(scaled_value(&parse("4"), 10, false), Ok(4));
/// assert!(scaled_value(&parse("a quarter"), 10, true).is_err());
/// ```
///
/// # Errors
/// As [`number_or_percent`].
pub fn scaled_value(value: &IntOrString, total: i64, round_up: bool) -> Result<i64, IntOrStringError> {
    let (number, is_percent) = number_or_percent(value)?;
    if !is_percent {
        return Ok(number);
    }
    // Floats in upstream's order of operations, so that large numbers round alike.
    let share = number as f64 * total as f64 / 100.0;
    Ok(if round_up { share.ceil() } else { share.floor() } as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        for (text, total, up, down) in
            [("0%", 7, 0, 0), ("33%", 10, 4, 3), ("100%", 7, 7, 7), ("150%", 3, 5, 4), ("-10%", 15, -1, -2)]
        {
            assert_eq!(scaled_value(&parse(text), total, true), Ok(up), "{text} up");
            assert_eq!(scaled_value(&parse(text), total, false), Ok(down), "{text} down");
        }
    }

    #[test]
    fn errors() {
        for (text, message) in [
            ("five", "invalid value for IntOrString: invalid type: string is not a percentage"),
            (
                "x%",
                r#"invalid value for IntOrString: invalid value "x%": strconv.Atoi: parsing "x": invalid syntax"#,
            ),
        ] {
            assert_eq!(scaled_value(&parse(text), 1, true).unwrap_err().to_string(), message);
        }
    }
}
