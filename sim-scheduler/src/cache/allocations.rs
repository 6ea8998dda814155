//! Which devices claims have: what upstream keeps as `allocatedDevices` and `inFlightAllocations`
//! (`plugins/dynamicresources/allocateddevices.go`, `dra_manager.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_dra::allocator::{AllocatedState, Consumed, DeviceId};
use smol_str::SmolStr;

/// How many touched pools are remembered at least.
const KEPT: usize = 4096;

/// A pool by driver and name.
pub(super) type PoolId = (SmolStr, SmolStr);

/// Devices of all ResourceClaims, as assumed or seen, and of those whose allocation is still being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Allocations {
    state: Arc<AllocatedState>,
    pending: BTreeMap<Uid, Arc<Object>>,
    /// Several claims can share a device (`DRAConsumableCapacity`).
    shares: bool,
    /// Pools of which something was taken or given back, oldest first.
    touched: Vec<PoolId>,
    /// How many were forgotten before them.
    forgotten: u64,
}

/// What a claim keeps from others.
enum Taken {
    Device(DeviceId),
    Share(DeviceId, Consumed),
}

impl Allocations {
    pub(super) fn state(&self) -> &Arc<AllocatedState> {
        &self.state
    }

    pub(super) fn is_pending(&self, claim: Uid) -> bool {
        self.pending.contains_key(&claim)
    }

    /// Pools touched since a mark, and the new mark. `None` if the mark is too old: then any pool may have been.
    pub(super) fn touched_since(&self, mark: u64) -> (Option<&[PoolId]>, u64) {
        let end = self.forgotten + self.touched.len() as u64;
        let pools = mark.checked_sub(self.forgotten).and_then(|from| self.touched.get(from as usize..));
        (pools, end)
    }

    /// A claim came, changed or went.
    pub(super) fn changed(&mut self, old: Option<&Object>, new: Option<&Object>) {
        let pending = old.or(new).and_then(|claim| self.pending.get(&claim.meta.uid)).cloned();
        self.count(old, new, pending.as_deref());
    }

    /// The allocation of a claim is being written, or not any more. `known` is the claim without that.
    pub(super) fn set_pending(&mut self, claim: Uid, pending: Option<Arc<Object>>, known: Option<&Object>) {
        let old = self.pending.remove(&claim);
        self.count(old.as_deref(), pending.as_deref(), known);
        if let Some(pending) = pending {
            self.pending.insert(claim, pending);
        }
    }

    /// Counts all claims anew, as devices can be shared or not.
    pub(super) fn recount<'a>(&mut self, shares: bool, claims: impl Iterator<Item = &'a Object>) {
        self.shares = shares;
        self.state = Arc::default();
        claims.for_each(|claim| self.count(None, Some(claim), None));
        for pending in std::mem::take(&mut self.pending) {
            self.set_pending(pending.0, Some(pending.1), None);
        }
        self.forgotten += self.touched.len() as u64 + 1;
        self.touched.clear();
    }

    /// One entry of the books is another one now. `other` is the other entry of the same claim, which may name the same
    /// devices: they stay taken. Shares are counted once per entry, as upstream.
    fn count(&mut self, old: Option<&Object>, new: Option<&Object>, other: Option<&Object>) {
        let taken = |claim: Option<&Object>| claim.map(|claim| taken(claim, self.shares)).unwrap_or_default();
        let (old, new) = (taken(old), taken(new));
        // Allocators may hold the state: it is only copied for a change.
        if old.is_empty() && new.is_empty() {
            return;
        }
        let other = taken(other);
        let state = Arc::make_mut(&mut self.state);
        for taken in old {
            let (Taken::Device(id) | Taken::Share(id, _)) = &taken;
            self.touched.push((id.driver.clone(), id.pool.clone()));
            match &taken {
                Taken::Device(id) => state.remove(id),
                Taken::Share(id, consumed) => state.remove_share(id, consumed),
            }
        }
        for taken in new {
            let (Taken::Device(id) | Taken::Share(id, _)) = &taken;
            self.touched.push((id.driver.clone(), id.pool.clone()));
            match taken {
                Taken::Device(id) => state.insert(id),
                Taken::Share(id, consumed) => state.insert_share(id, &consumed),
            }
        }
        for taken in other {
            if let Taken::Device(id) = taken {
                state.insert(id);
            }
        }
        if self.touched.len() > 2 * KEPT {
            let forgotten = self.touched.len() - KEPT;
            self.touched.drain(..forgotten);
            self.forgotten += forgotten as u64;
        }
    }
}

/// The devices that a claim keeps from others: all but those it has for administration (`foreachAllocatedDevice`).
fn taken(claim: &Object, shares: bool) -> Vec<Taken> {
    let results = claim.as_json().and_then(|body| body.pointer("/status/allocation/devices/results"));
    let results = results.and_then(Value::as_array).into_iter().flatten();
    let exclusive = results.filter(|result| result["adminAccess"] != Value::Bool(true));
    let text = |result: &Value, field: &str| result[field].as_str().unwrap_or_default().into();
    let of = |result| {
        let id = DeviceId {
            driver: text(result, "driver"),
            pool: text(result, "pool"),
            device: text(result, "device"),
        };
        match shares && !result["shareID"].is_null() {
            true => Taken::Share(id, Consumed::deserialize(&result["consumedCapacity"]).unwrap_or_default()),
            false => Taken::Device(id),
        }
    };
    exclusive.map(of).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sim_core::api::kind::Kind;
    use sim_core::api::meta::{Key, Meta};

    use super::*;

    fn claim(name: &str, results: Value) -> Arc<Object> {
        let mut meta = Meta::named(Key::new("default", name));
        meta.uid = Uid::parse(name);
        let body = json!({"status": {"allocation": {"devices": {"results": results}}}});
        Arc::new(Object::json(Kind::RESOURCE_CLAIM, meta, body))
    }

    fn result(device: &str) -> Value {
        json!({"driver": "d", "pool": "p", "device": device})
    }

    fn share(amount: &str) -> Value {
        let mut result = result("shared");
        result["shareID"] = json!("s");
        result["consumedCapacity"] = json!({"memory": amount});
        result
    }

    #[test]
    fn devices_stay_taken_while_either_entry_of_a_claim_has_them() {
        let mut books = Allocations::default();
        let fresh = format!("{:?}", books.state);
        let a = claim("a", json!([result("x")]));
        books.set_pending(a.meta.uid, Some(a.clone()), None);
        let taken = format!("{:?}", books.state);
        assert_ne!(taken, fresh);
        books.changed(None, Some(&a));
        assert_eq!(format!("{:?}", books.state), taken);
        books.set_pending(a.meta.uid, None, Some(&a));
        assert_eq!(format!("{:?}", books.state), taken, "written");
        books.set_pending(a.meta.uid, Some(a.clone()), Some(&a));
        books.changed(Some(&a), None);
        assert_eq!(format!("{:?}", books.state), taken, "somebody else freed it, but it is being written");
    }

    #[test]
    fn shares_are_counted_only_where_devices_can_be_shared() {
        let (one, two) = (claim("one", json!([share("1Gi")])), claim("two", json!([share("2Gi")])));
        for shares in [false, true] {
            let mut books = Allocations::default();
            books.recount(shares, [&*one].into_iter());
            let alone = format!("{:?}", books.state);
            assert_eq!(alone.contains("devices: {}"), shares, "{alone}");
            books.set_pending(two.meta.uid, Some(two.clone()), None);
            assert_eq!(format!("{:?}", books.state) == alone, !shares);
            books.set_pending(two.meta.uid, None, None);
            books.recount(shares, [&*one].into_iter());
            assert_eq!(format!("{:?}", books.state), alone);
        }
    }

    #[test]
    fn touched_pools_are_told_from_a_mark_on() {
        let mut books = Allocations::default();
        let mark = books.touched_since(0).1;
        let a = claim("a", json!([result("x")]));
        books.changed(None, Some(&a));
        let (touched, next) = books.touched_since(mark);
        assert_eq!(touched, Some(&[("d".into(), "p".into())][..]));
        assert_eq!(books.touched_since(next), (Some(&[][..]), next));
        for _ in 0..KEPT {
            books.changed(Some(&a), None);
            books.changed(None, Some(&a));
        }
        assert_eq!(books.touched_since(mark).0, None, "too long ago");
        books.recount(true, std::iter::empty());
        assert_eq!(books.touched_since(next).0, None);
    }
}
