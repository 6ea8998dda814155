//! Giving devices to claims, and taking them back.

use super::super::capacity::{self, Consumed};
use super::super::constraints::Added;
use super::super::counters::Counters;
use super::super::{DeviceId, Error};
use super::{Candidate, Chosen, Devices, Position, Search};

impl<'a> Search<'a> {
    fn counters(&mut self, candidate: usize) -> &mut Counters {
        let Candidate { slice, slice_number, index, .. } = self.candidates[candidate];
        let (first, taken) = (candidate - index, &self.taken);
        self.counters[slice_number].get_or_insert_with(|| {
            let devices = 0..slice.body().spec.devices.len();
            Counters::new(slice, devices.filter(|device| taken.get(first + device)))
        })
    }

    /// Gives a device to a claim if counters, taints, constraints and capacity allow it.
    pub(super) fn allocate(
        &mut self,
        at: Position,
        entry: usize,
        candidate: usize,
        must: bool,
    ) -> Result<bool, Error> {
        let wishes = self.wishes;
        let request = &wishes.entries[entry];
        let shared = self.shared(candidate);
        let admin = wishes.admin(request);
        if self.refused(at.claim, request, candidate) && !(shared && admin) {
            return Ok(false);
        }
        let device = self.device(candidate);
        if !device.consumes_counters.is_empty() {
            if !self.features.partitionable_devices {
                return Ok(false);
            }
            let Candidate { slice, index, .. } = self.candidates[candidate];
            if !self.counters(candidate).take(slice, index) {
                return Ok(false);
            }
        }
        let exact = wishes.exact(request);
        let tolerated = |taint| exact.tolerations.iter().any(|toleration| toleration.tolerates(taint));
        if self.features.device_taints && !device.taints.iter().all(tolerated) {
            self.return_counters(candidate);
            return Ok(false);
        }
        if !self.constrain(at.claim, entry, candidate) {
            if must {
                let DeviceId { driver, pool, device } = self.id(candidate);
                let why = format!(
                    ": cannot add device {driver}/{pool}/{device} because a claim constraint would not be satisfied"
                );
                return Err(wishes.error(request, &why));
            }
            self.return_counters(candidate);
            return Ok(false);
        }
        if !shared {
            self.mark(at.claim, candidate);
        }
        let mut consumed = Consumed::new();
        if self.features.consumable_capacity {
            if !self.fits(request, candidate) {
                // Constraints and marks stay otherwise, as upstream leaves them.
                if self.fixes.refusals_leave_no_trace {
                    self.release(at.claim, entry, candidate);
                    self.return_counters(candidate);
                }
                return Ok(false);
            }
            if shared {
                consumed = capacity::consumed(exact.capacity.as_ref(), device);
                let own = self.allocating.entry(candidate).or_default();
                for (name, quantity) in &consumed {
                    own.entry(name.clone()).or_default().add(quantity);
                }
            }
        }
        self.results[at.claim].push(Chosen { candidate, entry, shared, consumed });
        Ok(true)
    }

    fn mark(&mut self, claim: usize, candidate: usize) {
        let claims = &mut self.candidates[candidate].claims;
        if !claims.contains(&claim) {
            claims.push(claim);
        }
        self.free.set(candidate, false);
        self.own[claim].set(candidate, true);
    }

    /// Takes a device out of the constraints of a claim and from the claim itself.
    fn release(&mut self, claim: usize, entry: usize, candidate: usize) {
        let added = self.added(entry, candidate);
        self.constraints[claim].iter_mut().for_each(|constraint| constraint.remove(added));
        let claims = &mut self.candidates[candidate].claims;
        claims.retain(|other| *other != claim);
        let free = claims.is_empty() && !self.taken.get(candidate);
        self.free.set(candidate, free);
        self.own[claim].set(candidate, false);
    }

    /// Gives back the counters of a device that was refused after it had got them, which upstream forgets.
    fn return_counters(&mut self, candidate: usize) {
        if self.fixes.refusals_leave_no_trace && !self.device(candidate).consumes_counters.is_empty() {
            let Candidate { slice, index, .. } = self.candidates[candidate];
            self.counters(candidate).give_back(slice, index);
        }
    }

    /// Adds a device to the constraints of a claim, to all of them or none.
    fn constrain(&mut self, claim: usize, entry: usize, candidate: usize) -> bool {
        if self.constraints[claim].is_empty() {
            return true;
        }
        let added = self.added(entry, candidate);
        let constraints = &mut self.constraints[claim];
        let devices = Devices { candidates: &self.candidates, pools: self.pools };
        let Some(failed) = constraints.iter_mut().position(|constraint| !constraint.add(added, devices))
        else {
            return true;
        };
        constraints[..failed].iter_mut().for_each(|constraint| constraint.remove(added));
        false
    }

    /// A device for a request, as constraints see it.
    pub(crate) fn added(&self, entry: usize, candidate: usize) -> Added {
        Added { entry, request: self.wishes.number(&self.wishes.entries[entry]), candidate }
    }

    /// Takes the last device of a claim back.
    pub(super) fn take_back(&mut self, claim: usize, candidate: usize) {
        let Some(chosen) = self.results[claim].pop() else { return };
        self.release(claim, chosen.entry, candidate);
        if chosen.shared
            && let Some(own) = self.allocating.get_mut(&candidate)
        {
            for (name, quantity) in &chosen.consumed {
                own.entry(name.clone()).or_default().sub(quantity);
            }
        }
        let counted =
            self.features.partitionable_devices && !self.device(candidate).consumes_counters.is_empty();
        if counted && (!chosen.shared || self.fixes.shares_return_counters) {
            let Candidate { slice, index, .. } = self.candidates[candidate];
            self.counters(candidate).give_back(slice, index);
        }
    }
}
