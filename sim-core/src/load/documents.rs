//! Documents of a source, and what is reported about them.

use rustc_hash::FxHashMap;

use super::de::{DeError, IgnoredField};
use super::error::{LoadError, LoadErrors, Notice};
use super::source::{Lines, Place, Source, Text};
use super::tree::{Duplicate, Node};
use super::{LoadOptions, Strictness, json, yaml};

/// Above this, a JSON text with an error is not tried as YAML: it would only cost time.
const YAML_RETRY: usize = 1 << 20;

/// One document: a tree and the text it came from.
#[derive(Debug)]
pub struct Document<'s> {
    /// The tree.
    pub root: Node<'s>,
    /// Fields given twice; the last one of each name is in the tree.
    pub duplicates: Vec<Duplicate>,
    text: Text<'s>,
}

impl<'s> Document<'s> {
    /// Where a byte offset of the tree is.
    pub fn place(&self, at: u32) -> Place {
        self.text.place(at)
    }

    /// An error about a place and a field of this document.
    pub fn error(&self, at: u32, path: &str, message: impl Into<String>) -> LoadError {
        LoadError::new(message).with_path(path).at(&self.text, at)
    }

    /// True if it was read as JSON, not as YAML.
    pub fn is_json(&self) -> bool {
        is_json(self.text.text)
    }

    pub(crate) fn text(&self) -> Text<'s> {
        self.text
    }

    pub(crate) fn new(root: Node<'s>, duplicates: Vec<Duplicate>, text: Text<'s>) -> Document<'s> {
        Document { root, duplicates, text }
    }

    pub(crate) fn error_of(&self, error: DeError) -> LoadError {
        let inner = error.into_inner();
        let made = self.error(inner.at, &inner.path, inner.message);
        match inner.help {
            Some(help) => made.with_help(help),
            None => made,
        }
    }
}

/// All documents of a source. Empty ones are left out.
///
/// # Errors
/// The source is too long, is not UTF-8, or has a syntax error.
pub fn documents<'s>(source: &'s Source, options: &LoadOptions) -> Result<Vec<Document<'s>>, LoadErrors> {
    let text = source.open(options.max_input)?;
    let mut all = Vec::new();
    if is_json(text.text) {
        match json_documents(text, &mut all) {
            Ok(()) => return Ok(all),
            Err(error) if text.text.len() > YAML_RETRY => return Err(error.into()),
            Err(error) => {
                // A flow mapping of YAML starts with a brace too.
                all.clear();
                return yaml_documents(text, &mut all).map(|()| all).map_err(|_| error.into());
            }
        }
    }
    yaml_documents(text, &mut all)?;
    Ok(all)
}

/// The only document of a source, as a decoder of one object reads it: JSON if it starts with a brace, else YAML, of which
/// the first document counts and the rest is not looked at. `None` if that is empty.
///
/// # Errors
/// The source is too long, is not UTF-8, or has a syntax error.
pub fn single<'s>(source: &'s Source, options: &LoadOptions) -> Result<Option<Document<'s>>, LoadError> {
    let text = source.open(options.max_input)?;
    if is_json(text.text) {
        let mut reader = json::Reader::new(text);
        let root = reader.value()?;
        reader.end()?;
        return Ok(Some(Document::new(root, std::mem::take(&mut reader.duplicates), text)));
    }
    let mut reader = yaml::Documents::new(text);
    let root = reader.any_document()?.filter(|root| !root.is_null());
    Ok(root.map(|root| Document::new(root, std::mem::take(&mut reader.duplicates), text)))
}

/// True if the text starts as a JSON object does.
pub(crate) fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn json_documents<'s>(text: Text<'s>, all: &mut Vec<Document<'s>>) -> Result<(), LoadError> {
    let mut reader = json::Reader::new(text);
    while !reader.at_end() {
        let root = reader.value()?;
        all.push(Document::new(root, std::mem::take(&mut reader.duplicates), text));
    }
    Ok(())
}

fn yaml_documents<'s>(text: Text<'s>, all: &mut Vec<Document<'s>>) -> Result<(), LoadError> {
    let mut reader = yaml::Documents::new(text);
    while let Some(root) = reader.next_document()? {
        all.push(Document::new(root, std::mem::take(&mut reader.duplicates), text));
    }
    Ok(())
}

/// Errors and notices so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) errors: Vec<LoadError>,
    pub(crate) notices: Vec<Notice>,
    lines: Option<Lines>,
    /// How often a message was noticed, and where the last kept one is.
    said: FxHashMap<String, (usize, usize)>,
}

/// Errors after which a load gives up: in a dump of 100,000 objects they are all the same.
const MAX_ERRORS: usize = 100;
/// Notices of one message that are kept with their places.
const MAX_EQUAL_NOTICES: usize = 8;

impl Report {
    /// Forgets the line index of the source before.
    pub(crate) fn next_source(&mut self) {
        self.lines = None;
    }

    pub(crate) fn place(&mut self, document: &Document<'_>, at: u32) -> Place {
        let lines = self.lines.get_or_insert_with(|| document.text.lines());
        document.text.place_by(lines, at)
    }

    pub(crate) fn notice(&mut self, document: &Document<'_>, at: u32, path: String, message: String) {
        let (times, last) = self.said.entry(message.clone()).or_default();
        *times += 1;
        if *times > MAX_EQUAL_NOTICES {
            let last = *last;
            self.notices.get_mut(last).into_iter().for_each(|n| n.more += 1);
            return;
        }
        *last = self.notices.len();
        let place = Some(self.place(document, at));
        self.notices.push(Notice { place, path, message, more: 0 });
    }

    /// True if there are so many errors that reading on helps nobody.
    pub(crate) fn is_full(&self) -> bool {
        self.errors.len() >= MAX_ERRORS
    }

    /// Unknown and duplicate fields, as the strictness asks. `advice` may know what to write instead of a path.
    pub(crate) fn slips(
        &mut self,
        document: &Document<'_>,
        ignored: Vec<IgnoredField>,
        strictness: Strictness,
        advice: impl Fn(&str) -> Option<String>,
    ) {
        let unknown = ignored.into_iter().map(|f| ("unknown", f.path, f.at));
        let twice = document.duplicates.iter().map(|d| ("duplicate", d.path.clone(), d.at));
        for (what, path, at) in unknown.chain(twice) {
            let message = format!("{what} field {path:?}");
            match strictness {
                Strictness::Strict => {
                    // The message has the path already, in upstream's wording.
                    let error = document.error(at, "", format!("strict decoding error: {message}"));
                    self.errors.push(match advice(&path) {
                        Some(help) => error.with_help(help),
                        None => error,
                    });
                }
                Strictness::Warn => self.notice(document, at, path, message),
                Strictness::Ignore => {}
            }
        }
    }
}
