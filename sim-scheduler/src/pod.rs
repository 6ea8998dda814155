//! Pods as the scheduler's hot loops see them: compiled once per class.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PodSpec;
use rustc_hash::{FxHashMap, FxHasher};
use sim_core::api::meta::Labels;
use sim_core::api::object::Object;
use smol_str::{SmolStr, SmolStrBuilder};

use crate::resources::{PodRequests, Resources, is_sidecar, pod_requests};

/// A port that a pod takes on its node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Address it listens on; `0.0.0.0` for all.
    pub ip: SmolStr,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: SmolStr,
    /// Port number.
    pub port: i32,
}

/// A pod class: everything about a pod that its replicas share. Names and uids are not here, so that what a plugin
/// computes from a class holds for every pod of it.
#[derive(Clone, Debug)]
pub struct PodInfo {
    /// Number of the class: dense, never reused within one scheduler.
    pub class: u64,
    /// Namespace.
    pub namespace: SmolStr,
    /// Labels.
    pub labels: Arc<Labels>,
    /// Annotations.
    pub annotations: Arc<Labels>,
    /// The spec itself.
    pub spec: Arc<PodSpec>,
    /// `spec.priority`, 0 if absent.
    pub priority: i32,
    /// What it asks for.
    pub requests: Resources,
    /// What it asks for with defaults for missing requests, as scores count it.
    pub scored_requests: Resources,
    /// CPU and memory it adds to a node's non-zero requests.
    pub non_zero: (i64, i64),
    /// Ports it takes on its node.
    pub host_ports: Vec<HostPort>,
    /// Images of all init and main containers, with a tag.
    pub images: Vec<SmolStr>,
}

impl PodInfo {
    /// Compiles a class.
    pub fn new(
        class: u64,
        namespace: SmolStr,
        labels: Arc<Labels>,
        annotations: Arc<Labels>,
        spec: Arc<PodSpec>,
    ) -> PodInfo {
        let PodRequests { exact, non_zero, scored } = pod_requests(&spec);
        PodInfo {
            class,
            namespace,
            labels,
            annotations,
            priority: spec.priority.unwrap_or(0),
            requests: exact,
            scored_requests: scored,
            non_zero,
            host_ports: host_ports(&spec),
            images: images(&spec),
            spec,
        }
    }
}

/// Host ports of main containers and sidecars (`GetHostPorts`).
fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| is_sidecar(c));
    let or = |text: &Option<String>, default| match text.as_deref() {
        None | Some("") => SmolStr::new_static(default),
        Some(text) => SmolStr::new(text),
    };
    sidecars
        .chain(&spec.containers)
        .flat_map(|c| c.ports.iter().flatten())
        .filter_map(|p| {
            let port = p.host_port.filter(|port| *port > 0)?;
            Some(HostPort { ip: or(&p.host_ip, "0.0.0.0"), protocol: or(&p.protocol, "TCP"), port })
        })
        .collect()
}

fn images(spec: &PodSpec) -> Vec<SmolStr> {
    let init = spec.init_containers.iter().flatten();
    init.chain(&spec.containers).map(|c| normalized_image(c.image.as_deref().unwrap_or(""))).collect()
}

/// An image name with its tag (`normalizedImageName`).
fn normalized_image(name: &str) -> SmolStr {
    if name.rfind(':') > name.rfind('/') {
        return SmolStr::new(name);
    }
    let mut tagged = SmolStrBuilder::new();
    tagged.push_str(name);
    tagged.push_str(":latest");
    tagged.finish()
}

/// The classes of a run, by content.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    next: u64,
    /// By address of the shared parts. A class keeps them alive, so an address cannot be taken over by others.
    by_address: FxHashMap<(usize, usize, usize, SmolStr), Arc<PodInfo>>,
    /// By a hash of the compiled form; candidates are compared in full.
    by_content: FxHashMap<u64, Vec<Arc<PodInfo>>>,
    sweep_at: usize,
}

impl Classes {
    /// The class of a pod.
    pub fn of(&mut self, pod: &Object) -> Option<Arc<PodInfo>> {
        let spec = &pod.as_pod()?.spec;
        let meta = &pod.meta;
        let address = (
            Arc::as_ptr(spec) as usize,
            Arc::as_ptr(&meta.labels) as usize,
            Arc::as_ptr(&meta.annotations) as usize,
            meta.key.namespace.clone(),
        );
        if let Some(known) = self.by_address.get(&address) {
            return Some(known.clone());
        }
        let fresh = PodInfo::new(
            self.next,
            meta.key.namespace.clone(),
            meta.labels.clone(),
            meta.annotations.clone(),
            spec.clone(),
        );
        let bucket = self.by_content.entry(fingerprint(&fresh)).or_default();
        if let Some(known) = bucket.iter().find(|known| same_class(known, &fresh)) {
            return Some(known.clone());
        }
        let class = Arc::new(fresh);
        bucket.push(class.clone());
        self.by_address.insert(address, class.clone());
        self.next += 1;
        self.sweep();
        Some(class)
    }

    /// Forgets classes that nobody holds, whenever their number has doubled.
    fn sweep(&mut self) {
        if self.by_address.len() < self.sweep_at.max(1024) {
            return;
        }
        // A class in use is held by both maps and at least one pod.
        self.by_content.retain(|_, bucket| {
            bucket.retain(|class| Arc::strong_count(class) > 2);
            !bucket.is_empty()
        });
        self.by_address.retain(|_, class| Arc::strong_count(class) > 1);
        self.sweep_at = self.by_address.len() * 2;
    }
}

fn fingerprint(info: &PodInfo) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = FxHasher::default();
    info.namespace.hash(&mut hasher);
    info.labels.hash(&mut hasher);
    info.priority.hash(&mut hasher);
    info.requests.hash(&mut hasher);
    info.scored_requests.hash(&mut hasher);
    info.host_ports.hash(&mut hasher);
    info.images.hash(&mut hasher);
    info.spec.node_selector.hash(&mut hasher);
    hasher.finish()
}

fn same_class(a: &PodInfo, b: &PodInfo) -> bool {
    a.namespace == b.namespace && a.labels == b.labels && a.annotations == b.annotations && a.spec == b.spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_get_a_tag() {
        for (name, want) in [
            ("nginx", "nginx:latest"),
            ("nginx:1", "nginx:1"),
            ("host:5000/nginx", "host:5000/nginx:latest"),
            ("host:5000/nginx:2", "host:5000/nginx:2"),
            ("", ":latest"),
        ] {
            assert_eq!(normalized_image(name), want);
        }
    }
}
