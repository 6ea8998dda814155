//! All metrics as data.

use smol_str::{SmolStr, format_smolstr};

use super::histogram::Histogram;
use super::{MANY_ATTEMPTS, Metrics};
use crate::cache::Cache;
use crate::framework::{Profile, Rejectors};
use crate::queue::Queue;

/// Sort of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only rises.
    Counter,
    /// What is now.
    Gauge,
    /// What was observed, by size.
    Histogram,
}

/// All metrics at one instant, sorted by name. Its text form (`Display`) is that of Prometheus, version 0.0.4.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The metrics.
    pub families: Vec<Family>,
}

/// A metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Name, e.g. `scheduler_pending_pods`.
    pub name: &'static str,
    /// What it means, in upstream's words.
    pub help: &'static str,
    /// Sort.
    pub kind: Type,
    /// One for each combination of labels that occurred, sorted by their values.
    pub series: Vec<Series>,
}

/// Values of one combination of labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Labels, sorted by name.
    pub labels: Vec<(&'static str, SmolStr)>,
    /// The value.
    pub value: Sample,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// Of a counter or a gauge.
    Number(i64),
    /// Of a histogram.
    Histogram {
        /// Ends of the buckets (the last is infinite), and how much was observed up to there.
        buckets: Vec<(f64, u64)>,
        /// Sum of all that was observed.
        sum: f64,
        /// How much was observed.
        count: u64,
    },
}

/// Nanoseconds in a second.
const NANOS: f64 = 1e9;

type Labels = Vec<(&'static str, SmolStr)>;

impl Snapshot {
    /// A metric by its name.
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.families.iter().find(|family| family.name == name)
    }

    /// The number of a counter or gauge with labels; 0 if it never occurred.
    pub fn number(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        let is_it = |series: &&Series| {
            let same = |((a, b), (c, d)): (&(&'static str, SmolStr), &(&str, &str))| a == c && b == d;
            series.labels.len() == labels.len() && series.labels.iter().zip(labels).all(same)
        };
        match self
            .family(name)
            .and_then(|family| family.series.iter().find(is_it))
            .map(|series| &series.value)
        {
            Some(Sample::Number(number)) => *number,
            Some(Sample::Histogram { count, .. }) => *count as i64,
            None => 0,
        }
    }

    /// Adds a metric; one with labels that never occurred is left out.
    fn add(
        &mut self,
        (name, kind): (&'static str, Type),
        help: &'static str,
        series: impl IntoIterator<Item = (Labels, Sample)>,
    ) {
        let series = series.into_iter().map(|(labels, value)| Series { labels, value });
        let mut series: Vec<Series> = series.collect();
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        if !series.is_empty() {
            self.families.push(Family { name, help, kind, series });
        }
    }

    /// What was counted, and what there is.
    pub(crate) fn of(
        metrics: &Metrics,
        profiles: &[Profile],
        queue: &Queue,
        cache: &Cache,
        held: usize,
    ) -> Snapshot {
        let mut all = Snapshot::default();
        all.attempts(metrics, profiles);
        all.preemption(metrics);
        all.queue(queue, profiles);
        let [nodes, pods, assumed] = cache.sizes();
        all.add(
            ("scheduler_cache_size", Type::Gauge),
            "[ALPHA] Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
            [("nodes", nodes), ("pods", pods), ("assumed_pods", assumed)]
                .map(|(kind, size)| (vec![("type", SmolStr::new_static(kind))], Sample::Number(size as i64))),
        );
        all.add(
            ("scheduler_goroutines", Type::Gauge),
            "[ALPHA] Number of running goroutines split by the work they do such as binding.",
            [(vec![("operation", SmolStr::new_static("binding"))], Sample::Number(held as i64))],
        );
        let waits = metrics.permit_wait.iter().map(|(code, histogram)| {
            (vec![("result", SmolStr::new_static(code.as_str()))], histogram.sample(NANOS))
        });
        all.add(
            ("scheduler_permit_wait_duration_seconds", Type::Histogram),
            "[ALPHA] Duration of waiting on permit.",
            waits,
        );
        all.families.sort_by_key(|family| family.name);
        all
    }

    fn attempts(&mut self, metrics: &Metrics, profiles: &[Profile]) {
        let by_result = || {
            let endings = ["error", "scheduled", "unschedulable"];
            let named = metrics.attempts.iter().zip(profiles);
            named.flat_map(move |(results, profile)| {
                endings.into_iter().zip(results).filter(|(_, durations)| durations.count() > 0).map(
                    move |(ending, durations)| {
                        let result = ("result", SmolStr::new_static(ending));
                        (vec![("profile", profile.scheduler_name.clone()), result], durations)
                    },
                )
            })
        };
        self.add(
            ("scheduler_schedule_attempts_total", Type::Counter),
            "[STABLE] Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be \
             scheduled, while 'error' means an internal scheduler problem.",
            by_result().map(|(labels, durations)| (labels, Sample::Number(durations.count() as i64))),
        );
        self.add(
            ("scheduler_scheduling_attempt_duration_seconds", Type::Histogram),
            "[STABLE] Scheduling attempt latency in seconds (scheduling algorithm + binding)",
            by_result().map(|(labels, durations)| (labels, durations.sample(NANOS))),
        );
        self.add(
            ("scheduler_scheduling_algorithm_duration_seconds", Type::Histogram),
            "[ALPHA] Scheduling algorithm latency in seconds",
            [(Labels::new(), metrics.algorithm.sample(NANOS))],
        );
        self.add(
            ("scheduler_pod_scheduling_attempts", Type::Histogram),
            "[STABLE] Number of attempts to successfully schedule a pod.",
            [(Labels::new(), metrics.pod_attempts.sample(1.0))],
        );
        let taken = metrics.sli.iter().enumerate().filter(|(_, durations)| durations.count() > 0);
        self.add(
            ("scheduler_pod_scheduling_sli_duration_seconds", Type::Histogram),
            "[BETA] E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might \
             involve multiple scheduling attempts.",
            taken.map(|(attempts, durations)| {
                let plus = if attempts == MANY_ATTEMPTS { "+" } else { "" };
                (vec![("attempts", format_smolstr!("{attempts}{plus}"))], durations.sample(NANOS))
            }),
        );
    }

    fn preemption(&mut self, metrics: &Metrics) {
        let count = metrics.preemption_attempts as i64;
        self.add(
            ("scheduler_preemption_attempts_total", Type::Counter),
            "[STABLE] Total preemption attempts in the cluster till now",
            [(Labels::new(), Sample::Number(count))],
        );
        self.add(
            ("scheduler_preemption_victims", Type::Histogram),
            "[STABLE] Number of selected preemption victims",
            [(Labels::new(), metrics.victims.sample(1.0))],
        );
        let carried_out = Some(&metrics.preemptions).filter(|preemptions| preemptions.count() > 0);
        let success = || vec![("result", SmolStr::new_static("success"))];
        self.add(
            ("scheduler_preemption_goroutines_execution_total", Type::Counter),
            "[ALPHA] Number of preemption goroutines executed.",
            carried_out.map(|done: &Histogram| (success(), Sample::Number(done.count() as i64))),
        );
        self.add(
            ("scheduler_preemption_goroutines_duration_seconds", Type::Histogram),
            "[ALPHA] Duration in seconds for running goroutines for the preemption.",
            carried_out.map(|done| (success(), done.sample(NANOS))),
        );
    }

    fn queue(&mut self, queue: &Queue, profiles: &[Profile]) {
        let pending = queue.pending();
        let by_queue = [
            ("active", pending.active),
            ("backoff", pending.backoff),
            ("unschedulable", pending.unschedulable),
            ("gated", pending.gated),
        ];
        self.add(
            ("scheduler_pending_pods", Type::Gauge),
            "[STABLE] Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means \
             number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the scheduler \
             attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never \
             attempted to schedule because they are gated.",
            by_queue.map(|(name, pods)| {
                (vec![("queue", SmolStr::new_static(name))], Sample::Number(pods as i64))
            }),
        );
        let incoming = queue.incoming().iter().map(|((name, cause), pods)| {
            let labels = vec![("event", cause.label()), ("queue", SmolStr::new_static(name.as_str()))];
            (labels, Sample::Number(*pods as i64))
        });
        self.add(
            ("scheduler_queue_incoming_pods_total", Type::Counter),
            "[STABLE] Number of pods added to scheduling queues by event and queue type.",
            incoming,
        );
        let refused = queue.refused().iter().zip(profiles).flat_map(|(counts, profile)| {
            counts.iter().enumerate().filter_map(|(plugin, count)| {
                let pods = (*count)?;
                let plugin = match plugin {
                    Rejectors::OTHERS => crate::extender::EXTENDER,
                    plugin => profile.plugin(plugin).name(),
                };
                let plugin = ("plugin", SmolStr::new_static(plugin));
                Some((vec![plugin, ("profile", profile.scheduler_name.clone())], Sample::Number(pods)))
            })
        });
        self.add(
            ("scheduler_unschedulable_pods", Type::Gauge),
            "[ALPHA] The number of unschedulable pods broken down by plugin name. A pod will increment the gauge for all \
             plugins that caused it to not schedule and so this metric have meaning only when broken down by plugin.",
            refused,
        );
        self.add(
            ("scheduler_inflight_events", Type::Gauge),
            "[ALPHA] Number of events currently tracked in the scheduling queue.",
            in_flight(queue),
        );
    }
}

/// Pods in flight, and what happened since, by event.
fn in_flight(queue: &Queue) -> impl Iterator<Item = (Labels, Sample)> {
    let mut counts = std::collections::BTreeMap::new();
    for entry in queue.in_flight() {
        let event = match entry {
            crate::queue::InFlightEntry::Pod(_) => SmolStr::new_static("PodPopped"),
            crate::queue::InFlightEntry::Event(happening) => happening.cause.label(),
        };
        *counts.entry(event).or_insert(0) += 1;
    }
    counts.into_iter().map(|(event, count)| (vec![("event", event)], Sample::Number(count)))
}
