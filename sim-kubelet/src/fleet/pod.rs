//! What the fleet keeps of one pod.

use std::collections::VecDeque;
use std::sync::Arc;

use sim_core::api::object::Object;
use sim_core::api::pod_status::Terminated;
use sim_core::engine::component::TimerId;
use sim_core::time::{Span, Time};
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::actions::{Kill, Record, RuntimeState};
use crate::backoff::Entry;
use crate::behavior::Behavior;
use crate::phase::View;
use crate::plan::{Plan, Role};
use crate::probes::Worker;
use crate::status::{Failure, Instance};

use super::Compiled;
use super::devices::{Calls, LookUp};

/// Handle of a pod in the fleet; stale handles find nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PodRef {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// Where a pod's worker is. It never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its containers are kept as the spec wants them.
    Syncing,
    /// Its containers are being stopped for good.
    Terminating,
    /// Nothing runs any more.
    Finished,
}

/// One thing a sync has decided to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Job {
    /// Kill all containers and the sandbox.
    KillPod,
    /// Kill one container.
    Kill(Kill),
    /// Make a sandbox.
    Sandbox,
    /// Start a container. `since` is the exit that its back-off counts from.
    Start { container: usize, since: Option<Time> },
}

/// What a worker waits for. One step at a time, as upstream's sync loop blocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Busy {
    #[default]
    Idle,
    Sandbox,
    Pulling(Box<PullJob>),
    Starting(usize),
    /// The pod's claims are read.
    LookingUp(Box<LookUp>),
    /// A driver prepares claims or gives them back.
    Calling(Box<Calls>),
    /// Giving back has failed and is tried again after a while.
    GivingBackLater,
    PostStart(usize),
    /// Containers are being killed: all of the pod and its sandbox, or some.
    Killing {
        pod: bool,
    },
}

/// A pull that is under way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PullJob {
    pub container: usize,
    pub asked: Time,
    pub transfer: Span,
    /// Size, or the text of the failure.
    pub outcome: Result<i64, SmolStr>,
}

/// How far a container's kill has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KillStage {
    /// The preStop hook runs.
    PreStop,
    /// Waits for its turn.
    Turn,
    /// Has its stop signal.
    Stopping,
}

/// A kill under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Killing {
    pub stage: KillStage,
    /// Since when it is in this stage.
    pub since: Time,
    /// Seconds of grace left when the stage began.
    pub grace: i64,
    /// The whole pod is killed and the order of sidecars counts.
    pub ordered: bool,
    /// Exit code at `timer`, while stopping.
    pub exit_code: i32,
    pub timer: Option<TimerId>,
}

/// The probe workers of a container.
#[derive(Clone, Debug, Default)]
pub(super) struct Probes {
    /// Startup, liveness, readiness.
    pub workers: [Option<Worker>; 3],
    pub timer: Option<TimerId>,
}

/// A container of a pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    /// Newest instance.
    pub instance: Option<Instance>,
    /// Instances so far.
    pub runs: i32,
    /// The instance before.
    pub last: Option<Box<Terminated>>,
    /// The exact end of the instance before.
    pub last_finished: Option<Time>,
    /// Why the last start failed.
    pub failure: Option<Box<Failure>>,
    pub backoff: Option<Entry>,
    /// Back-off of its image, and the text of the last failure.
    pub image: Option<Box<(Entry, SmolStr)>>,
    pub behavior: Option<Arc<Behavior>>,
    pub probes: Option<Box<Probes>>,
    pub started: bool,
    pub ready: bool,
    /// The kubelet has not looked at this instance yet.
    pub fresh: bool,
    /// The image in the spec is no longer the one it runs.
    pub changed: bool,
    /// Its record was gone at the end of the pod.
    pub lost: bool,
    /// When it ends by itself.
    pub exit: Option<TimerId>,
    pub kill: Option<Box<Killing>>,
}

impl Cell {
    pub(super) fn is_running(&self) -> bool {
        self.instance.is_some_and(|i| i.state == RuntimeState::Running)
    }

    pub(super) fn restarts(&self) -> i32 {
        (self.runs - 1).max(0)
    }

    /// As `computePodActions` looks at it.
    pub(super) fn record(&self) -> Option<Record> {
        let result = |i: usize| self.probes.as_ref().and_then(|p| p.workers[i]).map(|w| w.result);
        self.instance.map(|i| Record {
            state: i.state,
            exit_code: i.exit_code,
            changed: self.changed,
            startup: result(0),
            liveness: result(1),
        })
    }
}

/// A pod on its node.
#[derive(Clone, Debug)]
pub struct PodState {
    /// Newest object seen.
    pub(super) object: Arc<Object>,
    pub(super) compiled: Arc<Compiled>,
    pub(super) node: u32,
    pub(super) stage: Stage,
    /// Attempt of the sandbox, if there is one.
    pub(super) sandbox: Option<u32>,
    pub(super) ip: SmolStr,
    pub(super) cells: SmallVec<[Cell; 1]>,
    pub(super) jobs: VecDeque<Job>,
    pub(super) busy: Busy,
    pub(super) step: Option<TimerId>,
    pub(super) retry: Option<TimerId>,
    /// Earliest end of a back-off met in this sync.
    pub(super) retry_at: Option<Time>,
    /// A failure of this sync is not in the status yet.
    pub(super) fresh_failure: bool,
    /// A relist will notice something.
    pub(super) relist: bool,
    /// Sync again once the worker is idle.
    pub(super) wake: bool,
    pub(super) start_time: Time,
    /// Failed for this reason, whatever the containers say.
    pub(super) failed: Option<Box<(SmolStr, SmolStr)>>,
    /// Refused by its node: no containers, no conditions.
    pub(super) rejected: bool,
    /// Grace of the termination, once it has begun.
    pub(super) grace: Option<i64>,
    /// Holds resources of the node.
    pub(super) holds: bool,
    pub(super) in_flight: bool,
    pub(super) dirty: bool,
    pub(super) vanished: bool,
    pub(super) delete_sent: bool,
    /// Claims of a pod that ran already, being read.
    pub(super) adopting: Option<Box<LookUp>>,
}

impl PodState {
    pub(super) fn plan(&self) -> &Plan {
        &self.compiled.plan
    }

    /// What the runtime has of each container, as phase and conditions look at it.
    pub(super) fn views(&self, states: impl Fn(usize) -> crate::phase::Seen) -> SmallVec<[Option<View>; 4]> {
        let one = |(i, cell): (usize, &Cell)| {
            let seen = states(i);
            Some(View { seen, ready: self.is_ready(i), started: cell.started })
        };
        self.cells.iter().enumerate().map(one).collect()
    }

    /// `ready` of a container's status.
    pub(super) fn is_ready(&self, i: usize) -> bool {
        let cell = &self.cells[i];
        match self.plan().containers[i].role {
            Role::Init => cell.instance.is_some_and(|r| r.state == RuntimeState::Exited && r.exit_code == 0),
            Role::Sidecar | Role::Main => cell.ready && cell.is_running(),
        }
    }

    /// The newest object this node has seen.
    pub fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// Where its worker is.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Names of the containers that run right now, in spec order.
    pub fn running(&self) -> impl Iterator<Item = &str> {
        let containers = self.plan().containers.iter();
        containers.zip(&self.cells).filter(|(_, cell)| cell.is_running()).map(|(c, _)| c.name.as_str())
    }
}
