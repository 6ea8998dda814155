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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::{AnyPlugin, plugin};
    use crate::testing::volumes::{claim, class, cluster, labelled, pod_with, verdicts, volume, wait};
    use crate::testing::{ask, node};
    use serde_json::json;
    use std::sync::Arc;

    const ZONE: &str = "topology.kubernetes.io/zone";
    const BETA_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";

    #[test]
    fn pods_follow_their_volumes() {
        let registered: Arc<dyn AnyPlugin> = plugin(VolumeZone).pre_filter().filter().into();
        let no = |nodes: &[&str]| {
            let text = "UnschedulableAndUnresolvable: node(s) had no available volume zone";
            nodes.iter().map(|node| format!("{node} {text}")).collect::<Vec<_>>().join("; ")
        };
        let refused = |text: &str| format!("UnschedulableAndUnresolvable: {text}");
        let bound = |label: &str, value: &str| {
            vec![claim("c", json!({"volumeName": "v"})), labelled(volume("v", json!({})), label, value)]
        };
        let unbound = |class: &str| vec![claim("c", json!({"storageClassName": class}))];
        let nowhere = vec![claim("c", json!({"volumeName": "gone"}))];
        for (objects, want) in [
            (bound(ZONE, "z1"), no(&["b"])),
            (bound(ZONE, "z1__z2"), "fits".to_owned()),
            (bound(ZONE, "z1__"), "fits".to_owned()),
            (bound(BETA_ZONE, "z2"), no(&["a"])),
            (bound("topology.kubernetes.io/region", "r"), no(&["a", "b"])),
            (bound("disk", "z1"), "fits".to_owned()),
            (unbound("wait"), "fits".to_owned()),
            (unbound("now"), refused("PersistentVolume had no name")),
            (unbound("silent"), refused("VolumeBindingMode not set for StorageClass \"silent\"")),
            (unbound("gone"), refused("storageclass.storage.k8s.io \"gone\" not found")),
            (unbound(""), refused("PersistentVolumeClaim had no pv name and storageClass name")),
            (nowhere, refused("persistentvolume \"gone\" not found")),
            (vec![], refused("persistentvolumeclaim \"c\" not found")),
        ] {
            let mut silent = class("silent", "csi.x", "");
            silent.body = sim_core::api::object::Body::Json(Arc::new(json!({"provisioner": "csi.x"})));
            let there = [
                node("a").label(ZONE, "z1").build(),
                node("b").label(ZONE, "z2").build(),
                // Of no zone at all.
                node("c").build(),
                wait(),
                class("now", "csi.x", "Immediate"),
                silent,
            ];
            let cache = cluster(there.into_iter().chain(objects.clone()));
            assert_eq!(verdicts(&*registered, &cache, &pod_with("p", &["c"])), want, "{objects:?}");
        }
        let cache = cluster([node("a").build()]);
        assert_eq!(verdicts(&*registered, &cache, &pod_with("p", &[])), "skipped");
        assert_eq!(verdicts(&*registered, &cache, &pod_with("p", &["e!"])), "fits");
    }

    #[test]
    fn what_helps() {
        let event = |resource, action| ClusterEvent::new(resource, action);
        let (classes, claims) = (EventResource::StorageClass, EventResource::PersistentVolumeClaim);
        let volumes = EventResource::PersistentVolume;
        let in_zone = |zone: &str| labelled(volume("v", json!({})), ZONE, zone);
        let larger = |zone: &str| labelled(volume("v", json!({"capacity": {}})), ZONE, zone);
        let waiting = pod_with("p", &["c", "e!"]);
        for (case, event, old, new, hint) in [
            ("waits", event(classes, ActionType::ADD), None, wait(), Hint::Queue),
            ("does not", event(classes, ActionType::ADD), None, class("now", "x", "Immediate"), Hint::Skip),
            ("its claim", event(claims, ActionType::ADD), None, claim("c", json!({})), Hint::Queue),
            ("another", event(claims, ActionType::ADD), None, claim("d", json!({})), Hint::Skip),
            ("ephemeral", event(claims, ActionType::ADD), None, claim("p-e", json!({})), Hint::Skip),
            ("volume", event(volumes, ActionType::ADD), None, in_zone("a"), Hint::Queue),
            ("moved", event(volumes, ActionType::UPDATE), Some(in_zone("a")), in_zone("b"), Hint::Queue),
            ("order", event(volumes, ActionType::UPDATE), Some(in_zone("a__b")), in_zone("b__a"), Hint::Skip),
            ("other", event(volumes, ActionType::UPDATE), Some(in_zone("a")), larger("a"), Hint::Skip),
        ] {
            assert_eq!(ask(&VolumeZone, &waiting, event, old.as_ref(), Some(&new)), hint, "{case}");
        }
    }
}
