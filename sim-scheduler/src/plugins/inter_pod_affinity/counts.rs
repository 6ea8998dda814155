//! What existing pods mean for a pod class, as sums per topology domain.
//!
//! What one existing pod adds is a function of the two classes and the labels of namespaces, so it is found out once
//! per pair of classes ([`Effect`]). Sums are filled by looking at all pods that may have a say, then kept by following
//! pods.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Labels};
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::affinity_terms::{AffinityTerm, AffinityTerms};
use crate::cache::{Cache, Domain, Objects, PodMove, Slot, Topology};
use crate::node::NodeInfo;
use crate::plugins::topology_counts::{DomainCounts, MEMO_LIMIT};
use crate::pod::PodInfo;

/// What a sum is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Existing pods with required anti-affinity to the pod (`existingAntiAffinityCounts`).
    ExistingAnti,
    /// Existing pods that all of the pod's required affinity terms select, once per term (`affinityCounts`).
    Affinity,
    /// Existing pods that the pod's required anti-affinity terms select (`antiAffinityCounts`).
    Anti,
    /// Weights of terms that speak for or against a domain (`topologyScore`).
    Score,
}

/// What an existing pod adds to the domain that it is in.
#[derive(Clone, Debug)]
pub(super) struct Effect<'a> {
    pub(super) family: Family,
    pub(super) topology_key: &'a SmolStr,
    pub(super) weight: i64,
}

/// One pod class and what it looks for in others.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    namespace: SmolStr,
    labels: Arc<Labels>,
    pub(super) terms: Arc<AffinityTerms>,
    /// Labels of its namespace; none if that is not known.
    namespace_labels: Arc<Labels>,
}

impl Incoming {
    pub(super) fn of(pod: &PodInfo, objects: &Objects) -> Incoming {
        let namespace = objects.get(Kind::NAMESPACE, &Key::cluster(pod.namespace.clone()));
        Incoming {
            namespace: pod.namespace.clone(),
            labels: pod.labels.clone(),
            terms: pod.affinity.clone().unwrap_or_default(),
            namespace_labels: namespace.map(|n| n.meta.labels.clone()).unwrap_or_default(),
        }
    }

    fn is_selected_by(&self, term: &AffinityTerm) -> bool {
        term.matches(&self.namespace, &self.labels, &self.namespace_labels)
    }

    /// What an existing pod adds to the sums of the filter.
    pub(super) fn filter_effects<'a>(
        &'a self,
        existing: &'a PodInfo,
        objects: &Objects,
        mut effect: impl FnMut(Effect<'a>),
    ) {
        let theirs = existing.affinity.iter().flat_map(|terms| &terms.required_anti);
        for term in theirs.filter(|term| self.is_selected_by(term)) {
            effect(Effect { family: Family::ExistingAnti, topology_key: &term.topology_key, weight: 1 });
        }
        let selects = |term: &AffinityTerm| term.selects(existing, objects);
        if AffinityTerms::all_select(&self.terms.required, selects) {
            for term in &self.terms.required {
                effect(Effect { family: Family::Affinity, topology_key: &term.topology_key, weight: 1 });
            }
        }
        for term in self.terms.required_anti.iter().filter(|term| selects(term)) {
            effect(Effect { family: Family::Anti, topology_key: &term.topology_key, weight: 1 });
        }
    }

    /// What it adds to the sums of the score (`processExistingPod`).
    pub(super) fn score_effects<'a>(
        &'a self,
        existing: &'a PodInfo,
        hard_weight: i32,
        objects: &Objects,
        mut effect: impl FnMut(Effect<'a>),
    ) {
        let mut add = |term: &'a AffinityTerm, weight: i32| {
            let topology_key = &term.topology_key;
            effect(Effect { family: Family::Score, topology_key, weight: i64::from(weight) });
        };
        let own = [(&self.terms.preferred, 1), (&self.terms.preferred_anti, -1)];
        for (terms, sign) in own {
            for (term, weight) in terms.iter().filter(|(term, _)| term.selects(existing, objects)) {
                add(term, weight.wrapping_mul(sign));
            }
        }
        let Some(theirs) = &existing.affinity else { return };
        if hard_weight > 0 {
            for term in theirs.required.iter().filter(|term| self.is_selected_by(term)) {
                add(term, hard_weight);
            }
        }
        for (terms, sign) in [(&theirs.preferred, 1), (&theirs.preferred_anti, -1)] {
            for (term, weight) in terms.iter().filter(|(term, _)| self.is_selected_by(term)) {
                add(term, weight.wrapping_mul(sign));
            }
        }
    }
}

/// What sums are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// For the filter.
    Filter,
    /// For the score, with `hardPodAffinityWeight`.
    Score(i32),
}

/// A sum per domain of one topology.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) family: Family,
    pub(super) topology: Arc<Topology>,
    pub(super) counts: DomainCounts,
}

/// All sums for a class.
#[derive(Clone, Debug)]
pub(super) struct AffinityCounts {
    incoming: Incoming,
    purpose: Purpose,
    tables: Vec<Table>,
    /// Terms that had a say, whatever their weights add up to.
    said: i64,
    /// By class of existing pods: table and weight.
    effects: FxHashMap<u64, SmallVec<[(usize, i64); 2]>>,
}

impl AffinityCounts {
    /// Sums over all nodes.
    pub(super) fn of(cluster: &Cache, pod: &PodInfo, purpose: Purpose) -> AffinityCounts {
        let mut counts = AffinityCounts {
            incoming: Incoming::of(pod, cluster.objects()),
            purpose,
            tables: Vec::new(),
            said: 0,
            effects: FxHashMap::default(),
        };
        let terms = counts.incoming.terms.clone();
        // The pod's own terms always have a table, so that their domains are at hand.
        if purpose == Purpose::Filter {
            for term in &terms.required {
                counts.table(cluster, Family::Affinity, &term.topology_key);
            }
            for term in &terms.required_anti {
                counts.table(cluster, Family::Anti, &term.topology_key);
            }
        }
        let own_terms = match purpose {
            Purpose::Filter => !terms.required.is_empty() || !terms.required_anti.is_empty(),
            Purpose::Score(_) => !terms.preferred.is_empty() || !terms.preferred_anti.is_empty(),
        };
        match purpose {
            _ if own_terms => {
                for &slot in cluster.order() {
                    counts.add_node(cluster, cluster.node(slot), false);
                }
            }
            // Without terms of its own, only pods with some matter.
            Purpose::Filter => {
                cluster
                    .nodes_with_required_anti_affinity()
                    .for_each(|node| counts.add_node(cluster, node, true));
            }
            Purpose::Score(_) => {
                cluster.nodes_with_affinity().for_each(|node| counts.add_node(cluster, node, true));
            }
        }
        counts
    }

    fn add_node(&mut self, cluster: &Cache, node: &NodeInfo, with_terms_only: bool) {
        let Some(slot) = node.slot else { return };
        for pod in node.pods.iter().filter(|pod| !with_terms_only || pod.info.affinity.is_some()) {
            self.add(cluster, &pod.info, slot, 1);
        }
    }

    /// Number of a table, made if it is not there.
    fn table(&mut self, cluster: &Cache, family: Family, topology_key: &str) -> usize {
        let known = |table: &Table| table.family == family && table.topology.key() == topology_key;
        self.tables.iter().position(known).unwrap_or_else(|| {
            let topology = cluster.topology(topology_key);
            self.tables.push(Table { family, topology, counts: DomainCounts::default() });
            self.tables.len() - 1
        })
    }

    /// Adds pods of a class to a node, or takes them away.
    fn add(&mut self, cluster: &Cache, existing: &PodInfo, slot: Slot, pods: i64) {
        if !self.effects.contains_key(&existing.class) {
            // Classes come and go; what is forgotten is found out again.
            if self.effects.len() > MEMO_LIMIT {
                self.effects.clear();
            }
            let mut found: Vec<(Family, SmolStr, i64)> = Vec::new();
            let note = |e: Effect<'_>| found.push((e.family, e.topology_key.clone(), e.weight));
            match self.purpose {
                Purpose::Filter => self.incoming.filter_effects(existing, cluster.objects(), note),
                Purpose::Score(hard) => self.incoming.score_effects(existing, hard, cluster.objects(), note),
            }
            let numbered =
                found.iter().map(|(family, key, weight)| (self.table(cluster, *family, key), *weight));
            let numbered = numbered.collect();
            self.effects.insert(existing.class, numbered);
        }
        for (table, weight) in self.effects.get(&existing.class).into_iter().flatten() {
            let table = &mut self.tables[*table];
            if let Some(domain) = table.topology.at(slot) {
                table.counts.add(domain, weight * pods);
                self.said += pods;
            }
        }
    }

    /// Pods came and went on nodes that are still as they were counted.
    pub(super) fn follow(&mut self, cluster: &Cache, moves: &[PodMove]) {
        for moved in moves {
            if cluster.position(moved.slot).is_some() {
                self.add(cluster, &moved.info, moved.slot, if moved.arrived { 1 } else { -1 });
            }
        }
    }

    /// The pod.
    pub(super) fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    /// The sums.
    pub(super) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// True if some term had a say.
    pub(super) fn is_anything_said(&self) -> bool {
        self.said != 0
    }

    /// Sum of the weights for and against a node.
    #[inline]
    pub(super) fn score(&self, slot: Slot) -> i64 {
        let of = |table: &Table| table.topology.at(slot).map_or(0, |domain: Domain| table.counts.get(domain));
        self.tables.iter().map(of).sum()
    }
}
