use super::*;
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::{Body, Node, Pod};
use sim_core::time::Time;

fn meta(key: Key) -> Meta {
    let uid = Uid::parse(&key.name);
    Meta { uid, ..Meta::named(key) }
}

fn pod(name: &str) -> Arc<Object> {
    let pod = Pod { node_name: "n-1".into(), ..Pod::default() };
    Arc::new(Object::new(meta(Key::new("shop", name)), Body::Pod(pod)))
}

fn node(name: &str) -> Arc<Object> {
    Arc::new(Object::new(meta(Key::cluster(name)), Body::Node(Node::default())))
}

fn with<R>(act: impl FnOnce(&Asked<'_>) -> R) -> R {
    act(&Asked { pod: &pod("web"), now: Time::ZERO, epoch: Epoch::default() })
}

#[test]
fn questions_have_gos_names() {
    let nodes = [node("n-1"), node("n-2")];
    let full = with(|asked| args(asked, &nodes, false));
    assert_eq!(full.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>()), {
        Some(["Pod", "Nodes", "NodeNames"].map(str::to_owned).to_vec())
    });
    assert_eq!(full["Pod"]["metadata"]["name"], "web");
    assert_eq!(full["Pod"].get("kind"), None, "objects of upstream's caches have no type");
    assert_eq!(full["Nodes"]["items"][1]["metadata"]["name"], "n-2");
    assert_eq!(full["NodeNames"], Value::Null);
    let names = with(|asked| args(asked, &nodes, true));
    assert_eq!((&names["Nodes"], &names["NodeNames"]), (&Value::Null, &json!(["n-1", "n-2"])));

    let binding = with(|asked| binding_args(asked, "n-1"));
    let uid = Uid::parse("web").to_string();
    let want = json!({"PodName": "web", "PodNamespace": "shop", "PodUID": uid, "Node": "n-1"});
    assert_eq!(binding, want);

    let victims = ExtenderVictims { pods: vec![pod("old")], pdb_violations: 2 };
    let candidates = BTreeMap::from([("n-1".into(), victims)]);
    let full = with(|asked| preemption_args(asked, &candidates, false));
    assert_eq!(full["NodeNameToVictims"]["n-1"]["Pods"][0]["spec"]["nodeName"], "n-1");
    assert_eq!(full["NodeNameToMetaVictims"], Value::Null);
    let meta = with(|asked| preemption_args(asked, &candidates, true));
    let uid = Uid::parse("old").to_string();
    let want = json!({"n-1": {"Pods": [{"UID": uid}], "NumPDBViolations": 2}});
    assert_eq!((&meta["NodeNameToVictims"], &meta["NodeNameToMetaVictims"]), (&Value::Null, &want));
}

fn shown<T: std::fmt::Debug>(read: Result<T, ExtenderError>) -> String {
    match read {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn filter_answers() {
    let read = |names_only, answer: Value| match filtered(&answer, names_only, Epoch::default()) {
        Err(error) => format!("error: {error}"),
        Ok(Filtered { passed, failed, failed_and_unresolvable: lost }) => {
            let passed = match passed {
                Passed::Names(names) => format!("names {names:?}"),
                Passed::Objects(nodes) => {
                    format!("nodes {:?}", nodes.iter().map(|node| &node.key().name).collect::<Vec<_>>())
                }
            };
            format!("{passed} {failed:?} {lost:?}")
        }
    };
    let node =
        json!({"metadata": {"name": "n-1", "labels": {"a": "b"}}, "status": {"allocatable": {"cpu": "4"}}});
    for (names_only, answer, want) in [
        (true, json!({"NodeNames": ["n-1"]}), r#"names ["n-1"] {} {}"#),
        (
            true,
            json!({"nodenames": ["n-1"], "failedNodes": {"n-2": "why"}}),
            r#"names ["n-1"] {"n-2": "why"} {}"#,
        ),
        (
            true,
            json!({"nodeNames": [], "FailedAndUnresolvableNodes": {"n-2": "why"}, "error": ""}),
            r#"names [] {} {"n-2": "why"}"#,
        ),
        // With a cache, objects will do; without one, names will not.
        (true, json!({"nodes": {"items": [node]}}), r#"nodes ["n-1"] {} {}"#),
        (
            false,
            json!({"Nodes": {"metadata": {}, "items": [node]}, "NodeNames": ["z"]}),
            r#"nodes ["n-1"] {} {}"#,
        ),
        (false, json!({"NodeNames": ["n-1"]}), "names [] {} {}"),
        (false, json!({"Nodes": {"items": null}}), "nodes [] {} {}"),
        (true, json!(null), "names [] {} {}"),
        (true, json!({"Error": "no", "NodeNames": ["n-1"]}), "error: no"),
        (
            true,
            json!([]),
            "error: json: cannot unmarshal array into Go value of type v1.ExtenderFilterResult",
        ),
        (
            true,
            json!({"NodeNames": "n-1"}),
            "error: json: cannot unmarshal string into Go struct field ExtenderFilterResult.NodeNames of type []string",
        ),
        (
            true,
            json!({"NodeNames": [1]}),
            "error: json: cannot unmarshal number into Go struct field ExtenderFilterResult.NodeNames of type string",
        ),
        (
            true,
            json!({"FailedNodes": {"a": true}}),
            "error: json: cannot unmarshal bool into Go struct field ExtenderFilterResult.FailedNodes of type string",
        ),
    ] {
        assert_eq!(read(names_only, answer.clone()), want, "{answer}");
    }
    let bad = read(false, json!({"Nodes": {"items": [{"status": {"allocatable": 5}}]}}));
    assert!(bad.starts_with("error: json: ") && bad.contains("allocatable"), "{bad}");
}

#[test]
fn other_answers() {
    let hosts = json!([{"Host": "a", "Score": 3}, {"host": "b", "score": -1}, {"Host": "c"}]);
    assert_eq!(shown(ratings(&hosts)), r#"[("a", 3), ("b", -1), ("c", 0)]"#);
    assert_eq!(shown(ratings(&json!(null))), "[]");
    assert_eq!(
        shown(ratings(&json!([{"Score": 2.5}]))),
        "error: json: cannot unmarshal number 2.5 into Go struct field HostPriority.Score of type int64"
    );
    assert_eq!(
        shown(ratings(&json!({}))),
        "error: json: cannot unmarshal object into Go value of type v1.HostPriorityList"
    );

    let uid = "11111111-2222-3333-4444-555555555555";
    let answer =
        json!({"nodeNameToMetaVictims": {"n": {"pods": [{"uid": uid}], "numPDBViolations": 1}, "m": null}});
    let want = BTreeMap::from([
        ("n".into(), ExtenderMetaVictims { pods: vec![Uid::parse(uid)], pdb_violations: 1 }),
        ("m".into(), ExtenderMetaVictims::default()),
    ]);
    assert_eq!(victims(&answer), Ok(want));
    assert_eq!(victims(&json!({})), Ok(BTreeMap::new()));
    assert_eq!(
        shown(victims(&json!({"NodeNameToMetaVictims": {"n": {"Pods": {}}}}))),
        "error: json: cannot unmarshal object into Go struct field MetaVictims.Pods of type []*v1.MetaPod"
    );
    assert_eq!(shown(bound(&json!({}))), "()");
    assert_eq!(shown(bound(&json!({"error": "taken"}))), "error: taken");
}
