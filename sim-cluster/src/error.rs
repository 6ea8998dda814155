//! How a run can fail, by name.

use sim_core::time::{Span, Time};

/// A run that did not get where it was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The condition did not come true in time.
    #[error("Timeout: not so after {waited} (now at {at}); replay with seed {seed}")]
    Timeout {
        /// Where the run stands.
        at: Time,
        /// How long it waited.
        waited: Span,
        /// Seed of the run.
        seed: u64,
    },
    /// Nothing will ever happen again, and the condition is not true.
    #[error("Quiescent: nothing is left to happen at {at}, and it is still not so; replay with seed {seed}")]
    Quiescent {
        /// When the last thing happened.
        at: Time,
        /// Seed of the run.
        seed: u64,
    },
    /// Time stands still while events go on.
    #[error(
        "Livelock: {events} events at the instant {at} without time passing (next: {next}); replay with seed {seed}"
    )]
    Livelock {
        /// The instant.
        at: Time,
        /// Events handled there.
        events: u64,
        /// What would be next.
        next: String,
        /// Seed of the run.
        seed: u64,
    },
    /// Something that must always hold did not.
    #[error("InvariantBroken: {what} at {at}; replay with seed {seed}")]
    InvariantBroken {
        /// What does not hold.
        what: String,
        /// When it was seen.
        at: Time,
        /// Seed of the run.
        seed: u64,
    },
}

impl RunError {
    /// The name of the failure, as reports print it.
    pub fn name(&self) -> &'static str {
        match self {
            RunError::Timeout { .. } => "Timeout",
            RunError::Quiescent { .. } => "Quiescent",
            RunError::Livelock { .. } => "Livelock",
            RunError::InvariantBroken { .. } => "InvariantBroken",
        }
    }
}
