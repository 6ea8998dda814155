//! The in-tree plugins, under upstream's names (`pkg/scheduler/framework/plugins`).

pub mod default_binder;
pub mod default_preemption;
mod default_selector;
pub mod dynamic_resources;
pub mod image_locality;
pub mod inter_pod_affinity;
pub mod node_affinity;
pub mod node_name;
pub mod node_ports;
pub mod node_resources_balanced_allocation;
pub mod node_resources_fit;
pub mod node_unschedulable;
pub mod node_volume_limits;
pub mod pod_topology_spread;
pub mod priority_sort;
mod resource_scoring;
pub mod scheduling_gates;
mod selector;
pub mod taint_toleration;
mod topology_counts;
pub mod volume_binding;
pub mod volume_restrictions;
pub mod volume_zone;
mod volumes;

use crate::config::args;
use crate::framework::{Registry, plugin};

pub(crate) fn register(registry: &mut Registry) {
    registry.register("SchedulingGates", |_| {
        Ok(plugin(scheduling_gates::SchedulingGates).pre_enqueue().queueing_hints().into())
    });
    registry.register("PrioritySort", |_| Ok(plugin(priority_sort::PrioritySort).queue_sort().into()));
    registry.register("NodeUnschedulable", |_| {
        Ok(plugin(node_unschedulable::NodeUnschedulable).filter().queueing_hints().into())
    });
    registry.register("NodeName", |_| Ok(plugin(node_name::NodeName).filter().into()));
    registry.register("TaintToleration", |_| {
        Ok(plugin(taint_toleration::TaintToleration).filter().score().queueing_hints().into())
    });
    registry.register("NodeAffinity", |value| {
        let made = node_affinity::NodeAffinity::new(&args::read(value)?)?;
        Ok(plugin(made).pre_filter().filter().pre_score().score().queueing_hints().into())
    });
    registry.register("NodePorts", |_| {
        Ok(plugin(node_ports::NodePorts).pre_filter().filter().queueing_hints().into())
    });
    registry.register("NodeResourcesFit", |value| {
        let made = node_resources_fit::NodeResourcesFit::new(args::read(value)?)?;
        Ok(plugin(made).pre_filter().filter().score().queueing_hints().into())
    });
    registry.register("PodTopologySpread", |value| {
        let made = pod_topology_spread::PodTopologySpread::new(args::read(value)?);
        let made = plugin(made).pre_filter().filter().pre_filter_extensions().pre_score().score();
        Ok(made.normalize_score().columns().queueing_hints().into())
    });
    registry.register("InterPodAffinity", |value| {
        let made = inter_pod_affinity::InterPodAffinity::new(args::read(value)?);
        let made = plugin(made).pre_filter().filter().pre_filter_extensions().pre_score().score();
        Ok(made.normalize_score().columns().queueing_hints().into())
    });
    registry.register("NodeResourcesBalancedAllocation", |value| {
        let made = node_resources_balanced_allocation::BalancedAllocation::new(args::read(value)?);
        Ok(plugin(made).pre_score().score().into())
    });
    registry.register("VolumeRestrictions", |_| {
        let made = plugin(volume_restrictions::VolumeRestrictions);
        Ok(made.pre_filter().pre_filter_extensions().filter().queueing_hints().into())
    });
    registry.register("NodeVolumeLimits", |_| {
        Ok(plugin(node_volume_limits::NodeVolumeLimits).pre_filter().cluster_filter().queueing_hints().into())
    });
    registry.register("VolumeBinding", |value| {
        let made = plugin(volume_binding::VolumeBinding::new(args::read(value)?)?);
        let made = made.pre_filter().cluster_filter().pre_score().score().reserve().pre_bind();
        Ok(made.queueing_hints().into())
    });
    registry.register("VolumeZone", |_| {
        Ok(plugin(volume_zone::VolumeZone).pre_filter().filter().queueing_hints().into())
    });
    registry
        .register("ImageLocality", |_| Ok(plugin(image_locality::ImageLocality).pre_score().score().into()));
    registry.register("DynamicResources", |_| {
        let made = plugin(dynamic_resources::DynamicResources);
        let made = made.pre_enqueue().pre_filter().cluster_filter().post_filter().reserve().pre_bind();
        Ok(made.columns().queueing_hints().into())
    });
    registry.register("DefaultPreemption", |value| {
        let made = default_preemption::DefaultPreemption::new(args::read(value)?);
        Ok(plugin(made).pre_enqueue().post_filter().queueing_hints().into())
    });
    registry.register("DefaultBinder", |_| Ok(plugin(default_binder::DefaultBinder).bind().into()));
}
