//! How many matching pods are in which domain: filled by looking at all nodes, then kept by following pods.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::constraints::{Constraint, HOSTNAME, Inclusion};
use crate::cache::{Cache, Domain, PodMove, Slot, Topology};
use crate::float::{DomainWeight, rounded, spread_score, spread_term};
use crate::node::NodeInfo;
use crate::plugins::topology_counts::{DomainCounts, SkewCounts};
use crate::pod::PodInfo;

/// What matching pods are counted in.
pub(super) trait Counts: Clone + Default {
    /// A node is in the domain.
    fn enter(&mut self, domain: Domain);
    /// Pods came to the domain, or left it.
    fn add(&mut self, domain: Domain, pods: i64);
}

impl Counts for SkewCounts {
    fn enter(&mut self, domain: Domain) {
        SkewCounts::enter(self, domain);
    }

    fn add(&mut self, domain: Domain, pods: i64) {
        SkewCounts::add(self, domain, pods);
    }
}

impl Counts for DomainCounts {
    fn enter(&mut self, _: Domain) {}

    fn add(&mut self, domain: Domain, pods: i64) {
        DomainCounts::add(self, domain, pods);
    }
}

/// Counts for constraints that have to be satisfied.
pub(super) type HardSpread = Spread<SkewCounts>;
/// Counts for constraints that nodes are rated by.
pub(super) type SoftSpread = Spread<DomainCounts>;

/// A node under one constraint.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// The domain that it counts in; `None` if it does not count.
    domain: Option<Domain>,
    /// Its matching pods, whether it counts or not.
    pods: i64,
}

/// Matching pods per constraint of a pod class and domain.
#[derive(Clone, Debug)]
pub(super) struct Spread<C> {
    constraints: Vec<Constraint>,
    topologies: Vec<Arc<Topology>>,
    require_all: bool,
    namespace: SmolStr,
    inclusion: Inclusion,
    counts: Vec<C>,
    /// By slot, one per constraint.
    shares: Vec<Share>,
    /// By class of pods: whether they count, by constraint.
    matches: FxHashMap<u64, SmallVec<[bool; 4]>>,
}

impl<C: Counts> Spread<C> {
    /// Counts the pods of all nodes. `require_all`: only nodes with the labels of all constraints count.
    pub(super) fn of(
        cluster: &Cache,
        pod: &PodInfo,
        constraints: Vec<Constraint>,
        require_all: bool,
    ) -> Spread<C> {
        let mut spread = Spread {
            topologies: constraints.iter().map(|c| cluster.topology(&c.topology_key)).collect(),
            counts: vec![C::default(); constraints.len()],
            constraints,
            require_all,
            namespace: pod.namespace.clone(),
            inclusion: Inclusion::of(pod),
            shares: Vec::new(),
            matches: FxHashMap::default(),
        };
        for &slot in cluster.order() {
            spread.count(cluster.node(slot));
        }
        spread
    }

    fn count(&mut self, node: &NodeInfo) {
        let Some(slot) = node.slot else { return };
        let count = self.constraints.len();
        let from = slot as usize * count;
        if self.shares.len() < from + count {
            self.shares.resize(from + count, Share::default());
        }
        for pod in &node.pods {
            let matches = matches(&mut self.matches, &self.constraints, &self.namespace, &pod.info);
            for (share, matches) in self.shares[from..from + count].iter_mut().zip(matches) {
                share.pods += i64::from(*matches);
            }
        }
        let counts = self.rates(slot);
        for i in (0..count).filter(|_| counts) {
            if let Some(domain) = self.domain_or_empty(i, slot)
                && self.inclusion.includes(&self.constraints[i], node)
            {
                let share = &mut self.shares[from + i];
                share.domain = Some(domain);
                self.counts[i].enter(domain);
                self.counts[i].add(domain, share.pods);
            }
        }
    }

    /// Pods came and went on nodes that are still as they were counted.
    pub(super) fn follow(&mut self, moves: &[PodMove]) {
        let count = self.constraints.len();
        for moved in moves {
            let from = moved.slot as usize * count;
            let Some(shares) = self.shares.get_mut(from..from + count) else { continue };
            let delta = if moved.arrived { 1 } else { -1 };
            let matches = matches(&mut self.matches, &self.constraints, &self.namespace, &moved.info);
            for (i, share) in shares.iter_mut().enumerate().filter(|(i, _)| matches[*i]) {
                share.pods += delta;
                if let Some(domain) = share.domain {
                    self.counts[i].add(domain, delta);
                }
            }
        }
    }

    /// The constraints.
    pub(super) fn constraints(&self) -> &[Constraint] {
        &self.constraints
    }

    /// Counts of a constraint.
    pub(super) fn counts(&self, constraint: usize) -> &C {
        &self.counts[constraint]
    }

    /// Domains of a constraint.
    pub(super) fn topology(&self, constraint: usize) -> &Topology {
        &self.topologies[constraint]
    }

    /// True if the node counts as far as its labels go.
    #[inline]
    pub(super) fn rates(&self, slot: Slot) -> bool {
        !self.require_all || self.topologies.iter().all(|topology| topology.at(slot).is_some())
    }

    /// True if every node counts, whatever labels it lacks.
    pub(super) fn rates_all(&self) -> bool {
        !self.require_all
    }

    /// A node without the label counts with those whose label is empty, if nodes without it count at all.
    #[inline]
    fn domain_or_empty(&self, constraint: usize, slot: Slot) -> Option<Domain> {
        let topology = &self.topologies[constraint];
        topology.at(slot).or_else(|| topology.domain(""))
    }

    /// True if the policies of a constraint let the node count.
    pub(super) fn includes(&self, constraint: usize, node: &NodeInfo) -> bool {
        self.inclusion.includes(&self.constraints[constraint], node)
    }
}

/// Which constraints count the pods of a class.
fn matches<'a>(
    known: &'a mut FxHashMap<u64, SmallVec<[bool; 4]>>,
    constraints: &[Constraint],
    namespace: &str,
    pod: &PodInfo,
) -> &'a [bool] {
    known.entry(pod.class).or_insert_with(|| constraints.iter().map(|c| c.counts(namespace, pod)).collect())
}

impl SoftSpread {
    /// True if the domains of a constraint are taken for single nodes.
    fn is_per_node(&self, constraint: usize) -> bool {
        self.constraints[constraint].topology_key == HOSTNAME
    }

    /// Matching pods that a rated node is rated by under a constraint: those of its domain, or its own if the domains
    /// are single nodes. `None` without the label.
    #[inline]
    fn pods(&self, constraint: usize, slot: Slot) -> Option<i64> {
        let domain = self.topologies[constraint].at(slot)?;
        if self.is_per_node(constraint) {
            let share = self.shares.get(slot as usize * self.constraints.len() + constraint);
            return Some(share.map_or(0, |share| share.pods));
        }
        Some(self.counts[constraint].get(domain))
    }

    /// By constraint, how many domains the rated ones among some nodes are in: each node in one of its own if the
    /// domains are single nodes, and all those without the label in one.
    fn sizes(&self, slots: impl Iterator<Item = Slot>) -> SmallVec<[usize; 4]> {
        let mut rated = 0;
        let mut sizes: SmallVec<[usize; 4]> = SmallVec::from_elem(0, self.constraints.len());
        // The last place is for nodes without the label. Nodes in domains of their own are not looked up.
        let places = |i: usize| if self.is_per_node(i) { 0 } else { self.topologies[i].bound() + 1 };
        let mut seen: SmallVec<[Vec<bool>; 4]> = (0..sizes.len()).map(|i| vec![false; places(i)]).collect();
        for slot in slots.filter(|slot| self.rates(*slot)) {
            rated += 1;
            for (i, seen) in seen.iter_mut().enumerate().filter(|(_, seen)| !seen.is_empty()) {
                let last = seen.len() - 1;
                let place = self.domain_or_empty(i, slot).map_or(last, |domain| domain as usize);
                sizes[i] += usize::from(!std::mem::replace(&mut seen[place], true));
            }
        }
        for (_, size) in sizes.iter_mut().enumerate().filter(|(i, _)| self.is_per_node(*i)) {
            *size = rated;
        }
        sizes
    }

    /// What matching pods weigh when these nodes are feasible, by constraint.
    pub(super) fn weights(&self, feasible: impl Iterator<Item = Slot>) -> SmallVec<[DomainWeight; 4]> {
        self.sizes(feasible).into_iter().map(DomainWeight::among).collect()
    }

    /// Raw scores of nodes, as [`SoftSpread::score`] gives them one by one: the same sums, constraint by constraint.
    pub(super) fn scores(
        &self,
        weights: &[DomainWeight],
        slots: impl Iterator<Item = Slot> + Clone,
        sums: &mut Vec<f64>,
        out: &mut Vec<i64>,
    ) {
        sums.clear();
        sums.resize(slots.clone().count(), 0.0);
        for (i, (constraint, weight)) in self.constraints.iter().zip(weights).enumerate() {
            let topology = &*self.topologies[i];
            let term = |pods: i64| spread_term(pods, constraint.max_skew, *weight);
            if self.is_per_node(i) {
                let step = self.constraints.len();
                for (sum, slot) in sums.iter_mut().zip(slots.clone()) {
                    if topology.at(slot).is_some() {
                        let share = self.shares.get(slot as usize * step + i);
                        *sum += term(share.map_or(0, |share| share.pods));
                    }
                }
                continue;
            }
            let terms: Vec<f64> =
                (0..topology.bound()).map(|d| term(self.counts[i].get(d as Domain))).collect();
            for (sum, slot) in sums.iter_mut().zip(slots.clone()) {
                if let Some(domain) = topology.at(slot) {
                    *sum += terms.get(domain as usize).copied().unwrap_or_else(|| term(0));
                }
            }
        }
        out.clear();
        out.extend(
            sums.iter().zip(slots).map(|(sum, slot)| if self.rates(slot) { rounded(*sum) } else { 0 }),
        );
    }

    /// Raw score of a node: weighted number of matching pods in its domains, fewer are better. 0 if it is not rated.
    #[inline]
    pub(super) fn score(&self, weights: &[DomainWeight], slot: Slot) -> i64 {
        if !self.rates(slot) {
            return 0;
        }
        let constraints = self.constraints.iter().zip(weights).enumerate();
        spread_score(
            constraints.filter_map(|(i, (c, weight))| Some((self.pods(i, slot)?, c.max_skew, *weight))),
        )
    }
}
