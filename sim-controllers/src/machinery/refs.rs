//! Adoption and release (`controller.PodControllerRefManager` and its kin).

use std::sync::Arc;

use sim_core::api::error::{ApiError, Reason};
use sim_core::api::meta::{Labels, OwnerReference};
use sim_core::api::object::Object;
use sim_core::api::request::{MetaPatch, Request};
use sim_core::selectors::Selector;
use smol_str::SmolStr;

use super::fx::{Fx, Stop, live_get};

/// How an owner claims objects.
pub struct Claim<'a> {
    /// The owner.
    pub owner: &'a Object,
    /// Its reference, as adopted objects get it.
    pub owner_ref: &'a OwnerReference,
    /// What it selects; `None` selects nothing.
    pub selector: Option<Selector>,
    /// A finalizer that adopted objects get and released ones lose.
    pub finalizer: Option<&'static str>,
}

impl Claim<'_> {
    /// Of these candidates, the ones that the owner has or can adopt. Objects that it has but does not select any more
    /// are released. An owner that is being deleted neither adopts nor releases.
    ///
    /// # Errors
    /// [`Stop::Waiting`] while a patch is under way; the first refusal, after all candidates were tried.
    pub fn all(&self, fx: &mut Fx<'_>, candidates: &[Arc<Object>]) -> Result<Vec<Arc<Object>>, Stop> {
        let mut claimed = Vec::with_capacity(candidates.len());
        let mut first_error = None;
        let mut may_adopt: Option<Result<(), ApiError>> = None;
        for object in candidates {
            match self.one(fx, object, &mut may_adopt) {
                Ok(true) => claimed.push(object.clone()),
                Ok(false) => {}
                Err(Stop::Failed(error)) => first_error = first_error.or(Some(error)),
                Err(waiting) => return Err(waiting),
            }
        }
        first_error.map_or(Ok(claimed), |e| Err(Stop::Failed(e)))
    }

    fn one(
        &self,
        fx: &mut Fx<'_>,
        object: &Object,
        may_adopt: &mut Option<Result<(), ApiError>>,
    ) -> Result<bool, Stop> {
        let selected = self.matches(&object.meta.labels);
        if let Some(controller) = object.meta.controller_of() {
            if controller.uid != self.owner.meta.uid {
                return Ok(false);
            }
            if selected {
                return Ok(true);
            }
            if self.owner.meta.is_deleting() {
                return Ok(false);
            }
            return gone_is_fine(fx.call(|| self.release(object))?).map(|_| false);
        }
        if self.owner.meta.is_deleting() || !selected || object.meta.is_deleting() {
            return Ok(false);
        }
        self.recheck(fx, may_adopt)?;
        gone_is_fine(fx.call(|| self.adopt(object))?)
    }

    /// Before the first adoption, makes sure by a live read that the owner is not being deleted.
    fn recheck(&self, fx: &mut Fx<'_>, may_adopt: &mut Option<Result<(), ApiError>>) -> Result<(), Stop> {
        if may_adopt.is_none() {
            let fresh = fx.call(|| live_get(self.owner.kind, self.owner.key().clone()))?;
            *may_adopt = Some(fresh.and_then(|fresh| self.adoption_verdict(&fresh)));
        }
        match may_adopt {
            Some(Err(error)) => {
                let message = format!("can't adopt: {error}");
                Err(Stop::Failed(ApiError::new(error.reason, message)))
            }
            _ => Ok(()),
        }
    }

    fn adoption_verdict(&self, fresh: &Object) -> Result<(), ApiError> {
        let (kind, key) = (fresh.kind.builtin_name().unwrap_or("object"), fresh.key());
        if fresh.meta.uid != self.owner.meta.uid {
            let message = format!(
                "original {kind} {key} is gone: got uid {}, wanted {}",
                fresh.meta.uid, self.owner.meta.uid
            );
            return Err(ApiError::new(Reason::InternalError, message));
        }
        match fresh.meta.deletion {
            Some(_) => {
                let message = format!("{key} has just been deleted");
                Err(ApiError::new(Reason::InternalError, message))
            }
            None => Ok(()),
        }
    }

    fn matches(&self, labels: &Labels) -> bool {
        self.selector.as_ref().is_some_and(|s| s.matches(labels))
    }

    fn adopt(&self, object: &Object) -> Request {
        let mut owners: Vec<OwnerReference> = object.meta.owner_references.to_vec();
        owners.retain(|o| o.uid != self.owner.meta.uid);
        owners.push(self.owner_ref.clone());
        let patch = MetaPatch {
            owner_references: Some(owners),
            add_finalizers: self.finalizer.map(SmolStr::new_static).into_iter().collect(),
            ..MetaPatch::default()
        };
        patch_of(object, patch)
    }

    fn release(&self, object: &Object) -> Request {
        let owners = object.meta.owner_references.iter();
        let patch = MetaPatch {
            owner_references: Some(owners.filter(|o| o.uid != self.owner.meta.uid).cloned().collect()),
            remove_finalizers: self.finalizer.map(SmolStr::new_static).into_iter().collect(),
            ..MetaPatch::default()
        };
        patch_of(object, patch)
    }
}

/// A metadata patch of exactly this object.
pub fn patch_of(object: &Object, patch: MetaPatch) -> Request {
    Request::PatchMeta {
        kind: object.kind,
        key: object.key().clone(),
        uid: object.meta.uid,
        patch: Box::new(patch),
    }
}

/// True if the object was patched, false if it is gone.
fn gone_is_fine(answer: super::fx::Answer) -> Result<bool, Stop> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(Stop::Failed(error)),
    }
}
