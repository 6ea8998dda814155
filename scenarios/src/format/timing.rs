//! How long things take, as a scenario says it.

use schemars::JsonSchema;
use serde::Deserialize;
use sim_core::engine::timing::{Delay, Timing};

use super::compact::{Compact, compact};
use super::duration::Duration;

/// A delay: a duration, or a distribution of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DelaySpec(pub Delay);

/// A distribution of delays.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Distribution {
    /// Always the same.
    Constant(Duration),
    /// Evenly between two durations.
    Uniform(Duration, Duration),
    /// Exponential with this mean.
    Exponential(Duration),
    /// Log-normal: its logarithm is normal.
    LogNormal(LogNormal),
}

/// Parameters of a log-normal distribution.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogNormal {
    /// Half of the samples are below this.
    pub median: Duration,
    /// Standard deviation of the underlying normal distribution; 0.3 spreads by about a third.
    pub sigma: f64,
}

impl Compact for DelaySpec {
    type Long = Distribution;
    const EXPECTED: &'static str = "a duration such as 90s, or one of {constant: 5s}, {uniform: [1s, 5s]}, \
        {exponential: 5s}, {logNormal: {median: 5s, sigma: 0.3}}";
    const NAME: &'static str = "Delay";
    const SHORT: &'static [&'static str] = &["string", "integer"];

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(DelaySpec(Delay::Constant(text.parse::<Duration>()?.0)))
    }

    fn from_long(long: Distribution) -> Result<Self, String> {
        Ok(DelaySpec(match long {
            Distribution::Constant(d) => Delay::Constant(d.0),
            Distribution::Uniform(low, high) if low > high => {
                return Err(format!("uniform: {low} is more than {high}"));
            }
            Distribution::Uniform(low, high) => Delay::Uniform(low.0, high.0),
            Distribution::Exponential(mean) => Delay::Exponential(mean.0),
            Distribution::LogNormal(LogNormal { median, sigma }) => {
                if !sigma.is_finite() || sigma < 0.0 {
                    return Err(format!("logNormal: sigma {sigma} is not a number from 0 up"));
                }
                Delay::LogNormal(median.0, sigma)
            }
        }))
    }
}
compact!(DelaySpec);

/// A named table of delays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Preset {
    /// Nothing takes time.
    Instant,
    /// A healthy mid-size cluster.
    #[default]
    Typical,
}

impl Preset {
    /// Its table.
    pub fn timing(self) -> Timing {
        match self {
            Preset::Instant => Timing::instant(),
            Preset::Typical => Timing::typical(),
        }
    }
}

/// `timing`: a preset, or a preset with overrides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimingSpec(pub Timing);

/// Overrides on a preset. Names are those of [`Timing`].
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TimingOverrides {
    /// What everything else is; `typical` if absent.
    #[serde(default)]
    pub base: Preset,
    /// From a component's send to the commit in the API server.
    pub request: Option<DelaySpec>,
    /// From the commit to the sender's reply.
    pub reply: Option<DelaySpec>,
    /// From the commit to a watcher seeing the change.
    pub watch: Option<DelaySpec>,
    /// One scheduling cycle.
    pub scheduling_cycle: Option<DelaySpec>,
    /// One question to a scheduler extender, whoever answers it.
    pub extender_call: Option<DelaySpec>,
    /// From a pod being seen by its kubelet to its sandbox being ready.
    pub sandbox: Option<DelaySpec>,
    /// Creating and starting one container, image present.
    pub container_start: Option<DelaySpec>,
    /// Between a container's exit and its kubelet noticing.
    pub pleg: Option<DelaySpec>,
    /// Image pull before the first byte.
    pub image_pull_latency: Option<DelaySpec>,
    /// Image pull rate in bytes per second; 0 = at once.
    #[schemars(range(min = 0))]
    pub image_bytes_per_second: Option<i64>,
    /// From the stop signal to the process's own exit, if the workload says nothing.
    pub stop: Option<DelaySpec>,
}

impl Compact for TimingSpec {
    type Long = TimingOverrides;
    const EXPECTED: &'static str =
        "`instant`, `typical`, or a map such as {base: typical, watch: 20ms, sandbox: {uniform: [1s, 2s]}}";
    const NAME: &'static str = "Timing";
    const SHORT: &'static [&'static str] = &["string"];

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "instant" => Ok(TimingSpec(Timing::instant())),
            "typical" => Ok(TimingSpec(Timing::typical())),
            other => Err(format!("unknown timing `{other}`: expected `instant`, `typical` or a map")),
        }
    }

    fn from_long(long: TimingOverrides) -> Result<Self, String> {
        let mut timing = long.base.timing();
        let fields = [
            (&mut timing.request, long.request),
            (&mut timing.reply, long.reply),
            (&mut timing.watch, long.watch),
            (&mut timing.scheduling_cycle, long.scheduling_cycle),
            (&mut timing.extender_call, long.extender_call),
            (&mut timing.sandbox, long.sandbox),
            (&mut timing.container_start, long.container_start),
            (&mut timing.pleg, long.pleg),
            (&mut timing.image_pull_latency, long.image_pull_latency),
            (&mut timing.stop, long.stop),
        ];
        for (field, value) in fields {
            if let Some(DelaySpec(delay)) = value {
                *field = delay;
            }
        }
        if let Some(rate) = long.image_bytes_per_second {
            if rate < 0 {
                return Err(format!("imageBytesPerSecond: {rate} is negative"));
            }
            timing.image_bytes_per_second = rate;
        }
        Ok(TimingSpec(timing))
    }
}
compact!(TimingSpec);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use sim_core::time::{millis, secs};

    fn read(value: Value) -> Result<Timing, String> {
        serde_json::from_value::<TimingSpec>(value).map(|t| t.0).map_err(|e| e.to_string())
    }

    #[test]
    fn presets_and_overrides() {
        assert_eq!(read(json!("instant")), Ok(Timing::instant()));
        let got = read(json!({"base": "instant", "watch": "20ms", "sandbox": {"uniform": ["1s", "2s"]}}));
        let mut want = Timing::instant();
        want.watch = Delay::Constant(millis(20));
        want.sandbox = Delay::Uniform(secs(1), secs(2));
        assert_eq!(got, Ok(want));
    }

    #[test]
    fn errors_say_what_was_expected() {
        for (value, part) in [
            (json!("fast"), "unknown timing `fast`"),
            (json!({"wach": "1s"}), "unknown field `wach`, expected one of `base`"),
            (json!({"watch": {"uniform": ["2s", "1s"]}}), "2s is more than 1s"),
            (json!({"watch": {"uniform": ["2s"]}}), "length 1"),
            (json!({"watch": {"normal": "2s"}}), "unknown variant `normal`"),
            (json!({"watch": true}), "expected a duration such as 90s, or one of"),
            (json!({"imageBytesPerSecond": -1}), "negative"),
            (json!({"watch": {"logNormal": {"median": "1s", "sigma": -1}}}), "sigma"),
        ] {
            let error = read(value.clone()).unwrap_err();
            assert!(error.contains(part), "{value}: {error}");
        }
    }
}
