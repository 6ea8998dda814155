//! Which volumes a pod would get on a node (`volumebinding/binder.go`, `GetPodVolumeClaims` and `FindPodVolumes`).
//!
//! What does not depend on the node is found out once, before the nodes are looked at.

use std::sync::Arc;

use k8s_openapi::api::core::v1::TopologySelectorTerm;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Labels};
use sim_core::api::object::Object;
use sim_core::quantity::Quantity;
use sim_core::selectors::{NodeSelector, Operator, Requirement, Selector};
use sim_core::syntax::go_quote;
use smol_str::{SmolStr, format_smolstr};

use super::super::volumes::csi::InTree;
use super::super::volumes::objects::{Capacity, Claim, Class, CsiNode, Volume, tracks_capacity};
use crate::cache::Objects;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

const NODE_CONFLICT: &str = "node(s) didn't match PersistentVolume's node affinity";
const NO_VOLUME: &str = "node(s) didn't find available persistent volumes to bind";
const NO_SPACE: &str = "node(s) did not have enough free storage";
const VOLUME_GONE: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

/// Why a volume cannot be used on a node with some labels, if it cannot (`CheckNodeAffinity`).
///
/// # Errors
/// The reason.
pub(super) fn check_node_affinity(affinity: Option<&NodeSelector>, labels: &Labels) -> Result<(), String> {
    // Upstream looks at a node without a name.
    match affinity.map(|affinity| affinity.matches("", labels)) {
        None | Some(Ok(true)) => Ok(()),
        Some(Ok(false)) => Err("no matching NodeSelectorTerms".to_owned()),
        Some(Err(error)) => Err(error.to_string()),
    }
}

/// Where a volume can be used: it may be that of an in-tree plugin, which on some nodes is a CSI driver's.
#[derive(Clone, Debug)]
pub(super) struct Affinity {
    own: Option<NodeSelector>,
    /// As the driver's volume, or why it cannot be.
    translated: Option<(InTree, Result<Option<NodeSelector>, String>)>,
}

impl Affinity {
    pub(super) fn of(volume: Volume<'_>) -> Affinity {
        let translated = InTree::of(volume).map(|plugin| {
            let affinity = || plugin.node_affinity(volume).as_ref().map(NodeSelector::lazy);
            (plugin, plugin.handle(volume).map(|_| affinity()))
        });
        Affinity { own: volume.node_affinity().as_ref().map(NodeSelector::lazy), translated }
    }

    /// The one that counts on a node (`tryTranslatePVToCSI`).
    pub(super) fn on(&self, node: Option<CsiNode<'_>>) -> Result<Option<&NodeSelector>, SmolStr> {
        match &self.translated {
            Some((plugin, translated)) if plugin.binds_on(node) => match translated {
                Ok(affinity) => Ok(affinity.as_ref()),
                Err(error) => Err(format_smolstr!("could not translate pv: {error}")),
            },
            _ => Ok(self.own.as_ref()),
        }
    }
}

/// A volume that an unbound claim may get.
#[derive(Clone, Debug)]
struct Candidate {
    volume: Arc<Object>,
    affinity: Option<NodeSelector>,
}

impl Candidate {
    fn of(object: &Arc<Object>) -> Candidate {
        let affinity = Volume(object).node_affinity();
        Candidate { volume: object.clone(), affinity: affinity.as_ref().map(NodeSelector::lazy) }
    }

    fn suits(&self, labels: &Labels) -> bool {
        check_node_affinity(self.affinity.as_ref(), labels).is_ok()
    }
}

/// The volumes that a claim may get: one that is promised to it goes first, whatever there is beside.
#[derive(Clone, Debug)]
struct Candidates {
    promised: Vec<Candidate>,
    /// Smallest first.
    free: Vec<Candidate>,
}

impl Candidates {
    /// All of `FindMatchingVolume` that does not depend on the node.
    // DIFFERS: upstream's list is in random order, which decides among volumes of one size; here it is by name.
    fn of(claim: Claim<'_>, objects: &Objects) -> Result<Candidates, SmolStr> {
        let selector = claim.selector().map_err(|error| {
            let key = claim.0.key();
            format_smolstr!("error creating internal label selector for claim: {key}: {error}")
        })?;
        let wanted = claim.request().unwrap_or_default();
        let suits = |volume: Volume<'_>| {
            volume.class() == claim.class()
                && (!volume.has_claim() || volume.is_bound_to(claim))
                && volume.capacity().unwrap_or_default() >= wanted
                && volume.volume_mode() == claim.volume_mode()
                && volume.attributes_class() == claim.attributes_class()
                && !volume.0.meta.is_deleting()
        };
        let is_free = |volume: Volume<'_>| {
            volume.is_available()
                && selector.as_ref().is_none_or(|selector| selector.matches(&volume.0.meta.labels))
                && claim.access_modes().all(|mode| volume.access_modes().any(|own| own == mode))
        };
        let all = objects.list(Kind::PERSISTENT_VOLUME).filter(|object| suits(Volume(object)));
        let (promised, others): (Vec<_>, Vec<_>) = all.partition(|object| Volume(object).is_bound_to(claim));
        let mut free: Vec<_> = others.into_iter().filter(|object| is_free(Volume(object))).collect();
        free.sort_by_cached_key(|object| Volume(object).capacity().unwrap_or_default());
        let candidates = |objects: Vec<&Arc<Object>>| objects.into_iter().map(Candidate::of).collect();
        Ok(Candidates { promised: candidates(promised), free: candidates(free) })
    }

    /// The one to take on a node, other than those chosen for other claims.
    fn choose(&self, labels: &Labels, chosen: &[Binding]) -> Option<&Arc<Object>> {
        let open = |candidate: &&Candidate| {
            !chosen.iter().any(|other| Arc::ptr_eq(&other.volume, &candidate.volume))
        };
        let found = match self.promised.iter().find(open) {
            Some(promised) => Some(promised).filter(|promised| promised.suits(labels)),
            None => self.free.iter().filter(open).find(|candidate| candidate.suits(labels)),
        };
        found.map(|candidate| &candidate.volume)
    }
}

/// Whether and where a volume can be made for a claim.
#[derive(Clone, Debug)]
enum Provision {
    Broken(SmolStr),
    Unsupported,
    Supported {
        topologies: Vec<TopologySelectorTerm>,
        /// Nodes with enough room; `None` if that does not matter.
        room: Option<Vec<Selector>>,
    },
}

impl Provision {
    /// All of `checkVolumeProvisions` that does not depend on the node.
    fn of(claim: Claim<'_>, objects: &Objects) -> Provision {
        let name = claim.class();
        if name.is_empty() {
            return Provision::Broken(format_smolstr!(
                "no class for claim {}",
                go_quote(&claim.0.key().to_string())
            ));
        }
        let Ok(class) = Class::seen(objects, name) else {
            return Provision::Broken(format_smolstr!("failed to find storage class {}", go_quote(name)));
        };
        if matches!(class.provisioner(), "" | "kubernetes.io/no-provisioner") {
            return Provision::Unsupported;
        }
        let driver = objects.seen(Kind::CSI_DRIVER, &Key::cluster(class.provisioner()));
        let tracked = driver.is_some_and(|driver| tracks_capacity(driver));
        let room = claim.request().filter(|_| tracked).map(|request| room(objects, name, &request));
        Provision::Supported { topologies: class.allowed_topologies(), room }
    }
}

/// Where there is room for a volume (`hasEnoughCapacity`).
fn room(objects: &Objects, class: &str, request: &Quantity) -> Vec<Selector> {
    let enough = |capacity: &Capacity<'_>| {
        capacity.class() == class && capacity.limit().is_some_and(|limit| limit.value() >= request.value())
    };
    let all = objects.list(Kind::CSI_STORAGE_CAPACITY).map(|object| Capacity(object));
    all.filter(enough).filter_map(Capacity::topology).collect()
}

/// `MatchTopologySelectorTerms`: any term will do; no terms at all stand for everywhere.
fn in_topology(terms: &[TopologySelectorTerm], labels: &Labels) -> bool {
    let matches = |term: &TopologySelectorTerm| {
        let expressions = term.match_label_expressions.as_deref().unwrap_or_default();
        let holds = |key: &str, values: &[String]| {
            Requirement::new(key, Operator::In, values).is_ok_and(|requirement| requirement.matches(labels))
        };
        !expressions.is_empty() && expressions.iter().all(|e| holds(&e.key, &e.values))
    };
    terms.is_empty() || terms.iter().any(matches)
}

/// An unbound claim whose class waits for its first pod.
#[derive(Clone, Debug)]
struct Unbound {
    claim: Arc<Object>,
    selected_node: Option<SmolStr>,
    candidates: Result<Candidates, SmolStr>,
    provision: Provision,
}

/// A pod's claims (`PodVolumeClaims`).
#[derive(Clone, Debug, Default)]
pub(super) struct PodClaims {
    /// Volumes of bound claims; `None` if there is no such volume.
    bound: Vec<Option<Affinity>>,
    /// In the order of the pod's volumes.
    unbound: Vec<Unbound>,
    /// Those without a selected node, smallest first.
    to_match: Vec<usize>,
}

/// A volume for a claim.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) volume: Arc<Object>,
    pub(super) claim: Arc<Object>,
}

/// What a pod gets on a node (`PodVolumes`).
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) bindings: Vec<Binding>,
    /// Claims for which volumes are to be made.
    pub(super) provisions: Vec<Arc<Object>>,
}

/// Why [`PodClaims::of`] has nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoClaims {
    /// Claims of classes that do not wait for pods should be bound by now.
    UnboundImmediate,
    Broken(SmolStr),
}

impl PodClaims {
    /// Sorts a pod's claims, all of which are there.
    pub(super) fn of(pod: &PodInfo, objects: &Objects) -> Result<PodClaims, NoClaims> {
        let mut claims = PodClaims::default();
        let mut immediate = false;
        for named in &pod.claims {
            let key = Key::new(pod.namespace.clone(), named.name.clone());
            let Some(object) = objects.get(Kind::PERSISTENT_VOLUME_CLAIM, &key) else {
                let missing = format_smolstr!("could not find v1.PersistentVolumeClaim \"{key}\"");
                return Err(NoClaims::Broken(format_smolstr!("error getting PVC \"{key}\": {missing}")));
            };
            let claim = Claim(object);
            if claim.is_fully_bound() {
                let volume = objects.get(Kind::PERSISTENT_VOLUME, &Key::cluster(claim.volume_name()));
                claims.bound.push(volume.map(|volume| Affinity::of(Volume(volume))));
                continue;
            }
            let class = Some(claim.class()).filter(|class| !class.is_empty());
            let waits = match class.and_then(|class| Class::seen(objects, class).ok()) {
                Some(class) => class.waits_for_first_consumer().map_err(NoClaims::Broken)?,
                None => false,
            };
            if waits && claim.volume_name().is_empty() {
                claims.unbound.push(Unbound {
                    claim: object.clone(),
                    selected_node: claim.selected_node().map(SmolStr::new),
                    candidates: Candidates::of(claim, objects),
                    provision: Provision::of(claim, objects),
                });
            } else {
                immediate = true;
            }
        }
        if immediate {
            return Err(NoClaims::UnboundImmediate);
        }
        let open = (0..claims.unbound.len()).filter(|at| claims.unbound[*at].selected_node.is_none());
        claims.to_match = open.collect();
        let request = |at: &usize| Claim(&claims.unbound[*at].claim).request().unwrap_or_default();
        claims.to_match.sort_by_cached_key(request);
        Ok(claims)
    }

    /// True if all claims are bound (`arePodVolumesBound`).
    pub(super) fn are_bound(&self) -> bool {
        self.unbound.is_empty()
    }

    /// What the pod gets on a node, or the reasons why it cannot be there (`FindPodVolumes`).
    ///
    /// # Errors
    /// Something is wrong with a volume, a claim or a class.
    pub(super) fn find(
        &self,
        node: &NodeInfo,
        csi_node: Option<CsiNode<'_>>,
    ) -> Result<Result<Found, Vec<&'static str>>, SmolStr> {
        let mut reasons = Vec::new();
        let bound = self.check_bound(node, csi_node)?;
        if bound == Some(NODE_CONFLICT) {
            reasons.push(NODE_CONFLICT);
        }
        let mut found = Found::default();
        reasons.extend(self.find_unbound(node, &mut found)?);
        if bound == Some(VOLUME_GONE) {
            reasons.push(VOLUME_GONE);
        }
        Ok(if reasons.is_empty() { Ok(found) } else { Err(reasons) })
    }

    /// The first thing that keeps a bound volume from the node (`checkBoundClaims`).
    fn check_bound(
        &self,
        node: &NodeInfo,
        csi_node: Option<CsiNode<'_>>,
    ) -> Result<Option<&'static str>, SmolStr> {
        for volume in &self.bound {
            let Some(affinity) = volume else { return Ok(Some(VOLUME_GONE)) };
            if check_node_affinity(affinity.on(csi_node)?, &node.labels).is_err() {
                return Ok(Some(NODE_CONFLICT));
            }
        }
        Ok(None)
    }

    fn find_unbound(&self, node: &NodeInfo, found: &mut Found) -> Result<Option<&'static str>, SmolStr> {
        let mut to_provision = Vec::new();
        for unbound in &self.unbound {
            match &unbound.selected_node {
                Some(selected) if *selected != node.name => return Ok(Some(NO_VOLUME)),
                Some(_) => to_provision.push(unbound),
                None => {}
            }
        }
        for at in &self.to_match {
            let unbound = &self.unbound[*at];
            let candidates = unbound.candidates.as_ref().map_err(SmolStr::clone)?;
            match candidates.choose(&node.labels, &found.bindings) {
                Some(volume) => {
                    found.bindings.push(Binding { volume: volume.clone(), claim: unbound.claim.clone() });
                }
                None => to_provision.push(unbound),
            }
        }
        for unbound in &to_provision {
            match &unbound.provision {
                Provision::Broken(error) => return Err(error.clone()),
                Provision::Unsupported => return Ok(Some(NO_VOLUME)),
                Provision::Supported { topologies, room } => {
                    if !in_topology(topologies, &node.labels) {
                        return Ok(Some(NO_VOLUME));
                    }
                    if room.as_ref().is_some_and(|room| !room.iter().any(|nodes| nodes.matches(&node.labels)))
                    {
                        return Ok(Some(NO_SPACE));
                    }
                }
            }
        }
        found.provisions = to_provision.into_iter().map(|unbound| unbound.claim.clone()).collect();
        Ok(None)
    }
}
