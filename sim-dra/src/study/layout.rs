//! Partitions come and go: each costs time on the hardware, and sometimes a drain.

use std::sync::Arc;

use crate::inventory::Slice;

/// What had to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Partitions made.
    pub created: u64,
    /// Partitions destroyed.
    pub destroyed: u64,
}

/// The partitions that exist on the hardware of a slice: a partition is made when it is allocated and not there, it stays when it is
/// released, and it is destroyed when another needs its counters, the longest idle first. A reconfiguration is an allocation
/// that destroys something. (A driver that destroys partitions at once makes as many as are allocated.)
#[derive(Clone, Debug)]
pub struct Layout {
    slice: Arc<Slice>,
    used: Vec<usize>,
    /// Partitions nobody uses, the longest idle first.
    idle: Vec<usize>,
    changes: Changes,
    reconfigurations: u64,
}

impl Layout {
    /// Hardware without partitions.
    pub fn new(slice: Arc<Slice>) -> Layout {
        Layout { slice, used: Vec::new(), idle: Vec::new(), changes: Changes::default(), reconfigurations: 0 }
    }

    fn index(&self, device: &str) -> Option<usize> {
        let devices = &self.slice.body().spec.devices;
        devices.iter().position(|known| known.name == device && !known.consumes_counters.is_empty())
    }

    /// A device of the slice is allocated. Devices without counters, and unknown ones, change nothing.
    pub fn allocate(&mut self, device: &str) {
        let Some(device) = self.index(device).filter(|device| !self.used.contains(device)) else { return };
        if let Some(known) = self.idle.iter().position(|idle| *idle == device) {
            self.idle.remove(known);
            self.used.push(device);
            return;
        }
        let before = self.changes.destroyed;
        while !self.fits(device) && !self.idle.is_empty() {
            // One whose going helps nobody stays: the first alone that makes room, or else the longest idle.
            let makes_room = |place: &usize| {
                let mut without = self.clone();
                without.idle.remove(*place);
                without.fits(device)
            };
            let place = (0..self.idle.len()).find(makes_room).unwrap_or(0);
            self.idle.remove(place);
            self.changes.destroyed += 1;
        }
        self.changes.created += 1;
        self.used.push(device);
        self.reconfigurations += u64::from(self.changes.destroyed > before);
    }

    fn fits(&self, device: usize) -> bool {
        let there = self.used.iter().chain(&self.idle).copied();
        self.slice.counters_left(there).take(&self.slice, device)
    }

    /// A device is free again.
    pub fn release(&mut self, device: &str) {
        let Some(device) = self.index(device) else { return };
        if let Some(place) = self.used.iter().position(|used| *used == device) {
            self.used.remove(place);
            self.idle.push(device);
        }
    }

    /// What was made and destroyed so far.
    pub fn changes(&self) -> Changes {
        self.changes
    }

    /// Allocations so far that destroyed partitions.
    pub fn reconfigurations(&self) -> u64 {
        self.reconfigurations
    }
}
