//! What an all-reduce over a placement can reach: an upper bound from the links, without protocol overhead.
//!
//! The model: every rank exchanges data with its neighbours of the algorithm, over the best path between them; what several
//! exchanges send over the same link in the same direction adds up; links are full duplex; the exchange is as fast as the link
//! that takes longest. Data flows in a pipeline, so latency counts once per step.
//!
//! - Ring (Patarasuk and Yuan 2009; NCCL): every rank sends `2 (n - 1) / n` times the data to the next one, in `2 (n - 1)` steps.
//! - Tree (Sanders, Speck and Träff 2009, "Two-tree algorithms"; NCCL since 2.4): two trees reduce half the data each and send it
//!   back; who is inside one tree is a leaf of the other. Two times the depth of the tree in steps.
//!
//! Results are told as NCCL's tests tell them (github.com/NVIDIA/nccl-tests, `doc/PERFORMANCE.md`): the algorithm's bandwidth is the
//! size divided by the time, and the bus bandwidth of an all-reduce is that times `2 (n - 1) / n`, which is what a ring needs of
//! every link, so that it can be compared with the speed of the hardware.

use std::collections::BTreeMap;

use petgraph::graph::EdgeIndex;

use super::{Topology, Vertex};
use crate::allocator::DeviceId;

/// How ranks exchange data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// In a ring, in the order of the placement.
    Ring,
    /// In two binary trees, in the order of the placement.
    Tree,
}

/// What one all-reduce takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Seconds.
    pub seconds: f64,
    /// `algbw`: bytes per second of the data.
    pub algorithm_bandwidth: f64,
    /// `busbw`: bytes per second and rank, to compare with links.
    pub bus_bandwidth: f64,
    /// The link that takes longest; `None` if nothing is sent.
    pub bottleneck: Option<[Vertex; 2]>,
}

/// Why there is no estimate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two ranks cannot reach each other, or one is not in the topology.
    #[error("no way from {} to {}: neither NVLink nor a NIC connects them, or one of them is not known",
        Vertex::Device(.0[0].clone()), Vertex::Device(.0[1].clone()))]
    NoPath(Box<[DeviceId; 2]>),
}

/// What `from` sends to `to`, as a part of the data.
struct Flow {
    from: usize,
    to: usize,
    part: f64,
}

/// Estimates an all-reduce of so many bytes over the devices of a placement, with so many seconds of latency per step.
///
/// # Errors
/// If two ranks that must exchange data have no path.
pub fn all_reduce(
    topology: &Topology,
    ranks: &[DeviceId],
    algorithm: Algorithm,
    bytes: u64,
    latency: f64,
) -> Result<Estimate, Error> {
    let n = ranks.len();
    let (flows, steps) = match algorithm {
        Algorithm::Ring => ring(n),
        Algorithm::Tree => trees(n),
    };
    let mut load: BTreeMap<(EdgeIndex, bool), f64> = BTreeMap::new();
    for Flow { from, to, part } in flows {
        let (from, to) = (&ranks[from], &ranks[to]);
        let path =
            topology.path(from, to).ok_or_else(|| Error::NoPath(Box::new([from.clone(), to.clone()])))?;
        for link in path.links {
            *load.entry(link).or_default() += part;
        }
    }
    let size = bytes as f64;
    let (mut slowest, mut bottleneck) = (0.0, None);
    for ((link, _), part) in load {
        let seconds = part * size / topology.speed(link) as f64;
        if seconds > slowest {
            (slowest, bottleneck) = (seconds, Some(link));
        }
    }
    let seconds = slowest + steps as f64 * latency;
    let algorithm_bandwidth = if seconds > 0.0 { size / seconds } else { f64::INFINITY };
    Ok(Estimate {
        seconds,
        algorithm_bandwidth,
        bus_bandwidth: if n < 2 { f64::INFINITY } else { algorithm_bandwidth * ring_share(n) },
        bottleneck: bottleneck.and_then(|link| topology.ends(link)),
    })
}

/// What a rank of a ring sends, as a part of the data: `2 (n - 1) / n`.
fn ring_share(ranks: usize) -> f64 {
    if ranks == 0 { 0.0 } else { 2.0 * (ranks - 1) as f64 / ranks as f64 }
}

fn ring(n: usize) -> (Vec<Flow>, usize) {
    if n < 2 {
        return (Vec::new(), 0);
    }
    let flow = |from| Flow { from, to: (from + 1) % n, part: ring_share(n) };
    ((0..n).map(flow).collect(), 2 * (n - 1))
}

/// Both trees: half of the data goes up to the root, and the sum down again.
fn trees(n: usize) -> (Vec<Flow>, usize) {
    let mut flows = Vec::new();
    for rank in 1..n {
        let parent = parent(rank, n);
        // The second tree has the ranks mirrored, or for odd numbers moved on by one, so that its leaves are inside the first.
        let second = |rank: usize| if n.is_multiple_of(2) { n - 1 - rank } else { (rank + 1) % n };
        for (child, parent) in [(rank, parent), (second(rank), second(parent))] {
            flows.push(Flow { from: child, to: parent, part: 0.5 });
            flows.push(Flow { from: parent, to: child, part: 0.5 });
        }
    }
    let depth = (1..n).map(|rank| depth(rank, n)).max().unwrap_or(0);
    (flows, 2 * depth)
}

/// The parent in a binary tree in which odd ranks are leaves and 0 is the root: a rank's lowest bit says how high it is.
fn parent(rank: usize, n: usize) -> usize {
    let bit = rank & rank.wrapping_neg();
    let up = (rank ^ bit) | (bit << 1);
    if up < n { up } else { rank ^ bit }
}

fn depth(rank: usize, n: usize) -> usize {
    std::iter::successors(Some(rank), |rank| (*rank != 0).then(|| parent(*rank, n))).count() - 1
}
