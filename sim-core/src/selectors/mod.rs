//! Label, field and node selectors, as `k8s.io/apimachinery/pkg/labels`, `…/fields` and
//! `k8s.io/component-helpers/scheduling/corev1/nodeaffinity` (v1.34) read, print and match them.

mod fields;
mod node;
mod parse;
mod path;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use smallvec::SmallVec;

use crate::api::meta::Labels;
use crate::syntax::{go_json, go_quote, is_qualified_name, is_valid_label_value};

pub use fields::{FieldRequirement, FieldSelector};
pub use node::{NodeSelector, PreferredSchedulingTerms, RequiredNodeAffinity};
use path::Path;

/// Why a selector is refused: one or more messages, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SelectorError {
    messages: Vec<String>,
}

impl SelectorError {
    fn one(message: String) -> SelectorError {
        SelectorError { messages: vec![message] }
    }

    /// The single messages.
    pub fn messages(&self) -> &[String] {
        &self.messages
    }
}

/// As upstream's aggregates: one message as it is, more in brackets, each once.
impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut distinct: Vec<&str> = Vec::new();
        for message in &self.messages {
            if !distinct.contains(&message.as_str()) {
                distinct.push(message);
            }
        }
        match distinct.as_slice() {
            [one] => f.write_str(one),
            more => write!(f, "[{}]", more.join(", ")),
        }
    }
}

/// What a requirement asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// `k=v`.
    Equals,
    /// `k==v`.
    DoubleEquals,
    /// `k!=v`; matches absent labels too.
    NotEquals,
    /// `k in (v,w)`.
    In,
    /// `k notin (v,w)`; matches absent labels too.
    NotIn,
    /// `k`.
    Exists,
    /// `!k`.
    DoesNotExist,
    /// `k>1`.
    GreaterThan,
    /// `k<1`.
    LessThan,
}

impl Operator {
    /// Upstream's name of the operator (`selection.Operator`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Operator::Equals => "=",
            Operator::DoubleEquals => "==",
            Operator::NotEquals => "!=",
            Operator::In => "in",
            Operator::NotIn => "notin",
            Operator::Exists => "exists",
            Operator::DoesNotExist => "!",
            Operator::GreaterThan => "gt",
            Operator::LessThan => "lt",
        }
    }
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: SmallVec<[String; 1]>,
}

impl Requirement {
    /// A checked requirement.
    ///
    /// # Errors
    /// A key or value that is none, or a number of values the operator does not take.
    pub fn new(key: &str, operator: Operator, values: &[String]) -> Result<Requirement, SelectorError> {
        Requirement::at(&Path::Root(""), key, operator, Some(values))
    }

    /// The same, with the path of the field for messages, and the difference of an absent and an empty list.
    fn at(
        path: &Path<'_>,
        key: &str,
        operator: Operator,
        given: Option<&[String]>,
    ) -> Result<Requirement, SelectorError> {
        let values = given.unwrap_or_default();
        let values_path = path.child("values");
        let mut messages = Vec::new();
        let mut check_key = |errors: Vec<String>| {
            if !errors.is_empty() {
                let (path, key) = (path.child("key"), go_quote(key));
                messages.push(format!("{path}: Invalid value: {key}: {}", errors.join("; ")));
            }
        };
        check_key(is_qualified_name(key));
        let mut wrong_count =
            |rule: &str| messages.push(format!("{values_path}: Invalid value: {}: {rule}", go_json(&given)));
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                wrong_count("for 'in', 'notin' operators, values set can't be empty");
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                wrong_count("exact-match compatibility requires one single value");
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                wrong_count("values set must be empty for exists and does not exist");
            }
            Operator::GreaterThan | Operator::LessThan => {
                if values.len() != 1 {
                    wrong_count("for 'Gt', 'Lt' operators, exactly one value is required");
                }
                for (i, value) in values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
                    let (path, value) = (values_path.index(i), go_quote(value));
                    let rule = "for 'Gt', 'Lt' operators, the value must be an integer";
                    messages.push(format!("{path}: Invalid value: {value}: {rule}"));
                }
            }
            _ => {}
        }
        for (i, value) in values.iter().enumerate() {
            let errors = is_valid_label_value(value);
            if !errors.is_empty() {
                let (index, value) = (values_path.index(i), go_quote(value));
                messages.push(format!("{index}[{key}]: Invalid value: {value}: {}", errors.join("; ")));
            }
        }
        if messages.is_empty() {
            Ok(Requirement { key: key.to_string(), operator, values: values.iter().cloned().collect() })
        } else {
            Err(SelectorError { messages })
        }
    }

    /// The label.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is asked of it.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The values, as given.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// True if the labels fulfil it.
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => {
                value.is_some_and(|v| self.values.contains(v))
            }
            Operator::NotIn | Operator::NotEquals => value.is_none_or(|v| !self.values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let [wanted] = self.values.as_slice() else { return false };
                match (value.and_then(|v| v.parse::<i64>().ok()), wanted.parse::<i64>()) {
                    (Some(is), Ok(bound)) if self.operator == Operator::GreaterThan => is > bound,
                    (Some(is), Ok(bound)) => is < bound,
                    _ => false,
                }
            }
        }
    }
}

/// Upstream's form, with sorted values.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Requirement { key, operator, values } = self;
        let mut values: Vec<&str> = values.iter().map(String::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        match operator {
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::In | Operator::NotIn => write!(f, "{key} {} ({values})", operator.as_str()),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals => {
                write!(f, "{key}{}{values}", operator.as_str())
            }
        }
    }
}

/// A selector of labels: all of its requirements, or nothing at all.
///
/// ```
/// # use sim_core::selectors::Selector;
/// # use sim_core::api::meta::Labels;
/// let selector = Selector::parse("tier in (web,api),!legacy")?;
/// let labels = Labels::from([("tier".to_string(), "web".to_string())]);
/// assert!(selector.matches(&labels));
/// assert_eq!(selector.to_string(), "!legacy,tier in (api,web)");
/// # Ok::<(), sim_core::selectors::SelectorError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// `None` matches nothing.
    requirements: Option<Vec<Requirement>>,
}

impl Selector {
    /// Matches everything.
    pub const fn everything() -> Selector {
        Selector { requirements: Some(Vec::new()) }
    }

    /// Matches nothing.
    pub const fn nothing() -> Selector {
        Selector { requirements: None }
    }

    /// All of these requirements, ordered by key.
    pub fn new(mut requirements: Vec<Requirement>) -> Selector {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Selector { requirements: Some(requirements) }
    }

    /// Equality with each of these labels, unchecked (`SelectorFromSet`).
    pub fn from_set(set: &Labels) -> Selector {
        let equals = |(key, value): (&String, &String)| Requirement {
            key: key.clone(),
            operator: Operator::Equals,
            values: SmallVec::from_buf([value.clone()]),
        };
        Selector { requirements: Some(set.iter().map(equals).collect()) }
    }

    /// `LabelSelectorAsSelector`: an absent selector matches nothing, an empty one everything.
    ///
    /// # Errors
    /// Bad keys, values or operators, in upstream's words.
    pub fn from_label_selector(selector: Option<&LabelSelector>) -> Result<Selector, SelectorError> {
        let Some(selector) = selector else { return Ok(Selector::nothing()) };
        let mut requirements = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            requirements.push(Requirement::new(key, Operator::Equals, std::slice::from_ref(value))?);
        }
        for expression in selector.match_expressions.iter().flatten() {
            let operator = label_operator(&expression.operator).ok_or_else(|| {
                let operator = go_quote(&expression.operator);
                SelectorError::one(format!("{operator} is not a valid label selector operator"))
            })?;
            // An empty list prints as null here: upstream appends to a nil slice.
            let values = expression.values.as_deref().filter(|v| !v.is_empty());
            requirements.push(Requirement::at(&Path::Root(""), &expression.key, operator, values)?);
        }
        Ok(Selector::new(requirements))
    }

    /// True if the labels fulfil every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.as_ref().is_some_and(|all| all.iter().all(|r| r.matches(labels)))
    }

    /// True if it selects everything (`Empty()`).
    pub fn is_empty(&self) -> bool {
        self.requirements.as_ref().is_some_and(Vec::is_empty)
    }

    /// True for [`Selector::nothing`].
    pub fn is_nothing(&self) -> bool {
        self.requirements.is_none()
    }

    /// The requirements, ordered by key; none if it matches nothing.
    pub fn requirements(&self) -> &[Requirement] {
        self.requirements.as_deref().unwrap_or_default()
    }

    /// The API form (`ParseToLabelSelector`).
    ///
    /// # Errors
    /// `!=`, `>` and `<` have none.
    pub fn to_label_selector(&self) -> Result<LabelSelector, SelectorError> {
        let mut labels = BTreeMap::new();
        let mut expressions = Vec::new();
        for Requirement { key, operator, values } in self.requirements() {
            let name = match operator {
                Operator::Equals | Operator::DoubleEquals => {
                    labels.extend(values.first().map(|v| (key.clone(), v.clone())));
                    continue;
                }
                Operator::In => "In",
                Operator::NotIn => "NotIn",
                Operator::Exists => "Exists",
                Operator::DoesNotExist => "DoesNotExist",
                Operator::GreaterThan | Operator::LessThan => {
                    let message = format!("{:?} isn't supported in label selectors", operator.as_str());
                    return Err(SelectorError::one(message));
                }
                Operator::NotEquals => {
                    let message = format!("{:?} is not a valid label selector operator", operator.as_str());
                    return Err(SelectorError::one(message));
                }
            };
            let mut values = values.to_vec();
            values.sort_unstable();
            values.dedup();
            let values = Some(values).filter(|v| !v.is_empty());
            expressions.push(LabelSelectorRequirement {
                key: key.clone(),
                operator: name.to_string(),
                values,
            });
        }
        let match_labels = Some(labels).filter(|l| !l.is_empty());
        let match_expressions = Some(expressions).filter(|e| !e.is_empty());
        Ok(LabelSelector { match_labels, match_expressions })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements().iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

fn label_operator(name: &str) -> Option<Operator> {
    match name {
        "In" => Some(Operator::In),
        "NotIn" => Some(Operator::NotIn),
        "Exists" => Some(Operator::Exists),
        "DoesNotExist" => Some(Operator::DoesNotExist),
        _ => None,
    }
}

/// `FormatLabelSelector`: what `kubectl` and events print of an API selector.
pub fn format_label_selector(selector: Option<&LabelSelector>) -> String {
    match Selector::from_label_selector(selector).map(|s| s.to_string()) {
        Ok(text) if text.is_empty() => "<none>".to_string(),
        Ok(text) => text,
        Err(_) => "<error>".to_string(),
    }
}

/// `LabelSelectorAsMap`: the labels that a selector of equalities asks for.
///
/// # Errors
/// Any other operator.
pub fn label_selector_as_map(selector: &LabelSelector) -> Result<Labels, SelectorError> {
    let mut map = selector.match_labels.clone().unwrap_or_default();
    for expression in selector.match_expressions.iter().flatten() {
        let operator = go_quote(&expression.operator);
        let into = "cannot be converted into the old label selector format";
        let message = match (label_operator(&expression.operator), expression.values.as_deref()) {
            (Some(Operator::In), Some([value])) => {
                map.insert(expression.key.clone(), value.clone());
                continue;
            }
            (Some(Operator::In), _) => format!("operator {operator} without a single value {into}"),
            (Some(_), _) => format!("operator {operator} {into}"),
            (None, _) => format!("{operator} is not a valid selector operator"),
        };
        return Err(SelectorError::one(message));
    }
    Ok(map)
}
