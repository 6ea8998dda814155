//! Which changes are tried.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1 as wire;
use sim_core::helpers::taints::{find_untolerated, keeps_off};
use smol_str::SmolStr;

use super::scene::{Scene, Variant};
use super::{Change, Counterfactual, WhatIf, amount};
use crate::cache::Slot;
use crate::node::NodeInfo;
use crate::resources::Resources;

/// All of a requirement, in thousandths.
const WHOLE: u32 = 1000;
/// How many nodes a change names.
const EXAMPLES: usize = 3;
/// How many taints are tried, and how many sorts of nodes.
const TRIED: usize = 32;
/// How many sorts of nodes are told.
const SORTS: usize = 3;
/// The taint that a cordoned node is refused for.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// The changes that help, as they are found.
struct Found<'a> {
    scene: &'a Scene,
    changes: Vec<Counterfactual>,
}

impl Scene {
    /// Every change that would have placed the pod, smallest first; equal ones in the order in which they are tried.
    pub(crate) fn what_if(&self) -> WhatIf {
        let mut found = Found { scene: self, changes: Vec::new() };
        if self.fits_anywhere(&self.pod()).is_empty() {
            found.tolerations();
            found.requests();
            found.node_selector();
            found.node_affinity();
            found.spread();
            found.pod_affinity();
            found.host_ports();
            found.volumes();
            found.one_more_node();
        }
        found.changes.sort_by_key(|change| change.size);
        WhatIf { attempt: self.attempt, changes: found.changes }
    }
}

impl Found<'_> {
    /// Keeps a change if it helps; true if so.
    fn keep(&mut self, change: Change, size: u32, slots: &[Slot]) -> bool {
        let name = |slot: &Slot| self.scene.cluster.node(*slot).name.clone();
        let examples = slots.iter().take(EXAMPLES).map(name).collect();
        if !slots.is_empty() {
            self.changes.push(Counterfactual { change, size, nodes: slots.len(), examples });
        }
        !slots.is_empty()
    }

    /// Tries the pod with something of its spec taken away.
    fn without(&mut self, change: Change, take: impl FnOnce(&mut wire::PodSpec)) -> bool {
        let slots = self.scene.fits_anywhere(&self.scene.with_spec(take));
        self.keep(change, WHOLE, &slots)
    }

    /// One toleration for each taint that keeps the pod off, with the nodes that have it.
    fn tolerations(&mut self) {
        let scene = self.scene;
        let tolerated = scene.info.spec.tolerations.as_deref().unwrap_or(&[]);
        let cordon =
            wire::Taint { key: UNSCHEDULABLE.into(), effect: "NoSchedule".into(), ..Default::default() };
        let mut by_taint: Vec<(wire::Taint, Vec<Slot>)> = Vec::new();
        for slot in scene.cluster.order() {
            let node = scene.cluster.node(*slot);
            let cordoned = node.unschedulable.then_some(&cordon);
            let taint = find_untolerated(node.taints(), tolerated, keeps_off).or(cordoned);
            let Some(taint) = taint else { continue };
            let same = |known: &wire::Taint| {
                (&known.key, &known.value, &known.effect) == (&taint.key, &taint.value, &taint.effect)
            };
            match by_taint.iter().position(|(known, _)| same(known)) {
                Some(at) => by_taint[at].1.push(*slot),
                None if by_taint.len() < TRIED => by_taint.push((taint.clone(), vec![*slot])),
                None => {}
            }
        }
        for (taint, slots) in by_taint {
            let pod =
                scene.with_spec(|spec| spec.tolerations.get_or_insert_default().push(toleration(&taint)));
            let slots = scene.fits(&pod, &slots);
            self.keep(Change::Toleration(wire::Taint { time_added: None, ..taint }), WHOLE, &slots);
        }
    }

    /// Of each resource the most that fits.
    fn requests(&mut self) {
        let scene = self.scene;
        let asked = &scene.info.requests;
        let named = [
            ("cpu", asked.milli_cpu),
            ("memory", asked.memory),
            ("ephemeral-storage", asked.ephemeral_storage),
        ];
        let named = named.into_iter().map(|(name, asks)| (SmolStr::new_static(name), asks));
        for (resource, asks) in named.chain(asked.scalars.iter().cloned()).filter(|(_, asks)| *asks > 0) {
            let asking = |n: i64| scene.with_requests(|requests| *amount_of(requests, &resource) = n);
            let candidates = scene.fits_anywhere(&asking(0));
            if candidates.is_empty() {
                continue;
            }
            let free = candidates.iter().map(|slot| free(scene.cluster.node(*slot), &resource));
            let most = free.max().unwrap_or(0).clamp(0, asks - 1);
            let at_most = largest(most, |n| !scene.fits(&asking(n), &candidates).is_empty());
            let slots = scene.fits(&asking(at_most), &candidates);
            let share = i128::from(asks - at_most) * i128::from(WHOLE) / i128::from(asks);
            let (asks, at_most) = (amount(&resource, asks), amount(&resource, at_most));
            self.keep(Change::Request { resource, asks, at_most }, share.max(1) as u32, &slots);
        }
    }

    fn node_selector(&mut self) {
        let selector = self.scene.info.spec.node_selector.clone().unwrap_or_default();
        let mut helped = false;
        for (key, value) in &selector {
            let change = Change::NodeSelectorKey { key: key.clone(), value: value.clone() };
            helped |= self.without(change, |spec| {
                spec.node_selector.as_mut().map(|selector| selector.remove(key));
            });
        }
        if !helped && selector.len() > 1 {
            self.without(Change::NodeSelector, |spec| spec.node_selector = None);
        }
    }

    /// Requirements one by one; a term that has no other goes with all of the affinity, since an empty one fits nothing.
    fn node_affinity(&mut self) {
        let Some(required) = required_node_affinity(&mut (*self.scene.info.spec).clone()).cloned() else {
            return;
        };
        let mut helped = false;
        for (at, term) in required.node_selector_terms.iter().enumerate() {
            let lists = [term.match_expressions.as_ref(), term.match_fields.as_ref()];
            let lists = lists.map(|list| list.map_or(&[][..], Vec::as_slice));
            if lists.iter().map(|list| list.len()).sum::<usize>() < 2 {
                continue;
            }
            for (fields, list) in [false, true].into_iter().zip(lists) {
                for (i, requirement) in list.iter().enumerate() {
                    let change = Change::NodeAffinityRequirement(requirement_text(requirement));
                    helped |= self.without(change, |spec| {
                        let term =
                            required_node_affinity(spec).and_then(|r| r.node_selector_terms.get_mut(at));
                        let list = term.and_then(|term| match fields {
                            true => term.match_fields.as_mut(),
                            false => term.match_expressions.as_mut(),
                        });
                        list.map(|list| list.remove(i));
                    });
                }
            }
        }
        if !helped {
            self.without(Change::NodeAffinity, |spec| {
                if let Some(affinity) = spec.affinity.as_mut().and_then(|a| a.node_affinity.as_mut()) {
                    affinity.required_during_scheduling_ignored_during_execution = None;
                }
            });
        }
    }

    /// The least skew that would do, or the constraint not as a condition.
    fn spread(&mut self) {
        let scene = self.scene;
        let constraints = scene.info.spec.topology_spread_constraints.clone().unwrap_or_default();
        for (at, constraint) in constraints.iter().enumerate() {
            if constraint.when_unsatisfiable != "DoNotSchedule" {
                continue;
            }
            let changed = |change: &dyn Fn(&mut wire::TopologySpreadConstraint)| {
                scene.with_spec(|spec| {
                    spec.topology_spread_constraints.iter_mut().flatten().skip(at).take(1).for_each(change);
                })
            };
            let with = |skew: i32| changed(&|constraint| constraint.max_skew = skew);
            let fits = |pod: &Variant| scene.fits_anywhere(pod);
            let topology_key = constraint.topology_key.clone();
            let is = constraint.max_skew;
            if fits(&with(i32::MAX)).is_empty() {
                let slots = fits(&changed(&|c| c.when_unsatisfiable = "ScheduleAnyway".to_owned()));
                self.keep(Change::SpreadConstraint { topology_key }, WHOLE, &slots);
                continue;
            }
            let more = largest(i64::from(i32::MAX - is.max(0)), |less| {
                !fits(&with(i32::MAX - less as i32)).is_empty()
            });
            let at_least = i32::MAX - more as i32;
            let share = i64::from(at_least - is) * i64::from(WHOLE) / i64::from(at_least.max(1));
            let slots = fits(&with(at_least));
            self.keep(Change::MaxSkew { topology_key, is, at_least }, share.max(1) as u32, &slots);
        }
    }

    fn pod_affinity(&mut self) {
        let affinity = self.scene.info.spec.affinity.clone().unwrap_or_default();
        let terms =
            |terms: Option<Vec<wire::PodAffinityTerm>>| terms.unwrap_or_default().into_iter().enumerate();
        let required =
            affinity.pod_affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution);
        for (term, wire::PodAffinityTerm { topology_key, .. }) in terms(required) {
            self.without(Change::PodAffinityTerm { term, topology_key }, |spec| {
                let affinity = spec.affinity.as_mut().and_then(|a| a.pod_affinity.as_mut());
                let list =
                    affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_mut());
                list.map(|list| list.remove(term));
            });
        }
        let required =
            affinity.pod_anti_affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution);
        for (term, wire::PodAffinityTerm { topology_key, .. }) in terms(required) {
            self.without(Change::PodAntiAffinityTerm { term, topology_key }, |spec| {
                let affinity = spec.affinity.as_mut().and_then(|a| a.pod_anti_affinity.as_mut());
                let list =
                    affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_mut());
                list.map(|list| list.remove(term));
            });
        }
    }

    fn host_ports(&mut self) {
        let ports: BTreeSet<i32> = self.scene.info.host_ports.iter().map(|port| port.port).collect();
        for port in ports {
            self.without(Change::HostPort(port), |spec| {
                let containers = spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten());
                let ports = containers.flat_map(|container| container.ports.iter_mut().flatten());
                ports.filter(|p| p.host_port == Some(port)).for_each(|p| p.host_port = None);
            });
        }
    }

    /// Volumes of any sort that the scheduler may look at, and claims of devices.
    fn volumes(&mut self) {
        let spec = self.scene.info.spec.clone();
        for (at, volume) in spec.volumes.iter().flatten().enumerate() {
            let harmless = volume.empty_dir.is_some()
                || volume.config_map.is_some()
                || volume.secret.is_some()
                || volume.projected.is_some()
                || volume.downward_api.is_some()
                || volume.host_path.is_some();
            if !harmless {
                self.without(Change::Volume(volume.name.clone()), |spec| {
                    spec.volumes.as_mut().map(|volumes| volumes.remove(at));
                });
            }
        }
        for (at, claim) in spec.resource_claims.iter().flatten().enumerate() {
            self.without(Change::ResourceClaim(claim.name.clone()), |spec| {
                spec.resource_claims.as_mut().map(|claims| claims.remove(at));
            });
        }
    }

    /// The first node of each sort, again.
    fn one_more_node(&mut self) {
        let scene = self.scene;
        let mut sorts = BTreeSet::new();
        let mut told = 0;
        for slot in scene.cluster.order() {
            let node = scene.cluster.node(*slot);
            if sorts.len() == TRIED || told == SORTS {
                return;
            }
            if sorts.insert(sort_of(node)) && scene.fits_on_one_more(*slot) {
                let change = Change::OneMoreNode { like: node.name.clone() };
                self.changes.push(Counterfactual { change, size: 2 * WHOLE, nodes: 1, examples: Vec::new() });
                told += 1;
            }
        }
    }
}

/// The largest number up to `most` for which something holds that holds for 0, and for all below one for which it does.
fn largest(most: i64, holds: impl Fn(i64) -> bool) -> i64 {
    if holds(most) {
        return most;
    }
    let (mut good, mut bad) = (0, most);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if holds(middle) { good = middle } else { bad = middle }
    }
    good
}

fn toleration(taint: &wire::Taint) -> wire::Toleration {
    wire::Toleration {
        key: Some(taint.key.clone()),
        operator: Some("Equal".to_owned()),
        value: taint.value.clone(),
        effect: Some(taint.effect.clone()),
        toleration_seconds: None,
    }
}

fn amount_of<'a>(requests: &'a mut Resources, resource: &SmolStr) -> &'a mut i64 {
    match resource.as_str() {
        "cpu" => &mut requests.milli_cpu,
        "memory" => &mut requests.memory,
        "ephemeral-storage" => &mut requests.ephemeral_storage,
        _ => requests.scalar_mut(resource),
    }
}

fn free(node: &NodeInfo, resource: &SmolStr) -> i64 {
    let of = |amounts: &Resources| *amount_of(&mut amounts.clone(), resource);
    of(&node.allocatable).saturating_sub(of(&node.requested))
}

fn required_node_affinity(spec: &mut wire::PodSpec) -> Option<&mut wire::NodeSelector> {
    let affinity = spec.affinity.as_mut()?.node_affinity.as_mut()?;
    affinity.required_during_scheduling_ignored_during_execution.as_mut()
}

fn requirement_text(requirement: &wire::NodeSelectorRequirement) -> String {
    let values = requirement.values.as_deref().unwrap_or(&[]).join(",");
    match values.is_empty() {
        true => format!("{} {}", requirement.key, requirement.operator),
        false => format!("{} {} [{values}]", requirement.key, requirement.operator),
    }
}

/// What nodes of one sort have in common: all but their names.
fn sort_of(node: &NodeInfo) -> String {
    let own = |(_, value): &(&String, &String)| value.as_str() != node.name;
    let labels: Vec<_> = node.labels.iter().filter(own).collect();
    format!("{labels:?} {:?} {} {:?}", node.taints(), node.unschedulable, node.allocatable)
}
