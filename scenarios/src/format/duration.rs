//! Durations as people write them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use sim_core::time::{Span, Time};

/// A span of simulated time: `90s`, `5m`, `1h30m`, `250ms`, `1.5s`, `149d`.
///
/// ```
/// use scenarios::format::Duration;
/// use sim_core::time::secs;
/// assert_eq!("1h30m".parse::<Duration>().unwrap().0, secs(5400));
/// assert!("90".parse::<Duration>().unwrap_err().contains("unit"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub Span);

/// Units from the largest, with their nanoseconds. They must be given in this order, each at most once.
const UNITS: [(&str, i64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl Duration {
    /// The instant this long after the start.
    pub fn after_start(self) -> Time {
        Time::ZERO + self.0
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Duration::default());
        }
        let mut rest = text;
        let (mut total, mut allowed) = (0i64, 0);
        if rest.is_empty() {
            return Err("an empty duration".to_owned());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            if number.is_empty() {
                return Err(format!("`{text}` is not a duration (write 90s, 5m, 1h30m)"));
            }
            if unit.is_empty() {
                return Err(format!("`{text}` lacks a unit (d, h, m, s, ms, us, ns)"));
            }
            let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
                return Err(format!("`{unit}` in `{text}` is not a unit (d, h, m, s, ms, us, ns)"));
            };
            if index < allowed {
                return Err(format!("the units of `{text}` are not in falling order"));
            }
            allowed = index + 1;
            let part = times(number, UNITS[index].1).ok_or_else(|| format!("`{text}` is out of range"))?;
            total = total.checked_add(part).ok_or_else(|| format!("`{text}` is out of range"))?;
            rest = tail;
        }
        Ok(Duration(Span(total)))
    }
}

/// `number` (digits, at most one point) times `unit`, exactly; `None` if malformed, not whole, or too large.
fn times(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let parse = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<i64>().ok() };
    let scale = 10i64.pow(fraction.len() as u32);
    let part = i128::from(parse(fraction)?) * i128::from(unit);
    if part % i128::from(scale) != 0 {
        return None;
    }
    let part = i64::try_from(part / i128::from(scale)).ok()?;
    parse(whole)?.checked_mul(unit)?.checked_add(part)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Duration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 90s, 5m or 1h30m")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Duration, E> {
                self.visit_str(&n.to_string())
            }
            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Duration, E> {
                self.visit_str(&n.to_string())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A span of simulated time: 90s, 5m, 1h30m, 250ms.",
            "type": ["string", "integer"],
            "pattern": r"^(0|(\d+(\.\d*)?|\.\d+)(d|h|m|s|ms|us|ns)((\d+(\.\d*)?|\.\d+)(h|m|s|ms|us|ns))*)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_exactly_or_say_why_not() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("90s", 90_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            ("1d2h3m4s5ms6us7ns", 93_784_005_006_007),
            (".5ms", 500_000),
        ] {
            assert_eq!(text.parse::<Duration>(), Ok(Duration(Span(nanos))), "{text}");
        }
        for (text, part) in [
            ("", "empty"),
            ("90", "lacks a unit"),
            ("5 m", "lacks a unit"),
            ("-5s", "not a duration"),
            ("5y", "not a unit"),
            ("5µs", "lacks a unit"),
            ("1s1s", "falling order"),
            ("1s1m", "falling order"),
            ("1.0.0s", "out of range"),
            ("0.5ns", "out of range"),
            ("999999999999d", "out of range"),
            (".s", "out of range"),
        ] {
            let error = text.parse::<Duration>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        #[test]
        fn printed_spans_parse_back(nanos in 0i64..i64::MAX) {
            let span = Span(nanos);
            proptest::prop_assert_eq!(span.to_string().parse::<Duration>(), Ok(Duration(span)));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,12}") {
            let _ = text.parse::<Duration>();
        }
    }
}
