//! A month of Jobs with claims on 200 nodes with GPUs, twice: `cargo run --release -p benches --bin month`.
//!
//! Prints what happened and the CPU time of each run; fails if the two differ, or if a run takes more than 5 CPU-seconds
//! and `--no-check` does not say otherwise.

use std::process::ExitCode;

use benches::month::{Outcome, Size, play};
use benches::workloads::measure::cpu_nanos;

/// What one run may cost.
const LIMIT_SECONDS: f64 = 5.0;

fn main() -> ExitCode {
    match run(std::env::args().any(|arg| arg == "--no-check")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(unchecked: bool) -> Result<(), Box<dyn std::error::Error>> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut least = f64::INFINITY;
    for _ in 0..2 {
        let before = cpu_nanos();
        let outcome = play(1, Size::MONTH)?;
        let seconds = (cpu_nanos() - before) as f64 / 1e9;
        println!("{seconds:.2} CPU-seconds: {outcome:?}");
        least = least.min(seconds);
        outcomes.push(outcome);
    }
    if outcomes[0] != outcomes[1] {
        return Err("the two runs differ".into());
    }
    if least > LIMIT_SECONDS && !unchecked {
        return Err(format!("{least:.2} CPU-seconds are more than {LIMIT_SECONDS}").into());
    }
    Ok(())
}
