//! Running a plan and reporting on it.

mod act;
mod output;
mod records;
mod run;
mod story;
mod summary;
mod tracker;
mod unmodelled;

pub use output::{OutDir, write_whole};
pub use records::write_line;
pub use run::{Failure, Finished, Observer, Silent, run};
pub use story::{Difference, Story, first_difference};
pub use summary::{Expected, Outcomes, Percentiles, Shares, Summary, Wall};
pub use tracker::{Amount, PodLife, Tracker, Utilisation};
