//! The first difference of two JSON values, for people.

use serde_json::Value;

/// Longest value that is shown.
const SHOWN: usize = 120;

/// Where two values differ first, and in what; `None` if they are equal.
pub(crate) fn first_difference(recorded: &Value, asked: &Value) -> Option<String> {
    let mut path = String::new();
    let (left, right) = find(recorded, asked, &mut path)?;
    let place = if path.is_empty() { "the question itself" } else { path.trim_start_matches('.') };
    Some(format!("{place}: {} was recorded, {} is asked", shown(left), shown(right)))
}

type Pair<'a> = (Option<&'a Value>, Option<&'a Value>);

fn find<'a>(left: &'a Value, right: &'a Value, path: &mut String) -> Option<Pair<'a>> {
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            keys.into_iter().find_map(|key| step((a.get(key), b.get(key)), &format!(".{key}"), path))
        }
        (Value::Array(a), Value::Array(b)) => {
            let count = a.len().max(b.len());
            (0..count).find_map(|i| step((a.get(i), b.get(i)), &format!("[{i}]"), path))
        }
        _ => (left != right).then_some((Some(left), Some(right))),
    }
}

fn step<'a>(pair: Pair<'a>, name: &str, path: &mut String) -> Option<Pair<'a>> {
    let before = path.len();
    path.push_str(name);
    let found = match pair {
        (Some(left), Some(right)) => find(left, right, path),
        one_sided => Some(one_sided),
    };
    if found.is_none() {
        path.truncate(before);
    }
    found
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_difference_is_named() {
        let check = |a: Value, b: Value, want: Option<&str>| {
            assert_eq!(first_difference(&a, &b).as_deref(), want, "{a} {b}");
        };
        check(json!({"a": [1, {"b": 2}]}), json!({"a": [1, {"b": 2}]}), None);
        check(
            json!({"Pod": {"metadata": {"labels": {"app": "web"}}}, "z": 1}),
            json!({"Pod": {"metadata": {"labels": {"app": "db"}}}, "z": 2}),
            Some("Pod.metadata.labels.app: \"web\" was recorded, \"db\" is asked"),
        );
        check(
            json!({"NodeNames": ["a"]}),
            json!({"NodeNames": ["a", "b"]}),
            Some("NodeNames[1]: nothing was recorded, \"b\" is asked"),
        );
        check(json!({"a": 1}), json!({}), Some("a: 1 was recorded, nothing is asked"));
        check(json!([]), json!({}), Some("the question itself: [] was recorded, {} is asked"));
        let long = "ü".repeat(500);
        let told = first_difference(&json!(long), &json!(1)).expect("a difference");
        assert!(told.len() < 300 && told.contains("ü …"), "{told}");
    }
}
