//! Calls to a real server in this process, put on a cassette and replayed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sim_core::api::meta::{Key, Meta, Uid};
use sim_core::api::object::{Body, Node, Object, Pod};
use sim_core::duration::Duration;
use sim_core::time::{Epoch, Time, millis, secs};
use sim_edge::{Cassette, Recording, http_extender};
use sim_scheduler::config;
use sim_scheduler::extender::{Asked, Extender, ExtenderError, Fork, Passed};

/// A server that answers with a status and a text by path, and keeps what it was asked. It lives as long as the test.
struct Server {
    url: String,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "the server is a program of its own")]
    fn start(answer: impl Fn(&str, &Value) -> (u16, String) + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // One question per connection: one that is kept open would make the next one wait.
                let mut reader = BufReader::new(stream);
                let Some((path, body)) = read_request(&mut reader) else { continue };
                let (status, text) = answer(&path, &body);
                kept.lock().expect("no panic").push((path, body));
                let length = text.len();
                let head =
                    format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
                // A client that has gone is none of the server's business.
                let _ = reader.get_mut().write_all(format!("{head}{text}").as_bytes());
            }
        });
        Server { url, heard }
    }

    fn heard(&self) -> Vec<(String, Value)> {
        self.heard.lock().expect("no panic").clone()
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.strip_prefix("POST ")?.split(' ').next()?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if let Some(value) = header.strip_prefix("content-type:") {
            assert_eq!(value.trim(), "application/json");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, serde_json::from_slice(&body).expect("questions are JSON")))
}

fn pod() -> Object {
    let meta = Meta { uid: Uid::parse("web"), ..Meta::named(Key::new("shop", "web")) };
    Object::new(meta, Body::Pod(Pod::default()))
}

fn nodes() -> Vec<Arc<Object>> {
    let node = |name: &str| {
        let mut meta = Meta::named(Key::cluster(name));
        meta.labels = Arc::new([("filler".to_owned(), "x".repeat(300))].into());
        Arc::new(Object::new(meta, Body::Node(Node::default())))
    };
    vec![node("n-1"), node("n-2")]
}

fn extender(url: &str) -> config::Extender {
    config::Extender {
        url_prefix: url.to_owned(),
        filter_verb: "filter".to_owned(),
        prioritize_verb: "prioritize".to_owned(),
        bind_verb: "bind".to_owned(),
        http_timeout: Duration(secs(30)),
        ..config::Extender::default()
    }
}

fn asked(pod: &Object) -> Asked<'_> {
    Asked { pod, now: Time::ZERO + secs(1), epoch: Epoch::default() }
}

/// The first node of the list passes, and is rated by its number.
fn first_passes(path: &str, body: &Value) -> (u16, String) {
    let answer = match path {
        "/base/filter" => json!({
            "Nodes": {"items": [body["Nodes"]["items"][0]]},
            "FailedNodes": {"n-2": "not this one"},
        }),
        "/base/prioritize" => json!([{"Host": body["Nodes"]["items"][1]["metadata"]["name"], "Score": 7}]),
        _ => json!({"Error": "the node is taken"}),
    };
    (200, answer.to_string())
}

/// What an extender says to one question of each kind.
fn conversation(extender: &dyn Extender) -> Vec<String> {
    let (pod, nodes) = (pod(), nodes());
    let filtered = extender.filter(&asked(&pod), &nodes).map(|filtered| {
        let Passed::Objects(passed) = filtered.passed else { panic!("objects were sent, and come back") };
        assert_eq!(passed[0].meta.labels, nodes[0].meta.labels);
        format!(
            "{:?} {:?}",
            passed.iter().map(|node| node.key().to_string()).collect::<Vec<_>>(),
            filtered.failed
        )
    });
    vec![
        format!("{filtered:?}"),
        format!("{:?}", extender.prioritize(&asked(&pod), &nodes)),
        format!("{:?}", extender.bind(&asked(&pod), "n-1")),
    ]
}

#[test]
fn a_service_is_called_recorded_and_replayed() {
    let server = Server::start(first_passes);
    // Slashes between the address and the verb are not doubled.
    let config = extender(&format!("{}/base/", server.url));
    let file = tempfile::NamedTempFile::new().expect("a file");
    let recording = Recording::create(file.path()).expect("writable");
    let live = recording.extender(0, &config).expect("a plain URL");
    let said = conversation(&*live);
    assert_eq!(
        said,
        [
            r#"Ok("[\"n-1\"] {\"n-2\": \"not this one\"}")"#,
            r#"Ok([("n-2", 7)])"#,
            r#"Err(Failed("the node is taken"))"#,
        ]
    );
    let heard = server.heard();
    let paths: Vec<_> = heard.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/base/filter", "/base/prioritize", "/base/bind"]);
    assert_eq!(heard[0].1["Pod"]["metadata"]["name"], "web");
    assert!(matches!(live.fork(), Fork::Impossible(_)));

    let cassette = Cassette::read(file.path()).expect("a cassette");
    let replay = cassette.extender(0, &config).expect("of this extender");
    assert_eq!(conversation(&*replay), said);
    assert_eq!(server.heard().len(), 3, "a replay asks nobody");
    let one_more = replay.bind(&asked(&pod()), "n-1");
    assert!(matches!(one_more, Err(ExtenderError::Broken(_))), "{one_more:?}");
    // What comes again is put down once.
    let text = std::fs::read_to_string(file.path()).expect("readable");
    assert_eq!(text.matches(&"x".repeat(300)).count(), 1, "{text}");

    assert_eq!(conversation(&*http_extender(&config).expect("a plain URL")), said);
}

#[test]
fn what_can_go_wrong_is_told_as_upstream_tells_it() {
    let server = Server::start(|path, _| match path {
        "/500/filter" => (500, "boom".to_owned()),
        "/empty/filter" => (200, String::new()),
        "/cut/filter" => (200, "{\"NodeNames\":".to_owned()),
        "/two/filter" => (200, "{\"Error\": \"first\"} {\"Error\": \"second\"}".to_owned()),
        "/list/filter" => (200, "[]".to_owned()),
        _ => (200, "<html>".to_owned()),
    });
    let ask = |config: &config::Extender| {
        let extender = http_extender(config).expect("a plain URL");
        extender.filter(&asked(&pod()), &nodes()).expect_err("an error").to_string()
    };
    for (path, want) in [
        ("500", format!("failed filter with extender at URL {}/500/filter, code 500", server.url)),
        ("empty", "EOF".to_owned()),
        ("cut", "unexpected EOF".to_owned()),
        ("two", "first".to_owned()),
        ("list", "json: cannot unmarshal array into Go value of type v1.ExtenderFilterResult".to_owned()),
        ("html", "the answer is not JSON: expected value at line 1 column 1".to_owned()),
    ] {
        assert_eq!(ask(&extender(&format!("{}/{path}", server.url))), want);
    }

    let nobody =
        TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port that is free again");
    assert_eq!(
        ask(&extender(&format!("http://{nobody}"))),
        format!("Post \"http://{nobody}/filter\": dial tcp {nobody}: connect: connection refused")
    );
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let config = config::Extender { http_timeout: Duration(millis(50)), ..extender(&url) };
    let want = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    assert_eq!(ask(&config), format!("Post \"{url}/filter\": {want}"));
}

#[test]
fn urls_that_cannot_be_called() {
    for (url, want) in [
        ("https://extender:443", "extender \"https://extender:443\": HTTPS is not supported"),
        ("extender:80", "extender \"extender:80\": the URL does not begin with http://"),
        ("", "extender \"\": the URL does not begin with http://"),
    ] {
        let error = http_extender(&extender(url)).err().expect("refused");
        assert!(error.starts_with(want), "{error}");
    }
}
