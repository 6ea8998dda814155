//! Claims of a pod on their way: looked up and prepared before its sandbox is made, given back before its last status
//! (`pkg/kubelet/cm/dra/manager.go`; kuberuntime_manager.go: SyncPod; kubelet.go: SyncTerminatingPod).

use std::collections::VecDeque;
use std::sync::Arc;

use sim_core::api::error::ApiError;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::{MetaPatch, Request, Tag};
use sim_core::engine::log::{EventType, Record};
use sim_core::time::{Span, secs};
use sim_dra::driver::Prepared;
use smol_str::{SmolStr, format_smolstr};

use crate::behavior::draw;
use crate::devices::claims::{Batch, ClaimInfo, Wanted, used_by, wanted};

use super::pod::{Busy, Stage};
use super::worker::{Outcome, PodWorker};
use super::{PodRef, Timer};

/// The kubelet waits this long for a driver (`defaultClientCallTimeout`).
const CALL_TIMEOUT: Span = secs(45);
/// Tags of answers about claims have this bit; those about pods' statuses have not.
pub(super) const CLAIM_TAG: u64 = 1 << 63;

/// Claims that are being looked up.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LookUp {
    wanted: VecDeque<Wanted>,
    found: Vec<(Key, ClaimInfo)>,
    /// The pod ran already when this kubelet started.
    adopted: bool,
}

impl LookUp {
    /// Whether this can be the answer that is waited for.
    fn awaits(&self, result: &Result<Arc<Object>, ApiError>) -> bool {
        let next = self.wanted.front();
        result.as_ref().map_or(true, |claim| next.is_some_and(|next| next.name == claim.meta.name()))
    }
}

/// Drivers that are being asked, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Calls {
    batches: VecDeque<Batch>,
    /// Claims that are done when all drivers are.
    keys: Vec<Key>,
    /// What the one being asked will say.
    answer: Result<Vec<(Key, Vec<Prepared>)>, SmolStr>,
    /// Devices are given back.
    back: bool,
}

/// Reads an object past the watch.
// A patch that changes nothing is no write and answers with the object as it is: the contract has no GET.
fn get(kind: Kind, key: Key) -> Request {
    Request::PatchMeta { kind, key, uid: Uid::default(), patch: Box::new(MetaPatch::default()) }
}

impl PodWorker<'_, '_> {
    /// True if the pod has claims; most have none and pay for nothing here.
    pub(super) fn has_claims(&self) -> bool {
        let Some(pod) = self.pod.object.as_pod() else { return false };
        let extended =
            || pod.status.other.as_ref().is_some_and(|o| o.contains_key("extendedResourceClaimStatus"));
        pod.spec.resource_claims.as_ref().is_some_and(|c| !c.is_empty()) || extended()
    }

    /// Begins to prepare the claims of a pod whose sandbox is to be made.
    pub(super) fn prepare_claims(&mut self) -> Outcome {
        match wanted(&self.pod.object) {
            Ok(wanted) => self.look_up(wanted, false),
            Err(why) => self.not_prepared(&why.to_string()),
        }
    }

    /// A pod that runs already: its claims are in use, as the kubelet's checkpoint says.
    pub(super) fn adopt_claims(&mut self) {
        if let Ok(wanted) = wanted(&self.pod.object) {
            self.look_up(wanted, true);
        }
    }

    fn look_up(&mut self, wanted: Vec<Wanted>, adopted: bool) -> Outcome {
        self.next_look_up(LookUp { wanted: wanted.into(), found: Vec::new(), adopted })
    }

    /// Claims are read one by one.
    fn next_look_up(&mut self, look_up: LookUp) -> Outcome {
        let Some(next) = look_up.wanted.front() else { return self.looked_up(look_up) };
        let key = Key::new(self.pod.object.meta.namespace(), next.name.clone());
        let PodRef { slot, generation } = self.me;
        let tag = Tag(CLAIM_TAG | u64::from(slot) << 32 | u64::from(generation));
        self.ctx.request(get(Kind::RESOURCE_CLAIM, key), tag);
        if look_up.adopted {
            self.pod.adopting = Some(Box::new(look_up));
        } else {
            self.pod.busy = Busy::LookingUp(Box::new(look_up));
        }
        Outcome::Busy
    }

    /// A claim was read.
    pub(super) fn claim_read(&mut self, result: &Result<Arc<Object>, ApiError>) {
        let adopting = self.pod.adopting.take().filter(|_| self.pod.stage == Stage::Syncing);
        let outcome = if let Some(look_up) = adopting {
            self.claim_found(*look_up, result)
        } else {
            match std::mem::take(&mut self.pod.busy) {
                Busy::LookingUp(look_up) if look_up.awaits(result) => self.claim_found(*look_up, result),
                // The pod has come to its end meanwhile, or its kubelet to a new beginning.
                other => {
                    self.pod.busy = other;
                    return;
                }
            }
        };
        if outcome == Outcome::Failed {
            self.work();
        }
    }

    fn claim_found(&mut self, mut look_up: LookUp, result: &Result<Arc<Object>, ApiError>) -> Outcome {
        let Some(Wanted { name, own }) = look_up.wanted.pop_front() else { return Outcome::Done };
        let info = match result {
            Ok(claim) => ClaimInfo::of(&self.pod.object, claim, own).map(|info| (claim.key().clone(), info)),
            Err(error) => Err(format_smolstr!("fetch ResourceClaim {name}: {error}")),
        };
        match info {
            Ok((key, info)) if look_up.adopted => {
                let uid = self.uid();
                self.node.devices_mut().claims.restore(uid, key, info);
            }
            Ok((key, info)) => {
                let missing = info.drivers().find(|driver| !self.node.has_driver(driver, self.config));
                if let Some(driver) = missing {
                    return self.not_prepared(&format_smolstr!("DRA driver {driver} is not registered"));
                }
                look_up.found.push((key, info));
            }
            Err(_) if look_up.adopted => {}
            Err(why) => return self.not_prepared(&why),
        }
        self.next_look_up(look_up)
    }

    fn looked_up(&mut self, look_up: LookUp) -> Outcome {
        if look_up.adopted {
            return Outcome::Done;
        }
        let uid = self.uid();
        match self.node.devices_mut().claims.begin(uid, look_up.found) {
            Err(why) => self.not_prepared(&why),
            Ok(batches) => {
                let mut keys: Vec<Key> = batches.iter().flat_map(|(_, keys)| keys.clone()).collect();
                keys.sort();
                keys.dedup();
                self.next_call(Calls { batches: batches.into(), keys, answer: Ok(Vec::new()), back: false })
            }
        }
    }

    /// Asks the next driver; what it says is known at once, and heard when its time has passed.
    fn next_call(&mut self, mut calls: Calls) -> Outcome {
        let Some((driver, keys)) = calls.batches.front() else { return self.calls_over(calls) };
        let (driver, keys) = (driver.clone(), keys.clone());
        let (mut took, mut answer) = (Span::ZERO, Ok(Vec::new()));
        for key in keys {
            let said = self.node.ask(self.ctx, self.config, &driver, &key, calls.back);
            took = took + said.after;
            let verb = if calls.back { "Unprepare" } else { "Prepare" };
            match (said.result, &mut answer) {
                (Ok(devices), Ok(all)) => all.push((key, devices)),
                (Err(why), Ok(_)) => {
                    let name = &key.name;
                    answer =
                        Err(format_smolstr!("Node{verb}Resources failed for ResourceClaim {name}: {why}"));
                }
                (_, Err(_)) => {}
            }
        }
        if took > CALL_TIMEOUT {
            let verb = if calls.back { "Unprepare" } else { "Prepare" };
            took = CALL_TIMEOUT;
            answer = Err(format_smolstr!(
                "Node{verb}Resources: rpc error: code = DeadlineExceeded desc = context deadline exceeded"
            ));
        }
        calls.answer = answer;
        self.pod.busy = Busy::Calling(Box::new(calls));
        self.begin_step(took);
        Outcome::Busy
    }

    /// The driver that was asked has answered.
    pub(super) fn called(&mut self, mut calls: Calls) -> Outcome {
        let said = std::mem::replace(&mut calls.answer, Ok(Vec::new()));
        let batch = calls.batches.pop_front();
        match said {
            Err(why) if calls.back => self.not_given_back(&why),
            Err(why) => self.not_prepared(&why),
            Ok(devices) => {
                let claims = &mut self.node.devices_mut().claims;
                if let Some((driver, _)) = batch.filter(|_| !calls.back) {
                    for (key, devices) in devices {
                        claims.ready(&key, &driver, devices);
                    }
                }
                self.next_call(calls)
            }
        }
    }

    fn calls_over(&mut self, calls: Calls) -> Outcome {
        let count = calls.keys.len() as i64;
        let claims = &mut self.node.devices_mut().claims;
        if calls.back {
            claims.forget(&calls.keys);
            self.record(None, "unprepared", count);
            self.finished();
            return Outcome::Busy;
        }
        claims.prepared(&calls.keys);
        self.record(None, "prepared", count);
        self.begin_sandbox()
    }

    /// The sync is over, and counts as a good one: the next comes with the regular resync. In v1.34.1 the error stays
    /// within the runtime manager, so that no back-off of failed syncs applies.
    fn not_prepared(&mut self, why: &str) -> Outcome {
        let message = format!("Failed to prepare dynamic resources: prepare dynamic resources: {why}");
        self.event(EventType::Warning, "FailedPrepareDynamicResources", &message);
        self.pod.busy = Busy::Idle;
        self.pod.jobs.clear();
        let mut key = self.key(0, 0);
        key[16..].copy_from_slice(&self.now().0.to_le_bytes());
        let delay = draw(self.ctx.seed(), "kubelet/resync", &key, self.config.resync);
        // Nothing to wait for is no reason to turn in circles.
        let delay = if delay > Span::ZERO { delay } else { secs(60) };
        self.pod.retry = Some(self.ctx.set_timer(delay, Timer::Retry(self.me)));
        Outcome::Failed
    }

    /// Gives back what the pod's claims have; false if there is nothing to give back.
    pub(super) fn unprepare_claims(&mut self) -> bool {
        debug_assert_eq!(self.pod.stage, Stage::Terminating);
        let names = match wanted(&self.pod.object) {
            Ok(wanted) => wanted,
            Err(why) => {
                self.not_given_back(&why.to_string());
                return true;
            }
        };
        let Some(devices) = &mut self.node.devices else { return false };
        let namespace = self.pod.object.meta.namespace();
        let keys: Vec<Key> = names.into_iter().map(|w| Key::new(namespace, w.name)).collect();
        let (batches, keys) = devices.claims.end(self.pod.object.meta.uid, &keys);
        if keys.is_empty() {
            return false;
        }
        self.next_call(Calls { batches: batches.into(), keys, answer: Ok(Vec::new()), back: true });
        true
    }

    /// The pod stays terminating and is tried again like any failed sync.
    fn not_given_back(&mut self, why: &str) -> Outcome {
        let text = format!("{}: unprepare dynamic resources: {why}", self.pod.object.key());
        self.ctx.record(Record::Note { by: "kubelet", text: &text });
        let mut key = self.key(0, 0);
        key[16..].copy_from_slice(&self.now().0.to_le_bytes());
        let delay = draw(self.ctx.seed(), "kubelet/retry", &key, self.config.retry);
        let delay = if delay > Span::ZERO { delay } else { secs(10) };
        self.pod.busy = Busy::GivingBackLater;
        self.begin_step(delay);
        Outcome::Busy
    }

    /// The claims that a container uses and that nothing is known of: it cannot start (`GetResources`).
    pub(super) fn unknown_claim(&self, container: usize) -> Option<SmolStr> {
        if !self.has_claims() {
            return None;
        }
        let namespace = self.pod.object.meta.namespace();
        let names = used_by(&self.pod.object, &self.pod.plan().containers[container].name);
        let known = |name: &SmolStr| {
            let key = Key::new(namespace, name.clone());
            self.node.devices.as_ref().is_some_and(|d| d.claims.get(&key).is_some())
        };
        let unknown = names.into_iter().find(|name| !known(name))?;
        Some(format_smolstr!("internal error: unable to get claim info for ResourceClaim {unknown}"))
    }
}
