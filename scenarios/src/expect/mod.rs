//! Expectations: `deployment/web available within 60s`.
//!
//! The grammar is in `docs/expectations.md`; every example there is parsed by a test. An [`Expectation`] is parsed
//! once, with positions in its errors, and evaluated against a read-only [`World`].

mod checker;
mod devices;
mod eval;
mod parse;
mod state;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Labels};
use sim_core::api::object::Object;
use sim_core::time::{Span, Time};
use smol_str::SmolStr;

pub use checker::{Checker, Outcome};
pub use devices::{DeviceState, Devices};
pub use eval::Observed;
pub use parse::ParseError;
pub use state::State;

use crate::format::Target;

/// What expectations can see. Read-only: looking never changes a run.
pub trait World {
    /// The current instant.
    fn now(&self) -> Time;
    /// One object.
    fn get(&self, kind: Kind, key: &Key) -> Option<Arc<Object>>;
    /// All objects of a kind, in order of their keys.
    fn each(&self, kind: Kind, visit: &mut dyn FnMut(&Object));
    /// How often an Event with this reason was recorded, about one object or any.
    fn event_count(&self, reason: &str, about: Option<&Target>) -> u64;
    /// Every container restart so far, those of pods that are gone included.
    fn restarts(&self) -> &[Restart];
    /// The object as the wire has it, for comparing fields.
    fn wire(&self, object: &Object) -> serde_json::Value;
}

/// A container restarted.
#[derive(Clone, Debug, PartialEq)]
pub struct Restart {
    /// When.
    pub at: Time,
    /// The pod.
    pub pod: Key,
    /// The container.
    pub container: SmolStr,
    /// The pod's labels at that time.
    pub labels: Arc<Labels>,
    /// The pod's node.
    pub node: SmolStr,
}

/// One parsed expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// As it was written.
    pub text: String,
    /// What must hold.
    pub claim: Claim,
    /// When.
    pub when: When,
}

impl std::str::FromStr for Expectation {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse::expectation(text)
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What must hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// `deployment/web available`.
    State {
        /// The object.
        target: Target,
        /// `not` was written.
        negate: bool,
        /// The state.
        state: State,
    },
    /// `deployment/web status.readyReplicas >= 3`.
    Field {
        /// The object.
        target: Target,
        /// Field path from the root of the object.
        path: String,
        /// How to compare.
        op: Op,
        /// With what.
        value: String,
    },
    /// `pods where app=web running == 3`; `no pod restarted` is `== 0`.
    Count {
        /// What is counted.
        set: Set,
        /// How to compare.
        op: Op,
        /// With what.
        count: u64,
    },
    /// `devices on node-1 allocated == 8`.
    Devices {
        /// What is counted.
        devices: Devices,
        /// How to compare.
        op: Op,
        /// With what.
        count: u64,
    },
    /// `every pod where app=web ready`: no exception, and at least one.
    Every {
        /// All of these; its `state` is the one they must have.
        set: Set,
    },
    /// `event FailedScheduling for pod/web count >= 1`.
    Event {
        /// CamelCase reason.
        reason: String,
        /// Only those about this object.
        about: Option<Target>,
        /// How to compare.
        op: Op,
        /// With what.
        count: u64,
    },
}

/// Some objects of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// Their kind.
    pub kind: Kind,
    /// Labels they have (true) or have not (false).
    pub labels: Vec<(String, bool, String)>,
    /// Only in this namespace.
    pub namespace: Option<String>,
    /// Pods only: on this node.
    pub node: Option<String>,
    /// In (true) or not in (false) this state.
    pub state: Option<(bool, State)>,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl Op {
    const ALL: [(&'static str, Op); 6] =
        [("==", Op::Eq), ("!=", Op::Ne), ("<=", Op::Le), (">=", Op::Ge), ("<", Op::Lt), (">", Op::Gt)];

    /// True if `ordering` (left to right) is what the operator asks for.
    pub fn admits(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Op::Eq => ordering.is_eq(),
            Op::Ne => ordering.is_ne(),
            Op::Lt => ordering.is_lt(),
            Op::Le => ordering.is_le(),
            Op::Gt => ordering.is_gt(),
            Op::Ge => ordering.is_ge(),
        }
    }
}

/// When a claim must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// At the end of the run.
    #[default]
    AtEnd,
    /// At this instant, after everything that happens at it.
    At(Time),
    /// At some instant from `after` on, at most `span` later.
    Within {
        /// Length of the window.
        span: Span,
        /// Start of the window.
        after: Time,
    },
    /// At every instant of the window.
    Always {
        /// Start of the window.
        from: Time,
        /// End of the window; the end of the run if absent.
        until: Option<Time>,
    },
}

impl When {
    /// The last instant that matters, if it is not the end of the run.
    pub fn deadline(self) -> Option<Time> {
        match self {
            When::AtEnd => None,
            When::At(t) => Some(t),
            When::Within { span, after } => Some(after + span),
            When::Always { until, .. } => until,
        }
    }
}
