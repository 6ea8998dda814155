//! `VolumeZone`: pods go to zones and regions that the labels of their bound volumes name.

use sim_core::api::kind::Kind;
use sim_core::api::meta::Labels;
use sim_core::api::object::Object;
use smol_str::SmolStr;

use super::volumes::csi::ZONE_DELIMITER;
use super::volumes::objects::{Claim, Class, Volume};
use super::volumes::{named_claims, names};
use crate::cache::Objects;
use crate::framework::{
    ActionType, Attempt, ClusterEvent, Code, EventChange, EventResource, Filter, Fits, Hint, Plugin,
    PreFilter, PreFiltered, QueueingHint, Reads, Status, Unresolvable, Verdict,
};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// Labels that count, each with the one that a node may have instead.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct VolumeZone;

/// A label of a volume: which of [`LABELS`], and the values that a node may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    label: usize,
    values: Vec<SmolStr>,
}

/// What a volume's labels ask for (`getPVTopologies`). Values are sorted, each once; a list with an empty part does not
/// count.
fn topologies(labels: &Labels) -> impl Iterator<Item = Topology> {
    LABELS.iter().enumerate().filter_map(|(label, (key, _))| {
        let mut values: Vec<SmolStr> =
            labels.get(*key)?.split(ZONE_DELIMITER).map(|value| SmolStr::new(value.trim())).collect();
        values.sort_unstable();
        values.dedup();
        (!values[0].is_empty()).then_some(Topology { label, values })
    })
}

fn of_pod(pod: &PodInfo, objects: &Objects) -> Result<Vec<Topology>, SmolStr> {
    let mut found = Vec::new();
    for name in named_claims(pod) {
        if name.is_empty() {
            return Err(SmolStr::new_static("PersistentVolumeClaim had no name"));
        }
        let claim = Claim::seen(objects, &pod.namespace, name)?;
        if !claim.volume_name().is_empty() {
            found.extend(topologies(&Volume::seen(objects, claim.volume_name())?.0.meta.labels));
            continue;
        }
        if claim.class().is_empty() {
            let text = "PersistentVolumeClaim had no pv name and storageClass name";
            return Err(SmolStr::new_static(text));
        }
        if !Class::seen(objects, claim.class())?.waits_for_first_consumer()? {
            return Err(SmolStr::new_static("PersistentVolume had no name"));
        }
    }
    Ok(found)
}

impl Plugin for VolumeZone {
    const NAME: &'static str = "VolumeZone";
    const READS: Reads = Reads::NodeLocalOrSkipped;
    type Cycle = Vec<Topology>;

    fn pre_filter(&self, _: &PodInfo) -> Vec<Topology> {
        Vec::new()
    }
}

impl PreFilter for VolumeZone {
    /// Upstream also skips pods whose claims ask for nothing; here that would have to depend on the class alone.
    fn check(&self, cycle: &mut Vec<Topology>, attempt: &Attempt<'_>) -> PreFiltered {
        if attempt.pod.claims.is_empty() {
            return PreFiltered::Skip;
        }
        match of_pod(attempt.pod, attempt.cluster.objects()) {
            Ok(topologies) => *cycle = topologies,
            Err(why) => return PreFiltered::Refused(Status::new(Code::UnschedulableAndUnresolvable, why)),
        }
        PreFiltered::Proceed
    }
}

impl Filter for VolumeZone {
    fn filter(&self, cycle: &Vec<Topology>, _: &PodInfo, node: &NodeInfo) -> Verdict {
        // A node without any of the labels is of a cluster that has no zones.
        if LABELS.iter().all(|(key, _)| node.label(key).is_none()) {
            return Fits;
        }
        let matches = |topology: &Topology| {
            let (key, newer) = LABELS[topology.label];
            let value = node.label(key).or_else(|| node.label(newer));
            value.is_some_and(|value| topology.values.iter().any(|allowed| allowed == value))
        };
        if cycle.iter().all(matches) { Fits } else { Unresolvable("node(s) had no available volume zone") }
    }
}

impl QueueingHint for VolumeZone {
    const BY_CLASS: bool = true;

    fn events(&self) -> Vec<ClusterEvent> {
        let changed = ActionType::ADD | ActionType::UPDATE;
        vec![
            ClusterEvent::new(EventResource::StorageClass, ActionType::ADD),
            ClusterEvent::new(EventResource::Node, ActionType::ADD | ActionType::UPDATE_NODE_LABEL),
            ClusterEvent::new(EventResource::PersistentVolumeClaim, changed),
            ClusterEvent::new(EventResource::PersistentVolume, changed),
        ]
    }

    fn hint(&self, pod: &PodInfo, _: &Object, change: &EventChange<'_>, _: &Objects) -> Hint {
        match change.event.resource {
            EventResource::StorageClass => match change.new.filter(|new| new.kind == Kind::STORAGE_CLASS) {
                Some(class) => Hint::queue_if(Class(class).waits_for_first_consumer() == Ok(true)),
                None => Hint::Queue,
            },
            EventResource::PersistentVolumeClaim => match change.of(Kind::PERSISTENT_VOLUME_CLAIM) {
                Some((_, Some(claim))) => Hint::queue_if(names(pod, claim)),
                _ => Hint::Queue,
            },
            EventResource::PersistentVolume => match change.of(Kind::PERSISTENT_VOLUME) {
                Some((Some(old), Some(new))) => {
                    Hint::queue_if(!topologies(&old.meta.labels).eq(topologies(&new.meta.labels)))
                }
                _ => Hint::Queue,
            },
            _ => Hint::Queue,
        }
    }
}
