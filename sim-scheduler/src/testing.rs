//! Short builders for tests.

pub(crate) mod volumes;

use std::sync::Arc;

use serde_json::{Value, json};
use sim_core::api::meta::{Key, Labels, Meta, Uid};
use sim_core::api::object::{Body, Node, Object, Pod};

use crate::cache::Objects;
use crate::framework::{ClusterEvent, EventChange, Hint, QueueingHint};
use crate::node::NodeInfo;
use crate::pod::{Classes, PodInfo, claims};

/// A node under construction.
pub(crate) struct NodeBuilder {
    name: String,
    labels: Labels,
    spec: Value,
    status: Value,
}

/// A node with room for 110 pods, 4 cores and 8 GiB.
pub(crate) fn node(name: &str) -> NodeBuilder {
    NodeBuilder {
        name: name.to_owned(),
        labels: Labels::new(),
        spec: json!({}),
        status: json!({"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}, "images": []}),
    }
}

impl NodeBuilder {
    /// A label; an empty value sets none.
    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.labels.insert(key.to_owned(), value.to_owned());
        }
        self
    }

    /// A label with an empty value.
    pub(crate) fn blank_label(mut self, key: &str) -> Self {
        self.labels.insert(key.to_owned(), String::new());
        self
    }

    pub(crate) fn allocatable(mut self, resource: &str, amount: &str) -> Self {
        self.status["allocatable"][resource] = json!(amount);
        self
    }

    pub(crate) fn cpu(self, amount: &str) -> Self {
        self.allocatable("cpu", amount)
    }

    pub(crate) fn memory(self, amount: &str) -> Self {
        self.allocatable("memory", amount)
    }

    pub(crate) fn image(mut self, name: &str, size: i64) -> Self {
        if let Some(images) = self.status["images"].as_array_mut() {
            images.push(json!({"names": [name], "sizeBytes": size}));
        }
        self
    }

    pub(crate) fn spec(mut self, spec: Value) -> Self {
        self.spec = spec;
        self
    }

    pub(crate) fn build(self) -> Object {
        let mut meta = Meta::named(Key::cluster(self.name.as_str()));
        meta.uid = Uid::parse(&self.name);
        meta.labels = Arc::new(self.labels);
        let spec = serde_json::from_value(self.spec).expect("a node spec");
        let status = serde_json::from_value(self.status).expect("a node status");
        Object::new(meta, Body::Node(Node { spec: Arc::new(spec), status: Arc::new(status) }))
    }

    pub(crate) fn info(self) -> NodeInfo {
        NodeInfo::of(&self.build())
    }
}

/// What a plugin says of an event, without objects beside it.
pub(crate) fn ask<P: QueueingHint>(
    plugin: &P,
    waiting: &Object,
    event: ClusterEvent,
    old: Option<&Object>,
    new: Option<&Object>,
) -> Hint {
    let info = Classes::default().of(waiting).expect("a pod");
    plugin.hint(&info, waiting, &EventChange { event, old, new }, &Objects::default())
}

/// The pod, bound to a node.
pub(crate) fn on(mut pod: Object, node: &str) -> Object {
    if let Body::Pod(body) = &mut pod.body {
        body.node_name = node.into();
    }
    pod
}

/// A pod under construction.
pub(crate) struct PodBuilder {
    name: String,
    labels: Labels,
    spec: Value,
}

/// A pod with one container that asks for nothing.
pub(crate) fn pod(name: &str) -> PodBuilder {
    PodBuilder {
        name: name.to_owned(),
        labels: Labels::new(),
        spec: json!({"containers": [{"name": "c", "image": "i:1", "resources": {"requests": {}}}],
            "schedulerName": "default-scheduler"}),
    }
}

impl PodBuilder {
    /// A label; an empty value sets none.
    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.labels.insert(key.to_owned(), value.to_owned());
        }
        self
    }

    pub(crate) fn request(mut self, resource: &str, amount: &str) -> Self {
        self.spec["containers"][0]["resources"]["requests"][resource] = json!(amount);
        self
    }

    pub(crate) fn cpu(self, amount: &str) -> Self {
        self.request("cpu", amount)
    }

    pub(crate) fn memory(self, amount: &str) -> Self {
        self.request("memory", amount)
    }

    /// Sets a field of the spec.
    pub(crate) fn with(mut self, field: &str, value: Value) -> Self {
        self.spec[field] = value;
        self
    }

    /// Sets a field of the container.
    pub(crate) fn container(mut self, field: &str, value: Value) -> Self {
        self.spec["containers"][0][field] = value;
        self
    }

    pub(crate) fn build(self) -> Object {
        let mut meta = Meta::named(Key::new("default", self.name.as_str()));
        meta.uid = Uid::parse(&self.name);
        meta.labels = Arc::new(self.labels);
        meta.resource_version = 1;
        let spec = serde_json::from_value(self.spec).expect("a pod spec");
        Object::new(meta, Body::Pod(Pod { spec: Arc::new(spec), ..Pod::default() }))
    }

    pub(crate) fn info(self) -> PodInfo {
        let object = self.build();
        let spec = object.as_pod().expect("a pod").spec.clone();
        let claims = claims(&spec, &object.meta.key.name);
        let (labels, annotations) = (object.meta.labels, object.meta.annotations);
        PodInfo { claims, ..PodInfo::new(0, "default".into(), labels, annotations, spec) }
    }
}
