//! Whether a node takes a pod (pkg/kubelet/lifecycle/predicate.go; semantics of the general predicates). Pure.

use k8s_openapi::api::core::v1::{PodSpec, Taint, Toleration};
use sim_core::api::meta::Labels;
use sim_core::helpers::ports::{HostPort, HostPorts, host_ports};
use sim_core::helpers::resources::{PodResourcesOptions, ResourceList, pod_requests};
use sim_core::helpers::taints::{NO_EXECUTE, find_untolerated};
use sim_core::selectors::RequiredNodeAffinity;
use smallvec::SmallVec;
use smol_str::SmolStr;

/// Amounts of resources, as integers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Thousandths of a CPU.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes.
    pub ephemeral_storage: i64,
    /// Pods (of a node: how many it may have).
    pub pods: i64,
    /// Everything else, sorted by name.
    pub other: SmallVec<[(SmolStr, i64); 1]>,
}

impl Amounts {
    /// The integers that count: thousandths of CPU, whole units of all else, both rounded up.
    pub fn of(list: &ResourceList) -> Amounts {
        let mut out = Amounts::default();
        for (name, quantity) in list.iter() {
            match name {
                "cpu" => out.milli_cpu = quantity.milli_value(),
                "memory" => out.memory = quantity.value(),
                "ephemeral-storage" => out.ephemeral_storage = quantity.value(),
                "pods" => out.pods = quantity.value(),
                other => out.other.push((SmolStr::new(other), quantity.value())),
            }
        }
        out
    }

    fn combine(&mut self, other: &Amounts, with: impl Fn(i64, i64) -> i64) {
        self.milli_cpu = with(self.milli_cpu, other.milli_cpu);
        self.memory = with(self.memory, other.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, other.ephemeral_storage);
        self.pods = with(self.pods, other.pods);
        for (name, value) in &other.other {
            match self.other.binary_search_by(|(n, _)| n.cmp(name)) {
                Ok(i) => self.other[i].1 = with(self.other[i].1, *value),
                Err(i) => self.other.insert(i, (name.clone(), with(0, *value))),
            }
        }
    }

    /// Adds.
    pub fn add(&mut self, other: &Amounts) {
        self.combine(other, i64::saturating_add);
    }

    /// Takes away.
    pub fn sub(&mut self, other: &Amounts) {
        self.combine(other, i64::saturating_sub);
    }

    fn get(&self, name: &str) -> Option<i64> {
        let found = self.other.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok()?;
        Some(self.other[found].1)
    }
}

/// What a pod asks of its node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ask {
    /// Effective requests (`PodRequests`), with `pods` = 1.
    pub requests: Amounts,
    /// Host ports.
    pub ports: Vec<HostPort>,
    /// Node selector and required node affinity; `None` if the pod has neither.
    pub affinity: Option<RequiredNodeAffinity>,
    /// Tolerations.
    pub tolerations: Vec<Toleration>,
}

impl Ask {
    /// Compiles a spec.
    pub fn of(spec: &PodSpec) -> Ask {
        let affinity = RequiredNodeAffinity::new(spec);
        let requests = Amounts::of(&pod_requests(spec, &PodResourcesOptions::default()));
        Ask {
            requests: Amounts { pods: 1, ..requests },
            ports: host_ports(spec),
            affinity: (!affinity.is_empty()).then_some(affinity),
            tolerations: spec.tolerations.clone().unwrap_or_default(),
        }
    }
}

/// A node as admission looks at it.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'a> {
    /// Name.
    pub name: &'a str,
    /// Labels.
    pub labels: &'a Labels,
    /// Taints.
    pub taints: &'a [Taint],
    /// What pods may have.
    pub allocatable: &'a Amounts,
    /// What admitted pods that are not terminal have.
    pub used: &'a Amounts,
    /// Host ports of those pods.
    pub ports: &'a HostPorts,
}

/// Why a pod was refused: `status.reason`, and the text of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// e.g. `OutOfcpu`.
    pub reason: SmolStr,
    /// Text.
    pub message: SmolStr,
}

/// Whether the node takes the pod. The first objection wins.
///
/// # Errors
/// The objection.
pub fn admit(ask: &Ask, node: &NodeView<'_>) -> Result<(), Refusal> {
    if let Some(refusal) = out_of_resource(&ask.requests, node) {
        return Err(refusal);
    }
    let predicate = |reason: &'static str, why: &str| {
        let message = SmolStr::from(format!("Predicate {reason} failed: {why}"));
        Err(Refusal { reason: SmolStr::new_static(reason), message })
    };
    let matches = |a: &RequiredNodeAffinity| a.matches(node.name, node.labels).unwrap_or(false);
    if !ask.affinity.as_ref().is_none_or(matches) {
        return predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
    }
    if ask.ports.iter().any(|p| node.ports.conflicts(p)) {
        return predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports");
    }
    let untolerated = find_untolerated(node.taints, &ask.tolerations, |t| t.effect == NO_EXECUTE);
    if let Some(taint) = untolerated {
        let value = taint.value.as_deref().unwrap_or_default();
        let why = format!("node(s) had untolerated taint {{{}: {value}}}", taint.key);
        return predicate("TaintToleration", &why);
    }
    Ok(())
}

fn out_of_resource(asked: &Amounts, node: &NodeView<'_>) -> Option<Refusal> {
    let (has, used) = (node.allocatable, node.used);
    let fixed = [
        ("pods", 1, used.pods, has.pods),
        ("cpu", asked.milli_cpu, used.milli_cpu, has.milli_cpu),
        ("memory", asked.memory, used.memory, has.memory),
        ("ephemeral-storage", asked.ephemeral_storage, used.ephemeral_storage, has.ephemeral_storage),
    ];
    // Resources the node knows nothing of are not its business.
    let other = asked.other.iter().filter_map(|(name, asked)| {
        Some((name.as_str(), *asked, used.get(name).unwrap_or(0), has.get(name)?))
    });
    let (name, asked, used, capacity) = fixed
        .into_iter()
        .chain(other)
        .find(|(_, asked, used, capacity)| *asked > 0 && *asked > capacity.saturating_sub(*used))?;
    Some(Refusal {
        reason: SmolStr::from(format!("OutOf{name}")),
        message: SmolStr::from(format!(
            "Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {capacity}"
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(spec: serde_json::Value, want: Option<(&str, &str)>) {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let list = |v| Amounts::of(&ResourceList::from_wire(serde_json::from_value(v).ok().as_ref()));
        let allocatable = list(json!({"cpu": "2", "memory": "1Gi", "pods": "3", "x.io/gpu": "1"}));
        let used = list(json!({"cpu": "500m", "memory": "512Mi", "pods": "2"}));
        let labels = [("zone".to_string(), "a".to_string())].into();
        let taints = [Taint { key: "k".into(), effect: "NoExecute".into(), ..Taint::default() }];
        let mut ports = HostPorts::default();
        ports.insert(HostPort::new("", "TCP", 80).unwrap());
        let node = NodeView {
            name: "n",
            labels: &labels,
            taints: &taints,
            allocatable: &allocatable,
            used: &used,
            ports: &ports,
        };
        let got = admit(&Ask::of(&spec), &node).err();
        let got = got.as_ref().map(|r| (r.reason.as_str(), r.message.as_str()));
        assert_eq!(got, want, "{spec:?}");
    }

    #[test]
    fn objections_have_upstreams_texts() {
        let tolerant = json!([{"key": "k", "operator": "Exists"}]);
        let pod = |requests: serde_json::Value| {
            json!({"tolerations": tolerant,
                "containers": [{"name": "a", "resources": {"requests": requests}}]})
        };
        check(pod(json!({"cpu": "1500m", "memory": "512Mi", "x.io/gpu": "1", "y.io/z": "9"})), None);
        check(
            pod(json!({"cpu": "1501m"})),
            Some((
                "OutOfcpu",
                "Node didn't have enough resource: cpu, requested: 1501, used: 500, capacity: 2000",
            )),
        );
        check(
            pod(json!({"x.io/gpu": "2"})),
            Some((
                "OutOfx.io/gpu",
                "Node didn't have enough resource: x.io/gpu, requested: 2, used: 0, capacity: 1",
            )),
        );
        check(
            json!({"containers": [], "nodeSelector": {"zone": "b"}}),
            Some((
                "NodeAffinity",
                "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
            )),
        );
        check(
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 8080, "hostPort": 80}]}]}),
            Some((
                "NodePorts",
                "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
            )),
        );
        check(
            json!({"containers": []}),
            Some((
                "TaintToleration",
                "Predicate TaintToleration failed: node(s) had untolerated taint {k: }",
            )),
        );
    }

    #[test]
    fn requests_are_the_most_any_moment_needs() {
        let cpu = |n: &str| json!({"requests": {"cpu": n}});
        let spec: PodSpec = serde_json::from_value(json!({
            "initContainers": [
                {"name": "i", "resources": cpu("2")},
                {"name": "s", "restartPolicy": "Always", "resources": cpu("1")},
                {"name": "j", "resources": cpu("4")},
            ],
            "containers": [{"name": "a", "resources": cpu("1")}, {"name": "b", "resources": cpu("2")}],
            "overhead": {"cpu": "100m"},
        }))
        .unwrap();
        assert_eq!(Ask::of(&spec).requests.milli_cpu, 5100);
    }
}
