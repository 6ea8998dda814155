//! Large values that come again and again: put down once, named by their digest afterwards. Nodes hardly change from one
//! question to the next.

use std::collections::BTreeMap;
#[cfg(feature = "http")]
use std::collections::BTreeSet;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

/// Key that stands for a part.
const PART: &str = "$part";
/// Values shorter than this stay where they are.
#[cfg(feature = "http")]
const LEAST: usize = 256;
/// How often parts may be inside each other: far more than a question has.
const DEEPEST: usize = 64;

/// Digest of a value.
pub(crate) fn digest(value: &Value) -> String {
    format!("{:032x}", xxh3_128(value.to_string().as_bytes()))
}

/// The value with its large parts named, and the parts that are not known yet, inner ones first.
#[cfg(feature = "http")]
pub(crate) fn split(value: Value, known: &mut BTreeSet<String>, fresh: &mut Vec<(String, Value)>) -> Value {
    let value: Value = match value {
        Value::Array(items) => items.into_iter().map(|item| split(item, known, fresh)).collect(),
        Value::Object(map) => map.into_iter().map(|(key, item)| (key, split(item, known, fresh))).collect(),
        small => return small,
    };
    if value.to_string().len() < LEAST {
        return value;
    }
    let name = digest(&value);
    if known.insert(name.clone()) {
        fresh.push((name.clone(), value));
    }
    serde_json::json!({ PART: name })
}

/// Parts by name. They refer to earlier ones only.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// With how often parts are inside each other.
    by_name: BTreeMap<String, (Value, usize)>,
}

impl Parts {
    /// Takes a part in.
    pub(crate) fn add(&mut self, name: String, value: Value) -> Result<(), String> {
        let depth = 1 + self.depth(&value)?;
        if depth > DEEPEST {
            return Err(format!("part {name:?}: parts are inside each other more than {DEEPEST} times"));
        }
        match self.by_name.insert(name.clone(), (value, depth)) {
            None => Ok(()),
            Some(_) => Err(format!("part {name:?} comes twice")),
        }
    }

    /// How deep the parts go that a value refers to. They must all be known.
    pub(crate) fn depth(&self, value: &Value) -> Result<usize, String> {
        if let Some(name) = reference(value) {
            let known = self.by_name.get(name).map(|(_, depth)| *depth);
            return known.ok_or_else(|| format!("part {name:?} does not come before it is referred to"));
        }
        let inner: Vec<&Value> = match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        };
        inner.into_iter().try_fold(0, |deepest, item| Ok(self.depth(item)?.max(deepest)))
    }

    /// The value as it was.
    pub(crate) fn join(&self, value: &Value) -> Value {
        if let Some((part, _)) = reference(value).and_then(|name| self.by_name.get(name)) {
            return self.join(part);
        }
        match value {
            Value::Array(items) => items.iter().map(|item| self.join(item)).collect(),
            Value::Object(map) => map.iter().map(|(key, item)| (key.clone(), self.join(item))).collect(),
            small => small.clone(),
        }
    }
}

/// The name of a part, if the value stands for one.
fn reference(value: &Value) -> Option<&str> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    map.get(PART)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    #[cfg(feature = "http")]
    fn what_is_split_is_joined_again() {
        let node = |name: &str| json!({"metadata": {"name": name, "labels": {"long": "x".repeat(300)}}});
        let list = json!({"items": [node("a"), node("b"), node("a")], "small": [1, 2]});
        let (mut known, mut fresh) = (BTreeSet::new(), Vec::new());
        let first = split(list.clone(), &mut known, &mut fresh);
        let second = split(json!({"items": [node("a"), node("c")]}), &mut known, &mut fresh);
        // The long labels, and the lists; the rest is short by then.
        assert!(fresh.len() <= 8 && first.to_string().len() < 100, "{fresh:?}");
        let mut parts = Parts::default();
        fresh.into_iter().for_each(|(name, value)| parts.add(name, value).expect("inner ones come first"));
        assert_eq!(parts.join(&first), list);
        assert_eq!(parts.join(&second), json!({"items": [node("a"), node("c")]}));
    }

    #[test]
    fn parts_that_cannot_be() {
        let mut parts = Parts::default();
        parts.add("a".to_owned(), json!(1)).expect("a part");
        assert_eq!(parts.add("a".to_owned(), json!(2)), Err("part \"a\" comes twice".to_owned()));
        assert_eq!(
            parts.add("b".to_owned(), json!([{ PART: "b" }])),
            Err("part \"b\" does not come before it is referred to".to_owned())
        );
        let mut last = "a".to_owned();
        let error = (0..100).find_map(|i| {
            let name = format!("p{i}");
            let added = parts.add(name.clone(), json!([{ PART: last }])).err();
            last = name;
            added
        });
        assert!(error.is_some_and(|text| text.contains("more than 64 times")));
    }
}
