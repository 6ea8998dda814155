//! Exit codes, each with its name.

use std::process::ExitCode;

/// Printed below `--help`.
pub(super) const HELP: &str = "\
Exit codes:
  0  passed
  1  expectation failed
  2  bad input
  3  run failed (timeout, livelock, broken invariant)";

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: everything asked for was done and held.
    Passed,
    /// 1: the run is whole, but an expectation of the scenario (or a vector) did not hold.
    ExpectationFailed,
    /// 2: arguments or files are wrong; nothing was run.
    BadInput,
    /// 3: the run itself failed.
    RunFailed,
}

impl Exit {
    /// The process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Passed => 0,
            Exit::ExpectationFailed => 1,
            Exit::BadInput => 2,
            Exit::RunFailed => 3,
        }
    }

    /// The name that is printed with it.
    pub const fn name(self) -> &'static str {
        match self {
            Exit::Passed => "passed",
            Exit::ExpectationFailed => "expectation failed",
            Exit::BadInput => "bad input",
            Exit::RunFailed => "run failed",
        }
    }

    /// Prints name and code on standard error, unless all is well, and converts.
    pub(super) fn report(self) -> ExitCode {
        if self != Exit::Passed {
            eprintln!("wavetank: {} (exit code {})", self.name(), self.code());
        }
        ExitCode::from(self.code())
    }
}
