//! `DynamicResources`: pods with ResourceClaims go where devices for them are, and get them (`plugins/dynamicresources`).
//!
//! [`claim`] finds and reads a pod's claims, [`bind`] writes what they got. Devices are found by `sim-dra`; which of them
//! are taken is known to the cache ([`Objects::allocated_devices`]).

mod bind;
mod claim;
mod columns;
mod conditions;
pub(crate) mod extended;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;
use sim_core::api::error::ApiError;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::Request;
use sim_core::features::Gate;
use sim_core::selectors::NodeSelector;
use sim_core::time::Time;
use sim_dra::allocator::Allocator;
use sim_dra::api::{AllocationResult, DeviceRequest, ResourceClaim};
use sim_dra::inventory::Node;
use smol_str::{SmolStr, format_smolstr};

use extended::Extended;

use crate::cache::Objects;
use crate::framework::{
    ActionType, Attempt, ClusterEvent, ClusterFilter, Code, Diagnosis, Effects, EventChange, EventResource,
    Fits, Handle, Hint, Plugin, PostFilter, PostFiltered, PreBind, PreBound, PreEnqueue, PreFilter,
    PreFiltered, QueueingHint, Reads, Reserve, Status, Surroundings, Unresolvable, Verdict,
};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

const NOT_AVAILABLE: &str = "resourceclaim not available on the node";
const CANNOT_ALLOCATE: &str = "cannot allocate all claims";

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct DynamicResources;

/// A pod's claims in one cycle.
#[derive(Clone, Debug, Default)]
pub struct PodClaims {
    /// False if another plugin ended PreFilter before this one was asked.
    known: bool,
    claims: Vec<PodClaim>,
    /// For claims without devices, if there are any.
    allocator: Option<Allocator>,
    /// What the last of the claims is made from, if it is one for extended resources: then each node has an allocator of its own.
    extended: Option<Arc<Extended>>,
    progress: bind::Progress,
}

/// One of a pod's claims.
#[derive(Clone, Debug)]
struct PodClaim {
    object: Arc<Object>,
    /// Of the claim for extended resources: what it is known by until it is made.
    special: Option<(Key, Uid)>,
    /// Nodes that reach the devices it has already; `None` for all.
    reachable_from: Option<Arc<NodeSelector>>,
    /// True if its devices cannot be waited for any more.
    failed: bool,
    /// What it gets.
    allocation: Option<Arc<Value>>,
}

impl PodClaim {
    /// What it is known by while its allocation is written.
    fn known_by(&self) -> (&Key, Uid) {
        match &self.special {
            Some((key, uid)) => (key, *uid),
            None => (self.object.key(), self.object.meta.uid),
        }
    }

    fn is_available_on(&self, node: &NodeInfo) -> bool {
        let selector = self.reachable_from.as_ref();
        !self.failed
            && selector.is_none_or(|selector| selector.matches(&node.name, &node.labels).unwrap_or(false))
    }
}

/// What a node has for a pod's claims.
#[derive(Default)]
struct Found {
    /// For each claim without devices.
    results: Vec<AllocationResult>,
    /// The claim for extended resources, as the node meets it.
    extended: Option<Object>,
}

fn unresolvable(why: impl Into<SmolStr>) -> Status {
    Status::new(Code::UnschedulableAndUnresolvable, why)
}

impl PodClaims {
    /// Reads the pod's claims, and gives those back that have no devices.
    fn read(&mut self, attempt: &Attempt<'_>) -> Result<Vec<Arc<ResourceClaim>>, Status> {
        self.known = true;
        let objects = attempt.cluster.objects();
        let (mut claims, mut wanted) = (Vec::new(), Vec::new());
        let own = claim::claims_of(attempt.object, objects).map_err(|why| unresolvable(why.text()))?;
        let (last, extended) = extended::claim_of(attempt).unzip();
        let own = own.into_iter().map(|claim| (claim, false));
        for (object, is_special) in own.chain(last.as_ref().map(|claim| (claim, true))) {
            let (mut reachable_from, mut failed) = (None, false);
            if claim::is_allocated(object) {
                failed = conditions::are_waited_for(objects.features())
                    && conditions::have_failed(object, objects.epoch(), attempt.now);
                reachable_from = claim::reachable_from(object).map_err(Status::error)?.map(Arc::new);
            } else {
                if objects.is_pending(object.meta.uid) {
                    let key = object.key();
                    let text = format_smolstr!("resource claim {key} is in the process of being allocated");
                    return Err(unresolvable(text));
                }
                if !is_special {
                    let decoded = claim::decode(object).map_err(Status::error)?;
                    check_requests(&decoded, objects)?;
                    wanted.push(Arc::new(decoded));
                }
            }
            let special = is_special.then(|| (object.key().clone(), object.meta.uid));
            claims.push(PodClaim {
                object: object.clone(),
                special,
                reachable_from,
                failed,
                allocation: None,
            });
        }
        if let Some(mut extended) = extended {
            extended.wanted.clone_from(&wanted);
            self.extended = Some(Arc::new(extended));
        }
        self.claims = claims;
        Ok(wanted)
    }

    /// Devices on a node for the claims that have none; `None` if it does not have enough.
    // DIFFERS: upstream gives up after `filterTimeout`, 10 s of its own time by default. A search takes no time here.
    fn allocate(&self, attempt: &Attempt<'_>, node: &NodeInfo) -> Result<Option<Found>, Status> {
        let (mut own, of_node) = (None, &mut None);
        let allocator = match (&self.extended, &self.allocator) {
            (Some(extended), _) => {
                let Some(claim) = self.claims.last() else { return Ok(Some(Found::default())) };
                own = extended.on(&claim.object, self.claims.len() == 1, attempt, node)?;
                let mut wanted = extended.wanted.clone();
                if let Some(own) = &own {
                    wanted.push(Arc::new(claim::decode(own).map_err(Status::error)?));
                }
                if wanted.is_empty() {
                    return Ok(Some(Found::default()));
                }
                &*of_node.insert(attempt.cluster.allocator(&wanted))
            }
            (None, Some(allocator)) => allocator,
            (None, None) => return Ok(Some(Found::default())),
        };
        let node = Node { name: &node.name, labels: &node.labels };
        let results = allocator.allocate(node).map_err(|error| Status::error(format_smolstr!("{error}")))?;
        Ok(results.map(|results| Found { results, extended: own }))
    }
}

/// True if the pod may need a claim for extended resources.
fn may_be_extended(attempt: &Attempt<'_>) -> bool {
    attempt.cluster.objects().features().on(Gate::DRAExtendedResource)
        && !attempt.pod.requests.scalars.is_empty()
}

fn has_claims(pod: &PodInfo) -> bool {
    pod.spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty())
}

/// All classes that a claim names must exist.
fn check_requests(claim: &ResourceClaim, objects: &Objects) -> Result<(), Status> {
    let check = |class: &SmolStr, request: &str| {
        if class.is_empty() {
            return Err(Status::error(format_smolstr!("request {request}: unsupported request type")));
        }
        match objects.get(Kind::DEVICE_CLASS, &Key::cluster(class.clone())) {
            Some(_) => Ok(()),
            None => {
                Err(unresolvable(format_smolstr!("request {request}: device class {class} does not exist")))
            }
        }
    };
    for DeviceRequest { name, exactly, first_available } in &claim.spec.devices.requests {
        if let Some(exactly) = exactly {
            check(&exactly.device_class_name, name)?;
            continue;
        }
        let problem = if first_available.is_empty() {
            Some("unknown request type")
        } else if !objects.features().on(Gate::DRAPrioritizedList) {
            Some("has subrequests, but the DRAPrioritizedList feature is disabled")
        } else {
            None
        };
        if let Some(problem) = problem {
            let claim = claim.reference();
            return Err(unresolvable(format_smolstr!("resource claim {claim}, request {name}: {problem}")));
        }
        for alternative in first_available {
            check(&alternative.device_class_name, &format!("{name}/{}", alternative.name))?;
        }
    }
    Ok(())
}

/// Gives the shares of devices names that nobody else has.
// DIFFERS: upstream draws them at random. Here they follow from claim and time, so that no stream of draws is moved by it.
fn name_shares(allocation: &mut AllocationResult, claim: &Object, now: Time) {
    let shared = allocation.devices.results.iter_mut().filter_map(|result| result.share_id.as_mut());
    for (number, id) in shared.enumerate() {
        let Time(now) = now;
        *id = format_smolstr!("{}", Uid::parse(&format!("share {number} of {} at {now}", claim.meta.uid)));
    }
}

impl Plugin for DynamicResources {
    const NAME: &'static str = "DynamicResources";
    const READS: Reads = Reads::NodeLocalOrSkipped;
    type Cycle = PodClaims;

    fn pre_filter(&self, _: &PodInfo) -> PodClaims {
        PodClaims::default()
    }
}

impl PreEnqueue for DynamicResources {
    fn pre_enqueue(&self, pod: &Object, surroundings: Surroundings<'_>) -> Verdict {
        match claim::claims_of(pod, surroundings.objects) {
            Ok(_) => Fits,
            Err(why) => Verdict::because(unresolvable(why.text())),
        }
    }
}

impl PreFilter for DynamicResources {
    /// Upstream also skips pods whose templates ask for no claim; here that would have to depend on the class alone.
    fn check(&self, cycle: &mut PodClaims, attempt: &Attempt<'_>) -> PreFiltered {
        cycle.known = true;
        if !has_claims(attempt.pod) && !may_be_extended(attempt) {
            return PreFiltered::Skip;
        }
        match cycle.read(attempt) {
            Ok(_) if cycle.claims.is_empty() && !has_claims(attempt.pod) => PreFiltered::Skip,
            Ok(wanted) => {
                cycle.allocator = (!wanted.is_empty() && cycle.extended.is_none())
                    .then(|| attempt.cluster.allocator(&wanted));
                PreFiltered::Proceed
            }
            Err(status) => PreFiltered::Refused(status),
        }
    }
}

impl ClusterFilter for DynamicResources {
    fn filter(&self, cycle: &PodClaims, attempt: &Attempt<'_>, node: &NodeInfo) -> Verdict {
        match cycle.allocate(attempt, node) {
            Err(status) => Verdict::because(status),
            Ok(None) => Unresolvable(CANNOT_ALLOCATE),
            Ok(Some(_)) if cycle.claims.iter().all(|claim| claim.is_available_on(node)) => Fits,
            Ok(Some(_)) => Unresolvable(NOT_AVAILABLE),
        }
    }
}

impl PostFilter for DynamicResources {
    /// Takes the devices from one claim that nobody uses, if that kept the pod from some node.
    fn post_filter(
        &self,
        cycle: &PodClaims,
        handle: &Handle<'_>,
        diagnosis: &Diagnosis,
        effects: &mut Effects,
    ) -> PostFiltered {
        let status = if !cycle.known {
            // Upstream misses the state that its PreFilter would have left.
            Status::error("not found")
        } else if cycle.claims.is_empty() {
            Status::new(Code::Unschedulable, "no new claims to deallocate")
        } else if let Some(claim) = cycle.idle_claim(handle, diagnosis) {
            // DIFFERS: upstream waits for the answer, and fails with it; that the claim is freed shows when it is seen.
            effects.requests.push(Request::UpdateStatus(Box::new(claim::deallocated(claim))));
            Status::new(Code::Unschedulable, "deallocation of ResourceClaim completed")
        } else if let Some(left) = cycle.special().filter(|claim| !extended::is_in_memory(claim)) {
            effects.requests.extend(claim::deletion(left));
            Status::new(Code::Unschedulable, "deletion of ResourceClaim completed")
        } else {
            Status::new(Code::Unschedulable, "still not schedulable")
        };
        PostFiltered { status, ..PostFiltered::default() }
    }
}

impl PodClaims {
    /// The claim for extended resources.
    fn special(&self) -> Option<&Object> {
        self.claims.iter().find(|claim| claim.special.is_some()).map(|claim| &*claim.object)
    }

    /// A claim that was not available on some node, though no other pod uses it; any of them, as upstream.
    fn idle_claim(&self, handle: &Handle<'_>, diagnosis: &Diagnosis) -> Option<&Object> {
        let Attempt { cluster, object: pod, .. } = handle.attempt;
        let refused = |(slot, status): (_, &Status)| {
            let here = status.plugin == DynamicResources::NAME && status.reasons == [NOT_AVAILABLE];
            here.then(|| cluster.node(slot))
        };
        let nodes: Vec<&NodeInfo> = diagnosis.nodes.iter().filter_map(refused).collect();
        let idle: Vec<&Object> = self
            .claims
            .iter()
            .filter(|claim| claim.special.is_none() && nodes.iter().any(|node| !claim.is_available_on(node)))
            .map(|claim| &*claim.object)
            .filter(|claim| {
                let mut users = claim::reserved_for(claim);
                users.len() <= 1 && users.all(|user| user == pod.meta.uid)
            })
            .collect();
        let at = handle.random.checked_rem(idle.len() as u64)?;
        idle.get(at as usize).copied()
    }
}

impl Reserve for DynamicResources {
    /// Finds the devices once more: nothing has changed since the filter did.
    fn reserve(
        &self,
        cycle: &mut PodClaims,
        attempt: &Attempt<'_>,
        node: &str,
        effects: &mut Effects,
    ) -> Status {
        if cycle.allocator.is_none() && cycle.extended.is_none() {
            return Status::success();
        }
        let found = match attempt.cluster.node_named(node).map(|node| cycle.allocate(attempt, node)) {
            Some(Ok(found)) => found,
            Some(Err(status)) => return status,
            None => None,
        };
        // The devices that others have are not needed any more.
        (cycle.allocator, cycle.extended) = (None, None);
        let Some(found) = found else { return Status::error("claim allocation not found for node") };
        if let (Some(own), Some(last)) = (found.extended, cycle.claims.last_mut()) {
            last.object = Arc::new(own);
        }
        let waiting = cycle.claims.iter_mut().filter(|claim| !claim::is_allocated(&claim.object));
        for (claim, mut allocation) in waiting.zip(found.results) {
            name_shares(&mut allocation, &claim.object, attempt.now);
            let allocation = match serde_json::to_value(&allocation) {
                Ok(allocation) => Arc::new(allocation),
                Err(error) => return Status::error(format_smolstr!("{error}")),
            };
            let object = claim::allocated(&claim::protected(&claim.object), &allocation);
            let (key, uid) = (object.key().clone(), object.meta.uid);
            effects.pending.push((key, uid, Some(Arc::new(object))));
            claim.allocation = Some(allocation);
        }
        Status::success()
    }

    fn unreserve(&self, cycle: &mut PodClaims, attempt: &Attempt<'_>, _: &str, effects: &mut Effects) {
        let (objects, pod) = (attempt.cluster.objects(), attempt.object.meta.uid);
        for claim in &cycle.claims {
            let (key, uid) = claim.known_by();
            if objects.is_pending(uid) {
                effects.pending.push((key.clone(), uid, None));
                effects.restore.push((Kind::RESOURCE_CLAIM, key.clone()));
            }
            if claim.special.is_some() {
                if !extended::is_in_memory(&claim.object) {
                    effects.requests.extend(claim::deletion(&claim.object));
                }
                continue;
            }
            if claim::is_allocated(&claim.object) && sim_dra::pod::is_reserved_for(&claim.object, pod) {
                // DIFFERS: upstream patches one entry of the list away, whatever the claim is like by then.
                let known = objects.seen(Kind::RESOURCE_CLAIM, key).unwrap_or(&claim.object);
                let versions = [known, &claim.object].map(|claim| claim.meta.resource_version);
                let latest = if versions[0] > versions[1] { known } else { &claim.object };
                effects.requests.push(Request::UpdateStatus(Box::new(claim::released(latest, pod))));
            }
        }
    }
}

impl PreBind for DynamicResources {
    fn pre_bind(
        &self,
        cycle: &mut PodClaims,
        attempt: &Attempt<'_>,
        node: &str,
        answers: &[Result<Arc<Object>, ApiError>],
        effects: &mut Effects,
    ) -> PreBound {
        if cycle.claims.is_empty() {
            return PreBound::Done(Status::skip());
        }
        match cycle.write(attempt, answers.first(), effects) {
            PreBound::Done(status) if status.is_success() => cycle.wait(attempt, node, effects),
            unfinished => unfinished,
        }
    }
}

impl QueueingHint for DynamicResources {
    fn events(&self) -> Vec<ClusterEvent> {
        let changed = ActionType::ADD | ActionType::UPDATE;
        let of_nodes = ActionType::ADD | ActionType::UPDATE_NODE_LABEL | ActionType::UPDATE_NODE_ALLOCATABLE;
        let named = ActionType::UPDATE_POD_GENERATED_RESOURCE_CLAIM;
        vec![
            ClusterEvent::new(EventResource::Node, of_nodes),
            ClusterEvent::new(EventResource::ResourceClaim, changed),
            ClusterEvent::new(EventResource::Pod, named),
            ClusterEvent::new(EventResource::DeviceClass, changed),
            ClusterEvent::new(EventResource::ResourceSlice, changed),
        ]
    }

    fn hint(&self, _: &PodInfo, pod: &Object, change: &EventChange<'_>, objects: &Objects) -> Hint {
        let kind = match change.event.resource {
            EventResource::ResourceClaim => Kind::RESOURCE_CLAIM,
            EventResource::AssignedPod | EventResource::UnscheduledPod | EventResource::Pod => Kind::POD,
            _ => return Hint::Queue,
        };
        let Some((old, Some(new))) = change.of(kind) else { return Hint::Queue };
        if kind == Kind::POD {
            let named = new.meta.uid == pod.meta.uid && claim::claims_of(new, objects).is_ok();
            return Hint::queue_if(named);
        }
        let Ok(claims) = claim::claims_of(pod, objects) else { return Hint::Skip };
        if old.is_some_and(claim::is_allocated) && !claim::is_allocated(new) {
            return Hint::Queue;
        }
        let used = claims.iter().any(|claim| claim.meta.uid == new.meta.uid);
        Hint::queue_if(used && old.is_none_or(|old| claim::status(old) != claim::status(new)))
    }
}
