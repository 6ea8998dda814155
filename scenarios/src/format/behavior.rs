//! `behaviors`: what containers do.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use sim_core::engine::timing::Delay;
use sim_core::quantity::Quantity;
use sim_core::time::Span;
use sim_kubelet::behavior::{Behavior, Behaviors, Demand, Match, Run};
use sim_kubelet::images::ImageFacts;
use sim_kubelet::probes::Outcomes;

use super::compact::{Compact, compact};
use super::duration::Duration;
use super::text::Text;
use super::timing::{DelaySpec, Distribution};

/// What the containers that a rule matches do. The first rule that matches a container wins; annotations
/// `wavetank.dev/*` on a pod override it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BehaviorSpec {
    /// Which containers; all, if absent.
    #[serde(default, rename = "match")]
    pub matches: MatchSpec,
    /// From the start until the container could be ready (its startup probe succeeds).
    pub startup: Option<DelaySpec>,
    /// From the start until it exits by itself; `forever`.
    pub run: Option<RunTime>,
    /// Code of that exit; 0 if absent.
    pub exit_code: Option<i32>,
    /// How the first run ends, the second (after one restart), …; the last stands for all later ones.
    #[serde(default)]
    pub by_restart: Vec<RunSpec>,
    /// How a run ends by completion index of an Indexed Job.
    #[serde(default)]
    pub by_index: BTreeMap<String, RunSpec>,
    /// Until the readiness probe succeeds; as `startup`, if absent.
    pub ready_after: Option<DelaySpec>,
    /// What the readiness probe sees over time.
    pub readiness: Option<Vec<Answer>>,
    /// What the liveness probe sees over time.
    pub liveness: Option<Vec<Answer>>,
    /// From the stop signal to the exit.
    pub stop: Option<DelaySpec>,
    /// Takes no notice of the stop signal: it is killed at the end of the grace.
    pub ignores_sigterm: Option<bool>,
    /// Code of an exit on the stop signal.
    pub stop_exit_code: Option<i32>,
    /// Time its preStop hook takes.
    pub pre_stop: Option<DelaySpec>,
    /// Time its postStart hook takes.
    pub post_start: Option<DelaySpec>,
    /// Its postStart hook fails.
    pub post_start_fails: Option<bool>,
    /// Its image.
    pub image: Option<ImageSpec>,
    /// CPU it uses over time, e.g. 250m.
    pub cpu: Option<DemandSpec>,
    /// Memory it uses over time, e.g. 512Mi.
    pub memory: Option<DemandSpec>,
}

/// Which containers a rule is for. What is absent matches everything.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchSpec {
    /// Namespace.
    pub namespace: Option<String>,
    /// Labels that the pod has.
    #[serde(default)]
    pub labels: BTreeMap<String, Text>,
    /// Pod name; `*` stands for any text.
    pub name: Option<String>,
    /// Container name; `*` stands for any text.
    pub container: Option<String>,
}

/// From the start of a container to its own exit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RunTime {
    /// It never exits by itself.
    Forever,
    /// After this time.
    For(Delay),
}

impl Compact for RunTime {
    type Long = Distribution;
    const EXPECTED: &'static str =
        "`forever`, a duration such as 90s, or a distribution such as {uniform: [1s, 5s]}";
    const NAME: &'static str = "RunTime";
    const SHORT: &'static [&'static str] = &["string", "integer"];

    fn from_text(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(RunTime::Forever);
        }
        let duration: Duration = text.parse().map_err(|e| format!("{e}, or `forever`"))?;
        Ok(RunTime::For(Delay::Constant(duration.0)))
    }

    fn from_long(long: Distribution) -> Result<Self, String> {
        DelaySpec::from_long(long).map(|delay| RunTime::For(delay.0))
    }
}
compact!(RunTime);

/// How one run ends.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RunSpec {
    /// From the start until it exits by itself; `forever`.
    pub run: RunTime,
    /// Code of that exit.
    #[serde(default)]
    pub exit_code: i32,
}

impl RunSpec {
    fn to_run(&self) -> Run {
        let time = match self.run {
            RunTime::Forever => None,
            RunTime::For(delay) => Some(delay),
        };
        Run { time, exit_code: self.exit_code }
    }
}

/// From a time on, a probe sees this.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// After the start of the container.
    #[serde(default)]
    pub after: Duration,
    /// True: success. False: failure.
    pub ok: bool,
}

/// An image.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// Bytes to pull, e.g. 80M.
    pub size: Option<Text>,
    /// Every pull fails with this text.
    pub error: Option<String>,
}

/// Demand for a resource over the life of a container.
#[derive(Clone, Debug, PartialEq)]
pub enum DemandSpec {
    /// Always the same.
    Constant(Text),
    /// Over time.
    OverTime(DemandOverTime),
}

/// Demand that changes.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DemandOverTime {
    /// From each offset on, this much.
    Steps(Vec<Point>),
    /// A sine around a mean.
    Wave(Wave),
    /// Points to go through in straight lines.
    Trace(Vec<Point>),
}

/// Demand at an offset.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// After the start of the container.
    #[serde(default)]
    pub after: Duration,
    /// How much.
    pub amount: Text,
}

/// A sine.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// Mean.
    pub mean: Text,
    /// Highest value minus mean.
    pub amplitude: Text,
    /// Length of one wave.
    pub period: Duration,
}

impl Compact for DemandSpec {
    type Long = DemandOverTime;
    const EXPECTED: &'static str =
        "a quantity such as 250m, or one of {steps: […]}, {wave: {…}}, {trace: […]}";
    const NAME: &'static str = "Demand";
    const SHORT: &'static [&'static str] = &["string", "number"];

    fn from_text(text: &str) -> Result<Self, String> {
        quantity(text, Unit::Milli)?;
        Ok(DemandSpec::Constant(Text(text.to_owned())))
    }

    fn from_long(long: DemandOverTime) -> Result<Self, String> {
        Ok(DemandSpec::OverTime(long))
    }
}
compact!(DemandSpec);

/// What a number counts.
#[derive(Clone, Copy)]
enum Unit {
    /// Thousandths (CPU).
    Milli,
    /// Whole units (bytes).
    One,
}

fn quantity(text: &str, unit: Unit) -> Result<i64, String> {
    let quantity: Quantity = text.parse().map_err(|e| format!("`{text}`: {e}"))?;
    let value = match unit {
        Unit::Milli => quantity.milli_value(),
        Unit::One => quantity.value(),
    };
    if value < 0 { Err(format!("`{text}` is negative")) } else { Ok(value) }
}

impl DemandSpec {
    fn to_demand(&self, unit: Unit) -> Result<Demand, String> {
        let read = |text: &Text| quantity(text.as_str(), unit);
        let points = |points: &[Point]| -> Result<Vec<(Span, i64)>, String> {
            if !points.is_sorted_by_key(|p| p.after) {
                return Err("the points are not in order of `after`".to_owned());
            }
            points.iter().map(|p| Ok((p.after.0, read(&p.amount)?))).collect()
        };
        Ok(match self {
            DemandSpec::Constant(amount) => Demand::Constant(read(amount)?),
            DemandSpec::OverTime(DemandOverTime::Steps(steps)) => Demand::Steps(points(steps)?),
            DemandSpec::OverTime(DemandOverTime::Trace(trace)) => Demand::Trace(points(trace)?.into()),
            DemandSpec::OverTime(DemandOverTime::Wave(wave)) => {
                if wave.period.0 <= Span::ZERO {
                    return Err("a wave of no length".to_owned());
                }
                Demand::Wave {
                    mean: read(&wave.mean)?,
                    amplitude: read(&wave.amplitude)?,
                    period: wave.period.0,
                }
            }
        })
    }
}

/// Answers in order of time as a first answer and its turns.
fn outcomes(answers: &[Answer]) -> Result<Outcomes, String> {
    if !answers.is_sorted_by(|a, b| a.after < b.after) {
        return Err("the answers are not in rising order of `after`".to_owned());
    }
    let first = match answers.first() {
        Some(answer) if answer.after.0 == Span::ZERO => answer.ok,
        // Nothing is said of the start: the opposite of what comes first.
        Some(answer) => !answer.ok,
        None => return Err("an empty list of answers".to_owned()),
    };
    let mut last = first;
    let mut turns = Vec::new();
    for answer in answers {
        if answer.ok != last {
            turns.push(answer.after.0);
            last = answer.ok;
        }
    }
    Ok(Outcomes { first, flips: turns.into_iter().collect() })
}

impl BehaviorSpec {
    /// The rule for the kubelet; `Err` is a field and what is wrong with it.
    pub fn to_rule(&self) -> Result<(Match, Arc<Behavior>), (&'static str, String)> {
        let at = |field: &'static str| move |message: String| (field, message);
        let delay = |spec: Option<DelaySpec>| spec.map(|d| d.0);
        let run = match (self.run, self.exit_code) {
            (None, None) => None,
            (Some(run), code) => Some(RunSpec { run, exit_code: code.unwrap_or(0) }.to_run()),
            (None, Some(_)) => {
                return Err(("exitCode", "an exit code without `run`: say when it exits".to_owned()));
            }
        };
        let image = match &self.image {
            None => None,
            Some(spec) => {
                let size = spec.size.as_ref().map(|s| quantity(s.as_str(), Unit::One)).transpose();
                Some(ImageFacts {
                    size: size.map_err(at("image.size"))?,
                    error: spec.error.as_deref().map(Into::into),
                })
            }
        };
        let answers = |list: &Option<Vec<Answer>>| list.as_deref().map(outcomes).transpose();
        let demand = |spec: &Option<DemandSpec>, unit| spec.as_ref().map(|d| d.to_demand(unit)).transpose();
        let behavior = Behavior {
            startup: delay(self.startup),
            run,
            by_restart: self.by_restart.iter().map(RunSpec::to_run).collect(),
            by_index: by_index(&self.by_index).map_err(at("byIndex"))?,
            ready_after: delay(self.ready_after),
            readiness: answers(&self.readiness).map_err(at("readiness"))?,
            liveness: answers(&self.liveness).map_err(at("liveness"))?,
            stop: delay(self.stop),
            ignores_sigterm: self.ignores_sigterm,
            stop_exit_code: self.stop_exit_code,
            pre_stop: delay(self.pre_stop),
            post_start: delay(self.post_start),
            post_start_fails: self.post_start_fails,
            image,
            cpu: demand(&self.cpu, Unit::Milli).map_err(at("cpu"))?,
            memory: demand(&self.memory, Unit::One).map_err(at("memory"))?,
        };
        Ok((self.matches.to_match(), Arc::new(behavior)))
    }
}

fn by_index(runs: &BTreeMap<String, RunSpec>) -> Result<BTreeMap<i32, Run>, String> {
    let read = |(index, run): (&String, &RunSpec)| match index.parse::<i32>() {
        Ok(number) if number >= 0 => Ok((number, run.to_run())),
        _ => Err(format!("`{index}` is not a completion index")),
    };
    runs.iter().map(read).collect()
}

impl MatchSpec {
    fn to_match(&self) -> Match {
        Match {
            namespace: self.namespace.as_deref().map(Into::into),
            labels: self.labels.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect(),
            pod: self.name.as_deref().map(Into::into),
            container: self.container.as_deref().map(Into::into),
        }
    }
}

/// All rules together; `Err` is the index of a rule, a field of it, and what is wrong.
pub fn behaviors(rules: &[BehaviorSpec]) -> Result<Behaviors, (usize, &'static str, String)> {
    let mut all = Behaviors::default();
    for (i, rule) in rules.iter().enumerate() {
        all.rules.push(rule.to_rule().map_err(|(field, message)| (i, field, message))?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use sim_core::time::secs;

    fn rule(value: Value) -> Result<Behavior, String> {
        let spec: BehaviorSpec = serde_json::from_value(value).map_err(|e| e.to_string())?;
        spec.to_rule()
            .map(|(_, b)| Behavior::clone(&b))
            .map_err(|(field, message)| format!("{field}: {message}"))
    }

    #[test]
    fn rules_become_behaviours() {
        let got = rule(json!({
            "match": {"labels": {"app": "web"}, "container": "main"},
            "run": "30s", "exitCode": 1,
            "byRestart": [{"run": "1s", "exitCode": 1}, {"run": "forever"}],
            "readiness": [{"after": "5s", "ok": true}, {"after": "60s", "ok": false}],
            "image": {"size": "80M"},
            "cpu": {"wave": {"mean": "500m", "amplitude": "100m", "period": "1h"}},
            "memory": "512Mi",
        }))
        .unwrap();
        assert_eq!(got.run, Some(Run { time: Some(Delay::Constant(secs(30))), exit_code: 1 }));
        assert_eq!(got.by_restart[1], Run::FOREVER);
        let readiness = got.readiness.unwrap();
        assert_eq!((readiness.first, readiness.flips.to_vec()), (false, vec![secs(5), secs(60)]));
        assert_eq!(got.image.unwrap().size, Some(80_000_000));
        assert_eq!(got.memory, Some(Demand::Constant(512 << 20)));
    }

    #[test]
    fn slips_are_named() {
        for (value, part) in [
            (json!({"exitCode": 1}), "exitCode: an exit code without `run`"),
            (json!({"run": "soon"}), "or `forever`"),
            (json!({"readiness": []}), "readiness: an empty list"),
            (json!({"liveness": [{"after": "5s", "ok": true}, {"ok": false}]}), "rising order"),
            (json!({"memory": "12Qx"}), "12Qx"),
            (json!({"cpu": {"steps": [{"after": "5s", "amount": "-1"}]}}), "cpu: `-1` is negative"),
            (json!({"byIndex": {"-1": {"run": "5s"}}}), "byIndex: `-1` is not a completion index"),
            (json!({"match": {"pod": "x"}}), "unknown field `pod`"),
        ] {
            let error = rule(value.clone()).unwrap_err();
            assert!(error.contains(part), "{value}: {error}");
        }
    }
}
