//! One sync of a Job (`syncJob`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{JobCondition, JobSpec, JobStatus, UncountedTerminatedPods};
use sim_core::api::error::ApiError;
use sim_core::api::meta::Uid;
use sim_core::api::object::{Body, Job, Object};
use sim_core::api::pod_status::PodPhase;
use sim_core::api::request::Request;
use sim_core::time::secs;
use smol_str::SmolStr;

use super::backoff::{Record, finished_at};
use super::conditions::{self, FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET, SUSPENDED};
use super::intervals::Intervals;
use super::pods::{self, Row, TRACKING_FINALIZER};
use super::{Input, failure_policy, success_policy};
use crate::machinery::fx::{Effect, Fx, Outcome, Stop};
use crate::machinery::pod_control::controller_ref;
use crate::machinery::ranking;
use crate::machinery::refs::Claim;
use crate::machinery::selectors;
use crate::machinery::wire;

/// A sync under way (`syncJobCtx`).
pub(super) struct Run<'a, 'j, 'f> {
    pub(super) input: &'a Input,
    pub(super) fx: &'f mut Fx<'j>,
    /// The Job as last written.
    pub(super) object: Arc<Object>,
    pub(super) spec: Arc<JobSpec>,
    /// Working copy.
    pub(super) status: JobStatus,
    pub(super) pods: Vec<Row>,
    pub(super) active: Vec<Row>,
    pub(super) ready: i32,
    pub(super) terminating: i32,
    pub(super) succeeded: i32,
    pub(super) failed: i32,
    /// Uncounted pods at the start of the sync.
    pub(super) uncounted: Uncounted,
    pub(super) finished: Option<JobCondition>,
    pub(super) succeeded_before: Intervals,
    pub(super) succeeded_indexes: Intervals,
    pub(super) failed_indexes: Option<Intervals>,
    pub(super) delayed: BTreeMap<i64, Row>,
    pub(super) record: Record,
}

/// `status.uncountedTerminatedPods` as sets.
#[derive(Default)]
pub(super) struct Uncounted {
    pub(super) succeeded: BTreeSet<Uid>,
    pub(super) failed: BTreeSet<Uid>,
}

impl Uncounted {
    fn of(status: &JobStatus) -> Uncounted {
        let set = |list: Option<&Vec<String>>| list.into_iter().flatten().map(|u| Uid::parse(u)).collect();
        let uncounted = status.uncounted_terminated_pods.as_ref();
        Uncounted {
            succeeded: set(uncounted.and_then(|u| u.succeeded.as_ref())),
            failed: set(uncounted.and_then(|u| u.failed.as_ref())),
        }
    }
}

/// A count as the wire has it: left out when zero.
pub(super) fn positive(n: i32) -> Option<i32> {
    (n != 0).then_some(n)
}

pub(super) fn sync(input: &Input, fx: &mut Fx<'_>) -> Outcome {
    let Some(job) = input.object.as_job() else { return Ok(()) };
    if let Some(mode) = job.spec.completion_mode.as_deref()
        && !["Indexed", "NonIndexed"].contains(&mode)
    {
        fx.warning(
            &input.object,
            "UnknownCompletionMode",
            "Skipped Job sync because completion mode is unknown".into(),
        );
        return Ok(());
    }
    let mut status = JobStatus::clone(&job.status);
    status.uncounted_terminated_pods.get_or_insert_with(UncountedTerminatedPods::default);
    let pods = claim(input, &job.spec, fx)?;
    let active: Vec<Row> = pods.iter().filter(|p| ranking::is_active(p)).cloned().collect();
    let ready = active.iter().filter(|p| p.as_pod().is_some_and(ranking::is_ready)).count() as i32;
    let terminating = pods.iter().filter(|p| pods::is_terminating(p)).count() as i32;
    let uncounted = Uncounted::of(&status);
    let mut run = Run {
        object: input.object.clone(),
        spec: job.spec.clone(),
        status,
        pods,
        active,
        ready,
        terminating,
        succeeded: 0,
        failed: 0,
        uncounted,
        finished: None,
        succeeded_before: Intervals::default(),
        succeeded_indexes: Intervals::default(),
        failed_indexes: None,
        delayed: BTreeMap::new(),
        record: input.record,
        input,
        fx,
    };
    run.run()
}

/// The Job's pods; adopted ones are treated as having the finalizer that adoption gave them (`getPodsForJob`).
fn claim(input: &Input, spec: &JobSpec, fx: &mut Fx<'_>) -> Result<Vec<Row>, Stop> {
    let owner_ref = controller_ref(&input.object, "batch/v1");
    let claim = Claim {
        owner: &input.object,
        owner_ref: &owner_ref,
        selector: spec.selector.as_ref().and_then(selectors::compile),
        finalizer: Some(TRACKING_FINALIZER),
    };
    let mut pods = claim.all(fx, &input.pods)?;
    for pod in &mut pods {
        let adopted = !pod.meta.owner_references.iter().any(|o| o.uid == input.object.meta.uid);
        if adopted && !pods::is_tracked(pod) {
            let copy = Arc::make_mut(pod);
            copy.meta.finalizers.push(SmolStr::new_static(TRACKING_FINALIZER));
        }
    }
    Ok(pods)
}

impl Run<'_, '_, '_> {
    fn run(&mut self) -> Outcome {
        self.count();
        let suspended = self.spec.suspend.unwrap_or(false);
        if self.status.start_time.is_none() && !suspended {
            self.status.start_time = Some(self.fx.wire_now());
        }
        self.judge();
        if pods::is_indexed(&self.spec) {
            self.judge_indexes();
        }
        let mut active = self.active.len() as i32;
        let mut suspension_changed = false;
        let mut failure = None;
        if self.finished.is_some() {
            let (deleted, error) = self.delete_active()?;
            if deleted != active || !self.input.satisfied {
                // Pods that the cache does not show, or that would not go, may still need their finalizers removed.
                self.finished = None;
            }
            active -= deleted;
            self.terminating += deleted;
            failure = error;
        } else {
            let manage = self.input.satisfied && !self.object.meta.is_deleting();
            if manage {
                (active, failure) = self.manage(active)?;
            }
            let complete = match self.spec.completions {
                None => self.succeeded > 0 && active == 0,
                Some(completions) => self.succeeded >= completions && active == 0,
            };
            if complete {
                let message = "Reached expected number of succeeded pods";
                self.finished = Some(self.condition(SUCCESS_CRITERIA_MET, "CompletionsReached", message));
            } else if manage {
                suspension_changed = self.report_suspension(suspended);
            }
        }
        let dirty = suspension_changed
            || self.status.active != positive(active)
            || self.status.ready != Some(self.ready)
            || self.status.terminating != Some(self.terminating);
        self.status.active = positive(active);
        self.status.ready = Some(self.ready);
        self.status.terminating = Some(self.terminating);
        self.track(dirty)?;
        failure.map_or(Ok(()), |e: ApiError| Err(Stop::Failed(e)))
    }

    fn skip(&self, set: &BTreeSet<Uid>, uid: Uid) -> bool {
        set.contains(&uid) || self.input.finalizers_gone.contains(&uid)
    }

    /// Finished pods that are not in the status yet, and what they make of the counts and the back-off.
    fn count(&mut self) {
        let spec = self.spec.clone();
        let times = |rows: &[&Row]| -> Vec<_> {
            rows.iter().filter_map(|p| p.as_pod().map(|pod| finished_at(p, pod))).collect()
        };
        let succeeded: Vec<&Row> =
            pods::valid(&spec, &self.pods, |uid| self.skip(&self.uncounted.succeeded, uid))
                .filter(|p| pods::phase(p) == PodPhase::Succeeded)
                .collect();
        let failed: Vec<&Row> = pods::valid(&spec, &self.pods, |uid| self.skip(&self.uncounted.failed, uid))
            .filter(|p| pods::is_failed(&spec, p))
            .collect();
        let ignored = match &spec.pod_failure_policy {
            Some(policy) => failed.iter().filter(|p| !failure_policy::evaluate(policy, p).counted).count(),
            None => 0,
        };
        let record = self.input.record.after(&times(&succeeded), &times(&failed));
        let total = |counted: Option<i32>, new: usize, uncounted: usize| {
            counted.unwrap_or(0).saturating_add((new + uncounted) as i32)
        };
        let (new_succeeded, new_failed) = (succeeded.len(), failed.len() - ignored);
        self.record = record;
        self.succeeded = total(self.status.succeeded, new_succeeded, self.uncounted.succeeded.len());
        self.failed = total(self.status.failed, new_failed, self.uncounted.failed.len());
    }

    pub(super) fn condition(&self, kind: &str, reason: &str, message: &str) -> JobCondition {
        conditions::new(kind, "True", reason, message, self.fx.wire_now())
    }

    fn fail(&mut self, reason: &str, message: &str) {
        self.finished = Some(self.condition(FAILURE_TARGET, reason, message));
    }

    /// Whether the Job has ended, by what was decided before or by its pods and deadlines.
    fn judge(&mut self) {
        if let Some(met) = conditions::is_true(&self.status, SUCCESS_CRITERIA_MET) {
            self.finished = Some(met.clone());
            return;
        }
        if let Some(target) = conditions::is_true(&self.status, FAILURE_TARGET) {
            self.finished = Some(conditions::turned_into(FAILED, target, self.fx.wire_now()));
            return;
        }
        let policy = self.spec.pod_failure_policy.as_ref();
        let verdict = |pod: &Row| failure_policy::evaluate(policy?, pod).message;
        let failed = self.pods.iter().filter(|p| pods::is_failed(&self.spec, p));
        if let Some(message) = failed.into_iter().find_map(verdict) {
            return self.fail("PodFailurePolicy", &message);
        }
        let limit = self.spec.backoff_limit.unwrap_or(6);
        if self.failed > limit || self.restarted_too_often(limit) {
            return self.fail("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        let Some(seconds) = self.spec.active_deadline_seconds else { return };
        let Some(start) = self.status.start_time.as_ref().filter(|_| !self.spec.suspend.unwrap_or(false))
        else {
            return;
        };
        let left = wire::instant(self.fx.epoch(), start) + secs(seconds) - self.fx.now();
        if left.0 <= 0 {
            self.fail("DeadlineExceeded", "Job was active longer than specified deadline");
        } else {
            self.fx.emit(Effect::RequeueAfter(left));
        }
    }

    /// Restarts in place count for OnFailure (`pastBackoffLimitOnFailure`).
    fn restarted_too_often(&self, limit: i32) -> bool {
        let policy = self.spec.template.spec.as_ref().and_then(|s| s.restart_policy.as_deref());
        if policy != Some("OnFailure") {
            return false;
        }
        let running = self
            .pods
            .iter()
            .filter_map(|p| p.as_pod())
            .filter(|p| matches!(p.status.phase, PodPhase::Running | PodPhase::Pending));
        let statuses =
            running.flat_map(|p| p.status.init_container_statuses.iter().chain(&p.status.container_statuses));
        let restarts: i64 = statuses.map(|s| i64::from(s.restart_count)).sum();
        if limit == 0 { restarts > 0 } else { restarts >= i64::from(limit) }
    }

    fn judge_indexes(&mut self) {
        let completions = i64::from(self.spec.completions.unwrap_or(0));
        let completed = self.status.completed_indexes.clone().unwrap_or_default();
        (self.succeeded_before, self.succeeded_indexes) =
            pods::succeeded_indexes(&completed, completions, &self.pods);
        self.succeeded = self.succeeded_indexes.total() as i32;
        if self.spec.backoff_limit_per_index.is_some() {
            let before = self.status.failed_indexes.clone().unwrap_or_default();
            let failed = pods::failed_indexes(&self.spec, &before, &self.pods);
            let total = failed.total();
            if self.finished.is_none() {
                if self.spec.max_failed_indexes.is_some_and(|max| total > i64::from(max)) {
                    let message = "Job has exceeded the specified maximal number of failed indexes";
                    self.fail("MaxFailedIndexesExceeded", message);
                } else if total > 0 && total + self.succeeded_indexes.total() >= completions {
                    self.fail("FailedIndexes", "Job has failed indexes");
                }
            }
            let done = self.succeeded_indexes.union(&failed);
            self.delayed = pods::delayed_deletions(&self.spec, &self.pods, &self.active, &done, |uid| {
                self.input.finalizers_gone.contains(&uid)
            });
            self.failed_indexes = Some(failed);
        }
        if self.finished.is_none()
            && let Some(message) =
                success_policy::met(self.spec.success_policy.as_ref(), completions, &self.succeeded_indexes)
        {
            self.finished = Some(self.condition(SUCCESS_CRITERIA_MET, "SuccessPolicy", &message));
        }
    }

    /// Tells that the Job was suspended or resumed. A resumed Job starts anew, for its deadline.
    fn report_suspension(&mut self, suspended: bool) -> bool {
        let now = self.fx.wire_now();
        let (value, reason, message, event) = match suspended {
            true => ("True", "JobSuspended", "Job suspended", "Suspended"),
            false => ("False", "JobResumed", "Job resumed", "Resumed"),
        };
        let condition = conditions::new(SUSPENDED, value, reason, message, now.clone());
        let changed = conditions::ensure(&mut self.status, condition);
        if changed {
            self.fx.normal(&self.input.object, event, message.into());
            if !suspended {
                self.status.start_time = Some(now);
            }
        }
        changed
    }

    /// Writes the status; the answer becomes what the sync goes on with.
    pub(super) fn write(&mut self) -> Outcome {
        let (object, spec, status) = (&self.object, &self.spec, &self.status);
        let written = self.fx.call(|| {
            let mut copy = Object::clone(object);
            copy.body = Body::Job(Job { spec: spec.clone(), status: Arc::new(status.clone()) });
            Request::UpdateStatus(Box::new(copy))
        })??;
        self.object = written;
        Ok(())
    }
}
