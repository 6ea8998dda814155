//! The command line: arguments in, exit code out.

mod exit;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::conformance;
pub use exit::Exit;

/// A deterministic simulator of a whole Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(name = "wavetank", version, about, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replay recorded answers of the real components and compare.
    Conformance(Conformance),
}

#[derive(Debug, Args)]
struct Conformance {
    /// Leave preemption out of scheduler files.
    #[arg(long)]
    no_postfilter: bool,
    /// Print the first difference of this file.
    #[arg(long, value_name = "FILE")]
    explain: Option<PathBuf>,
    /// Vector files, or folders of them.
    #[arg(value_name = "PATH", required_unless_present = "explain")]
    paths: Vec<PathBuf>,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = match cli.command {
        Command::Conformance(args) => conformance(args),
    };
    exit.report()
}

fn conformance(args: Conformance) -> Exit {
    let options = conformance::Options {
        scheduler: conformance::SchedulerOptions { no_postfilter: args.no_postfilter },
        explain: args.explain,
        paths: args.paths,
    };
    let mut out = io::stdout().lock();
    match conformance::run(&options, &mut out, &mut io::stderr()) {
        Ok(tally) if tally.failed == 0 && tally.passed > 0 => Exit::Passed,
        Ok(_) => Exit::ExpectationFailed,
        Err(error) => {
            let _ = out.flush();
            eprintln!("error: {error}");
            Exit::BadInput
        }
    }
}
