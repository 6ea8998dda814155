//! `wavetank run` and `wavetank explain`.

use std::path::{Path, PathBuf};

use sim_cluster::Cluster;
use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_core::load::{LoadError, LoadErrors};

use super::args::{Explain, Input, Run};
use super::compare::same_again;
use super::exit::Exit;
use super::problem;
use super::progress::Follower;
use crate::format::{Manifest, NodePool, Scenario};
use crate::plan::{Plan, Settings, from_file, from_scenario};
use crate::runner::{Failure, Finished, Story, Wall, run as run_plan};

/// `wavetank run`.
pub(super) fn run(args: &Run) -> Exit {
    let plan = match plan_of(&args.input) {
        Ok(plan) => plan,
        Err(errors) => return bad_input(&errors),
    };
    match run_and_report(&plan, args) {
        Ok(exit) => exit,
        Err(Failure::Input(errors)) => bad_input(&errors),
        Err(Failure::Io(error)) => {
            problem::text(&error.to_string());
            Exit::RunFailed
        }
    }
}

fn run_and_report(plan: &Plan, args: &Run) -> Result<Exit, Failure> {
    let mut follower = Follower::new(plan.until, args.out.as_deref(), plan.epoch)?;
    let clock = Clock::start();
    let result = run_plan(plan, &mut follower);
    let out = follower.done();
    let mut finished = result?;
    let seconds = clock.seconds();
    let events_per_second = if seconds > 0.0 { finished.summary.engine_events as f64 / seconds } else { 0.0 };
    finished.summary.wall = Some(Wall { seconds, events_per_second });
    for notice in &finished.notices {
        problem::warning(notice);
    }
    if let Some(out) = out {
        out.finish(&finished.cluster, &finished.summary)?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&finished.summary).map_err(std::io::Error::from)?);
    } else {
        print!("{}", finished.summary.to_text());
    }
    let same = !args.check || same_again(plan, &finished.summary.digest)?;
    if args.check && same && !args.json {
        println!("checked: a second run has the same digest");
    }
    Ok(exit_of(&finished, same))
}

fn exit_of(finished: &Finished, same: bool) -> Exit {
    if let Some(error) = &finished.error {
        problem::text(&error.to_string());
        return Exit::RunFailed;
    }
    if !same {
        problem::text("InvariantBroken: the same input and seed gave two digests");
        return Exit::RunFailed;
    }
    let failed: Vec<_> = finished.summary.expectations.iter().filter(|e| !e.held).collect();
    for expectation in &failed {
        problem::text(&format!("expectation failed: {}", expectation.expectation));
        for line in &expectation.evidence {
            eprintln!("  {line}");
        }
    }
    if failed.is_empty() { Exit::Passed } else { Exit::ExpectationFailed }
}

/// `wavetank explain`.
pub(super) fn explain(args: &Explain) -> Exit {
    let plan = match plan_of(&args.input) {
        Ok(plan) => plan,
        Err(errors) => return bad_input(&errors),
    };
    let (namespace, name) = args.pod.split_once('/').unwrap_or(("default", &args.pod));
    let mut story = Story::of(namespace, name);
    let finished = match run_plan(&plan, &mut story) {
        Ok(finished) => finished,
        Err(Failure::Input(errors)) => return bad_input(&errors),
        Err(Failure::Io(error)) => {
            problem::text(&error.to_string());
            return Exit::RunFailed;
        }
    };
    if story.is_empty() {
        problem::text(&format!("no pod {namespace}/{name} in this run"));
        suggest(&finished.cluster, namespace);
        return Exit::BadInput;
    }
    print!("{}", story.to_text());
    println!("{}", state_of(&finished.cluster, &Key::new(namespace, name)));
    match finished.error {
        Some(error) => {
            problem::text(&error.to_string());
            Exit::RunFailed
        }
        None => Exit::Passed,
    }
}

fn suggest(cluster: &Cluster, namespace: &str) {
    let pods = cluster.list(Kind::POD);
    let names: Vec<String> = pods
        .iter()
        .filter(|p| p.meta.namespace() == namespace)
        .take(10)
        .map(|p| p.key().to_string())
        .collect();
    if !names.is_empty() {
        eprintln!("  pods at the end of the run: {}", names.join(", "));
    }
}

/// What the pod is at the end, and why it is pending if it is.
fn state_of(cluster: &Cluster, key: &Key) -> String {
    let now = cluster.now();
    let Some(object) = cluster.api().store.get(Kind::POD, key) else {
        return format!("at {now} the pod is gone");
    };
    let Some(pod) = object.as_pod() else { return String::new() };
    let mut out = format!("at {now}: {}", pod.status.phase.as_str());
    if !pod.node_name.is_empty() {
        out.push_str(&format!(" on {}", pod.node_name));
    }
    for condition in &pod.status.conditions {
        out.push_str(&format!("\n  {}={}", condition.kind, condition.status.as_str()));
        if !condition.reason.is_empty() {
            out.push_str(&format!(" ({})", condition.reason));
        }
        if !condition.message.is_empty() {
            out.push_str(&format!(": {}", condition.message));
        }
    }
    if pod.node_name.is_empty() {
        let unscheduled = pod.status.condition("PodScheduled");
        let why = match cluster.why_pending(key) {
            none if none.is_empty() => unscheduled.map_or_else(String::new, |c| c.message.to_string()),
            why => why,
        };
        let why = if why.is_empty() { "the scheduler has not looked at it yet" } else { &why };
        out.push_str(&format!("\nwhy pending: {why}"));
    }
    out
}

fn bad_input(errors: &LoadErrors) -> Exit {
    problem::all(errors);
    Exit::BadInput
}

/// The plan that the arguments ask for.
fn plan_of(input: &Input) -> Result<Plan, LoadErrors> {
    let settings = Settings {
        seed: input.seed,
        until: input.until.map(|d| d.0),
        timing: input.timing.map(Into::into),
        scheduler_config: input.scheduler_config.clone(),
        record: input.record.clone(),
        replay: input.replay.clone(),
        validate: input.validate.map(Into::into),
        strict_namespaces: input.strict_namespaces,
        max_input: input.max_input,
    };
    let added = added(input);
    match (&input.scenario, added) {
        (Some(path), None) => from_file(path, &settings),
        (None, Some(scenario)) => from_scenario(scenario, Path::new(""), "command line", &settings),
        (Some(path), Some(mut scenario)) => {
            // What is given beside a scenario is added to it; the scenario's own settings stand.
            let file = if path.is_dir() { path.join("scenario.yaml") } else { path.clone() };
            let own = from_file(path, &settings)?;
            let ends = settings.until.is_some();
            scenario.include = vec![file];
            let rest = Settings { scheduler_config: None, record: None, replay: None, ..settings };
            let mut plan = from_scenario(scenario, Path::new(""), &own.name, &rest)?;
            plan.seed = own.seed;
            plan.timing = own.timing;
            plan.strict_namespaces = own.strict_namespaces;
            plan.scheduler_config = own.scheduler_config;
            plan.extenders = own.extenders;
            plan.until = if ends { plan.until } else { own.until };
            Ok(plan)
        }
        (None, None) => Err(LoadError::new("nothing to run")
            .with_help("name a scenario, or give --nodes and --apply; see `wavetank run --help`")
            .into()),
    }
}

/// A scenario of what is given on the command line, if anything is.
fn added(input: &Input) -> Option<Scenario> {
    if input.nodes.is_none() && input.apply.is_empty() && input.cluster.is_empty() {
        return None;
    }
    let mut scenario = Scenario::empty();
    if let Some(count) = input.nodes {
        let mut pool = NodePool { count: Some(count), ..NodePool::named("node") };
        if let Some(size) = &input.node_size {
            pool.cpu = crate::format::Text(size.cpu.clone());
            pool.memory = crate::format::Text(size.memory.clone());
            pool.pods = size.pods.unwrap_or(pool.pods);
            pool.resources = size.resources.clone();
        }
        scenario.cluster.pools.push(pool);
    }
    scenario.cluster.files = input.cluster.clone();
    scenario.manifests = input.apply.iter().map(|p: &PathBuf| Manifest::File(p.clone())).collect();
    Some(scenario)
}

/// The wall clock: for the report only, never seen by the simulation.
#[expect(clippy::disallowed_types, reason = "the report states the wall time of the run")]
struct Clock(std::time::Instant);

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "as above: one reading at the start"
    )]
    fn start() -> Clock {
        Clock(std::time::Instant::now())
    }

    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}
