//! Parts of timestamps and durations, in UTC or a zone given as an offset.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::string;
use crate::failure::Failure;
use crate::meter::Meter;
use crate::value::Value;

type Outcome = Result<Value, Failure>;

const NANOS: i64 = 1_000_000_000;

fn local(args: &[Value]) -> Result<DateTime, Failure> {
    let Some(Value::Timestamp(at)) = args.first() else { return Err(Failure::no_overload()) };
    let timestamp = jiff::Timestamp::new(at.seconds, at.nanos as i32)
        .map_err(|_| Failure::error("timestamp overflow"))?;
    let zone = if args.len() > 1 { zone(string(args, 1)?)? } else { TimeZone::UTC };
    Ok(zone.to_datetime(timestamp))
}

// DIFFERS: zones by name other than UTC are unknown, because the data of zones changes with the machine.
fn zone(name: &str) -> Result<TimeZone, Failure> {
    if matches!(name, "" | "UTC") {
        return Ok(TimeZone::UTC);
    }
    let unknown = || Failure::error(format!("unknown time zone {name}"));
    let (hours, minutes) = name.split_once(':').ok_or_else(unknown)?;
    let number = |text: &str| -> Result<i32, Failure> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let syntax = || Failure::error(format!("strconv.Atoi: parsing {text:?}: invalid syntax"));
        digits.parse().map_err(|_| syntax())
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minutes = if name.starts_with('-') {
        hours.saturating_mul(60).saturating_sub(minutes)
    } else {
        hours.saturating_mul(60).saturating_add(minutes)
    };
    Offset::from_seconds(minutes.saturating_mul(60))
        .map(|offset| offset.to_time_zone())
        .map_err(|_| unknown())
}

fn int(value: impl Into<i64>) -> Outcome {
    Ok(Value::Int(value.into()))
}

pub(crate) fn year(_: &mut Meter, args: &[Value]) -> Outcome {
    int(local(args)?.year())
}

/// From zero.
pub(crate) fn month(_: &mut Meter, args: &[Value]) -> Outcome {
    int(local(args)?.month() - 1)
}

/// From zero.
pub(crate) fn day_of_year(_: &mut Meter, args: &[Value]) -> Outcome {
    int(local(args)?.day_of_year() - 1)
}

/// From zero.
pub(crate) fn day_of_month(_: &mut Meter, args: &[Value]) -> Outcome {
    int(local(args)?.day() - 1)
}

/// From one.
pub(crate) fn date(_: &mut Meter, args: &[Value]) -> Outcome {
    int(local(args)?.day())
}

/// From Sunday, zero.
pub(crate) fn day_of_week(_: &mut Meter, args: &[Value]) -> Outcome {
    int(local(args)?.weekday().to_sunday_zero_offset())
}

pub(crate) fn hours(_: &mut Meter, args: &[Value]) -> Outcome {
    match args {
        [Value::Duration(nanos)] => int(nanos / (3600 * NANOS)),
        _ => int(local(args)?.hour()),
    }
}

pub(crate) fn minutes(_: &mut Meter, args: &[Value]) -> Outcome {
    match args {
        [Value::Duration(nanos)] => int(nanos / (60 * NANOS)),
        _ => int(local(args)?.minute()),
    }
}

pub(crate) fn seconds(_: &mut Meter, args: &[Value]) -> Outcome {
    match args {
        [Value::Duration(nanos)] => int(nanos / NANOS),
        _ => int(local(args)?.second()),
    }
}

pub(crate) fn milliseconds(_: &mut Meter, args: &[Value]) -> Outcome {
    match args {
        [Value::Duration(nanos)] => int(nanos / 1_000_000),
        _ => int(local(args)?.millisecond()),
    }
}
