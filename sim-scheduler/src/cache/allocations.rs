//! Which devices claims have: what upstream keeps as `allocatedDevices` and `inFlightAllocations`
//! (`plugins/dynamicresources/dra_manager.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_dra::allocator::{AllocatedState, DeviceId};

/// Devices of all ResourceClaims, as assumed or seen, and of those whose allocation is still being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Allocations {
    state: Arc<AllocatedState>,
    pending: BTreeMap<Uid, Arc<Object>>,
}

impl Allocations {
    pub(super) fn state(&self) -> &Arc<AllocatedState> {
        &self.state
    }

    pub(super) fn is_pending(&self, claim: Uid) -> bool {
        self.pending.contains_key(&claim)
    }

    /// A claim came, changed or went.
    pub(super) fn changed(&mut self, old: Option<&Object>, new: Option<&Object>) {
        let pending = old.or(new).and_then(|claim| self.pending.get(&claim.meta.uid)).cloned();
        self.count(old, [new, pending.as_deref()]);
    }

    /// The allocation of a claim is being written, or not any more. `known` is the claim without that.
    pub(super) fn set_pending(&mut self, claim: Uid, pending: Option<Arc<Object>>, known: Option<&Object>) {
        let old = self.pending.remove(&claim);
        self.count(old.as_deref(), [known, pending.as_deref()]);
        if let Some(pending) = pending {
            self.pending.insert(claim, pending);
        }
    }

    fn count(&mut self, old: Option<&Object>, new: [Option<&Object>; 2]) {
        let devices = |claim: Option<&Object>| claim.map(devices).unwrap_or_default();
        let (old, new) = (devices(old), new.map(devices).concat());
        // Allocators may hold the state: it is only copied for a change.
        if old.is_empty() && new.is_empty() {
            return;
        }
        let state = Arc::make_mut(&mut self.state);
        old.iter().for_each(|id| state.remove(id));
        new.into_iter().for_each(|id| state.insert(id));
    }
}

/// The devices that a claim keeps from others: all but those it has for administration (`foreachAllocatedDevice`).
fn devices(claim: &Object) -> Vec<DeviceId> {
    let results = claim.as_json().and_then(|body| body.pointer("/status/allocation/devices/results"));
    let results = results.and_then(Value::as_array).into_iter().flatten();
    let exclusive = results.filter(|result| result["adminAccess"] != Value::Bool(true));
    let text = |result: &Value, field: &str| result[field].as_str().unwrap_or_default().into();
    let id = |result| DeviceId {
        driver: text(result, "driver"),
        pool: text(result, "pool"),
        device: text(result, "device"),
    };
    exclusive.map(id).collect()
}
