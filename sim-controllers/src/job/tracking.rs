//! Counting ended pods exactly once (`trackJobStatusAndRemoveFinalizers`).
//!
//! An ended pod is first noted in `status.uncountedTerminatedPods`, then loses its finalizer, then moves to the
//! counter. Whatever is interrupted where, no pod is lost and none is counted twice.

use std::collections::BTreeSet;

use sim_core::api::meta::Uid;
use sim_core::api::pod_status::PodPhase;
use sim_core::api::request::{MetaPatch, Request};
use smol_str::SmolStr;

use super::MAX_PER_SYNC;
use super::conditions::{self, COMPLETE, FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET};
use super::pods::{self, Row, TRACKING_FINALIZER};
use super::sync::{Run, positive};
use super::{failure_policy, pods::is_tracked};
use crate::machinery::fx::{Effect, Outcome, Own, Stop};
use crate::machinery::refs::patch_of;
use sim_core::api::object::Object;

/// Takes the tracking finalizer off a pod.
pub(super) fn remove_finalizer(pod: &Object) -> Request {
    let remove_finalizers = vec![SmolStr::new_static(TRACKING_FINALIZER)];
    patch_of(pod, MetaPatch { remove_finalizers, ..MetaPatch::default() })
}

/// What one pass over the pods found.
struct Pass {
    release: Vec<Row>,
    newly_succeeded: Vec<i64>,
    dirty: bool,
    too_many: bool,
}

impl Run<'_, '_, '_> {
    pub(super) fn track(&mut self, dirty: bool) -> Outcome {
        if pods::is_indexed(&self.spec) {
            self.pods.sort_by_key(|p| pods::index(p).unwrap_or(-1));
        }
        let gone = &self.input.finalizers_gone;
        let tracked = self.pods.iter().filter(|p| is_tracked(p) && !gone.contains(&p.meta.uid));
        let mut with_finalizer: BTreeSet<Uid> = tracked.map(|p| p.meta.uid).collect();
        let counted = self.count_released(&with_finalizer);
        let mut pass = self.pass();
        pass.dirty |= dirty | counted;
        if pods::is_indexed(&self.spec) {
            pass.dirty |= self.note_indexes(&pass.newly_succeeded);
        }
        pass.dirty |= self.note_interim();
        if pass.dirty {
            self.write()?;
            self.fx.emit(Effect::Own(Own::JobBackoff(self.record)));
        }
        let refused = self.release(&pass.release, &mut with_finalizer)?;
        let mut dirty = self.count_released(&with_finalizer);
        if let Some(error) = refused {
            if dirty {
                self.write()?;
            }
            return Err(error);
        }
        let ended = !pass.too_many && self.end();
        dirty |= ended;
        if dirty {
            self.write()?;
            if ended {
                self.report_end();
            }
        }
        Ok(())
    }

    /// Notes ended pods as uncounted and picks those whose finalizer may go.
    fn pass(&mut self) -> Pass {
        let mut pass =
            Pass { release: Vec::new(), newly_succeeded: Vec::new(), dirty: false, too_many: false };
        let indexed = pods::is_indexed(&self.spec);
        let completions = i64::from(self.spec.completions.unwrap_or(0));
        for pod in &self.pods {
            let uid = pod.meta.uid;
            if !is_tracked(pod) || self.input.finalizers_gone.contains(&uid) {
                continue;
            }
            let failed = pods::is_failed(&self.spec, pod);
            if !self.may_release(pod, failed) {
                continue;
            }
            pass.release.push(pod.clone());
            let index = pods::index_below(pod, completions);
            let uncounted = self.status.uncounted_terminated_pods.get_or_insert_default();
            let job_failed = self.finished.as_ref().is_some_and(|c| c.type_ != SUCCESS_CRITERIA_MET);
            if pods::phase(pod) == PodPhase::Succeeded && !self.uncounted.failed.contains(&uid) {
                if indexed {
                    if let Some(index) = index.filter(|i| !self.succeeded_before.has(*i)) {
                        pass.newly_succeeded.push(index);
                        pass.dirty = true;
                    }
                } else if !self.uncounted.succeeded.contains(&uid) {
                    uncounted.succeeded.get_or_insert_default().push(uid.to_string());
                    pass.dirty = true;
                }
            } else if (failed || job_failed)
                && !self.uncounted.failed.contains(&uid)
                && (!indexed || index.is_some())
                && self
                    .spec
                    .pod_failure_policy
                    .as_ref()
                    .is_none_or(|p| failure_policy::evaluate(p, pod).counted)
            {
                uncounted.failed.get_or_insert_default().push(uid.to_string());
                pass.dirty = true;
            }
            let length = |list: &Option<Vec<String>>| list.as_ref().map_or(0, Vec::len);
            let pending =
                pass.newly_succeeded.len() + length(&uncounted.succeeded) + length(&uncounted.failed);
            if pending >= MAX_PER_SYNC {
                // The status must not grow without bound: the rest is for the next sync.
                pass.too_many = true;
                break;
            }
        }
        pass
    }

    /// True if a pod's finalizer may go (`canRemoveFinalizer`).
    fn may_release(&self, pod: &Row, failed: bool) -> bool {
        if self.object.meta.is_deleting()
            || self.finished.is_some()
            || pods::phase(pod) == PodPhase::Succeeded
        {
            return true;
        }
        if !failed {
            return false;
        }
        let last = self.spec.backoff_limit_per_index.and(pods::index(pod)).and_then(|i| self.delayed.get(&i));
        last.is_none_or(|last| last.meta.uid != pod.meta.uid)
    }

    fn note_indexes(&mut self, newly_succeeded: &[i64]) -> bool {
        self.succeeded_indexes = self.succeeded_before.with(newly_succeeded);
        let text = Some(self.succeeded_indexes.to_string()).filter(|t| !t.is_empty());
        let mut dirty = text != self.status.completed_indexes;
        self.status.succeeded = positive(self.succeeded_indexes.total() as i32);
        self.status.completed_indexes = text;
        let failed = self.failed_indexes.as_ref().map(ToString::to_string);
        if failed != self.status.failed_indexes {
            self.status.failed_indexes = failed;
            dirty = true;
        }
        dirty
    }

    /// Before finalizers go, the status must say how the Job ends; the condition in hand becomes the final one.
    fn note_interim(&mut self) -> bool {
        let Some(condition) = self.finished.take() else { return false };
        let now = self.fx.wire_now();
        let (kind, new) = match condition.type_.as_str() {
            FAILURE_TARGET => (FAILED, true),
            SUCCESS_CRITERIA_MET => {
                (COMPLETE, conditions::is_true(&self.status, SUCCESS_CRITERIA_MET).is_none())
            }
            _ => {
                self.finished = Some(condition);
                return false;
            }
        };
        self.finished = Some(conditions::turned_into(kind, &condition, now));
        if new {
            self.status.conditions.get_or_insert_default().push(condition);
        }
        new
    }

    /// Takes finalizers off. Pods that lost theirs leave `with_finalizer`. Returns the first refusal.
    fn release(&mut self, pods: &[Row], with_finalizer: &mut BTreeSet<Uid>) -> Result<Option<Stop>, Stop> {
        if pods.is_empty() {
            return Ok(None);
        }
        let uids = pods.iter().map(|p| p.meta.uid).collect();
        self.fx.emit(Effect::Own(Own::ExpectFinalizersGone(uids)));
        let answers = self.fx.batch(|| pods.iter().map(|p| remove_finalizer(p)).collect())?;
        let mut refused = None;
        for (pod, answer) in pods.iter().zip(answers) {
            if let Err(error) = answer {
                self.fx.emit(Effect::Own(Own::FinalizerObserved(pod.meta.uid)));
                if !error.is_not_found() {
                    refused = refused.or(Some(Stop::Failed(error.clone())));
                    continue;
                }
            }
            with_finalizer.remove(&pod.meta.uid);
        }
        Ok(refused)
    }

    /// Moves pods without finalizer from the uncounted to the counters (`cleanUncountedPodsWithoutFinalizers`).
    fn count_released(&mut self, with_finalizer: &BTreeSet<Uid>) -> bool {
        let Some(uncounted) = &mut self.status.uncounted_terminated_pods else { return false };
        let settle = |list: &mut Option<Vec<String>>, counter: &mut Option<i32>| {
            let Some(uids) = list else { return false };
            let before = uids.len();
            uids.retain(|uid| with_finalizer.contains(&Uid::parse(uid)));
            let moved = before - uids.len();
            *counter = positive(counter.unwrap_or(0).saturating_add(moved as i32));
            if uids.is_empty() {
                *list = None;
            }
            moved > 0
        };
        let succeeded = settle(&mut uncounted.succeeded, &mut self.status.succeeded);
        settle(&mut uncounted.failed, &mut self.status.failed) || succeeded
    }

    /// Adds the terminal condition, once no pod is uncounted or terminating (`enactJobFinished`).
    fn end(&mut self) -> bool {
        let Some(condition) = self.finished.clone() else { return false };
        let uncounted = self.status.uncounted_terminated_pods.as_ref();
        if uncounted.is_some_and(|u| u.succeeded.is_some() || u.failed.is_some()) || self.terminating > 0 {
            return false;
        }
        if condition.type_ == COMPLETE {
            self.status.completion_time = condition.last_transition_time.clone();
        }
        conditions::ensure(&mut self.status, condition);
        true
    }

    fn report_end(&mut self) {
        let Some(condition) = &self.finished else { return };
        let about = &self.input.object;
        if condition.type_ == COMPLETE {
            if self.spec.completions.is_some_and(|c| self.status.succeeded.unwrap_or(0) > c) {
                let message = "Too many succeeded pods running after completion count reached";
                self.fx.warning(about, "TooManySucceededPods", message.into());
            }
            self.fx.normal(about, "Completed", "Job completed".into());
            return;
        }
        let reason = match condition.reason.as_deref() {
            Some("PodFailurePolicy") => "PodFailurePolicy",
            Some("BackoffLimitExceeded") => "BackoffLimitExceeded",
            Some("DeadlineExceeded") => "DeadlineExceeded",
            Some("MaxFailedIndexesExceeded") => "MaxFailedIndexesExceeded",
            Some("FailedIndexes") => "FailedIndexes",
            _ => "Failed",
        };
        self.fx.warning(about, reason, condition.message.clone().unwrap_or_default());
    }
}
