//! Strategic merge patch: a merge patch that knows which lists are maps or sets.
//! Upstream: `k8s.io/apimachinery/pkg/util/strategicpatch/patch.go`.

mod conflicts;
mod diff;
mod lists;
mod merge;
mod schema;

use super::{Object, bad_request, unprocessable};
use crate::api::error::{ApiError, Reason};
use crate::api::kind::Kind;
use schema::Schema;

/// `$patch`: what to do with an object or a list.
const DIRECTIVE: &str = "$patch";
const DELETE: &str = "delete";
const REPLACE: &str = "replace";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList";
const ELEMENT_ORDER: &str = "$setElementOrder";

/// Why a patch cannot be made or applied.
#[derive(Debug)]
enum Error {
    /// The patch itself is malformed.
    Malformed(&'static str),
    /// Patch and document do not go together.
    Invalid(String),
}

impl Error {
    const RETAIN_KEYS: Error = Error::Malformed("invalid patch format of retainKeys");
    const ELEMENT_ORDER: Error = Error::Malformed("invalid patch format of setElementOrder list");
    const PRIMITIVES: Error = Error::Malformed("invalid patch format of primitive list");
}

impl From<Error> for ApiError {
    fn from(error: Error) -> ApiError {
        match error {
            Error::Malformed(message) => bad_request(message),
            Error::Invalid(message) => unprocessable(message),
        }
    }
}

/// The schema of a built-in kind.
pub(super) fn schema(kind: Kind) -> Option<Schema> {
    schema::of(kind)
}

/// `StrategicMergePatch`.
pub(super) fn apply(current: Object, patch: Object, schema: Schema) -> Result<Object, ApiError> {
    Ok(merge::maps(current, patch, schema, merge::Mode::Apply)?)
}

/// `CreateThreeWayMergePatch`, without its checks.
pub(super) fn three_way(
    original: &Object,
    modified: &Object,
    current: &Object,
    schema: Schema,
) -> Result<Object, ApiError> {
    let changes = diff::Options { changes: true, order: true, ..diff::Options::default() };
    let delta = diff::maps(current, modified, schema, changes)?;
    let deletions = diff::Options { deletions: true, order: true, ..diff::Options::default() };
    let deleted = diff::maps(original, modified, schema, deletions)?;
    Ok(merge::maps(deleted, delta, schema, merge::Mode::Combine)?)
}

/// `CreateTwoWayMergePatch`.
pub(super) fn two_way(original: &Object, modified: &Object, schema: Schema) -> Result<Object, ApiError> {
    let all = diff::Options { changes: true, deletions: true, order: true, retain_keys: false };
    Ok(diff::maps(original, modified, schema, all)?)
}

/// Fails if the patch would undo what was changed between `original` and `current`.
pub(super) fn no_conflicts(
    patch: &Object,
    original: &Object,
    current: &Object,
    schema: Schema,
) -> Result<(), ApiError> {
    let all = diff::Options { changes: true, deletions: true, ..diff::Options::default() };
    let changed = diff::maps(original, current, schema, all)?;
    if !conflicts::maps(patch, &changed, schema)? {
        return Ok(());
    }
    let message = format!(
        "patch:\n{}\nconflicts with changes made from original to current:\n{}\n",
        conflicts::yaml(patch),
        conflicts::yaml(&changed)
    );
    Err(ApiError::new(Reason::Conflict, message))
}
