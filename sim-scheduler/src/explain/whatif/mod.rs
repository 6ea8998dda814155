//! What would have placed a pod: single changes, each the smallest of its sort.
//!
//! Each change is tried out: the pod is changed, or the cluster copied with one more node, and the PreFilter and Filter
//! plugins are asked again about every node. Extenders are not asked, and scores do not matter.

mod changes;
mod scene;
#[cfg(test)]
mod tests;

use std::fmt;

use k8s_openapi::api::core::v1::Taint;
use sim_core::quantity::{Format, Quantity};
use smol_str::SmolStr;

pub(crate) use scene::Scene;

/// A single change of a pod, or of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The pod asks for less of a resource.
    Request {
        /// Its name.
        resource: SmolStr,
        /// What the pod asks for in all.
        asks: Quantity,
        /// The most that fits on some node; zero if only nothing at all does.
        at_most: Quantity,
    },
    /// The pod has a toleration of this taint.
    Toleration(Taint),
    /// The pod's node selector lacks this key.
    NodeSelectorKey {
        /// Label.
        key: String,
        /// The value it asks for.
        value: String,
    },
    /// The pod has no node selector; no single key of it is to blame.
    NodeSelector,
    /// One requirement is gone from a term of the required node affinity.
    NodeAffinityRequirement(String),
    /// The pod has no required node affinity; no single requirement of it is to blame.
    NodeAffinity,
    /// A spread constraint lets domains differ by more.
    MaxSkew {
        /// Its topology key.
        topology_key: String,
        /// What it is.
        is: i32,
        /// The least that lets the pod in.
        at_least: i32,
    },
    /// A spread constraint is no condition (`ScheduleAnyway`); no `maxSkew` would do.
    SpreadConstraint {
        /// Its topology key.
        topology_key: String,
    },
    /// A required term of pod affinity is gone.
    PodAffinityTerm {
        /// Its number in the spec, from 0.
        term: usize,
        /// Its topology key.
        topology_key: String,
    },
    /// A required term of pod anti-affinity is gone.
    PodAntiAffinityTerm {
        /// Its number in the spec, from 0.
        term: usize,
        /// Its topology key.
        topology_key: String,
    },
    /// The pod does not take this port of its node.
    HostPort(i32),
    /// The pod does not have this volume.
    Volume(String),
    /// The pod does not have this claim of devices.
    ResourceClaim(String),
    /// There is one more node like this one, with the pods of its DaemonSets and no others.
    OneMoreNode {
        /// The name of the one that there is.
        like: SmolStr,
    },
}

/// A change, and what it would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Counterfactual {
    /// The change.
    pub change: Change,
    /// How much of one requirement is given up, in thousandths: a request by its share, all of what has no size. One more
    /// node counts twice.
    pub size: u32,
    /// Nodes on which the pod would fit.
    pub nodes: usize,
    /// The first of them; none for a node that does not exist.
    pub examples: Vec<SmolStr>,
}

/// What would have placed a pod in an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct WhatIf {
    /// Which attempt, from 1; the next one if things are looked at as they are now.
    pub attempt: u32,
    /// Smallest changes first. Empty if no single one helps, or if the pod fits as it is.
    pub changes: Vec<Counterfactual>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Request { resource, asks, at_most } if at_most.is_zero() => {
                write!(f, "if it asked for no {resource} (asks {asks})")
            }
            Change::Request { resource, asks, at_most } => {
                write!(f, "if it asked for at most {at_most} of {resource} (asks {asks})")
            }
            Change::Toleration(taint) => {
                let value = taint.value.as_deref().map(|v| format!("={v}")).unwrap_or_default();
                write!(f, "with a toleration of {}{value}:{}", taint.key, taint.effect)
            }
            Change::NodeSelectorKey { key, value } => write!(f, "without nodeSelector {key}={value}"),
            Change::NodeSelector => write!(f, "without its nodeSelector"),
            Change::NodeAffinityRequirement(text) => write!(f, "without node affinity {text}"),
            Change::NodeAffinity => write!(f, "without its required node affinity"),
            Change::MaxSkew { topology_key, is, at_least } => {
                write!(f, "if maxSkew over {topology_key} were {at_least} (is {is})")
            }
            Change::SpreadConstraint { topology_key } => {
                write!(f, "if the spread over {topology_key} were no condition")
            }
            Change::PodAffinityTerm { term, topology_key } => {
                write!(f, "without pod affinity term {term} (over {topology_key})")
            }
            Change::PodAntiAffinityTerm { term, topology_key } => {
                write!(f, "without pod anti-affinity term {term} (over {topology_key})")
            }
            Change::HostPort(port) => write!(f, "without host port {port}"),
            Change::Volume(name) => write!(f, "without volume {name}"),
            Change::ResourceClaim(name) => write!(f, "without resource claim {name}"),
            Change::OneMoreNode { like } => write!(f, "with one more node like {like}"),
        }
    }
}

impl fmt::Display for Counterfactual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.change)?;
        if self.examples.is_empty() {
            return Ok(());
        }
        let plural = if self.nodes == 1 { "node" } else { "nodes" };
        let more = if self.nodes > self.examples.len() { ", …" } else { "" };
        write!(f, ": {} {plural} ({}{more})", self.nodes, self.examples.join(", "))
    }
}

impl fmt::Display for WhatIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return writeln!(f, "no single change would have placed it");
        }
        writeln!(f, "it would have fit")?;
        self.changes.iter().try_for_each(|change| writeln!(f, "  {change}"))
    }
}

/// An amount as the scheduler counts it.
fn amount(resource: &str, amount: i64) -> Quantity {
    let binary = matches!(resource, "memory" | "ephemeral-storage") || resource.starts_with("hugepages-");
    match resource {
        "cpu" => Quantity::new_milli(amount, Format::DecimalSI),
        _ => Quantity::new(amount, if binary { Format::BinarySI } else { Format::DecimalSI }),
    }
}
