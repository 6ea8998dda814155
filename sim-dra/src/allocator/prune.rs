//! What need not be tried, because it is known to fail without error and without trace.
//!
//! Upstream tries all orders of devices, so that ten devices wanted of nine take seconds. Three things are skipped here:
//!
//! - a request that wants more devices than are left for it, once it is known of all of them whether they are selectable: what
//!   upstream would still try never gets past this request, and evaluates nothing new;
//! - the same for all requests that are left together, if each of them wants a certain number and nothing else;
//! - a state that failed before: same place in the search, same devices in use, same values to match. Upstream would do again what
//!   it did, with nothing left to evaluate. Which of several constraints has which value makes no difference if requests that
//!   ask for the same are left to each of them, and all of their devices are known: pairs of devices, for one.
//!
//! All hold only if failed attempts leave nothing behind. Where upstream's bugs leave something (counters that stay taken, marks of
//! devices whose capacity did not suffice), and where a pool is invalid, which is an error as soon as the search gets there,
//! nothing is skipped. `tests/pruning.rs` compares with the search that skips nothing.

use smallvec::SmallVec;

use super::bits::Bits;
use super::constraints::ConstraintState;
use super::search::{Devices, Search};
use crate::api::MAX_RESULTS;

/// Steps before failed states are kept and more is looked at than is needed: most searches end sooner.
pub(crate) const PATIENCE: u64 = 48;

/// Most states that are kept.
const MAX_STATES: usize = 1 << 20;

/// Everything that what follows depends on.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct State<'a> {
    /// Claim, request, alternative and device, and whether an alternative was chosen already.
    place: (usize, usize, usize, i64, bool),
    /// Devices of the claim so far.
    results: usize,
    /// Devices that nobody has, and those of this claim.
    free: Bits,
    own: Bits,
    constraints: Vec<ConstraintState<'a>>,
}

impl<'a> Search<'a> {
    /// Whether failed attempts leave nothing behind.
    pub(crate) fn leaves_no_trace(&self) -> bool {
        let slices = || self.pools.iter().flat_map(|pool| &pool.slices).map(|slice| slice.traits);
        if !self.fixes.broken_pools_skipped && self.pools.iter().any(|pool| pool.invalid.is_some()) {
            return false;
        }
        let all = || self.wishes.entries.iter().any(|entry| self.wishes.all(entry));
        if self.features.consumable_capacity && (all() || slices().any(|slice| slice.shared)) {
            return false;
        }
        if !self.features.partitionable_devices || self.fixes.refusals_leave_no_trace {
            return true;
        }
        if !slices().any(|slice| slice.counted) {
            return true;
        }
        let constrained =
            self.wishes.claims.iter().any(|claim| !claim.body.spec.devices.constraints.is_empty());
        let tainted = || slices().any(|slice| slice.counted_and_tainted);
        !(constrained || self.features.device_taints && tainted())
    }

    /// Looks at all devices that others do not have for all requests, so that more can be known to fail. What gives an error stays unknown: only the
    /// search itself may come upon errors.
    pub(crate) fn foresee(&mut self) {
        self.alike = (0..self.constraints.len()).map(|claim| self.alike(claim)).collect();
        let wishes = self.wishes;
        for entry in (0..self.wanted.len()).filter(|entry| wishes.twins[*entry] == *entry) {
            for candidate in 0..self.candidates.len() {
                if !self.taken.get(candidate)
                    && !self.wanted[entry].known.get(candidate)
                    && let Ok(selectable) = self.evaluate(entry, candidate)
                {
                    self.learn(entry, candidate, selectable);
                }
            }
        }
    }

    /// Whether a request wants more devices than there are for it.
    pub(crate) fn hopeless(&self, claim: usize, entry: usize, wanted: i64) -> bool {
        let (of, admin) = (&self.wanted[entry], self.wishes.admin(&self.wishes.entries[entry]));
        let (constraints, devices) =
            (&self.constraints[claim], Devices { candidates: &self.candidates, pools: self.pools });
        let mut available = 0;
        for index in 0..self.free.words() {
            let allowed =
                if admin { !self.own[claim].word(index) & self.within(index) } else { self.free.word(index) };
            if allowed & !of.known.word(index) != 0 {
                return false;
            }
            let mut left = allowed & of.selectable.word(index);
            if constraints.is_empty() {
                available += i64::from(left.count_ones());
                left = 0;
            }
            while left != 0 {
                let candidate = index * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                let added = self.added(entry, candidate);
                available +=
                    i64::from(constraints.iter().all(|constraint| constraint.may_add(added, devices)));
            }
            if available >= wanted {
                return false;
            }
        }
        true
    }

    /// The bits of a word that are devices.
    fn within(&self, index: usize) -> u64 {
        let left = self.candidates.len().saturating_sub(index * 64);
        if left >= 64 { !0 } else { (1 << left) - 1 }
    }

    /// Whether all requests that are left want more devices than there are for any of them, at a place in the search.
    pub(crate) fn hopeless_together(&self, claim: usize, request: usize, wanted: i64) -> bool {
        if self.steps() < PATIENCE {
            return false;
        }
        let Some((rest, of_claim, total)) = self.rest(claim, request, wanted) else { return false };
        // Too many devices for one claim end the search of that claim otherwise.
        if self.results[claim].len() as i64 + of_claim > MAX_RESULTS as i64 {
            return false;
        }
        let mut available = 0;
        for index in 0..self.free.words() {
            let (free, mut some) = (self.free.word(index), 0);
            for entry in &rest {
                let of = &self.wanted[*entry];
                if free & !of.known.word(index) != 0 {
                    return false;
                }
                some |= free & of.selectable.word(index);
            }
            available += i64::from(some.count_ones());
            if available >= total {
                return false;
            }
        }
        true
    }

    /// The entries of a request and all after it, how many devices the claim still wants, and how many all claims; `None` if
    /// one of them is more than a number of devices.
    fn rest(&self, claim: usize, request: usize, wanted: i64) -> Option<(Vec<usize>, i64, i64)> {
        let (mut rest, mut of_claim, mut total) = (Vec::new(), 0, 0_i64);
        for (number, later) in self.wishes.claims.iter().enumerate().skip(claim) {
            let from = if number == claim { request } else { 0 };
            for (index, &(first, _)) in later.requests.iter().enumerate().skip(from) {
                let entry = &self.wishes.entries[first];
                if entry.is_alternative() || self.wishes.all(entry) || self.wishes.admin(entry) {
                    return None;
                }
                let current = (number, index) == (claim, request);
                let count = if current { wanted } else { self.wanted[first].count.max(0) };
                total = total.saturating_add(count);
                if number == claim {
                    of_claim = total;
                }
                rest.push(first);
            }
        }
        Some((rest, of_claim, total))
    }

    /// The state at a place, if it is time to keep states.
    pub(crate) fn state(&self, place: (usize, usize, usize, i64, bool)) -> Option<State<'a>> {
        if self.steps() < PATIENCE || self.failed.len() >= MAX_STATES {
            return None;
        }
        let claim = place.0;
        let mut constraints: Vec<_> =
            self.constraints[claim].iter().map(|constraint| constraint.state()).collect();
        self.forget_names(place, &mut constraints);
        let (free, own) = (self.free.clone(), self.own[claim].clone());
        Some(State { place, results: self.results[claim].len(), free, own, constraints })
    }

    /// Puts the states of constraints that are alike from here on in an order that does not depend on their names.
    fn forget_names(
        &self,
        (claim, request, _, device, _): (usize, usize, usize, i64, bool),
        states: &mut [ConstraintState<'a>],
    ) {
        if self.alike[claim].is_empty() || device > 0 {
            return;
        }
        let Some(&(next, _)) = self.wishes.claims[claim].requests.get(request) else { return };
        let left = |constraint: usize| {
            let entries = self.constraints[claim][constraint].entries();
            entries.filter(move |entry| *entry >= next).count()
        };
        for group in &self.alike[claim] {
            // Those that have as many requests left have the same ones left: both lists are in order.
            for wanted in 0..=self.constraints[claim][group[0]].entries().count() {
                let members: SmallVec<[usize; 16]> =
                    group.iter().copied().filter(|c| left(*c) == wanted).collect();
                if members.len() < 2 || !self.all_known(claim, next) {
                    continue;
                }
                let mut sorted: Vec<ConstraintState<'a>> =
                    members.iter().map(|member| std::mem::take(&mut states[*member])).collect();
                sorted.sort();
                for (member, state) in members.iter().zip(sorted) {
                    states[*member] = state;
                }
            }
        }
    }

    /// Whether selectors are known to say something of all free devices to all requests of a claim from an entry on.
    fn all_known(&self, claim: usize, from: usize) -> bool {
        let own = |entry: &usize| {
            std::ptr::eq(self.wishes.claim_of(&self.wishes.entries[*entry]), &self.wishes.claims[claim])
        };
        (from..self.wishes.entries.len()).take_while(own).all(|entry| {
            (0..self.free.words())
                .all(|index| self.free.word(index) & !self.wanted[entry].known.word(index) == 0)
        })
    }

    /// Groups of constraints of a claim that are alike but for the names of their requests: on the same attribute, each on as many
    /// requests, which ask for the same and which no other constraint concerns.
    pub(crate) fn alike(&self, claim: usize) -> Vec<Vec<usize>> {
        let constraints = &self.constraints[claim];
        let alone = |of: usize| {
            constraints[of].entries().all(|entry| {
                let request = &self.wishes.entries[entry];
                let shared =
                    constraints.iter().filter(|other| other.entries().any(|e| e == entry)).count() > 1;
                !(shared
                    || request.is_alternative()
                    || self.wishes.all(request)
                    || self.wishes.admin(request))
            })
        };
        let same = |a: usize, b: usize| {
            let exact = |entry| self.wishes.exact(&self.wishes.entries[entry]);
            let (a, b) = (&constraints[a], &constraints[b]);
            a.matches_on().is_some()
                && a.matches_on() == b.matches_on()
                && a.entries().count() == b.entries().count()
                && a.entries().zip(b.entries()).all(|(a, b)| exact(a) == exact(b))
        };
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for constraint in (0..constraints.len()).filter(|constraint| alone(*constraint)) {
            match groups.iter_mut().find(|group| same(group[0], constraint)) {
                Some(group) => group.push(constraint),
                None => groups.push(vec![constraint]),
            }
        }
        groups.retain(|group| group.len() > 1);
        groups
    }
}
