//! Constraints across devices of one claim (`allocator_experimental.go`, `constraint.go`).

use smol_str::{SmolStr, format_smolstr};

use crate::api::{Device, DeviceAttribute, DeviceConstraint};

/// A constraint and what it holds so far.
#[derive(Debug)]
pub(crate) struct Constraint<'a> {
    requests: &'a [SmolStr],
    attribute: &'a SmolStr,
    /// Devices added and not removed.
    count: i64,
    kind: Kind<'a>,
}

#[derive(Debug)]
enum Kind<'a> {
    /// The value of the first device.
    Match(Option<&'a DeviceAttribute>),
    /// The last device of each request. Upstream compares values by pointer, so only the same device is a duplicate.
    // Bug of upstream, fixed in 1.35: equal values of two devices count as distinct.
    Distinct(Vec<(SmolStr, usize)>),
}

/// See [`Constraint::state`].
pub(crate) type ConstraintState<'a> = (Option<&'a DeviceAttribute>, bool, Vec<(SmolStr, usize)>);

/// A device that is about to be added.
#[derive(Clone, Copy)]
pub(crate) struct Added<'a, 'n> {
    /// The request, or the one that has the alternative.
    pub(crate) request: &'n SmolStr,
    /// The alternative; empty if there is none.
    pub(crate) alternative: &'n str,
    pub(crate) driver: &'n SmolStr,
    pub(crate) device: &'a Device,
    /// Tells devices apart.
    pub(crate) number: usize,
}

impl<'a> Constraint<'a> {
    /// A constraint of a claim; `None` for one of an unknown kind.
    pub(crate) fn new(constraint: &'a DeviceConstraint, distinct: bool) -> Option<Constraint<'a>> {
        let (attribute, kind) = match (&constraint.match_attribute, &constraint.distinct_attribute) {
            (Some(attribute), _) => (attribute, Kind::Match(None)),
            (None, Some(attribute)) if distinct => (attribute, Kind::Distinct(Vec::new())),
            _ => return None,
        };
        Some(Constraint { requests: &constraint.requests, attribute, count: 0, kind })
    }

    fn concerns(&self, request: &SmolStr, alternative: &str) -> bool {
        self.requests.is_empty()
            || self.requests.contains(request)
            || !alternative.is_empty() && self.requests.contains(&format_smolstr!("{request}/{alternative}"))
    }

    /// Adds a device if the constraint still holds then.
    pub(crate) fn add(&mut self, added: Added<'a, '_>) -> bool {
        if !self.concerns(added.request, added.alternative) {
            return true;
        }
        let Some(attribute) = lookup(added.device, added.driver, self.attribute) else { return false };
        let first = self.count == 0;
        let holds = match &mut self.kind {
            Kind::Match(value) if first => {
                *value = Some(attribute);
                true
            }
            Kind::Match(value) => value.is_some_and(|value| equal(attribute, value)),
            Kind::Distinct(last) => {
                let distinct = first
                    || last.is_empty()
                    || known(attribute) && last.iter().all(|(_, number)| *number != added.number);
                if distinct {
                    last.retain(|(request, _)| request != added.request);
                    last.push((added.request.clone(), added.number));
                }
                distinct
            }
        };
        self.count += i64::from(holds);
        holds
    }

    /// Whether a device could be added; true also where only adding would tell.
    pub(crate) fn may_add(&self, added: Added<'a, '_>) -> bool {
        if !self.concerns(added.request, added.alternative) {
            return true;
        }
        let Some(attribute) = lookup(added.device, added.driver, self.attribute) else { return false };
        match &self.kind {
            Kind::Match(Some(value)) if self.count > 0 => equal(attribute, value),
            _ => true,
        }
    }

    /// What later devices depend on: the value that all must have, or the last devices.
    pub(crate) fn state(&self) -> ConstraintState<'a> {
        match &self.kind {
            Kind::Match(value) => (value.filter(|_| self.count > 0), self.count > 0, Vec::new()),
            Kind::Distinct(last) => (None, self.count > 0, last.clone()),
        }
    }

    /// Takes a device back that was added.
    pub(crate) fn remove(&mut self, request: &SmolStr, alternative: &str) {
        if !self.concerns(request, alternative) {
            return;
        }
        self.count -= 1;
        if let Kind::Distinct(last) = &mut self.kind {
            last.retain(|(known, _)| known != request);
        }
    }
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
