//! `wavetank conformance`: recorded answers of the real components, replayed and compared.
//!
//! Files are known by their form, not by their name or folder, so that further files of the same formats run too:
//!
//! | form | unit | line |
//! |---|---|---|
//! | `{"scenario": …, "expected": {"steps": …}}` | the file | its `scenario.area` |
//! | `{"group": …, "vectors": [{"input": …, "expected": …}]}` | the vector | its group |
//! | `[{"claimsToAllocate": …}]`, `[{"expression": …}]` | the vector | `dra/` and the file's stem |
//! | `[…]` of whole files of the first two forms (how ours are bundled) | as theirs | as theirs |
//!
//! A group without an adapter in [`ADAPTERS`] counts as failed. JSON of any other form is left alone with a notice;
//! a `.json` file that is not JSON at all is an error, because a broken vector must not look like a passed one.

mod cgroup_names;
mod cgroup_pod_config;
mod controller_utils;
mod controllers;
mod cpu_conversions;
mod defaulting;
mod deployment_rolling;
mod deployment_scale;
mod deployment_util;
mod dra;
mod dra_cel;
mod eviction;
mod eviction_mgr;
mod hpa_behavior;
mod hpa_replica_calc;
mod intstr;
mod job_backoff;
mod job_indexed;
mod job_success_policy;
mod names;
mod node_allocatable;
mod oom_score_adj;
mod patches;
mod pod_actions;
mod pod_conditions;
mod pod_failure_policy;
mod pod_phase;
mod pod_requests;
mod qos;
mod quantity;
mod replicaset_utils;
mod schedconfig;
mod scheduler;
mod scheduler_queue;
mod selectors;
mod swap_memqos;
mod termination_derived;
mod validation;
mod walk;

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::Value;

/// Compares one vector: `Err` is the first difference, for people.
type Check = fn(input: &Value, expected: &Value) -> Result<(), String>;

/// Compares one scheduler file (`scenario` and `expected`).
type SchedulerCheck = fn(file: &Value, options: SchedulerOptions) -> Result<(), String>;

/// Group of a vector file (its `"group"`) to adapter. One line each, sorted by group. `group/Test` is for the vectors of
/// one upstream test (the part of a vector's name before its first `/` or `#`), where the fields alone do not say what is asked.
const ADAPTERS: &[(&str, Check)] = &[
    ("cgroup_names", cgroup_names::check),
    ("cgroup_names/TestCgroupNameToCgroupfs", cgroup_names::cgroupfs),
    ("cgroup_names/TestCgroupNameToSystemdBasename", cgroup_names::systemd_basename),
    ("cgroup_names/TestParseCgroupfsToCgroupName", cgroup_names::parse_cgroupfs),
    ("cgroup_pod_config", cgroup_pod_config::check),
    (
        "cgroup_pod_config/TestResourceConfigForPodWithCustomCPUCFSQuotaPeriod",
        cgroup_pod_config::custom_period,
    ),
    ("cgroup_pod_config/TestResourceConfigForPodWithEnforceMemoryQoS", cgroup_pod_config::memory_qos),
    ("controller_utils", controller_utils::check),
    ("cpu_conversions", cpu_conversions::check),
    ("defaulting", defaulting::check),
    ("deployment_rolling", deployment_rolling::check),
    ("deployment_scale", deployment_scale::check),
    ("deployment_util", deployment_util::check),
    ("deployment_util/TestMaxUnavailable", deployment_util::max_unavailable),
    ("deployment_util/TestMinAvailable", deployment_util::min_available),
    ("dra", dra::check),
    ("dra_cel", dra_cel::check),
    ("event_mapping", scheduler_queue::event_mapping::check),
    ("eviction", eviction::check),
    ("eviction_mgr", eviction_mgr::check),
    ("hints", scheduler_queue::hints::check),
    ("hpa_behavior/TestConvertDesiredReplicasWithRules", hpa_behavior::plain_rules),
    ("hpa_behavior/TestNormalizeDesiredReplicas", hpa_behavior::stabilized),
    ("hpa_behavior/TestNormalizeDesiredReplicasWithBehavior", hpa_behavior::stabilized_both),
    ("hpa_behavior/TestScalingWithRules", hpa_behavior::limited),
    ("hpa_behavior/TestStoreScaleEvents", hpa_behavior::stored),
    ("hpa_replica_calc", hpa_replica_calc::check),
    ("intstr", intstr::check),
    ("job_backoff", job_backoff::check),
    ("job_indexed", job_indexed::check),
    ("job_success_policy", job_success_policy::check),
    ("names", names::check),
    ("node_allocatable", node_allocatable::check),
    ("node_allocatable/TestNodeAllocatableForEnforcement", node_allocatable::enforcement),
    ("oom_score_adj", oom_score_adj::check),
    ("patches", patches::check),
    ("pod_actions", pod_actions::check),
    ("pod_conditions", pod_conditions::check),
    ("pod_failure_policy", pod_failure_policy::check),
    ("pod_phase", pod_phase::check),
    ("pod_requests", pod_requests::check),
    ("qos", qos::check),
    ("quantity", quantity::check),
    ("queue_traces", scheduler_queue::traces::check),
    ("replicaset_utils", replicaset_utils::check),
    ("schedconfig", schedconfig::check),
    ("selectors", selectors::check),
    ("sort", scheduler_queue::sort::check),
    ("swap_memqos", swap_memqos::check),
    ("termination_derived", termination_derived::check),
    ("validation", validation::check),
];

/// The adapter of scheduler files.
const SCHEDULER: Option<SchedulerCheck> = Some(scheduler::check);

/// How scheduler files are compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct SchedulerOptions {
    /// Leave out `postFilter`, the text it appends to `message`, `weights`, `filterOrder`, and the steps after a
    /// file's first preemption.
    pub no_postfilter: bool,
}

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How scheduler files are compared.
    pub scheduler: SchedulerOptions,
    /// Print the first difference of this file.
    pub explain: Option<PathBuf>,
    /// Files and folders. Empty: only `explain`.
    pub paths: Vec<PathBuf>,
}

/// Units passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Units equal to the record.
    pub passed: usize,
    /// Units that differ, or that nothing implements yet.
    pub failed: usize,
}

impl Tally {
    fn total(self) -> usize {
        self.passed + self.failed
    }

    fn count(&mut self, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }
}

/// Why nothing could be compared. All of these are bad input (exit code 2).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path that cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A `.json` file that is not JSON.
    #[error("{}: not JSON: {source}", path.display())]
    NotJson {
        /// The path.
        path: PathBuf,
        /// Line and column.
        source: serde_json::Error,
    },
    /// No file of a known form.
    #[error("no vector found in {}", paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))]
    NothingFound {
        /// Where we looked.
        paths: Vec<PathBuf>,
    },
    /// The output is gone.
    #[error("cannot write the result: {0}")]
    Write(#[from] io::Error),
}

/// One comparison that can be run.
struct Unit<'a> {
    row: String,
    name: &'a str,
    run: Run<'a>,
}

enum Run<'a> {
    Scheduler(&'a Value),
    Group { check: Option<Check>, input: &'a Value, expected: &'a Value },
}

impl Unit<'_> {
    fn run(&self, options: SchedulerOptions) -> Result<(), String> {
        let missing = || Err(format!("{} is not implemented", self.row));
        match &self.run {
            Run::Scheduler(file) => SCHEDULER.map_or_else(missing, |check| check(file, options)),
            Run::Group { check, input, expected } => check.map_or_else(missing, |c| c(input, expected)),
        }
    }
}

/// Runs everything, prints as promised: a line `name: passed/total` per area or group, and `N passed, M failed` last.
///
/// Notices and progress never go to `out`; files of unknown form are named on `notices`.
pub fn run(options: &Options, out: &mut dyn Write, notices: &mut dyn Write) -> Result<Tally, Error> {
    let mut rows: IndexMap<String, Tally> = IndexMap::new();
    let paths = match (&options.explain, options.paths.is_empty()) {
        (Some(file), true) => vec![file.clone()],
        _ => options.paths.clone(),
    };
    for path in walk::vector_files(&paths)? {
        let file = walk::read(&path)?;
        let units = units(&file, &path);
        if units.is_empty() {
            writeln!(notices, "{}: not a vector file, left alone", path.display())?;
        }
        for unit in units {
            let passed = unit.run(options.scheduler).is_ok();
            rows.entry(unit.row).or_default().count(passed);
        }
    }
    if rows.is_empty() {
        return Err(Error::NothingFound { paths });
    }
    if let Some(file) = &options.explain {
        explain(file, options.scheduler, out)?;
    }
    let mut all = Tally::default();
    for (row, tally) in &rows {
        writeln!(out, "{row}: {}/{}", tally.passed, tally.total())?;
        all.passed += tally.passed;
        all.failed += tally.failed;
    }
    writeln!(out, "{} passed, {} failed", all.passed, all.failed)?;
    Ok(all)
}

/// Prints the first difference of a file, or that there is none.
fn explain(path: &Path, options: SchedulerOptions, out: &mut dyn Write) -> Result<(), Error> {
    let file = walk::read(path)?;
    let units = units(&file, path);
    if units.is_empty() {
        return Err(Error::NothingFound { paths: vec![path.to_owned()] });
    }
    for unit in &units {
        if let Err(difference) = unit.run(options) {
            writeln!(out, "{}: {}: first difference:", path.display(), unit.name)?;
            for line in difference.lines() {
                writeln!(out, "  {line}")?;
            }
            return Ok(());
        }
    }
    writeln!(out, "{}: no difference", path.display())?;
    Ok(())
}

/// The units of a file, in its order; none if the form is unknown.
fn units<'a>(file: &'a Value, path: &Path) -> Vec<Unit<'a>> {
    match file {
        Value::Array(items) => items.iter().flat_map(|item| units_of_item(item, path)).collect(),
        other => units_of_file(other),
    }
}

fn units_of_item<'a>(item: &'a Value, path: &Path) -> Vec<Unit<'a>> {
    let group = if item.get("claimsToAllocate").is_some() {
        "dra"
    } else if item.get("expression").is_some() {
        "dra_cel"
    } else {
        return units_of_file(item);
    };
    let stem = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.split('.').next()).unwrap_or("");
    // The answer of the code with its index bug repaired is the one to reproduce where the two differ.
    let expected = item.get("expectedWithIndexBugFixed").or_else(|| item.get("expected")).unwrap_or(item);
    let run = Run::Group { check: adapter(group), input: item, expected };
    vec![Unit { row: format!("dra/{stem}"), name: text(item, "name"), run }]
}

fn units_of_file(file: &Value) -> Vec<Unit<'_>> {
    if let (Some(scenario), Some(_)) = (file.get("scenario"), file.pointer("/expected/steps")) {
        let row = text(scenario, "area").to_owned();
        return vec![Unit { row, name: text(scenario, "name"), run: Run::Scheduler(file) }];
    }
    let (Some(group), Some(vectors)) =
        (file.get("group").and_then(Value::as_str), file.get("vectors").and_then(Value::as_array))
    else {
        return Vec::new();
    };
    let unit = |vector| {
        let name = text(vector, "name");
        let test = name.split(['/', '#']).next().unwrap_or_default();
        let check = adapter(&format!("{group}/{test}")).or_else(|| adapter(group));
        let run = Run::Group { check, input: part(vector, "input"), expected: part(vector, "expected") };
        Unit { row: group.to_owned(), name, run }
    };
    vectors.iter().map(unit).collect()
}

fn adapter(group: &str) -> Option<Check> {
    ADAPTERS.iter().find(|(name, _)| *name == group).map(|(_, check)| *check)
}

fn part<'a>(vector: &'a Value, field: &str) -> &'a Value {
    vector.get(field).unwrap_or(&Value::Null)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}
