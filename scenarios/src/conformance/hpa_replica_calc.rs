//! `controllers/hpa_replica_calc.json`: how many replicas metrics ask for.

use serde_json::Value;
use sim_controllers::horizontal::replicas::{
    Moment, PodFacts, Proposal, Readiness, Requests, Sample, Samples, Stage, Target, Tolerances, Warmup,
    by_value_per_pod,
};
use sim_core::quantity::Quantity;
use sim_core::time::{Time, days, mins, secs};
use smol_str::SmolStr;

use super::controllers::{equal, number};

/// Go's zero time is instant zero here.
const NOW: Time = Time(days(36_500).0);

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let pods = pods(input);
    let side = |field: &str| input["tolerances"][field].as_f64().unwrap_or(0.1);
    let moment = Moment {
        now: NOW,
        current: number(input, "currentReplicas") as i32,
        tolerances: Tolerances { scale_down: side("scaleDown"), scale_up: side("scaleUp") },
        warmup: Warmup { cpu_initialization: mins(2), initial_readiness_delay: secs(10) },
        pods: &pods,
    };
    let (metric, found) = match &input["resource"] {
        Value::Null => (&input["metric"], of_metric(&moment, &input["metric"], input)),
        resource => (resource, of_resource(&moment, resource, input)),
    };
    if let Some(want) = expected["expectedError"].as_str() {
        let error = found.err().ok_or("no error")?;
        return if error.contains(want) { Ok(()) } else { Err(format!("error: {error}\nwant: {want}")) };
    }
    let found = found?;
    equal("replicas", i64::from(found.replicas), number(expected, "expectedReplicas"))?;
    if let Some(utilization) = found.utilization {
        equal("utilization", i64::from(utilization), number(metric, "expectedUtilization"))?;
        return equal("usage", found.usage, number(metric, "expectedValue"));
    }
    equal("usage", found.usage, number(metric, "expectedUsage"))
}

fn of_resource(moment: &Moment<'_>, resource: &Value, input: &Value) -> Result<Proposal, String> {
    let name = resource["name"].as_str().unwrap_or_default();
    let container = input["container"].as_str().unwrap_or_default();
    let levels = resource["levels"].as_array().map_or(&[][..], Vec::as_slice);
    if levels.is_empty() {
        return Err(format!(
            "unable to get metrics for resource {name}: no metrics returned from resource metrics API"
        ));
    }
    let mut samples = Samples::new();
    for (i, level) in levels.iter().enumerate() {
        let pod = resource["podNames"][i].as_str().map_or_else(|| pod_name(i), SmolStr::new);
        let of_containers = level.as_array().map_or(&[][..], Vec::as_slice);
        let chosen = match container {
            "" => of_containers.iter().try_fold(0, |sum, v| Some(sum + v.as_i64()?)),
            "container1" => of_containers.first().and_then(Value::as_i64),
            _ => of_containers.get(1).and_then(Value::as_i64),
        };
        samples.extend(chosen.map(|value| (pod, sample(input, value))));
    }
    let mut requests = Requests::new();
    for (i, pod) in moment.pods.iter().enumerate() {
        let Some(text) = resource["requests"][i].as_str() else {
            return Err(format!("missing request for {name} in container container1 of Pod {}", pod.name));
        };
        let quantity: Quantity = text.parse().map_err(|e| format!("{text}: {e}"))?;
        let containers = if container.is_empty() { 2 } else { 1 };
        requests.insert(pod.name.clone(), quantity.milli_value() * containers);
    }
    let target = Target::Utilization(number(resource, "targetUtilization") as i32, &requests);
    moment.by_pods(target, name == "cpu", samples)
}

fn of_metric(moment: &Moment<'_>, metric: &Value, input: &Value) -> Result<Proposal, String> {
    let levels: Vec<i64> =
        metric["levels"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    let (target, per_pod) = (number(metric, "targetUsage"), number(metric, "perPodTargetUsage"));
    let in_all = levels.iter().fold(0_i64, |sum, level| sum.saturating_add(*level));
    match number(metric, "metricType") {
        0 | 2 => moment.by_value(target, in_all),
        1 | 3 => Ok(by_value_per_pod(moment.current, moment.tolerances, per_pod, in_all)),
        _ => {
            let samples = levels.iter().enumerate().map(|(i, value)| (pod_name(i), sample(input, *value)));
            moment.by_pods(Target::Average(target), false, samples.collect())
        }
    }
}

fn pod_name(i: usize) -> SmolStr {
    SmolStr::from(format!("test-pod-{i}"))
}

fn sample(input: &Value, value: i64) -> Sample {
    Sample { value, at: before_now(&input["timestamp"]), window: mins(1) }
}

/// `{secondsBeforeNow: N}`; Go's zero time without it.
fn before_now(value: &Value) -> Time {
    let seconds = value["secondsBeforeNow"].as_i64();
    seconds.map_or(Time::ZERO, |seconds| Time(NOW.0 - secs(seconds).0))
}

fn pods(input: &Value) -> Vec<PodFacts> {
    let phases = input["podPhase"].as_array().map_or(0, Vec::len);
    let pod = |i: usize| PodFacts {
        name: pod_name(i),
        stage: match input["podPhase"][i].as_str() {
            _ if input["podDeletionTimestamp"][i] == true => Stage::Gone,
            Some("Failed") => Stage::Gone,
            Some("Pending") => Stage::Pending,
            Some("Running") | None => Stage::Running,
            Some(_) => Stage::Other,
        },
        started: Some(before_now(&input["podStartTime"][i])),
        ready: Some(Readiness {
            status: match input["podReadiness"][i].as_str() {
                Some("False") => Some(false),
                Some("Unknown") => None,
                _ => Some(true),
            },
            since: Some(Time::ZERO),
        }),
    };
    (0..phases.max(number(input, "currentReplicas") as usize)).map(pod).collect()
}
