//! From what metrics ask for to what is set: stabilisation, limits of speed, bounds (`podautoscaler/horizontal.go`).

use k8s_openapi::api::autoscaling::v2::HPAScalingRules;
use sim_core::time::{Span, Time, secs};

/// What was asked for, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recommendation {
    /// Replicas.
    pub replicas: i32,
    /// When.
    pub at: Time,
}

/// A change that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleEvent {
    /// How many replicas, whatever the direction.
    pub change: i32,
    /// When.
    pub at: Time,
}

/// What an autoscaler remembers of its past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What metrics asked for. Entries that are too old are written over, so the list is not in order of time.
    pub recommendations: Vec<Recommendation>,
    /// Changes upwards.
    pub ups: Vec<ScaleEvent>,
    /// Changes downwards.
    pub downs: Vec<ScaleEvent>,
}

/// A number of replicas, why it is that, and the text of the condition.
pub type Reasoned = (i32, &'static str, &'static str);

const WITHIN: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_FEW: (&str, &str) =
    ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const TOO_MANY: (&str, &str) =
    ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FAST_UP: (&str, &str) =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const TOO_FAST_DOWN: (&str, &str) =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");

fn reasoned(replicas: i32, (reason, message): (&'static str, &'static str)) -> Reasoned {
    (replicas, reason, message)
}

/// Writes over one that is too old, or appends.
fn put<T>(list: &mut Vec<T>, old: Option<usize>, new: T) {
    match old.and_then(|i| list.get_mut(i)) {
        Some(slot) => *slot = new,
        None => list.push(new),
    }
}

impl History {
    /// The highest that was asked for within the window, this time included; for autoscalers without behavior
    /// (`stabilizeRecommendation`).
    pub fn stabilize(&mut self, now: Time, window: Span, desired: i32) -> i32 {
        let cutoff = Time(now.0.saturating_sub(window.0));
        let recent = self.recommendations.iter().filter(|entry| entry.at >= cutoff);
        let highest = recent.map(|entry| entry.replicas).max().unwrap_or(desired).max(desired);
        let old = self.recommendations.iter().rposition(|entry| entry.at < cutoff);
        put(&mut self.recommendations, old, Recommendation { replicas: desired, at: now });
        highest
    }

    /// As near to what is asked for as the windows of both directions allow (`stabilizeRecommendationWithBehaviors`).
    pub fn stabilize_both(
        &mut self,
        now: Time,
        (up_window, down_window): (Span, Span),
        current: i32,
        desired: i32,
    ) -> Reasoned {
        let [up_cutoff, down_cutoff] = [up_window, down_window].map(|w| Time(now.0.saturating_sub(w.0)));
        let (mut lowest, mut highest, mut old) = (desired, desired, None);
        for (i, entry) in self.recommendations.iter().enumerate() {
            if entry.at > up_cutoff {
                lowest = lowest.min(entry.replicas);
            }
            if entry.at > down_cutoff {
                highest = highest.max(entry.replicas);
            }
            if entry.at < up_cutoff && entry.at < down_cutoff {
                old = Some(i);
            }
        }
        put(&mut self.recommendations, old, Recommendation { replicas: desired, at: now });
        let replicas = current.max(lowest).min(highest);
        if desired >= current {
            let text = "recent recommendations were lower than current one, applying the lowest recent recommendation";
            (replicas, "ScaleUpStabilized", text)
        } else {
            let text = "recent recommendations were higher than current one, applying the highest recent recommendation";
            (replicas, "ScaleDownStabilized", text)
        }
    }

    /// Remembers a change that was made, as long as policies of its direction look at it (`storeScaleEvent`).
    pub fn changed(&mut self, now: Time, rules: Option<&HPAScalingRules>, previous: i32, new: i32) {
        let longest = rules.iter().flat_map(|rules| rules.policies.iter().flatten());
        let longest = longest.map(|policy| policy.period_seconds).max().unwrap_or(0).max(0);
        let cutoff = Time(now.0.saturating_sub(secs(longest.into()).0));
        let list = if new > previous { &mut self.ups } else { &mut self.downs };
        let old = list.iter().rposition(|event| event.at < cutoff);
        let change = new.wrapping_sub(previous).wrapping_abs();
        put(list, old, ScaleEvent { change, at: now });
    }

    /// What the policies allow, and the bounds (`convertDesiredReplicasWithBehaviorRate`).
    pub fn limit(
        &self,
        now: Time,
        [up, down]: [Option<&HPAScalingRules>; 2],
        [min, max]: [i32; 2],
        current: i32,
        desired: i32,
    ) -> Reasoned {
        if desired > current {
            let fastest = self.fastest(now, up, current, true).max(current);
            let (most, why) = if max > fastest { (fastest, TOO_FAST_UP) } else { (max, TOO_MANY) };
            if desired > most {
                return reasoned(most, why);
            }
        } else if desired < current {
            let fastest = self.fastest(now, down, current, false).min(current);
            let (least, why) = if min < fastest { (fastest, TOO_FAST_DOWN) } else { (min, TOO_FEW) };
            if desired < least {
                return reasoned(least, why);
            }
        }
        reasoned(desired, WITHIN)
    }

    /// As far as the policies of a direction let replicas go now (`calculateScaleUpLimitWithScalingRules`,
    /// `calculateScaleDownLimitWithBehaviors`).
    fn fastest(&self, now: Time, rules: Option<&HPAScalingRules>, current: i32, up: bool) -> i32 {
        let select = rules.and_then(|rules| rules.select_policy.as_deref()).unwrap_or("Max");
        if select == "Disabled" {
            return current;
        }
        // The most change is the most replicas on the way up, and the fewest on the way down.
        let takes_highest = (select == "Min") != up;
        let mut result = if takes_highest { i32::MIN } else { i32::MAX };
        let mut proposed = 0_i32;
        for policy in rules.iter().flat_map(|rules| rules.policies.iter().flatten()) {
            let start = current
                .wrapping_sub(self.changes(now, policy.period_seconds, true))
                .wrapping_add(self.changes(now, policy.period_seconds, false));
            let part = f64::from(policy.value) / 100.0;
            match (policy.type_.as_str(), up) {
                ("Pods", true) => proposed = start.wrapping_add(policy.value),
                ("Pods", false) => proposed = start.wrapping_sub(policy.value),
                ("Percent", true) => proposed = (f64::from(start) * (1.0 + part)).ceil() as i32,
                ("Percent", false) => proposed = (f64::from(start) * (1.0 - part)) as i32,
                _ => {}
            }
            result = if takes_highest { result.max(proposed) } else { result.min(proposed) };
        }
        result
    }

    /// Replicas that came or went within a period (`getReplicasChangePerPeriod`).
    pub fn changes(&self, now: Time, period_seconds: i32, up: bool) -> i32 {
        let cutoff = Time(now.0.saturating_sub(secs(period_seconds.into()).0));
        let list = if up { &self.ups } else { &self.downs };
        list.iter()
            .filter(|event| event.at > cutoff)
            .fold(0, |sum: i32, event| sum.wrapping_add(event.change))
    }
}

/// How many times the replicas there are may be wanted at once, without behavior (`scaleUpLimitFactor`).
pub const SCALE_UP_FACTOR: f64 = 2.0;

/// The bounds, and some times (`factor`) the replicas there are, at least 4, at once; for autoscalers without behavior
/// (`convertDesiredReplicasWithRules`).
pub fn limit_plain(factor: f64, [min, max]: [i32; 2], current: i32, desired: i32) -> Reasoned {
    let fastest = (factor * f64::from(current)).max(4.0) as i32;
    let (most, why) = if max > fastest { (fastest, TOO_FAST_UP) } else { (max, TOO_MANY) };
    if desired < min {
        reasoned(min, TOO_FEW)
    } else if desired > most {
        reasoned(most, why)
    } else {
        reasoned(desired, WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use sim_core::time::mins;

    use super::*;

    fn at(minute: i64) -> Time {
        Time::ZERO + mins(minute)
    }

    fn rules(policies: &[(&str, i32, i32)], select: &str) -> HPAScalingRules {
        let policies: Vec<_> = policies
            .iter()
            .map(|(kind, value, seconds)| {
                serde_json::json!({"type": kind, "value": value, "periodSeconds": seconds})
            })
            .collect();
        serde_json::from_value(serde_json::json!({"selectPolicy": select, "policies": policies})).unwrap()
    }

    #[test]
    fn the_highest_of_the_window_holds_against_scaling_down() {
        let mut history = History::default();
        let mut asked = |minute, desired| history.stabilize(at(minute), mins(5), desired);
        assert_eq!([asked(0, 8), asked(3, 4), asked(5, 4), asked(6, 4), asked(20, 1)], [8, 8, 8, 4, 1]);
        assert_eq!(history.recommendations.len(), 3, "old entries are written over");
    }

    #[test]
    fn windows_of_both_directions() {
        let mut history = History::default();
        let mut asked = |minute, current, desired| {
            history.stabilize_both(at(minute), (mins(2), mins(5)), current, desired).0
        };
        // Up waits until all of two minutes ask for more, down until all of five ask for less.
        let got =
            [asked(0, 4, 4), asked(1, 4, 9), asked(3, 4, 9), asked(4, 9, 2), asked(8, 9, 2), asked(9, 9, 2)];
        assert_eq!(got, [4, 4, 9, 9, 2, 2]);
    }

    #[test]
    fn policies_limit_the_speed() {
        let mut history = History::default();
        let up = rules(&[("Pods", 4, 60), ("Percent", 100, 60)], "Max");
        let limit = |history: &History, minute, current, desired| {
            history.limit(at(minute), [Some(&up), None], [1, 100], current, desired)
        };
        assert_eq!(limit(&history, 0, 2, 50).0, 6);
        history.changed(at(0), Some(&up), 2, 6);
        assert_eq!(limit(&history, 0, 6, 50), (6, "ScaleUpLimit", TOO_FAST_UP.1), "the minute began with 2");
        assert_eq!(limit(&history, 2, 6, 50).0, 12);
        assert_eq!(limit(&history, 2, 6, 8).1, "DesiredWithinRange");
        let (slow, none) = (rules(&[("Pods", 4, 60), ("Percent", 10, 60)], "Min"), rules(&[], "Disabled"));
        let down = |rules, desired| history.limit(at(2), [None, Some(rules)], [1, 100], 20, desired).0;
        assert_eq!([down(&slow, 5), down(&none, 5)], [18, 20]);
    }

    #[test]
    fn without_behavior() {
        for (current, desired, want) in [(3, 1, 2), (3, 9, 6), (1, 9, 4), (50, 60, 40), (3, 4, 4)] {
            let (replicas, _, _) = limit_plain(SCALE_UP_FACTOR, [2, 40], current, desired);
            assert_eq!(replicas, want, "{current} to {desired}");
        }
    }
}
