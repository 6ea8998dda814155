//! `NodeVolumeLimits`: a CSI driver can attach so many volumes to a node (`nodevolumelimits/csi.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Volume as WireVolume;
use rustc_hash::FxHashMap;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use smol_str::{SmolStr, format_smolstr};

use super::volumes::csi::InTree;
use super::volumes::objects::{Claim, Class, CsiNode, Volume, attachment};
use super::volumes::{made_for, uses, volumes};
use crate::cache::Objects;
use crate::framework::{
    ActionType, Attempt, ClusterEvent, ClusterFilter, Code, EventChange, EventResource, Fits, Hint, Plugin,
    PreFilter, PreFiltered, QueueingHint, Reads, Rejected, Status, Verdict,
};
use crate::node::NodeInfo;
use crate::pod::{PodClaim, PodInfo};

/// Stands for the handle of volumes that are not there yet. Upstream draws it, so that it differs from all others.
const NOT_YET: &str = "volume-to-be-provisioned";

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct NodeVolumeLimits;

/// Volumes that are counted, as `driver/handle`, with their drivers.
type Counted = BTreeMap<SmolStr, SmolStr>;

type ByNode = FxHashMap<SmolStr, Vec<(SmolStr, SmolStr)>>;

/// Volumes that are attached, by node (`getNodeVolumeAttachmentInfo`); `None` if there are none.
#[derive(Clone, Debug, Default)]
pub struct Attached(Option<Arc<ByNode>>);

impl Attached {
    fn of(objects: &Objects) -> Attached {
        let mut by_node = ByNode::default();
        for object in objects.list(Kind::VOLUME_ATTACHMENT) {
            let (node, attacher, Some(name)) = attachment(object) else { continue };
            let volume = Volume::seen(objects, name).ok().and_then(Volume::csi);
            if let Some((_, handle)) = volume.filter(|_| !attacher.is_empty()) {
                let counted = (format_smolstr!("{attacher}/{handle}"), SmolStr::new(attacher));
                by_node.entry(SmolStr::new(node)).or_default().push(counted);
            }
        }
        Attached((!by_node.is_empty()).then(|| Arc::new(by_node)))
    }
}

/// Counts volumes for one node.
#[derive(Clone, Copy)]
struct Counter<'a> {
    objects: &'a Objects,
    csi_node: Option<CsiNode<'a>>,
}

impl Counter<'_> {
    /// Adds the volumes of a pod (`filterAttachableVolumes`). `new` if it is the pod to be placed.
    fn add(self, pod: &PodInfo, uid: Uid, new: bool, counted: &mut Counted) -> Result<(), Status> {
        for (volume, claim) in volumes(pod) {
            let found = match claim {
                Some(claim) => self.of_claim(pod, uid, volume, claim, new)?,
                None => self.of_inline(volume).map_err(Status::error)?,
            };
            if let Some((driver, handle)) = found {
                counted.insert(format_smolstr!("{driver}/{handle}"), driver);
            }
        }
        Ok(())
    }

    fn of_inline(self, volume: &WireVolume) -> Result<Option<(SmolStr, String)>, String> {
        let plugin = InTree::of_inline(volume).filter(|plugin| plugin.counts_on(self.csi_node));
        let Some(plugin) = plugin else { return Ok(None) };
        let handle = plugin
            .inline_handle(volume)
            .map_err(|e| format!("converting volume({}) from inline to csi: {e}", volume.name))?;
        Ok(Some((SmolStr::new_static(plugin.driver()), handle)))
    }

    fn of_claim(
        self,
        pod: &PodInfo,
        uid: Uid,
        volume: &WireVolume,
        named: &PodClaim,
        new: bool,
    ) -> Result<Option<(SmolStr, String)>, Status> {
        if named.name.is_empty() {
            return Err(Status::error("PersistentVolumeClaim had no name"));
        }
        let claim = match Claim::seen(self.objects, &pod.namespace, &named.name) {
            Ok(claim) => claim,
            Err(_) if !new => return Ok(None),
            Err(missing) => {
                let text = format_smolstr!("looking up PVC {}/{}: {missing}", pod.namespace, named.name);
                return Err(Status::new(Code::UnschedulableAndUnresolvable, text));
            }
        };
        if named.ephemeral {
            let owner = named.name.strip_suffix(volume.name.as_str()).and_then(|rest| rest.strip_suffix('-'));
            let owner = Key::new(pod.namespace.clone(), owner.unwrap_or_default());
            made_for(&owner, uid, claim).map_err(Status::error)?;
        }
        let found = self.driver(claim).filter(|(driver, handle)| !driver.is_empty() && !handle.is_empty());
        Ok(found)
    }

    /// Driver and handle of a claim's volume (`getCSIDriverInfo`).
    fn driver(self, claim: Claim<'_>) -> Option<(SmolStr, String)> {
        let name = claim.volume_name();
        let volume = (!name.is_empty()).then(|| Volume::seen(self.objects, name).ok()).flatten();
        let Some(volume) = volume else { return self.driver_of_class(claim) };
        if let Some((driver, handle)) = volume.csi() {
            return Some((SmolStr::new(driver), handle.to_owned()));
        }
        let plugin = InTree::of(volume).filter(|plugin| plugin.counts_on(self.csi_node))?;
        Some((SmolStr::new_static(plugin.driver()), plugin.handle(volume).ok()?))
    }

    /// The same of a volume that is not there yet (`getCSIDriverInfoFromSC`).
    fn driver_of_class(self, claim: Claim<'_>) -> Option<(SmolStr, String)> {
        let class = Class::seen(self.objects, claim.class()).ok().filter(|_| !claim.class().is_empty())?;
        let driver = match InTree::named(class.provisioner()) {
            Some(plugin) if plugin.counts_on(self.csi_node) => SmolStr::new_static(plugin.driver()),
            Some(_) => return None,
            None => SmolStr::new(class.provisioner()),
        };
        Some((driver, format!("{NOT_YET}-{}", claim.0.meta.key)))
    }
}

impl Plugin for NodeVolumeLimits {
    const NAME: &'static str = "NodeVolumeLimits";
    const READS: Reads = Reads::NodeLocalOrSkipped;
    type Cycle = Attached;

    fn pre_filter(&self, _: &PodInfo) -> Attached {
        Attached::default()
    }
}

impl PreFilter for NodeVolumeLimits {
    fn check(&self, cycle: &mut Attached, attempt: &Attempt<'_>) -> PreFiltered {
        let mut volumes = attempt.pod.spec.volumes.iter().flatten();
        if attempt.pod.claims.is_empty() && !volumes.any(|volume| InTree::of_inline(volume).is_some()) {
            return PreFiltered::Skip;
        }
        *cycle = Attached::of(attempt.cluster.objects());
        PreFiltered::Proceed
    }
}

impl ClusterFilter for NodeVolumeLimits {
    fn filter(&self, attached: &Attached, attempt: &Attempt<'_>, node: &NodeInfo) -> Verdict {
        fits(attached, attempt, node).unwrap_or_else(Verdict::because)
    }
}

fn fits(attached: &Attached, attempt: &Attempt<'_>, node: &NodeInfo) -> Result<Verdict, Status> {
    let objects = attempt.cluster.objects();
    let counter = Counter { objects, csi_node: CsiNode::seen(objects, &node.name) };
    let mut new = Counted::new();
    counter.add(attempt.pod, attempt.object.meta.uid, true, &mut new)?;
    let drivers = counter.csi_node.into_iter().flat_map(CsiNode::drivers);
    let limits: BTreeMap<&str, i64> = drivers.filter_map(|(name, limit)| Some((name, limit?))).collect();
    if new.is_empty() || limits.is_empty() {
        return Ok(Fits);
    }
    let mut there = Counted::new();
    for pod in &node.pods {
        counter.add(&pod.info, pod.uid, false, &mut there)?;
    }
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for (volume, driver) in &there {
        new.remove(volume);
        *counts.entry(driver).or_default() += 1;
    }
    // An attached volume counts once, however many attachments tell of it.
    let attached = attached.0.as_ref().and_then(|by_node| by_node.get(&node.name));
    let attached: Counted = attached.into_iter().flatten().cloned().collect();
    for (_, driver) in attached.iter().filter(|(volume, _)| !there.contains_key(*volume)) {
        *counts.entry(driver).or_default() += 1;
    }
    let mut wanted: BTreeMap<&str, i64> = BTreeMap::new();
    for driver in new.values() {
        *wanted.entry(driver).or_default() += 1;
    }
    let too_many = wanted.iter().any(|(driver, wanted)| {
        limits.get(driver).is_some_and(|limit| counts.get(driver).unwrap_or(&0) + wanted > *limit)
    });
    Ok(if too_many { Rejected("node(s) exceed max volume count") } else { Fits })
}

impl QueueingHint for NodeVolumeLimits {
    const BY_CLASS: bool = true;

    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::CSINode, ActionType::ADD),
            ClusterEvent::new(EventResource::CSINode, ActionType::UPDATE),
            ClusterEvent::new(EventResource::Pod, ActionType::DELETE),
            ClusterEvent::new(EventResource::PersistentVolumeClaim, ActionType::ADD),
            ClusterEvent::new(EventResource::VolumeAttachment, ActionType::DELETE),
        ]
    }

    fn hint(&self, pod: &PodInfo, _: &Object, change: &EventChange<'_>, _: &Objects) -> Hint {
        match change.event.resource {
            EventResource::CSINode => match change.of(Kind::CSI_NODE) {
                Some((Some(old), Some(new))) => Hint::queue_if(limit_rose(CsiNode(old), CsiNode(new))),
                _ => Hint::Queue,
            },
            EventResource::PersistentVolumeClaim => match change.of(Kind::PERSISTENT_VOLUME_CLAIM) {
                Some((_, Some(claim))) => Hint::queue_if(uses(pod, claim)),
                _ => Hint::Queue,
            },
            EventResource::VolumeAttachment => match change.of(Kind::VOLUME_ATTACHMENT) {
                Some((Some(deleted), _)) => after_detach(pod, attachment(deleted).1),
                _ => Hint::Queue,
            },
            _ => match change.old.and_then(Object::as_pod) {
                Some(deleted) => {
                    let placed =
                        !deleted.node_name.is_empty() || !deleted.status.nominated_node_name.is_empty();
                    let counts = |volume: &WireVolume| {
                        volume.persistent_volume_claim.is_some()
                            || volume.ephemeral.is_some()
                            || InTree::of_inline(volume).is_some()
                    };
                    Hint::queue_if(placed && deleted.spec.volumes.iter().flatten().any(counts))
                }
                None => Hint::Queue,
            },
        }
    }
}

/// True if some driver can attach more volumes than before; no limit counts as none at all.
fn limit_rose(old: CsiNode<'_>, new: CsiNode<'_>) -> bool {
    let old: BTreeMap<&str, i64> = old.drivers().map(|(name, limit)| (name, limit.unwrap_or(0))).collect();
    new.drivers().any(|(name, limit)| limit.unwrap_or(0) > old.get(name).copied().unwrap_or(0))
}

/// Whether the end of an attachment may help (`isSchedulableAfterVolumeAttachmentDeleted`).
// DIFFERS: upstream dies of a nil dereference at a vSphere volume with a storage policy in the pod itself.
fn after_detach(pod: &PodInfo, attacher: &str) -> Hint {
    for volume in pod.spec.volumes.iter().flatten() {
        if volume.persistent_volume_claim.is_some() {
            return Hint::Queue;
        }
        if let Some(plugin) = InTree::of_inline(volume)
            && (plugin.driver() == attacher || plugin.inline_handle(volume).is_err())
        {
            return Hint::Queue;
        }
    }
    Hint::Skip
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::{AnyPlugin, Wake, plugin};
    use crate::testing::volumes::*;
    use crate::testing::{ask, node, on, pod};
    use serde_json::{Value, json};

    fn csi_node(limits: Value) -> Object {
        let limits = limits.as_object().cloned().unwrap_or_default();
        let driver = |(name, count): (String, Value)| match count {
            Value::Null => json!({"name": name}),
            count => json!({"name": name, "allocatable": {"count": count}}),
        };
        let drivers: Vec<Value> = limits.into_iter().map(driver).collect();
        stored(Kind::CSI_NODE, "n", json!({"spec": {"drivers": drivers}}))
    }

    fn bound(name: &str, driver: &str) -> [Object; 2] {
        let source = json!({"csi": {"driver": driver, "volumeHandle": format!("h-{name}")}});
        [claim(name, json!({"volumeName": format!("v-{name}")})), volume(&format!("v-{name}"), source)]
    }

    fn attachment_of(volume: &str, driver: &str) -> Object {
        let source = json!({"persistentVolumeName": volume});
        let spec = json!({"nodeName": "n", "attacher": driver, "source": source});
        stored(Kind::VOLUME_ATTACHMENT, &format!("a-{volume}"), json!({"spec": spec}))
    }

    #[test]
    fn drivers_have_limits() {
        let registered: Arc<dyn AnyPlugin> = plugin(NodeVolumeLimits).pre_filter().cluster_filter().into();
        let too_many = "n Unschedulable: node(s) exceed max volume count";
        let limit = |count: i64| csi_node(json!({"csi.x": count}));
        for (case, own, there, csi, want) in [
            ("nothing to count", vec![], vec!["x1"], Some(limit(0)), "skipped"),
            ("room", vec!["x1"], vec!["x2"], Some(limit(2)), "fits"),
            ("no room", vec!["x1"], vec!["x2"], Some(limit(1)), too_many),
            ("the same volume", vec!["x1"], vec!["x1"], Some(limit(1)), "fits"),
            ("another driver", vec!["y1"], vec!["x1"], Some(limit(1)), "fits"),
            ("no limit", vec!["x1"], vec!["x2"], Some(csi_node(json!({"csi.x": null}))), "fits"),
            ("no CSINode", vec!["x1"], vec!["x2"], None, "fits"),
            ("attached", vec!["x1"], vec!["x2"], Some(limit(2)), "fits"),
            ("attached already: it counts twice", vec!["x1", "x2"], vec!["late"], Some(limit(3)), too_many),
            ("yet to be made", vec!["late"], vec!["x1"], Some(limit(1)), too_many),
            ("of no class", vec!["free"], vec!["x1"], Some(limit(1)), "fits"),
            ("of a lost volume", vec!["lost"], vec!["x1"], Some(limit(1)), too_many),
            ("ephemeral", vec!["e!"], vec!["x1"], Some(limit(1)), too_many),
            ("lost claims of others", vec!["x1"], vec!["gone"], Some(limit(1)), "fits"),
            (
                "missing claim",
                vec!["gone"],
                vec![],
                Some(limit(9)),
                "n UnschedulableAndUnresolvable: looking up PVC default/gone: persistentvolumeclaim \"gone\" not found",
            ),
            (
                "another's claim",
                vec!["other!"],
                vec![],
                Some(limit(9)),
                "n Error: PVC default/own-other was not created for pod default/own (pod is not owner)",
            ),
            ("in-tree", vec!["tree"], vec![], Some(csi_node(json!({"ebs.csi.aws.com": 0}))), too_many),
            (
                "in-tree, not made",
                vec!["tree-late"],
                vec![],
                Some(csi_node(json!({"ebs.csi.aws.com": 0}))),
                too_many,
            ),
        ] {
            let mut objects = vec![
                node("n").build(),
                on(pod_with("there", &there), "n"),
                wait(),
                class("tree", "kubernetes.io/aws-ebs", "WaitForFirstConsumer"),
                claim("late", json!({})),
                claim("free", json!({"storageClassName": ""})),
                claim("lost", json!({"volumeName": "gone"})),
                claim("tree", json!({"volumeName": "v-tree"})),
                claim("tree-late", json!({"storageClassName": "tree"})),
                volume("v-tree", json!({"awsElasticBlockStore": {"volumeID": "vol-1"}})),
                owned_by(claim("own-e", json!({})), "own"),
                claim("own-other", json!({})),
                // Of a volume that a pod on the node uses, and of no volume.
                attachment_of("v-x2", "csi.x"),
                attachment_of("gone", "csi.x"),
            ];
            let attached = case.starts_with("attached");
            objects.retain(|object| attached || object.kind != Kind::VOLUME_ATTACHMENT);
            objects.extend(["x1", "x2"].into_iter().flat_map(|name| bound(name, "csi.x")));
            objects.extend(bound("y1", "csi.y"));
            objects.extend(csi);
            let cache = cluster(objects);
            assert_eq!(verdicts(&*registered, &cache, &pod_with("own", &own)), want, "{case}");
        }
    }

    #[test]
    fn attached_volumes_count_without_pods() {
        let registered: Arc<dyn AnyPlugin> = plugin(NodeVolumeLimits).pre_filter().cluster_filter().into();
        let mut objects = vec![node("n").build(), csi_node(json!({"csi.x": 1}))];
        objects.extend(["x1", "x2"].into_iter().flat_map(|name| bound(name, "csi.x")));
        let own = pod_with("own", &["x1"]);
        assert_eq!(verdicts(&*registered, &cluster(objects.clone()), &own), "fits");
        objects.push(attachment_of("v-x2", "csi.x"));
        let too_many = "n Unschedulable: node(s) exceed max volume count";
        assert_eq!(verdicts(&*registered, &cluster(objects), &own), too_many);
    }

    #[test]
    fn what_helps() {
        let event = |resource, action| ClusterEvent::new(resource, action);
        let updated = event(EventResource::CSINode, ActionType::UPDATE);
        let added = event(EventResource::PersistentVolumeClaim, ActionType::ADD);
        let detached = event(EventResource::VolumeAttachment, ActionType::DELETE);
        let with = |source: Value| {
            let mut volume = source;
            volume["name"] = json!("v");
            pod("p").with("volumes", json!([volume])).build()
        };
        let disk = || with(json!({"awsElasticBlockStore": {"volumeID": "d"}}));
        let claims = || pod_with("p", &["c", "e!"]);
        let policy = with(json!({"vsphereVolume": {"volumePath": "p", "storagePolicyName": "gold"}}));
        let limits = |count: Value| Some(csi_node(json!({"csi.x": count})));
        for (case, waiting, event, old, new, hint) in [
            (
                "a CSINode",
                claims(),
                event(EventResource::CSINode, ActionType::ADD),
                None,
                limits(json!(1)),
                Hint::Queue,
            ),
            ("more", claims(), updated, limits(json!(1)), limits(json!(2)), Hint::Queue),
            ("fewer", claims(), updated, limits(json!(2)), limits(json!(1)), Hint::Skip),
            ("limit gone", claims(), updated, limits(json!(2)), limits(Value::Null), Hint::Skip),
            ("its claim", claims(), added, None, Some(claim("c", json!({}))), Hint::Queue),
            ("made for it", claims(), added, None, Some(claim("p-e", json!({}))), Hint::Queue),
            ("another", claims(), added, None, Some(claim("d", json!({}))), Hint::Skip),
            ("user gone", claims(), Wake::PodDeleted, Some(on(claims(), "n")), None, Hint::Queue),
            ("disk gone", claims(), Wake::PodDeleted, Some(on(disk(), "n")), None, Hint::Queue),
            ("was nowhere", claims(), Wake::PodDeleted, Some(claims()), None, Hint::Skip),
            ("had none", claims(), Wake::PodDeleted, Some(on(pod("q").build(), "n")), None, Hint::Skip),
            ("detached", claims(), detached, Some(attachment_of("v", "csi.x")), None, Hint::Queue),
            ("its driver", disk(), detached, Some(attachment_of("v", "ebs.csi.aws.com")), None, Hint::Queue),
            ("other driver", disk(), detached, Some(attachment_of("v", "csi.x")), None, Hint::Skip),
            (
                "a policy",
                policy,
                detached,
                Some(attachment_of("v", "csi.vsphere.vmware.com")),
                None,
                Hint::Queue,
            ),
            ("no volume", pod("p").build(), detached, Some(attachment_of("v", "csi.x")), None, Hint::Skip),
        ] {
            assert_eq!(ask(&NodeVolumeLimits, &waiting, event, old.as_ref(), new.as_ref()), hint, "{case}");
        }
    }
}
