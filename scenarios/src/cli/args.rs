//! Arguments.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use sim_core::load::Strictness;
use sim_scheduler::explain::Show;

use super::exit;
use crate::format::{Duration, NodeSize, Preset};

/// A deterministic simulator of a whole Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(name = "wavetank", version, about, after_help = exit::HELP)]
pub(super) struct Cli {
    /// More of what happens inside, on standard error; repeat for more.
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(super) verbose: u8,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a scenario, or nodes and manifests given here.
    Run(Run),
    /// Print what is written to the cgroups of the nodes, at a time.
    Cgroups(Cgroups),
    /// Tell the life of one pod, why it is where it is, and what would have placed it.
    Explain(Explain),
    /// Name the first record in which two runs differ.
    Diff(Diff),
    /// Replay recorded answers of the real components and compare.
    Conformance(Conformance),
    /// Make a scenario from recorded data.
    Import(Import),
    /// Print the JSON Schema of scenario files.
    Schema,
}

/// What goes into a run.
#[derive(Debug, Args)]
pub(super) struct Input {
    /// Scenario file, or a folder with a scenario.yaml.
    #[arg(value_name = "FILE|DIR")]
    pub(super) scenario: Option<PathBuf>,
    /// Add this many nodes.
    #[arg(long, value_name = "N")]
    pub(super) nodes: Option<u32>,
    /// Size of the nodes of --nodes: 8cpu,32Gi (also 110pods and name=quantity).
    #[arg(long, value_name = "SIZE", requires = "nodes")]
    pub(super) node_size: Option<NodeSize>,
    /// Apply a manifest at the start; repeats. Nodes may come from manifests, too.
    #[arg(long, value_name = "FILE")]
    pub(super) apply: Vec<PathBuf>,
    /// Put the objects of a dump in place at the start, status and all; repeats.
    #[arg(long, value_name = "FILE")]
    pub(super) cluster: Vec<PathBuf>,
    /// Seed of all randomness.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// End of the run in simulated time, e.g. 10m.
    #[arg(long, visible_alias = "for", value_name = "DURATION")]
    pub(super) until: Option<Duration>,
    /// How long things take.
    #[arg(long, value_name = "NAME")]
    pub(super) timing: Option<TimingName>,
    /// KubeSchedulerConfiguration file.
    #[arg(long, value_name = "FILE")]
    pub(super) scheduler_config: Option<PathBuf>,
    /// Call the extenders of the scheduler, and put their answers on a cassette.
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub(super) record: Option<PathBuf>,
    /// Take the answers of the extenders from a cassette, and call nobody.
    #[arg(long, value_name = "FILE")]
    pub(super) replay: Option<PathBuf>,
    /// Unknown and duplicate fields; without it: strict, and warn for items of lists.
    #[arg(long, value_name = "MODE")]
    pub(super) validate: Option<Validate>,
    /// Refuse objects in namespaces that nobody created, as upstream does.
    #[arg(long)]
    pub(super) strict_namespaces: bool,
    /// Longest input file: bytes, or a quantity such as 512Mi.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "1Gi")]
    pub(super) max_input: usize,
}

fn bytes(text: &str) -> Result<usize, String> {
    let quantity: sim_core::quantity::Quantity = text.parse().map_err(|e| format!("{e}"))?;
    usize::try_from(quantity.value()).map_err(|_| "negative".to_owned())
}

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) input: Input,
    /// Run twice and compare the digests; names the first record that differs.
    #[arg(long)]
    pub(super) check: bool,
    /// Write events.jsonl, objects.yaml and summary.json into this folder.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Write the scheduler's metrics at the end of the run, in the text form of Prometheus.
    #[arg(long, value_name = "FILE")]
    pub(super) metrics: Option<PathBuf>,
    /// Print the summary as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Cgroups {
    #[command(flatten)]
    pub(super) input: Input,
    /// When to look, in simulated time, e.g. 5m; without it: at the end of the run.
    #[arg(long, value_name = "DURATION", conflicts_with = "until")]
    pub(super) at: Option<Duration>,
    /// Only this node.
    #[arg(long, value_name = "NODE")]
    pub(super) node: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    pub(super) input: Input,
    /// The pod, as NAMESPACE/NAME or NAME.
    #[arg(value_name = "POD", required_unless_present = "pod")]
    pub(super) named: Option<String>,
    /// The same, where no scenario is named before it.
    #[arg(long, value_name = "POD", conflicts_with = "named")]
    pub(super) pod: Option<String>,
    /// The attempt to show, from 1; without it: the last one.
    #[arg(long, value_name = "N")]
    pub(super) attempt: Option<u32>,
    /// Show only what was said of this node.
    #[arg(long, value_name = "NODE")]
    pub(super) node: Option<String>,
    /// Which nodes to list one by one.
    #[arg(long, value_name = "NODES", default_value = "best")]
    pub(super) show: Shown,
    /// A table for people, or everything as JSON.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(super) format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Shown {
    /// The feasible ones with the highest scores.
    Best,
    /// Those that were refused, or would have been.
    Refused,
    /// All.
    All,
}

impl From<Shown> for Show {
    fn from(shown: Shown) -> Show {
        match shown {
            Shown::Best => Show::Best,
            Shown::Refused => Show::Refused,
            Shown::All => Show::All,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// Output folder of one run.
    #[arg(value_name = "DIR_A")]
    pub(super) a: PathBuf,
    /// Output folder of the other.
    #[arg(value_name = "DIR_B")]
    pub(super) b: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Conformance {
    /// Leave preemption out of scheduler files.
    #[arg(long)]
    pub(super) no_postfilter: bool,
    /// Print the first difference of this file.
    #[arg(long, value_name = "FILE")]
    pub(super) explain: Option<PathBuf>,
    /// Vector files, or folders of them.
    #[arg(value_name = "PATH", required_unless_present = "explain")]
    pub(super) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(subcommand)]
    pub(super) command: ImportCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// The Alibaba GPU trace of 2023.
    Openb(Openb),
}

#[derive(Debug, Args)]
pub(super) struct Openb {
    /// Node list (CSV).
    #[arg(long, value_name = "FILE")]
    pub(super) nodes: PathBuf,
    /// Pod list (CSV).
    #[arg(long, value_name = "FILE")]
    pub(super) pods: PathBuf,
    /// Folder to write scenario.yaml into.
    #[arg(short, long, value_name = "DIR")]
    pub(super) out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum TimingName {
    /// Nothing takes time.
    Instant,
    /// A healthy mid-size cluster.
    Typical,
}

impl From<TimingName> for Preset {
    fn from(name: TimingName) -> Preset {
        match name {
            TimingName::Instant => Preset::Instant,
            TimingName::Typical => Preset::Typical,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Validate {
    /// They are errors.
    Strict,
    /// They are dropped with a notice.
    Warn,
    /// They are dropped.
    Ignore,
}

impl From<Validate> for Strictness {
    fn from(mode: Validate) -> Strictness {
        match mode {
            Validate::Strict => Strictness::Strict,
            Validate::Warn => Strictness::Warn,
            Validate::Ignore => Strictness::Ignore,
        }
    }
}
