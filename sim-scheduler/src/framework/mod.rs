//! The scheduling framework: extension points, statuses, profiles (`pkg/scheduler/framework`).

mod changes;
mod columns;
mod diagnosis;
mod erased;
mod event;
mod memory;
mod plugin;
mod profile;
mod registry;
mod rejectors;
mod status;
mod waiting;
mod wake;

pub use changes::{Changes, node_changes, pod_changes};
pub use columns::{AnyColumns, Columns, Kept};
pub use diagnosis::{Diagnosis, Refusals};
pub use erased::{AnyPlugin, Point, Registration, State, plugin};
pub use event::{ActionType, ClusterEvent, EventChange, EventResource, Hint, QueueingHint, Registered};
pub use memory::Memory;
pub use plugin::*;
pub use profile::{Profile, ProfileError};
pub use registry::{Factory, Registry};
pub use rejectors::Rejectors;
pub use status::{Code, Fits, Rejected, Status, Unresolvable, Verdict};
pub use waiting::{Waiting, WaitingPod};
pub use wake::Wake;
