//! Field paths and lists of complaints, worded as upstream words them (`k8s.io/apimachinery/pkg/util/validation/field`).

use std::fmt;

use serde::Serialize;

use crate::api::error::ApiError;
use crate::api::kind::KindInfo;
pub use crate::syntax::go_json;
use crate::syntax::go_quote;

/// A place in an object, e.g. `spec.containers[0].image`. Made while walking down; rendered only for complaints.
///
/// ```
/// use sim_core::api::validation::field::Path;
/// let spec = Path::root("spec");
/// let containers = spec.child("containers");
/// assert_eq!(containers.index(0).child("image").to_string(), "spec.containers[0].image");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// A field at the top of an object.
    pub const fn root(field: &'a str) -> Path<'a> {
        Path { parent: None, step: Step::Field(field) }
    }

    /// A field of this.
    pub const fn child<'b>(&'b self, field: &'b str) -> Path<'b>
    where
        'a: 'b,
    {
        Path { parent: Some(self), step: Step::Field(field) }
    }

    /// An element of this list.
    pub const fn index<'b>(&'b self, index: usize) -> Path<'b>
    where
        'a: 'b,
    {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    /// An entry of this map.
    pub const fn key<'b>(&'b self, key: &'b str) -> Path<'b>
    where
        'a: 'b,
    {
        Path { parent: Some(self), step: Step::Key(key) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Field(name) if self.parent.is_some() => write!(f, ".{name}"),
            Step::Field(name) => f.write_str(name),
            Step::Index(i) => write!(f, "[{i}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// Names something that is not there.
    NotFound,
    /// Missing.
    Required,
    /// Must be unique.
    Duplicate,
    /// Malformed or out of range.
    Invalid,
    /// Not one of a set.
    NotSupported,
    /// Well-formed, but not allowed here.
    Forbidden,
    /// Too many bytes.
    TooLong,
    /// Too many items.
    TooMany,
    /// Not the user's fault.
    Internal,
}

impl ErrorType {
    /// How messages begin.
    pub const fn text(self) -> &'static str {
        match self {
            ErrorType::NotFound => "Not found",
            ErrorType::Required => "Required value",
            ErrorType::Duplicate => "Duplicate value",
            ErrorType::Invalid => "Invalid value",
            ErrorType::NotSupported => "Unsupported value",
            ErrorType::Forbidden => "Forbidden",
            ErrorType::TooLong => "Too long",
            ErrorType::TooMany => "Too many",
            ErrorType::Internal => "Internal error",
        }
    }

    /// `reason` of a cause in a `Status`.
    pub const fn reason(self) -> &'static str {
        match self {
            ErrorType::NotFound => "FieldValueNotFound",
            ErrorType::Required => "FieldValueRequired",
            ErrorType::Duplicate => "FieldValueDuplicate",
            ErrorType::Invalid => "FieldValueInvalid",
            ErrorType::NotSupported => "FieldValueNotSupported",
            ErrorType::Forbidden => "FieldValueForbidden",
            ErrorType::TooLong => "FieldValueTooLong",
            ErrorType::TooMany => "FieldValueTooMany",
            ErrorType::Internal => "InternalError",
        }
    }
}

/// One complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// What is wrong.
    pub kind: ErrorType,
    /// Where.
    pub field: String,
    /// The message without the place.
    pub message: String,
}

/// `spec.x: Invalid value: 1: why`.
impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// A value as a message shows it: text as Go's `%q`, anything else as Go's JSON.
pub struct Shown(String);

impl From<&str> for Shown {
    fn from(text: &str) -> Shown {
        Shown(go_quote(text))
    }
}

impl From<&String> for Shown {
    fn from(text: &String) -> Shown {
        Shown(go_quote(text))
    }
}

impl From<i64> for Shown {
    fn from(n: i64) -> Shown {
        Shown(n.to_string())
    }
}

impl From<i32> for Shown {
    fn from(n: i32) -> Shown {
        Shown(n.to_string())
    }
}

impl From<bool> for Shown {
    fn from(b: bool) -> Shown {
        Shown(b.to_string())
    }
}

impl Shown {
    /// A value as Go's `json.Marshal` prints it.
    pub fn json(value: &impl Serialize) -> Shown {
        Shown(go_json(value))
    }

    /// Text to be shown as it is.
    pub fn raw(text: impl Into<String>) -> Shown {
        Shown(text.into())
    }

    /// A number, or `null`.
    pub fn optional<N: fmt::Display>(n: Option<N>) -> Shown {
        Shown(n.map_or_else(|| "null".to_string(), |n| n.to_string()))
    }
}

/// The complaints about one object, in upstream's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors(pub Vec<FieldError>);

impl Errors {
    /// True if all is well.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, kind: ErrorType, path: &Path<'_>, shown: Option<&str>, detail: &str) {
        let mut message = kind.text().to_string();
        for part in [shown.unwrap_or(""), detail] {
            if !part.is_empty() {
                message.push_str(": ");
                message.push_str(part);
            }
        }
        self.0.push(FieldError { kind, field: path.to_string(), message });
    }

    /// A field that must be there is not.
    pub fn required(&mut self, path: &Path<'_>, detail: &str) {
        self.push(ErrorType::Required, path, None, detail);
    }

    /// A malformed value.
    pub fn invalid(&mut self, path: &Path<'_>, value: impl Into<Shown>, detail: &str) {
        self.push(ErrorType::Invalid, path, Some(&value.into().0), detail);
    }

    /// A malformed text, once for each message.
    pub fn invalid_each(&mut self, path: &Path<'_>, text: &str, details: impl IntoIterator<Item = String>) {
        for detail in details {
            self.invalid(path, text, &detail);
        }
    }

    /// Something went wrong that has nothing to do with what was sent.
    pub fn internal(&mut self, path: &Path<'_>, detail: &str) {
        self.push(ErrorType::Internal, path, None, detail);
    }

    /// A value that is there twice.
    pub fn duplicate(&mut self, path: &Path<'_>, value: impl Into<Shown>) {
        self.push(ErrorType::Duplicate, path, Some(&value.into().0), "");
    }

    /// A reference to something that is not there.
    pub fn not_found(&mut self, path: &Path<'_>, value: &str, detail: &str) {
        self.push(ErrorType::NotFound, path, Some(&go_quote(value)), detail);
    }

    /// A field that may not be set.
    pub fn forbidden(&mut self, path: &Path<'_>, detail: &str) {
        self.push(ErrorType::Forbidden, path, None, detail);
    }

    /// Not one of the supported values, which are listed as given.
    pub fn not_supported(&mut self, path: &Path<'_>, value: impl Into<Shown>, supported: &[&str]) {
        let quoted: Vec<String> = supported.iter().map(|s| go_quote(s)).collect();
        let detail = match quoted.is_empty() {
            true => String::new(),
            false => format!("supported values: {}", quoted.join(", ")),
        };
        self.push(ErrorType::NotSupported, path, Some(&value.into().0), &detail);
    }

    /// More bytes than allowed.
    pub fn too_long(&mut self, path: &Path<'_>, max: usize) {
        self.push(ErrorType::TooLong, path, None, &format!("may not be more than {max} bytes"));
    }

    /// More items than allowed.
    pub fn too_many(&mut self, path: &Path<'_>, actual: usize, max: usize) {
        let plural = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {plural}");
        self.push(ErrorType::TooMany, path, Some(&actual.to_string()), &detail);
    }

    /// The answer to the request: `Pod "x" is invalid: [a, b]`. Repeated messages are told once.
    ///
    /// # Errors
    /// If there is any complaint.
    pub fn into_result(self, kind: &KindInfo, name: &str) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(kind, name, &self.aggregate()))
    }

    /// All messages as one text.
    pub fn aggregate(&self) -> String {
        let mut told: Vec<String> = Vec::new();
        for error in &self.0 {
            let text = error.to_string();
            if !told.contains(&text) {
                told.push(text);
            }
        }
        match told.as_slice() {
            [only] => only.clone(),
            all => format!("[{}]", all.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kind::{Kind, Kinds};

    #[test]
    fn complaints_read_as_upstreams() {
        let spec = Path::root("spec");
        let mut errors = Errors::default();
        errors.required(&spec.child("a"), "");
        errors.invalid(&spec.child("m").key("x"), "q\"", "no");
        errors.not_supported(&spec, "x", &["A", "B"]);
        errors.required(&spec.child("a"), "");
        let error = errors.into_result(Kinds::default().info(Kind::DEPLOYMENT), "d").unwrap_err();
        assert_eq!(
            error.message,
            r#"Deployment.apps "d" is invalid: [spec.a: Required value, spec.m[x]: Invalid value: "q\"": no, spec: Unsupported value: "x": supported values: "A", "B"]"#
        );
    }
}
