//! Errors and notices of loading: what is wrong, where, and what to do.

use std::fmt;

use super::source::{Excerpt, Place, Text};

/// One error in the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError(Box<Detail>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Detail {
    place: Option<Place>,
    excerpt: Excerpt,
    path: String,
    message: String,
    help: Option<String>,
}

impl LoadError {
    /// An error without a place.
    pub fn new(message: impl Into<String>) -> LoadError {
        LoadError(Box::new(Detail { message: message.into(), ..Detail::default() }))
    }

    /// What is wrong, in upstream's wording where upstream has one.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Field path, e.g. `spec.containers[0].image`; empty if it is about the document.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Where, if it is about a text.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// The line it is about, cut to a window; empty without a place.
    pub fn excerpt(&self) -> &Excerpt {
        &self.0.excerpt
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// Adds advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> LoadError {
        self.0.help = Some(help.into());
        self
    }

    /// Sets the field path.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> LoadError {
        self.0.path = path.into();
        self
    }

    /// Sets the place.
    #[must_use]
    pub fn with_place(mut self, place: Place) -> LoadError {
        self.0.place = Some(place);
        self
    }

    pub(crate) fn at(mut self, text: &Text<'_>, offset: u32) -> LoadError {
        self.0.place = Some(text.place(offset));
        self.0.excerpt = text.excerpt(offset);
        self
    }
}

/// `file:line:column: path: message`, and the help on a line of its own.
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.0.place {
            write!(f, "{place}: ")?;
        }
        if !self.0.path.is_empty() {
            write!(f, "{}: ", self.0.path)?;
        }
        f.write_str(&self.0.message)?;
        if let Some(help) = &self.0.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

/// All errors of one load, in the order of the input. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadErrors(pub Vec<LoadError>);

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadErrors {}

impl From<LoadError> for LoadErrors {
    fn from(error: LoadError) -> LoadErrors {
        LoadErrors(vec![error])
    }
}

/// Something that was read differently from how it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Where.
    pub place: Option<Place>,
    /// Field path; empty if it is about the document.
    pub path: String,
    /// What, e.g. `unknown field "spec.foo"`.
    pub message: String,
    /// How many times more it was found after this: of equal messages only the first few are kept.
    pub more: usize,
}

/// `file:line:column: message`, and ` (and N more)` if there are.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        if self.more > 0 { write!(f, " (and {} more)", self.more) } else { Ok(()) }
    }
}
