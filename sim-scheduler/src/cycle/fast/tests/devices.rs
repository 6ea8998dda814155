//! Devices of random clusters: slices that come, change and go, claims, and who has what.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Meta, OwnerReference, Uid};
use sim_core::api::object::{Body, Object};

use crate::cache::Objects;
use crate::framework::Effects;

/// Kinds of pods with claims.
pub(super) const KINDS: u8 = 7;

/// One change of what there is, or of who has it.
#[derive(Clone, Debug)]
pub(super) enum DeviceStep {
    /// A slice is published, on one node or for several.
    Slice {
        name: u8,
        place: u8,
        devices: u8,
        model: u8,
        generation: u8,
        twice: bool,
    },
    RemoveSlice(u8),
    /// The class of everything has a selector, which may fail, or none.
    Class(u8),
    /// A rule taints the devices of a pool, those of a model, or is gone.
    Rule(u8),
    /// The oldest allocation that is being written is there.
    Written,
    /// The oldest allocation that is being written will never be.
    GivenUp,
    /// A claim gives its devices back.
    Free(u8),
    /// A claim goes with its devices.
    Gone(u8),
}

pub(super) fn steps() -> impl Strategy<Value = DeviceStep> {
    let slice = (0_u8..8, 0_u8..12, 1_u8..4, 0_u8..3, 0_u8..2, prop::bool::weighted(0.04));
    let slice = slice.prop_map(|(name, place, devices, model, generation, twice)| DeviceStep::Slice {
        name,
        place,
        devices,
        model,
        generation,
        twice,
    });
    prop_oneof![
        6 => slice,
        1 => (0_u8..8).prop_map(DeviceStep::RemoveSlice),
        1 => (0_u8..8).prop_map(DeviceStep::Class),
        1 => (0_u8..12).prop_map(DeviceStep::Rule),
        3 => Just(DeviceStep::Written),
        1 => Just(DeviceStep::GivenUp),
        2 => any::<u8>().prop_map(DeviceStep::Free),
        1 => any::<u8>().prop_map(DeviceStep::Gone),
    ]
}

/// Claims on their way.
#[derive(Default)]
pub(super) struct Claims {
    writing: VecDeque<(Key, Uid, Arc<Object>)>,
    allocated: Vec<Key>,
    version: u64,
}

impl Claims {
    pub(super) fn step(&mut self, step: &DeviceStep, objects: &mut Objects) {
        match step {
            DeviceStep::Slice { name, .. } => {
                self.set(objects, Kind::RESOURCE_SLICE, Key::cluster(format!("s{name}")), slice(step))
            }
            DeviceStep::RemoveSlice(name) => {
                objects.remove(Kind::RESOURCE_SLICE, &Key::cluster(format!("s{name}")));
            }
            DeviceStep::Class(sort) => {
                let selectors = match sort {
                    0 => json!([{"cel": {"expression": "device.attributes['d'].model != 'x'"}}]),
                    _ => json!([]),
                };
                let key = Key::cluster("any");
                match sort {
                    7 => objects.remove(Kind::DEVICE_CLASS, &key),
                    _ => {
                        self.set(objects, Kind::DEVICE_CLASS, key, json!({"spec": {"selectors": selectors}}))
                    }
                }
            }
            DeviceStep::Rule(about) => {
                let key = Key::cluster("rule");
                let selector = match about {
                    0..9 => json!({"pool": format!("n{about}")}),
                    9 => {
                        json!({"selectors": [{"cel": {"expression": "device.attributes['d'].model == 'a'"}}]})
                    }
                    10 => json!({"deviceClassName": "any"}),
                    _ => return objects.remove(Kind::DEVICE_TAINT_RULE, &key),
                };
                let taint = json!({"key": "broken", "effect": "NoSchedule"});
                let body = json!({"spec": {"deviceSelector": selector, "taint": taint}});
                self.set(objects, Kind::DEVICE_TAINT_RULE, key, body);
            }
            DeviceStep::Written => {
                if let Some((key, uid, claim)) = self.writing.pop_front() {
                    let mut claim = Object::clone(&claim);
                    claim.meta.resource_version = self.next_version();
                    objects.set(Arc::new(claim));
                    objects.set_pending(&key, uid, None);
                    self.allocated.push(key);
                }
            }
            DeviceStep::GivenUp => {
                if let Some((key, uid, _)) = self.writing.pop_front() {
                    objects.set_pending(&key, uid, None);
                    objects.restore(Kind::RESOURCE_CLAIM, &key);
                }
            }
            DeviceStep::Free(at) | DeviceStep::Gone(at) if !self.allocated.is_empty() => {
                let key = self.allocated.swap_remove(usize::from(*at) % self.allocated.len());
                let known = objects.get(Kind::RESOURCE_CLAIM, &key).map(|claim| Object::clone(claim));
                match (step, known) {
                    (DeviceStep::Free(_), Some(mut claim)) => {
                        if let Body::Json(body) = &mut claim.body {
                            Arc::make_mut(body)["status"] = Value::Null;
                        }
                        claim.meta.resource_version = self.next_version();
                        objects.set(Arc::new(claim));
                    }
                    _ => objects.remove(Kind::RESOURCE_CLAIM, &key),
                }
            }
            DeviceStep::Free(_) | DeviceStep::Gone(_) => {}
        }
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn set(&mut self, objects: &mut Objects, kind: Kind, key: Key, body: Value) {
        let mut meta = Meta::named(key);
        meta.uid = Uid::parse(&meta.key.to_string());
        meta.resource_version = self.next_version();
        objects.set(Arc::new(Object::json(kind, meta, body)));
    }

    /// Gives a pod claims, made for it or shared with others.
    pub(super) fn equip(&mut self, kind: u8, pod: &mut Object, objects: &mut Objects) {
        let mut statuses = Vec::new();
        for (number, spec) in specs(kind).into_iter().enumerate() {
            let key = Key::new("default", format!("{}-{number}", pod.meta.name()));
            let mut meta = Meta::named(key);
            meta.uid = Uid::parse(&meta.key.to_string());
            meta.resource_version = self.next_version();
            meta.owner_references = smallvec::smallvec![OwnerReference {
                api_version: "v1".into(),
                kind: "Pod".into(),
                name: pod.meta.name().into(),
                uid: pod.meta.uid,
                controller: true,
                block_owner_deletion: true,
            }];
            statuses.push(json!({"name": format!("c{number}"), "resourceClaimName": meta.key.name.as_str()}));
            objects.set(Arc::new(Object::json(Kind::RESOURCE_CLAIM, meta, json!({"spec": spec}))));
        }
        let shared = Key::new("default", "shared");
        if kind == 5 && objects.get(Kind::RESOURCE_CLAIM, &shared).is_none() {
            let spec = specs(0).remove(0);
            self.set(objects, Kind::RESOURCE_CLAIM, shared, json!({"spec": spec}));
        }
        if let Body::Pod(body) = &mut pod.body {
            let other = [("resourceClaimStatuses".to_owned(), json!(statuses))].into_iter().collect();
            Arc::make_mut(&mut body.status).other = Some(Arc::new(other));
        }
    }

    /// What was reserved is being written from now on.
    pub(super) fn reserved(&mut self, effects: Effects, objects: &mut Objects) {
        for (key, uid, pending) in effects.pending {
            objects.set_pending(&key, uid, pending.clone());
            self.writing.extend(pending.map(|claim| (key, uid, claim)));
        }
    }
}

/// `spec.resourceClaims` of a kind of pods.
pub(super) fn of_pod(kind: u8) -> Value {
    if kind == 5 {
        return json!([{"name": "c", "resourceClaimName": "shared"}]);
    }
    let claim = |i| json!({"name": format!("c{i}"), "resourceClaimTemplateName": format!("t{kind}")});
    (0..specs(kind).len()).map(claim).collect()
}

/// What the claims of a kind of pods ask for.
fn specs(kind: u8) -> Vec<Value> {
    let request = |name: &str, mode: &str, count: i64, selector: Option<&str>| {
        let selectors: Vec<_> =
            selector.iter().map(|expression| json!({"cel": {"expression": expression}})).collect();
        json!({"name": name, "exactly": {"deviceClassName": "any", "allocationMode": mode, "count": count,
            "selectors": selectors}})
    };
    let one = |request| json!({"devices": {"requests": [request]}});
    match kind {
        0 => vec![one(request("r", "ExactCount", 1, None))],
        1 => {
            let alike = json!([{"matchAttribute": "d/model"}]);
            vec![
                json!({"devices": {"requests": [request("r", "ExactCount", 2, None)], "constraints": alike}}),
            ]
        }
        2 => {
            let risky = "device.attributes['d'].model == 'b'";
            vec![one(request("r", "ExactCount", 1, Some(risky)))]
        }
        3 => vec![one(request("r", "ExactCount", 1, None)), one(request("r", "ExactCount", 1, None))],
        4 => vec![one(request("r", "All", 0, Some("'model' in device.attributes['d']")))],
        5 => Vec::new(),
        _ => {
            let exact = |name: &str, count: i64| json!({"name": name, "deviceClassName": "any", "allocationMode": "ExactCount", "count": count});
            vec![one(json!({"name": "r", "firstAvailable": [exact("three", 3), exact("one", 1)]}))]
        }
    }
}

fn slice(step: &DeviceStep) -> Value {
    let &DeviceStep::Slice { name, place, devices, model, generation, twice } = step else {
        unreachable!("only called for slices")
    };
    let device = |i: u8| {
        let attributes = match model {
            0 => json!({}),
            model => json!({"model": {"string": if (model + i).is_multiple_of(2) { "a" } else { "b" }}}),
        };
        let consumes = match model {
            2 => json!([{"counterSet": "c", "counters": {"m": {"value": "2"}}}]),
            _ => json!([]),
        };
        let number = if twice { 0 } else { i };
        json!({"name": format!("g{name}-{number}"), "attributes": attributes, "consumesCounters": consumes})
    };
    let pool = if place < 10 { format!("n{place}") } else { "net".to_owned() };
    let mut spec = json!({"driver": "d",
        "pool": {"name": pool, "generation": generation, "resourceSliceCount": 1},
        "sharedCounters": [{"name": "c", "counters": {"m": {"value": "3"}}}],
        "devices": (0..devices).map(device).collect::<Vec<_>>()});
    match place {
        10 => spec["allNodes"] = json!(true),
        11 => {
            let term = json!({"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]});
            spec["nodeSelector"] = json!({"nodeSelectorTerms": [term]});
        }
        place => spec["nodeName"] = json!(format!("n{place}")),
    }
    json!({"spec": spec})
}
