//! The `wavetank` command line. Everything is in the library, so that tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    scenarios::cli::main()
}
