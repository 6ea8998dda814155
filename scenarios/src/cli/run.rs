//! `wavetank run`.

use std::path::{Path, PathBuf};

use sim_core::load::{LoadError, LoadErrors};

use super::args::{Input, Run};
use super::compare::same_again;
use super::exit::Exit;
use super::problem;
use super::progress::Follower;
use crate::format::{Manifest, NodePool, Scenario};
use crate::plan::{Plan, Settings, from_file, from_scenario};
use crate::runner::{Failure, Finished, Wall, run as run_plan};

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
    if let (Some(file), Some(scheduler)) = (&args.metrics, finished.cluster.scheduler()) {
        let text = scheduler.metrics().to_string();
        std::fs::write(file, text)
            .map_err(|error| std::io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
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

pub(super) fn bad_input(errors: &LoadErrors) -> Exit {
    problem::all(errors);
    Exit::BadInput
}

/// The plan that the arguments ask for.
pub(super) fn plan_of(input: &Input) -> Result<Plan, LoadErrors> {
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
