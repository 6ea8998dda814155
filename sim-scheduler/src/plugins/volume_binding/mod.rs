//! `VolumeBinding`: finds volumes for the claims of a pod, on the node where it shall run, and has them bound before the
//! pod is (`plugins/volumebinding`).
//!
//! [`find`] says which volumes a pod would get on a node; [`bind`] has them assumed, written and waited for. The
//! PersistentVolume controller and the provisioners, which do the rest, are not part of the scheduler: without them a pod
//! whose claims wait for it is refused once the time is out.

mod bind;
mod find;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use sim_core::api::error::ApiError;
use sim_core::api::kind::Kind;
use sim_core::api::object::Object;
use sim_core::api::request::Request;
use sim_core::api::validation::field::Errors;
use sim_core::syntax::go_quote;
use sim_core::time::{Span, Time, secs};
use smol_str::{SmolStr, format_smolstr};

use super::volumes::objects::{Capacity, Claim, Class, CsiNode, tracks_capacity};
use super::volumes::{made_for, uses, volumes};
use crate::cache::{Objects, Slot};
use crate::config::args::{PluginArgs, VolumeBindingArgs};
use crate::framework::{
    ActionType, Attempt, ClusterEvent, ClusterFilter, Code, Effects, EventChange, EventResource, Fits, Hint,
    Plugin, PreBind, PreBound, PreFilter, PreFiltered, PreScore, QueueingHint, Reads, Reserve, Score, Status,
    Verdict,
};
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use find::{Found, NoClaims, PodClaims};

/// How often upstream looks whether volumes are bound.
const POLL: Span = secs(1);

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct VolumeBinding {
    timeout: Span,
}

impl VolumeBinding {
    /// The plugin with arguments.
    ///
    /// # Errors
    /// Arguments out of their range.
    pub fn new(args: VolumeBindingArgs) -> Result<VolumeBinding, String> {
        let mut errors = Errors::default();
        args.validate(None, &mut errors);
        if !errors.is_empty() {
            return Err(errors.aggregate());
        }
        Ok(VolumeBinding { timeout: secs(args.bind_timeout_seconds) })
    }
}

/// A pod's volumes.
#[derive(Clone, Debug, Default)]
pub struct PodVolumes {
    /// `None` for pods without claims.
    claims: Option<Arc<PodClaims>>,
    /// What it gets on the chosen node.
    chosen: Found,
    progress: Progress,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    /// So many objects have been sent, all answered but for the last.
    Writing(usize),
    /// Waiting for others since then.
    Waiting(Time),
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::Writing(0)
    }
}

/// What is wrong with the claims of a pod, if anything (`podHasPVCs`).
fn check_claims(attempt: &Attempt<'_>) -> Result<(), SmolStr> {
    let (pod, meta) = (attempt.pod, &attempt.object.meta);
    for named in &pod.claims {
        let claim = Claim::seen(attempt.cluster.objects(), &pod.namespace, &named.name);
        let name = go_quote(&named.name);
        let claim = claim.map_err(|missing| match named.ephemeral {
            true => {
                format_smolstr!(
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim {name}"
                )
            }
            false => missing,
        })?;
        if claim.is_lost() {
            let volume = go_quote(claim.volume_name());
            return Err(format_smolstr!(
                "persistentvolumeclaim {name} bound to non-existent persistentvolume {volume}"
            ));
        }
        if claim.0.meta.is_deleting() {
            return Err(format_smolstr!("persistentvolumeclaim {name} is being deleted"));
        }
        if named.ephemeral {
            made_for(&meta.key, meta.uid, claim)?;
        }
    }
    Ok(())
}

impl Plugin for VolumeBinding {
    const NAME: &'static str = "VolumeBinding";
    const READS: Reads = Reads::NodeLocalOrSkipped;
    type Cycle = PodVolumes;

    fn pre_filter(&self, _: &PodInfo) -> PodVolumes {
        PodVolumes::default()
    }
}

impl PreFilter for VolumeBinding {
    fn check(&self, cycle: &mut PodVolumes, attempt: &Attempt<'_>) -> PreFiltered {
        if attempt.pod.claims.is_empty() {
            return PreFiltered::Skip;
        }
        let unresolvable = |why: SmolStr| Status::new(Code::UnschedulableAndUnresolvable, why);
        if let Err(why) = check_claims(attempt) {
            return PreFiltered::Refused(unresolvable(why));
        }
        let refused = match PodClaims::of(attempt.pod, attempt.cluster.objects()) {
            Ok(claims) => {
                cycle.claims = Some(Arc::new(claims));
                return PreFiltered::Proceed;
            }
            Err(NoClaims::UnboundImmediate) => {
                unresolvable(SmolStr::new_static("pod has unbound immediate PersistentVolumeClaims"))
            }
            Err(NoClaims::Broken(error)) => Status::error(error),
        };
        PreFiltered::Refused(refused)
    }
}

impl ClusterFilter for VolumeBinding {
    fn filter(&self, cycle: &PodVolumes, attempt: &Attempt<'_>, node: &NodeInfo) -> Verdict {
        let Some(claims) = &cycle.claims else { return Fits };
        match claims.find(node, CsiNode::seen(attempt.cluster.objects(), &node.name)) {
            Ok(Ok(_)) => Fits,
            Ok(Err(reasons)) => Verdict::because(Status {
                code: Code::UnschedulableAndUnresolvable,
                reasons: reasons.into_iter().map(SmolStr::new_static).collect(),
                ..Status::default()
            }),
            Err(error) => Verdict::because(Status::error(error)),
        }
    }
}

/// Upstream scores only with the feature `StorageCapacityScoring`, which is off by default.
impl PreScore for VolumeBinding {
    fn pre_score(&self, _: &mut PodVolumes, _: &Attempt<'_>, _: &[Slot]) -> Status {
        Status::skip()
    }
}

impl Score for VolumeBinding {
    fn score(&self, _: &PodVolumes, _: &PodInfo, _: &NodeInfo) -> i64 {
        0
    }
}

impl Reserve for VolumeBinding {
    /// Finds the volumes once more: nothing has changed since the filter did.
    fn reserve(
        &self,
        cycle: &mut PodVolumes,
        attempt: &Attempt<'_>,
        node: &str,
        effects: &mut Effects,
    ) -> Status {
        let Some(claims) = cycle.claims.as_ref().filter(|claims| !claims.are_bound()) else {
            return Status::success();
        };
        let Some(info) = attempt.cluster.node_named(node) else {
            return Status::error(format_smolstr!("no pod volume found for node {}", go_quote(node)));
        };
        match claims.find(info, CsiNode::seen(attempt.cluster.objects(), &info.name)) {
            Ok(Ok(found)) => cycle.chosen = found,
            Ok(Err(reasons)) => return Status::error(reasons.join(", ")),
            Err(error) => return Status::error(error),
        }
        cycle.chosen.assume(node, effects);
        Status::success()
    }

    fn unreserve(&self, cycle: &mut PodVolumes, _: &Attempt<'_>, _: &str, effects: &mut Effects) {
        cycle.chosen.revert(effects);
    }
}

impl PreBind for VolumeBinding {
    fn pre_bind(
        &self,
        cycle: &mut PodVolumes,
        attempt: &Attempt<'_>,
        node: &str,
        answers: &[Result<Arc<Object>, ApiError>],
        _: &mut Effects,
    ) -> PreBound {
        if cycle.claims.as_ref().is_none_or(|claims| claims.are_bound()) {
            return PreBound::Done(Status::skip());
        }
        match cycle.progress {
            Progress::Writing(sent) => cycle.write(sent, answers.first(), attempt.now, self.timeout),
            Progress::Waiting(since) => self.wait(cycle, attempt, node, since),
        }
    }
}

impl PodVolumes {
    /// Writes one object after the other (`bindAPIUpdate`).
    fn write(
        &mut self,
        sent: usize,
        answer: Option<&Result<Arc<Object>, ApiError>>,
        now: Time,
        timeout: Span,
    ) -> PreBound {
        match answer {
            Some(Err(error)) => return PreBound::Done(Status::error(error.message.as_str())),
            Some(Ok(object)) => {
                if let Some(written) = sent.checked_sub(1).and_then(|at| self.chosen.object_at(at)) {
                    *written = object.clone();
                }
            }
            None => {}
        }
        match self.chosen.object_at(sent) {
            Some(object) => {
                self.progress = Progress::Writing(sent + 1);
                PreBound::Send(vec![Request::Update(Box::new((**object).clone()))])
            }
            None => {
                self.progress = Progress::Waiting(now);
                PreBound::Wait(POLL.min(timeout))
            }
        }
    }
}

impl VolumeBinding {
    /// Waits until others have bound the volumes. Upstream looks every second; here a look at anything but a changed
    /// object is spared, and what comes of it is acted on at the next of those seconds.
    fn wait(&self, cycle: &PodVolumes, attempt: &Attempt<'_>, node: &str, since: Time) -> PreBound {
        let waited = attempt.now - since;
        if waited >= self.timeout {
            return PreBound::Done(Status::error("binding volumes: context deadline exceeded"));
        }
        let left = self.timeout - waited;
        let next_poll = Span(POLL.0 - waited.0 % POLL.0);
        let polls = next_poll == POLL && waited > Span::ZERO;
        match cycle.chosen.is_bound(attempt, node) {
            Ok(false) => PreBound::Wait(left),
            Ok(true) if polls => PreBound::Done(Status::success()),
            Err(error) if polls => PreBound::Done(Status::error(format_smolstr!("binding volumes: {error}"))),
            _ => PreBound::Wait(next_poll.min(left)),
        }
    }
}

impl QueueingHint for VolumeBinding {
    const BY_CLASS: bool = true;

    fn events(&self) -> Vec<ClusterEvent> {
        let changed = ActionType::ADD | ActionType::UPDATE;
        vec![
            ClusterEvent::new(EventResource::StorageClass, changed),
            ClusterEvent::new(EventResource::PersistentVolumeClaim, changed),
            ClusterEvent::new(EventResource::PersistentVolume, changed),
            ClusterEvent::new(EventResource::Node, ActionType::ADD | ActionType::UPDATE_NODE_LABEL),
            ClusterEvent::new(EventResource::CSINode, changed),
            ClusterEvent::new(EventResource::CSIDriver, ActionType::UPDATE),
            ClusterEvent::new(EventResource::CSIStorageCapacity, changed),
        ]
    }

    fn hint(&self, pod: &PodInfo, _: &Object, change: &EventChange<'_>, _: &Objects) -> Hint {
        let kind = match change.event.resource {
            EventResource::StorageClass => Kind::STORAGE_CLASS,
            EventResource::PersistentVolumeClaim => Kind::PERSISTENT_VOLUME_CLAIM,
            EventResource::CSINode => Kind::CSI_NODE,
            EventResource::CSIDriver => Kind::CSI_DRIVER,
            EventResource::CSIStorageCapacity => Kind::CSI_STORAGE_CAPACITY,
            _ => return Hint::Queue,
        };
        let Some((old, Some(new))) = change.of(kind) else { return Hint::Queue };
        if kind == Kind::PERSISTENT_VOLUME_CLAIM {
            return Hint::queue_if(uses(pod, new));
        }
        let Some(old) = old else { return Hint::Queue };
        Hint::queue_if(match kind {
            Kind::STORAGE_CLASS => Class(old).allowed_topologies() != Class(new).allowed_topologies(),
            Kind::CSI_NODE => CsiNode(old).migrated_plugins() != CsiNode(new).migrated_plugins(),
            Kind::CSI_DRIVER => {
                tracks_capacity(old) && !tracks_capacity(new) && has_driver(pod, new.meta.name())
            }
            _ => match (Capacity(old).limit(), Capacity(new).limit()) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(old), Some(new)) => new.value() > old.value(),
            },
        })
    }
}

/// True if a pod has a CSI volume of its own, without a claim.
fn has_driver(pod: &PodInfo, driver: &str) -> bool {
    volumes(pod).any(|(volume, _)| volume.csi.as_ref().is_some_and(|csi| csi.driver == driver))
}
