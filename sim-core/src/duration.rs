//! Durations as Go writes them (`time.Duration`, `metav1.Duration`): `1m30s`, `300ms`, `-1.5h`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::time::Span;

/// `metav1.Duration`: a span whose text is Go's, in messages and on the wire.
///
/// ```
/// use sim_core::duration::Duration;
/// use sim_core::time::{millis, secs};
/// assert_eq!(Duration(secs(160)).to_string(), "2m40s");
/// assert_eq!("1.5s".parse(), Ok(Duration(millis(1500))));
/// assert_eq!("5".parse::<Duration>().unwrap_err(), "time: missing unit in duration \"5\"");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub Span);

/// `time.Duration.String`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.0.unsigned_abs();
        let fraction = |value: u64, unit: u64| {
            let digits = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
            match digits.trim_end_matches('0') {
                "" => format!("{}", value / unit),
                rest => format!("{}.{rest}", value / unit),
            }
        };
        if self.0.0 < 0 {
            f.write_str("-")?;
        }
        match ns {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{ns}ns"),
            1_000..1_000_000 => write!(f, "{}µs", fraction(ns, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", fraction(ns, 1_000_000)),
            _ => {
                let minutes = ns / 60_000_000_000;
                let seconds = fraction(ns % 60_000_000_000, 1_000_000_000);
                match (minutes / 60, minutes % 60) {
                    (0, 0) => write!(f, "{seconds}s"),
                    (0, m) => write!(f, "{m}m{seconds}s"),
                    (h, m) => write!(f, "{h}h{m}m{seconds}s"),
                }
            }
        }
    }
}

/// Nanoseconds of a unit.
fn unit(name: &str) -> Option<u64> {
    Some(match name {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// Quotes as package `time` does: bytes that are not printable ASCII as `\x` escapes.
fn quote(text: &str) -> String {
    let mut out = String::from('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', byte as char]),
            b' '..0x80 => out.push(byte as char),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

const MAX: u64 = 1 << 63;

/// One number and its unit, in nanoseconds, and the rest. `None`: not a duration.
fn component<'a>(text: &'a str, all: &str) -> Result<(u64, &'a str), String> {
    let invalid = || format!("time: invalid duration {}", quote(all));
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, mut rest) = text.split_at(digits(text));
    let mut fraction = "";
    if let Some(after) = rest.strip_prefix('.') {
        (fraction, rest) = after.split_at(digits(after));
    }
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
    let (name, rest) =
        rest.split_at(rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len()));
    if name.is_empty() {
        return Err(format!("time: missing unit in duration {}", quote(all)));
    }
    let unit =
        unit(name).ok_or_else(|| format!("time: unknown unit {} in duration {}", quote(name), quote(all)))?;
    let value = u64::checked_mul(whole, unit).filter(|v| *v <= MAX).ok_or_else(invalid)?;
    // Digits beyond the 18th are less than a nanosecond of any unit.
    let (mut part, mut scale) = (0_u64, 1.0_f64);
    for digit in fraction.bytes().take(18) {
        part = part * 10 + u64::from(digit - b'0');
        scale *= 10.0;
    }
    let part = (part as f64 * (unit as f64 / scale)) as u64;
    let value = value.checked_add(part).filter(|v| *v <= MAX).ok_or_else(invalid)?;
    Ok((value, rest))
}

/// `time.ParseDuration`.
impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Duration, String> {
        let invalid = || format!("time: invalid duration {}", quote(text));
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Duration::default());
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total = 0_u64;
        while !rest.is_empty() {
            let (value, after) = component(rest, text)?;
            total = total.checked_add(value).filter(|t| *t <= MAX).ok_or_else(invalid)?;
            rest = after;
        }
        if negative {
            return Ok(Duration(Span((total as i64).wrapping_neg())));
        }
        i64::try_from(total).map(|n| Duration(Span(n))).map_err(|_| invalid())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{hours, micros, millis, mins, nanos, secs};

    #[test]
    fn printed_as_go_prints() {
        for (span, want) in [
            (Span::ZERO, "0s"),
            (nanos(7), "7ns"),
            (micros(1) + nanos(500), "1.5µs"),
            (millis(2) + micros(30), "2.03ms"),
            (secs(10), "10s"),
            (secs(80), "1m20s"),
            (mins(5), "5m0s"),
            (hours(2) + millis(50), "2h0m0.05s"),
            (Span(-1_500_000_000), "-1.5s"),
            (Span(i64::MIN), "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(Duration(span).to_string(), want);
            assert_eq!(want.parse(), Ok(Duration(span)), "{want}");
        }
    }

    /// Answers of `time.ParseDuration` itself.
    #[test]
    fn read_as_go_reads() {
        let cases: &[(&str, Result<i64, &str>)] = &[
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("+5s", Ok(5_000_000_000)),
            (".5m", Ok(30_000_000_000)),
            ("1.s", Ok(1_000_000_000)),
            ("1h15m30.918273645s", Ok(4_530_918_273_645)),
            ("9223372036854775807ns", Ok(i64::MAX)),
            ("0.100000000000000000000h", Ok(360_000_000_000)),
            ("9223372036854775808ns", Err("time: invalid duration \"9223372036854775808ns\"")),
            ("", Err("time: invalid duration \"\"")),
            ("-", Err("time: invalid duration \"-\"")),
            ("5", Err("time: missing unit in duration \"5\"")),
            ("5d", Err("time: unknown unit \"d\" in duration \"5d\"")),
            ("1 s", Err("time: unknown unit \" s\" in duration \"1 s\"")),
            (".s", Err("time: invalid duration \".s\"")),
            ("x", Err("time: invalid duration \"x\"")),
            ("5\u{e9}", Err("time: unknown unit \"\\xc3\\xa9\" in duration \"5\\xc3\\xa9\"")),
        ];
        for (text, want) in cases {
            let got = text.parse::<Duration>().map(|d| d.0.0);
            assert_eq!(got.as_ref().map_err(String::as_str).copied(), *want, "{text}");
        }
    }
}
