//! Writing what was decided: devices and the pod that uses them, claim by claim (`bindClaim`).

use std::sync::Arc;

use sim_core::api::error::ApiError;
use sim_core::api::kind::Kind;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::api::request::{PodStatusPatch, Request};
use sim_core::engine::log::EventType;
use sim_core::syntax::go_quote;
use sim_core::time::{Span, Time, millis, secs};
use smol_str::{SmolStr, format_smolstr};

use super::{PodClaim, PodClaims, claim, conditions, extended};
use crate::framework::{Attempt, Effects, PreBound, Status};

/// How often a claim is tried that others change at the same time, and how long in between (`retry.DefaultRetry`).
const TRIES: u32 = 5;
const PAUSE: Span = millis(10);
/// How long it is waited for that a claim is seen which was made here (`AssumeExtendedResourceTimeoutDefaultSeconds`).
const PATIENCE: Span = secs(120);

/// How far the writing has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The claim that is being written.
    at: usize,
    /// That claim, as it is to be changed.
    current: Option<Arc<Object>>,
    /// What was sent last.
    sent: Option<Sent>,
    tries: u32,
    /// The claim for extended resources is written; the pod is to be told of it next.
    tell: bool,
    /// Until when it is waited for that the claim for extended resources is seen.
    unseen: Option<Time>,
    /// Since when conditions of devices are waited for, and when they are looked at next.
    waiting: Option<(Time, Time)>,
}

#[derive(Clone, Copy, Debug)]
enum Sent {
    /// The claim for extended resources is made.
    Create,
    /// The pod is told of it.
    PodStatus,
    Finalizer,
    Status,
}

impl PodClaims {
    /// Takes an answer, and goes on until something has to be sent.
    pub(super) fn write(
        &mut self,
        attempt: &Attempt<'_>,
        answer: Option<&Result<Arc<Object>, ApiError>>,
        effects: &mut Effects,
    ) -> PreBound {
        match self.next(attempt, answer, effects) {
            Ok(outcome) => outcome,
            Err(error) => {
                // Whether or not it was written: nobody writes it any more.
                if let Some(claim) = self.claims.get(self.progress.at) {
                    claim.settle(effects);
                }
                PreBound::Done(Status::error(error))
            }
        }
    }

    fn next(
        &mut self,
        attempt: &Attempt<'_>,
        answer: Option<&Result<Arc<Object>, ApiError>>,
        effects: &mut Effects,
    ) -> Result<PreBound, SmolStr> {
        if let (Some(answer), Some(sent)) = (answer, self.progress.sent.take())
            && let Some(pause) = self.answered(attempt, sent, answer, effects)?
        {
            return Ok(PreBound::Wait(pause));
        }
        let pod = attempt.object;
        while let Some(own) = self.claims.get(self.progress.at) {
            if own.special.is_some()
                && let Some(step) = own.special_step(&mut self.progress, attempt, effects)
            {
                match step {
                    Some(outcome) => return Ok(outcome),
                    None => continue,
                }
            }
            if self.progress.current.is_none() {
                if sim_dra::pod::is_reserved_for(&own.object, pod.meta.uid) {
                    self.progress.at += 1;
                    continue;
                }
                self.progress.current = Some(match self.progress.tries {
                    0 => own.object.clone(),
                    _ => latest(attempt, own)?,
                });
            }
            let Some(current) = &self.progress.current else { break };
            let name = current.key();
            if current.meta.is_deleting() {
                return Err(format_smolstr!("claim {name} got deleted in the meantime"));
            }
            let mut changed = Object::clone(current);
            if let Some(allocation) = &own.allocation {
                if claim::is_allocated(current) {
                    return Err(format_smolstr!("claim {name} got allocated elsewhere in the meantime"));
                }
                if !claim::is_protected(current) {
                    self.progress.sent = Some(Sent::Finalizer);
                    return Ok(PreBound::Send(vec![Request::Update(Box::new(claim::protected(current)))]));
                }
                changed = claim::allocated(current, allocation);
            }
            self.progress.sent = Some(Sent::Status);
            let mut changed = claim::reserved(&changed, pod);
            let objects = attempt.cluster.objects();
            if conditions::are_waited_for(objects.features()) {
                changed = claim::dated(&changed, &objects.epoch().rfc3339(attempt.now));
            }
            return Ok(PreBound::Send(vec![Request::UpdateStatus(Box::new(changed))]));
        }
        Ok(PreBound::Done(Status::success()))
    }

    /// Takes the answer to what was sent last. A claim that somebody else has changed is tried again, after a pause if the
    /// change is not seen yet.
    fn answered(
        &mut self,
        attempt: &Attempt<'_>,
        sent: Sent,
        answer: &Result<Arc<Object>, ApiError>,
        effects: &mut Effects,
    ) -> Result<Option<Span>, SmolStr> {
        let Some(own) = self.claims.get_mut(self.progress.at) else { return Ok(None) };
        let error = match (answer, sent) {
            (Ok(written), Sent::Finalizer) => {
                self.progress.current = Some(written.clone());
                return Ok(None);
            }
            (Ok(made), Sent::Create) => {
                own.object = made.clone();
                return Ok(None);
            }
            (Ok(_), Sent::PodStatus) => {
                self.progress.unseen = Some(attempt.now + PATIENCE);
                return Ok(None);
            }
            (Ok(written), Sent::Status) if own.special.is_some() => {
                own.object = written.clone();
                self.progress = Progress { at: self.progress.at, tell: true, ..Progress::default() };
                return Ok(None);
            }
            (Ok(written), Sent::Status) => {
                own.object = written.clone();
                let seen = attempt.cluster.objects().get(Kind::RESOURCE_CLAIM, written.key());
                let newer = |seen: &Object| written.meta.resource_version > seen.meta.resource_version;
                // What the scheduler only added itself to is known once it is seen, as upstream.
                if own.allocation.is_some() && seen.is_some_and(|seen| newer(seen)) {
                    effects.assume.push(written.clone());
                }
                own.settle(effects);
                self.progress = Progress { at: self.progress.at + 1, ..Progress::default() };
                return Ok(None);
            }
            (Err(error), _) => error,
        };
        let written = matches!(sent, Sent::Finalizer | Sent::Status);
        self.progress.tries += 1;
        if written && error.is_conflict() && self.progress.tries < TRIES {
            let tried = self.progress.current.take().map(|tried| tried.meta.resource_version);
            let latest = latest(attempt, own)?;
            let is_seen = Some(latest.meta.resource_version) > tried;
            return Ok(if is_seen { None } else { Some(PAUSE) });
        }
        let (name, error) = (own.object.key(), &error.message);
        Err(match (sent, &own.allocation) {
            // The text has no name, as upstream's: what failed to be made has none.
            (Sent::Create, _) => format_smolstr!("create claim for extended resources : {error}"),
            (Sent::PodStatus, _) => {
                format_smolstr!("update pod {} ExtendedResourceClaimStatus: {error}", attempt.object.key())
            }
            (Sent::Finalizer, _) => format_smolstr!("add finalizer to claim {name}: {error}"),
            (Sent::Status, Some(_)) => {
                format_smolstr!("add allocation and reservation to claim {name}: {error}")
            }
            (Sent::Status, None) => format_smolstr!("add reservation to claim {name}: {error}"),
        })
    }
}

impl PodClaims {
    /// Waits for conditions of devices, looked at every so often, once all claims are written.
    pub(super) fn wait(&mut self, attempt: &Attempt<'_>, node: &str, effects: &mut Effects) -> PreBound {
        let (objects, now) = (attempt.cluster.objects(), attempt.now);
        if !conditions::are_waited_for(objects.features())
            || !self.claims.iter().any(|claim| conditions::has_some(&claim.object))
        {
            return PreBound::Done(Status::success());
        }
        let (since, next) = *self.progress.waiting.get_or_insert_with(|| {
            let note = format_smolstr!("waiting for binding conditions for device on node {node}");
            let pod = Arc::new(attempt.object.clone());
            effects.events.push((pod, EventType::Normal, "BindingConditionsPending", note));
            (now, now)
        });
        // Asked before it is time.
        if now < next {
            return PreBound::Wait(next - now);
        }
        match self.are_ready(attempt) {
            Err(error) => PreBound::Done(Status::error(error)),
            Ok(true) => PreBound::Done(Status::success()),
            Ok(false) if now >= since + conditions::TIMEOUT => {
                PreBound::Done(Status::error("device binding timeout"))
            }
            Ok(false) => {
                self.progress.waiting = Some((since, now + conditions::INTERVAL));
                PreBound::Wait(conditions::INTERVAL)
            }
        }
    }

    /// `isPodReadyForBinding`.
    fn are_ready(&mut self, attempt: &Attempt<'_>) -> Result<bool, SmolStr> {
        let objects = attempt.cluster.objects();
        for own in &mut self.claims {
            let key = own.object.key();
            let known = objects.get(Kind::RESOURCE_CLAIM, key).ok_or_else(|| claim::absent(key))?;
            // What was written at this instant is assumed only after it.
            if known.meta.resource_version > own.object.meta.resource_version {
                own.object = known.clone();
            }
            let claim = &own.object;
            if conditions::are_met(claim)? {
                continue;
            }
            if conditions::is_timeout(claim, objects.epoch(), attempt.now) {
                return Err(format_smolstr!("claim {} binding timeout", claim.key().name));
            }
            return Ok(false);
        }
        Ok(true)
    }
}

impl PodClaim {
    /// The allocation is written, or never will be.
    fn settle(&self, effects: &mut Effects) {
        if self.allocation.is_some() {
            let (key, uid) = self.known_by();
            effects.pending.push((key.clone(), uid, None));
        }
    }

    /// What only the claim for extended resources needs: it is made first, and its pod is told of it last. `None` if it is to be
    /// written as others are; `Some(None)` if there is nothing to wait for.
    fn special_step(
        &self,
        progress: &mut Progress,
        attempt: &Attempt<'_>,
        effects: &mut Effects,
    ) -> Option<Option<PreBound>> {
        let pod = attempt.object;
        if extended::is_in_memory(&self.object) {
            // The node's device plugin has all that is asked for.
            if self.allocation.is_none() {
                progress.at += 1;
                return Some(None);
            }
            let mut claim = Object::clone(&self.object);
            (claim.meta.key.name, claim.meta.uid) = (SmolStr::default(), Uid(0));
            progress.sent = Some(Sent::Create);
            return Some(Some(PreBound::Send(vec![Request::Create(Box::new(claim))])));
        }
        if progress.tell {
            progress.tell = false;
            progress.sent = Some(Sent::PodStatus);
            let status = extended::status(pod, &self.object);
            let patch =
                PodStatusPatch { extended_resource_claim_status: Some(status), ..PodStatusPatch::default() };
            let (key, uid) = (pod.key().clone(), pod.meta.uid);
            let request = Request::PatchPodStatus { key, uid, patch: Box::new(patch) };
            return Some(Some(PreBound::Send(vec![request])));
        }
        let until = progress.unseen?;
        match attempt.cluster.objects().get(Kind::RESOURCE_CLAIM, self.object.key()) {
            None if attempt.now < until => return Some(Some(PreBound::Wait(secs(1)))),
            Some(seen) if self.object.meta.resource_version > seen.meta.resource_version => {
                effects.assume.push(self.object.clone());
            }
            _ => {}
        }
        self.settle(effects);
        *progress = Progress { at: progress.at + 1, ..Progress::default() };
        Some(None)
    }
}

/// The claim as last seen.
// DIFFERS: upstream reads it from the API server; nobody has to wait for an answer here, and what is behind is tried again.
fn latest(attempt: &Attempt<'_>, own: &PodClaim) -> Result<Arc<Object>, SmolStr> {
    let key = own.object.key();
    let seen = attempt.cluster.objects().seen(Kind::RESOURCE_CLAIM, key).cloned();
    seen.ok_or_else(|| {
        let name = go_quote(&key.name);
        format_smolstr!(
            "get updated claim {key} after conflict: resourceclaims.resource.k8s.io {name} not found"
        )
    })
}
