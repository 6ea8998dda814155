//! Plugins whose answers about a node depend on more than the node, told to the fast way through a cycle.

use std::any::Any;
use std::sync::Arc;

use super::erased::State;
use super::plugin::{Attempt, Plugin};
use super::status::Status;
use crate::cache::PodMove;
use crate::mask::Mask;

/// What such a plugin keeps per pod class: counts that follow pods as they come and go, and answers about all nodes in
/// one go. Positions are those of [`Cache::order`](crate::cache::Cache::order).
///
/// Must say just what PreFilter, Filter, PreScore, Score and NormalizeScore say.
pub trait Columns: Plugin {
    /// Counts of one class.
    type Kept: Send + Sync + 'static;

    /// Counts from scratch. Called anew when nodes joined, left, or changed labels, taints or cordon. `None` if the
    /// class has to go the plain way.
    fn keep(&self, attempt: &Attempt<'_>) -> Option<Self::Kept>;

    /// True if something else than nodes and pods changed so that the counts have to be made anew.
    fn is_stale(&self, kept: &Self::Kept, attempt: &Attempt<'_>) -> bool;

    /// True if the plugin has no say, as the counts are: PreFilter and PreScore would skip the class.
    fn is_idle(&self, kept: &Self::Kept) -> bool;

    /// The plugin's state as after PreFilter; `None` if that would skip, and later points do not want it either.
    fn state(&self, kept: &Self::Kept, attempt: &Attempt<'_>) -> Option<Self::Cycle>;

    /// Pods came and went, in this order.
    fn follow(&self, kept: &mut Self::Kept, attempt: &Attempt<'_>, moves: &[PodMove]);

    /// Takes refused positions out of the mask. True if the plugin has a say at all: PreFilter would not skip.
    fn filter(&self, kept: &mut Self::Kept, attempt: &Attempt<'_>, mask: &mut Mask) -> bool;

    /// True if Filter has an error to tell, as the last call of the above found: then the attempt goes the plain way.
    fn has_error(&self, _kept: &Self::Kept) -> bool {
        false
    }

    /// What Filter says about a node that it refuses.
    fn refusal(&self, kept: &Self::Kept, attempt: &Attempt<'_>, at: usize) -> Option<Status>;

    /// Adds normalised scores times `weight` to the totals of the feasible positions. False if PreScore would skip:
    /// then nothing is added.
    fn score(
        &self,
        kept: &mut Self::Kept,
        attempt: &Attempt<'_>,
        feasible: &[u32],
        weight: i64,
        totals: &mut [i64],
    ) -> bool;
}

/// What a plugin of some type keeps.
pub struct Kept(Box<dyn Any + Send + Sync>);

/// [`Columns`] of a plugin of some type.
pub trait AnyColumns: Send + Sync {
    /// See [`Columns::keep`].
    fn keep(&self, attempt: &Attempt<'_>) -> Option<Kept>;
    /// See [`Columns::is_stale`].
    fn is_stale(&self, kept: &Kept, attempt: &Attempt<'_>) -> bool;
    /// See [`Columns::is_idle`].
    fn is_idle(&self, kept: &Kept) -> bool;
    /// See [`Columns::state`].
    fn state(&self, kept: &Kept, attempt: &Attempt<'_>) -> Option<State>;
    /// See [`Columns::follow`].
    fn follow(&self, kept: &mut Kept, attempt: &Attempt<'_>, moves: &[PodMove]);
    /// See [`Columns::filter`].
    fn filter(&self, kept: &mut Kept, attempt: &Attempt<'_>, mask: &mut Mask) -> bool;
    /// See [`Columns::has_error`].
    fn has_error(&self, kept: &Kept) -> bool;
    /// See [`Columns::refusal`].
    fn refusal(&self, kept: &Kept, attempt: &Attempt<'_>, at: usize) -> Option<Status>;
    /// See [`Columns::score`].
    fn score(
        &self,
        kept: &mut Kept,
        attempt: &Attempt<'_>,
        feasible: &[u32],
        weight: i64,
        totals: &mut [i64],
    ) -> bool;
}

const OWN: &str = "the framework hands every plugin what it kept itself";

impl<P: Columns> AnyColumns for Arc<P> {
    fn keep(&self, attempt: &Attempt<'_>) -> Option<Kept> {
        let kept = P::keep(self, attempt)?;
        Some(Kept(Box::new(kept)))
    }

    fn is_stale(&self, kept: &Kept, attempt: &Attempt<'_>) -> bool {
        P::is_stale(self, kept.0.downcast_ref().expect(OWN), attempt)
    }

    fn is_idle(&self, kept: &Kept) -> bool {
        P::is_idle(self, kept.0.downcast_ref().expect(OWN))
    }

    fn state(&self, kept: &Kept, attempt: &Attempt<'_>) -> Option<State> {
        P::state(self, kept.0.downcast_ref().expect(OWN), attempt).map(State::new)
    }

    fn follow(&self, kept: &mut Kept, attempt: &Attempt<'_>, moves: &[PodMove]) {
        P::follow(self, kept.0.downcast_mut().expect(OWN), attempt, moves);
    }

    fn filter(&self, kept: &mut Kept, attempt: &Attempt<'_>, mask: &mut Mask) -> bool {
        P::filter(self, kept.0.downcast_mut().expect(OWN), attempt, mask)
    }

    fn has_error(&self, kept: &Kept) -> bool {
        P::has_error(self, kept.0.downcast_ref().expect(OWN))
    }

    fn refusal(&self, kept: &Kept, attempt: &Attempt<'_>, at: usize) -> Option<Status> {
        P::refusal(self, kept.0.downcast_ref().expect(OWN), attempt, at)
    }

    fn score(
        &self,
        kept: &mut Kept,
        attempt: &Attempt<'_>,
        feasible: &[u32],
        weight: i64,
        totals: &mut [i64],
    ) -> bool {
        P::score(self, kept.0.downcast_mut().expect(OWN), attempt, feasible, weight, totals)
    }
}
