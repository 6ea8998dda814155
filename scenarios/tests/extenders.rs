//! A scheduler extender on the command line: called and recorded once, replayed afterwards.
#![cfg(feature = "http")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

const SCENARIO: &str = "apiVersion: wavetank.dev/v1alpha1
kind: Scenario
cluster: {pools: [{name: node, count: 4}]}
schedulerConfig: scheduler.yaml
manifests:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web}
  spec:
    replicas: 6
    selector: {matchLabels: {app: web}}
    template:
      metadata: {labels: {app: web}}
      spec: {containers: [{name: c, image: i, resources: {requests: {cpu: 100m}}}]}
until: 1m
expect: [deployment/web available within 30s]
";

/// Starts an extender that lets the last two nodes pass, prefers the last one, and counts its questions.
#[expect(clippy::disallowed_methods, reason = "the extender is a program of its own")]
fn start_extender() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // One question per connection: one that is kept open would make the next one wait.
            let mut reader = BufReader::new(stream);
            let Some((path, question)) = read_question(&mut reader) else { continue };
            counted.fetch_add(1, Ordering::SeqCst);
            let text = answer(&path, &question).to_string();
            let length = text.len();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            // A client that has gone is none of the extender's business.
            let _ = reader.get_mut().write_all(format!("{head}{text}").as_bytes());
        }
    });
    (url, count)
}

fn answer(path: &str, question: &Value) -> Value {
    let names: Vec<&str> =
        question["NodeNames"].as_array().expect("names").iter().filter_map(Value::as_str).collect();
    match path {
        "/filter" => {
            let (pass, fail): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|name| *name > "node-1");
            let failed: serde_json::Map<_, _> =
                fail.into_iter().map(|n| (n.to_owned(), "too old".into())).collect();
            json!({"NodeNames": pass, "FailedNodes": failed})
        }
        _ => json!([{"Host": names.iter().max(), "Score": 10}]),
    }
}

fn read_question(reader: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.strip_prefix("POST ")?.split(' ').next()?.to_owned();
    let mut length = 0;
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, serde_json::from_slice(&body).expect("questions are JSON")))
}

/// A folder with the scenario and its scheduler configuration.
fn folder(url: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let config = format!(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nextenders:\n\
         - {{urlPrefix: \"{url}\", filterVerb: filter, prioritizeVerb: prioritize, weight: 5, nodeCacheCapable: true}}\n"
    );
    fs::write(dir.path().join("scheduler.yaml"), config).expect("writable");
    fs::write(dir.path().join("s.yaml"), SCENARIO).expect("writable");
    dir
}

/// Exit code, digest and errors of a run.
fn run(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_wavetank"))
        .args(["run", "s.yaml", "--json"])
        .args(args)
        .current_dir(folder)
        .output()
        .expect("the binary runs");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let digest = summary["digest"].as_str().unwrap_or_default().to_owned();
    (output.status.code(), digest, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_recorded_run_is_repeated_without_the_extender() {
    let (url, questions) = start_extender();
    let dir = folder(&url);
    let (code, digest, err) = run(dir.path(), &["--record", "tape.jsonl", "--check", "--out", "o"]);
    assert_eq!(code, Some(0), "{err}");
    // Six pods, and two questions about each; the second run of --check asks nobody.
    assert_eq!(questions.load(Ordering::SeqCst), 12);
    let objects = fs::read_to_string(dir.path().join("o/objects.yaml")).expect("readable");
    assert_eq!(objects.matches("nodeName: node-3").count(), 6, "the extender's choice");

    let replayed = run(dir.path(), &["--replay", "tape.jsonl"]);
    assert_eq!((replayed.0, &replayed.1), (Some(0), &digest), "{}", replayed.2);
    let cassette = format!("extenderCassette: tape.jsonl\n{SCENARIO}");
    fs::write(dir.path().join("s.yaml"), cassette).expect("writable");
    let replayed = run(dir.path(), &[]);
    assert_eq!((replayed.0, &replayed.1), (Some(0), &digest), "{}", replayed.2);
    assert_eq!(questions.load(Ordering::SeqCst), 12);

    // Another world asks other questions.
    fs::write(dir.path().join("s.yaml"), SCENARIO.replace("cpu: 100m", "cpu: 200m")).expect("writable");
    let (code, _, err) = run(dir.path(), &["--replay", "tape.jsonl"]);
    assert_eq!(code, Some(3), "{err}");
    let text = "InvariantBroken: replay of extenders[0], question 1: filter at";
    assert!(
        err.contains(text)
            && err.contains("Pod.metadata.generateName: \"web-")
            && err.contains(" was recorded, "),
        "{err}"
    );
}

#[test]
fn what_to_do_about_extenders_is_said() {
    let dir = folder("http://127.0.0.1:1");
    let (code, _, err) = run(dir.path(), &[]);
    assert_eq!(code, Some(2));
    let lines: Vec<&str> = err.lines().collect();
    let told = lines.join(" ");
    assert!(
        told.contains("scheduler.yaml: the extender \"http://127.0.0.1:1\" is a service outside"),
        "{err}"
    );
    assert!(told.contains("--record FILE") && told.contains("--replay FILE"), "{err}");

    let (code, _, err) = run(dir.path(), &["--replay", "none.jsonl"]);
    assert!(code == Some(2) && err.contains("none.jsonl: No such file"), "{err}");
    let (code, _, err) = run(dir.path(), &["--replay", "s.yaml"]);
    assert!(code == Some(2) && err.contains("s.yaml: not a cassette"), "{err}");

    fs::write(dir.path().join("s.yaml"), SCENARIO.replace("schedulerConfig: scheduler.yaml\n", ""))
        .expect("writable");
    let (code, _, err) = run(dir.path(), &["--record", "tape.jsonl"]);
    assert!(code == Some(2) && err.contains("there are no extenders to record"), "{err}");
    assert!(!dir.path().join("tape.jsonl").exists(), "nothing is written for nothing");

    let dir = folder("https://extender");
    let (code, _, err) = run(dir.path(), &["--record", "tape.jsonl"]);
    assert!(code == Some(2) && err.contains("HTTPS is not supported"), "{err}");
}
