//! Device-taint eviction (`pkg/controller/devicetainteviction`): pods that use a device with a `NoExecute` taint which they do
//! not tolerate are deleted, at once or when the tolerated time is over. Behind the gate `DRADeviceTaints`.
//!
//! [`pools`] knows which devices are tainted, [`claims`] which claims have them and until when pods may use those, [`evict`]
//! deletes. As upstream, everything is found out when something changes, and nothing is looked for then: claims are indexed
//! by the pools of their devices, pods by the claims they use.
//!
//! Tolerations are those of the allocation (`status.allocation.devices.results[].tolerations`), which the allocator of 1.34
//! leaves empty: a pod whose request tolerates a `NoExecute` taint gets the device and is evicted from it, as upstream.

mod claims;
mod evict;
mod pools;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::Value;
use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind};
use sim_core::engine::component::{Ctx, ObjectRef};
use sim_core::engine::log::EventType;
use sim_core::features::{FeatureGates, Gate};
use sim_core::time::{Epoch, Span, Time};
use sim_dra::pod as dra;

use crate::machinery::cache::Caches;
use crate::machinery::fx::{Effect, Fx, Outcome, Own};
use crate::machinery::host;
use crate::machinery::queue::Backoff;
use crate::manager::Timer;
use claims::AllocatedClaims;
use pools::Pools;

/// Reason of its Events.
pub const EVENT_REASON: &str = "DeviceTaintManagerEviction";
/// How often the deletion of a pod is tried.
const TRIES: u32 = 5;

/// A pod that is to go (a `TimedWorker`).
#[derive(Clone, Debug)]
struct Eviction {
    pod: Arc<Object>,
    at: Time,
    /// It was due when it was decided: nothing cancels it or moves it any more.
    at_once: bool,
    told: bool,
    tries: u32,
}

/// The controller.
#[derive(Clone, Debug, Default)]
pub struct Controller {
    is_on: bool,
    epoch: Epoch,
    pools: Pools,
    claims: AllocatedClaims,
    evictions: FxHashMap<Key, Eviction>,
    cancelled: Vec<Arc<Object>>,
}

/// How the controller enqueues.
type Enqueue<'a> = &'a mut dyn FnMut(ObjectRef, Span);

fn reference(pod: &Object) -> ObjectRef {
    ObjectRef { kind: Kind::POD, key: pod.key().clone(), uid: pod.meta.uid }
}

impl Controller {
    /// Learns the gates of the cluster, before anything else.
    pub fn start(&mut self, features: FeatureGates, epoch: Epoch) {
        self.is_on = features.on(Gate::DRADeviceTaints);
        self.epoch = epoch;
    }

    /// A watched object changed.
    pub fn changed(&mut self, caches: &Caches, now: Time, change: &Change, enqueue: Enqueue<'_>) {
        if !self.is_on {
            return;
        }
        match change.new.kind {
            Kind::POD => self.pod_changed(now, change, enqueue),
            Kind::RESOURCE_CLAIM => self.claim_changed(caches, now, change, enqueue),
            Kind::RESOURCE_SLICE | Kind::DEVICE_TAINT_RULE | Kind::DEVICE_CLASS => {
                for pool in self.pools.changed(change) {
                    for claim in self.claims.in_pool(&pool) {
                        if self.claims.refresh(&claim, &self.pools, self.epoch)
                            && let Some(object) = self.claims.get(&claim).map(|c| c.object.clone())
                        {
                            self.look_at_users(caches, now, &object, enqueue);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Tells what came up in the last changes: evictions that were called off, and selectors of rules that failed.
    pub fn tell(&mut self, ctx: &mut Ctx<'_, Timer>) {
        for pod in self.cancelled.drain(..) {
            ctx.event(&pod, EventType::Normal, EVENT_REASON, "Cancelling deletion");
        }
        for (rule, message) in self.pools.take_failures() {
            ctx.event(&rule, EventType::Warning, "CELRuntimeError", &message);
        }
    }

    /// `handleClaimChange`.
    fn claim_changed(&mut self, caches: &Caches, now: Time, change: &Change, enqueue: Enqueue<'_>) {
        let claim = &change.new;
        if change.kind == ChangeKind::Deleted {
            self.claims.remove(claim.key());
            return self.look_at_users(caches, now, claim, enqueue);
        }
        let Some(old) = &change.old else {
            if dra::allocation(claim).is_some() {
                self.claims.insert(claim, &self.pools, self.epoch);
                self.look_at_users(caches, now, claim, enqueue);
            }
            return;
        };
        match (dra::allocation(old).is_some(), dra::allocation(claim).is_some()) {
            (false, false) => return,
            (_, true) => self.claims.insert(claim, &self.pools, self.epoch),
            (true, false) => self.claims.remove(claim.key()),
        }
        if dra::reserved_for(old) != dra::reserved_for(claim) {
            self.look_at_users(caches, now, old, enqueue);
        }
        self.look_at_users(caches, now, claim, enqueue);
    }

    /// `handlePodChange`: only a new node or new names of claims matter.
    fn pod_changed(&mut self, now: Time, change: &Change, enqueue: Enqueue<'_>) {
        let pod = &change.new;
        if dra::claims_of(pod).is_empty() {
            return;
        }
        if change.kind == ChangeKind::Deleted {
            self.cancel(pod.key());
            return;
        }
        let facts = |pod: &Object| -> Option<(smol_str::SmolStr, Option<Value>)> {
            let body = pod.as_pod()?;
            let statuses = body.status.other.as_ref().and_then(|o| o.get("resourceClaimStatuses"));
            Some((body.node_name.clone(), statuses.cloned()))
        };
        if change.old.as_ref().is_none_or(|old| facts(old) != facts(pod)) {
            self.look_at(now, pod, enqueue);
        }
    }

    /// The pods that have reserved a claim (`handlePods`). As upstream, the first that is not there is the last.
    fn look_at_users(&mut self, caches: &Caches, now: Time, claim: &Object, enqueue: Enqueue<'_>) {
        for entry in dra::reserved_for(claim).iter().filter(|entry| dra::is_pod_entry(entry)) {
            let name = entry["name"].as_str().unwrap_or_default();
            let pod = caches.claimant(&Key::new(claim.meta.key.namespace.clone(), name));
            let Some(pod) = pod.filter(|pod| pod.meta.uid == dra::consumer(entry)).cloned() else { return };
            self.look_at(now, &pod, enqueue);
        }
    }

    /// Evicts a pod when the first of its claims wants it, or no more (`handlePod`).
    fn look_at(&mut self, now: Time, pod: &Arc<Object>, enqueue: Enqueue<'_>) {
        if pod.as_pod().is_none_or(|p| p.node_name.is_empty()) {
            return;
        }
        match self.eviction_time(pod) {
            Some(at) => self.evict(now, pod, at, enqueue),
            None => {
                if self.cancel(pod.key()) {
                    self.cancelled.push(pod.clone());
                }
            }
        }
    }

    fn eviction_time(&self, pod: &Object) -> Option<Time> {
        let of_claim = |named: &k8s_openapi::api::core::v1::PodResourceClaim| {
            let (name, own) = dra::claim_name(pod, named).ok().flatten()?;
            let claim = self.claims.get(&Key::new(pod.meta.key.namespace.clone(), name))?;
            let is_used = dra::is_reserved_for(&claim.object, pod.meta.uid);
            claim.eviction.filter(|_| is_used && (!own || dra::is_for(pod, &claim.object)))
        };
        dra::claims_of(pod).iter().filter_map(of_claim).min()
    }

    /// `TimedWorkerQueue.UpdateWork`.
    fn evict(&mut self, now: Time, pod: &Arc<Object>, at: Time, enqueue: Enqueue<'_>) {
        let known = self.evictions.get(pod.key());
        if known.is_some_and(|known| known.at_once || known.at == at) {
            return;
        }
        let eviction = Eviction { pod: pod.clone(), at, at_once: at <= now, told: false, tries: 0 };
        self.evictions.insert(pod.key().clone(), eviction);
        enqueue(reference(pod), at - now);
    }

    /// `TimedWorkerQueue.CancelWork`: true if that changed anything.
    fn cancel(&mut self, pod: &Key) -> bool {
        self.evictions.remove(pod).is_some_and(|eviction| !eviction.at_once)
    }
}

impl host::Controller for Controller {
    type Key = ObjectRef;
    type Input = evict::Input;
    /// `time.Sleep(10 * time.Millisecond)` between tries.
    const BACKOFF: Backoff = evict::BACKOFF;

    fn gather(&mut self, _: &Caches, key: &ObjectRef, now: Time) -> Option<evict::Input> {
        let eviction = self.evictions.get_mut(&key.key).filter(|e| e.pod.meta.uid == key.uid)?;
        let wait = eviction.at - now;
        if wait <= Span::ZERO {
            eviction.tries += 1;
        }
        let is_last = eviction.tries >= TRIES;
        Some(evict::Input { pod: eviction.pod.clone(), wait, is_told: eviction.told, is_last })
    }

    fn sync(input: &evict::Input, fx: &mut Fx<'_>) -> Outcome {
        evict::sync(input, fx)
    }

    fn apply(&mut self, key: &ObjectRef, effect: Effect, _: Time) -> Option<ObjectRef> {
        match effect {
            Effect::Own(Own::EvictionTold) => {
                if let Some(eviction) = self.evictions.get_mut(&key.key) {
                    eviction.told = true;
                }
            }
            Effect::Own(Own::EvictionOver) => drop(self.evictions.remove(&key.key)),
            _ => {}
        }
        None
    }

    fn timer(key: ObjectRef) -> Timer {
        Timer::Evict(key)
    }
}
