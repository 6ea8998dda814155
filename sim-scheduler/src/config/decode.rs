//! From a text to a configuration, as `kube-scheduler --config` reads it: `LoadConfigFromFile`, and below it the universal
//! decoder of `apimachinery/pkg/runtime/serializer` in its strict form.

use std::cmp::Reverse;

use serde_json::{Value, json};
use sim_core::load::tree::{Data, Duplicate, Node};
use sim_core::load::{Document, LoadError, LoadErrors, LoadOptions, Source, single};
use sim_core::syntax::go_quote;
use sim_core::yaml_scalar::Scalar;

use super::go_types::{self, Go, Struct};
use super::strict::{self, Decoded, Fault, kind_of};
use super::{ConfigError, GROUP, SchedulerConfig, syntax};

/// The name of upstream's scheme: where it is made.
const SCHEME: &str = "k8s.io/kubernetes/pkg/scheduler/apis/config/scheme/scheme.go:30";
const KIND: &str = "KubeSchedulerConfiguration";
const INTERNAL: &str = "__internal";
/// What kind and version are looked for in first.
const META: &str = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
    \"json:\\\"kind,omitempty\\\"\" }";

// DIFFERS: further fields of the internal version, which have Go's names, are refused. No file has them.
static INTERNAL_CONFIGURATION: Struct = Struct {
    name: "config.KubeSchedulerConfiguration",
    fields: &[("kind", Go::Str("string")), ("apiVersion", Go::Str("string"))],
};

/// A configuration and the document it came from.
pub(super) fn decode(source: &Source) -> Result<(SchedulerConfig, Document<'_>), ConfigError> {
    let text = String::from_utf8_lossy(source.bytes());
    let document = match single(source, &LoadOptions::default()) {
        Ok(Some(document)) => Decoder::new(document, &text),
        Ok(None) => return Err(undecodable(missing("Kind", &text), LoadError::new("the file is empty"))),
        Err(error) => {
            let not_json = text.trim_start().starts_with('{').then(|| syntax::json_error(&text)).flatten();
            let message = match not_json {
                Some(why) => format!("couldn't get version/kind; json parse error: {why}"),
                None => syntax::yaml(&error, &text),
            };
            return Err(undecodable(message, error));
        }
    };
    let config = document.config()?;
    Ok((config, document.document))
}

fn undecodable(message: String, error: LoadError) -> ConfigError {
    ConfigError::Decode { message, places: error.into() }
}

fn missing(what: &str, text: &str) -> String {
    format!("Object '{what}' is missing in '{text}'")
}

/// `schema.GroupVersionKind`.
#[derive(Clone, Debug, Default, PartialEq)]
struct Meta {
    group: String,
    version: String,
    kind: String,
}

impl Meta {
    /// `SimpleMetaFactory.Interpret`: field names may have any case, and the last one counts.
    fn of(node: &Node<'_>) -> Result<Meta, Fault> {
        let fail = |message: String, at| {
            Err(Fault::new(format!("couldn't get version/kind; json parse error: {message}"), at))
        };
        let (mut api_version, mut kind) = (String::new(), String::new());
        let entries = match &node.data {
            Data::Null => &[][..],
            Data::Map(entries) => entries,
            other => {
                let what = kind_of(other);
                return fail(format!("json: cannot unmarshal {what} into Go value of type {META}"), node.at);
            }
        };
        for entry in entries {
            for (name, target) in [("apiVersion", &mut api_version), ("kind", &mut kind)] {
                match &entry.value.data {
                    _ if !entry.key.eq_ignore_ascii_case(name) => {}
                    Data::Null => {}
                    Data::Str(text) => *target = text.to_string(),
                    other => {
                        let what = kind_of(other);
                        let message = format!(
                            "json: cannot unmarshal {what} into Go struct field .{name} of type string"
                        );
                        return fail(message, entry.value.at);
                    }
                }
            }
        }
        let (group, version) = match api_version.split('/').collect::<Vec<_>>()[..] {
            ["" | "/"] | ["", ""] => ("", ""),
            [version] => ("", version),
            [group, version] => (group, version),
            _ => return Err(Fault::new(format!("unexpected GroupVersion string: {api_version}"), node.at)),
        };
        Ok(Meta { group: group.to_owned(), version: version.to_owned(), kind })
    }

    /// `gvkWithDefaults`.
    fn or(mut self, kind: &str) -> Meta {
        if self.kind.is_empty() {
            kind.clone_into(&mut self.kind);
        }
        if self.version.is_empty() && (self.group.is_empty() || self.group == GROUP) {
            (self.group, self.version) = (GROUP.to_owned(), "v1".to_owned());
        }
        self
    }

    /// The type, if it is registered.
    fn registered(&self, internal: bool) -> Result<&'static Struct, String> {
        let of = match self.version.as_str() {
            _ if self.group != GROUP => None,
            "v1" => go_types::kind(&self.kind),
            INTERNAL if internal => go_types::kind(&self.kind).map(|_| &INTERNAL_CONFIGURATION),
            _ => None,
        };
        let (kind, version) = (
            go_quote(&self.kind),
            match self.group.as_str() {
                "" => self.version.clone(),
                group => format!("{group}/{}", self.version),
            },
        );
        of.ok_or_else(|| match self.version.as_str() {
            INTERNAL => format!(
                "no kind {kind} is registered for the internal version of group {} in scheme {SCHEME:?}",
                go_quote(&self.group)
            ),
            _ => format!(
                "no kind {kind} is registered for version {} in scheme {SCHEME:?}",
                go_quote(&version)
            ),
        })
    }
}

/// `NewStrictDecodingError`.
fn strict_error(slips: &[String]) -> String {
    format!("strict decoding error: {}", slips.join(", "))
}

fn messages(slips: &[Fault]) -> Vec<String> {
    slips.iter().map(|slip| slip.message.clone()).collect()
}

struct Decoder<'s, 't> {
    document: Document<'s>,
    text: &'t str,
    /// Fields given twice, if it is JSON.
    duplicates: Vec<Duplicate>,
}

impl<'s, 't> Decoder<'s, 't> {
    fn new(mut document: Document<'s>, text: &'t str) -> Decoder<'s, 't> {
        let duplicates = if document.is_json() { document.duplicates.clone() } else { Vec::new() };
        if !document.is_json() {
            // YAML becomes JSON first, with its fields in order.
            sort(&mut document.root);
        }
        Decoder { document, text, duplicates }
    }

    fn fail(&self, fault: Fault) -> ConfigError {
        let place = self.place(&fault, &fault.message);
        undecodable(fault.message, place)
    }

    fn place(&self, fault: &Fault, message: &str) -> LoadError {
        let error = self.document.error(fault.at, "", message);
        match &fault.help {
            Some(help) => error.with_help(help),
            None => error,
        }
    }

    fn config(&self) -> Result<SchedulerConfig, ConfigError> {
        let root = &self.document.root;
        if let Some(fault) = not_json(root) {
            return Err(self.fail(fault));
        }
        let meta = Meta::of(root).map_err(|fault| self.fail(fault))?;
        let fail = |message| self.fail(Fault::new(message, root.at));
        if meta.kind.is_empty() {
            return Err(fail(missing("Kind", self.text)));
        }
        if meta.version.is_empty() {
            return Err(fail(missing("apiVersion", self.text)));
        }
        let of = meta.registered(true).map_err(fail)?;
        let (value, slips) = self.decode_as(root, of, "").map_err(|fault| self.fail(fault))?;
        let mut strict = self.repeated_keys();
        strict.messages.extend(messages(&slips));
        strict.faults.extend(slips);
        let mut config = match meta.version.as_str() {
            INTERNAL => SchedulerConfig::zero(),
            _ => self.typed(value, &mut strict)?,
        };
        if !strict.messages.is_empty() {
            let places = strict
                .faults
                .iter()
                .map(|f| self.place(f, &strict_error(std::slice::from_ref(&f.message))))
                .collect();
            return Err(ConfigError::Decode {
                message: strict_error(&strict.messages),
                places: LoadErrors(places),
            });
        }
        if meta.kind != KIND {
            let Meta { group, version, kind } = &meta;
            return Err(fail(format!("couldn't decode as {KIND}, got {group}/{version}, Kind={kind}: ")));
        }
        if meta.version != INTERNAL {
            config.set_defaults();
        }
        Ok(config)
    }

    fn decode_as(&self, node: &Node<'_>, of: &'static Struct, prefix: &str) -> Result<Decoded, Fault> {
        strict::decode(node, of, &self.duplicates, prefix)
    }

    /// What YAML itself says of fields given twice: one message for all.
    fn repeated_keys(&self) -> Slips {
        if self.document.is_json() || self.document.duplicates.is_empty() {
            return Slips::default();
        }
        let (mut lines, mut faults) = (Vec::new(), Vec::new());
        // A field is set when its value has been read, with all repetitions in it.
        let mut duplicates: Vec<&Duplicate> = self.document.duplicates.iter().collect();
        duplicates.sort_by_cached_key(|outer| {
            let inner = self.document.duplicates.iter().filter(|d| d.path.starts_with(&outer.path));
            (inner.map(|d| d.value_at).max(), Reverse(outer.path.len()))
        });
        for duplicate in duplicates {
            let line = self.document.place(duplicate.value_at).line;
            let key = duplicate.key.as_str();
            let shown = match Scalar::resolve(key) {
                Scalar::Int(_) | Scalar::Bool(_) => key.to_owned(),
                _ => go_quote(key),
            };
            lines.push(format!("\n  line {line}: key {shown} already set in map"));
            let message = format!("duplicate field {}", go_quote(&duplicate.path));
            faults.push(Fault::new(message, duplicate.at));
        }
        Slips { messages: vec![format!("yaml: unmarshal errors:{}", lines.concat())], faults }
    }

    /// The configuration with the arguments of in-tree plugins decoded (`DecodeNestedObjects`).
    fn typed(&self, mut value: Value, strict: &mut Slips) -> Result<SchedulerConfig, ConfigError> {
        if value["enableProfiling"] == false && value.get("enableContentionProfiling").is_none() {
            value["enableContentionProfiling"] = json!(false);
        }
        match value.get_mut("profiles").and_then(Value::as_array_mut).map(|list| &mut list[..]) {
            None | Some([]) => value["profiles"] = json!([{"schedulerName": "default-scheduler"}]),
            Some([Value::Object(only)]) => {
                only.entry("schedulerName").or_insert(json!("default-scheduler"));
            }
            Some(_) => {}
        }
        let broken = |e: serde_json::Error| undecodable(e.to_string(), LoadError::new(e.to_string()));
        let mut config: SchedulerConfig = serde_json::from_value(value).map_err(broken)?;
        for (i, profile) in config.profiles.iter_mut().enumerate() {
            for (j, plugin) in profile.plugin_config.iter_mut().enumerate() {
                let kind = format!("{}Args", plugin.name);
                if go_types::kind(&kind).is_none() {
                    continue;
                }
                let root = &self.document.root;
                let given = root
                    .get("profiles")
                    .and_then(|list| list.items()?.get(i)?.get("pluginConfig")?.items()?.get(j)?.get("args"));
                let null = Node::new(root.at, Data::Null);
                let context = format!("decoding .profiles[{i}].pluginConfig[{j}]: ");
                let prefix = format!("profiles[{i}].pluginConfig[{j}].args.");
                let (args, slips) =
                    self.args(&plugin.name, &kind, given.unwrap_or(&null), &prefix).map_err(|fault| {
                        self.fail(Fault { message: format!("{context}{}", fault.message), ..fault })
                    })?;
                plugin.args = Some(args);
                if !slips.is_empty() {
                    let inner = strict_error(&messages(&slips));
                    let inner = format!("decoding args for plugin {}: {inner}", plugin.name);
                    strict.messages.push(format!("{context}{}", strict_error(&[inner])));
                    strict.faults.extend(slips);
                }
            }
        }
        Ok(config)
    }

    /// Arguments of an in-tree plugin (`PluginConfig.decodeNestedObjects`).
    fn args(&self, plugin: &str, kind: &str, node: &Node<'_>, prefix: &str) -> Result<Decoded, Fault> {
        let in_context = |fault: Fault| Fault {
            message: format!("decoding args for plugin {plugin}: {}", fault.message),
            ..fault
        };
        let meta = Meta::of(node).map_err(in_context)?.or(kind);
        // DIFFERS: arguments of the internal version are refused. No file has them.
        let of = meta.registered(false).map_err(|why| in_context(Fault::new(why, node.at)))?;
        let (mut value, slips) = self.decode_as(node, of, prefix).map_err(in_context)?;
        if meta.kind != kind {
            let Meta { group, kind: got, .. } = meta;
            let why = format!("args for plugin {plugin} were not of type {kind}.{GROUP}, got {got}.{group}");
            return Err(Fault::new(why, node.at));
        }
        if value.is_null() {
            value = json!({});
        }
        Ok((value, slips))
    }
}

/// Strict errors: as upstream tells them, and each with its place.
#[derive(Default)]
struct Slips {
    messages: Vec<String>,
    faults: Vec<Fault>,
}

fn sort(node: &mut Node<'_>) {
    match &mut node.data {
        Data::Map(entries) => {
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            entries.iter_mut().for_each(|entry| sort(&mut entry.value));
        }
        Data::Seq(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

/// Numbers that JSON does not have.
fn not_json(node: &Node<'_>) -> Option<Fault> {
    match &node.data {
        Data::Float { value, .. } => {
            Scalar::Float(*value).to_json().err().map(|message| Fault::new(message, node.at))
        }
        Data::Map(entries) => entries.iter().find_map(|entry| not_json(&entry.value)),
        Data::Seq(items) => items.iter().find_map(not_json),
        _ => None,
    }
}

/// Where a field is, or the innermost one of those around it that was given.
pub(super) fn place_of(root: &Node<'_>, field: &str) -> u32 {
    let (mut node, mut at) = (root, root.at);
    for step in field.split(['.', '[']) {
        let index = step.strip_suffix(']').and_then(|i| i.parse::<usize>().ok());
        if let Some(item) = index.and_then(|i| node.items()?.get(i)) {
            (node, at) = (item, item.at);
        } else if let Some(entry) = node.entries().and_then(|all| all.iter().find(|e| e.key == step)) {
            (node, at) = (&entry.value, entry.key_at);
        } else {
            break;
        }
    }
    at
}
