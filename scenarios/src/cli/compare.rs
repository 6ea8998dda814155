//! Comparing runs: `diff`, and `run --check`.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use sim_core::engine::log::records;
use sim_core::load::LoadErrors;
use sim_core::time::Epoch;

use super::exit::Exit;
use super::problem;
use crate::plan::Plan;
use crate::runner::{Failure, Observer, first_difference, run, write_line};

/// `wavetank diff DIR_A DIR_B`.
pub(super) fn diff(a: &Path, b: &Path) -> Exit {
    let open = |folder: &Path| -> io::Result<BufReader<File>> {
        let path = if folder.is_dir() { folder.join("events.jsonl") } else { folder.to_owned() };
        let file = File::open(&path);
        file.map(BufReader::new).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
    };
    let found = open(a).and_then(|left| open(b).and_then(|right| first_difference(left, right)));
    match found {
        Ok(None) => {
            println!("no difference");
            Exit::Passed
        }
        Ok(Some(difference)) => {
            show(&difference, &a.display().to_string(), &b.display().to_string());
            Exit::ExpectationFailed
        }
        Err(error) => {
            problem::text(&error.to_string());
            Exit::BadInput
        }
    }
}

fn show((number, left, right): &(usize, Option<String>, Option<String>), a: &str, b: &str) {
    println!("first difference in record {number}:");
    for (name, line) in [(a, left), (b, right)] {
        println!("  {name}: {}", line.as_deref().unwrap_or("(ended)"));
    }
}

/// Writes all records as text, to be compared.
struct Transcript {
    epoch: Epoch,
    text: Vec<u8>,
}

impl Observer for Transcript {
    fn records(&mut self, encoded: &[u8]) -> io::Result<()> {
        records(encoded).try_for_each(|(at, record)| write_line(&mut self.text, self.epoch, at, &record))
    }
}

/// Runs the plan again and compares; says so and is false if the digest differs.
pub(super) fn same_again(plan: &Plan, digest: &str) -> Result<bool, Failure> {
    let plan = &Plan { extenders: plan.extenders.again().map_err(LoadErrors::from)?, ..plan.clone() };
    let again = run(plan, &mut crate::runner::Silent)?;
    if again.summary.digest == digest {
        return Ok(true);
    }
    println!("two runs differ: digests {digest} and {}", again.summary.digest);
    let transcript = || -> Result<Vec<u8>, Failure> {
        let mut transcript = Transcript { epoch: plan.epoch, text: Vec::new() };
        run(plan, &mut transcript)?;
        Ok(transcript.text)
    };
    let (left, right) = (transcript()?, transcript()?);
    if let Some(difference) = first_difference(left.as_slice(), right.as_slice())? {
        show(&difference, "one run", "the other");
    }
    Ok(false)
}
