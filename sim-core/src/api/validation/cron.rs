//! CronJobs. Upstream: `pkg/apis/batch/validation`; schedules as `github.com/robfig/cron/v3` reads them.

use k8s_openapi::api::batch::v1::JobSpec;
use serde_json::Value;

use super::common::{non_negative, one_of};
use super::field::{Errors, Path, Shown};
use super::job;
use crate::api::meta::Meta;
use crate::api::wire::decode_value;

/// Names of the time zones that exist, sorted: those of the IANA database (2025).
const TIME_ZONES: &str = include_str!("time_zones.txt");

const TZ: &str = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";

/// Longest name: a Job's name is the CronJob's and 11 characters.
const LONGEST_NAME: usize = 52;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

/// `ValidateCronJobCreate` and `ValidateCronJobUpdate`, without the metadata.
pub(super) fn cron_job(e: &mut Errors, meta: &Meta, body: &Value, old: Option<&Value>) {
    let path = Path::root("spec");
    let none = Value::Null;
    let spec = body.get("spec").unwrap_or(&none);
    let old_spec = old.map(|old| old.get("spec").unwrap_or(&none));
    let number = |field: &str| spec.get(field).and_then(Value::as_i64).unwrap_or_default();
    let zone = spec.get("timeZone").and_then(Value::as_str);
    let given = text(spec, "schedule");
    let grandfathered = old_spec.is_some_and(|old| text(old, "schedule").contains("TZ"));
    schedule(e, &path.child("schedule"), given, grandfathered, zone.is_some());
    non_negative(e, &path.child("startingDeadlineSeconds"), number("startingDeadlineSeconds"));
    if old_spec.is_none_or(|old| old.get("timeZone").and_then(Value::as_str) != zone)
        && let Some(zone) = zone
    {
        time_zone(e, &path.child("timeZone"), zone);
    }
    let policy = text(spec, "concurrencyPolicy");
    one_of(e, &path.child("concurrencyPolicy"), policy, &["Allow", "Forbid", "Replace"]);
    job_template(e, &path.child("jobTemplate"), spec.pointer("/jobTemplate/spec").unwrap_or(&none));
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        non_negative(e, &path.child(field), number(field));
    }
    if old.is_none() && meta.name().len() > LONGEST_NAME {
        let metadata = Path::root("metadata");
        let detail = format!("must be no more than {LONGEST_NAME} characters");
        e.invalid(&metadata.child("name"), meta.name(), &detail);
    }
}

/// `ValidateJobTemplateSpec`: selectors are made by the API server.
fn job_template(e: &mut Errors, path: &Path<'_>, spec: &Value) {
    let Ok(spec) = decode_value::<JobSpec>(spec) else { return };
    let path = path.child("spec");
    job::template(e, &path, &spec);
    if let Some(selector) = &spec.selector {
        e.invalid(&path.child("selector"), Shown::json(selector), "`selector` will be auto-generated");
    }
    if spec.manual_selector == Some(true) {
        e.not_supported(&path.child("manualSelector"), true, &["nil", "false"]);
    }
}

/// `validateTimeZone`.
fn time_zone(e: &mut Errors, path: &Path<'_>, zone: &str) {
    if zone.is_empty() {
        return e.invalid(path, zone, "timeZone must be nil or non-empty string");
    }
    let is_local = zone.eq_ignore_ascii_case("Local");
    if is_local {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        e.invalid(path, zone, detail);
    }
    let known = zone == "Local" || TIME_ZONES.lines().any(|name| name == zone);
    if !known {
        e.invalid(path, zone, &format!("unknown time zone {zone}"));
    }
}

fn schedule(e: &mut Errors, path: &Path<'_>, schedule: &str, grandfathered: bool, has_zone: bool) {
    if schedule.is_empty() {
        return e.required(path, "");
    }
    if let Some(why) = complaint(schedule) {
        e.invalid(path, schedule, &why);
    }
    match (schedule.contains("TZ"), grandfathered) {
        (true, false) => e.invalid(path, schedule, TZ),
        (true, true) if has_zone => {
            e.invalid(path, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
        }
        _ => {}
    }
}

/// A field of a schedule: its least and greatest value, and their names.
struct Bounds {
    min: u64,
    max: u64,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Bounds; 5] = [
    Bounds { min: 0, max: 59, names: &[] },
    Bounds { min: 0, max: 23, names: &[] },
    Bounds { min: 1, max: 31, names: &[] },
    Bounds { min: 1, max: 12, names: MONTHS },
    Bounds { min: 0, max: 6, names: DAYS },
];

/// What is wrong with a schedule (`cron.ParseStandard`).
pub(super) fn complaint(schedule: &str) -> Option<String> {
    let mut rest = schedule;
    if let Some((_, after)) = schedule.split_once('=').filter(|(name, _)| matches!(*name, "TZ" | "CRON_TZ")) {
        // DIFFERS: upstream panics if no space follows.
        let (zone, fields) = after.split_once(' ').unwrap_or((after, ""));
        if !zone.is_empty() && zone != "Local" && !TIME_ZONES.lines().any(|name| name == zone) {
            return Some(format!("provided bad location {zone}: unknown time zone {zone}"));
        }
        rest = fields.trim();
    }
    if rest.starts_with('@') {
        return descriptor(rest);
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Some(format!(
            "expected exactly {} fields, found {}: [{}]",
            FIELDS.len(),
            fields.len(),
            fields.join(" ")
        ));
    }
    let of_field = |(field, bounds): (&&str, &Bounds)| {
        field.split(',').filter(|part| !part.is_empty()).find_map(|part| range(part, bounds).err())
    };
    fields.iter().zip(&FIELDS).find_map(of_field)
}

fn descriptor(text: &str) -> Option<String> {
    const KNOWN: [&str; 7] =
        ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
    if let Some(every) = text.strip_prefix("@every ") {
        let parsed = every.parse::<crate::duration::Duration>();
        return parsed.err().map(|why| format!("failed to parse duration {text}: {why}"));
    }
    (!KNOWN.contains(&text)).then(|| format!("unrecognized descriptor: {text}"))
}

/// `number | number - number [ / number ]`, where `*` and `?` mean all.
fn range(text: &str, bounds: &Bounds) -> Result<(), String> {
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let (start, mut end) = if matches!(ends[0], "*" | "?") {
        (bounds.min, bounds.max)
    } else {
        let start = value(ends[0], bounds)?;
        match ends.as_slice() {
            [_] => (start, start),
            [_, last] => (start, value(last, bounds)?),
            _ => return Err(format!("too many hyphens: {text}")),
        }
    };
    let step = match parts.as_slice() {
        [_] => 1,
        [_, step] => {
            let step = number(step)?;
            if ends.len() == 1 {
                end = bounds.max;
            }
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    if start < bounds.min {
        return Err(format!("beginning of range ({start}) below minimum ({}): {text}", bounds.min));
    }
    if end > bounds.max {
        return Err(format!("end of range ({end}) above maximum ({}): {text}", bounds.max));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(())
}

fn value(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let name = text.to_lowercase();
    match bounds.names.iter().position(|known| *known == name) {
        Some(i) => Ok(i as u64 + bounds.min),
        None => number(text),
    }
}

/// A number as Go's `strconv.Atoi` reads it, not negative.
fn number(text: &str) -> Result<u64, String> {
    let quoted = crate::syntax::go_quote(text);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let why = match text.parse::<i64>() {
        Ok(n) if n < 0 => return Err(format!("negative number ({n}) not allowed: {text}")),
        Ok(n) => return Ok(n.unsigned_abs()),
        Err(_) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => "value out of range",
        Err(_) => "invalid syntax",
    };
    Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {quoted}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::{TIME_ZONES, complaint};

    #[test]
    fn schedules_are_read_as_upstream_reads_them() {
        for (schedule, expected) in [
            ("*/5 * * * *", ""),
            ("0 0 30 2 *", ""),
            ("0,30 8-18/2 1 JAN-Mar ?", ""),
            ("5/10 * * * sun", ""),
            ("@hourly", ""),
            ("@every 1h30m", ""),
            ("TZ=Europe/Berlin 0 0 * * *", ""),
            ("0 * * * * *", "expected exactly 5 fields, found 6: [0 * * * * *]"),
            ("0 0 * * 7", "end of range (7) above maximum (6): 7"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("0 0 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("*/2/3 * * * *", "too many slashes: */2/3"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("-1 * * * *", "failed to parse int from : strconv.Atoi: parsing \"\": invalid syntax"),
            ("@often", "unrecognized descriptor: @often"),
            ("CRON_TZ=Mars/Base * * * * *", "provided bad location Mars/Base: unknown time zone Mars/Base"),
        ] {
            assert_eq!(complaint(schedule).unwrap_or_default(), expected, "{schedule}");
        }
    }

    #[test]
    fn the_list_of_time_zones_is_sorted_and_whole() {
        let zones: Vec<&str> = TIME_ZONES.lines().collect();
        assert!(zones.is_sorted() && zones.len() > 500);
        for zone in ["UTC", "Etc/UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"] {
            assert!(zones.contains(&zone), "{zone}");
        }
    }
}
