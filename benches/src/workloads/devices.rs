//! GPUs that can be partitioned, as a driver for H100s publishes them: one slice per GPU, with the GPU itself and every MIG device in every
//! place that it can have. What they take of the GPU's memory slices keeps them from each other.

use serde_json::{Map, Value, json};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::Object;
use smol_str::{SmolStr, format_smolstr};

const DRIVER: &str = "gpu.nvidia.com";

/// Its name, multiprocessors, copy engines, MiB, memory slices that it takes, and where they can begin.
type Profile = (&'static str, u32, u32, u32, u32, &'static [u32]);

const PROFILES: &[Profile] = &[
    ("1g.10gb", 16, 1, 9984, 1, &[0, 1, 2, 3, 4, 5, 6]),
    ("1g.10gb+me", 16, 1, 9984, 1, &[0, 1, 2, 3, 4, 5, 6]),
    ("1g.20gb", 26, 1, 20096, 2, &[0, 2, 4, 6]),
    ("2g.20gb", 32, 2, 20096, 2, &[0, 2, 4]),
    ("3g.40gb", 60, 3, 40448, 4, &[0, 4]),
    ("4g.40gb", 64, 4, 40448, 4, &[0]),
    ("7g.80gb", 132, 8, 81152, 8, &[0]),
];

/// The classes of whole GPUs and of MIG devices.
pub(super) fn classes() -> Vec<Object> {
    let class = |sort: &str| {
        let expression =
            format!("device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == '{sort}'");
        let name = format_smolstr!("{sort}.nvidia.com");
        let body = json!({"spec": {"selectors": [{"cel": {"expression": expression}}]}});
        Object::json(Kind::DEVICE_CLASS, Meta::named(Key::cluster(name)), body)
    };
    vec![class("gpu"), class("mig")]
}

/// The slices of a node, one per GPU.
pub(super) fn slices(node: &SmolStr, gpus: usize) -> Vec<Object> {
    let slice = |gpu: usize| {
        let set = format!("gpu-{gpu}-counter-set");
        let whole = counters(132, 8, 81152, 0..8);
        let mut devices = vec![device(&format!("gpu-{gpu}"), "gpu", None, 81152, &set, &whole)];
        for &(profile, multiprocessors, engines, memory, width, places) in PROFILES {
            for &place in places {
                let name = format!("gpu-{gpu}-mig-{}-{place}", profile.replace(['.', '+'], "-"));
                let taken = counters(multiprocessors, engines, memory, place..place + width);
                devices.push(device(&name, "mig", Some(profile), memory, &set, &taken));
            }
        }
        let body = json!({"spec": {"driver": DRIVER, "nodeName": node.as_str(),
            "pool": {"name": node.as_str(), "generation": 1, "resourceSliceCount": gpus},
            "sharedCounters": [{"name": set, "counters": whole}], "devices": devices}});
        let name = format_smolstr!("{node}-{DRIVER}-{gpu:02}");
        Object::json(Kind::RESOURCE_SLICE, Meta::named(Key::cluster(name)), body)
    };
    (0..gpus).map(slice).collect()
}

fn counters(multiprocessors: u32, engines: u32, memory: u32, slices: std::ops::Range<u32>) -> Value {
    let value = |amount: String| json!({"value": amount});
    let mut all = Map::new();
    all.insert("multiprocessors".to_owned(), value(multiprocessors.to_string()));
    all.insert("copy-engines".to_owned(), value(engines.to_string()));
    all.insert("memory".to_owned(), value(format!("{memory}Mi")));
    all.extend(slices.map(|slice| (format!("memory-slice-{slice}"), value("1".to_owned()))));
    Value::Object(all)
}

fn device(name: &str, sort: &str, profile: Option<&str>, memory: u32, set: &str, taken: &Value) -> Value {
    let mut attributes =
        json!({"type": {"string": sort}, "productName": {"string": "NVIDIA H100 80GB HBM3"}});
    if let Some(profile) = profile {
        attributes["profile"] = json!({"string": profile});
    }
    json!({"name": name, "attributes": attributes, "capacity": {"memory": {"value": format!("{memory}Mi")}},
        "consumesCounters": [{"counterSet": set, "counters": taken}]})
}
