//! `NodeResourcesFit`: a node must have what the pod asks for; it is rated by how full it would be.

use std::collections::{BTreeMap, BTreeSet};

use sim_core::api::kind::Kind;
use sim_core::api::object::Object;
use sim_core::api::validation::field::Errors;
use sim_core::features::Gate;
use smallvec::SmallVec;
use smol_str::{SmolStr, format_smolstr};

use super::dynamic_resources::extended::device_class_mapping;
use super::resource_scoring::{Asked, asked, asked_columns};
use crate::cache::{Cache, Objects};
use crate::config::args::{NodeResourcesFitArgs, PluginArgs, ResourceSpec, ScoringStrategyType as Strategy};
use crate::float::rounded_quotient;
use crate::framework::{
    ActionType, Attempt, ClusterEvent, Code, EventChange, EventResource, Filter, Fits, Hint, Plugin,
    PreFilter, PreFiltered, QueueingHint, Reads, Score, Status, Verdict,
};
use crate::mask::Mask;
use crate::node::NodeInfo;
use crate::pod::{PodInfo, requests_in_all};
use crate::resources::{Resources, is_extended};

/// The plugin.
#[derive(Clone, Debug)]
pub struct NodeResourcesFit {
    ignored: BTreeSet<SmolStr>,
    ignored_groups: BTreeSet<SmolStr>,
    strategy: Strategy,
    resources: Vec<ResourceSpec>,
    /// The curve, with scores of 0 to 100.
    shape: Vec<(i64, i64)>,
}

impl NodeResourcesFit {
    /// The plugin with arguments.
    ///
    /// # Errors
    /// Arguments out of their range: unlike those of other plugins, they are checked here and not with the configuration.
    pub fn new(args: NodeResourcesFitArgs) -> Result<NodeResourcesFit, String> {
        let mut errors = Errors::default();
        args.validate(None, &mut errors);
        if !errors.is_empty() {
            return Err(errors.aggregate());
        }
        let strategy = args.scoring_strategy;
        let shape: Vec<(i64, i64)> = strategy
            .requested_to_capacity_ratio
            .iter()
            .flat_map(|ratio| &ratio.shape)
            .map(|point| (i64::from(point.utilization), i64::from(point.score) * 10))
            .collect();
        if strategy.kind == Strategy::RequestedToCapacityRatio && shape.is_empty() {
            // DIFFERS: kube-scheduler dies of a nil dereference when the block is missing as a whole.
            return Err("scoringStrategy.requestedToCapacityRatio: Required value".to_owned());
        }
        Ok(NodeResourcesFit {
            ignored: args.ignored_resources.into_iter().collect(),
            ignored_groups: args.ignored_resource_groups.into_iter().collect(),
            strategy: strategy.kind,
            resources: strategy.resources,
            shape,
        })
    }

    fn ignores(&self, name: &str) -> bool {
        if self.ignored.is_empty() && self.ignored_groups.is_empty() {
            return false;
        }
        let group = name.split('/').next().unwrap_or(name);
        is_extended(name) && (self.ignored.contains(name) || self.ignored_groups.contains(group))
    }

    /// Calls back for everything that is short, with the reason and whether the node is too small even when empty.
    fn shortages(
        &self,
        cycle: &FitCycle,
        pod: &PodInfo,
        node: &NodeInfo,
        mut short: impl FnMut(Shortage<'_>),
    ) {
        if node.pods.len() as i64 + 1 > node.allocatable.pods {
            short(Shortage { resource: None, unresolvable: false });
        }
        let (asked, free, used) = (&pod.requests, &node.allocatable, &node.requested);
        let mut check = |name, asked: i64, allocatable: i64, used: i64| {
            if asked > 0 && asked > allocatable.wrapping_sub(used) {
                short(Shortage { resource: Some(name), unresolvable: asked > allocatable });
            }
        };
        check("cpu", asked.milli_cpu, free.milli_cpu, used.milli_cpu);
        check("memory", asked.memory, free.memory, used.memory);
        check("ephemeral-storage", asked.ephemeral_storage, free.ephemeral_storage, used.ephemeral_storage);
        for (name, amount) in &asked.scalars {
            if !self.ignores(name) && !cycle.left.leaves(name, &node.allocatable) {
                check(name, *amount, free.scalar(name), used.scalar(name));
            }
        }
    }
}

struct Shortage<'a> {
    /// `None`: too many pods.
    resource: Option<&'a str>,
    unresolvable: bool,
}

impl Plugin for NodeResourcesFit {
    const NAME: &'static str = "NodeResourcesFit";
    const READS: Reads = Reads::NodeLocal;
    type Cycle = FitCycle;

    fn pre_filter(&self, pod: &PodInfo) -> FitCycle {
        FitCycle { asked: asked(&self.resources, &pod.scored_requests), left: Left::default() }
    }
}

impl PreFilter for NodeResourcesFit {
    /// Pods for which this depends on classes do not go the fast way: see `DynamicResources`.
    fn check(&self, cycle: &mut FitCycle, attempt: &Attempt<'_>) -> PreFiltered {
        cycle.left = Left::of(attempt.pod, attempt.cluster.objects());
        PreFiltered::Proceed
    }
}

/// What is known of a pod.
#[derive(Clone, Debug, Default)]
pub struct FitCycle {
    /// The resources that count for the score.
    asked: SmallVec<[Asked; 2]>,
    left: Left,
}

/// Which resources are left to `DynamicResources`, where a node's device plugin does not have them.
#[derive(Clone, Debug, Default)]
enum Left {
    #[default]
    None,
    /// Of these names.
    Classes(BTreeMap<SmolStr, SmolStr>),
    /// All, as upstream has it where it did not look at classes.
    All,
}

impl Left {
    fn of(pod: &PodInfo, objects: &Objects) -> Left {
        let scalars = &pod.requests.scalars;
        if scalars.is_empty() || !objects.features().on(Gate::DRAExtendedResource) {
            return Left::None;
        }
        match scalars.iter().any(|(name, amount)| *amount != 0 && is_extended(name)) {
            true => Left::Classes(device_class_mapping(objects)),
            false => Left::All,
        }
    }

    fn leaves(&self, name: &str, allocatable: &Resources) -> bool {
        let mapped = match self {
            Left::None => return false,
            Left::Classes(classes) => classes.contains_key(name),
            Left::All => true,
        };
        mapped && !allocatable.scalars.iter().any(|(known, _)| known == name)
    }
}

impl Filter for NodeResourcesFit {
    fn filter(&self, cycle: &Self::Cycle, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let mut status = Status { code: Code::Unschedulable, ..Status::default() };
        self.shortages(cycle, pod, node, |shortage| {
            status.reasons.push(match shortage.resource {
                None => SmolStr::new_static("Too many pods"),
                Some(name) => format_smolstr!("Insufficient {name}"),
            });
            if shortage.unresolvable {
                status.code = Code::UnschedulableAndUnresolvable;
            }
        });
        if status.reasons.is_empty() { Fits } else { Verdict::because(status) }
    }

    fn fits(&self, cycle: &Self::Cycle, pod: &PodInfo, node: &NodeInfo) -> bool {
        let mut fits = true;
        self.shortages(cycle, pod, node, |_| fits = false);
        fits
    }

    fn filter_column(&self, cycle: &Self::Cycle, pod: &PodInfo, cluster: &Cache, mask: &mut Mask) {
        let columns = cluster.columns();
        let (pods, room) = (&columns.pods, &columns.allocatable_pods);
        mask.retain_all(|at| pods[at] < room[at]);
        for (asked, allocatable, used) in [
            (pod.requests.milli_cpu, &columns.allocatable_cpu, &columns.requested_cpu),
            (pod.requests.memory, &columns.allocatable_memory, &columns.requested_memory),
            (
                pod.requests.ephemeral_storage,
                &columns.allocatable_ephemeral_storage,
                &columns.requested_ephemeral_storage,
            ),
        ] {
            if asked > 0 {
                mask.retain_all(|at| asked <= allocatable[at].wrapping_sub(used[at]));
            }
        }
        if pod.requests.scalars.iter().any(|(name, asked)| *asked > 0 && !self.ignores(name)) {
            mask.retain(|at| self.fits(cycle, pod, cluster.node_at(at)));
        }
    }
}

impl NodeResourcesFit {
    /// The score of resources, each requested and allocatable with its weight.
    #[inline]
    fn rate(&self, resources: impl Iterator<Item = ((i64, i64), i64)>) -> i64 {
        let (mut sum, mut weights) = (0_i64, 0_i64);
        for ((requested, allocatable), weight) in resources {
            if allocatable == 0 {
                continue;
            }
            let score = match &self.strategy {
                Strategy::LeastAllocated if requested > allocatable => 0,
                Strategy::LeastAllocated => (allocatable - requested).wrapping_mul(100) / allocatable,
                Strategy::MostAllocated => requested.min(allocatable).wrapping_mul(100) / allocatable,
                Strategy::Other(_) => continue,
                Strategy::RequestedToCapacityRatio => {
                    let percent =
                        if requested > allocatable { 100 } else { requested.wrapping_mul(100) / allocatable };
                    match broken_line(&self.shape, percent) {
                        score if score <= 0 => continue,
                        score => score,
                    }
                }
            };
            sum = sum.wrapping_add(score.wrapping_mul(weight));
            weights = weights.wrapping_add(weight);
        }
        match (weights, &self.strategy) {
            (0, _) => 0,
            (_, Strategy::RequestedToCapacityRatio) => rounded_quotient(sum, weights),
            _ => sum.wrapping_div(weights),
        }
    }
}

impl QueueingHint for NodeResourcesFit {
    const BY_CLASS: bool = true;

    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Pod, ActionType::DELETE | ActionType::UPDATE_POD_SCALE_DOWN),
            ClusterEvent::new(EventResource::Node, ActionType::ADD | ActionType::UPDATE_NODE_ALLOCATABLE),
        ]
    }

    fn hint(&self, pod: &PodInfo, object: &Object, change: &EventChange<'_>, objects: &Objects) -> Hint {
        if change.event.resource == EventResource::Node {
            let Some((old, Some(new))) = change.of(Kind::NODE) else { return Hint::Queue };
            let new = NodeInfo::of(new).allocatable;
            // Hints do not look at classes.
            let left = if objects.features().on(Gate::DRAExtendedResource) { Left::All } else { Left::None };
            let leaves =
                || pod.requests.scalars.iter().any(|(name, amount)| *amount != 0 && left.leaves(name, &new));
            let grown = |old: &Object| grown(&pod.requests, &NodeInfo::of(old).allocatable, &new) || leaves();
            return Hint::queue_if(fits_empty(&pod.requests, &new, &left) && old.is_none_or(grown));
        }
        match change.of(Kind::POD) {
            Some((Some(old), None)) => Hint::queue_if(
                old.as_pod()
                    .is_some_and(|p| !p.node_name.is_empty() || !p.status.nominated_node_name.is_empty()),
            ),
            Some((Some(old), Some(new))) if new.meta.uid != object.meta.uid => {
                let placed = new.as_pod().is_some_and(|p| !p.node_name.is_empty());
                let frees = || {
                    let amounts = |pod| Resources::from_list(&requests_in_all(pod));
                    any_asked_for(&pod.requests, &amounts(new), &amounts(old))
                };
                Hint::queue_if(placed && frees())
            }
            _ => Hint::Queue,
        }
    }
}

impl Score for NodeResourcesFit {
    fn score(&self, cycle: &Self::Cycle, _: &PodInfo, node: &NodeInfo) -> i64 {
        self.rate(cycle.asked.iter().map(|resource| (resource.on(node, true), resource.weight)))
    }

    fn score_column(&self, cycle: &Self::Cycle, pod: &PodInfo, cluster: &Cache, out: &mut [i64]) {
        let columns = asked_columns(&cycle.asked, cluster.columns(), true);
        for (at, score) in out.iter_mut().enumerate() {
            *score = match &columns {
                Some(columns) => self.rate(columns.iter().map(|column| (column.at(at), column.weight))),
                None => self.score(cycle, pod, cluster.node_at(at)),
            };
        }
    }
}

/// True if a node without pods has room, whatever resources the profile ignores (`isFit`).
fn fits_empty(asked: &Resources, allocatable: &Resources, left: &Left) -> bool {
    let has = |asked: i64, allocatable: i64| asked <= 0 || asked <= allocatable;
    allocatable.pods >= 1
        && has(asked.milli_cpu, allocatable.milli_cpu)
        && has(asked.memory, allocatable.memory)
        && has(asked.ephemeral_storage, allocatable.ephemeral_storage)
        && asked
            .scalars
            .iter()
            .all(|(name, amount)| has(*amount, allocatable.scalar(name)) || left.leaves(name, allocatable))
}

/// True if there is more of something that the pod asks for, or room for more pods
/// (`haveAnyRequestedResourcesIncreased`).
fn grown(asked: &Resources, old: &Resources, new: &Resources) -> bool {
    new.pods > old.pods || any_asked_for(asked, old, new)
}

/// True if one of the resources asked for is more in `more` than in `less`.
fn any_asked_for(asked: &Resources, less: &Resources, more: &Resources) -> bool {
    asked.milli_cpu > 0 && more.milli_cpu > less.milli_cpu
        || asked.memory > 0 && more.memory > less.memory
        || asked.ephemeral_storage > 0 && more.ephemeral_storage > less.ephemeral_storage
        || asked.scalars.iter().any(|(name, amount)| *amount != 0 && more.scalar(name) > less.scalar(name))
}

/// `BuildBrokenLinearFunction`: the curve through the points, flat outside.
fn broken_line(shape: &[(i64, i64)], at: i64) -> i64 {
    let mut previous: Option<(i64, i64)> = None;
    for &(x, y) in shape {
        if at <= x {
            return match previous {
                Some((x0, y0)) if x != x0 => y0 + (y - y0) * (at - x0) / (x - x0),
                _ => y,
            };
        }
        previous = Some((x, y));
    }
    previous.map_or(0, |(_, y)| y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args;
    use crate::framework::Wake;
    use crate::testing::{ask, node, on, pod};
    use serde_json::json;
    use sim_core::api::meta::Uid;
    use std::sync::Arc;

    fn plugin(args: serde_json::Value) -> NodeResourcesFit {
        NodeResourcesFit::new(args::read(&args).expect("arguments")).expect("a plugin")
    }

    #[test]
    fn all_shortages_are_told() {
        let fit = plugin(json!({"ignoredResourceGroups": ["skip.me"]}));
        let mut node = node("n").cpu("2").memory("1Gi").allocatable("x.io/gpu", "1").info();
        node.add_pod(Uid(1), Arc::new(pod("q").cpu("1").info()));
        for (p, code, reasons) in [
            (pod("p").cpu("1"), None, ""),
            (pod("p").cpu("1500m"), Some(Code::Unschedulable), "Insufficient cpu"),
            (
                pod("p").cpu("3").memory("2Gi").request("x.io/gpu", "2"),
                Some(Code::UnschedulableAndUnresolvable),
                "Insufficient cpu, Insufficient memory, Insufficient x.io/gpu",
            ),
            (pod("p").request("skip.me/a", "2"), None, ""),
            (
                pod("p").request("ephemeral-storage", "1"),
                Some(Code::UnschedulableAndUnresolvable),
                "Insufficient ephemeral-storage",
            ),
        ] {
            let info = p.info();
            let cycle = fit.pre_filter(&info);
            let status = fit.filter(&cycle, &info, &node).into_status("NodeResourcesFit");
            assert_eq!(status.as_ref().map(|s| s.code), code, "{reasons}");
            assert_eq!(status.map(|s| s.message()).unwrap_or_default(), reasons);
            assert_eq!(fit.fits(&cycle, &info, &node), code.is_none());
        }
        node.allocatable.pods = 1;
        let info = pod("p").info();
        let status = fit.filter(&fit.pre_filter(&info), &info, &node).into_status("NodeResourcesFit");
        assert_eq!(status.map(|s| s.message()).as_deref(), Some("Too many pods"));
    }

    #[test]
    fn strategies() {
        let shape = json!([{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]);
        let node = node("n").cpu("4").memory("8Gi").info();
        let info = pod("p").cpu("1").memory("4Gi").info();
        for (strategy, score) in [
            (json!({"type": "LeastAllocated"}), 62),
            (json!({"type": "MostAllocated"}), 37),
            (
                json!({"type": "MostAllocated", "resources": [{"name": "cpu", "weight": 3}, {"name": "memory"}]}),
                31,
            ),
            (json!({"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {"shape": shape}}), 38),
        ] {
            let fit = plugin(json!({"scoringStrategy": strategy}));
            assert_eq!(fit.score(&fit.pre_filter(&info), &info, &node), score, "{strategy}");
        }
    }

    #[test]
    fn arguments_out_of_range() {
        for (args, text) in [
            (
                json!({"scoringStrategy": {"type": "Best"}, "ignoredResourceGroups": ["a/b"]}),
                "[ignoredResourceGroups[0]: Invalid value: \"a/b\": resource group name can't contain '/', \
                 scoringStrategy.type: Unsupported value: \"Best\": supported values: \"LeastAllocated\", \
                 \"MostAllocated\", \"RequestedToCapacityRatio\"]",
            ),
            (
                json!({"scoringStrategy": {"type": "RequestedToCapacityRatio"}}),
                "scoringStrategy.requestedToCapacityRatio: Required value",
            ),
        ] {
            let args = args::read(&args).expect("arguments");
            assert_eq!(NodeResourcesFit::new(args).expect_err("must be refused"), text);
        }
    }

    #[test]
    fn nodes_that_help() {
        let gpu = |amount: &str| node("n").allocatable("example.com/gpu", amount).build();
        let (waiting, idle) = (pod("p").cpu("2").request("example.com/gpu", "1").build(), pod("p").build());
        let args =
            serde_json::from_value(json!({"ignoredResources": ["example.com/gpu"]})).expect("arguments");
        let plugin = NodeResourcesFit::new(args).expect("a plugin");
        let roomy = node("n").allocatable("pods", "200").build();
        for (waiting, old, new, hint) in [
            (&waiting, None, gpu("1"), Hint::Queue),
            (&waiting, None, gpu("0"), Hint::Skip),
            (&waiting, Some(gpu("0")), gpu("1"), Hint::Queue),
            (&waiting, Some(gpu("1")), gpu("1"), Hint::Skip),
            (&waiting, Some(gpu("2")), gpu("1"), Hint::Skip),
            (&waiting, Some(idle.clone()), gpu("1"), Hint::Queue),
            (&idle, None, node("n").allocatable("pods", "0").build(), Hint::Skip),
            (&idle, Some(gpu("1")), gpu("2"), Hint::Skip),
            (&idle, Some(gpu("1")), roomy, Hint::Queue),
        ] {
            let event = if old.is_some() { Wake::NodeAllocatable } else { Wake::NodeAdded };
            assert_eq!(ask(&plugin, waiting, event, old.as_ref(), Some(&new)), hint, "{old:?} {new:?}");
        }
    }

    #[test]
    fn pods_that_help() {
        let plugin = NodeResourcesFit::new(NodeResourcesFitArgs::default()).expect("a plugin");
        let waiting = pod("p").cpu("2").build();
        let asks = |resource: &str, amount: &str| on(pod("q").request(resource, amount).build(), "n");
        let smaller = pod("p").cpu("1").build();
        for (old, new, hint) in [
            (asks("cpu", "1"), None, Hint::Queue),
            (pod("q").build(), None, Hint::Skip),
            (node("n").build(), None, Hint::Queue),
            (asks("cpu", "2"), Some(asks("cpu", "1")), Hint::Queue),
            (asks("memory", "2"), Some(asks("memory", "1")), Hint::Skip),
            (pod("q").cpu("2").build(), Some(pod("q").cpu("1").build()), Hint::Skip),
            (waiting.clone(), Some(smaller), Hint::Queue),
        ] {
            let event = if new.is_some() { Wake::PodScaledDown } else { Wake::PodDeleted };
            assert_eq!(ask(&plugin, &waiting, event, Some(&old), new.as_ref()), hint, "{old:?} {new:?}");
        }
    }

    #[test]
    fn curves_are_flat_outside() {
        let shape = [(10, 100), (50, 20), (60, 20)];
        for (at, want) in [(0, 100), (10, 100), (30, 60), (50, 20), (55, 20), (100, 20)] {
            assert_eq!(broken_line(&shape, at), want, "{at}");
        }
    }
}
