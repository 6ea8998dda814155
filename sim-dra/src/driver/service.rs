//! How long a driver takes, and how often it fails.

use sim_core::engine::random::Stream;
use sim_core::engine::timing::Delay;
use sim_core::time::{Span, millis};
use smol_str::SmolStr;

use super::{Answer, Claim};

/// How long a modelled driver takes, and how often it fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// From the kubelet's question to the devices of a claim being ready.
    pub prepare: Delay,
    /// From the kubelet's question to the devices of a claim being given back.
    pub unprepare: Delay,
    /// What a MIG partition or the daemon of MPS takes on top of that.
    pub set_up: Delay,
    /// Part of the preparations that fail, from 0 to 1.
    pub failures: f64,
    /// What it says then.
    pub error: SmolStr,
}

const ERROR: SmolStr = SmolStr::new_static("device is not responding");

impl Service {
    /// Nothing takes time and nothing fails.
    pub const INSTANT: Service = Service::taking(Delay::ZERO, Delay::ZERO);

    /// Writing a CDI specification and a checkpoint, after one read of the claim: a guess, measurements are not published.
    /// Partitions and daemons take seconds.
    pub const TYPICAL: Service = Service {
        prepare: Delay::LogNormal(millis(150), 0.3),
        unprepare: Delay::LogNormal(millis(80), 0.3),
        set_up: Delay::LogNormal(millis(1500), 0.3),
        failures: 0.0,
        error: ERROR,
    };

    /// A service that never fails.
    pub const fn taking(prepare: Delay, unprepare: Delay) -> Service {
        Service { prepare, unprepare, set_up: Delay::ZERO, failures: 0.0, error: ERROR }
    }

    /// Answers a preparation; `more` is what the device itself takes.
    pub fn prepared<T>(&self, more: Span, random: &mut Stream, ready: impl FnOnce() -> T) -> Answer<T> {
        let after = self.prepare.sample(random) + more;
        // Nothing is drawn where nothing can fail.
        let fails = self.failures > 0.0 && random.unit() < self.failures;
        Answer { after, result: if fails { Err(self.error.clone()) } else { Ok(ready()) } }
    }

    /// Answers that a claim's devices are given back.
    pub fn unprepared(&self, _: &Claim, random: &mut Stream) -> Answer<()> {
        Answer { after: self.unprepare.sample(random), result: Ok(()) }
    }
}
