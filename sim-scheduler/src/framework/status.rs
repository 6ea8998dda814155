//! What plugins answer.

use std::fmt;

use smol_str::SmolStr;

/// Status codes of the framework (`k8s.io/kube-scheduler/framework`, `Code`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// It went well.
    #[default]
    Success,
    /// An internal error: the pod is retried after a back-off, whatever happens in the cluster.
    Error,
    /// The pod does not fit; removing other pods might help.
    Unschedulable,
    /// The pod does not fit, and removing other pods cannot help.
    UnschedulableAndUnresolvable,
    /// Permit only: the pod has to wait.
    Wait,
    /// The plugin has nothing to do for this pod.
    Skip,
    /// The pod waits for something outside; it is retried without a back-off once that happens.
    Pending,
}

impl Code {
    /// Upstream's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::Success => "Success",
            Code::Error => "Error",
            Code::Unschedulable => "Unschedulable",
            Code::UnschedulableAndUnresolvable => "UnschedulableAndUnresolvable",
            Code::Wait => "Wait",
            Code::Skip => "Skip",
            Code::Pending => "Pending",
        }
    }

    /// True if the pod was refused (and not merely hit by an error).
    pub const fn is_rejected(self) -> bool {
        matches!(self, Code::Unschedulable | Code::UnschedulableAndUnresolvable | Code::Pending)
    }
}

/// A code, its reasons, and the plugin that gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What happened.
    pub code: Code,
    /// Why, in the plugin's words.
    pub reasons: Vec<SmolStr>,
    /// Name of the plugin; empty if none is to blame.
    pub plugin: SmolStr,
}

impl Status {
    /// A status with one reason.
    pub fn new(code: Code, reason: impl Into<SmolStr>) -> Status {
        Status { code, reasons: vec![reason.into()], plugin: SmolStr::default() }
    }

    /// An error.
    pub fn error(message: impl Into<SmolStr>) -> Status {
        Status::new(Code::Error, message)
    }

    /// Success.
    pub fn success() -> Status {
        Status::default()
    }

    /// Nothing to do for this pod.
    pub fn skip() -> Status {
        Status { code: Code::Skip, ..Status::default() }
    }

    /// The same, said by a plugin.
    #[must_use]
    pub fn by(mut self, plugin: &'static str) -> Status {
        self.plugin = SmolStr::new_static(plugin);
        self
    }

    /// The reasons as one text.
    pub fn message(&self) -> String {
        self.reasons.join(", ")
    }

    /// True for [`Code::Success`].
    pub fn is_success(&self) -> bool {
        self.code == Code::Success
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

/// A filter's answer about one node. The plain variants cost nothing; [`Verdict::Because`] carries any status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The pod may run there.
    Fits,
    /// It may not, unless other pods leave ([`Code::Unschedulable`]).
    Rejected(&'static str),
    /// It may not, whoever leaves ([`Code::UnschedulableAndUnresolvable`]).
    Unresolvable(&'static str),
    /// Any other status, or one with reasons that are made up on the spot.
    Because(Box<Status>),
}

pub use Verdict::{Fits, Rejected, Unresolvable};

impl Verdict {
    /// A status as a verdict.
    pub fn because(status: Status) -> Verdict {
        Verdict::Because(Box::new(status))
    }

    /// True if the pod may run there.
    pub fn fits(&self) -> bool {
        match self {
            Verdict::Fits => true,
            Verdict::Because(status) => status.is_success(),
            Verdict::Rejected(_) | Verdict::Unresolvable(_) => false,
        }
    }

    /// The refusal as a status of a plugin; `None` if there is none.
    pub fn into_status(self, plugin: &'static str) -> Option<Status> {
        match self {
            Verdict::Fits => None,
            Verdict::Rejected(reason) => {
                Some(Status::new(Code::Unschedulable, SmolStr::new_static(reason)).by(plugin))
            }
            Verdict::Unresolvable(reason) => {
                Some(Status::new(Code::UnschedulableAndUnresolvable, SmolStr::new_static(reason)).by(plugin))
            }
            Verdict::Because(status) if status.is_success() => None,
            Verdict::Because(status) => Some(status.by(plugin)),
        }
    }
}
