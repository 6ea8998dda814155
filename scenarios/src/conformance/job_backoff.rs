//! `controllers/job_backoff.json`: back-off of failed pods. Which function a vector is about shows in its fields.

use serde_json::Value;
use sim_controllers::job::backoff::{Record, finished_at, remaining};
use sim_controllers::job::pods::index_failures_absolute;
use sim_core::time::{Span, Time, mins, secs};

use super::controllers::{equal, list, number, pod, time};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    if let Some(want) = expected.get("wantBackoffRecord") {
        let times = |field: &str| list(&input[field], |t| Ok(time(t)?.unwrap_or_default()));
        let record = Record::default().after(&times("newSucceededPods")?, &times("newFailedPods")?);
        equal("failures", i64::from(record.failures), number(want, "failuresAfterLastSuccess"))?;
        return equal("last failure", record.last_failure, time(&want["lastFailureTime"])?);
    }
    if let Some(want) = expected.get("wantFinishTime") {
        let object = pod(&present(&input["pod"]))?;
        let ours = finished_at(&object, object.as_pod().ok_or("not a Pod")?);
        return equal("finish time", Some(ours), time(want)?);
    }
    let (failures, last) = match (input.get("backoffRecord"), input.get("lastFailedPod")) {
        (Some(record), _) => (number(record, "failuresAfterLastSuccess"), time(&record["lastFailureTime"])?),
        (None, Some(failed)) => {
            let object = pod(failed)?;
            let at = finished_at(&object, object.as_pod().ok_or("not a Pod")?);
            (i64::from(index_failures_absolute(&object)) + 1, Some(at))
        }
        (None, None) => (0, None),
    };
    let now = time(&input["currentTime"])?.unwrap_or(Time::ZERO);
    let (base, max) = (duration(&input["defaultBackoff"])?, duration(&input["maxBackoff"])?);
    let ours = remaining(base, max, failures as u32, last, now);
    equal("delay", ours, duration(&expected["wantDuration"])?)
}

/// A container that ended without a time has not ended, for Go's zero time.
fn present(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let lists = ["containerStatuses", "initContainerStatuses"];
    for list in lists {
        for status in pod["status"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let state = &mut status["state"];
            if state["terminated"].is_object() && state["terminated"]["finishedAt"].is_null() {
                *state = serde_json::json!({});
            }
        }
    }
    pod
}

/// A duration in minutes and seconds, as `11m40s`.
fn duration(value: &Value) -> Result<Span, String> {
    let text = value.as_str().unwrap_or("0s");
    let bad = || format!("{text}: not a duration");
    let (minutes, rest) = text.split_once('m').unwrap_or(("0", text));
    let seconds: i64 = rest.strip_suffix('s').ok_or_else(bad)?.parse().map_err(|_| bad())?;
    Ok(mins(minutes.parse().map_err(|_| bad())?) + secs(seconds))
}
