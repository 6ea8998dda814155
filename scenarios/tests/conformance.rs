//! Recorded answers of the real components: those in `tests/vectors` always, those outside the repository where they
//! are there.

use std::path::{Path, PathBuf};

use scenarios::conformance::{Options, Tally, run};

/// Files of the outside folder that pass as a whole.
const OUTSIDE: &[&str] = &[
    "controllers/intstr.json",
    "dra/bench.json",
    "dra/catalog.json",
    "dra/cel.json",
    "dra/quirks.json",
    "dra/random.json",
    "dra/upstream.json",
    "kubelet/pod_actions.json",
    "kubelet/pod_conditions.json",
    "kubelet/pod_phase.json",
    "kubelet/pod_requests.json",
    "kubelet/qos.json",
    "kubelet/termination_derived.json",
];

/// Areas of scheduler files that pass.
const SCHEDULER: &[&str] = &[
    "fit",
    "gates",
    "nodeaffinity",
    "podaffinity",
    "ports",
    "preemption",
    "sampling",
    "scoring",
    "spread",
    "taints",
    "volumes",
];

fn check(paths: Vec<PathBuf>) {
    let mut out = Vec::new();
    let mut notices = Vec::new();
    let options = Options { paths, ..Options::default() };
    let tally = run(&options, &mut out, &mut notices).expect("vectors can be read");
    let report = String::from_utf8_lossy(&out);
    assert!(matches!(tally, Tally { passed: 1.., failed: 0 }), "{report}");
}

#[test]
fn committed_vectors_pass() {
    check(vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")]);
}

#[test]
fn outside_vectors_pass() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
    let folder = PathBuf::from(std::env::var_os("WAVETANK_VECTORS").unwrap_or_else(|| default.into()));
    let outside = OUTSIDE.iter().map(|file| folder.join(file));
    let outside = outside.chain(SCHEDULER.iter().map(|area| folder.join("scheduler").join(area)));
    let (there, missing): (Vec<PathBuf>, Vec<PathBuf>) = outside.partition(|path| path.exists());
    if !missing.is_empty() {
        let required = std::env::var("WAVETANK_REQUIRE_VECTORS").is_ok_and(|v| v == "1");
        assert!(!required, "missing: {missing:?}");
        println!("skipped {} vector files that are not in {}", missing.len(), folder.display());
    }
    if !there.is_empty() {
        check(there);
    }
}
