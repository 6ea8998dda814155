//! The library of scenarios: each is run twice, its digests are compared, its expectations hold, and its summary is the
//! committed one. `UPDATE_EXPECT=1` rewrites the summaries.

use std::fs;
use std::path::PathBuf;

use scenarios::plan::{Settings, from_file};
use scenarios::runner::{Silent, run};

fn check(name: &str) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("library").join(format!("{name}.yaml"));
    let plan = from_file(&file, &Settings::default()).unwrap_or_else(|e| panic!("{e}"));
    let first = run(&plan, &mut Silent).unwrap_or_else(|e| panic!("{e}"));
    let second = run(&plan, &mut Silent).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(first.summary.digest, second.summary.digest, "two runs of {name} differ");
    let reseeded = from_file(&file, &Settings { seed: Some(12_345), ..Settings::default() });
    let other =
        run(&reseeded.unwrap_or_else(|e| panic!("{e}")), &mut Silent).unwrap_or_else(|e| panic!("{e}"));
    assert_ne!(first.summary.digest, other.summary.digest, "the seed of {name} changes nothing");

    // The digest is compared above; in a committed text it would only say that something changed somewhere.
    let text = first.summary.to_text();
    let mut text: String =
        text.lines().filter(|l| !l.starts_with("digest ")).map(|l| format!("{l}\n")).collect();
    for notice in &first.notices {
        text.push_str(&format!("notice: {notice}\n"));
    }
    let golden = root.join("tests/golden").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&golden, &text).unwrap();
    }
    assert!(first.summary.holds(), "an expectation of {name} failed:\n{text}");
    let committed = fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(text, committed, "the summary of {name} changed; see it, then UPDATE_EXPECT=1");
}

macro_rules! library {
    ($($test:ident: $name:literal,)*) => {
        $( #[test] fn $test() { check($name); } )*

        /// No scenario is left out of the tests, and each tells its story in its first line.
        #[test]
        fn the_list_is_whole() {
            let library = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("library");
            let mut found: Vec<String> = Vec::new();
            let files = |folder: &str| fs::read_dir(library.join(folder)).unwrap().map(|e| e.unwrap().path());
            for path in files("").chain(files("devices")) {
                if path.extension().is_none_or(|extension| extension != "yaml") {
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                assert!(text.starts_with("# "), "{} has no story", path.display());
                let name = path.strip_prefix(&library).unwrap().with_extension("");
                found.push(name.to_string_lossy().into_owned());
            }
            found.sort();
            assert_eq!(found, [$($name),*]);
        }
    };
}

library! {
    broken_image: "broken-image",
    cordon: "cordon",
    crash_loop: "crash-loop",
    daemonset: "daemonset",
    devices_fallback: "devices/fallback",
    devices_gpu_failure: "devices/gpu-failure",
    devices_h100_classes: "devices/h100-classes",
    devices_inference_fleet: "devices/inference-fleet",
    devices_training_topology: "devices/training-topology",
    gangs: "gangs",
    gated_pods: "gated-pods",
    job_with_sidecar: "job-with-sidecar",
    late_node: "late-node",
    preemption: "preemption",
    rollout: "rollout",
    scale_to_1000: "scale-to-1000",
}
