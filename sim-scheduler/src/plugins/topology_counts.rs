//! Numbers per topology domain: what `PodTopologySpread` and `InterPodAffinity` count pods in.
//!
//! Each is a sum, so it makes no difference whether it is filled by looking at every pod or kept by `add`ing what
//! comes and what goes. What would be with or without some pods ([`PreFilterExtensions`]) is an [`Overlay`] above it.
//!
//! [`PreFilterExtensions`]: crate::framework::PreFilterExtensions

use std::collections::BTreeMap;

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

/// A function of few different numbers, looked up where that is cheaper than computing it.
#[derive(Debug, Default)]
pub(super) struct Tabled {
    table: Vec<i64>,
}

impl Tabled {
    /// Adds the function of each number to each total. A division per node is what costs here otherwise.
    pub(super) fn add_to(&mut self, totals: &mut [i64], numbers: &[i64], function: impl Fn(i64) -> i64) {
        let (mut lowest, mut highest) = (i64::MAX, i64::MIN);
        for number in numbers {
            lowest = lowest.min(*number);
            highest = highest.max(*number);
        }
        self.table.clear();
        if highest.checked_sub(lowest).is_some_and(|range| range < numbers.len() as i64) {
            self.table.extend((lowest..=highest).map(&function));
        }
        for (total, number) in totals.iter_mut().zip(numbers) {
            *total += match self.table.get(number.wrapping_sub(lowest) as usize) {
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
