//! `PrioritySort`: higher priority first, then who waited longer.

use smol_str::SmolStr;

use crate::cache::Objects;
use crate::framework::{Plugin, QueueSort, Reads, SortKey};
use crate::pod::PodInfo;
use crate::queue::QueuedPod;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct PrioritySort;

impl Plugin for PrioritySort {
    const NAME: &'static str = "PrioritySort";
    const READS: Reads = Reads::NodeLocal;
    type Cycle = ();
    fn pre_filter(&self, _: &PodInfo) {}
}

impl QueueSort for PrioritySort {
    fn key(&self, pod: &QueuedPod, _: &Objects) -> SortKey {
        SortKey { rank: -i64::from(pod.info.priority), time: pod.timestamp, group: SmolStr::default() }
    }
}
