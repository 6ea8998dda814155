//! How long things take: one table of named delays, each a constant or a distribution.

use crate::engine::random::Stream;
use crate::time::{Span, millis, secs};

/// A delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delay {
    /// Always the same.
    Constant(Span),
    /// Evenly between two bounds (inclusive, exclusive).
    Uniform(Span, Span),
    /// Exponential with a mean.
    Exponential(Span),
    /// Log-normal by median and sigma (of the underlying normal).
    LogNormal(Span, f64),
}

impl Delay {
    /// No delay.
    pub const ZERO: Delay = Delay::Constant(Span::ZERO);

    /// One sample; never negative. A constant draws nothing from the stream.
    pub fn sample(&self, stream: &mut Stream) -> Span {
        use rand_distr::Distribution;
        let nanos = match *self {
            Delay::Constant(span) => return span,
            Delay::Uniform(low, high) => {
                let width = (high.0 - low.0).max(0);
                return Span(low.0 + stream.below(width as usize) as i64);
            }
            Delay::Exponential(mean) => {
                let unit: f64 = rand_distr::Exp1.sample(stream.rng());
                unit * mean.0 as f64
            }
            Delay::LogNormal(median, sigma) => {
                let normal: f64 = rand_distr::StandardNormal.sample(stream.rng());
                median.0 as f64 * libm::exp(sigma * normal)
            }
        };
        Span(nanos.clamp(0.0, i64::MAX as f64) as i64)
    }

    /// The sample if this is a constant: lets callers skip naming a stream.
    pub const fn as_constant(&self) -> Option<Span> {
        match self {
            Delay::Constant(span) => Some(*span),
            _ => None,
        }
    }
}

/// The delays of a run. Fields say what they cover; sources are cited at [`Timing::typical`].
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// From a component's send to the commit in the API server.
    pub request: Delay,
    /// From the commit to the sender's reply.
    pub reply: Delay,
    /// From the commit to a watcher seeing the change.
    pub watch: Delay,
    /// One scheduling cycle (the scheduler works on one pod at a time).
    pub scheduling_cycle: Delay,
    /// One question to a scheduler extender, whoever answers it.
    pub extender_call: Delay,
    /// From a pod being seen by its kubelet to its sandbox being ready.
    pub sandbox: Delay,
    /// Creating and starting one container, image present.
    pub container_start: Delay,
    /// Between a container's exit and its kubelet noticing (PLEG relist).
    pub pleg: Delay,
    /// Image pull before the first byte.
    pub image_pull_latency: Delay,
    /// Image pull rate in bytes per second; 0 = at once.
    pub image_bytes_per_second: i64,
    /// From the stop signal to the process's own exit, if the workload says nothing.
    pub stop: Delay,
}

impl Default for Timing {
    fn default() -> Self {
        Timing::typical()
    }
}

impl Timing {
    /// Nothing takes time: for work on policies, where only order matters.
    pub fn instant() -> Timing {
        Timing {
            request: Delay::ZERO,
            reply: Delay::ZERO,
            watch: Delay::ZERO,
            scheduling_cycle: Delay::ZERO,
            extender_call: Delay::ZERO,
            sandbox: Delay::ZERO,
            container_start: Delay::ZERO,
            pleg: Delay::ZERO,
            image_pull_latency: Delay::ZERO,
            image_bytes_per_second: 0,
            stop: Delay::ZERO,
        }
    }

    /// A healthy mid-size cluster.
    ///
    /// - requests and watches: Kubernetes' API SLOs allow 1 s (99th percentile); healthy clusters answer in
    ///   milliseconds, so 2 ms + 1 ms and 5 ms of propagation;
    /// - scheduling cycle: the scheduler's throughput of a few hundred pods per second gives 3 ms;
    /// - extender: a scheduler with one extender and 500 nodes places 120 pods per second in a published run of upstream's
    ///   benchmark (kubernetes-sigs/kube-scheduler-wasm-extension, pull 63): 8 ms for the two questions about a pod;
    /// - sandbox and start: the pod start-up SLI (5 s at the 99th percentile, images present) is dominated by sandbox
    ///   and CNI set-up: 500 ms, and 200 ms per container;
    /// - PLEG: relist every second, so half a second in the mean: uniform in 0..1 s;
    /// - images: 50 MB/s after 300 ms.
    pub fn typical() -> Timing {
        Timing {
            request: Delay::Constant(millis(2)),
            reply: Delay::Constant(millis(1)),
            watch: Delay::Constant(millis(5)),
            scheduling_cycle: Delay::Constant(millis(3)),
            extender_call: Delay::Constant(millis(4)),
            sandbox: Delay::LogNormal(millis(500), 0.3),
            container_start: Delay::LogNormal(millis(200), 0.3),
            pleg: Delay::Uniform(Span::ZERO, secs(1)),
            image_pull_latency: Delay::Constant(millis(300)),
            image_bytes_per_second: 50_000_000,
            stop: Delay::Constant(millis(100)),
        }
    }
}
