//! Extenders: services outside the scheduler that take part in its decisions (`pkg/scheduler/extender.go`,
//! `kube-scheduler/extender/v1`).
//!
//! An [`Extender`] is asked in the middle of a decision, at one virtual instant: which of the nodes that passed all
//! filters it lets pass, how it rates them, whether the victims of a preemption are right, and it may take the binding
//! over. An answer costs what [`Timing::extender_call`](sim_core::engine::timing::Timing) says, however long it really
//! took. [`ExtenderSettings`] say what it is asked and about which pods.
//!
//! Extenders that are types of this program implement the trait; those that are web services are in `sim-edge`.
//!
//! ```
//! use std::sync::Arc;
//! use sim_core::api::object::Object;
//! use sim_scheduler::extender::*;
//! use sim_scheduler::Scheduler;
//!
//! /// Prefers nodes whose names are short.
//! struct Terse;
//!
//! impl Extender for Terse {
//!     fn prioritize(&self, _: &Asked<'_>, nodes: &[Arc<Object>]) -> Result<Ratings, ExtenderError> {
//!         let rate = |node: &Arc<Object>| (node.key().name.clone(), 10 - node.key().name.len() as i64);
//!         Ok(nodes.iter().map(rate).collect())
//!     }
//! }
//!
//! let scheduler = Scheduler::default().with_extender(ExtenderSettings::named("terse").prioritize(5), Arc::new(Terse));
//! assert_eq!(scheduler.extenders().names().collect::<Vec<_>>(), ["terse"]);
//! ```

mod preemption;
mod search;
mod set;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::time::{Epoch, Time};
use smol_str::SmolStr;

pub use search::{ExtenderCalls, ExtenderScores};
pub use set::Extenders;
pub use settings::ExtenderSettings;

pub(crate) use preemption::{Candidates, object_of};
pub(crate) use search::Returned;

/// Name that stands for all extenders among the plugins that refused a pod (`framework.ExtenderName`). Every event may
/// help such a pod.
pub const EXTENDER: &str = "Extender";

/// What every question is about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The pod.
    pub pod: &'a Object,
    /// The instant.
    pub now: Time,
    /// Date of instant zero, to write times with.
    pub epoch: Epoch,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtenderError {
    /// As it happens in a real cluster. If the extender is ignorable the decision goes on without it, else the attempt
    /// ends in this error.
    #[error("{0}")]
    Failed(String),
    /// The extender cannot be simulated any further (a recording has no answer, say). Never ignored: it ends the run.
    #[error("{0}")]
    Broken(String),
}

impl ExtenderError {
    /// An error as of a real cluster.
    pub fn failed(text: impl Into<String>) -> ExtenderError {
        ExtenderError::Failed(text.into())
    }
}

/// Nodes that an extender lets pass, in the order they are scored and chosen in.
#[derive(Clone, Debug, PartialEq)]
pub enum Passed {
    /// By name.
    Names(Vec<SmolStr>),
    /// As objects, as extenders without a cache of nodes answer. Scores see these objects, and *no pods on them*, as in
    /// upstream.
    Objects(Vec<Arc<Object>>),
}

/// Answer of [`Extender::filter`].
#[derive(Clone, Debug, PartialEq)]
pub struct Filtered {
    /// Nodes that pass.
    pub passed: Passed,
    /// Why others do not. Preemption may help there.
    pub failed: BTreeMap<SmolStr, SmolStr>,
    /// Why others do not, and preemption would not help. Wins over `failed`.
    pub failed_and_unresolvable: BTreeMap<SmolStr, SmolStr>,
}

impl Filtered {
    /// Lets nodes pass by name, and says nothing about the others.
    pub fn names<'a>(nodes: impl IntoIterator<Item = &'a Arc<Object>>) -> Filtered {
        Filtered {
            passed: Passed::Names(nodes.into_iter().map(|node| node.key().name.clone()).collect()),
            failed: BTreeMap::new(),
            failed_and_unresolvable: BTreeMap::new(),
        }
    }
}

/// Nodes with their ratings, usually 0 to 10; upstream multiplies them by 10 and by the extender's weight.
pub type Ratings = Vec<(SmolStr, i64)>;

/// Pods that would have to go from a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExtenderVictims {
    /// The pods, most important first.
    pub pods: Vec<Arc<Object>>,
    /// How many of them violate a PodDisruptionBudget.
    pub pdb_violations: i64,
}

/// The same, as extenders answer: by uid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtenderMetaVictims {
    /// The pods, in the order they are evicted in.
    pub pods: Vec<Uid>,
    /// How many of them violate a PodDisruptionBudget.
    pub pdb_violations: i64,
}

/// What becomes of an extender where a run is forked.
pub enum Fork {
    /// It keeps nothing from one call to the next: both runs ask the same one.
    Same,
    /// The other run asks this one from now on.
    Own(Arc<dyn Extender>),
    /// There is no second one, for a reason. The other run ends where it first needs an answer.
    Impossible(String),
}

/// Takes part in decisions from outside of the scheduler.
///
/// Answers must depend on nothing but the questions so far. One that remembers them keeps them behind a lock and
/// implements [`Extender::fork`]. Only what its [`ExtenderSettings`] name is asked.
pub trait Extender: Send + Sync {
    /// Which of the nodes pass?
    ///
    /// # Errors
    /// There is no answer.
    fn filter(&self, asked: &Asked<'_>, nodes: &[Arc<Object>]) -> Result<Filtered, ExtenderError> {
        let _ = asked;
        Ok(Filtered::names(nodes))
    }

    /// How good are the nodes? Asked only if there are several.
    ///
    /// # Errors
    /// There is no answer. Upstream ignores that always.
    fn prioritize(&self, asked: &Asked<'_>, nodes: &[Arc<Object>]) -> Result<Ratings, ExtenderError> {
        let _ = (asked, nodes);
        Ok(Ratings::new())
    }

    /// Which nodes, and which victims on them, may make room for the pod?
    ///
    /// # Errors
    /// There is no answer.
    fn preempt(
        &self,
        asked: &Asked<'_>,
        candidates: &BTreeMap<SmolStr, ExtenderVictims>,
    ) -> Result<BTreeMap<SmolStr, ExtenderMetaVictims>, ExtenderError> {
        let _ = asked;
        let meta = |victims: &ExtenderVictims| ExtenderMetaVictims {
            pods: victims.pods.iter().map(|pod| pod.meta.uid).collect(),
            pdb_violations: victims.pdb_violations,
        };
        Ok(candidates.iter().map(|(node, victims)| (node.clone(), meta(victims))).collect())
    }

    /// Binds the pod.
    // DIFFERS: upstream's extender writes the binding to the API server before it answers. Here a service outside cannot
    // reach the API server, so the scheduler writes what the extender says it has bound.
    ///
    /// # Errors
    /// It is not bound.
    fn bind(&self, asked: &Asked<'_>, node: &str) -> Result<(), ExtenderError> {
        let _ = (asked, node);
        Ok(())
    }

    /// What becomes of it where a run is forked.
    fn fork(&self) -> Fork {
        Fork::Same
    }
}

#[cfg(test)]
mod tests;
