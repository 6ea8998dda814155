//! Numbers per topology domain: what `PodTopologySpread` and `InterPodAffinity` count pods in.
//!
//! Each is a sum, so it makes no difference whether it is filled by looking at every pod or kept by `add`ing what
//! comes and what goes. What would be with or without some pods ([`PreFilterExtensions`]) is an [`Overlay`] above it.
//!
//! [`PreFilterExtensions`]: crate::framework::PreFilterExtensions

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::cache::Domain;

/// How many classes of existing pods one class of pods remembers what they mean to it.
pub(super) const MEMO_LIMIT: usize = 10_000;

/// A number per domain.
#[derive(Clone, Debug, Default)]
pub(super) struct DomainCounts {
    counts: Vec<i64>,
    nonzero: usize,
}

impl DomainCounts {
    /// The number of a domain.
    #[inline]
    pub(super) fn get(&self, domain: Domain) -> i64 {
        self.counts.get(domain as usize).copied().unwrap_or(0)
    }

    /// Domains whose number is not 0.
    pub(super) fn nonzero(&self) -> usize {
        self.nonzero
    }

    /// Adds to the number of a domain.
    pub(super) fn add(&mut self, domain: Domain, delta: i64) {
        if delta == 0 {
            return;
        }
        let at = domain as usize;
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        let count = &mut self.counts[at];
        let before = *count;
        *count += delta;
        match (before, *count) {
            (0, _) => self.nonzero += 1,
            (_, 0) => self.nonzero -= 1,
            _ => {}
        }
    }
}

/// Differences to numbers per domain. Few: those of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Overlay(SmallVec<[(Domain, i64); 2]>);

impl Overlay {
    /// The difference of a domain.
    #[inline]
    pub(super) fn get(&self, domain: Domain) -> i64 {
        self.0.iter().find(|(d, _)| *d == domain).map_or(0, |(_, delta)| *delta)
    }

    /// Adds to the difference of a domain.
    pub(super) fn add(&mut self, domain: Domain, delta: i64) {
        match self.0.iter_mut().find(|(d, _)| *d == domain) {
            Some((_, total)) => *total += delta,
            None => self.0.push((domain, delta)),
        }
    }

    /// Domains whose number is not 0 with these differences.
    pub(super) fn nonzero(&self, base: &DomainCounts) -> usize {
        self.0.iter().fold(base.nonzero(), |sum, (domain, delta)| {
            let before = base.get(*domain);
            sum - usize::from(before != 0) + usize::from(before + delta != 0)
        })
    }
}

/// Matching pods per domain, with the lowest number of any domain that nodes are in.
#[derive(Clone, Debug, Default)]
pub(super) struct SkewCounts {
    pods: DomainCounts,
    /// Which domains nodes are in.
    is_domain: Vec<bool>,
    domains: usize,
    /// How many domains have which number of pods.
    domains_with: BTreeMap<i64, usize>,
}

impl SkewCounts {
    /// Matching pods in a domain.
    #[inline]
    pub(super) fn get(&self, domain: Domain) -> i64 {
        self.pods.get(domain)
    }

    fn is_domain(&self, domain: Domain) -> bool {
        self.is_domain.get(domain as usize).copied().unwrap_or(false)
    }

    /// Some node is in this domain.
    pub(super) fn enter(&mut self, domain: Domain) {
        if self.is_domain(domain) {
            return;
        }
        let at = domain as usize;
        if self.is_domain.len() <= at {
            self.is_domain.resize(at + 1, false);
        }
        self.is_domain[at] = true;
        self.domains += 1;
        *self.domains_with.entry(self.pods.get(domain)).or_default() += 1;
    }

    /// Adds to the pods of a domain that some node is in.
    pub(super) fn add(&mut self, domain: Domain, delta: i64) {
        if delta == 0 || !self.is_domain(domain) {
            return;
        }
        let before = self.pods.get(domain);
        self.pods.add(domain, delta);
        if let Some(domains) = self.domains_with.get_mut(&before) {
            *domains -= 1;
            if *domains == 0 {
                self.domains_with.remove(&before);
            }
        }
        *self.domains_with.entry(before + delta).or_default() += 1;
    }

    /// Number of domains, and the lowest number of pods in one, with some differences; `None` without domains.
    pub(super) fn lowest(&self, overlay: &Overlay) -> (usize, Option<i64>) {
        let known = overlay.0.iter().filter(|(domain, _)| self.is_domain(*domain));
        let changed: SmallVec<[i64; 2]> = known.map(|(domain, _)| self.pods.get(*domain)).collect();
        let untouched = self.domains_with.iter().find(|(pods, domains)| {
            let gone = changed.iter().filter(|count| count == pods).count();
            **domains > gone
        });
        let overlaid = overlay.0.iter().map(|(domain, delta)| self.pods.get(*domain) + delta);
        let lowest = untouched.map(|(pods, _)| *pods).into_iter().chain(overlaid).min();
        (self.domains + overlay.0.len() - changed.len(), lowest)
    }
}

/// Nodes that are alike to a plugin, by position: what is found out once per kind is found out for all nodes of it.
#[derive(Debug, Default)]
pub(super) struct Alike {
    of: Vec<u32>,
    kinds: Vec<Kind>,
    ids: FxHashMap<Kind, u32>,
}

/// What nodes of a kind have in common.
pub(super) type Kind = SmallVec<[i64; 4]>;

impl Alike {
    /// Nodes of these kinds, in the order of their positions.
    pub(super) fn new(kinds: impl Iterator<Item = Kind>) -> Alike {
        let mut alike = Alike::default();
        for kind in kinds {
            let id = alike.id(kind);
            alike.of.push(id);
        }
        alike
    }

    fn id(&mut self, kind: Kind) -> u32 {
        if let Some(id) = self.ids.get(&kind) {
            return *id;
        }
        let id = self.kinds.len() as u32;
        self.kinds.push(kind.clone());
        self.ids.insert(kind, id);
        id
    }

    /// The kind of the node at a position.
    pub(super) fn kind(&self, at: usize) -> &Kind {
        &self.kinds[self.of[at] as usize]
    }

    /// The node at a position is of this kind now.
    pub(super) fn set(&mut self, at: usize, kind: Kind) {
        if at >= self.of.len() {
            return;
        }
        self.of[at] = self.id(kind);
        // Kinds that no node is of any more are dropped once they are many.
        if self.kinds.len() > 2 * self.of.len() + 64 {
            *self = Alike::new(self.of.iter().map(|id| self.kinds[*id as usize].clone()));
        }
    }

    /// Kinds by number, some of no node.
    pub(super) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Says of each kind whether a node at one of these positions is of it.
    pub(super) fn see(&self, positions: &[u32], seen: &mut Vec<bool>) {
        seen.clear();
        seen.resize(self.kinds.len(), false);
        for at in positions {
            seen[self.of[*at as usize] as usize] = true;
        }
    }

    /// Those kinds, with their numbers.
    pub(super) fn kinds_in(&self, seen: &[bool]) -> impl Iterator<Item = (usize, &Kind)> {
        self.kinds.iter().enumerate().zip(seen).filter(|(_, seen)| **seen).map(|(kind, _)| kind)
    }

    /// Adds to the totals of the nodes at these positions what goes with their kinds.
    pub(super) fn add_to(&self, totals: &mut [i64], positions: &[u32], by_kind: &[i64]) {
        for (total, at) in totals.iter_mut().zip(positions) {
            *total += by_kind[self.of[*at as usize] as usize];
        }
    }
}

/// A function of few different numbers, looked up where that is cheaper than computing it.
#[derive(Debug, Default)]
pub(super) struct Tabled {
    table: Vec<i64>,
}

impl Tabled {
    /// Replaces numbers by the function of each. A division for each is what costs here otherwise.
    pub(super) fn apply(&mut self, numbers: &mut [i64], function: impl Fn(i64) -> i64) {
        let (mut lowest, mut highest) = (i64::MAX, i64::MIN);
        for number in numbers.iter() {
            lowest = lowest.min(*number);
            highest = highest.max(*number);
        }
        self.table.clear();
        if highest.checked_sub(lowest).is_some_and(|range| range < numbers.len() as i64) {
            self.table.extend((lowest..=highest).map(&function));
        }
        for number in numbers {
            *number = match self.table.get(number.wrapping_sub(lowest) as usize) {
                Some(known) => *known,
                None => function(*number),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_not_counted() {
        let mut counts = DomainCounts::default();
        for (domain, delta, nonzero) in [(3, 2, 1), (0, 0, 1), (1, -1, 2), (3, -2, 1), (1, 1, 0)] {
            counts.add(domain, delta);
            assert_eq!(counts.nonzero(), nonzero, "{domain} {delta}");
        }
        counts.add(5, 1);
        let mut overlay = Overlay::default();
        overlay.add(5, -1);
        assert_eq!(overlay.nonzero(&counts), 0);
        overlay.add(6, 1);
        assert_eq!((overlay.nonzero(&counts), overlay.get(5), overlay.get(7)), (1, -1, 0));
    }

    #[test]
    fn kinds_come_and_go() {
        let kind = |n: i64| Kind::from_slice(&[n]);
        let mut alike = Alike::new([7, 8, 7].into_iter().map(kind));
        let mut totals = [0, 0];
        alike.add_to(&mut totals, &[1, 2], &[5, 6]);
        assert_eq!((alike.kinds().len(), totals), (2, [6, 5]));
        for n in 0..100 {
            alike.set(1, kind(n));
            assert_eq!((alike.kind(0), alike.kind(1)), (&kind(7), &kind(n)));
        }
        assert!(alike.kinds().len() < 75);
        let mut seen = Vec::new();
        alike.see(&[1], &mut seen);
        let seen: Vec<&Kind> = alike.kinds_in(&seen).map(|(_, kind)| kind).collect();
        assert_eq!(seen, [&kind(99)]);
    }

    #[test]
    fn the_lowest_domain() {
        let mut counts = SkewCounts::default();
        let nothing = Overlay::default();
        assert_eq!(counts.lowest(&nothing), (0, None));
        for (domain, pods) in [(0, 3), (1, 1), (1, 0), (2, 5)] {
            counts.enter(domain);
            counts.add(domain, pods);
        }
        assert_eq!(counts.lowest(&nothing), (3, Some(1)));
        let with = |changes: &[(Domain, i64)]| {
            let mut overlay = Overlay::default();
            changes.iter().for_each(|(domain, delta)| overlay.add(*domain, *delta));
            counts.lowest(&overlay)
        };
        for (changes, lowest) in [
            (&[(1, 1)][..], (3, Some(2))),
            (&[(1, 9)], (3, Some(3))),
            (&[(2, -5)], (3, Some(0))),
            (&[(1, 9), (0, 9)], (3, Some(5))),
            (&[(0, -2)], (3, Some(1))),
            (&[(7, 0)], (4, Some(0))),
        ] {
            assert_eq!(with(changes), lowest, "{changes:?}");
        }
        counts.add(1, 6);
        counts.add(9, 4);
        assert_eq!(counts.lowest(&nothing), (3, Some(3)), "no node is in domain 9");
    }
}
