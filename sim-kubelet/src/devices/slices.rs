//! Publishing devices (`k8s.io/dynamic-resource-allocation/resourceslice`, the helper of all drivers): which slices to
//! delete, update and create so that a driver's devices are what the API server has. Pure.

use serde_json::{Value, json};
use sim_core::api::meta::Key;
use sim_dra::driver::{Pool, SliceContent};
use smol_str::SmolStr;

/// A slice that the API server has.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Its key.
    pub key: Key,
    /// Its `spec`, as it was last written.
    pub spec: Value,
}

/// A write of one slice.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Delete it.
    Delete(Key),
    /// Give it a new spec.
    Update(Key, Value),
    /// Create one with this spec.
    Create(Value),
}

fn names(devices: &Value) -> Vec<&str> {
    let mut names: Vec<&str> =
        devices.as_array().into_iter().flatten().filter_map(|d| d["name"].as_str()).collect();
    names.sort_unstable();
    names
}

fn spec_of(driver: &str, node: &str, pool: &Pool, generation: i64, slice: &SliceContent) -> Value {
    let mut spec = json!({
        "driver": driver,
        "nodeName": node,
        "pool": {"name": pool.name, "generation": generation, "resourceSliceCount": pool.slices.len()},
        "devices": slice.devices,
    });
    if !slice.shared_counters.is_empty() {
        spec["sharedCounters"] = slice.shared_counters.clone().into();
    }
    spec
}

/// The writes that make `published` what the driver wants, in order; nothing if it is.
pub fn writes(driver: &str, node: &str, pools: &[Pool], published: &[Published]) -> Vec<Write> {
    let gone =
        published.iter().filter(|p| !pools.iter().any(|pool| p.spec["pool"]["name"] == pool.name.as_str()));
    let mut out: Vec<Write> = gone.map(|p| Write::Delete(p.key.clone())).collect();
    for pool in pools {
        let own: Vec<&Published> =
            published.iter().filter(|p| p.spec["pool"]["name"] == pool.name.as_str()).collect();
        sync_pool(driver, node, pool, &own, &mut out);
    }
    out
}

/// `syncPool`: a pool's generation is raised if it cannot be changed by one write.
fn sync_pool(driver: &str, node: &str, pool: &Pool, published: &[&Published], out: &mut Vec<Write>) {
    let generation_of = |p: &Published| p.spec["pool"]["generation"].as_i64().unwrap_or(0);
    let mut generation = published.iter().map(|p| generation_of(p)).max().unwrap_or(0);
    let (current, old): (Vec<&Published>, Vec<&Published>) =
        published.iter().partition(|p| generation_of(p) == generation);
    let mut obsolete: Vec<&SmolStr> = old.iter().map(|p| &p.key.name).collect();
    let mut matched: Vec<Option<&Published>> = vec![None; pool.slices.len()];
    if let ([only], [_]) = (current.as_slice(), pool.slices.as_slice()) {
        matched[0] = Some(*only);
    } else {
        for slice in current {
            let same = |i: usize| {
                let wanted: Value = pool.slices[i].devices.clone().into();
                matched[i].is_none() && names(&slice.spec["devices"]) == names(&wanted)
            };
            match (0..pool.slices.len()).find(|i| same(*i)) {
                Some(i) => matched[i] = Some(slice),
                None => obsolete.push(&slice.key.name),
            }
        }
    }
    let spec = |i: usize, generation: i64| spec_of(driver, node, pool, generation, &pool.slices[i]);
    let changed =
        |(i, slice): (usize, &Option<&Published>)| slice.is_some_and(|s| s.spec != spec(i, generation));
    let changes = matched.iter().enumerate().filter(|m| changed((m.0, m.1))).count();
    let bump = matched.contains(&None) || changes > 1;
    let before = generation;
    generation += i64::from(bump);
    out.extend(obsolete.into_iter().map(|name| Write::Delete(Key::cluster(name.clone()))));
    let updates = matched.iter().enumerate().filter_map(|(i, slice)| {
        let slice = slice.filter(|s| bump || s.spec != spec(i, before))?;
        Some(Write::Update(slice.key.clone(), spec(i, generation)))
    });
    out.extend(updates);
    let missing = (0..matched.len()).filter(|i| matched[*i].is_none());
    out.extend(missing.map(|i| Write::Create(spec(i, generation))));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(slices: &[&[&str]]) -> Vec<Pool> {
        let slice = |names: &&[&str]| SliceContent {
            devices: names
                .iter()
                .map(|n| json!({"name": n.trim_end_matches('!'), "bad": n.ends_with('!')}))
                .collect(),
            ..SliceContent::default()
        };
        vec![Pool { name: "n1".into(), slices: slices.iter().map(slice).collect() }]
    }

    /// Carries the writes out and says what they were: `+` created, `~` updated, `-` deleted, with the generation.
    fn go(published: &mut Vec<Published>, pools: &[Pool]) -> String {
        let mut said = Vec::new();
        for write in writes("gpu", "n1", pools, published) {
            let show = |spec: &Value| {
                format!("{}@{}", names(&spec["devices"]).join(","), spec["pool"]["generation"])
            };
            match write {
                Write::Delete(key) => {
                    published.retain(|p| p.key != key);
                    said.push(format!("-{key}"));
                }
                Write::Update(key, spec) => {
                    said.push(format!("~{key}:{}", show(&spec)));
                    published.iter_mut().filter(|p| p.key == key).for_each(|p| p.spec = spec.clone());
                }
                Write::Create(spec) => {
                    said.push(format!("+{}", show(&spec)));
                    let key = Key::cluster(format!("s{}", published.len()));
                    published.push(Published { key, spec });
                }
            }
        }
        said.join(" ")
    }

    #[test]
    fn one_write_keeps_the_generation() {
        let mut published = Vec::new();
        assert_eq!(go(&mut published, &pool(&[&["a", "b"]])), "+a,b@1");
        assert_eq!(go(&mut published, &pool(&[&["a", "b"]])), "");
        assert_eq!(go(&mut published, &pool(&[&["a!", "b"]])), "~s0:a,b@1");
        assert_eq!(go(&mut published, &pool(&[&["b"]])), "~s0:b@1");
        assert_eq!(go(&mut published, &[]), "-s0");
    }

    #[test]
    fn more_than_one_write_is_a_new_generation() {
        let mut published = Vec::new();
        assert_eq!(go(&mut published, &pool(&[&["a"], &["b"]])), "+a@1 +b@1");
        assert_eq!(go(&mut published, &pool(&[&["a!"], &["b"]])), "~s0:a@1");
        assert_eq!(go(&mut published, &pool(&[&["a"], &["b!"]])), "~s0:a@2 ~s1:b@2");
        assert_eq!(go(&mut published, &pool(&[&["a"], &["c"]])), "-s1 ~s0:a@3 +c@3");
        assert_eq!(go(&mut published, &pool(&[&["a"]])), "-s1 ~s0:a@3");
    }
}
