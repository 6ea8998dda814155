//! The two strategies (`rolling.go`, `recreate.go`). One action per sync.

use super::Run;
use super::util::{self, Resize, Set};
use crate::machinery::fx::{Outcome, Stop};

impl Run<'_, '_, '_> {
    /// Moves pods from old to new ReplicaSets within the fenceposts (`rolloutRolling`).
    pub(super) fn roll(&mut self, sets: &mut [Set]) -> Outcome {
        let sets = self.all_sets(sets, true)?;
        let all = sets.all();
        if let Some(new) = &sets.new
            && self.reconcile_new(&all, new)?
        {
            return self.sync_rollout_status(&sets);
        }
        if self.reconcile_old(&all, &sets.old, sets.new.as_ref())? {
            return self.sync_rollout_status(&sets);
        }
        if util::is_complete(&self.spec, self.generation(), &self.status) {
            self.cleanup(&sets.old)?;
        }
        self.sync_rollout_status(&sets)
    }

    fn reconcile_new(&mut self, all: &[Set], new: &Set) -> Result<bool, Stop> {
        let (size, wanted) = (util::size(new), util::replicas(&self.spec));
        let to = match size.cmp(&wanted) {
            std::cmp::Ordering::Equal => return Ok(false),
            std::cmp::Ordering::Greater => wanted,
            std::cmp::Ordering::Less => {
                util::new_rs_new_replicas(&self.spec, util::total(all, util::size), size)
            }
        };
        Ok(self.resize_if_needed(new, to)?.1)
    }

    fn reconcile_old(&mut self, all: &[Set], old: &[Set], new: Option<&Set>) -> Result<bool, Stop> {
        let mut old = util::active(old);
        if old.is_empty() {
            return Ok(false);
        }
        let room = util::max_scaled_down(&self.spec, util::total(all, util::size), new.map(|n| &**n));
        if room <= 0 {
            return Ok(false);
        }
        // Unhealthy pods first: otherwise a bad rollout would block the next one for good.
        let cleanup = util::cleanup_unhealthy(&mut old, room);
        let Some(cleaned) = self.shrink(&mut old, &cleanup)? else { return Ok(false) };
        let everything: Vec<Set> = old.iter().chain(new).cloned().collect();
        let all_available = util::total(&everything, util::available);
        let scale_down = util::scale_down_old(&self.spec, all_available, &mut old);
        let Some(scaled) = self.shrink(&mut old, &scale_down)? else { return Ok(false) };
        Ok(cleaned + scaled > 0)
    }

    /// Carries out resizes; `None` if one was refused, which upstream treats as "nothing was scaled".
    fn shrink(&mut self, old: &mut [Set], resizes: &[Resize]) -> Result<Option<i32>, Stop> {
        let mut by = 0;
        for resize in resizes {
            let Some(set) = old.get_mut(resize.index) else { continue };
            match self.resize_if_needed(&set.clone(), resize.to) {
                Ok((updated, _)) => *set = updated,
                Err(Stop::Failed(_)) => return Ok(None),
                Err(waiting) => return Err(waiting),
            }
            by += resize.by;
        }
        Ok(Some(by))
    }

    /// All old pods go before any new one comes (`rolloutRecreate`).
    pub(super) fn recreate(&mut self, found: &mut [Set]) -> Outcome {
        let mut sets = self.all_sets(found, false)?;
        let mut scaled = false;
        for set in util::active(&sets.old) {
            scaled |= self.resize_if_needed(&set, 0)?.1;
        }
        if scaled || self.old_pods_running(sets.new.as_ref(), &sets.old) {
            return self.sync_rollout_status(&sets);
        }
        if sets.new.is_none() {
            sets = self.all_sets(found, true)?;
        }
        if let Some(new) = &sets.new {
            self.resize_if_needed(new, util::replicas(&self.spec))?;
        }
        if util::is_complete(&self.spec, self.generation(), &self.status) {
            self.cleanup(&sets.old)?;
        }
        self.sync_rollout_status(&sets)
    }

    fn old_pods_running(&self, new: Option<&Set>, old: &[Set]) -> bool {
        let is_new = |set: &Set| new.is_some_and(|n| n.meta.uid == set.meta.uid);
        util::total(old, util::actual) > 0 || self.input.running.iter().any(|s| !is_new(s))
    }
}
