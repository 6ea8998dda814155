//! `VolumeRestrictions`: some disks may be mounted by one pod of a node only, and a claim for one pod
//! (ReadWriteOncePod) by one pod of the cluster.

use k8s_openapi::api::core::v1::{PodSpec, Volume as WireVolume};
use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_core::api::object::Object;
use smol_str::SmolStr;

use super::volumes::objects::Claim;
use super::volumes::{named_claims, names};
use crate::cache::Objects;
use crate::framework::{
    ActionType, Attempt, ClusterEvent, Code, EventChange, EventResource, Filter, Fits, Hint, Plugin,
    PreFilter, PreFilterExtensions, PreFiltered, QueueingHint, Reads, Rejected, Status, Verdict, Wake,
};
use crate::node::{NodeInfo, NodePod};
use crate::pod::PodInfo;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct VolumeRestrictions;

/// Who else uses the pod's claims for one pod.
#[derive(Clone, Debug, Default)]
pub struct OneClaimOnePod {
    /// Names of those claims, each once.
    claims: Vec<SmolStr>,
    /// Uses by other pods.
    conflicts: i64,
    /// True if upstream skips the pod, and so does not follow other pods. Here it is not skipped: that would have to
    /// depend on the class alone.
    indifferent: bool,
}

impl OneClaimOnePod {
    fn follow(&mut self, other: &PodInfo, sign: i64) {
        if !self.indifferent {
            // Upstream forgets to compare namespaces, too.
            let uses = named_claims(other).filter(|name| self.claims.contains(name));
            self.conflicts += sign * uses.count() as i64;
        }
    }
}

fn is_restricted(volume: &WireVolume) -> bool {
    volume.gce_persistent_disk.is_some()
        || volume.aws_elastic_block_store.is_some()
        || volume.rbd.is_some()
        || volume.iscsi.is_some()
}

/// True if two pods on one node must not both have these volumes (`isVolumeConflict`).
fn conflict(a: &WireVolume, b: &WireVolume) -> bool {
    let written = |a: Option<bool>, b: Option<bool>| !(a.unwrap_or(false) && b.unwrap_or(false));
    if let (Some(a), Some(b)) = (&a.gce_persistent_disk, &b.gce_persistent_disk)
        && a.pd_name == b.pd_name
        && written(a.read_only, b.read_only)
    {
        return true;
    }
    if let (Some(a), Some(b)) = (&a.aws_elastic_block_store, &b.aws_elastic_block_store)
        && a.volume_id == b.volume_id
    {
        return true;
    }
    if let (Some(a), Some(b)) = (&a.iscsi, &b.iscsi)
        && a.iqn == b.iqn
        && written(a.read_only, b.read_only)
    {
        return true;
    }
    let (Some(a), Some(b)) = (&a.rbd, &b.rbd) else { return false };
    let pool = |pool: &Option<String>| pool.clone().unwrap_or_default();
    a.monitors.iter().any(|monitor| b.monitors.contains(monitor))
        && pool(&a.pool) == pool(&b.pool)
        && a.image == b.image
        && written(a.read_only, b.read_only)
}

fn conflicts(own: &PodSpec, other: &PodSpec) -> bool {
    let mut restricted = own.volumes.iter().flatten().filter(|volume| is_restricted(volume));
    restricted.any(|volume| other.volumes.iter().flatten().any(|existing| conflict(volume, existing)))
}

impl Plugin for VolumeRestrictions {
    const NAME: &'static str = "VolumeRestrictions";
    const READS: Reads = Reads::NodeLocalOrSkipped;
    type Cycle = OneClaimOnePod;

    fn pre_filter(&self, _: &PodInfo) -> OneClaimOnePod {
        OneClaimOnePod::default()
    }
}

impl PreFilter for VolumeRestrictions {
    fn check(&self, cycle: &mut OneClaimOnePod, attempt: &Attempt<'_>) -> PreFiltered {
        let pod = attempt.pod;
        let restricted = pod.spec.volumes.iter().flatten().any(is_restricted);
        for name in named_claims(pod) {
            let claim = match Claim::seen(attempt.cluster.objects(), &pod.namespace, name) {
                Ok(claim) => claim,
                Err(missing) => {
                    return PreFiltered::Refused(Status::new(Code::UnschedulableAndUnresolvable, missing));
                }
            };
            if claim.access_modes().any(|mode| mode == "ReadWriteOncePod") && !cycle.claims.contains(name) {
                cycle.claims.push(name.clone());
            }
        }
        let used = |name: &&SmolStr| {
            attempt.cluster.is_claim_used(&Key::new(pod.namespace.clone(), (*name).clone()))
        };
        cycle.conflicts = cycle.claims.iter().filter(used).count() as i64;
        cycle.indifferent = !restricted && cycle.conflicts == 0;
        if cycle.indifferent && pod.claims.is_empty() { PreFiltered::Skip } else { PreFiltered::Proceed }
    }
}

impl PreFilterExtensions for VolumeRestrictions {
    fn add_pod(&self, cycle: &mut OneClaimOnePod, _: &Attempt<'_>, added: &NodePod, _: &NodeInfo) {
        cycle.follow(&added.info, 1);
    }

    fn remove_pod(&self, cycle: &mut OneClaimOnePod, _: &Attempt<'_>, removed: &NodePod, _: &NodeInfo) {
        cycle.follow(&removed.info, -1);
    }
}

impl Filter for VolumeRestrictions {
    fn filter(&self, cycle: &OneClaimOnePod, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if node.pods.iter().any(|other| conflicts(&pod.spec, &other.info.spec)) {
            return Rejected("node(s) had no available disk");
        }
        if cycle.conflicts > 0 {
            return Rejected(
                "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use \
                 by another pod",
            );
        }
        Fits
    }
}

impl QueueingHint for VolumeRestrictions {
    const BY_CLASS: bool = true;

    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Pod, ActionType::DELETE),
            Wake::NodeAdded,
            ClusterEvent::new(EventResource::PersistentVolumeClaim, ActionType::ADD),
        ]
    }

    fn hint(&self, pod: &PodInfo, _: &Object, change: &EventChange<'_>, _: &Objects) -> Hint {
        match change.event.resource {
            EventResource::Node => Hint::Queue,
            EventResource::PersistentVolumeClaim => match change.of(Kind::PERSISTENT_VOLUME_CLAIM) {
                Some((_, Some(claim))) => Hint::queue_if(names(pod, claim)),
                _ => Hint::Queue,
            },
            _ => match change.old.and_then(|old| Some((old, old.as_pod()?))) {
                Some((old, deleted)) => {
                    let same_claim = || {
                        let volumes = deleted.spec.volumes.iter().flatten();
                        let mut names =
                            volumes.filter_map(|v| Some(&v.persistent_volume_claim.as_ref()?.claim_name));
                        names.any(|name| named_claims(pod).any(|own| own == name))
                    };
                    let helps = old.meta.key.namespace == pod.namespace
                        && (conflicts(&pod.spec, &deleted.spec) || same_claim());
                    Hint::queue_if(helps)
                }
                None => Hint::Queue,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::plugin;
    use crate::pod::Classes;
    use crate::testing::volumes::{claim, cluster, pod_with, verdicts};
    use crate::testing::{ask, node, on, pod};
    use serde_json::{Value, json};
    use sim_core::api::meta::Uid;
    use sim_core::time::Time;
    use std::sync::Arc;

    fn with(name: &str, source: Value) -> Object {
        let mut volume = source;
        volume["name"] = json!("v");
        pod(name).with("volumes", json!([volume])).build()
    }

    #[test]
    fn disks_of_one_pod_per_node() {
        let registered = plugin(VolumeRestrictions).pre_filter().filter().into();
        let registered: Arc<dyn crate::framework::AnyPlugin> = registered;
        let gce = |name: &str, ro: bool| json!({"gcePersistentDisk": {"pdName": name, "readOnly": ro}});
        let aws = |id: &str| json!({"awsElasticBlockStore": {"volumeID": id, "readOnly": true}});
        let iscsi = |iqn: &str, ro: bool| json!({"iscsi": {"iqn": iqn, "targetPortal": "t", "lun": 0, "readOnly": ro}});
        let rbd = |monitors: Value, pool: &str, image: &str, ro: bool| json!({"rbd": {"monitors": monitors, "pool": pool, "image": image, "readOnly": ro}});
        let conflict = "n Unschedulable: node(s) had no available disk";
        for (own, there, want) in [
            (json!({"emptyDir": {}}), gce("d", false), "skipped"),
            (gce("d", false), json!({"emptyDir": {}}), "fits"),
            (gce("d", false), gce("d", false), conflict),
            (gce("d", true), gce("d", false), conflict),
            (gce("d", true), gce("d", true), "fits"),
            (gce("d", false), gce("e", false), "fits"),
            (aws("d"), aws("d"), conflict),
            (aws("d"), aws("e"), "fits"),
            (iscsi("i", false), iscsi("i", true), conflict),
            (iscsi("i", true), iscsi("i", true), "fits"),
            (rbd(json!(["a", "b"]), "p", "i", false), rbd(json!(["b"]), "p", "i", false), conflict),
            (rbd(json!(["a"]), "p", "i", false), rbd(json!(["b"]), "p", "i", false), "fits"),
            (rbd(json!(["a"]), "p", "i", false), rbd(json!(["a"]), "q", "i", false), "fits"),
            (rbd(json!(["a"]), "p", "i", true), rbd(json!(["a"]), "p", "i", true), "fits"),
        ] {
            let cache = cluster([node("n").build(), on(with("there", there.clone()), "n")]);
            assert_eq!(verdicts(&*registered, &cache, &with("own", own.clone())), want, "{own} {there}");
        }
    }

    #[test]
    fn a_claim_for_one_pod() {
        let registered: Arc<dyn crate::framework::AnyPlugin> =
            plugin(VolumeRestrictions).pre_filter().filter().into();
        let conflict = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already \
                        in-use by another pod";
        let everywhere = format!("a Unschedulable: {conflict}; b Unschedulable: {conflict}");
        for (own, there, want) in [
            (vec!["one"], vec!["one"], everywhere.as_str()),
            (vec!["one"], vec!["many"], "fits"),
            (vec!["many"], vec!["many"], "fits"),
            (vec!["e!"], vec!["one"], "fits"),
            (vec![], vec!["one"], "skipped"),
            (
                vec!["many", "gone"],
                vec![],
                "UnschedulableAndUnresolvable: persistentvolumeclaim \"gone\" not found",
            ),
        ] {
            let cache = cluster([
                node("a").build(),
                node("b").build(),
                claim("one", json!({"accessModes": ["ReadWriteOncePod"]})),
                claim("many", json!({})),
                on(pod_with("there", &there), "a"),
            ]);
            assert_eq!(verdicts(&*registered, &cache, &pod_with("own", &own)), want, "{own:?} {there:?}");
        }
    }

    #[test]
    fn other_pods_are_followed() {
        let cache = cluster([
            node("n").build(),
            claim("one", json!({"accessModes": ["ReadWriteOncePod"]})),
            on(pod_with("there", &["one"]), "n"),
        ]);
        let own = pod_with("own", &["one"]);
        let mut classes = Classes::default();
        let info = classes.of(&own).expect("a pod");
        let attempt = Attempt { pod: &info, object: &own, cluster: &cache, now: Time::ZERO };
        let mut cycle = VolumeRestrictions.pre_filter(&info);
        VolumeRestrictions.check(&mut cycle, &attempt);
        let without = NodeInfo::of(&node("n").build());
        let other = NodePod { uid: Uid(1), info: info.clone() };
        for (sign, fits) in [(-1, true), (1, false)] {
            match sign {
                1 => VolumeRestrictions.add_pod(&mut cycle, &attempt, &other, &without),
                _ => VolumeRestrictions.remove_pod(&mut cycle, &attempt, &other, &without),
            }
            assert_eq!(VolumeRestrictions.filter(&cycle, &info, &without).fits(), fits);
        }
    }

    #[test]
    fn what_helps() {
        let waiting = pod_with("p", &["a"]);
        let disk = || with("p", json!({"awsElasticBlockStore": {"volumeID": "d"}}));
        let elsewhere = |mut object: Object| {
            object.meta.key.namespace = "other".into();
            object
        };
        let added = ClusterEvent::new(EventResource::PersistentVolumeClaim, ActionType::ADD);
        for (case, waiting, event, old, new, hint) in [
            ("its claim", &waiting, added, None, Some(claim("a", json!({}))), Hint::Queue),
            ("another's", &waiting, added, None, Some(claim("b", json!({}))), Hint::Skip),
            ("elsewhere", &waiting, added, None, Some(elsewhere(claim("a", json!({})))), Hint::Skip),
            ("its user", &waiting, Wake::PodDeleted, Some(pod_with("q", &["a"])), None, Hint::Queue),
            ("none", &waiting, Wake::PodDeleted, Some(pod_with("q", &["b"])), None, Hint::Skip),
            ("away", &waiting, Wake::PodDeleted, Some(elsewhere(pod_with("q", &["a"]))), None, Hint::Skip),
            ("a disk", &disk(), Wake::PodDeleted, Some(disk()), None, Hint::Queue),
            ("a node", &waiting, Wake::NodeAdded, None, Some(node("n").build()), Hint::Queue),
        ] {
            let answer = ask(&VolumeRestrictions, waiting, event, old.as_ref(), new.as_ref());
            assert_eq!(answer, hint, "{case}");
        }
    }
}
