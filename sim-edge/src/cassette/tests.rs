use serde_json::json;
use sim_core::time::Time;

use super::*;

const HEAD: &str = r#"{"cassette":"wavetank.dev/extender/v1"}"#;

fn call(number: usize, verb: &str, request: &Value, answer: (&str, Value)) -> String {
    let mut line = json!({
        "extender": number, "url": format!("http://x/{verb}"), "at": "0s", "digest": digest(request), "request": request,
    });
    line[answer.0] = answer.1;
    line.to_string()
}

fn track(lines: &[String], number: usize) -> Track {
    let text = [&[HEAD.to_owned()], lines].concat().join("\n");
    let cassette = Cassette::parse(&text).expect("a cassette");
    Track { tape: cassette.tape, number, next: AtomicUsize::new(0) }
}

fn ask(line: &dyn Line, verb: &str, body: Value) -> String {
    let question = Question { verb, url: format!("http://x/{verb}"), body, at: Time::ZERO };
    match line.ask(question) {
        Ok(value) => value.to_string(),
        Err(ExtenderError::Failed(text)) => format!("failed: {text}"),
        Err(ExtenderError::Broken(text)) => format!("broken: {text}"),
    }
}

#[test]
fn answers_come_back_in_order() {
    let (a, b) = (json!({"Pod": {"name": "a"}}), json!({"Pod": {"name": "b"}}));
    let lines = [
        call(0, "filter", &a, ("response", json!({"NodeNames": ["n"]}))),
        call(1, "filter", &a, ("response", json!(1))),
        call(0, "prioritize", &b, ("error", json!("Post: connection refused"))),
        r#"{"part":"p","value":[1,2]}"#.to_owned(),
        call(0, "filter", &a, ("response", json!({"NodeNames": {"$part": "p"}, "other": {"$part": 5}}))),
    ];
    let line = track(&lines, 0);
    assert_eq!(ask(&line, "filter", a.clone()), r#"{"NodeNames":["n"]}"#);
    assert_eq!(ask(&line, "prioritize", b), "failed: Post: connection refused");
    let fork = line.fork().expect("a replay can be forked");
    for line in [&line, &*fork as &dyn Line] {
        assert_eq!(ask(line, "filter", a.clone()), r#"{"NodeNames":[1,2],"other":{"$part":5}}"#);
        assert_eq!(
            ask(line, "filter", a.clone()),
            "broken: replay of extenders[0], question 4: the cassette ends after 3, and the run asks `filter` at 0s"
        );
    }
    assert_eq!(ask(&track(&lines, 1), "filter", a), "1");
}

#[test]
fn another_question_is_named_by_its_first_difference() {
    let recorded = json!({"Pod": {"name": "a"}, "NodeNames": ["n"]});
    let lines = [call(0, "filter", &recorded, ("response", json!(null)))];
    assert_eq!(
        ask(&track(&lines, 0), "filter", json!({"Pod": {"name": "b"}, "NodeNames": ["n"]})),
        "broken: replay of extenders[0], question 1: filter at 0s: Pod.name: \"a\" was recorded, \"b\" is asked"
    );
    assert_eq!(
        ask(&track(&lines, 0), "prioritize", recorded),
        "broken: replay of extenders[0], question 1: http://x/filter was asked when it was recorded, now it is \
         http://x/prioritize"
    );
}

#[test]
fn files_that_are_no_cassettes() {
    let line =
        |line: &str| Cassette::parse(&format!("{HEAD}\n{line}\n")).map(|_| ()).unwrap_err().to_string();
    for (got, want) in [
        (Cassette::parse("").unwrap_err().to_string(), "not a cassette: its first line does not say so"),
        (Cassette::parse("kind: Scenario").unwrap_err().to_string(), "not a cassette: its first line"),
        (
            Cassette::parse(r#"{"cassette":"wavetank.dev/extender/v9"}"#).unwrap_err().to_string(),
            "a cassette of format \"wavetank.dev/extender/v9\"; this reads \"wavetank.dev/extender/v1\"",
        ),
        (line("[]"), "line 2: not an object"),
        (line("{"), "line 2: EOF while parsing"),
        (line("{}"), "line 2: neither a part nor a call"),
        (line(r#"{"part":"a"}"#), "line 2: a part without a value"),
        (line(r#"{"extender":0,"digest":"0"}"#), "line 2: a call without a text \"url\""),
        (line(r#"{"extender":0,"digest":"0","url":"u"}"#), "line 2: a call without an answer"),
        (
            line(r#"{"extender":0,"digest":"0","url":"u","response":[{"$part":"z"}]}"#),
            "line 2: part \"z\" does not come before it is referred to",
        ),
        (
            Cassette::read(Path::new("/nowhere/a.jsonl")).unwrap_err().to_string(),
            "/nowhere/a.jsonl: No such file",
        ),
    ] {
        assert!(got.starts_with(want), "{got}");
    }
}

#[test]
fn another_extender_than_the_recorded_one_is_refused() {
    let text = [HEAD.to_owned(), call(1, "filter", &json!({}), ("response", json!(null)))].join("\n");
    let cassette = Cassette::parse(&text).expect("a cassette");
    let extender = |url: &str| config::Extender { url_prefix: url.to_owned(), ..config::Extender::default() };
    assert!(cassette.extender(1, &extender("http://x/")).is_ok());
    assert!(cassette.extender(0, &extender("http://y")).is_ok(), "it was never asked");
    let error = cassette.extender(1, &extender("http://y")).err().map(|e| e.to_string());
    assert_eq!(
        error.as_deref(),
        Some("the cassette has answers of http://x/filter for extenders[1], which is \"http://y\"")
    );
}
