//! Runs workloads and says what they cost: `cargo run --release -p benches --bin workloads -- [NAME…]`.
//!
//! Every run is a process of its own, so that its peak of memory and its CPU time are nobody else's.

use std::process::{Command, ExitCode};

use benches::workloads::alone::Alone;
use benches::workloads::cluster::InCluster;
use benches::workloads::measure::peak_rss;
use benches::workloads::player::{Played, play};
use benches::workloads::{Attempts, Size, Templates, Workload, all};
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};
use sim_core::time::Span;
use sim_scheduler::Scheduler;
use sim_scheduler::cycle::Sampling;
use sim_scheduler::scheduler::Engine;

/// Runs the workloads of benches/workloads and says what they cost.
#[derive(Debug, Parser)]
struct Args {
    /// Workloads, as SchedulingBasic or SchedulingBasic/5Nodes; without, all sizes that have thresholds.
    names: Vec<String>,
    /// Only with all nodes evaluated for every pod.
    #[arg(long, conflicts_with = "sampled")]
    all_nodes: bool,
    /// Only with upstream's sampling of nodes.
    #[arg(long)]
    sampled: bool,
    /// Way through a scheduling cycle.
    #[arg(long, value_enum, default_value = "fast")]
    engine: EngineName,
    /// What is run.
    #[arg(long, value_enum, default_value = "scheduler")]
    stage: StageName,
    /// Does not fail below thresholds.
    #[arg(long)]
    no_check: bool,
    /// Lists workloads and sizes, and runs nothing.
    #[arg(long)]
    list: bool,
    /// Runs exactly one in this process, and prints its result as JSON.
    #[arg(long, hide = true)]
    here: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineName {
    /// Answers are kept per pod class and node.
    Fast,
    /// Everything is asked every time.
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StageName {
    /// The scheduler alone, answered at once.
    Scheduler,
    /// The scheduler on an API server: defaulting, admission, validation, store, watches.
    Cluster,
}

/// What one run came to, from one process to the other.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    pods: usize,
    cpu_nanos: u64,
    attempts: Attempts,
    digest: String,
    peak: Option<u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// True if nothing is below its threshold.
fn run(args: &Args) -> Result<bool, String> {
    let workloads = all()?;
    let chosen = chosen(&workloads, &args.names)?;
    if args.list {
        for (workload, size) in &chosen {
            println!("{}/{}  {}", workload.name, size.name, workload.about);
        }
        return Ok(true);
    }
    if args.here {
        let &[(workload, size)] = chosen.as_slice() else { return Err("one workload, please".to_owned()) };
        let measured = measure(args, workload, size)?;
        println!("{}", serde_json::to_string(&measured).map_err(|e| e.to_string())?);
        return Ok(true);
    }
    println!("{HEAD}");
    let mut good = true;
    for (workload, size) in chosen {
        for all_nodes in [true, false] {
            if (args.all_nodes && !all_nodes) || (args.sampled && all_nodes) {
                continue;
            }
            good &= report(args, workload, size, all_nodes)?;
        }
    }
    Ok(good || args.no_check)
}

/// The sizes that are named; without names, those with thresholds.
fn chosen<'w>(workloads: &'w [Workload], names: &[String]) -> Result<Vec<(&'w Workload, &'w Size)>, String> {
    let sizes = workloads.iter().flat_map(|w| w.sizes.iter().map(move |size| (w, size)));
    if names.is_empty() {
        return Ok(sizes.filter(|(_, size)| size.thresholds.is_some()).collect());
    }
    let mut found = Vec::new();
    for name in names {
        let before = found.len();
        found.extend(sizes.clone().filter(|(workload, size)| match name.split_once('/') {
            Some((workload_name, size_name)) => workload.name == workload_name && size.name == size_name,
            None => workload.name == *name && size.thresholds.is_some(),
        }));
        if found.len() == before {
            return Err(format!("there is no workload {name}; --list NAME lists sizes"));
        }
    }
    Ok(found)
}

fn measure(args: &Args, workload: &Workload, size: &Size) -> Result<Measured, String> {
    let mut scheduler = Scheduler::default();
    scheduler.engine = match args.engine {
        EngineName::Fast => Engine::Fast,
        EngineName::Plain => Engine::Plain,
    };
    if args.all_nodes {
        scheduler.sampling = Sampling::All;
    }
    let cycle = workload.scheduling_cycle.map_or(Span::ZERO, |cycle| cycle.0);
    let (templates, features) = (Templates::load()?, workload.features()?);
    let Played { pods, cpu_nanos, attempts, digest } = match args.stage {
        StageName::Scheduler => {
            play(workload, size, &templates, &mut Alone::new(scheduler, cycle, features))?
        }
        StageName::Cluster => {
            play(workload, size, &templates, &mut InCluster::new(scheduler, cycle, features))?
        }
    };
    Ok(Measured { pods, cpu_nanos, attempts, digest, peak: peak_rss() })
}

/// Runs one in a process of its own.
fn apart(args: &Args, name: &str, all_nodes: bool) -> Result<Measured, String> {
    let value = |name: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        name().map(|v| v.get_name().to_owned()).unwrap_or_default()
    };
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(program);
    command.args(["--here", name, if all_nodes { "--all-nodes" } else { "--sampled" }]);
    command.args(["--engine", &value(&|| args.engine.to_possible_value())]);
    command.args(["--stage", &value(&|| args.stage.to_possible_value())]);
    let output = command.output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())
}

const HEAD: &str = "| workload | nodes | pods | attempts | preempting | CPU s | pods/CPU-s | threshold | peak MiB \
                    | upstream's floor (wall) | digest |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|";

/// Runs one, prints its row; true unless it is below its thresholds.
fn report(args: &Args, workload: &Workload, size: &Size, all_nodes: bool) -> Result<bool, String> {
    let name = format!("{}/{}", workload.name, size.name);
    let nodes = if all_nodes { "all" } else { "sampled" };
    let measured = match apart(args, &name, all_nodes) {
        Ok(measured) => measured,
        Err(error) => {
            println!("| {name} | {nodes} | failed: {} |", error.replace('\n', " "));
            return Ok(false);
        }
    };
    let seconds = measured.cpu_nanos as f64 / 1e9;
    let rate = measured.pods as f64 / seconds.max(1e-9);
    // Thresholds are those of the fast engine alone.
    let checked = args.engine == EngineName::Fast && args.stage == StageName::Scheduler;
    let threshold =
        size.thresholds.filter(|_| checked).map(|t| if all_nodes { t.all_nodes } else { t.sampled });
    let peak = measured.peak.map(|bytes| bytes.div_ceil(1 << 20));
    let too_slow = threshold.is_some_and(|least| rate < f64::from(least));
    let too_big = peak.zip(size.peak_mib).is_some_and(|(is, most)| is > most);
    let mark = |bad: bool| if bad { " (missed)" } else { "" };
    let number = |n: Option<u64>| n.map_or_else(|| "–".to_owned(), |n| n.to_string());
    println!(
        "| {name} | {nodes} | {} | {} | {} | {seconds:.3} | {rate:.0} | {}{} | {}{} | {} | {} |",
        measured.pods,
        measured.attempts.all,
        measured.attempts.preempting,
        number(threshold.map(u64::from)),
        mark(too_slow),
        number(peak),
        mark(too_big),
        number(size.upstream_floor.map(u64::from)),
        &measured.digest[..measured.digest.len().min(8)],
    );
    Ok(!too_slow && !too_big)
}
