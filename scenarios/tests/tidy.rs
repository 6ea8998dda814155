//! Style is a test: the rules of the house that no lint knows. Each failure says what to do instead.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Longest source file, in lines: a longer one has more than one room in it.
const MAX_FILE_LINES: usize = 600;

/// Which crates of the workspace a crate may use (`ARCHITECTURE.md`, "Direction of dependency").
const MAY_USE: &[(&str, &[&str])] = &[
    ("sim-values", &[]),
    ("sim-cel", &["sim-values"]),
    ("sim-core", &["sim-values", "sim-cel"]),
    ("sim-dra", &["sim-cel", "sim-core", "sim-values"]),
    ("sim-scheduler", &["sim-core", "sim-dra"]),
    ("sim-kubelet", &["sim-core", "sim-dra"]),
    ("sim-controllers", &["sim-core", "sim-dra"]),
    ("sim-cluster", &["sim-core", "sim-dra", "sim-scheduler", "sim-kubelet", "sim-controllers"]),
    ("sim-edge", &["sim-core", "sim-scheduler"]),
    ("policies", &["sim-core", "sim-scheduler"]),
    (
        "scenarios",
        &[
            "sim-cel",
            "sim-core",
            "sim-dra",
            "sim-scheduler",
            "sim-kubelet",
            "sim-controllers",
            "sim-cluster",
            "sim-edge",
            "policies",
        ],
    ),
    (
        "benches",
        &[
            "sim-cel",
            "sim-core",
            "sim-dra",
            "sim-scheduler",
            "sim-kubelet",
            "sim-controllers",
            "sim-cluster",
            "policies",
            "scenarios",
        ],
    ),
];

/// Text that has no place in source, and what to write instead.
const BANNED: &[(&str, &str)] = &[
    (concat!("todo", "!("), "finish it, or leave it out and say so in the issue"),
    (concat!("unimplemented", "!("), "finish it, or leave it out and say so in the issue"),
    (concat!("dbg", "!("), "use tracing"),
    (concat!("// FIX", "ME"), "fix it, or write an issue"),
    (concat!("// XX", "X"), "fix it, or write an issue"),
    (concat!("rand::", "rng()"), "draw from a named stream: Seed::stream"),
    (concat!("thread_", "rng"), "draw from a named stream: Seed::stream"),
    (concat!("Random", "State"), "use IndexMap with FxBuildHasher, or BTreeMap"),
    (concat!("std::collections::Hash", "Map"), "use IndexMap, BTreeMap, or FxHashMap for look-ups"),
    (concat!("std::collections::Hash", "Set"), "use IndexSet, BTreeSet, or FxHashSet for look-ups"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// All `.rs` files of the workspace's crates.
fn sources() -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        let mut entries: Vec<_> =
            fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for (name, _) in MAY_USE {
        for part in ["src", "tests", "benches", "examples"] {
            walk(&root().join(name).join(part), &mut found);
        }
    }
    assert!(found.len() > 50, "the walk found only {} files", found.len());
    found
}

#[test]
fn crates_use_only_what_lies_below_them() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let names: Vec<&str> = packages.iter().map(|p| text(&p["name"])).collect();
    for package in packages {
        let name = text(&package["name"]);
        let allowed = MAY_USE.iter().find(|(n, _)| *n == name).map(|(_, below)| *below);
        let allowed = allowed
            .unwrap_or_else(|| panic!("crate {name} is not in the plan: write an ADR, then add it here"));
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = text(&dependency["name"]);
            assert!(!names.contains(&used) || allowed.contains(&used), "{name} must not use {used}");
            let versioned = dependency["features"].as_array().is_some_and(|f| !f.is_empty());
            let library = !["scenarios", "benches"].contains(&name) && dependency["kind"] != "dev";
            assert!(
                !(used == "k8s-openapi" && versioned && library),
                "{name} is a library: only binaries, benches, examples and tests choose a version of k8s-openapi"
            );
        }
    }
}

#[test]
fn files_are_one_room_each() {
    let mut long = Vec::new();
    for path in sources() {
        let lines = fs::read_to_string(&path).unwrap_or_default().lines().count();
        if lines > MAX_FILE_LINES {
            long.push(format!("{lines} {}", path.display()));
        }
    }
    assert!(long.is_empty(), "split by topic (at most {MAX_FILE_LINES} lines):\n{}", long.join("\n"));
}

#[test]
fn nothing_banned_is_written() {
    let mut hits = Vec::new();
    for path in sources() {
        let source = fs::read_to_string(&path).unwrap_or_default();
        for (number, line) in source.lines().enumerate() {
            for (banned, instead) in BANNED {
                if line.contains(banned) {
                    hits.push(format!("{}:{}: {banned}: {instead}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(hits.is_empty(), "{}", hits.join("\n"));
}

/// Every file below a `src` is a program or declared by a `mod` line of its parent, so none is dead.
#[test]
fn no_file_is_dead() {
    let mut declared: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut dead = Vec::new();
    for path in sources().into_iter().filter(|p| p.components().any(|c| c.as_os_str() == "src")) {
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        if ["lib", "main"].contains(&stem.as_str()) {
            continue;
        }
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        // A program of its own, as Cargo finds them.
        if folder.ends_with("src/bin") {
            continue;
        }
        let (name, home) = if stem == "mod" {
            let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            (name, folder.parent().unwrap_or(Path::new("")).to_owned())
        } else {
            (stem, folder)
        };
        let parents = declared.entry(home.clone()).or_insert_with(|| {
            let beside = home.with_extension("rs");
            let candidates = [home.join("lib.rs"), home.join("main.rs"), home.join("mod.rs"), beside];
            candidates.iter().filter_map(|p| fs::read_to_string(p).ok()).collect()
        });
        if !parents.contains(&format!("mod {name};")) && !parents.contains(&format!("\"{name}.rs\"")) {
            dead.push(path.display().to_string());
        }
    }
    assert!(dead.is_empty(), "no `mod` line declares:\n{}", dead.join("\n"));
}

#[test]
fn every_crate_says_what_it_is() {
    for (name, _) in MAY_USE {
        let lib = fs::read_to_string(root().join(name).join("src/lib.rs")).unwrap_or_default();
        let front: Vec<_> = lib.lines().take_while(|l| l.starts_with("//!")).collect();
        assert!(
            front.len() >= 3,
            "{name}/src/lib.rs needs a front page: role, invariant, an example that runs"
        );
    }
}
