//! The ResourceClaim controller (`pkg/controller/resourceclaim`): makes claims from templates for pods, reserves claims for
//! pods that no scheduler placed, and takes reservations, devices and generated claims away from pods that are over.
//!
//! Claims of extended resources are nobody's business here before they or their reservations change: upstream looks only at
//! pods with `spec.resourceClaims`, and leaves the rest to the garbage collector.

mod claim;
#[cfg(test)]
mod convergence;
mod generate;
mod pod;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind};
use sim_core::features::FeatureGates;
use sim_core::time::{Span, Time, hours};
use sim_dra::pod as claims;

use crate::machinery::cache::Caches;
use crate::machinery::fx::{Effect, Fx, Outcome, Own};
use crate::machinery::host;
use crate::machinery::recent::RecentUids;
use crate::manager::Timer;

/// Says for which of its pod's claims a claim was made.
pub const POD_CLAIM_NAME: &str = "resource.kubernetes.io/pod-claim-name";

/// How many claims that were made are remembered, and for how long (`NewIntegerResourceVersionMutationCache`).
const MADE_LIMIT: usize = 100;
const MADE_FOR: Span = hours(1);

/// What its queue holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// A claim whose users or owner may be gone.
    Claim(Key),
    /// A pod that may lack claims or reservations.
    Pod(Key),
}

/// The controller.
#[derive(Clone, Debug, Default)]
pub struct Controller {
    /// Gates of the cluster.
    pub features: FeatureGates,
    /// The last claims that were made, and when, the oldest first.
    made: VecDeque<(Time, Arc<Object>)>,
    /// Pods that are known to have gone.
    deleted: RecentUids,
}

/// What a sync reads.
#[derive(Clone, Debug)]
pub enum Input {
    /// Of a claim.
    Claim(claim::Input),
    /// Of a pod.
    Pod(pod::Input),
}

/// How the controller enqueues.
type Enqueue<'a> = &'a mut dyn FnMut(Work, Span);

/// True if none of the pod's containers run or ever will (`isPodDone`).
fn is_done(pod: &Object) -> bool {
    let Some(body) = pod.as_pod() else { return false };
    body.status.phase.is_terminal() || pod.meta.is_deleting() && body.node_name.is_empty()
}

impl Controller {
    /// A pod changed (`enqueuePod`).
    pub fn pod_changed(&mut self, caches: &Caches, change: &Change, enqueue: Enqueue<'_>) {
        let (pod, deleted) = (&change.new, change.kind == ChangeKind::Deleted);
        if claims::claims_of(pod).is_empty() {
            return;
        }
        if deleted {
            self.deleted.insert(pod.meta.uid);
        }
        look_at(caches, pod, deleted, enqueue);
    }

    /// A claim changed (`enqueueResourceClaim`).
    pub fn claim_changed(&mut self, caches: &Caches, change: &Change, enqueue: Enqueue<'_>) {
        let claim = &change.new;
        if change.kind != ChangeKind::Deleted {
            enqueue(Work::Claim(claim.key().clone()), Span::ZERO);
        }
        for pod in caches.users_of(claim.key()) {
            look_at(caches, pod, false, enqueue);
        }
    }

    /// The claim that was made for one of a pod's claims, if there is one (`findPodResourceClaim`).
    ///
    /// As upstream's mutation cache, the list of claims that were made is also asked for claims that have gone since: one
    /// that somebody deletes right after it was made is not made again.
    fn made_for(&mut self, caches: &Caches, pod: &Object, name: &str, now: Time) -> Option<Arc<Object>> {
        let owner = pod.meta.uid;
        for shown in caches.controlled(owner, Kind::RESOURCE_CLAIM) {
            let version = shown.meta.resource_version;
            self.made.retain(|(_, made)| made.key() != shown.key() || made.meta.resource_version > version);
        }
        self.made.retain(|(at, _)| now - *at < MADE_FOR);
        let made = self.made.iter().map(|(_, made)| made);
        let made = made.filter(|made| made.meta.controller_of().is_some_and(|o| o.uid == owner));
        let is_it = |claim: &&Arc<Object>| {
            generate::is_owned_by_a_pod(claim)
                && claim.meta.annotations.get(POD_CLAIM_NAME).is_some_and(|made_for| made_for == name)
        };
        caches.controlled(owner, Kind::RESOURCE_CLAIM).chain(made).find(is_it).cloned()
    }
}

fn look_at(caches: &Caches, pod: &Object, deleted: bool, enqueue: Enqueue<'_>) {
    if deleted || is_done(pod) {
        for claim in claims::claims_of(pod) {
            if let Ok(Some((name, _))) = claims::claim_name(pod, claim) {
                enqueue(Work::Claim(Key::new(pod.meta.key.namespace.clone(), name)), Span::ZERO);
            }
        }
    }
    if needs_work(caches, pod) {
        enqueue(Work::Pod(pod.key().clone()), Span::ZERO);
    }
}

/// True if a claim of the pod is to be made or reserved (`podNeedsWork`).
// DIFFERS: upstream also gives claims and reservations to pods that are over, which the same controller takes away again: a
// claim that such a pod shares with another that runs is written in circles for ever (kubernetes issue 141274).
fn needs_work(caches: &Caches, pod: &Object) -> bool {
    if pod.meta.is_deleting() || is_done(pod) {
        return false;
    }
    let is_bound = pod.as_pod().is_some_and(|p| !p.node_name.is_empty());
    for claim in claims::claims_of(pod) {
        let (name, own) = match claims::claim_name(pod, claim) {
            Err(_) => return true,
            Ok(None) => return false,
            Ok(Some(named)) => named,
        };
        let key = Key::new(pod.meta.key.namespace.clone(), name);
        let Some(found) = caches.get(Kind::RESOURCE_CLAIM, &key) else {
            // One without a template is the user's to make.
            return claim.resource_claim_template_name.is_some();
        };
        if own && !claims::is_for(pod, found) {
            return false;
        }
        if is_bound && lacks_reservation(pod, found) {
            return true;
        }
    }
    false
}

/// True if the claim has devices and the pod has not reserved it.
fn lacks_reservation(pod: &Object, claim: &Object) -> bool {
    claims::allocation(claim).is_some() && !claims::is_reserved_for(claim, pod.meta.uid)
}

impl host::Controller for Controller {
    type Key = Work;
    type Input = Input;

    fn gather(&mut self, caches: &Caches, key: &Work, now: Time) -> Option<Input> {
        match key {
            Work::Claim(key) => {
                let claim = caches.get(Kind::RESOURCE_CLAIM, key)?;
                Some(Input::Claim(claim::Input::gather(caches, &self.deleted, claim)))
            }
            Work::Pod(key) => {
                let pod = caches.claimant(key).filter(|pod| !pod.meta.is_deleting() && !is_done(pod))?;
                Some(Input::Pod(pod::Input::gather(self, caches, pod, now)))
            }
        }
    }

    fn sync(input: &Input, fx: &mut Fx<'_>) -> Outcome {
        match input {
            Input::Claim(input) => claim::sync(input, fx),
            Input::Pod(input) => pod::sync(input, fx),
        }
    }

    fn apply(&mut self, _key: &Work, effect: Effect, now: Time) -> Option<Work> {
        if let Effect::Own(Own::ClaimMade(claim)) = effect {
            self.made.push_back((now, claim));
            if self.made.len() > MADE_LIMIT {
                self.made.pop_front();
            }
        }
        None
    }

    fn timer(key: Work) -> Timer {
        Timer::Claim(key)
    }
}
