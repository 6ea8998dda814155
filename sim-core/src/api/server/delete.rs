//! DELETE: preconditions, grace, finalizers (`registry/rest`: BeforeDelete; `registry/generic/registry`: Delete).

use std::sync::Arc;

use smol_str::SmolStr;

use super::{ApiServer, Moment};
use crate::api::error::{ApiError, Reason};
use crate::api::kind::Kind;
use crate::api::meta::{Deletion, Key};
use crate::api::object::{Object, Pod};
use crate::api::request::{DeleteOptions, Propagation};
use crate::engine::log::CommitVerb;
use crate::time::{Time, secs};

/// Finalizer of a foreground deletion.
pub const FOREGROUND_DELETION: &str = "foregroundDeletion";
/// Finalizer of a deletion that orphans.
pub const ORPHAN_DEPENDENTS: &str = "orphan";
/// `DefaultTerminationGracePeriodSeconds`.
const DEFAULT_GRACE_SECONDS: i64 = 30;

impl ApiServer {
    pub(super) fn delete(
        &mut self,
        moment: &mut Moment<'_>,
        kind: Kind,
        key: &Key,
        options: &DeleteOptions,
    ) -> Result<Arc<Object>, ApiError> {
        let old = self.get_checked(kind, key, options.uid)?;
        if options.resource_version != 0 && options.resource_version != old.meta.resource_version {
            let why = format!(
                "Precondition failed: ResourceVersion in precondition: {}, ResourceVersion in object meta: {}",
                options.resource_version, old.meta.resource_version
            );
            return Err(ApiError::conflict(self.kinds.info(kind), &key.name, &why));
        }
        let grace = old.as_pod().map_or(0, |pod| grace_of(pod, options));
        let mut new = Object::clone(&old);
        set_propagation(&mut new, options.propagation);
        if grace == 0 && new.meta.finalizers.is_empty() {
            return self.remove(moment, &new).ok_or_else(|| {
                ApiError::new(Reason::InternalError, "the object vanished while it was deleted")
            });
        }
        mark(&mut new, moment.now, grace);
        if new.meta == old.meta {
            return Ok(old);
        }
        Ok(self.commit(moment, CommitVerb::MarkDeleted, new))
    }
}

/// Seconds of grace for a pod (`podStrategy.CheckGracefulDelete`).
fn grace_of(pod: &Pod, options: &DeleteOptions) -> i64 {
    if pod.node_name.is_empty() || pod.status.phase.is_terminal() {
        return 0;
    }
    let grace = options
        .grace_period_seconds
        .or(pod.spec.termination_grace_period_seconds)
        .unwrap_or(DEFAULT_GRACE_SECONDS);
    if grace < 0 { 1 } else { grace }
}

/// Sets the deletion mark, or shortens the grace of one that is there.
fn mark(object: &mut Object, now: Time, grace: i64) {
    match &mut object.meta.deletion {
        Some(deletion) => {
            if grace < deletion.grace_period_seconds {
                let asked_at = deletion.timestamp - secs(deletion.grace_period_seconds);
                *deletion = Deletion { timestamp: asked_at + secs(grace), grace_period_seconds: grace };
            }
        }
        None => {
            let timestamp = (now + secs(grace)).truncate_to_secs();
            object.meta.deletion = Some(Deletion { timestamp, grace_period_seconds: grace });
            // Controllers must not do anything big for an object that is going, so its desired state has changed.
            if object.meta.generation > 0 {
                object.meta.generation += 1;
            }
        }
    }
}

fn set_propagation(object: &mut Object, propagation: Propagation) {
    let (wanted, other) = match propagation {
        Propagation::Background => (None, None),
        Propagation::Foreground => (Some(FOREGROUND_DELETION), Some(ORPHAN_DEPENDENTS)),
        Propagation::Orphan => (Some(ORPHAN_DEPENDENTS), Some(FOREGROUND_DELETION)),
    };
    // Once an object is being deleted no finalizer may be added.
    if let (Some(wanted), false) = (wanted, object.meta.is_deleting()) {
        object.meta.finalizers.retain(|f| Some(f.as_str()) != other);
        if !object.meta.finalizers.iter().any(|f| f == wanted) {
            object.meta.finalizers.push(SmolStr::new_static(wanted));
        }
    }
}
