//! Errors of the API server, in upstream's wording (`k8s.io/apimachinery/pkg/api/errors`).

use super::kind::KindInfo;

/// `Status.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// 400.
    BadRequest,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 409, a create of something that is there.
    AlreadyExists,
    /// 409, a stale resourceVersion or a failed precondition.
    Conflict,
    /// 410, a watch from a compacted revision.
    Expired,
    /// 422.
    Invalid,
    /// 500.
    InternalError,
}

impl Reason {
    /// HTTP status code.
    pub const fn code(self) -> u16 {
        match self {
            Reason::BadRequest => 400,
            Reason::Forbidden => 403,
            Reason::NotFound => 404,
            Reason::MethodNotAllowed => 405,
            Reason::AlreadyExists | Reason::Conflict => 409,
            Reason::Expired => 410,
            Reason::Invalid => 422,
            Reason::InternalError => 500,
        }
    }
}

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Why.
    pub reason: Reason,
    /// Upstream's text.
    pub message: String,
}

impl ApiError {
    /// An error of any reason.
    pub fn new(reason: Reason, message: impl Into<String>) -> ApiError {
        ApiError { reason, message: message.into() }
    }

    /// `pods "x" not found`.
    pub fn not_found(kind: &KindInfo, name: &str) -> ApiError {
        ApiError::new(Reason::NotFound, format!("{} {name:?} not found", kind.qualified_resource()))
    }

    /// `pods "x" already exists`.
    pub fn already_exists(kind: &KindInfo, name: &str) -> ApiError {
        ApiError::new(Reason::AlreadyExists, format!("{} {name:?} already exists", kind.qualified_resource()))
    }

    /// `Operation cannot be fulfilled on pods "x": <why>`.
    pub fn conflict(kind: &KindInfo, name: &str, why: &str) -> ApiError {
        let message =
            format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.qualified_resource());
        ApiError::new(Reason::Conflict, message)
    }

    /// `pods "x" is forbidden: <why>`.
    pub fn forbidden(kind: &KindInfo, name: &str, why: &str) -> ApiError {
        let message = format!("{} {name:?} is forbidden: {why}", kind.qualified_resource());
        ApiError::new(Reason::Forbidden, message)
    }

    /// `Pod "x" is invalid: <why>`.
    pub fn invalid(kind: &KindInfo, name: &str, why: &str) -> ApiError {
        let qualified = if kind.group.is_empty() {
            kind.kind.to_string()
        } else {
            format!("{}.{}", kind.kind, kind.group)
        };
        ApiError::new(Reason::Invalid, format!("{qualified} {name:?} is invalid: {why}"))
    }

    /// 409 of a stale write.
    pub fn is_conflict(&self) -> bool {
        self.reason == Reason::Conflict
    }

    /// 404.
    pub fn is_not_found(&self) -> bool {
        self.reason == Reason::NotFound
    }
}
