//! Scaling without a rollout (`sync.go`).

use super::util::{self, Set};
use super::{Run, Sets};
use crate::machinery::fx::{Outcome, Stop};
use crate::machinery::pod_control::delete;
use sim_core::api::kind::Kind;
use sim_core::api::meta::Uid;

impl Run<'_, '_, '_> {
    /// True if an active ReplicaSet was annotated with another size than is wanted now (`isScalingEvent`).
    pub(super) fn is_scaling_event(&mut self, sets: &mut [Set]) -> Result<bool, Stop> {
        let sets = self.all_sets(sets, false)?;
        let wanted = util::replicas(&self.spec);
        let desired =
            |set: &Set| set.meta.annotation(util::DESIRED_REPLICAS).and_then(|t| t.parse::<i32>().ok());
        Ok(util::active(&sets.all()).iter().filter_map(desired).any(|d| d != wanted))
    }

    /// Scales and reports, no rollout (`sync`).
    pub(super) fn scale_only(&mut self, sets: &mut [Set]) -> Outcome {
        let mut sets = self.all_sets(sets, false)?;
        self.scale(&mut sets)?;
        if self.spec.paused.unwrap_or(false) {
            self.cleanup(&sets.old)?;
        }
        self.sync_status(&sets)
    }

    fn scale(&mut self, sets: &mut Sets) -> Outcome {
        let status_replicas = self.status.replicas.unwrap_or(0);
        let sizes = util::scale(&self.spec, status_replicas, sets.new.as_ref(), &mut sets.old);
        // A proportional scaling must note the new size even on sets that keep theirs.
        let proportional = sizes.len() > 1 && !util::is_saturated(&self.spec, sets.new.as_ref());
        for (set, size) in sizes {
            match proportional {
                true => self.resize(&set, size)?,
                false => self.resize_if_needed(&set, size)?,
            };
        }
        Ok(())
    }

    /// Deletes old ReplicaSets beyond the revision history, lowest revision first (`cleanupDeployment`).
    pub(super) fn cleanup(&mut self, old: &[Set]) -> Outcome {
        let Some(limit) = self.spec.revision_history_limit.filter(|l| *l != i32::MAX) else { return Ok(()) };
        let mut cleanable: Vec<Set> = old.iter().filter(|s| !s.meta.is_deleting()).cloned().collect();
        let surplus = cleanable.len().saturating_sub(limit.max(0) as usize);
        cleanable.sort_by(util::by_revision);
        for set in cleanable.iter().take(surplus) {
            let observed = set.as_replica_set().and_then(|s| s.status.observed_generation).unwrap_or(0);
            if util::actual(set) != 0 || util::size(set) != 0 || set.meta.generation > observed {
                continue;
            }
            let answer = self.fx.call(|| delete(Kind::REPLICA_SET, set.key().clone(), Uid::default()))?;
            match answer {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}
