//! `controllers/hpa_behavior.json`: stabilisation, limits of speed, bounds. Which function a vector is about shows in its
//! name.

use k8s_openapi::api::autoscaling::v2::HPAScalingRules;
use serde_json::Value;
use sim_controllers::horizontal::behavior::{History, Recommendation, ScaleEvent, limit_plain};
use sim_core::time::{Time, hours, mins, secs};

use super::controllers::{equal, list, number};

/// Now.
const NOW: Time = Time(hours(1000).0);

fn before_now(value: &Value) -> Time {
    Time(NOW.0 - secs(number(&value["timestamp"], "secondsBeforeNow")).0)
}

fn int(value: &Value, field: &str) -> i32 {
    number(value, field) as i32
}

fn recommendations(value: &Value) -> Result<Vec<Recommendation>, String> {
    list(value, |entry| Ok(Recommendation { replicas: int(entry, "recommendation"), at: before_now(entry) }))
}

fn events(value: &Value) -> Result<Vec<ScaleEvent>, String> {
    list(value, |entry| Ok(ScaleEvent { change: int(entry, "replicaChange"), at: before_now(entry) }))
}

/// Rules as the API server would have filled them; a table without them means the defaults.
fn rules(value: &Value, direction: &str) -> Result<HPAScalingRules, String> {
    let default = match direction {
        "up" => serde_json::json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]}),
        _ => serde_json::json!({"selectPolicy": "Max", "policies": [
            {"type": "Percent", "value": 100, "periodSeconds": 15}]}),
    };
    let value = if value.is_null() { &default } else { value };
    serde_json::from_value(value.clone()).map_err(|e| e.to_string())
}

/// `convertDesiredReplicasWithRules`.
pub(crate) fn plain_rules(input: &Value, expected: &Value) -> Result<(), String> {
    let bounds = [int(input, "hpaMinReplicas"), int(input, "hpaMaxReplicas")];
    // Upstream's table sets the factor to 8 for all of its package.
    let (replicas, why, _) =
        limit_plain(8.0, bounds, int(input, "currentReplicas"), int(expected, "expectedDesiredReplicas"));
    equal("replicas", replicas, int(expected, "expectedConvertedDesiredReplicas"))?;
    equal("reason", why, expected["expectedCondition"].as_str().unwrap_or_default())
}

/// `stabilizeRecommendation`.
pub(crate) fn stabilized(input: &Value, expected: &Value) -> Result<(), String> {
    let mut history =
        History { recommendations: recommendations(&input["recommendations"])?, ..History::default() };
    let ours = history.stabilize(NOW, mins(5), int(input, "prenormalizedDesiredReplicas"));
    equal("replicas", ours, int(expected, "expectedStabilizedReplicas"))?;
    equal("entries", history.recommendations.len() as i64, number(expected, "expectedLogLength"))
}

/// `stabilizeRecommendationWithBehaviors`.
pub(crate) fn stabilized_both(input: &Value, expected: &Value) -> Result<(), String> {
    let mut history =
        History { recommendations: recommendations(&input["recommendations"])?, ..History::default() };
    let window = |direction| secs(number(input, direction));
    let windows =
        (window("scaleUpStabilizationWindowSeconds"), window("scaleDownStabilizationWindowSeconds"));
    let (current, desired) = (int(input, "currentReplicas"), int(input, "prenormalizedDesiredReplicas"));
    let (ours, _, _) = history.stabilize_both(NOW, windows, current, desired);
    equal("replicas", ours, int(expected, "expectedStabilizedReplicas"))?;
    if expected["expectedRecommendations"].is_null() {
        return Ok(());
    }
    // Upstream's table compares the numbers alone.
    let numbers = |list: Vec<Recommendation>| list.iter().map(|entry| entry.replicas).collect::<Vec<_>>();
    let want = recommendations(&expected["expectedRecommendations"])?;
    equal("recommendations", numbers(history.recommendations), numbers(want))
}

/// `convertDesiredReplicasWithBehaviorRate`.
pub(crate) fn limited(input: &Value, expected: &Value) -> Result<(), String> {
    let history = History {
        ups: events(&input["scaleUpEvents"])?,
        downs: events(&input["scaleDownEvents"])?,
        ..History::default()
    };
    let (up, down) = (rules(&input["scaleUpRules"], "up")?, rules(&input["scaleDownRules"], "down")?);
    let (ours, why, _) = history.limit(
        NOW,
        [Some(&up), Some(&down)],
        [int(input, "specMinReplicas"), int(input, "specMaxReplicas")],
        int(input, "currentReplicas"),
        int(input, "prenormalizedDesiredReplicas"),
    );
    equal("replicas", ours, int(expected, "expectedReplicas"))?;
    equal("reason", why, expected["expectedCondition"].as_str().unwrap_or_default())
}

/// `getReplicasChangePerPeriod` and `storeScaleEvent`, in both directions as upstream's table does it.
pub(crate) fn stored(input: &Value, expected: &Value) -> Result<(), String> {
    let rules: Option<HPAScalingRules> =
        serde_json::from_value(input["scalingRules"].clone()).map_err(|e| e.to_string())?;
    let changed = |up: bool| -> Result<Vec<i32>, String> {
        let list = events(&input["prevScaleEvents"])?;
        let mut history = History::default();
        *(if up { &mut history.ups } else { &mut history.downs }) = list;
        // Without behavior nothing is remembered at all.
        if rules.is_some() {
            let change = int(input, "replicaChange");
            let (previous, new) = if up { (10, 10 + change) } else { (10 + change, 10) };
            history.changed(NOW, rules.as_ref(), previous, new);
        }
        let list = if up { history.ups } else { history.downs };
        Ok(list.iter().map(|event| event.change).collect())
    };
    let want: Vec<i32> = events(&input["newScaleEvents"])?.iter().map(|event| event.change).collect();
    for up in [true, false] {
        equal("events", changed(up)?, want.clone())?;
    }
    let longest = rules.iter().flat_map(|rules| rules.policies.iter().flatten());
    let longest = longest.map(|policy| policy.period_seconds).max().unwrap_or(0);
    let history = History { ups: events(&input["prevScaleEvents"])?, ..History::default() };
    equal("change", history.changes(NOW, longest, true), int(expected, "expectedReplicasChange"))
}
