//! Pods that Permit plugins made wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use smol_str::SmolStr;

use super::status::Status;

/// One waiting pod.
#[derive(Clone, Debug)]
pub struct WaitingPod {
    /// The pod.
    pub object: Arc<Object>,
    /// Node it is assumed on.
    pub node: SmolStr,
    /// Plugins whose permission is missing.
    pub pending: Vec<&'static str>,
    /// Set once one of them rejected it.
    pub rejected: Option<Status>,
}

/// All waiting pods, by uid.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    pub(crate) pods: BTreeMap<Uid, WaitingPod>,
    /// Pods whose fate was decided and not yet acted upon.
    pub(crate) decided: Vec<Uid>,
    /// Pods that are to be tried at once.
    pub(crate) activated: Vec<Uid>,
}

impl Waiting {
    /// The waiting pods, in the order of their uids.
    pub fn iter(&self) -> impl Iterator<Item = &WaitingPod> {
        self.pods.values()
    }

    /// A plugin lets a pod go ahead; it does once no other plugin makes it wait.
    pub fn allow(&mut self, uid: Uid, plugin: &str) {
        if let Some(pod) = self.pods.get_mut(&uid) {
            pod.pending.retain(|p| *p != plugin);
            if pod.pending.is_empty() {
                self.decided.push(uid);
            }
        }
    }

    /// A plugin wants a pod of the queue to be tried at once (`PodsToActivate`).
    pub fn activate(&mut self, uid: Uid) {
        self.activated.push(uid);
    }

    /// A plugin rejects a pod.
    pub fn reject(&mut self, uid: Uid, status: Status) {
        if let Some(pod) = self.pods.get_mut(&uid) {
            pod.rejected = Some(status);
            self.decided.push(uid);
        }
    }
}
