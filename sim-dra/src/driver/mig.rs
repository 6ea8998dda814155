//! MIG partitions as `gpu.nvidia.com` publishes them: every partition that could be made, each taking what it needs from
//! the counters of its GPU (KEP-4815; `cmd/gpu-kubelet-plugin/{partitions,mig}.go`).
//!
//! Profiles, placements and engines are those of `nvidia-smi mig -lgip` and the MIG user guide
//! (docs.nvidia.com/datacenter/tesla/mig-user-guide); engines of the H100's two largest profiles follow from the fractions
//! of the guide.

use serde_json::{Map, Value, json};

/// What one partition of a GPU takes.
#[derive(Debug, PartialEq)]
pub struct Profile {
    /// `profile`, e.g. `3g.40gb`.
    pub name: &'static str,
    /// Its number for `nvidia-smi`.
    id: u8,
    /// Multiprocessors; copy engines, decoders, JPEG and OFA engines.
    engines: [u16; 5],
    /// Memory in MiB.
    memory: u32,
    /// Memory slices it takes, and where they may begin.
    slices: u8,
    starts: &'static [u8],
}

const fn profile(
    name: &'static str,
    id: u8,
    engines: [u16; 5],
    memory: u32,
    slices: u8,
    starts: &'static [u8],
) -> Profile {
    Profile { name, id, engines, memory, slices, starts }
}

/// Memory slices of a GPU.
const SLICES: u8 = 8;
const SEVEN: &[u8] = &[0, 1, 2, 3, 4, 5, 6];

/// Of an H100 with 80 GB. The last takes the whole GPU.
pub(super) static H100: [Profile; 7] = [
    profile("1g.10gb", 19, [16, 1, 1, 1, 0], 9984, 1, SEVEN),
    profile("1g.10gb+me", 20, [16, 1, 1, 1, 1], 9984, 1, SEVEN),
    profile("1g.20gb", 15, [26, 1, 1, 1, 0], 20096, 2, &[0, 2, 4, 6]),
    profile("2g.20gb", 14, [32, 2, 2, 2, 0], 20096, 2, &[0, 2, 4]),
    profile("3g.40gb", 9, [60, 3, 3, 3, 0], 40448, 4, &[0, 4]),
    profile("4g.40gb", 5, [64, 4, 4, 4, 0], 40448, 4, &[0]),
    profile("7g.80gb", 0, [132, 8, 7, 7, 1], 81152, SLICES, &[0]),
];

/// Of an A100 with 40 GB.
pub(super) static A100: [Profile; 7] = [
    profile("1g.5gb", 19, [14, 1, 0, 0, 0], 4864, 1, SEVEN),
    profile("1g.5gb+me", 20, [14, 1, 1, 1, 1], 4864, 1, SEVEN),
    profile("1g.10gb", 15, [14, 1, 1, 0, 0], 9856, 2, &[0, 2, 4, 6]),
    profile("2g.10gb", 14, [28, 2, 1, 0, 0], 9856, 2, &[0, 2, 4]),
    profile("3g.20gb", 9, [42, 3, 2, 0, 0], 19968, 4, &[0, 4]),
    profile("4g.20gb", 5, [56, 4, 2, 0, 0], 19968, 4, &[0]),
    profile("7g.40gb", 0, [98, 7, 5, 1, 1], 40192, SLICES, &[0]),
];

/// Names of engines as counters and as capacities.
const ENGINES: [(&str, &str); 5] = [
    ("multiprocessors", "multiprocessors"),
    ("copy-engines", "copyEngines"),
    ("decoders", "decoders"),
    ("jpeg-engines", "jpegEngines"),
    ("ofa-engines", "ofaEngines"),
];

impl Profile {
    fn capacity(&self) -> Value {
        let mut out = Map::new();
        for ((_, name), amount) in ENGINES.iter().zip(self.engines) {
            out.insert((*name).to_owned(), json!({"value": amount.to_string()}));
        }
        out.insert("memory".to_owned(), json!({"value": format!("{}Mi", self.memory)}));
        out.into()
    }

    fn counters(&self, start: u8) -> Value {
        let mut out = Map::new();
        for ((name, _), amount) in ENGINES.iter().zip(self.engines) {
            out.insert((*name).to_owned(), json!({"value": amount.to_string()}));
        }
        out.insert("memory".to_owned(), json!({"value": format!("{}Mi", self.memory)}));
        for slice in start..(start + self.slices).min(SLICES) {
            out.insert(format!("memory-slice-{slice}"), json!({"value": "1"}));
        }
        out.into()
    }
}

/// The devices of a GPU and its one counter set: the whole, then its partitions. `whole` and `part` are the attributes.
pub(super) fn devices(
    gpu: &str,
    profiles: &'static [Profile],
    whole: &Value,
    part: &Value,
) -> (Vec<Value>, Vec<Value>) {
    let Some(all) = profiles.last() else { return (Vec::new(), Vec::new()) };
    let set = format!("{gpu}-counter-set");
    let device = |name: String, attributes: Value, profile: &Profile, start: u8| {
        json!({
            "name": name,
            "attributes": attributes,
            "capacity": profile.capacity(),
            "consumesCounters": [{"counterSet": set, "counters": profile.counters(start)}],
        })
    };
    let mut devices = vec![device(gpu.to_owned(), whole.clone(), all, 0)];
    for profile in profiles {
        let short = profile.name.replace('.', "").replace('+', "-");
        for start in profile.starts {
            let mut attributes = part.clone();
            attributes["profile"] = json!({"string": profile.name});
            let name = format!("{gpu}-mig-{short}-{}-{start}", profile.id);
            devices.push(device(name, attributes, profile, *start));
        }
    }
    (devices, vec![json!({"name": set, "counters": all.counters(0)})])
}
