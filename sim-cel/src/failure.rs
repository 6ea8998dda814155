//! What evaluation fails with.

use smol_str::SmolStr;

/// Why an evaluation has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// An error of the expression, which `&&`, `||` and quantifiers may absorb.
    #[error("{0}")]
    Error(SmolStr),
    /// The cost limit was passed; nothing absorbs that.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostLimit,
}

impl Failure {
    /// An error with a text.
    pub fn error(text: impl AsRef<str>) -> Failure {
        Failure::Error(SmolStr::new(text))
    }

    /// `no such overload`, where the arguments of an operator do not fit it.
    pub(crate) fn no_overload() -> Failure {
        Failure::Error(SmolStr::new_static("no such overload"))
    }

    /// `no such overload: name`, where an operator knows nothing of its first argument.
    pub(crate) fn no_function(name: &str) -> Failure {
        Failure::error(format!("no such overload: {name}"))
    }
}
