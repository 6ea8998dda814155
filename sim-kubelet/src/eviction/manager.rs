//! The eviction manager's loop body as a state machine (`synchronize`, pkg/kubelet/eviction/eviction_manager.go).
//!
//! Whoever drives it calls [`Manager::synchronize`] every [`MONITORING_INTERVAL`], or after a memory notification; after
//! an eviction it waits until the pod is cleaned up, [`POD_CLEANUP_TIMEOUT`] at most, and calls again at once.

use k8s_openapi::api::core::v1::{PodSpec, Taint};
use sim_core::api::pod_status::QosClass;
use sim_core::helpers::taints::tolerate;
use sim_core::time::{Span, Time, mins, secs};
use smol_str::SmolStr;

use super::decide::{
    FirstObserved, LastObserved, conditions, first_observed_at, grace_period_over, last_observed_at, merge,
    observed_since, reclaimable, thresholds_met, updated,
};
use super::local_storage::local_storage_eviction;
use super::message::{Annotations, eviction_message};
use super::observe::{Observations, Summary, observations};
use super::rank::{Candidate, rank};
use super::threshold::{Condition, Disks, Signal, Threshold, update_container_fs};
use crate::cgroup::pod::qos_class;

/// How often the loop runs.
pub const MONITORING_INTERVAL: Span = secs(10);
/// How long an evicted pod is waited for.
pub const POD_CLEANUP_TIMEOUT: Span = secs(30);
/// How often it is looked for.
pub const POD_CLEANUP_POLL: Span = secs(1);
/// What pods get to end if there is no time.
pub const IMMEDIATE_GRACE: i64 = 1;
/// Reason of a pod that was evicted, or refused for the same cause.
pub const REASON: &str = "Evicted";

/// Configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// All thresholds.
    pub thresholds: Vec<Threshold>,
    /// `evictionPressureTransitionPeriod`: how long a condition stays after it was last observed.
    pub pressure_transition_period: Span,
    /// `evictionMaxPodGracePeriod` in seconds: what pods get to end at soft thresholds.
    pub max_pod_grace_period: i64,
    /// `localStorageCapacityIsolation`: pods over their own storage limits leave too.
    pub local_storage: bool,
    /// Feature gate `KubeletSeparateDiskGC`.
    pub separate_disk_gc: bool,
    /// Feature gate `PodLevelResources`.
    pub pod_level_resources: bool,
}

/// v1.34's defaults, without thresholds.
impl Default for Config {
    fn default() -> Config {
        Config {
            thresholds: Vec::new(),
            pressure_transition_period: mins(5),
            max_pod_grace_period: 0,
            local_storage: true,
            separate_disk_gc: true,
            pod_level_resources: true,
        }
    }
}

/// The node, as the manager sees and touches it.
pub trait Host {
    /// The stats as they are now.
    fn summary(&mut self) -> Summary;
    /// Removes dead containers.
    fn delete_unused_containers(&mut self);
    /// Removes images that no container uses.
    fn delete_unused_images(&mut self);
}

/// A pod that must leave. It becomes Failed, for [`REASON`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// Who.
    pub uid: SmolStr,
    /// Seconds to end.
    pub grace_period: i64,
    /// Message of its status and of the Warning event.
    pub message: String,
    /// Annotations of the event.
    pub annotations: Annotations,
    /// True if it gets the condition `DisruptionTarget` (reason `TerminationByKubelet`), with the same message.
    pub disruption_target: bool,
}

/// What came out of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Pods that leave: one at most, except for local storage limits.
    pub evicted: Vec<Eviction>,
    /// The resource of the node's event `EvictionThresholdMet`, `Attempting to reclaim …`.
    pub reclaiming: Option<&'static str>,
}

/// The node's file systems are split and the feature gate for it is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("KubeletSeparateDiskGC is turned off but we still have a split filesystem")]
pub struct SplitFilesystem;

/// The manager's state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manager {
    config: Config,
    conditions: Vec<Condition>,
    conditions_observed: LastObserved,
    first_observed: FirstObserved,
    met: Vec<Threshold>,
    last_observations: Observations,
    /// Set once looked at.
    disks: Option<Disks>,
    /// False where the disks are split and may not be: then nothing can be ranked.
    can_rank: bool,
}

impl Manager {
    /// A manager that has seen nothing yet.
    pub fn new(config: Config) -> Manager {
        Manager { config, ..Manager::default() }
    }

    /// The node's conditions that are true.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// One round.
    ///
    /// # Errors
    /// In the first round only, if file systems are split that may not be.
    pub fn synchronize(
        &mut self,
        now: Time,
        disks: Disks,
        pods: &[Candidate<'_>],
        host: &mut impl Host,
    ) -> Result<Outcome, SplitFilesystem> {
        let mut thresholds = self.config.thresholds.clone();
        if thresholds.is_empty() && !self.config.local_storage {
            return Ok(Outcome::default());
        }
        // As upstream, the first round still goes by the thresholds without those of containers' storage.
        self.look_at_disks(disks)?;
        let summary = host.summary();
        let seen = observations(&summary);
        thresholds = thresholds_met(&thresholds, &seen, false);
        thresholds = merge(thresholds, thresholds_met(&self.met, &seen, true));
        let thresholds = self.remember(now, &thresholds, &seen);
        if self.config.local_storage {
            let evicted = local_storage_eviction(pods, &summary, disks);
            if !evicted.is_empty() {
                return Ok(Outcome { evicted, reclaiming: None });
            }
        }
        let Some((threshold, resource)) = reclaimable(thresholds.clone()) else {
            return Ok(Outcome::default());
        };
        let mut outcome = Outcome { evicted: Vec::new(), reclaiming: Some(resource) };
        if self.can_rank && !self.reclaim(threshold.signal, host) {
            let because = Because { threshold: &threshold, resource, thresholds: &thresholds, seen: &seen };
            outcome.evicted.extend(self.evict(pods, &summary, &because));
        }
        Ok(outcome)
    }

    fn look_at_disks(&mut self, disks: Disks) -> Result<(), SplitFilesystem> {
        if self.disks.replace(disks).is_some() {
            return Ok(());
        }
        if disks.split_container_fs && !self.config.separate_disk_gc {
            return Err(SplitFilesystem);
        }
        update_container_fs(&mut self.config.thresholds, disks);
        self.can_rank = true;
        Ok(())
    }

    /// Follows thresholds and conditions through time, and tells which of them to act on.
    fn remember(&mut self, now: Time, met: &[Threshold], seen: &Observations) -> Vec<Threshold> {
        self.first_observed = first_observed_at(met, &self.first_observed, now);
        self.conditions_observed = last_observed_at(&conditions(met), &self.conditions_observed, now);
        self.conditions =
            observed_since(&self.conditions_observed, self.config.pressure_transition_period, now);
        self.met = grace_period_over(&self.first_observed, now);
        let fresh = updated(self.met.clone(), seen, &self.last_observations);
        self.last_observations = seen.clone();
        fresh
    }

    /// Makes room without evicting anybody. True if that was enough.
    fn reclaim(&self, signal: Signal, host: &mut impl Host) -> bool {
        let (containers, images) = reclaim_functions(signal, self.disks.unwrap_or_default());
        if containers {
            host.delete_unused_containers();
        }
        if images {
            host.delete_unused_images();
        }
        if !(containers || images) {
            return false;
        }
        let after = observations(&host.summary());
        thresholds_met(&self.config.thresholds, &after, true).is_empty()
    }

    fn evict(&self, pods: &[Candidate<'_>], summary: &Summary, because: &Because<'_>) -> Option<Eviction> {
        let mut pods = pods.to_vec();
        rank(&mut pods, because.threshold.signal, self.disks.unwrap_or_default(), summary);
        let pod = pods.iter().find(|pod| !pod.critical)?;
        let (message, annotations) = eviction_message(
            because.resource,
            pod,
            summary,
            because.thresholds,
            because.seen,
            self.config.pod_level_resources,
        );
        let own = pod.spec.termination_grace_period_seconds;
        let soft = own.map_or(self.config.max_pod_grace_period, |s| s.min(self.config.max_pod_grace_period));
        Some(Eviction {
            uid: pod.uid.into(),
            grace_period: if because.threshold.is_hard() { IMMEDIATE_GRACE } else { soft },
            message,
            annotations,
            disruption_target: true,
        })
    }

    /// Whether the node takes a pod, as far as pressure goes (`Admit`).
    ///
    /// # Errors
    /// The message of a pod that is refused for [`REASON`].
    pub fn admit(&self, spec: &PodSpec, critical: bool) -> Result<(), String> {
        if self.conditions.is_empty() || critical {
            return Ok(());
        }
        if self.conditions == [Condition::Memory] {
            let taint = Taint {
                key: "node.kubernetes.io/memory-pressure".into(),
                effect: "NoSchedule".into(),
                ..Taint::default()
            };
            let class = qos_class(spec, self.config.pod_level_resources);
            let tolerations = spec.tolerations.as_deref().unwrap_or_default();
            if class != QosClass::BestEffort || tolerate(tolerations, &taint) {
                return Ok(());
            }
        }
        let names: Vec<&str> = self.conditions.iter().map(|c| c.as_str()).collect();
        Err(format!("The node had condition: [{}]. ", names.join(" ")))
    }
}

/// Why somebody is evicted.
struct Because<'a> {
    threshold: &'a Threshold,
    resource: &'static str,
    thresholds: &'a [Threshold],
    seen: &'a Observations,
}

/// Whether dead containers and unused images are on the file system of a signal (`buildSignalToNodeReclaimFuncs`).
fn reclaim_functions(signal: Signal, disks: Disks) -> (bool, bool) {
    let node = matches!(signal, Signal::NodeFsAvailable | Signal::NodeFsInodesFree);
    let image = matches!(signal, Signal::ImageFsAvailable | Signal::ImageFsInodesFree);
    let container = matches!(signal, Signal::ContainerFsAvailable | Signal::ContainerFsInodesFree);
    match (disks.dedicated_image_fs, disks.split_container_fs) {
        _ if !(node || image || container) => (false, false),
        (true, false) if node => (false, false),
        (true, true) => (!image, image),
        _ => (true, true),
    }
}

#[cfg(test)]
mod tests;
