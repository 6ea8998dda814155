//! How many replicas a metric asks for (`podautoscaler/replica_calculator.go`, `metrics/utilization.go`).
//!
//! All amounts are thousandths, as upstream counts them. Pure functions of samples and pods.

use std::collections::BTreeMap;

use sim_core::time::{Span, Time, mins, secs};
use smol_str::SmolStr;

/// What one pod used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Amount in thousandths, a mean over the window.
    pub value: i64,
    /// End of the window.
    pub at: Time,
    /// How long was measured.
    pub window: Span,
}

/// Samples by name of pod.
pub type Samples = BTreeMap<SmolStr, Sample>;

/// Requests by name of pod, in thousandths.
pub type Requests = BTreeMap<SmolStr, i64>;

/// What counts of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// Its name.
    pub name: SmolStr,
    /// Where it is in its life.
    pub stage: Stage,
    /// `status.startTime`.
    pub started: Option<Time>,
    /// The condition `Ready`, if there is one.
    pub ready: Option<Readiness>,
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Being deleted, or failed.
    Gone,
    /// `Pending`.
    Pending,
    /// `Running`.
    Running,
    /// Any other phase.
    Other,
}

/// A condition `Ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Its status; `None` for `Unknown`.
    pub status: Option<bool>,
    /// Since when; `None` is long ago.
    pub since: Option<Time>,
}

/// How far usage may be from its target without any change, as parts of the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerances {
    /// Below.
    pub scale_down: f64,
    /// Above.
    pub scale_up: f64,
}

impl Default for Tolerances {
    /// `--horizontal-pod-autoscaler-tolerance`.
    fn default() -> Tolerances {
        Tolerances { scale_down: 0.1, scale_up: 0.1 }
    }
}

impl Tolerances {
    fn hold(self, ratio: f64) -> bool {
        1.0 - self.scale_down <= ratio && ratio <= 1.0 + self.scale_up
    }
}

/// What a metric asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Replicas.
    pub replicas: i32,
    /// Usage to report: the mean of a pod, or the value of the object, in thousandths.
    pub usage: i64,
    /// Usage in percent of the requests, for targets given so.
    pub utilization: Option<i32>,
}

/// What a target says of every pod.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// Percent of its requests.
    Utilization(i32, &'a Requests),
    /// An amount in thousandths.
    Average(i64),
}

/// Settings of kube-controller-manager for pods that have just started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warmup {
    /// `--horizontal-pod-autoscaler-cpu-initialization-period`.
    pub cpu_initialization: Span,
    /// `--horizontal-pod-autoscaler-initial-readiness-delay`.
    pub initial_readiness_delay: Span,
}

impl Default for Warmup {
    fn default() -> Warmup {
        Warmup { cpu_initialization: mins(5), initial_readiness_delay: secs(30) }
    }
}

const NO_PODS: &str = "no pods returned by selector while calculating replica count";

/// Pods by what their samples are worth (`groupPods`).
#[derive(Debug, Default)]
struct Groups<'a> {
    ready: usize,
    unready: Vec<&'a SmolStr>,
    missing: Vec<&'a SmolStr>,
    ignored: Vec<&'a SmolStr>,
}

impl Warmup {
    fn group<'a>(self, pods: &'a [PodFacts], samples: &Samples, is_cpu: bool, now: Time) -> Groups<'a> {
        let mut groups = Groups::default();
        for pod in pods {
            let to = match (pod.stage, samples.get(&pod.name)) {
                (Stage::Gone, _) => &mut groups.ignored,
                (Stage::Pending, _) => &mut groups.unready,
                (_, None) => &mut groups.missing,
                (_, Some(sample)) if is_cpu && self.is_warming_up(pod, sample, now) => &mut groups.unready,
                _ => {
                    groups.ready += 1;
                    continue;
                }
            };
            to.push(&pod.name);
        }
        groups
    }

    /// True if what the pod uses of a CPU says nothing yet.
    fn is_warming_up(self, pod: &PodFacts, sample: &Sample, now: Time) -> bool {
        let (Some(ready), Some(started)) = (pod.ready, pod.started) else { return true };
        let is_false = ready.status == Some(false);
        if started + self.cpu_initialization > now {
            is_false || ready.since.is_some_and(|since| sample.at < since + sample.window)
        } else {
            is_false && ready.since.is_none_or(|since| started + self.initial_readiness_delay > since)
        }
    }
}

/// A moment at which an autoscaler asks.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Now.
    pub now: Time,
    /// Replicas there are to be now.
    pub current: i32,
    /// What makes no difference.
    pub tolerances: Tolerances,
    /// How long pods warm up.
    pub warmup: Warmup,
    /// The pods of the target.
    pub pods: &'a [PodFacts],
}

impl Moment<'_> {
    /// Replicas for a metric of pods (`GetResourceReplicas`, `GetRawResourceReplicas`, `GetMetricReplicas`).
    ///
    /// # Errors
    /// Upstream's text if nothing can be computed.
    pub fn by_pods(
        &self,
        target: Target<'_>,
        is_cpu: bool,
        mut samples: Samples,
    ) -> Result<Proposal, String> {
        let Moment { now, current, tolerances, warmup, pods } = *self;
        if pods.is_empty() {
            return Err(NO_PODS.to_owned());
        }
        let groups = warmup.group(pods, &samples, is_cpu, now);
        for name in groups.ignored.iter().chain(&groups.unready) {
            samples.remove(*name);
        }
        if samples.is_empty() {
            return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
        }
        let (ratio, reported) = target.ratio(&samples)?;
        let proposal = |replicas| Proposal { replicas, ..reported };
        let with_unready = !groups.unready.is_empty() && ratio > 1.0;
        if !with_unready && groups.missing.is_empty() {
            let enough = tolerances.hold(ratio);
            return Ok(proposal(if enough { current } else { ceiling(ratio * groups.ready as f64) }));
        }
        // Pods without a sample are taken for what makes the smallest change.
        for name in &groups.missing {
            if ratio < 1.0 {
                samples.insert((*name).clone(), assumed(target.at_target(name)));
            } else if ratio > 1.0 {
                samples.insert((*name).clone(), assumed(0));
            }
        }
        if with_unready {
            samples.extend(groups.unready.iter().map(|name| ((*name).clone(), assumed(0))));
        }
        let (again, _) = target.ratio(&samples)?;
        let turned = (ratio < 1.0 && again > 1.0) || (ratio > 1.0 && again < 1.0);
        if tolerances.hold(again) || turned {
            return Ok(proposal(current));
        }
        let replicas = ceiling(again * samples.len() as f64);
        let against = (again < 1.0 && replicas > current) || (again > 1.0 && replicas < current);
        Ok(proposal(if against { current } else { replicas }))
    }

    /// Replicas for one value that all pods bring about together (`GetObjectMetricReplicas`, `GetExternalMetricReplicas`).
    ///
    /// # Errors
    /// Upstream's text if there are no pods.
    pub fn by_value(&self, target: i64, usage: i64) -> Result<Proposal, String> {
        let ratio = usage as f64 / target as f64;
        let replicas = if self.current == 0 {
            ceiling(ratio)
        } else if self.tolerances.hold(ratio) {
            self.current
        } else {
            if self.pods.is_empty() {
                return Err(format!("unable to calculate ready pods: {NO_PODS}"));
            }
            let is_ready = |pod: &&PodFacts| {
                pod.stage == Stage::Running && pod.ready.is_some_and(|ready| ready.status == Some(true))
            };
            ceiling(ratio * self.pods.iter().filter(is_ready).count() as f64)
        };
        Ok(Proposal { replicas, usage, utilization: None })
    }
}

fn assumed(value: i64) -> Sample {
    Sample { value, at: Time::ZERO, window: Span::ZERO }
}

impl Target<'_> {
    /// Usage against the target, and what to report of it.
    fn ratio(self, samples: &Samples) -> Result<(f64, Proposal), String> {
        match self {
            Target::Utilization(target, requests) => {
                let (mut used, mut requested, mut count) = (0_i64, 0_i64, 0_i64);
                for (name, sample) in samples {
                    let Some(request) = requests.get(name) else { continue };
                    used = used.wrapping_add(sample.value);
                    requested = requested.wrapping_add(*request);
                    count += 1;
                }
                if requested == 0 {
                    return Err("no metrics returned matched known pods".to_owned());
                }
                let percent = used.wrapping_mul(100).wrapping_div(requested) as i32;
                let reported =
                    Proposal { replicas: 0, usage: used / count.max(1), utilization: Some(percent) };
                Ok((f64::from(percent) / f64::from(target), reported))
            }
            Target::Average(target) => {
                let used = samples.values().fold(0_i64, |sum, sample| sum.wrapping_add(sample.value));
                let usage = used / (samples.len() as i64).max(1);
                Ok((usage as f64 / target as f64, Proposal { replicas: 0, usage, utilization: None }))
            }
        }
    }

    /// What a pod without a sample is assumed to use while others are below the target.
    fn at_target(self, pod: &SmolStr) -> i64 {
        match self {
            Target::Utilization(target, requests) => {
                let request = requests.get(pod).copied().unwrap_or(0);
                request.wrapping_mul(i64::from(target.max(100))) / 100
            }
            Target::Average(target) => target,
        }
    }
}

/// Replicas for a value that is divided among those there are (`GetObjectPerPodMetricReplicas`,
/// `GetExternalPerPodMetricReplicas`).
pub fn by_value_per_pod(replicas: i32, tolerances: Tolerances, target: i64, usage: i64) -> Proposal {
    let ratio = usage as f64 / (target as f64 * f64::from(replicas));
    let wanted = usage as f64 / target as f64;
    let average = (usage as f64 / f64::from(replicas)).ceil();
    Proposal {
        replicas: if tolerances.hold(ratio) { replicas } else { ceiling(wanted) },
        usage: if usage == i64::MAX { usage } else { average as i64 },
        utilization: None,
    }
}

/// A number of replicas, rounded up.
// DIFFERS: what is beyond 32 bits is the largest number; upstream guards only one of its conversions, and what the others
// give depends on the processor.
fn ceiling(replicas: f64) -> i32 {
    replicas.ceil() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(ready: &[bool]) -> Vec<PodFacts> {
        let pod = |(i, ready): (usize, &bool)| PodFacts {
            name: format!("p{i}").into(),
            stage: Stage::Running,
            started: Some(Time(0)),
            ready: Some(Readiness { status: Some(*ready), since: Some(Time(0) + secs(1)) }),
        };
        ready.iter().enumerate().map(pod).collect()
    }

    fn samples(values: &[i64]) -> Samples {
        let at = Time::ZERO + mins(10);
        let sample = |(i, value): (usize, &i64)| {
            (SmolStr::from(format!("p{i}")), Sample { value: *value, at, window: secs(60) })
        };
        values.iter().enumerate().map(sample).collect()
    }

    fn moment(now: Time, current: i32, pods: &[PodFacts]) -> Moment<'_> {
        Moment { now, current, tolerances: Tolerances::default(), warmup: Warmup::default(), pods }
    }

    /// Replicas asked for by pods that use these thousandths of a CPU and request a whole one each.
    fn cpu(current: i32, target: i32, ready: &[bool], used: &[i64]) -> Result<i32, String> {
        let requests: Requests = (0..ready.len()).map(|i| (format!("p{i}").into(), 1000)).collect();
        let target = Target::Utilization(target, &requests);
        let now = Time::ZERO + mins(10);
        moment(now, current, &pods(ready)).by_pods(target, true, samples(used)).map(|p| p.replicas)
    }

    #[test]
    fn utilization() {
        let all = [true; 3];
        for (target, used, want) in [
            (50, vec![500, 500, 500], 3),
            (50, vec![550, 550, 550], 3),
            (50, vec![600, 600, 600], 4),
            (50, vec![100, 100, 100], 1),
            // One sample is missing: taken for nothing on the way up, for all it requests on the way down.
            (50, vec![900, 900], 4),
            (50, vec![100, 100], 3),
        ] {
            assert_eq!(cpu(3, target, &all, &used), Ok(want), "{used:?} of {target} %");
        }
        // Pods that were never ready count for nothing on the way up, and are left out on the way down.
        assert_eq!(cpu(3, 30, &[false, true, true], &[300, 500, 700]), Ok(4));
        assert_eq!(cpu(3, 50, &[true, true, false], &[100, 100, 900]), Ok(1));
        assert_eq!(
            cpu(1, 50, &[true], &[]),
            Err("did not receive metrics for targeted pods (pods might be unready)".to_owned())
        );
    }

    #[test]
    fn values() {
        let tolerances = Tolerances::default();
        let two = pods(&[true, true]);
        let replicas =
            |current, usage| moment(Time::ZERO, current, &two).by_value(100, usage).map(|p| p.replicas);
        assert_eq!(replicas(2, 105), Ok(2));
        assert_eq!(replicas(2, 200), Ok(4));
        assert_eq!(replicas(0, 250), Ok(3));
        let per_pod = |usage| by_value_per_pod(3, tolerances, 100, usage);
        assert_eq!((per_pod(310).replicas, per_pod(310).usage), (3, 104));
        assert_eq!(per_pod(1000).replicas, 10);
        assert_eq!(per_pod(i64::MAX).replicas, i32::MAX);
    }
}
