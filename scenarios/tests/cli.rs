//! The command line as a person meets it: exit codes, files, and errors with their places.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const HEAD: &str = "apiVersion: wavetank.dev/v1alpha1\nkind: Scenario\ntiming: instant\n";
const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n\
                   spec: {containers: [{name: c, image: i, resources: {requests: {cpu: 1}}}]}\n";

struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

fn wavetank(folder: &Path, args: &[&str]) -> Done {
    let output = Command::new(env!("CARGO_BIN_EXE_wavetank")).args(args).current_dir(folder).output();
    let Output { status, stdout, stderr } = output.expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    Done { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// Runs a scenario in a folder that has a `pod.yaml`.
fn run_scenario(body: &str, args: &[&str]) -> Done {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::write(dir.path().join("pod.yaml"), POD).expect("writable");
    fs::write(dir.path().join("s.yaml"), format!("{HEAD}{body}")).expect("writable");
    wavetank(dir.path(), &[&["run", "s.yaml"], args].concat())
}

#[test]
fn exit_codes_have_names() {
    let held = run_scenario("until: 1s\nexpect: [pods == 0]\n", &[]);
    assert_eq!(held.code, Some(0), "{}", held.err);
    assert!(held.out.contains("held   pods == 0") && held.out.contains("digest "), "{}", held.out);

    let failed = run_scenario("until: 1s\nexpect: [pods == 0, pods == 7]\n", &[]);
    assert_eq!(failed.code, Some(1));
    let usage = wavetank(Path::new("."), &["run", "--sed", "1"]);
    assert_eq!(usage.code, Some(2));
    assert!(usage.err.contains("--seed") && usage.err.contains("bad input (exit code 2)"), "{}", usage.err);
    assert_eq!(wavetank(Path::new("."), &["--help"]).code, Some(0));

    for part in ["expectation failed: pods == 7", "from 1s: 0", "expectation failed (exit code 1)"] {
        assert!(failed.err.contains(part), "{}\nlacks {part}", failed.err);
    }

    let bad = run_scenario("sed: 1\n", &[]);
    assert_eq!(bad.code, Some(2));
    assert!(bad.err.contains("bad input (exit code 2)"), "{}", bad.err);
}

#[test]
fn bad_input_is_an_error_with_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    write("good.yaml", POD.as_bytes());
    write("empty.yaml", b"");
    write("kind.yaml", b"apiVersion: v1\nkind: Pood\nmetadata: {name: a}\n");
    write("field.yaml", POD.replace("containers", "contaners").as_bytes());
    write("type.yaml", POD.replace("name: a", "name: [a]").as_bytes());
    write("utf8.yaml", b"apiVersion: v1\nkind: \xff\n");
    write("tab.yaml", b"apiVersion: v1\n\tkind: Pod\n");
    write("anchor.yaml", b"a: &a [*b]\n");
    write("self.yaml", format!("{HEAD}include: [self.yaml]\n").as_bytes());
    write("missing.yaml", format!("{HEAD}manifests: [nowhere.yaml]\n").as_bytes());
    for (args, part) in [
        (&["run", "--apply", "empty.yaml"][..], "empty.yaml: no objects"),
        (&["run", "--apply", "kind.yaml"], "kind.yaml:2:7"),
        (&["run", "--apply", "field.yaml"], "field.yaml:4:8"),
        (&["run", "--apply", "type.yaml"], "type.yaml:3:18"),
        (&["run", "--apply", "utf8.yaml"], "invalid UTF-8 at byte 21"),
        (&["run", "--apply", "tab.yaml"], "tab.yaml:1:13"),
        (&["run", "--apply", "anchor.yaml"], "anchor.yaml:1"),
        (&["run", "--apply", "good.yaml", "--max-input", "10"], "more than the limit of 10"),
        (&["run", "--apply", "absent.yaml"], "absent.yaml: no such file"),
        (&["run", "absent.yaml"], "absent.yaml: no such file"),
        (&["run", "good.yaml"], "found a Pod of v1"),
        (&["run", "self.yaml"], "a cycle of includes"),
        (&["run", "missing.yaml"], "missing.yaml:4:13"),
        (&["run"], "nothing to run"),
        (&["run", "--nodes", "1", "--node-size", "8cores"], "8cores"),
        (&["run", "--nodes", "1", "--for", "5"], "lacks a unit"),
        (&["run", "--nodes", "1", "--scheduler-config", "absent.yaml"], "absent.yaml: no such file"),
        (&["conformance", "."], "anchor.yaml"),
        (&["conformance", "absent"], "absent"),
        (&["diff", "absent", "absent"], "absent: No such file"),
        (&["explain", "self.yaml", "--pod", "x"], "a cycle of includes"),
    ] {
        let done = wavetank(dir.path(), args);
        assert_eq!(done.code, Some(2), "{args:?}\n{}", done.err);
        // Of a folder without vectors only the absence is told.
        let wanted = if args == ["conformance", "."] { "no vector found in ." } else { part };
        assert!(done.err.contains(wanted), "{args:?}\n{}\nlacks {wanted}", done.err);
        assert!(!done.err.contains("panicked"), "{}", done.err);
    }
}

#[test]
fn a_run_without_a_scenario() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pod.yaml"), POD).unwrap();
    fs::write(dir.path().join("b.yaml"), POD.replace("name: a", "name: b")).unwrap();
    let args =
        ["run", "--nodes", "2", "--node-size", "8cpu,32Gi", "--apply", "pod.yaml", "--apply", "b.yaml"];
    let done = wavetank(dir.path(), &[&args[..], &["--for", "10m", "--json", "--check"]].concat());
    assert_eq!(done.code, Some(0), "{}", done.err);
    let summary: serde_json::Value = serde_json::from_str(&done.out).expect("--json prints JSON alone");
    assert_eq!(summary["nodes"], 2);
    assert_eq!(summary["pods"]["total"], 2);
    assert_eq!(summary["simulatedSeconds"], 600.0);
    assert!(summary["digest"].is_string() && summary["wall"]["seconds"].is_number());
}

#[test]
fn out_writes_three_whole_files_that_diff_compares() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pod.yaml"), POD).unwrap();
    let run = |out: &str, seed: &str| {
        let args =
            ["run", "--nodes", "1", "--apply", "pod.yaml", "--for", "1m", "--out", out, "--seed", seed];
        let done = wavetank(dir.path(), &args);
        assert_eq!(done.code, Some(0), "{}", done.err);
        let mut names: Vec<String> = fs::read_dir(dir.path().join(out))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["events.jsonl", "objects.yaml", "summary.json"]);
        let text = fs::read_to_string(dir.path().join(out).join("summary.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
        summary["digest"].as_str().unwrap().to_owned()
    };
    let (a, b, other) = (run("a", "1"), run("b", "1"), run("c", "2"));
    assert_eq!(a, b);
    assert_ne!(a, other);
    let same = wavetank(dir.path(), &["diff", "a", "b"]);
    assert_eq!((same.code, same.out.as_str()), (Some(0), "no difference\n"));
    let differ = wavetank(dir.path(), &["diff", "a", "c"]);
    assert_eq!(differ.code, Some(1));
    assert!(differ.out.contains("first difference in record"), "{}", differ.out);
    // What was written can be read again.
    let again = wavetank(dir.path(), &["run", "--cluster", "a/objects.yaml", "--for", "1s"]);
    assert_eq!(again.code, Some(0), "{}", again.err);
}

/// A dump as `kubectl get nodes,pods -A -o json` prints it is a start state: what runs goes on running.
#[test]
fn a_dump_is_a_start_state() {
    let dir = tempfile::tempdir().unwrap();
    let dump = serde_json::json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": [
        {"apiVersion": "v1", "kind": "Node",
         "metadata": {"name": "n1", "uid": "6d0d1c5e-0000-4000-8000-000000000001", "resourceVersion": "7",
            "creationTimestamp": "2024-12-01T00:00:00Z", "labels": {"kubernetes.io/hostname": "n1"}},
         "spec": {"podCIDR": "10.0.0.0/24"},
         "status": {"capacity": {"cpu": "4", "memory": "16Gi", "pods": "110"},
            "allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2024-12-31T23:59:00Z",
                "lastTransitionTime": "2024-12-01T00:01:00Z", "reason": "KubeletReady", "message": "ready"}]}},
        {"apiVersion": "v1", "kind": "Pod",
         "metadata": {"name": "old", "namespace": "shop", "uid": "6d0d1c5e-0000-4000-8000-000000000002",
            "resourceVersion": "9", "creationTimestamp": "2024-12-02T00:00:00Z"},
         "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i", "someFutureField": 1}]},
         "status": {"phase": "Running", "startTime": "2024-12-02T00:00:01Z",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2024-12-02T00:00:09Z"}],
            "containerStatuses": [{"name": "c", "image": "i", "imageID": "x", "ready": true, "restartCount": 2,
                "started": true, "state": {"running": {"startedAt": "2024-12-02T00:00:05Z"}}}]}},
    ]});
    fs::write(dir.path().join("dump.json"), dump.to_string()).unwrap();
    let done = wavetank(dir.path(), &["run", "--apply", "dump.json", "--for", "1h", "--out", "o", "--json"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.err.contains("someFutureField"), "the unknown field has a notice: {}", done.err);
    let summary: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(summary["pods"]["running"], 1, "{summary}");
    let objects = fs::read_to_string(dir.path().join("o/objects.yaml")).unwrap();
    assert!(objects.contains("restartCount: 2") && objects.contains("2024-12-02T00:00:00Z"), "{objects}");
}

/// A dump of nodes and pods has pods of ReplicaSets that it does not have: they go on, and are not garbage.
#[test]
fn pods_of_a_dump_outlive_owners_that_are_not_in_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let dump = "sim-core/tests/data/cluster.json";
    let done = wavetank(&root, &["run", "--apply", dump, "--for", "10m", "--json"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.err.contains("have owners that are not in it"), "{}", done.err);
    let summary: serde_json::Value = serde_json::from_str(&done.out).expect("JSON");
    assert_eq!(summary["pods"]["deleted"], 0, "{summary}");
    assert_eq!(summary["pods"]["deletedBeforeRunning"], 0, "{summary}");
}

#[test]
fn metrics_are_the_same_bytes_every_time() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pod.yaml"), POD).unwrap();
    let run = |file: &str| {
        let args = ["run", "--nodes", "2", "--apply", "pod.yaml", "--for", "1m", "--metrics", file];
        let done = wavetank(dir.path(), &args);
        assert_eq!(done.code, Some(0), "{}", done.err);
        fs::read_to_string(dir.path().join(file)).expect("it is written")
    };
    let text = run("a.prom");
    assert_eq!(text, run("b.prom"));
    for line in [
        "# TYPE scheduler_pod_scheduling_attempts histogram\n",
        "scheduler_pending_pods{queue=\"active\"} 0\n",
        "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"} 1\n",
        "scheduler_scheduling_attempt_duration_seconds_bucket{profile=\"default-scheduler\",result=\"scheduled\",le=\"0.001\"} 0\n",
        "scheduler_cache_size{type=\"nodes\"} 2\n",
    ] {
        assert!(text.contains(line), "{text}\nlacks {line}");
    }
    let args = ["run", "--nodes", "1", "--for", "1s", "--metrics", "absent/m.prom"];
    let failed = wavetank(dir.path(), &args);
    assert!(failed.code == Some(3) && failed.err.contains("absent/m.prom: "), "{}", failed.err);
}

#[test]
fn a_pending_pod_is_explained_with_what_would_place_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pod.yaml"), POD.replace("cpu: 1", "cpu: 3")).unwrap();
    let cluster = "until: 20s\ncluster: {pools: [{name: node, count: 2, cpu: 2, memory: 4Gi}]}\nmanifests: [pod.yaml]\n";
    fs::write(dir.path().join("s.yaml"), format!("{HEAD}{cluster}")).unwrap();
    let told = wavetank(dir.path(), &["explain", "s.yaml", "a"]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    for part in [
        "0/2 nodes are available: 2 Insufficient cpu.",
        "\nrefusals:\n  nodes  further  plugin            reason            eviction       e.g.\n",
        "\nit would have fit\n  if it asked for at most 2 of cpu (asks 3): 2 nodes (node-0, node-1)\n",
    ] {
        assert!(told.out.contains(part), "{}\nlacks {part}", told.out);
    }
    let node = wavetank(dir.path(), &["explain", "s.yaml", "a", "--node", "node-1"]);
    assert!(node.out.ends_with("node node-1: NodeResourcesFit: Insufficient cpu\n"), "{}", node.out);
    let json = wavetank(dir.path(), &["explain", "s.yaml", "a", "--format", "json", "--show", "all"]);
    let json: serde_json::Value = serde_json::from_str(&json.out).expect("JSON alone");
    assert_eq!(json["attempt"]["answers"][1]["refusals"][0]["plugin"], "NodeResourcesFit");
    assert_eq!(json["wouldFit"][0]["what"]["atMost"], "2");
    assert_eq!(json["wouldFit"][0]["sizeThousandths"], 333);
    for (args, part) in [
        (&["--attempt", "9"][..], "no attempt 9; there are 1"),
        (&["--node", "node-7"], "no node node-7 in attempt"),
        (&["--pod", "b"], "cannot be used with"),
    ] {
        let done = wavetank(dir.path(), &[&["explain", "s.yaml", "a"], args].concat());
        assert_eq!(done.code, Some(2));
        assert!(done.err.contains(part), "{}\nlacks {part}", done.err);
    }
}

#[test]
fn a_pod_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pod.yaml"), POD).unwrap();
    let told = wavetank(dir.path(), &["explain", "--apply", "pod.yaml", "--for", "1m", "--pod", "default/a"]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert!(told.out.contains("created") && told.out.contains("why pending: "), "{}", told.out);
    let unknown = wavetank(dir.path(), &["explain", "--apply", "pod.yaml", "--for", "1s", "--pod", "b"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.err.contains("no pod default/b") && unknown.err.contains("default/a"), "{}", unknown.err);
}

#[test]
fn the_schema_is_printed() {
    let done = wavetank(Path::new("."), &["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((done.code, schema["title"].as_str()), (Some(0), Some("Wavetank scenario")));
}

#[test]
fn cgroups_are_shown_as_they_are_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pod.yaml"), POD).unwrap();
    let cluster = "until: 1h\ncluster: {pools: [{name: node, count: 2, cpu: 2, memory: 4Gi}]}\n\
        timeline: [{at: 5m, apply: pod.yaml}]\n";
    fs::write(dir.path().join("s.yaml"), format!("{HEAD}{cluster}")).unwrap();
    let before = wavetank(dir.path(), &["cgroups", "s.yaml", "--at", "4m"]);
    assert_eq!(before.code, Some(0), "{}", before.err);
    assert!(before.out.contains("node node-1\n/kubepods.slice\n  cpu.weight: 79\n"), "{}", before.out);
    assert!(!before.out.contains(".scope"), "{}", before.out);
    let after = wavetank(dir.path(), &["cgroups", "s.yaml", "--at", "6m"]);
    assert!(after.out.contains(".slice/cri-containerd-"), "{}", after.out);
    let absent = wavetank(dir.path(), &["cgroups", "s.yaml", "--at", "1m", "--node", "n"]);
    assert!(absent.code == Some(2) && absent.err.contains("no node n in this run"), "{}", absent.err);
}
