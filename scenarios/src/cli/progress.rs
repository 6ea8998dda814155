//! The progress bar, in simulated time, and only on a terminal.

use std::io::{self, IsTerminal};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use sim_core::time::{Epoch, Time};

use crate::runner::{Observer, OutDir};

/// Follows a run: shows how far it is, and streams records into the output folder.
pub(super) struct Follower {
    bar: Option<ProgressBar>,
    out: Option<OutDir>,
}

impl Follower {
    pub(super) fn new(until: Time, out: Option<&Path>, epoch: Epoch) -> io::Result<Follower> {
        let out = out.map(|folder| OutDir::create(folder, epoch)).transpose()?;
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(until.0.max(0) as u64);
            let style = ProgressStyle::with_template("{wide_bar} {percent}% of simulated time, at {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Ok(Follower { bar, out })
    }

    /// Ends the bar and hands over the output folder.
    pub(super) fn done(self) -> Option<OutDir> {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.out
    }
}

impl Observer for Follower {
    fn reached(&mut self, now: Time) {
        if let Some(bar) = &self.bar {
            bar.set_position(now.0.max(0) as u64);
            bar.set_message(now.truncate_to_secs().to_string());
        }
    }

    fn records(&mut self, encoded: &[u8]) -> io::Result<()> {
        match &mut self.out {
            Some(out) => out.append(encoded),
            None => Ok(()),
        }
    }
}
