//! Virtual time: integer nanoseconds, counted from the start of the run.
//!
//! Nothing in the simulation reads a wall clock. [`Time`] is an instant, [`Span`] a duration; both are `i64`
//! nanoseconds, which covers ±292 years. The [`Epoch`] of a run says which date instant zero is; it matters only
//! when a time is rendered for people or for the wire.

use std::fmt;
use std::ops::{Add, AddAssign, Mul, Sub};

/// An instant: nanoseconds since the start of the run (negative for objects that are older than the run).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// A duration in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub i64);

const NANOS_PER_SEC: i64 = 1_000_000_000;

/// `n` nanoseconds.
pub const fn nanos(n: i64) -> Span {
    Span(n)
}

/// `n` microseconds.
pub const fn micros(n: i64) -> Span {
    Span(n.saturating_mul(1_000))
}

/// `n` milliseconds.
pub const fn millis(n: i64) -> Span {
    Span(n.saturating_mul(1_000_000))
}

/// `n` seconds.
pub const fn secs(n: i64) -> Span {
    Span(n.saturating_mul(NANOS_PER_SEC))
}

/// `n` minutes.
pub const fn mins(n: i64) -> Span {
    secs(n.saturating_mul(60))
}

/// `n` hours.
pub const fn hours(n: i64) -> Span {
    secs(n.saturating_mul(3600))
}

/// `n` days of 24 hours.
pub const fn days(n: i64) -> Span {
    secs(n.saturating_mul(86_400))
}

impl Time {
    /// The start of the run.
    pub const ZERO: Time = Time(0);
    /// Later than every event.
    pub const MAX: Time = Time(i64::MAX);

    /// The same instant with the fraction of a second cut off (towards the past), as `metav1.Time` keeps it.
    ///
    /// ```
    /// use sim_core::time::{Time, millis};
    /// assert_eq!((Time::ZERO + millis(2_900)).truncate_to_secs().as_secs(), 2);
    /// ```
    pub const fn truncate_to_secs(self) -> Time {
        Time(self.0 - self.0.rem_euclid(NANOS_PER_SEC))
    }

    /// Whole seconds since the start of the run, rounded towards the past.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SEC)
    }

    /// Time since the start of the run.
    pub const fn since_start(self) -> Span {
        Span(self.0)
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// Longer than every run.
    pub const MAX: Span = Span(i64::MAX);

    /// Whole seconds, truncated towards zero.
    pub const fn as_secs(self) -> i64 {
        self.0 / NANOS_PER_SEC
    }

    /// Seconds as a float, for reports only; never use it to order or schedule anything.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SEC as f64
    }

    /// True for exactly zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, rhs: Span) -> Time {
        Time(self.0.saturating_add(rhs.0))
    }
}

impl AddAssign<Span> for Time {
    fn add_assign(&mut self, rhs: Span) {
        *self = *self + rhs;
    }
}

impl Sub<Span> for Time {
    type Output = Time;
    fn sub(self, rhs: Span) -> Time {
        Time(self.0.saturating_sub(rhs.0))
    }
}

impl Sub<Time> for Time {
    type Output = Span;
    fn sub(self, rhs: Time) -> Span {
        Span(self.0.saturating_sub(rhs.0))
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, rhs: Span) -> Span {
        Span(self.0.saturating_add(rhs.0))
    }
}

impl Sub for Span {
    type Output = Span;
    fn sub(self, rhs: Span) -> Span {
        Span(self.0.saturating_sub(rhs.0))
    }
}

impl Mul<i64> for Span {
    type Output = Span;
    fn mul(self, rhs: i64) -> Span {
        Span(self.0.saturating_mul(rhs))
    }
}

/// Time since the start, as `1d2h3m4.5s`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.since_start().fmt(f)
    }
}

/// As `1d2h3m4.5s`; zero is `0s`. The fraction is printed in full, so no two spans print alike.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let ns = self.0.unsigned_abs();
        let (whole, frac) = (ns / NANOS_PER_SEC as u64, ns % NANOS_PER_SEC as u64);
        let (d, h, m, s) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
        if d > 0 {
            write!(f, "{d}d")?;
        }
        if h > 0 {
            write!(f, "{h}h")?;
        }
        if m > 0 {
            write!(f, "{m}m")?;
        }
        if frac > 0 {
            let digits = format!("{frac:09}");
            return write!(f, "{s}.{}s", digits.trim_end_matches('0'));
        }
        if s > 0 || whole == 0 {
            write!(f, "{s}s")?;
        }
        Ok(())
    }
}

/// Which date instant zero is: whole seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    unix_seconds: i64,
}

impl Default for Epoch {
    /// 2025-01-01T00:00:00Z: any fixed date will do, and a Wednesday in winter has no surprises.
    fn default() -> Self {
        Epoch { unix_seconds: 1_735_689_600 }
    }
}

impl Epoch {
    /// An epoch from whole Unix seconds.
    pub const fn from_unix_seconds(unix_seconds: i64) -> Self {
        Epoch { unix_seconds }
    }

    /// Whole Unix seconds of instant zero.
    pub const fn unix_seconds(self) -> i64 {
        self.unix_seconds
    }

    /// The instant as the wire has it: RFC 3339 in UTC with whole seconds (`metav1.Time`).
    ///
    /// ```
    /// use sim_core::time::{Epoch, Time, mins};
    /// assert_eq!(Epoch::default().rfc3339(Time::ZERO + mins(5)), "2025-01-01T00:05:00Z");
    /// ```
    pub fn rfc3339(self, t: Time) -> String {
        self.timestamp(t.truncate_to_secs()).to_string()
    }

    /// The instant as a `jiff` timestamp; clamped to the range of years that `jiff` has.
    pub fn timestamp(self, t: Time) -> jiff::Timestamp {
        let ns = i128::from(self.unix_seconds) * i128::from(NANOS_PER_SEC) + i128::from(t.0);
        let clamped = ns.clamp(jiff::Timestamp::MIN.as_nanosecond(), jiff::Timestamp::MAX.as_nanosecond());
        jiff::Timestamp::from_nanosecond(clamped).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }

    /// The instant of a date; saturates at ±292 years around the epoch.
    pub fn time_of(self, date: jiff::Timestamp) -> Time {
        let ns = date.as_nanosecond() - i128::from(self.unix_seconds) * i128::from(NANOS_PER_SEC);
        Time(ns.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_print_as_people_write_them() {
        for (span, text) in [
            (Span::ZERO, "0s"),
            (secs(59), "59s"),
            (mins(5), "5m"),
            (hours(26) + millis(1500), "1d2h1.5s"),
            (nanos(1), "0.000000001s"),
            (Span(-NANOS_PER_SEC), "-1s"),
        ] {
            assert_eq!(span.to_string(), text);
        }
    }

    #[test]
    fn dates_and_instants_are_inverse() {
        let epoch = Epoch::from_unix_seconds(1_700_000_000);
        for t in [Time(0), Time(1), Time(-5), Time(secs(86_400 * 365).0)] {
            assert_eq!(epoch.time_of(epoch.timestamp(t)), t);
        }
    }
}
