//! Objects in a few words: `pod("web").cpu("8")`, `node("small").cpu("4").memory("16Gi")`, `deployment("shop").replicas(3)`.
//!
//! Builders make what a manifest would say; everything they do not name is defaulted by the API server. For anything
//! richer build the `k8s_openapi` type and wrap it in an [`Object`].

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSetSpec, DeploymentSpec, ReplicaSetSpec};
use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, NodeSpec, NodeStatus, PodSchedulingGate, PodSpec, PodTemplateSpec, Taint,
    Toleration,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::{Body, DaemonSet, Deployment, Job, Node, Object, Pod, ReplicaSet};

/// A pod, or the pod template of a workload, being built.
#[derive(Clone, Debug)]
pub struct PodBuilder {
    key: Key,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    spec: PodSpec,
}

/// A pod with one container `main`.
pub fn pod(name: &str) -> PodBuilder {
    let container = Container {
        name: "main".to_owned(),
        image: Some("registry.example/app:1".to_owned()),
        ..Container::default()
    };
    PodBuilder {
        key: key(name),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        spec: PodSpec { containers: vec![container], ..PodSpec::default() },
    }
}

/// `namespace/name`, or a name in the default namespace.
fn key(text: &str) -> Key {
    match text.split_once('/') {
        Some((namespace, name)) => Key::new(namespace, name),
        None => Key::new("default", text),
    }
}

impl PodBuilder {
    /// Request and limit-free amount of a resource for the first container.
    pub fn request(mut self, resource: &str, amount: &str) -> Self {
        if let Some(container) = self.spec.containers.first_mut() {
            let resources = container.resources.get_or_insert_default();
            let requests = resources.requests.get_or_insert_default();
            requests.insert(resource.to_owned(), Quantity(amount.to_owned()));
        }
        self
    }

    /// CPU request.
    pub fn cpu(self, amount: &str) -> Self {
        self.request("cpu", amount)
    }

    /// Memory request.
    pub fn memory(self, amount: &str) -> Self {
        self.request("memory", amount)
    }

    /// A limit of the first container (its request is defaulted to it).
    pub fn limit(mut self, resource: &str, amount: &str) -> Self {
        if let Some(container) = self.spec.containers.first_mut() {
            let resources = container.resources.get_or_insert_default();
            let limits = resources.limits.get_or_insert_default();
            limits.insert(resource.to_owned(), Quantity(amount.to_owned()));
        }
        self
    }

    /// A label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// An annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Image of the first container.
    pub fn image(mut self, image: &str) -> Self {
        if let Some(container) = self.spec.containers.first_mut() {
            container.image = Some(image.to_owned());
        }
        self
    }

    /// A host port of the first container.
    pub fn host_port(mut self, port: i32) -> Self {
        if let Some(container) = self.spec.containers.first_mut() {
            let entry =
                ContainerPort { container_port: port, host_port: Some(port), ..ContainerPort::default() };
            container.ports.get_or_insert_default().push(entry);
        }
        self
    }

    /// One more `spec.nodeSelector` entry.
    pub fn node_selector(mut self, key: &str, value: &str) -> Self {
        self.spec.node_selector.get_or_insert_default().insert(key.to_owned(), value.to_owned());
        self
    }

    /// Tolerates every taint with a key.
    pub fn tolerates(mut self, key: &str) -> Self {
        let toleration = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        };
        self.spec.tolerations.get_or_insert_default().push(toleration);
        self
    }

    /// A scheduling gate.
    pub fn gate(mut self, name: &str) -> Self {
        let gate = PodSchedulingGate { name: name.to_owned() };
        self.spec.scheduling_gates.get_or_insert_default().push(gate);
        self
    }

    /// `spec.schedulerName`.
    pub fn scheduler(mut self, name: &str) -> Self {
        self.spec.scheduler_name = Some(name.to_owned());
        self
    }

    /// `spec.priorityClassName`.
    pub fn priority_class(mut self, name: &str) -> Self {
        self.spec.priority_class_name = Some(name.to_owned());
        self
    }

    /// `spec.restartPolicy`.
    pub fn restart_policy(mut self, policy: &str) -> Self {
        self.spec.restart_policy = Some(policy.to_owned());
        self
    }

    /// Any other change of the spec.
    pub fn with(mut self, change: impl FnOnce(&mut PodSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    fn template(self) -> PodTemplateSpec {
        let metadata = ObjectMeta {
            labels: Some(self.labels).filter(|l| !l.is_empty()),
            annotations: Some(self.annotations).filter(|a| !a.is_empty()),
            ..ObjectMeta::default()
        };
        PodTemplateSpec { metadata: Some(metadata), spec: Some(self.spec) }
    }
}

impl From<PodBuilder> for Object {
    fn from(builder: PodBuilder) -> Object {
        let mut meta = Meta::named(builder.key);
        meta.labels = Arc::new(builder.labels);
        meta.annotations = Arc::new(builder.annotations);
        Object::new(meta, Body::Pod(Pod { spec: Arc::new(builder.spec), ..Pod::default() }))
    }
}

/// A node being built.
#[derive(Clone, Debug)]
pub struct NodeBuilder {
    name: String,
    labels: BTreeMap<String, String>,
    spec: NodeSpec,
    capacity: BTreeMap<String, Quantity>,
}

/// A node with the usual labels, 110 pods, and no other capacity until it is named.
pub fn node(name: &str) -> NodeBuilder {
    let labels =
        [("kubernetes.io/hostname", name), ("kubernetes.io/os", "linux"), ("kubernetes.io/arch", "amd64")];
    NodeBuilder {
        name: name.to_owned(),
        labels: labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        spec: NodeSpec::default(),
        capacity: [("pods".to_owned(), Quantity("110".to_owned()))].into(),
    }
}

impl NodeBuilder {
    /// Capacity (and allocatable) of a resource.
    pub fn capacity(mut self, resource: &str, amount: &str) -> Self {
        self.capacity.insert(resource.to_owned(), Quantity(amount.to_owned()));
        self
    }

    /// CPU capacity.
    pub fn cpu(self, amount: &str) -> Self {
        self.capacity("cpu", amount)
    }

    /// Memory capacity.
    pub fn memory(self, amount: &str) -> Self {
        self.capacity("memory", amount)
    }

    /// Most pods it takes.
    pub fn pods(self, count: u32) -> Self {
        self.capacity("pods", &count.to_string())
    }

    /// A label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A taint, e.g. `taint("gpu", "yes", "NoSchedule")`.
    pub fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        let taint = Taint {
            key: key.to_owned(),
            value: Some(value.to_owned()).filter(|v| !v.is_empty()),
            effect: effect.to_owned(),
            time_added: None,
        };
        self.spec.taints.get_or_insert_default().push(taint);
        self
    }
}

impl From<NodeBuilder> for Object {
    fn from(builder: NodeBuilder) -> Object {
        let mut meta = Meta::named(Key::cluster(builder.name));
        meta.labels = Arc::new(builder.labels);
        let status = NodeStatus {
            allocatable: Some(builder.capacity.clone()),
            capacity: Some(builder.capacity),
            ..NodeStatus::default()
        };
        Object::new(meta, Body::Node(Node { spec: Arc::new(builder.spec), status: Arc::new(status) }))
    }
}

/// A workload with a pod template being built.
#[derive(Clone, Debug)]
pub struct WorkloadBuilder {
    kind: Workload,
    key: Key,
    replicas: i32,
    pod: PodBuilder,
}

#[derive(Clone, Debug)]
enum Workload {
    Deployment,
    ReplicaSet,
    DaemonSet,
    Job,
}

fn workload(kind: Workload, name: &str) -> WorkloadBuilder {
    let key = key(name);
    let pod = match kind {
        Workload::Job => pod(name).restart_policy("Never"),
        _ => pod(name).label("app", &key.name),
    };
    WorkloadBuilder { kind, key, replicas: 1, pod }
}

/// A Deployment of one replica whose pods carry `app=<name>`.
pub fn deployment(name: &str) -> WorkloadBuilder {
    workload(Workload::Deployment, name)
}

/// A ReplicaSet of one replica whose pods carry `app=<name>`.
pub fn replica_set(name: &str) -> WorkloadBuilder {
    workload(Workload::ReplicaSet, name)
}

/// A DaemonSet whose pods carry `app=<name>`.
pub fn daemon_set(name: &str) -> WorkloadBuilder {
    workload(Workload::DaemonSet, name)
}

/// A Job of one completion, restartPolicy Never.
pub fn job(name: &str) -> WorkloadBuilder {
    workload(Workload::Job, name)
}

impl WorkloadBuilder {
    /// Replicas; for a Job, completions and parallelism.
    pub fn replicas(mut self, replicas: i32) -> Self {
        self.replicas = replicas;
        self
    }

    /// Changes the pod template: `deployment("web").pods(|pod| pod.cpu("500m"))`.
    pub fn pods(mut self, change: impl FnOnce(PodBuilder) -> PodBuilder) -> Self {
        self.pod = change(self.pod);
        self
    }
}

impl From<WorkloadBuilder> for Object {
    fn from(builder: WorkloadBuilder) -> Object {
        let name = builder.key.name.to_string();
        let selector =
            LabelSelector { match_labels: Some([("app".to_owned(), name)].into()), ..Default::default() };
        let template = builder.pod.template();
        let replicas = Some(builder.replicas);
        let body = match builder.kind {
            Workload::Deployment => {
                let spec = DeploymentSpec { replicas, selector, template, ..Default::default() };
                Body::Deployment(Deployment { spec: Arc::new(spec), ..Deployment::default() })
            }
            Workload::ReplicaSet => {
                let spec =
                    ReplicaSetSpec { replicas, selector, template: Some(template), ..Default::default() };
                Body::ReplicaSet(ReplicaSet { spec: Arc::new(spec), ..ReplicaSet::default() })
            }
            Workload::DaemonSet => {
                let spec = DaemonSetSpec { selector, template, ..Default::default() };
                Body::DaemonSet(DaemonSet { spec: Arc::new(spec), ..DaemonSet::default() })
            }
            Workload::Job => {
                let spec =
                    JobSpec { completions: replicas, parallelism: replicas, template, ..Default::default() };
                Body::Job(Job { spec: Arc::new(spec), ..Job::default() })
            }
        };
        Object::new(Meta::named(builder.key), body)
    }
}
