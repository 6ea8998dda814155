//! `NodeName`: a pod that names a node runs nowhere else.

use smol_str::SmolStr;

use crate::cache::Cache;
use crate::framework::{Filter, Fits, Plugin, Reads, Unresolvable, Verdict, Wake};
use crate::mask::Mask;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct NodeName;

impl Plugin for NodeName {
    const NAME: &'static str = "NodeName";
    const READS: Reads = Reads::NodeLocal;
    const WAKES_ON: &'static [Wake] = &[Wake::NodeAdded];
    /// The node it names, empty for none. A pod that waits in the API server names none; one that is looked at as if
    /// it were to be scheduled may.
    type Cycle = SmolStr;

    fn pre_filter(&self, pod: &PodInfo) -> SmolStr {
        pod.spec.node_name.as_deref().map(SmolStr::new).unwrap_or_default()
    }
}

impl Filter for NodeName {
    fn filter(&self, wanted: &SmolStr, _: &PodInfo, node: &NodeInfo) -> Verdict {
        if wanted.is_empty() || *wanted == node.name {
            return Fits;
        }
        Unresolvable("node(s) didn't match the requested node name")
    }

    fn filter_column(&self, wanted: &SmolStr, _: &PodInfo, cluster: &Cache, mask: &mut Mask) {
        if !wanted.is_empty() {
            mask.retain(|at| cluster.node_at(at).name == *wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod};

    #[test]
    fn only_the_named_node_fits() {
        for (name, fits) in [("", true), ("n", true), ("m", false)] {
            let info = pod("p").with("nodeName", name.into()).info();
            let cycle = NodeName.pre_filter(&info);
            assert_eq!(NodeName.filter(&cycle, &info, &node("n").info()).fits(), fits, "{name}");
        }
    }
}
