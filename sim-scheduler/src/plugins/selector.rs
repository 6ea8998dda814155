//! Node selectors, compiled (`component-helpers/scheduling/corev1/nodeaffinity`): parse errors are kept with the term,
//! which then matches nothing.

use k8s_openapi::api::core::v1::{
    NodeSelector as WireSelector, NodeSelectorRequirement, NodeSelectorTerm, PreferredSchedulingTerm,
};
use smol_str::SmolStr;

use crate::node::NodeInfo;

#[derive(Clone, Debug)]
enum Test {
    In(Vec<SmolStr>),
    NotIn(Vec<SmolStr>),
    Exists,
    DoesNotExist,
    Gt(i64),
    Lt(i64),
}

#[derive(Clone, Debug)]
struct Requirement {
    key: SmolStr,
    test: Test,
}

impl Requirement {
    fn matches(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|v| v.parse::<i64>().ok());
        match &self.test {
            Test::In(values) => value.is_some_and(|v| values.iter().any(|w| w == v)),
            Test::NotIn(values) => value.is_none_or(|v| values.iter().all(|w| w != v)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
            Test::Gt(bound) => number().is_some_and(|n| n > *bound),
            Test::Lt(bound) => number().is_some_and(|n| n < *bound),
        }
    }
}

/// A field requirement: `metadata.name` is the only field there is; any other is the empty text.
#[derive(Clone, Debug)]
struct FieldRequirement {
    is_name: bool,
    value: SmolStr,
    equal: bool,
}

#[derive(Clone, Debug, Default)]
struct Term {
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
    errors: Vec<String>,
}

impl Term {
    fn parse(term: &NodeSelectorTerm, path: &str) -> Term {
        let mut parsed = Term::default();
        for (i, expression) in term.match_expressions.iter().flatten().enumerate() {
            let path = format!("{path}.matchExpressions[{i}]");
            match requirement(expression, &path) {
                Ok(requirement) => parsed.labels.push(requirement),
                Err(error) => parsed.errors.push(error),
            }
        }
        for (i, expression) in term.match_fields.iter().flatten().enumerate() {
            let path = format!("{path}.matchFields[{i}]");
            match field_requirement(expression, &path) {
                Ok(requirement) => parsed.fields.push(requirement),
                Err(error) => parsed.errors.push(error),
            }
        }
        parsed
    }

    fn matches(&self, node: &NodeInfo) -> bool {
        let field = |f: &FieldRequirement| {
            let value = if f.is_name { node.name.as_str() } else { "" };
            (value == f.value) == f.equal
        };
        self.errors.is_empty()
            && self.labels.iter().all(|r| r.matches(node.label(&r.key)))
            && (node.name.is_empty() || self.fields.iter().all(field))
    }
}

fn is_empty(term: &NodeSelectorTerm) -> bool {
    term.match_expressions.as_ref().is_none_or(Vec::is_empty)
        && term.match_fields.as_ref().is_none_or(Vec::is_empty)
}

/// `nodeSelectorTerms`, ORed.
#[derive(Clone, Debug)]
pub(super) struct NodeSelector(Vec<Term>);

impl NodeSelector {
    pub(super) fn parse(selector: &WireSelector) -> NodeSelector {
        let terms = selector.node_selector_terms.iter().enumerate().filter(|(_, term)| !is_empty(term));
        NodeSelector(terms.map(|(i, term)| Term::parse(term, &format!("nodeSelectorTerms[{i}]"))).collect())
    }

    /// All parse errors in one text, if there are any.
    pub(super) fn error(&self) -> Option<String> {
        aggregate(self.0.iter().flat_map(|t| &t.errors))
    }

    pub(super) fn matches(&self, node: &NodeInfo) -> bool {
        self.0.iter().any(|term| term.matches(node))
    }
}

/// Terms with weights.
#[derive(Clone, Debug, Default)]
pub(super) struct Preferred(Vec<(Term, i64)>);

impl Preferred {
    /// Terms without weight or requirements do not count.
    pub(super) fn parse(terms: &[PreferredSchedulingTerm]) -> Result<Preferred, String> {
        let terms: Vec<(Term, i64)> = terms
            .iter()
            .enumerate()
            .filter(|(_, term)| term.weight != 0 && !is_empty(&term.preference))
            .map(|(i, term)| (Term::parse(&term.preference, &format!("[{i}]")), i64::from(term.weight)))
            .collect();
        match aggregate(terms.iter().flat_map(|(t, _)| &t.errors)) {
            Some(error) => Err(error),
            None => Ok(Preferred(terms)),
        }
    }

    pub(super) fn score(&self, node: &NodeInfo) -> i64 {
        self.0.iter().filter(|(term, _)| term.matches(node)).map(|(_, weight)| weight).sum()
    }
}

/// `errors.Aggregate`: one error is itself, several are listed once each.
fn aggregate<'a>(errors: impl Iterator<Item = &'a String>) -> Option<String> {
    let mut unique: Vec<&str> = Vec::new();
    for error in errors {
        if !unique.contains(&error.as_str()) {
            unique.push(error);
        }
    }
    match unique.as_slice() {
        [] => None,
        [one] => Some((*one).to_owned()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

const NAME_RULE: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
    with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const PREFIX_RULE: &str = "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
    validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const KEY_RULE: &str = "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and \
    end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. \
    'example.com/MyName')";
const VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
    '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
    used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// `labels.NewRequirement`: all errors of one requirement, joined as an aggregate.
fn requirement(wire: &NodeSelectorRequirement, path: &str) -> Result<Requirement, String> {
    let values: Vec<SmolStr> = wire.values.iter().flatten().map(SmolStr::new).collect();
    let mut errors = Vec::new();
    let key_errors = key_errors(&wire.key);
    if !key_errors.is_empty() {
        errors.push(format!("{path}.key: Invalid value: {:?}: {}", wire.key, key_errors.join("; ")));
    }
    let quoted = || format!("[{}]", values.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>().join(","));
    let mut bound = 0;
    match wire.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => errors.push(format!(
            "{path}.values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
        )),
        "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(format!(
            "{path}.values: Invalid value: {}: values set must be empty for exists and does not exist",
            quoted()
        )),
        "Gt" | "Lt" if values.len() != 1 => errors.push(format!(
            "{path}.values: Invalid value: {}: for 'Gt', 'Lt' operators, exactly one value is required",
            quoted()
        )),
        "Gt" | "Lt" => match values[0].parse() {
            Ok(number) => bound = number,
            Err(_) => errors.push(format!(
                "{path}.values[0]: Invalid value: {:?}: for 'Gt', 'Lt' operators, the value must be an integer",
                values[0]
            )),
        },
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => {
            return Err(format!(
                "{path}.operator: Unsupported value: {other:?}: supported values: \"DoesNotExist\", \"Exists\", \
                 \"Gt\", \"In\", \"Lt\", \"NotIn\""
            ));
        }
    }
    for (i, value) in values.iter().enumerate() {
        let mut wrong = Vec::new();
        if value.len() > 63 {
            wrong.push("must be no more than 63 characters".to_owned());
        }
        if !value.is_empty() && !is_name(value) {
            wrong.push(VALUE_RULE.to_owned());
        }
        if !wrong.is_empty() {
            let at = format!("{path}.values[{i}][{}]", wire.key);
            errors.push(format!("{at}: Invalid value: {value:?}: {}", wrong.join("; ")));
        }
    }
    if let Some(error) = aggregate(errors.iter()) {
        return Err(error);
    }
    let test = match wire.operator.as_str() {
        "In" => Test::In(values),
        "NotIn" => Test::NotIn(values),
        "Exists" => Test::Exists,
        "DoesNotExist" => Test::DoesNotExist,
        "Gt" => Test::Gt(bound),
        _ => Test::Lt(bound),
    };
    Ok(Requirement { key: SmolStr::new(&wire.key), test })
}

fn field_requirement(wire: &NodeSelectorRequirement, path: &str) -> Result<FieldRequirement, String> {
    let equal = match wire.operator.as_str() {
        "In" => true,
        "NotIn" => false,
        other => {
            return Err(format!(
                "{path}.operator: Unsupported value: {other:?}: supported values: \"In\", \"NotIn\""
            ));
        }
    };
    match wire.values.as_deref().unwrap_or(&[]) {
        [value] => {
            Ok(FieldRequirement { is_name: wire.key == "metadata.name", value: SmolStr::new(value), equal })
        }
        values => {
            let quoted: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
            let quoted = quoted.join(",");
            Err(format!("{path}.values: Invalid value: [{quoted}]: must have one element"))
        }
    }
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// `IsQualifiedName`.
fn key_errors(key: &str) -> Vec<String> {
    let parts: Vec<&str> = key.split('/').collect();
    let (prefix, name) = match parts.as_slice() {
        [name] => (None, *name),
        [prefix, name] => (Some(*prefix), *name),
        _ => return vec![KEY_RULE.to_owned()],
    };
    let mut errors = Vec::new();
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            errors.push("prefix part must be non-empty".to_owned());
        } else {
            if !is_subdomain(prefix) {
                errors.push(PREFIX_RULE.to_owned());
            }
            if prefix.len() > 253 {
                errors.push("prefix part must be no more than 253 characters".to_owned());
            }
        }
    }
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push("name part must be no more than 63 characters".to_owned());
    }
    if !is_name(name) {
        errors.push(NAME_RULE.to_owned());
    }
    errors
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(|part| {
        let bytes = part.as_bytes();
        let alnum = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        bytes.first().is_some_and(alnum)
            && bytes.last().is_some_and(alnum)
            && bytes.iter().all(|b| alnum(b) || *b == b'-')
    })
}
