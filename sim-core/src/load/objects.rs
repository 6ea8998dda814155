//! Manifests and dumps as objects.

use std::borrow::Cow;

use smol_str::SmolStr;

use super::de::Ignored;
use super::documents::{Document, Report, is_json};
use super::error::{LoadError, LoadErrors, Notice};
use super::source::{Place, Source, Text};
use super::tree::{Data, Duplicate, Node};
use super::{LoadOptions, Strictness, disabled, json, served, share, yaml};
use crate::api::kind::{Kind, KindInfo, Kinds};
use crate::api::object::Object;
use crate::api::wire;

/// What was loaded.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The objects, in the order of the input.
    pub objects: Vec<LoadedObject>,
    /// What was read differently from how it was written, in the order of the input.
    pub notices: Vec<Notice>,
}

/// An object and where it starts.
#[derive(Clone, Debug)]
pub struct LoadedObject {
    /// The object, neither defaulted nor validated.
    pub object: Object,
    /// Where it starts.
    pub place: Place,
}

/// Reads objects from manifests and dumps, as `kubectl apply -f` does: YAML with several documents, JSON documents one
/// after another, and lists (`kind: List`, `PodList`, …) as `kubectl get -o json|yaml` prints them.
///
/// A CustomResourceDefinition registers its kind for the objects after it. Errors of one object do not hide those of
/// the next; a syntax error ends its source.
///
/// ```
/// use sim_core::{api::kind::Kinds, load::{objects, LoadOptions, Source}};
/// let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {contaners: []}\n";
/// let errors = objects(&mut Kinds::default(), &[Source::new("a.yaml", text)], &LoadOptions::default()).unwrap_err();
/// assert!(errors.to_string().starts_with(
///     "a.yaml:4:8: strict decoding error: unknown field \"spec.contaners\""));
/// ```
///
/// # Errors
/// All that is wrong, in the order of the input; then nothing is loaded.
pub fn objects(kinds: &mut Kinds, sources: &[Source], options: &LoadOptions) -> Result<Loaded, LoadErrors> {
    let mut loader = Loader::new(kinds, options);
    for source in sources {
        loader.report.next_source();
        if let Err(error) = loader.source(source) {
            loader.report.errors.push(error);
        }
    }
    loader.finish()
}

/// Reads one object that stands inside another document, e.g. in place in a scenario. Places are those of the document,
/// field paths start at the object.
///
/// # Errors
/// As [`objects`].
pub fn embedded(
    kinds: &mut Kinds,
    document: &Document<'_>,
    node: &Node<'_>,
    options: &LoadOptions,
) -> Result<Loaded, LoadErrors> {
    let mut loader = Loader::new(kinds, options);
    loader.document(Document::new(node.clone(), Vec::new(), document.text()));
    loader.finish()
}

struct Loader<'o> {
    kinds: &'o mut Kinds,
    options: &'o LoadOptions,
    report: Report,
    shared: share::Shared,
    objects: Vec<LoadedObject>,
    /// Objects after too many errors.
    skipped: usize,
}

/// `apiVersion` and `kind` that the items of a typed list leave out.
type Inherited<'a> = Option<(&'a str, &'a str)>;

/// A source's documents on their way to the loader.
struct Feed<'l, 'o, 's> {
    loader: &'l mut Loader<'o>,
    text: Text<'s>,
}

impl<'s> yaml::Sink<'s> for Feed<'_, '_, 's> {
    fn is_list(&self, head: yaml::Head<'s>) -> bool {
        self.loader.is_list(Some(head.api_version), Some(head.kind))
    }

    fn document(&mut self, root: Node<'s>, duplicates: Vec<Duplicate>) {
        self.loader.document(Document::new(root, duplicates, self.text));
    }

    fn item(&mut self, head: yaml::Head<'s>, root: Node<'s>, duplicates: Vec<Duplicate>) {
        let inherited = item_kind(head.kind).map(|kind| (head.api_version, kind));
        let strictness = self.loader.list_strictness();
        self.loader.object(Document::new(root, duplicates, self.text), inherited, strictness);
    }
}

impl<'o> Loader<'o> {
    fn new(kinds: &'o mut Kinds, options: &'o LoadOptions) -> Loader<'o> {
        let (report, shared) = (Report::default(), share::Shared::default());
        Loader { kinds, options, report, shared, objects: Vec::new(), skipped: 0 }
    }

    fn finish(mut self) -> Result<Loaded, LoadErrors> {
        if self.skipped > 0 {
            let message = format!("too many errors: {} more objects were not looked at", self.skipped);
            self.report.errors.push(LoadError::new(message));
        }
        if !self.report.errors.is_empty() {
            return Err(LoadErrors(self.report.errors));
        }
        Ok(Loaded { objects: self.objects, notices: self.report.notices })
    }

    fn source(&mut self, source: &Source) -> Result<(), LoadError> {
        let text = source.open(self.options.max_input)?;
        let before = (self.objects.len(), self.report.errors.len());
        if is_json(text.text) {
            if let Err(error) = self.json(text) {
                let untouched = before == (self.objects.len(), self.report.errors.len());
                // A flow mapping of YAML starts with a brace too.
                return if untouched && is_yaml(text) { self.yaml(text) } else { Err(error) };
            }
            return Ok(());
        }
        self.yaml(text)?;
        if text.text.trim().is_empty() {
            return Err(LoadError::new(format!("{}: no objects: the file is empty", source.name())));
        }
        Ok(())
    }

    fn yaml(&mut self, text: Text<'_>) -> Result<(), LoadError> {
        yaml::Documents::new(text).feed(&mut Feed { loader: self, text })
    }

    fn json(&mut self, text: Text<'_>) -> Result<(), LoadError> {
        let mut reader = json::Reader::new(text);
        while !reader.at_end() {
            let head = reader.head()?;
            let (api_version, kind) = (head.api_version.as_deref(), head.kind.as_deref());
            let (Some(items), true) = (head.items, self.is_list(api_version, kind)) else {
                let root = reader.value()?;
                self.document(Document::new(root, std::mem::take(&mut reader.duplicates), text));
                continue;
            };
            let item_kind = item_kind(kind.unwrap_or_default());
            let inherited = item_kind.map(|k| (api_version.unwrap_or_default(), k));
            reader.seek(items);
            reader.enter_array();
            let mut first = true;
            while let Some(root) = reader.next_item(first)? {
                first = false;
                let document = Document::new(root, std::mem::take(&mut reader.duplicates), text);
                self.object(document, inherited, self.list_strictness());
            }
            reader.seek(head.end);
        }
        Ok(())
    }

    fn list_strictness(&self) -> Strictness {
        self.options.list_strictness.unwrap_or(self.options.strictness)
    }

    fn is_list(&self, api_version: Option<&str>, kind: Option<&str>) -> bool {
        let Some(kind) = kind else { return false };
        kind.ends_with("List") && self.kinds.resolve(api_version.unwrap_or_default(), kind).is_none()
    }

    fn document(&mut self, mut document: Document<'_>) {
        let api_version = document.root.get("apiVersion").and_then(Node::as_str).map(str::to_string);
        let kind = document.root.get("kind").and_then(Node::as_str).map(str::to_string);
        if !self.is_list(api_version.as_deref(), kind.as_deref()) || document.root.get("items").is_none() {
            return self.object(document, None, self.options.strictness);
        }
        let (api_version, kind) = (api_version.unwrap_or_default(), kind.unwrap_or_default());
        let inherited = item_kind(&kind).map(|k| (api_version.as_str(), k));
        let text = document.text();
        let Some(items) = document.root.take("items") else { return };
        let mut duplicates = std::mem::take(&mut document.duplicates);
        match items.value.data {
            Data::Seq(items) => {
                for item in items {
                    let document = Document::new(item, std::mem::take(&mut duplicates), text);
                    self.object(document, inherited, self.list_strictness());
                }
            }
            Data::Null => {}
            _ => self.report.errors.push(document.error(items.value.at, "items", "expected a list")),
        }
    }

    fn object(&mut self, mut document: Document<'_>, inherited: Inherited<'_>, strictness: Strictness) {
        if self.report.is_full() {
            self.skipped += 1;
            return;
        }
        let ignored = Ignored::default();
        let kind = match self.kind_of(&mut document, inherited, &ignored) {
            Ok(kind) => kind,
            Err(error) => return self.report.errors.push(error),
        };
        for dropped in disabled::drop_disabled(kind, &mut document.root) {
            let message = format!("{} is dropped: {}", dropped.path, dropped.why);
            self.report.notice(&document, dropped.at, dropped.path, message);
        }
        let root = &document.root;
        let decoded = wire::decode(kind, root, self.options.epoch, &ignored);
        let mut object = match decoded {
            Ok(object) => object,
            Err(error) => return self.report.errors.push(document.error_of(error)),
        };
        self.report.slips(&document, ignored.into_inner(), strictness, |path| advice(kind, path));
        if kind == Kind::CUSTOM_RESOURCE_DEFINITION {
            self.register(root);
        }
        self.scope(&mut object);
        self.shared.share(&mut object, root);
        let place = self.report.place(&document, root.at);
        self.objects.push(LoadedObject { object, place });
    }

    fn kind_of(
        &self,
        document: &mut Document<'_>,
        inherited: Inherited<'_>,
        ignored: &Ignored,
    ) -> Result<Kind, LoadError> {
        let (api_version, kind) = type_of(document, inherited)?;
        if let Some(kind) = self.kinds.resolve(&api_version, &kind) {
            return Ok(kind);
        }
        if let Some(kind) = served::convert(&api_version, &kind, &mut document.root, ignored) {
            return Ok(kind);
        }
        let error = wire::no_match(self.kinds, &api_version, &kind);
        let root = &document.root;
        let made = document.error(root.get("kind").map_or(root.at, |n| n.at), "", error.message());
        Err(match error.help() {
            Some(help) => made.with_help(help),
            None => made,
        })
    }

    /// Namespaced objects get a namespace, others lose theirs (as in `rest.BeforeCreate`).
    fn scope(&self, object: &mut Object) {
        let namespace = &mut object.meta.key.namespace;
        if !self.kinds.info(object.kind).namespaced {
            *namespace = SmolStr::default();
        } else if namespace.is_empty() {
            *namespace = self.options.namespace.clone();
        }
    }

    /// Registers the kinds of a CustomResourceDefinition: one per version.
    fn register(&mut self, root: &Node<'_>) {
        let Some(spec) = root.get("spec") else { return };
        let text = |node: Option<&Node<'_>>, key: &str| {
            SmolStr::new(node.and_then(|n| n.get(key)).and_then(Node::as_str).unwrap_or_default())
        };
        let names = spec.get("names");
        let (group, kind, plural) = (text(Some(spec), "group"), text(names, "kind"), text(names, "plural"));
        if group.is_empty() || kind.is_empty() || plural.is_empty() {
            return;
        }
        for version in spec.get("versions").and_then(Node::items).unwrap_or_default() {
            let served = version.get("served").is_none_or(|n| n.data != Data::Bool(false));
            let version = text(Some(version), "name");
            if served && !version.is_empty() {
                let (group, kind, plural) = (group.clone(), kind.clone(), plural.clone());
                let namespaced = text(Some(spec), "scope") != "Cluster";
                self.kinds.register(KindInfo { group, version, kind, plural, namespaced });
            }
        }
    }
}

/// `apiVersion` and `kind` of an object.
fn type_of(document: &Document<'_>, inherited: Inherited<'_>) -> Result<(String, String), LoadError> {
    let root = &document.root;
    if root.entries().is_none() {
        let message = format!("expected a Kubernetes object, found {}", root.describe());
        return Err(document.error(root.at, "", message));
    }
    let field = |key: &'static str| match root.get(key) {
        Some(node) if node.is_null() => Ok(None),
        Some(Node { data: Data::Str(text), .. }) => Ok(Some(text).filter(|t| !t.is_empty())),
        Some(node) => {
            let message = format!("expected a text, found {}", node.describe());
            Err(document.error(node.at, key, message))
        }
        None => Ok(None),
    };
    let (api_version, kind) = (field("apiVersion")?, field("kind")?);
    Ok(match (api_version, kind, inherited) {
        (Some(a), Some(k), _) => (a.to_string(), k.to_string()),
        (None, None, Some((a, k))) => (a.to_string(), k.to_string()),
        (_, None, _) => return Err(missing(document, "Kind", "add `kind:`, e.g. `kind: Pod`")),
        (None, ..) => {
            return Err(missing(document, "apiVersion", "add `apiVersion:`, e.g. `apiVersion: v1`"));
        }
    })
}

fn missing(document: &Document<'_>, field: &str, help: &str) -> LoadError {
    document.error(document.root.at, "", format!("Object '{field}' is missing")).with_help(help)
}

/// The kind of a typed list's items; `None` for `List`, whose items name theirs.
fn item_kind(list: &str) -> Option<&str> {
    list.strip_suffix("List").filter(|kind| !kind.is_empty())
}

fn is_yaml(text: Text<'_>) -> bool {
    let mut reader = yaml::Documents::new(text);
    loop {
        match reader.next_document() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// How fields of older versions are written today.
fn advice(kind: Kind, path: &str) -> Option<String> {
    let last = path.rsplit('.').next().unwrap_or_default();
    let text: Cow<'static, str> = match (kind, last) {
        (Kind::POD, "source") if path.starts_with("spec.resourceClaims[") => {
            "write `resourceClaimName` or `resourceClaimTemplateName` beside `name`, without `source`".into()
        }
        (Kind::POD, "annotations") if path == "spec.annotations" => {
            "annotations belong under `metadata`".into()
        }
        (Kind::RESOURCE_CLAIM | Kind::RESOURCE_CLAIM_TEMPLATE, "resourceClassName" | "allocationMode") => {
            "write `devices: {requests: [{name: …, exactly: {deviceClassName: …}}]}`".into()
        }
        (Kind::RESOURCE_CLAIM | Kind::RESOURCE_CLAIM_TEMPLATE, "deviceClassName") => {
            "a class belongs to a request: `devices.requests[].exactly.deviceClassName`".into()
        }
        _ => return None,
    };
    Some(text.into_owned())
}
