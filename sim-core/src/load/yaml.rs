//! YAML documents as trees, read as kubectl reads them.
//!
//! Beyond the scalars (see the `scalar` module): merge keys (`<<`), keys that are numbers or booleans become texts,
//! empty documents are left out. Aliases are expanded within a budget, so that a small file stays a small tree.

use std::borrow::Cow;
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use rustc_hash::{FxHashMap, FxHashSet};

use super::error::LoadError;
use super::scalar;
use super::source::Text;
use super::tree::{Data, Duplicate, Entry, MAX_DEPTH, Node, Path, unique};

/// Nodes that aliases may add to one document; upstream allows about as many.
const MAX_ALIASED: usize = 400_000;

type Result<T> = std::result::Result<T, LoadError>;

/// A stream of documents.
pub(crate) struct Documents<'s> {
    text: Text<'s>,
    parser: Parser<'s, StrInput<'s>>,
    anchors: FxHashMap<usize, Anchored<'s>>,
    aliased: usize,
    /// Fields given twice so far; the caller may take them.
    pub(crate) duplicates: Vec<Duplicate>,
}

#[derive(Clone)]
struct Anchored<'s> {
    node: Rc<Node<'s>>,
    nodes: usize,
    depth: usize,
}

type Item<'s> = (Event<'s>, u32);

/// Takes documents as they are read, and the items of lists one by one: a list is never held as a whole.
pub(crate) trait Sink<'s> {
    /// True if a document of this type is a list.
    fn is_list(&self, head: Head<'s>) -> bool;
    /// A document that is not empty.
    fn document(&mut self, root: Node<'s>, duplicates: Vec<Duplicate>);
    /// An item of a list.
    fn item(&mut self, head: Head<'s>, root: Node<'s>, duplicates: Vec<Duplicate>);
}

/// `apiVersion` and `kind` of a document, read ahead from its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head<'s> {
    pub(crate) api_version: &'s str,
    pub(crate) kind: &'s str,
}

impl<'s> Head<'s> {
    /// Looks at the lines without indentation, which a list as kubectl prints it has for its fields, up to the end of
    /// the document.
    fn ahead(text: &'s str) -> Head<'s> {
        let mut head = Head::default();
        for line in text.lines() {
            if line.starts_with("---") || line.starts_with("...") {
                break;
            }
            if let Some(kind) = line.strip_prefix("kind:") {
                head.kind = kind.trim();
            } else if let Some(api_version) = line.strip_prefix("apiVersion:") {
                head.api_version = api_version.trim();
            }
        }
        head
    }
}

impl<'s> Documents<'s> {
    pub(crate) fn new(text: Text<'s>) -> Documents<'s> {
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.flow_nesting_limit = MAX_DEPTH;
        options.block_nesting_limit = MAX_DEPTH;
        let parser = Parser::new_from_str_with_options(text.text, options);
        Documents { text, parser, anchors: FxHashMap::default(), aliased: 0, duplicates: Vec::new() }
    }

    /// The next document that is not empty.
    pub(crate) fn next_document(&mut self) -> Result<Option<Node<'s>>> {
        loop {
            match self.any_document()? {
                Some(node) if node.is_null() => {}
                other => return Ok(other),
            }
        }
    }

    /// The next document, be it empty.
    pub(crate) fn any_document(&mut self) -> Result<Option<Node<'s>>> {
        while let Some((event, at)) = self.event()? {
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {
                    self.anchors.clear();
                    self.aliased = 0;
                }
                _ => {
                    let node = self.node((event, at), &Path::Root, 0)?;
                    // Only at its end it is known to be a document.
                    self.event()?;
                    return Ok(Some(node));
                }
            }
        }
        Ok(None)
    }

    /// Gives everything to a sink.
    pub(crate) fn feed(&mut self, sink: &mut dyn Sink<'s>) -> Result<()> {
        while let Some((event, at)) = self.event()? {
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {
                    self.anchors.clear();
                    self.aliased = 0;
                }
                Event::MappingStart(_, 0, _) => {
                    let head = Head::ahead(self.text.text.get(at as usize..).unwrap_or_default());
                    if head.kind.ends_with("List") && sink.is_list(head) {
                        self.list(head, sink)?;
                    } else {
                        self.whole((event, at), sink)?;
                    }
                }
                _ => self.whole((event, at), sink)?,
            }
        }
        Ok(())
    }

    fn whole(&mut self, event: Item<'s>, sink: &mut dyn Sink<'s>) -> Result<()> {
        let node = self.node(event, &Path::Root, 0)?;
        if !node.is_null() {
            sink.document(node, std::mem::take(&mut self.duplicates));
        }
        Ok(())
    }

    /// Hands out the items of a list whose start has been read. Its other fields say nothing of interest.
    fn list(&mut self, head: Head<'s>, sink: &mut dyn Sink<'s>) -> Result<()> {
        loop {
            let key = self.must()?;
            if key.0 == Event::MappingEnd {
                self.duplicates.clear();
                return Ok(());
            }
            let is_items = matches!(&key.0, Event::Scalar(text, ..) if text == "items");
            self.node(key, &Path::Root, 1)?;
            let (event, at) = self.must()?;
            match (is_items, event) {
                (true, Event::SequenceStart(_, 0, _)) => {
                    self.duplicates.clear();
                    self.items(head, sink)?;
                }
                (true, event) => {
                    let node = self.node((event, at), &Path::Key(&Path::Root, "items"), 1)?;
                    if !matches!(&node.data, Data::Null)
                        && !matches!(&node.data, Data::Seq(i) if i.is_empty())
                    {
                        return Err(self.error(at, &Path::Key(&Path::Root, "items"), "expected a list"));
                    }
                }
                (false, event) => drop(self.node((event, at), &Path::Root, 1)?),
            }
        }
    }

    fn items(&mut self, head: Head<'s>, sink: &mut dyn Sink<'s>) -> Result<()> {
        loop {
            let item = self.must()?;
            if item.0 == Event::SequenceEnd {
                return Ok(());
            }
            let node = self.node(item, &Path::Root, 0)?;
            sink.item(head, node, std::mem::take(&mut self.duplicates));
        }
    }

    fn event(&mut self) -> Result<Option<Item<'s>>> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, start(&span)))),
            Some(Err(error)) => Err(self.syntax(&error)),
        }
    }

    fn syntax(&self, error: &ScanError) -> LoadError {
        let at = error.marker().byte_offset().unwrap_or(0) as u32;
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            return LoadError::new(format!("nested deeper than {MAX_DEPTH} levels")).at(&self.text, at);
        }
        let made = LoadError::new(format!("invalid YAML: {}", error.info())).at(&self.text, at);
        let line = &made.excerpt().text;
        let help = if self.text.text.contains("{{") && (line.contains("{{") || line.contains("}}")) {
            "this looks like a template: render it first, e.g. with `helm template`"
        } else if line.trim_start_matches(' ').starts_with('\t') {
            "YAML does not allow tabs for indentation: use spaces"
        } else {
            return made;
        };
        made.with_help(help)
    }

    fn error(&self, at: u32, path: &Path<'_>, message: impl Into<String>) -> LoadError {
        LoadError::new(message).at(&self.text, at).with_path(path.to_string())
    }

    fn must(&mut self) -> Result<Item<'s>> {
        self.event()?.ok_or_else(|| LoadError::new("unexpected end of the YAML text"))
    }

    fn node(&mut self, (event, at): Item<'s>, path: &Path<'_>, depth: usize) -> Result<Node<'s>> {
        if depth > MAX_DEPTH {
            return Err(self.error(at, path, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let (data, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (self.scalar(text, style, tag, at, path)?, anchor),
            Event::SequenceStart(_, anchor, _) => (self.sequence(path, depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.mapping(at, path, depth)?, anchor),
            Event::Alias(id) => return self.alias(id, at, path, depth),
            other => return Err(self.error(at, path, format!("unexpected YAML event {other:?}"))),
        };
        let node = Node::new(at, data);
        if anchor != 0 {
            let (nodes, depth) = measure(&node);
            self.anchors.insert(anchor, Anchored { node: Rc::new(node.clone()), nodes, depth });
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, at: u32, path: &Path<'_>, depth: usize) -> Result<Node<'s>> {
        let Some(anchored) = self.anchors.get(&id).cloned() else {
            return Err(self.error(at, path, "the anchor contains a reference to itself"));
        };
        self.aliased = self.aliased.saturating_add(anchored.nodes);
        if self.aliased > MAX_ALIASED {
            return Err(self.error(at, path, "document contains excessive aliasing"));
        }
        if depth + anchored.depth > MAX_DEPTH {
            return Err(self.error(at, path, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Node::clone(&anchored.node))
    }

    fn scalar(
        &self,
        text: Cow<'s, str>,
        style: ScalarStyle,
        tag: Option<Cow<'s, Tag>>,
        at: u32,
        path: &Path<'_>,
    ) -> Result<Data<'s>> {
        let plain = style == ScalarStyle::Plain;
        let Some(tag) = tag.as_ref().and_then(|t| t.core_suffix()) else {
            return Ok(if plain && tag.is_none() { scalar::resolve(text) } else { Data::Str(text) });
        };
        let wrong =
            |text: &str| Err(self.error(at, path, format!("cannot decode {text:?} as the tag !!{tag} asks")));
        let data = scalar::resolve(text.clone());
        match (tag, data) {
            ("str", _) => Ok(Data::Str(text)),
            ("null", data @ Data::Null) | ("bool", data @ Data::Bool(_)) => Ok(data),
            ("int", data @ (Data::Int(_) | Data::UInt(_))) => Ok(data),
            ("float", data @ (Data::Int(_) | Data::UInt(_) | Data::Float { .. })) => Ok(data),
            ("timestamp", _) => Ok(Data::Str(text)),
            ("null" | "bool" | "int" | "float" | "binary", _) => wrong(&text),
            _ => Ok(Data::Str(text)),
        }
    }

    fn sequence(&mut self, path: &Path<'_>, depth: usize) -> Result<Data<'s>> {
        let mut items = Vec::new();
        loop {
            let item = self.must()?;
            if item.0 == Event::SequenceEnd {
                return Ok(Data::Seq(items));
            }
            let node = self.node(item, &Path::Index(path, items.len()), depth + 1)?;
            items.push(node);
        }
    }

    fn mapping(&mut self, at: u32, path: &Path<'_>, depth: usize) -> Result<Data<'s>> {
        let mut entries = Vec::new();
        let mut merges = Vec::new();
        loop {
            let (event, key_at) = self.must()?;
            if event == Event::MappingEnd {
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node((event, key_at), path, depth + 1)?;
            let key = self.key(key, path)?;
            let value_event = self.must()?;
            let value = self.node(value_event, &Path::Key(path, &key), depth + 1)?;
            if merge {
                merges.push((value, key_at));
            } else {
                entries.push(Entry { key, key_at, value });
            }
        }
        let mut entries = unique(entries, path, &mut self.duplicates);
        for (value, merge_at) in merges {
            self.merge(&mut entries, value, merge_at.max(at), path)?;
        }
        Ok(Data::Map(entries))
    }

    /// Adds the fields of a merged mapping that are not there yet.
    fn merge(&self, into: &mut Vec<Entry<'s>>, value: Node<'s>, at: u32, path: &Path<'_>) -> Result<()> {
        let sources = match value.data {
            Data::Map(entries) => vec![entries],
            Data::Seq(items) => items
                .into_iter()
                .map(|item| match item.data {
                    Data::Map(entries) => Ok(entries),
                    _ => Err(()),
                })
                .collect::<std::result::Result<_, _>>()
                .map_err(|()| self.not_mergeable(at, path))?,
            _ => return Err(self.not_mergeable(at, path)),
        };
        let mut known: FxHashSet<Cow<'s, str>> = into.iter().map(|e| e.key.clone()).collect();
        into.extend(sources.into_iter().flatten().filter(|e| known.insert(e.key.clone())));
        Ok(())
    }

    fn not_mergeable(&self, at: u32, path: &Path<'_>) -> LoadError {
        self.error(at, path, "map merge requires map or sequence of maps as the value")
    }

    fn key(&self, node: Node<'s>, path: &Path<'_>) -> Result<Cow<'s, str>> {
        match node.data {
            Data::Str(text) => Ok(text),
            Data::Int(n) => Ok(n.to_string().into()),
            Data::UInt(n) => Ok(n.to_string().into()),
            Data::Float { value, .. } => Ok(value.to_string().into()),
            Data::Bool(b) => Ok(b.to_string().into()),
            _ => Err(self
                .error(node.at, path, format!("a field name must be a text, not {}", node.describe()))
                .with_help(
                    "`{{ … }}` of a template must be rendered first; a text with `{` or `[` needs quotes",
                )),
        }
    }
}

fn start(span: &Span) -> u32 {
    span.byte_range().map_or(0, |r| r.start as u32)
}

/// Number of nodes and depth.
fn measure(node: &Node<'_>) -> (usize, usize) {
    let children: Box<dyn Iterator<Item = &Node<'_>>> = match &node.data {
        Data::Seq(items) => Box::new(items.iter()),
        Data::Map(entries) => Box::new(entries.iter().map(|e| &e.value)),
        _ => return (1, 0),
    };
    let (mut nodes, mut depth) = (1usize, 0);
    for child in children {
        let (n, d) = measure(child);
        nodes = nodes.saturating_add(n);
        depth = depth.max(d + 1);
    }
    (nodes, depth)
}
