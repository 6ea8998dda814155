//! `NodeResourcesBalancedAllocation`: pods rather go where they leave the resources evenly used.

use smallvec::SmallVec;

use super::resource_scoring::{Asked, asked, asked_columns};
use crate::cache::{Cache, Slot};
use crate::config::args::{NodeResourcesBalancedAllocationArgs, ResourceSpec};
use crate::float;
use crate::framework::{Attempt, Plugin, PreScore, Reads, Score, Status};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// The plugin.
#[derive(Clone, Debug)]
pub struct BalancedAllocation {
    resources: Vec<ResourceSpec>,
}

impl BalancedAllocation {
    /// The plugin with arguments.
    pub fn new(args: NodeResourcesBalancedAllocationArgs) -> BalancedAllocation {
        BalancedAllocation { resources: args.resources }
    }
}

impl Plugin for BalancedAllocation {
    const NAME: &'static str = "NodeResourcesBalancedAllocation";
    const READS: Reads = Reads::NodeLocal;
    type Cycle = SmallVec<[Asked; 2]>;

    fn pre_filter(&self, pod: &PodInfo) -> Self::Cycle {
        asked(&self.resources, &pod.requests)
    }
}

impl PreScore for BalancedAllocation {
    fn pre_score(&self, asked: &mut Self::Cycle, _: &Attempt<'_>, _: &[Slot]) -> Status {
        if asked.iter().all(Asked::is_zero) { Status::skip() } else { Status::success() }
    }
}

impl Score for BalancedAllocation {
    fn score(&self, asked: &Self::Cycle, _: &PodInfo, node: &NodeInfo) -> i64 {
        float::balanced(asked.iter().map(|a| a.on(node, false)))
    }

    fn score_column(&self, asked: &Self::Cycle, pod: &PodInfo, cluster: &Cache, out: &mut [i64]) {
        let columns = asked_columns(asked, cluster.columns(), false);
        for (at, score) in out.iter_mut().enumerate() {
            *score = match &columns {
                Some(columns) => float::balanced(columns.iter().map(|column| column.at(at))),
                None => self.score(asked, pod, cluster.node_at(at)),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod};

    #[test]
    fn even_use_scores_high() {
        let plugin = BalancedAllocation::new(NodeResourcesBalancedAllocationArgs::default());
        let node = node("n").cpu("4").memory("4Gi").info();
        for (cpu, memory, score) in [("1", "1Gi", 100), ("4", "0", 50), ("3", "1Gi", 75), ("9", "4Gi", 100)] {
            let info = pod("p").cpu(cpu).memory(memory).info();
            assert_eq!(plugin.score(&plugin.pre_filter(&info), &info, &node), score, "{cpu} {memory}");
        }
    }
}
