//! Claims that have devices, and until when pods may use them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::Deserialize;
use sim_core::api::meta::Key;
use sim_core::api::object::Object;
use sim_core::time::{Epoch, Time, secs};
use sim_dra::api::{DeviceAllocationResult, DeviceTaint, DeviceToleration};
use sim_dra::pod as dra;
use sim_dra::taints::NO_EXECUTE;
use smol_str::SmolStr;

use super::pools::{PoolId, Pools};

/// A claim that has devices.
#[derive(Clone, Debug)]
pub(super) struct AllocatedClaim {
    pub(super) object: Arc<Object>,
    devices: Arc<[AllocatedDevice]>,
    /// From when on no pod may use it; `None` as long as nothing is the matter.
    pub(super) eviction: Option<Time>,
}

#[derive(Clone, Debug)]
struct AllocatedDevice {
    pool: PoolId,
    name: SmolStr,
    tolerations: Vec<DeviceToleration>,
}

/// All of them, by key and by the pools of their devices.
#[derive(Clone, Debug, Default)]
pub(super) struct AllocatedClaims {
    claims: FxHashMap<Key, AllocatedClaim>,
    by_pool: FxHashMap<PoolId, BTreeSet<Key>>,
}

impl AllocatedClaims {
    pub(super) fn get(&self, key: &Key) -> Option<&AllocatedClaim> {
        self.claims.get(key)
    }

    /// The claims with devices of a pool, in order.
    pub(super) fn in_pool(&self, pool: &PoolId) -> Vec<Key> {
        self.by_pool.get(pool).into_iter().flatten().cloned().collect()
    }

    /// Takes in a claim that has devices. An allocation never changes, so a claim that is known keeps what was found out.
    pub(super) fn insert(&mut self, object: &Arc<Object>, pools: &Pools, epoch: Epoch) {
        let key = object.key();
        if let Some(known) = self.claims.get_mut(key)
            && known.object.meta.uid == object.meta.uid
        {
            known.object = object.clone();
            return;
        }
        self.remove(key);
        let devices = devices(object);
        for device in devices.iter() {
            self.by_pool.entry(device.pool.clone()).or_default().insert(key.clone());
        }
        let eviction = eviction_time(&devices, pools, epoch);
        self.claims.insert(key.clone(), AllocatedClaim { object: object.clone(), devices, eviction });
    }

    pub(super) fn remove(&mut self, key: &Key) {
        let Some(claim) = self.claims.remove(key) else { return };
        for device in claim.devices.iter() {
            if let Some(keys) = self.by_pool.get_mut(&device.pool) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_pool.remove(&device.pool);
                }
            }
        }
    }

    /// Finds out again; true if anything is different now.
    pub(super) fn refresh(&mut self, key: &Key, pools: &Pools, epoch: Epoch) -> bool {
        let Some(claim) = self.claims.get_mut(key) else { return false };
        let before = std::mem::replace(&mut claim.eviction, eviction_time(&claim.devices, pools, epoch));
        before != claim.eviction
    }
}

fn devices(claim: &Object) -> Arc<[AllocatedDevice]> {
    let devices =
        dra::allocation(claim).and_then(|a| DeviceAllocationResult::deserialize(&a["devices"]).ok());
    let results = devices.unwrap_or_default().results.into_iter();
    let device = |result: sim_dra::api::DeviceRequestAllocationResult| AllocatedDevice {
        pool: PoolId { driver: result.driver, pool: result.pool },
        name: result.device,
        tolerations: result.tolerations,
    };
    results.map(device).collect()
}

/// The earliest of all untolerated taints (`evictionTime`).
fn eviction_time(devices: &[AllocatedDevice], pools: &Pools, epoch: Epoch) -> Option<Time> {
    let of_device = |device: &AllocatedDevice| {
        let taints = pools.taints(&device.pool, &device.name).iter();
        taints.filter_map(|taint| until(taint, &device.tolerations, epoch)).min()
    };
    devices.iter().filter_map(of_device).min()
}

/// Until when a taint is tolerated; `None` for ever. A taint without a time, which no API server stores, has no effect.
fn until(taint: &DeviceTaint, tolerations: &[DeviceToleration], epoch: Epoch) -> Option<Time> {
    let added = epoch.time_of(taint.time_added.as_ref()?.0);
    let mut least = None;
    for toleration in tolerations.iter().filter(|t| t.effect == NO_EXECUTE && t.tolerates(taint)) {
        let seconds = toleration.toleration_seconds?.max(0);
        least = Some(least.map_or(seconds, |least: i64| least.min(seconds)));
    }
    Some(least.map_or(added, |seconds| added + secs(seconds.min(i64::from(u32::MAX)))))
}
