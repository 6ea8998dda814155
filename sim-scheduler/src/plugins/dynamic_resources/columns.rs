//! The same for the fast way through a cycle: pods of a class have claims of their own, but these mostly ask for the same.

use serde_json::Value;

use super::{
    CANNOT_ALLOCATE, DynamicResources, NOT_AVAILABLE, PodClaims, claim, has_claims, may_be_extended,
    unresolvable,
};
use crate::cache::{PodMove, Wish};
use crate::framework::{Attempt, Columns, Status};
use crate::mask::Mask;

/// What is kept for a class: all about the last pod.
#[derive(Debug)]
pub struct ClaimColumns {
    /// False if pods of the class have no claims.
    has_say: bool,
    claims: PodClaims,
    /// The claims that have no devices, if there are any.
    wish: Option<Wish>,
    /// Positions that were asked about and have the devices.
    allocatable: Mask,
    has_error: bool,
}

impl Columns for DynamicResources {
    type Kept = ClaimColumns;

    /// Pods that PreFilter refuses go the plain way.
    fn keep(&self, attempt: &Attempt<'_>) -> Option<ClaimColumns> {
        if may_be_extended(attempt) {
            return None;
        }
        let mut claims = PodClaims::default();
        let wanted = claims.read(attempt).ok()?;
        let open = claims.claims.iter().filter(|claim| !claim::is_allocated(&claim.object));
        let specs = open.map(|claim| match claim.object.as_json() {
            Some(body) => body["spec"].to_string(),
            None => Value::Null.to_string(),
        });
        let specs: Vec<String> = specs.collect();
        let wish = Wish::new(wanted.into_iter().zip(specs.iter().map(String::as_str)));
        let wish = (!wish.claims().is_empty()).then_some(wish);
        let has_say = has_claims(attempt.pod);
        Some(ClaimColumns { has_say, claims, wish, allocatable: Mask::default(), has_error: false })
    }

    fn is_stale(&self, _: &ClaimColumns, attempt: &Attempt<'_>) -> bool {
        has_claims(attempt.pod)
    }

    fn is_idle(&self, kept: &ClaimColumns) -> bool {
        !kept.has_say
    }

    fn state(&self, kept: &ClaimColumns, attempt: &Attempt<'_>) -> Option<PodClaims> {
        // Of its own, not that of claims that ask for the same: errors name claims.
        let allocator = kept.wish.as_ref().map(|wish| attempt.cluster.allocator(wish.claims()));
        Some(PodClaims { allocator, ..kept.claims.clone() })
    }

    fn follow(&self, _: &mut ClaimColumns, _: &Attempt<'_>, _: &[PodMove]) {}

    fn filter(&self, kept: &mut ClaimColumns, attempt: &Attempt<'_>, mask: &mut Mask) -> bool {
        if !kept.has_say {
            return false;
        }
        if let Some(wish) = &kept.wish {
            kept.has_error = !attempt.cluster.filter_by_devices(wish, mask);
        }
        kept.allocatable.copy_from(mask);
        let placed: Vec<_> = kept
            .claims
            .claims
            .iter()
            .filter(|claim| claim.failed || claim.reachable_from.is_some())
            .collect();
        if !placed.is_empty() {
            mask.retain(|at| {
                let node = attempt.cluster.node_at(at);
                placed.iter().all(|claim| claim.is_available_on(node))
            });
        }
        true
    }

    fn has_error(&self, kept: &ClaimColumns) -> bool {
        kept.has_error
    }

    fn refusal(&self, kept: &ClaimColumns, attempt: &Attempt<'_>, at: usize) -> Option<Status> {
        if !kept.allocatable.has(at) {
            return Some(unresolvable(CANNOT_ALLOCATE));
        }
        let node = attempt.cluster.node_at(at);
        let available = kept.claims.claims.iter().all(|claim| claim.is_available_on(node));
        (!available).then(|| unresolvable(NOT_AVAILABLE))
    }

    fn score(&self, _: &mut ClaimColumns, _: &Attempt<'_>, _: &[u32], _: i64, _: &mut [i64]) -> bool {
        false
    }
}
