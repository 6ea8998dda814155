use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    let keys = prop_oneof![
        4 => "[a-d]",
        1 => Just("name".to_string()),
        1 => Just("metadata".to_string()),
        1 => Just("spec".to_string()),
        1 => Just("containers".to_string()),
        1 => Just("finalizers".to_string()),
        1 => Just("$patch".to_string()),
        1 => Just("$setElementOrder/containers".to_string()),
        1 => Just("$deleteFromPrimitiveList/finalizers".to_string()),
        1 => Just("$retainKeys".to_string()),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A document without nulls, which a merge patch cannot set.
fn document() -> impl Strategy<Value = Object> {
    prop::collection::vec(("[a-d]", json_value()), 0..5).prop_map(|fields| {
        let mut value = Value::Object(fields.into_iter().collect());
        drop_nulls(&mut value);
        value.as_object().cloned().unwrap_or_default()
    })
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, v| !v.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// A pod configuration: named containers with a few fields, labels, finalizers.
fn pod() -> impl Strategy<Value = Value> {
    let container = ("[a-d]", prop::option::of("[x-z]"), prop::collection::btree_map("[A-C]", "[0-2]", 0..3));
    let containers = prop::collection::btree_map("[a-d]", container, 1..4);
    let labels = prop::collection::btree_map("[a-c]", "[0-2]", 0..3);
    let finalizers = prop::collection::btree_set("[f-h]/x", 0..3);
    (containers, labels, finalizers).prop_map(|(containers, labels, finalizers)| {
        let containers: Vec<Value> = containers
            .into_iter()
            .map(|(name, (image, dir, env))| {
                let env: Vec<Value> = env.into_iter().map(|(k, v)| json!({"name": k, "value": v})).collect();
                let mut container = json!({"name": name, "image": image});
                if let Some(dir) = dir {
                    container["workingDir"] = json!(dir);
                }
                if !env.is_empty() {
                    container["env"] = json!(env);
                }
                container
            })
            .collect();
        json!({
            "metadata": {"name": "p", "labels": labels, "finalizers": finalizers},
            "spec": {"containers": containers},
        })
    })
}

#[test]
fn json_patches_and_their_complaints() {
    let document = json!({"a": {"b": [1, 2]}, "x/y": 0});
    for (patch, expected) in [
        (json!([{"op": "add", "path": "/a/b/1", "value": 9}]), Ok(json!([1, 9, 2]))),
        (json!([{"op": "add", "path": "/a/b/-", "value": 9}]), Ok(json!([1, 2, 9]))),
        (json!([{"op": "remove", "path": "/a/b/-1"}]), Ok(json!([1]))),
        (json!([{"op": "copy", "from": "/x~1y", "path": "/a/b/0"}]), Ok(json!([0, 1, 2]))),
        (json!([{"op": "move", "from": "/a/b/0", "path": "/a/b/-"}]), Ok(json!([2, 1]))),
        (
            json!([{"op": "test", "path": "/a/b/0", "value": 2}]),
            Err("testing value /a/b/0 failed: test failed"),
        ),
        (
            json!([{"op": "add", "path": "/a/b/x", "value": 2}]),
            Err(
                "error in add for path: '/a/b/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": \
                 invalid syntax",
            ),
        ),
        (json!({"op": "add"}), Err("json: cannot unmarshal object into Go value of type jsonpatch.Patch")),
    ] {
        let got = apply(Kind::POD, &Kinds::default(), &document, &Patch::Json(patch));
        let got = got.map(|v| v["a"]["b"].clone()).map_err(|e| e.message);
        assert_eq!(got, expected.map_err(str::to_string));
    }
}

#[test]
fn strategic_patches_know_the_lists() {
    let document = json!({
        "metadata": {"finalizers": ["a/1", "b/2"]},
        "spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]},
    });
    for (patch, pointer, expected) in [
        (
            json!({"spec": {"containers": [{"name": "b", "image": "3"}]}}),
            "/spec/containers/1/image",
            json!("3"),
        ),
        (
            json!({"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}),
            "/spec/containers",
            json!([{"name": "b", "image": "2"}]),
        ),
        (
            json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}),
            "/spec/containers/0/name",
            json!("b"),
        ),
        (
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/1"]}}),
            "/metadata/finalizers",
            json!(["b/2"]),
        ),
        (json!({"spec": {"$patch": "replace", "nodeName": "n"}}), "/spec", json!({"nodeName": "n"})),
    ] {
        let patched = apply(Kind::POD, &Kinds::default(), &document, &Patch::Strategic(patch)).unwrap();
        assert_eq!(patched.pointer(pointer), Some(&expected));
    }
}

#[test]
fn custom_kinds_have_no_strategy() {
    let mut kinds = Kinds::default();
    let custom = kinds.register(crate::api::kind::KindInfo {
        group: "example.com".into(),
        version: "v1".into(),
        kind: "Widget".into(),
        plural: "widgets".into(),
        namespaced: true,
    });
    assert!(apply(custom, &kinds, &json!({}), &Patch::Strategic(json!({}))).is_err());
    let current = json!({"metadata": {"name": "w"}, "spec": {"size": 1, "own": true}});
    let config = json!({"metadata": {"name": "w"}, "spec": {"size": 2}});
    let after = kubectl_apply(custom, &kinds, &config, &current).unwrap();
    assert_eq!(after["spec"], json!({"size": 2, "own": true}));
}

#[test]
fn apply_deletes_what_the_configuration_no_longer_has() {
    let kinds = Kinds::default();
    let first =
        json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"nodeSelector": {"a": "1", "b": "2"}}});
    let mut current = with_last_applied(&first);
    current["spec"]["schedulerName"] = json!("default-scheduler");
    let second = json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"nodeSelector": {"a": "1"}}});
    let after = kubectl_apply(Kind::POD, &kinds, &second, &current).unwrap();
    assert_eq!(after["spec"], json!({"nodeSelector": {"a": "1"}, "schedulerName": "default-scheduler"}));
    assert_eq!(last_applied(&after), last_applied(&with_last_applied(&second)));
    let renamed = json!({"kind": "Pod", "metadata": {"name": "q"}});
    let error = three_way(Kind::POD, None, &renamed, &first).unwrap_err();
    assert_eq!(error.message, "precondition failed for: map[metadata:map[name:q]]");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The merge patch between two documents leads from one to the other.
    #[test]
    fn merge_patch_of_a_difference_gives_the_target(from in document(), to in document()) {
        let patch = Value::Object(merge::diff(&from, &to));
        prop_assert_eq!(merge::apply(&Value::Object(from), &patch).unwrap(), Value::Object(to));
    }

    /// The strategic patch between two pods leads from one to the other.
    #[test]
    fn strategic_patch_of_a_difference_gives_the_target(from in pod(), to in pod()) {
        let patch = Patch::Strategic(two_way(Kind::POD, &from, &to).unwrap());
        prop_assert_eq!(apply(Kind::POD, &Kinds::default(), &from, &patch).unwrap(), to);
    }

    /// After an apply every field of the configuration is as it says, whatever was there before; and applying it once
    /// more changes nothing.
    #[test]
    fn apply_gives_what_the_configuration_owns(original in pod(), modified in pod(), drifted in pod()) {
        let kinds = Kinds::default();
        let applied = with_last_applied(&original);
        let mut current = apply(Kind::POD, &kinds, &applied, &Patch::Merge(drifted)).unwrap();
        current["metadata"]["annotations"] = applied["metadata"]["annotations"].clone();
        let after = kubectl_apply(Kind::POD, &kinds, &modified, &current).unwrap();
        for container in modified["spec"]["containers"].as_array().unwrap() {
            let all = after["spec"]["containers"].as_array().unwrap();
            let same = all.iter().find(|c| c["name"] == container["name"]).unwrap();
            prop_assert_eq!(&same["image"], &container["image"]);
        }
        for (key, value) in modified["metadata"]["labels"].as_object().unwrap() {
            prop_assert_eq!(&after["metadata"]["labels"][key], value);
        }
        prop_assert_eq!(&kubectl_apply(Kind::POD, &kinds, &modified, &after).unwrap(), &after);
    }

    /// Nothing that is JSON makes a patch panic.
    #[test]
    fn arbitrary_documents_do_not_panic(a in json_value(), b in json_value(), c in json_value()) {
        let kinds = Kinds::default();
        for patch in [Patch::Json(b.clone()), Patch::Merge(b.clone()), Patch::Strategic(b.clone())] {
            let _ = apply(Kind::POD, &kinds, &a, &patch);
        }
        let operation = json!([{"op": "add", "path": "/a/0", "value": c.clone()}, {"op": "move", "from": "/a", "path": "/b"}]);
        let _ = apply(Kind::POD, &kinds, &a, &Patch::Json(operation));
        let _ = three_way(Kind::POD, Some(&a), &b, &c);
        let _ = three_way_with(Kind::POD, Some(&a), &b, &c, false);
        let _ = three_way_merge(&a, &b, &c);
        let _ = two_way(Kind::POD, &a, &b);
        let _ = kubectl_apply(Kind::POD, &kinds, &a, &b);
    }
}
