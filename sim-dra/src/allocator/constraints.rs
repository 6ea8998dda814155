//! Constraints across devices of one claim (`allocator_experimental.go`, `constraint.go`).

use std::cell::OnceCell;

use smol_str::{SmolStr, format_smolstr};

use super::Fixes;
use super::requests::{Claim, Wishes};
use super::search::{Candidate, Devices};
use crate::api::{Device, DeviceAttribute, DeviceConstraint};

/// A constraint and what it holds so far.
#[derive(Debug)]
pub(crate) struct Constraint<'a> {
    attribute: &'a SmolStr,
    /// Of the entries from the first of the claim on: those that it concerns.
    concerned: Vec<bool>,
    first_entry: usize,
    /// The attribute of every device, looked up when the first is needed.
    values: OnceCell<Vec<Option<&'a DeviceAttribute>>>,
    /// Devices added and not removed.
    count: i64,
    kind: Kind<'a>,
}

#[derive(Debug)]
enum Kind<'a> {
    /// The value of the first device.
    Match(Option<&'a DeviceAttribute>),
    /// Request and device, the last of each request. Upstream compares values by pointer, so only the same device is a
    /// duplicate.
    Distinct(Vec<(usize, usize)>),
    /// The same with all devices, and by value.
    DistinctByValue(Vec<(usize, usize)>),
}

/// See [`Constraint::state`].
pub(crate) type ConstraintState<'a> = (Option<&'a DeviceAttribute>, bool, Vec<(usize, usize)>);

/// A device that is about to be added.
#[derive(Clone, Copy)]
pub(crate) struct Added {
    /// The request or alternative.
    pub(crate) entry: usize,
    /// The number of the request in the claim.
    pub(crate) request: usize,
    /// The device.
    pub(crate) candidate: usize,
}

impl<'a> Constraint<'a> {
    /// A constraint of a claim; `None` for one of an unknown kind.
    pub(crate) fn new(
        constraint: &'a DeviceConstraint,
        claim: &Claim,
        wishes: &Wishes,
        distinct: bool,
        fixes: Fixes,
    ) -> Option<Constraint<'a>> {
        let (attribute, kind) = match (&constraint.match_attribute, &constraint.distinct_attribute) {
            (Some(attribute), _) => (attribute, Kind::Match(None)),
            (None, Some(attribute)) if distinct && fixes.distinct_by_value => {
                (attribute, Kind::DistinctByValue(Vec::new()))
            }
            (None, Some(attribute)) if distinct => (attribute, Kind::Distinct(Vec::new())),
            _ => return None,
        };
        let first_entry = claim.requests.first().map_or(0, |(first, _)| *first);
        let entries = claim.requests.iter().map(|(_, entries)| entries).sum();
        let concerned = wishes.entries.iter().skip(first_entry).take(entries).map(|entry| {
            concerns(&constraint.requests, &wishes.parent(entry).name, wishes.alternative(entry))
        });
        let concerned = concerned.collect();
        Some(Constraint { attribute, concerned, first_entry, values: OnceCell::new(), count: 0, kind })
    }

    fn concerns(&self, entry: usize) -> bool {
        self.concerned.get(entry.wrapping_sub(self.first_entry)).copied().unwrap_or(false)
    }

    fn value(&self, candidate: usize, devices: Devices<'_, 'a>) -> Option<&'a DeviceAttribute> {
        let look_up = |candidate: &Candidate<'a>| {
            lookup(candidate.device(), devices.pools[candidate.pool].driver, self.attribute)
        };
        let values = self.values.get_or_init(|| devices.candidates.iter().map(look_up).collect());
        values.get(candidate).copied().flatten()
    }

    /// Adds a device if the constraint still holds then.
    pub(crate) fn add(&mut self, added: Added, devices: Devices<'_, 'a>) -> bool {
        if !self.concerns(added.entry) {
            return true;
        }
        let Some(attribute) = self.value(added.candidate, devices) else { return false };
        let first = self.count == 0;
        let new = (added.request, added.candidate);
        let values = self.values.get();
        let holds = match &mut self.kind {
            Kind::Match(value) if first => {
                *value = Some(attribute);
                true
            }
            Kind::Match(value) => value.is_some_and(|value| equal(attribute, value)),
            Kind::Distinct(last) => {
                let distinct = first
                    || last.is_empty()
                    || known(attribute) && last.iter().all(|(_, other)| *other != added.candidate);
                if distinct {
                    last.retain(|(request, _)| *request != added.request);
                    last.push(new);
                }
                distinct
            }
            Kind::DistinctByValue(all) => {
                let value = |other: usize| values.and_then(|values| values.get(other).copied().flatten());
                let differs = |other: &DeviceAttribute| known(attribute) && !equal(attribute, other);
                let distinct = all.iter().all(|(_, other)| value(*other).is_none_or(differs));
                if distinct {
                    all.push(new);
                }
                distinct
            }
        };
        self.count += i64::from(holds);
        holds
    }

    /// Whether a device could be added; true also where only adding would tell.
    pub(crate) fn may_add(&self, added: Added, devices: Devices<'_, 'a>) -> bool {
        if !self.concerns(added.entry) {
            return true;
        }
        let Some(attribute) = self.value(added.candidate, devices) else { return false };
        match &self.kind {
            Kind::Match(Some(value)) if self.count > 0 => equal(attribute, value),
            _ => true,
        }
    }

    /// What later devices depend on: the value that all must have, or the last devices.
    pub(crate) fn state(&self) -> ConstraintState<'a> {
        match &self.kind {
            Kind::Match(value) => (value.filter(|_| self.count > 0), self.count > 0, Vec::new()),
            Kind::Distinct(devices) | Kind::DistinctByValue(devices) => {
                (None, self.count > 0, devices.clone())
            }
        }
    }

    /// The attribute, if all devices must have the same value of it.
    pub(crate) fn matches_on(&self) -> Option<&'a SmolStr> {
        matches!(self.kind, Kind::Match(_)).then_some(self.attribute)
    }

    /// The entries that it concerns.
    pub(crate) fn entries(&self) -> impl Iterator<Item = usize> {
        (self.first_entry..).zip(&self.concerned).filter(|(_, concerned)| **concerned).map(|(entry, _)| entry)
    }

    /// Takes a device back that was added for an entry.
    pub(crate) fn remove(&mut self, added: Added) {
        if !self.concerns(added.entry) {
            return;
        }
        self.count -= 1;
        match &mut self.kind {
            Kind::Match(_) => {}
            Kind::Distinct(last) => last.retain(|(request, _)| *request != added.request),
            Kind::DistinctByValue(all) => {
                if let Some(last) = all.iter().rposition(|other| *other == (added.request, added.candidate)) {
                    all.remove(last);
                }
            }
        }
    }
}

fn concerns(requests: &[SmolStr], request: &SmolStr, alternative: &str) -> bool {
    requests.is_empty()
        || requests.contains(request)
        || !alternative.is_empty() && requests.contains(&format_smolstr!("{request}/{alternative}"))
}

/// The attribute under its full name, or without the domain if that is the driver's.
fn lookup<'a>(device: &'a Device, driver: &SmolStr, name: &SmolStr) -> Option<&'a DeviceAttribute> {
    if let Some(found) = device.attributes.get(name) {
        return Some(found);
    }
    let (domain, id) = name.split_once('/')?;
    if domain == driver { device.attributes.get(id) } else { None }
}

/// Of a type that this version knows.
fn known(a: &DeviceAttribute) -> bool {
    a.string.is_some() || a.int.is_some() || a.bool.is_some() || a.version.is_some()
}

/// By the first type that the new one has.
fn equal(new: &DeviceAttribute, first: &DeviceAttribute) -> bool {
    if new.string.is_some() {
        return new.string == first.string;
    }
    if new.int.is_some() {
        return new.int == first.int;
    }
    if new.bool.is_some() {
        return new.bool == first.bool;
    }
    new.version.is_some() && new.version == first.version
}
