//! The sum of everything that can be due: the one closed enum of the house.

use std::sync::Arc;

use sim_core::api::watch::WatcherId;

use crate::Cluster;

/// Who sent a request, owns a watch or a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A kube-scheduler, by number.
    Scheduler(u16),
    /// All kubelets.
    Kubelets,
    /// kube-controller-manager.
    Controllers,
    /// A component written by the user, by number.
    User(u16),
    /// Nobody in the cluster: a person, a test, the timeline.
    Outside,
}

/// One due thing. Small: payloads wait in slabs.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A request arrives at the API server.
    Request(u32),
    /// An answer arrives at its component.
    Reply(u32),
    /// Changes have become visible to a watcher.
    Deliver(WatcherId),
    /// A timer of a scheduler.
    Scheduler(u16, sim_scheduler::scheduler::Timer),
    /// A timer of the kubelets.
    Kubelets(sim_kubelet::fleet::Timer),
    /// A timer of the controllers.
    Controllers(sim_controllers::Timer),
    /// A timer of a user's component.
    User(u16, u64),
    /// Something scheduled with [`Cluster::at`].
    Action(u32),
}

/// Something to do to the cluster at an instant. Shared, so that a forked cluster does it too.
pub(crate) type Action = Arc<dyn Fn(&mut Cluster) + Send + Sync>;

/// Values that wait for their event, by slot.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(value);
                slot
            }
            None => {
                self.slots.push(Some(value));
                (self.slots.len() - 1) as u32
            }
        }
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(value)
    }
}
