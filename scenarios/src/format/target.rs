//! Naming an object: `deployment/web`, `pod/shop/web-1`, `node/n1`.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use sim_core::api::kind::{Kind, Kinds};
use sim_core::api::meta::Key;

use super::nearest::nearest;

/// An object by kind and key, as a person writes it: `KIND/NAME` or `KIND/NAMESPACE/NAME`.
///
/// KIND is a kind, plural, singular or short name (`Deployment`, `deployments`, `deployment`, `deploy`). The namespace
/// is `default` where the kind has one and none is given.
///
/// ```
/// use scenarios::format::Target;
/// let target: Target = "deploy/web".parse().unwrap();
/// assert_eq!(target.to_string(), "deployment/default/web");
/// assert!("deplyment/web".parse::<Target>().unwrap_err().contains("did you mean `deployment`"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Kind.
    pub kind: Kind,
    /// Namespace and name.
    pub key: Key,
}

/// The kind that a person's word means.
pub(crate) fn kind_named(word: &str) -> Result<Kind, String> {
    let kinds = Kinds::default();
    kinds.by_resource(word).ok_or_else(|| {
        let known: Vec<String> = kinds.iter().map(|(_, info)| info.kind.to_lowercase()).collect();
        match nearest(word, known.iter().map(String::as_str)) {
            Some(near) => format!("unknown kind `{word}`, did you mean `{near}`?"),
            None => format!("unknown kind `{word}`"),
        }
    })
}

impl Target {
    /// A target from its parts; `rest` is `NAME` or `NAMESPACE/NAME`.
    pub(crate) fn of(kind_word: &str, rest: &str) -> Result<Target, String> {
        let kind = kind_named(kind_word)?;
        let namespaced = Kinds::default().info(kind).namespaced;
        let (namespace, name) = match rest.split_once('/') {
            Some(_) if !namespaced => {
                return Err(format!("`{kind_word}` is cluster-scoped: write {kind_word}/NAME"));
            }
            Some((namespace, name)) => (namespace, name),
            None => ("default", rest),
        };
        if name.is_empty() || namespace.is_empty() || name.contains('/') {
            return Err(format!("`{kind_word}/{rest}`: expected KIND/NAME or KIND/NAMESPACE/NAME"));
        }
        let key = if namespaced { Key::new(namespace, name) } else { Key::cluster(name) };
        Ok(Target { kind, key })
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text
            .split_once('/')
            .ok_or_else(|| format!("`{text}`: expected KIND/NAME or KIND/NAMESPACE/NAME"))?;
        Target::of(kind, rest)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.builtin_name().unwrap_or("object").to_lowercase();
        write!(f, "{kind}/{}", self.key)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Target {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An object: KIND/NAME or KIND/NAMESPACE/NAME, e.g. deployment/web.",
            "type": "string",
            "pattern": "^[^/]+/[^/]+(/[^/]+)?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (text, printed) in
            [("pod/web-1", "pod/default/web-1"), ("pods/shop/web-1", "pod/shop/web-1"), ("no/n1", "node/n1")]
        {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), printed);
        }
        for (text, part) in [
            ("web", "expected KIND/NAME"),
            ("pod/", "expected KIND/NAME"),
            ("pod/a/b/c", "expected KIND/NAME"),
            ("node/a/b", "cluster-scoped"),
            ("gizmo/a", "unknown kind `gizmo`"),
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
