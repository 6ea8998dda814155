//! From bytes to objects: one tree with places, one deserializer, clear errors.
//!
//! YAML and JSON become a [`tree::Node`]; [`from_tree`] reads any type from it (Kubernetes' own and our
//! configuration files alike) and says which fields the type does not have; [`objects`] reads manifests and dumps as
//! `kubectl apply` does. Nothing here does I/O, and no input makes it panic: size, nesting and alias expansion are
//! bounded.
//!
//! Upstream: `sigs.k8s.io/yaml`, `k8s.io/apimachinery/pkg/runtime/serializer/json` (strict decoding).

pub(crate) mod de;
mod disabled;
mod documents;
mod error;
mod json;
mod objects;
mod scalar;
pub(crate) mod served;
mod share;
mod source;
pub mod tree;
mod yaml;

use serde::de::DeserializeOwned;

pub use de::{IgnoredField, nearest};
pub use documents::{Document, documents, single};
pub use error::{LoadError, LoadErrors, Notice};
pub use objects::{Loaded, LoadedObject, embedded, objects};
pub(crate) use scalar::resolve as resolve_scalar_cow;
pub use source::{Excerpt, Place, Source};

use crate::time::Epoch;

/// What becomes of fields that are unknown or given twice (`kubectl --validate`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// They are errors.
    #[default]
    Strict,
    /// They are dropped with a notice.
    Warn,
    /// They are dropped.
    Ignore,
}

/// How to load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Unknown and duplicate fields of single objects.
    pub strictness: Strictness,
    /// The same for items of lists: dumps of other versions should load. `None` = as `strictness`.
    pub list_strictness: Option<Strictness>,
    /// Longest input in bytes; never more than 4 GiB.
    pub max_input: usize,
    /// Which date instant zero is: dumps have dates.
    pub epoch: Epoch,
    /// Namespace of namespaced objects that name none.
    pub namespace: smol_str::SmolStr,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            strictness: Strictness::Strict,
            list_strictness: Some(Strictness::Warn),
            max_input: 1 << 30,
            epoch: Epoch::default(),
            namespace: smol_str::SmolStr::new_static("default"),
        }
    }
}

/// What an unquoted YAML scalar means.
pub(crate) fn resolve_scalar(text: &str) -> tree::Data<'_> {
    resolve_scalar_cow(std::borrow::Cow::Borrowed(text))
}

/// Reads a typed value from a document, with the fields that the type does not have.
///
/// # Errors
/// A value has the wrong type, or a required field is missing; with place and field path.
pub fn from_tree<T: DeserializeOwned>(document: &Document<'_>) -> Result<(T, Vec<IgnoredField>), LoadError> {
    let ignored = de::Ignored::default();
    let read = de::De::new(&document.root, &tree::Path::Root, &ignored).read(std::marker::PhantomData::<T>);
    match read {
        Ok(value) => Ok((value, ignored.into_inner())),
        Err(error) => Err(document.error_of(error)),
    }
}

/// Reads a configuration file: exactly one document of a known type.
///
/// ```
/// use sim_core::load::{LoadOptions, Source, read};
/// #[derive(serde::Deserialize)]
/// #[serde(rename_all = "camelCase")]
/// struct Config { seed: u64, stop_after: Option<String> }
///
/// let source = Source::new("s.yaml", "seed: 7\nstopAfter: 5m\n");
/// let (config, _) = read::<Config>(&source, &LoadOptions::default()).unwrap();
/// assert_eq!((config.seed, config.stop_after.as_deref()), (7, Some("5m")));
///
/// let source = Source::new("s.yaml", "seed: many\n");
/// let error = read::<Config>(&source, &LoadOptions::default()).err().unwrap();
/// assert_eq!(error.to_string(), "s.yaml:1:7: seed: expected a whole number from 0, found the text \"many\"");
/// ```
///
/// # Errors
/// As [`from_tree`], and what the strictness makes of unknown and duplicate fields; no document, or several.
pub fn read<T: DeserializeOwned>(
    source: &Source,
    options: &LoadOptions,
) -> Result<(T, Vec<Notice>), LoadErrors> {
    let mut all = documents(source, options)?;
    if all.len() > 1 {
        let second = &all[1];
        return Err(second.error(second.root.at, "", "expected one document, found several").into());
    }
    let Some(document) = all.pop() else {
        return Err(LoadError::new(format!("{}: the file is empty", source.name())).into());
    };
    let (value, ignored) = from_tree(&document)?;
    let mut report = documents::Report::default();
    report.slips(&document, ignored, options.strictness, |_| None);
    if report.errors.is_empty() { Ok((value, report.notices)) } else { Err(LoadErrors(report.errors)) }
}

#[cfg(test)]
mod tests;
