//! Small helpers to fill in JSON objects.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::api::wire;

/// A JSON object that may be filled in. Values of another type are left alone: they are validation's business.
pub(super) trait Fill {
    /// Sets an absent field, or a null one.
    fn default(&mut self, key: &str, value: impl Into<Value>);
    /// Sets an absent field, a null one or an empty text.
    fn default_text(&mut self, key: &str, value: &str);
    /// The object in a field, made if absent; `None` if something else is there.
    fn object(&mut self, key: &str) -> Option<&mut Map<String, Value>>;
    /// The object in a field, if it is there.
    fn present(&mut self, key: &str) -> Option<&mut Map<String, Value>>;
    /// The objects of a list, none if it is not there.
    fn each(&mut self, key: &str) -> impl Iterator<Item = &mut Map<String, Value>>;
    /// A field's text, empty if it is absent.
    fn text(&self, key: &str) -> &str;
    /// True if a field is absent, null or empty.
    fn is_blank(&self, key: &str) -> bool;
    /// Changes a field as a value of Kubernetes; an absent one is the default of its type.
    fn typed<T: DeserializeOwned + Serialize + Default>(&mut self, key: &str, change: impl FnOnce(&mut T));
}

impl Fill for Map<String, Value> {
    fn default(&mut self, key: &str, value: impl Into<Value>) {
        if self.get(key).is_none_or(Value::is_null) {
            self.insert(key.to_string(), value.into());
        }
    }

    fn default_text(&mut self, key: &str, value: &str) {
        if self.get(key).is_none_or(|v| v.is_null() || v.as_str() == Some("")) {
            self.insert(key.to_string(), value.into());
        }
    }

    fn object(&mut self, key: &str) -> Option<&mut Map<String, Value>> {
        self.default(key, Map::new());
        self.present(key)
    }

    fn present(&mut self, key: &str) -> Option<&mut Map<String, Value>> {
        self.get_mut(key).and_then(Value::as_object_mut)
    }

    fn each(&mut self, key: &str) -> impl Iterator<Item = &mut Map<String, Value>> {
        self.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
    }

    fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn is_blank(&self, key: &str) -> bool {
        match self.get(key) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(map)) => map.is_empty(),
            Some(_) => false,
        }
    }

    fn typed<T: DeserializeOwned + Serialize + Default>(&mut self, key: &str, change: impl FnOnce(&mut T)) {
        let read = match self.get(key) {
            None | Some(Value::Null) => Ok(T::default()),
            Some(value) => wire::decode_value(value),
        };
        if let Ok(mut value) = read {
            change(&mut value);
            self.insert(key.to_string(), wire::encode(&value));
        }
    }
}
