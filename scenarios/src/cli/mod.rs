//! The command line: arguments in, exit code out.

mod args;
mod cgroups;
mod compare;
mod exit;
mod explain;
mod problem;
mod progress;
mod run;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::filter::LevelFilter;

use args::{Cli, Command};
pub use exit::Exit;

use crate::{conformance, format, import};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // Help and version come as errors too, but are none.
            let exit = if error.use_stderr() { Exit::BadInput } else { Exit::Passed };
            return exit.report();
        }
    };
    problem::install();
    let level = match cli.verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    // Without times: the only clock that matters here is the simulated one.
    tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).without_time().init();
    let exit = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Cgroups(args) => cgroups::cgroups(args),
        Command::Explain(args) => explain::explain(&args),
        Command::Diff(args) => compare::diff(&args.a, &args.b),
        Command::Conformance(args) => conformance(args),
        Command::Import(args::Import { command: args::ImportCommand::Openb(args) }) => openb(&args),
        Command::Schema => schema(),
    };
    exit.report()
}

fn conformance(args: args::Conformance) -> Exit {
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
            problem::text(&error.to_string());
            Exit::BadInput
        }
    }
}

fn openb(args: &args::Openb) -> Exit {
    match import::openb(&args.nodes, &args.pods, &args.out) {
        Ok(done) => {
            for line in &done.skipped {
                problem::warning(line);
            }
            println!(
                "{}: {} nodes, {} pods in {} classes{}",
                args.out.join("scenario.yaml").display(),
                done.nodes,
                done.pods,
                done.classes,
                if done.skipped.is_empty() {
                    String::new()
                } else {
                    format!(", {} pods skipped", done.skipped.len())
                }
            );
            Exit::Passed
        }
        Err(error) => {
            problem::one(&error);
            Exit::BadInput
        }
    }
}

fn schema() -> Exit {
    match serde_json::to_string_pretty(&format::schema()) {
        Ok(text) => {
            println!("{text}");
            Exit::Passed
        }
        Err(error) => {
            problem::text(&error.to_string());
            Exit::RunFailed
        }
    }
}
