//! Claims of a node's pods (`pkg/kubelet/cm/dra/manager.go`, `claiminfo.go`): what has to be prepared before a pod's
//! containers start, and given back when they have ended.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_dra::api::AllocationResult;
use sim_dra::driver::{Claim, Prepared};
use sim_dra::pod::{self, Unnamed};
use smol_str::{SmolStr, format_smolstr};

/// A claim behind one of a pod's `spec.resourceClaims`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Name of the object, in the pod's namespace.
    pub name: SmolStr,
    /// It was made for this pod, and must belong to it.
    pub own: bool,
}

/// The claims of a pod, in order, as far as there are to be any.
///
/// # Errors
/// One is not made yet, or says nothing.
pub fn wanted(pod: &Object) -> Result<Vec<Wanted>, Unnamed> {
    let mut out = Vec::new();
    for claim in pod::claims_of(pod) {
        // Without a name no claim was needed.
        let named = pod::claim_name(pod, claim)?;
        out.extend(named.map(|(name, own)| Wanted { name: name.into(), own }));
    }
    // Only the scheduler writes this field, and only with DRAExtendedResource.
    let other = pod.as_pod().and_then(|body| body.status.other.as_ref());
    let extended = other.and_then(|o| o.get("extendedResourceClaimStatus")?["resourceClaimName"].as_str());
    out.extend(extended.map(|name| Wanted { name: name.into(), own: false }));
    Ok(out)
}

/// The names of the claims that a container uses (`resources.claims`), as far as they are known.
pub fn used_by(pod: &Object, container: &str) -> Vec<SmolStr> {
    let Some(body) = pod.as_pod() else { return Vec::new() };
    let mut all = body.spec.init_containers.iter().flatten().chain(&body.spec.containers);
    let Some(container) = all.find(|c| c.name == container) else { return Vec::new() };
    let uses = container.resources.iter().flat_map(|r| r.claims.iter().flatten());
    let names: BTreeSet<&str> = uses.map(|claim| claim.name.as_str()).collect();
    let claims = pod::claims_of(pod).iter().filter(|claim| names.contains(claim.name.as_str()));
    claims.filter_map(|claim| Some(pod::claim_name(pod, claim).ok()??.0.into())).collect()
}

/// What the kubelet knows of a claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimInfo {
    uid: Uid,
    /// Pods of this node that use it, or are about to.
    pods: BTreeSet<Uid>,
    /// By driver: what it is asked with, and the devices it has made ready.
    drivers: BTreeMap<SmolStr, (Claim, Vec<Prepared>)>,
    prepared: bool,
}

impl ClaimInfo {
    /// What a pod's claim says, once it is looked at (`prepareResources`, the pass that changes nothing).
    ///
    /// # Errors
    /// Why the pod may not use it, in upstream's words.
    pub fn of(pod: &Object, claim: &Object, own: bool) -> Result<ClaimInfo, SmolStr> {
        let owner = claim.meta.controller_of();
        if own && owner.is_none_or(|owner| owner.uid != pod.meta.uid) {
            let (claim, pod) = (claim.key(), pod.key());
            let text =
                format_smolstr!("ResourceClaim {claim} was not created for pod {pod} (pod is not owner)");
            return Err(text);
        }
        let status = claim.as_json().map_or(&Value::Null, |body| &body["status"]);
        let users = status["reservedFor"].as_array().map_or(&[][..], Vec::as_slice);
        if !users.iter().any(|u| u["uid"].as_str().is_some_and(|uid| Uid::parse(uid) == pod.meta.uid)) {
            return Err(format_smolstr!(
                "pod {} ({}) is not allowed to use ResourceClaim {} ({})",
                pod.meta.name(),
                pod.meta.uid,
                claim.meta.name(),
                claim.meta.uid
            ));
        }
        let refused =
            |why: &dyn std::fmt::Display| format_smolstr!("ResourceClaim {}: {why}", claim.meta.name());
        let allocation = match &status["allocation"] {
            Value::Null => return Err(refused(&"not allocated")),
            found => AllocationResult::deserialize(found).map_err(|e| refused(&e))?,
        };
        Ok(ClaimInfo { uid: claim.meta.uid, drivers: by_driver(claim, allocation), ..ClaimInfo::default() })
    }

    /// Its drivers.
    pub fn drivers(&self) -> impl Iterator<Item = &SmolStr> {
        self.drivers.keys()
    }

    /// True once all drivers have made its devices ready.
    pub fn is_prepared(&self) -> bool {
        self.prepared
    }

    /// The devices that are ready, by driver.
    pub fn devices(&self) -> impl Iterator<Item = (&SmolStr, &Prepared)> {
        self.drivers.iter().flat_map(|(driver, (_, devices))| devices.iter().map(move |d| (driver, d)))
    }
}

fn by_driver(claim: &Object, allocation: AllocationResult) -> BTreeMap<SmolStr, (Claim, Vec<Prepared>)> {
    let mut out: BTreeMap<SmolStr, (Claim, Vec<Prepared>)> = BTreeMap::new();
    for result in allocation.devices.results {
        let entry = out.entry(result.driver.clone()).or_insert_with(|| {
            let (namespace, name) = (claim.key().namespace.clone(), claim.key().name.clone());
            (Claim { namespace, name, uid: claim.meta.uid, ..Claim::default() }, Vec::new())
        });
        entry.0.results.push(result);
    }
    for config in allocation.devices.config {
        let Some(driver) = config.device.opaque.as_ref().and_then(|o| o["driver"].as_str()) else { continue };
        if let Some((claim, _)) = out.get_mut(driver) {
            claim.config.push(config);
        }
    }
    out
}

/// One call of a driver: its name and the claims it is about.
pub type Batch = (SmolStr, Vec<Key>);

/// The claims of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims(BTreeMap<Key, ClaimInfo>);

impl Claims {
    /// Remembers that a pod uses claims, and says which drivers are to be asked for which of them; claims that nobody has
    /// to be asked for count as ready at once.
    ///
    /// # Errors
    /// Another claim of the name of one of them is still in use.
    pub fn begin(&mut self, pod: Uid, claims: Vec<(Key, ClaimInfo)>) -> Result<Vec<Batch>, SmolStr> {
        let mut batches: BTreeMap<SmolStr, Vec<Key>> = BTreeMap::new();
        for (key, fresh) in claims {
            let info = self.0.entry(key.clone()).or_insert_with(|| fresh.clone());
            if info.uid != fresh.uid {
                return Err(format_smolstr!(
                    "old ResourceClaim with same name {} and different UID {} still exists (previous pod \
                     force-deleted?!)",
                    key.name,
                    info.uid
                ));
            }
            info.pods.insert(pod);
            if info.prepared {
                // As in v1.34.1: the claims after one that is ready are forgotten (kubernetes#135919), and containers that
                // use one of them do not start.
                break;
            }
            for driver in info.drivers.keys() {
                batches.entry(driver.clone()).or_default().push(key.clone());
            }
        }
        Ok(batches.into_iter().collect())
    }

    /// A driver has made devices of a claim ready.
    pub fn ready(&mut self, key: &Key, driver: &str, devices: Vec<Prepared>) {
        if let Some((_, ready)) = self.0.get_mut(key).and_then(|info| info.drivers.get_mut(driver)) {
            *ready = devices;
        }
    }

    /// All drivers of these claims have made their devices ready.
    pub fn prepared(&mut self, keys: &[Key]) {
        for key in keys {
            if let Some(info) = self.0.get_mut(key) {
                info.prepared = true;
            }
        }
    }

    /// A pod that ran here before this kubelet started uses a claim: as the checkpoint says.
    pub fn restore(&mut self, pod: Uid, key: Key, info: ClaimInfo) {
        self.0.entry(key).or_insert(info).pods.insert(pod);
    }

    /// The kubelet has started again: the checkpoint does not say what is prepared.
    pub fn restarted(&mut self) {
        self.0.values_mut().for_each(|info| info.prepared = false);
    }

    /// A pod's containers have ended: which drivers are to be asked to take back which claims, and all claims that end
    /// with this pod.
    pub fn end(&mut self, pod: Uid, names: &[Key]) -> (Vec<Batch>, Vec<Key>) {
        let mut batches: BTreeMap<SmolStr, Vec<Key>> = BTreeMap::new();
        let mut ending = Vec::new();
        for key in names {
            let Some(info) = self.0.get_mut(key) else { continue };
            // As in v1.34.1: the last user of a claim is not asked to be this pod (kubernetes#140212).
            if info.pods.len() > 1 {
                info.pods.remove(&pod);
                continue;
            }
            ending.push(key.clone());
            for driver in info.drivers.keys() {
                batches.entry(driver.clone()).or_default().push(key.clone());
            }
        }
        (batches.into_iter().collect(), ending)
    }

    /// Claims have been taken back.
    // As in v1.34.1: a pod that has taken up one of them meanwhile is forgotten with it (kubernetes#140527).
    pub fn forget(&mut self, keys: &[Key]) {
        for key in keys {
            self.0.remove(key);
        }
    }

    /// What a driver is asked with.
    pub fn question(&self, key: &Key, driver: &str) -> Option<&Claim> {
        Some(&self.0.get(key)?.drivers.get(driver)?.0)
    }

    /// A claim.
    pub fn get(&self, key: &Key) -> Option<&ClaimInfo> {
        self.0.get(key)
    }

    /// All claims, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &ClaimInfo)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(uid: u128, drivers: &[&str]) -> ClaimInfo {
        let drivers = drivers.iter().map(|d| (SmolStr::new(d), Default::default())).collect();
        ClaimInfo { uid: Uid(uid), drivers, ..ClaimInfo::default() }
    }

    fn key(name: &str) -> Key {
        Key::new("d", name)
    }

    fn shown(batches: &[Batch]) -> String {
        let one = |(driver, keys): &Batch| {
            let names: Vec<&str> = keys.iter().map(|k| k.name.as_str()).collect();
            format!("{driver}({})", names.join(","))
        };
        batches.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn drivers_are_asked_once_and_give_back_once() {
        let (mut claims, a, b) = (Claims::default(), Uid(1), Uid(2));
        let both = || vec![(key("x"), info(7, &["gpu", "nic"])), (key("y"), info(8, &["gpu"]))];
        assert_eq!(shown(&claims.begin(a, both()).unwrap()), "gpu(x,y) nic(x)");
        // Not ready yet: the second pod asks too, and drivers answer the same.
        assert_eq!(shown(&claims.begin(b, both()).unwrap()), "gpu(x,y) nic(x)");
        claims.prepared(&[key("x"), key("y")]);
        assert_eq!(shown(&claims.begin(b, both()).unwrap()), "");
        let names = [key("x"), key("y")];
        assert_eq!(claims.end(a, &names), (vec![], vec![]));
        let (batches, ending) = claims.end(b, &names);
        assert_eq!(shown(&batches), "gpu(x,y) nic(x)");
        claims.forget(&ending);
        assert_eq!(claims, Claims::default());
        assert_eq!(claims.end(b, &names), (vec![], vec![]));
    }

    #[test]
    fn a_claim_of_the_same_name_has_to_wait() {
        let mut claims = Claims::default();
        claims.begin(Uid(1), vec![(key("x"), info(7, &["gpu"]))]).unwrap();
        let error = claims.begin(Uid(2), vec![(key("x"), info(9, &["gpu"]))]).unwrap_err();
        assert!(error.starts_with("old ResourceClaim with same name x and different UID"), "{error}");
    }

    /// Two bugs of v1.34.1, as they are.
    #[test]
    fn claims_after_a_ready_one_are_forgotten_and_strangers_end_claims() {
        let (mut claims, a, b) = (Claims::default(), Uid(1), Uid(2));
        claims.begin(a, vec![(key("shared"), info(7, &["gpu"]))]).unwrap();
        claims.prepared(&[key("shared")]);
        let two = vec![(key("shared"), info(7, &["gpu"])), (key("own"), info(8, &["gpu"]))];
        assert_eq!(shown(&claims.begin(b, two).unwrap()), "");
        assert!(claims.get(&key("own")).is_none());
        claims.end(b, &[key("shared")]);
        let (batches, _) = claims.end(Uid(3), &[key("shared")]);
        assert_eq!(shown(&batches), "gpu(shared)", "though pod 1 still uses it");
    }
}
