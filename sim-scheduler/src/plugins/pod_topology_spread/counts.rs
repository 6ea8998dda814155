//! How many matching pods are in which domain: filled by looking at all nodes, then kept by following pods.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::constraints::{Constraint, HOSTNAME, Inclusion};
use crate::cache::{Cache, Domain, PodMove, Slot, Topology};
use crate::float::{DomainWeight, SpreadScore};
use crate::node::NodeInfo;
use crate::plugins::topology_counts::{DomainCounts, MEMO_LIMIT, SkewCounts};
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
    // Classes come and go; what is forgotten is found out again.
    if known.len() > MEMO_LIMIT {
        known.clear();
    }
    known.entry(pod.class).or_insert_with(|| constraints.iter().map(|c| c.counts(namespace, pod)).collect())
}

impl SoftSpread {
    /// True if the domains of a constraint are taken for single nodes.
    pub(super) fn is_per_node(&self, constraint: usize) -> bool {
        self.constraints[constraint].topology_key == HOSTNAME
    }

    /// Matching pods of a node.
    pub(super) fn pods_on(&self, constraint: usize, slot: Slot) -> i64 {
        let at = slot as usize * self.constraints.len() + constraint;
        self.shares.get(at).map_or(0, |share| share.pods)
    }

    /// Where a node in a domain counts for the number of domains: below the bound of the topology, or there without the
    /// label.
    pub(super) fn place(&self, constraint: usize, domain: Option<Domain>) -> usize {
        let topology = &self.topologies[constraint];
        domain.or_else(|| topology.domain("")).map_or(topology.bound(), |domain| domain as usize)
    }

    /// What matching pods weigh when these nodes are feasible, by constraint: by the number of domains that the rated
    /// ones are in, each node in one of its own if the domains are single nodes, and all those without the label in one.
    pub(super) fn weights(&self, feasible: &[Slot]) -> SmallVec<[DomainWeight; 4]> {
        let rated = || feasible.iter().copied().filter(|slot| self.rates(*slot));
        let size = |i: usize| match self.is_per_node(i) {
            true => rated().count(),
            false => {
                rated().map(|slot| self.place(i, self.topologies[i].at(slot))).collect::<BTreeSet<_>>().len()
            }
        };
        (0..self.constraints.len()).map(|i| DomainWeight::among(size(i))).collect()
    }

    /// Raw score of a node: weighted number of matching pods in its domains (its own where they are single nodes), fewer
    /// are better. 0 if it is not rated.
    pub(super) fn score(&self, weights: &[DomainWeight], slot: Slot) -> i64 {
        let mut score = SpreadScore::default();
        if !self.rates(slot) {
            return 0;
        }
        for (i, (constraint, weight)) in self.constraints.iter().zip(weights).enumerate() {
            let Some(domain) = self.topologies[i].at(slot) else { continue };
            let pods = match self.is_per_node(i) {
                true => self.pods_on(i, slot),
                false => self.counts[i].get(domain),
            };
            score.add(SpreadScore::of(pods, constraint.max_skew, *weight));
        }
        score.rounded()
    }
}
