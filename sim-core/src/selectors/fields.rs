//! `fields.ParseSelector`: selectors of fields such as `metadata.name=a,status.phase!=Running`.

use std::fmt;

use super::SelectorError;

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The field, e.g. `spec.nodeName`.
    pub field: String,
    /// Equal, or else different.
    pub equal: bool,
    /// The value; a field without a value has the empty one.
    pub value: String,
}

/// All of some conditions on fields; without any it matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let equals = term.find('=')?;
    let (left, right) = term.split_at(equals);
    match (left.strip_suffix('!'), right.strip_prefix("==")) {
        (Some(left), _) => Some((left, false, &right[1..])),
        (None, Some(value)) => Some((left, true, value)),
        (None, None) => Some((left, true, &right[1..])),
    }
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(value.len());
    let invalid = |sequence: String| {
        SelectorError::one(format!("invalid field selector: invalid escape sequence: {sequence}"))
    };
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(invalid(format!("\\{c}"))),
                None => return Err(invalid("\\".to_string())),
            },
            ',' | '=' => {
                let code = u32::from(c);
                let message = format!("invalid field selector: unescaped character in value: {code}");
                return Err(SelectorError::one(message));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

impl FieldSelector {
    /// Reads the text form. Spaces belong to fields and values.
    ///
    /// # Errors
    /// In upstream's words.
    pub fn parse(text: &str) -> Result<FieldSelector, SelectorError> {
        let mut terms = split_terms(text);
        terms.sort_unstable();
        let mut requirements = Vec::new();
        for term in terms.into_iter().filter(|t| !t.is_empty()) {
            let Some((field, equal, value)) = split_term(term) else {
                let message = format!("invalid selector: '{text}'; can't understand '{term}'");
                return Err(SelectorError::one(message));
            };
            requirements.push(FieldRequirement { field: field.to_string(), equal, value: unescape(value)? });
        }
        Ok(FieldSelector { requirements })
    }

    /// One equality (`OneTermEqualSelector`).
    pub fn equal(field: &str, value: &str) -> FieldSelector {
        FieldSelector::default().and(field, true, value)
    }

    pub(super) fn and(mut self, field: &str, equal: bool, value: &str) -> FieldSelector {
        self.requirements.push(FieldRequirement {
            field: field.to_string(),
            equal,
            value: value.to_string(),
        });
        self
    }

    /// True if the fields fulfil it; `get` answers a field's value, `None` as good as empty.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|r| (get(&r.field).unwrap_or_default() == r.value) == r.equal)
    }

    /// True if it matches everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The conditions, ordered by their text.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, FieldRequirement { field, equal, value }) in self.requirements.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let operator = if *equal { "=" } else { "!=" };
            let value = value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{field}{operator}{value}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for FieldSelector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<FieldSelector, SelectorError> {
        FieldSelector::parse(text)
    }
}
