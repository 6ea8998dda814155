//! Creating and deleting the pods of a Job (`manageJob`).

use std::sync::Arc;

use k8s_openapi::api::core::v1::PodSpec;
use sim_core::api::error::ApiError;
use sim_core::api::meta::Labels;
use sim_core::api::object::{Body, Object};
use sim_core::names::job_index_generate_name;
use sim_core::time::Span;

use super::MAX_PER_SYNC;
use super::backoff::{self, BASE, MAX};
use super::pods::{self, COMPLETION_INDEX, INDEX_FAILURE_COUNT, INDEX_IGNORED_FAILURE_COUNT, Row};
use super::sync::Run;
use super::tracking::remove_finalizer;
use crate::machinery::fx::{Effect, Stop};
use crate::machinery::pod_control::{controller_ref, delete_pods, pod_from_template, slow_start};
use crate::machinery::ranking;

/// Active pods afterwards, and what went wrong.
type Managed = (i32, Option<ApiError>);

impl Run<'_, '_, '_> {
    /// Brings the number of active pods where it should be. Either deletes or creates, never both.
    pub(super) fn manage(&mut self, active: i32) -> Result<Managed, Stop> {
        let parallelism = self.spec.parallelism.unwrap_or(1);
        if self.spec.suspend.unwrap_or(false) {
            let pods = pods::for_removal(&self.spec, &self.active, active as usize);
            return self.delete_for_good(active, pods);
        }
        let wanted = match self.spec.completions {
            None if self.succeeded > 0 => active,
            None => parallelism,
            Some(completions) => completions.saturating_sub(self.succeeded).min(parallelism).max(0),
        };
        let surplus = (active - wanted).max(0) as usize;
        let mut surplus = pods::for_removal(&self.spec, &self.active, surplus);
        if !surplus.is_empty() {
            surplus.truncate(MAX_PER_SYNC);
            return self.delete_for_good(active, surplus);
        }
        let replaced_later = if pods::only_replace_failed(&self.spec) { self.terminating } else { 0 };
        let missing = wanted - replaced_later - active;
        if missing <= 0 {
            return Ok((active, None));
        }
        if self.spec.backoff_limit_per_index.is_none() {
            let left = self.record.remaining(BASE, MAX, self.fx.now());
            if left > Span::ZERO {
                self.fx.emit(Effect::RequeueAfter(left));
                return Ok((0, None));
            }
        }
        self.create(active, (missing as usize).min(MAX_PER_SYNC))
    }

    fn create(&mut self, active: i32, count: usize) -> Result<Managed, Stop> {
        let mut indexes = Vec::new();
        let mut count = count;
        if pods::is_indexed(&self.spec) {
            indexes = self.pending_indexes(count);
            if self.spec.backoff_limit_per_index.is_some() {
                let left;
                (indexes, left) = self.creatable(indexes);
                if left > Span::ZERO {
                    self.fx.emit(Effect::RequeueAfter(left));
                    return Ok((0, None));
                }
            }
            count = indexes.len();
        }
        self.fx.emit(Effect::Expect { creations: count, deletions: 0 });
        let owner_ref = controller_ref(&self.input.object, "batch/v1");
        let plain = pod_from_template(&self.input.template, &self.input.object, &owner_ref);
        let (spec, delayed) = (&self.spec, &self.delayed);
        let make = |n: usize| match indexes.get(n) {
            Some(index) => {
                let replaced = delayed.get(index).map(|p| &**p);
                let counts = spec.backoff_limit_per_index.map(|_| pods::new_index_failures(spec, replaced));
                indexed(&plain, self.input.object.meta.name(), *index, counts)
            }
            None => plain.clone(),
        };
        let (created, error) = slow_start(self.fx, &self.input.object, count, make)?;
        for _ in created..count {
            self.fx.emit(Effect::CreationFailed);
        }
        Ok((active + created as i32, error))
    }

    /// The lowest indexes without a pod (`firstPendingIndexes`).
    fn pending_indexes(&self, count: usize) -> Vec<i64> {
        let mut taken: Vec<i64> = pods::indexes(&self.active).into_iter().collect();
        if pods::only_replace_failed(&self.spec) {
            let terminating: Vec<Row> =
                self.pods.iter().filter(|p| pods::is_terminating(p)).cloned().collect();
            taken.extend(pods::indexes(&terminating));
        }
        let mut taken = self.succeeded_indexes.with(&taken);
        if let Some(failed) = &self.failed_indexes {
            taken = taken.union(failed);
        }
        taken.missing(count, i64::from(self.spec.completions.unwrap_or(0)))
    }

    /// Of these indexes those past their back-off; if there are none, the shortest wait
    /// (`getPodCreationInfoForIndependentIndexes`).
    fn creatable(&self, indexes: Vec<i64>) -> (Vec<i64>, Span) {
        let now = self.fx.now();
        let left = |index: &i64| {
            let Some((object, pod)) = self.delayed.get(index).and_then(|o| Some((o, o.as_pod()?))) else {
                return Span::ZERO;
            };
            let failures = pods::index_failures_absolute(object) as u32 + 1;
            backoff::remaining(BASE, MAX, failures, Some(backoff::finished_at(object, pod)), now)
        };
        let shortest = indexes.iter().map(left).min().unwrap_or(Span::ZERO);
        match shortest {
            Span::ZERO => (indexes.into_iter().filter(|i| left(i) == Span::ZERO).collect(), Span::ZERO),
            wait => (Vec::new(), wait),
        }
    }

    /// Deletes pods that are not to be counted: their finalizer goes first (`deleteJobPods`).
    fn delete_for_good(&mut self, active: i32, pods: Vec<Row>) -> Result<Managed, Stop> {
        self.fx.emit(Effect::Expect { creations: 0, deletions: pods.len() });
        let tracked: Vec<Row> = pods.iter().filter(|p| pods::is_tracked(p)).cloned().collect();
        let answers = self.fx.batch(|| tracked.iter().map(|p| remove_finalizer(p)).collect())?;
        let mut refused = None;
        let mut kept = Vec::new();
        for (pod, answer) in tracked.iter().zip(answers) {
            let Err(error) = answer else { continue };
            self.fx.emit(Effect::DeletionFailed(pod.key().clone()));
            kept.push(pod.meta.uid);
            if !error.is_not_found() {
                refused = refused.or(Some(error.clone()));
            }
        }
        let rest: Vec<Row> = pods.iter().filter(|p| !kept.contains(&p.meta.uid)).cloned().collect();
        let failed = |pod: &Object| Some(Effect::DeletionFailed(pod.key().clone()));
        let (deleted, error) = delete_pods(self.fx, &self.input.object, &rest, failed)?;
        self.ready -= ready(&rest);
        self.terminating += deleted as i32;
        Ok((active - deleted as i32, refused.or(error)))
    }

    /// Deletes all active pods of a Job that has ended (`deleteActivePods`).
    pub(super) fn delete_active(&mut self) -> Result<Managed, Stop> {
        let pods = self.active.clone();
        let (deleted, error) = delete_pods(self.fx, &self.input.object, &pods, |_| None)?;
        self.ready -= ready(&pods);
        Ok((deleted as i32, error))
    }
}

fn ready(pods: &[Row]) -> i32 {
    pods.iter().filter(|p| p.as_pod().is_some_and(ranking::is_ready)).count() as i32
}

/// The pod of an index.
fn indexed(plain: &Object, job: &str, index: i64, failures: Option<(i32, i32)>) -> Object {
    let mut object = plain.clone();
    let text = index.to_string();
    let labels: &mut Labels = Arc::make_mut(&mut object.meta.labels);
    labels.insert(COMPLETION_INDEX.into(), text.clone());
    let annotations: &mut Labels = Arc::make_mut(&mut object.meta.annotations);
    annotations.insert(COMPLETION_INDEX.into(), text);
    if let Some((counted, ignored)) = failures {
        annotations.insert(INDEX_FAILURE_COUNT.into(), counted.to_string());
        if ignored > 0 {
            annotations.insert(INDEX_IGNORED_FAILURE_COUNT.into(), ignored.to_string());
        }
    }
    object.meta.generate_name = job_index_generate_name(job, i32::try_from(index).unwrap_or(i32::MAX)).into();
    if let Body::Pod(pod) = &mut object.body {
        let mut spec = PodSpec::clone(&pod.spec);
        spec.hostname = Some(format!("{job}-{index}"));
        pod.spec = Arc::new(spec);
    }
    object
}
