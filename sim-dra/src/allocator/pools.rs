//! The pools that a node reaches (`pools_experimental.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;

use super::Fixes;
use crate::features::Features;
use crate::inventory::{Inventory, Node, Slice};

/// A pool as far as the node reaches it.
#[derive(Debug)]
pub(crate) struct Pool<'a> {
    pub(crate) driver: &'a SmolStr,
    pub(crate) name: &'a SmolStr,
    pub(crate) incomplete: bool,
    /// Why devices cannot be told apart.
    pub(crate) invalid: Option<String>,
    pub(crate) slices: Vec<&'a Arc<Slice>>,
}

/// Gathers them, sorted by driver and name; those with binding conditions come last.
///
/// # Errors
/// A node selector that cannot be parsed.
pub(crate) fn gather<'a>(
    inventory: &'a Inventory,
    node: Node<'_>,
    features: Features,
    fixes: Fixes,
) -> Result<Vec<Pool<'a>>, String> {
    let mut pools: BTreeMap<(&SmolStr, &SmolStr), Vec<&Arc<Slice>>> = BTreeMap::new();
    let mut later = Vec::new();
    for slice in inventory.candidates(node.name) {
        let spec = &slice.body().spec;
        if !features.partitionable_devices && spec.per_device_node_selection.is_some() {
            continue;
        }
        if fixes.generations_before_nodes
            && inventory.newest(slice).is_some_and(|(newest, _)| spec.pool.generation < newest)
        {
            continue;
        }
        if !reached(slice, node)? {
            continue;
        }
        if features.experimental() && slice.traits.binding_conditions {
            later.push(slice);
        } else {
            add(&mut pools, slice);
        }
    }
    later.into_iter().for_each(|slice| add(&mut pools, slice));
    let all = pools.into_iter().map(|((driver, name), slices)| Pool {
        driver,
        name,
        incomplete: slices.first().is_none_or(|first| {
            let own = slices.len() as i64;
            let newest = if fixes.generations_before_nodes { inventory.newest(first) } else { None };
            newest.map_or(own, |(_, count)| count) != first.body().spec.pool.resource_slice_count
        }),
        invalid: duplicate(&slices),
        slices,
    });
    let (mut simple, binding): (Vec<_>, Vec<_>) = all.partition(|pool| {
        !features.experimental() || pool.slices.iter().all(|slice| !slice.traits.binding_conditions)
    });
    simple.extend(binding);
    Ok(simple)
}

fn reached(slice: &Slice, node: Node<'_>) -> Result<bool, String> {
    let name = &slice.body().metadata.name;
    let prefix = |what: String| {
        move |why: String| {
            format!("gather pool information: failed to perform node selection for {what}: {why}")
        }
    };
    if let Some(reached) = slice.reaches(node) {
        return reached.map_err(prefix(format!("slice {name}")));
    }
    if slice.body().spec.per_device_node_selection != Some(true) {
        return Ok(false);
    }
    for index in 0..slice.body().spec.devices.len() {
        let device = &slice.device(index).name;
        if slice.device_reaches(index, node).map_err(prefix(format!("device {device} in slice {name}")))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Older generations than what is there are dropped, newer ones replace it.
fn add<'a>(pools: &mut BTreeMap<(&'a SmolStr, &'a SmolStr), Vec<&'a Arc<Slice>>>, slice: &'a Arc<Slice>) {
    let spec = &slice.body().spec;
    let known = pools.entry((&spec.driver, &spec.pool.name)).or_default();
    let generation = known.first().map_or(spec.pool.generation, |first| first.body().spec.pool.generation);
    if spec.pool.generation < generation {
        return;
    }
    if spec.pool.generation > generation {
        known.clear();
    }
    known.push(slice);
}

fn duplicate(slices: &[&Arc<Slice>]) -> Option<String> {
    if matches!(slices, [only] if only.distinct) {
        return None;
    }
    let mut names = rustc_hash::FxHashSet::default();
    let mut devices = slices.iter().flat_map(|slice| &slice.body().spec.devices);
    let twice = devices.find(|device| !names.insert(&device.name))?;
    Some(format!("duplicate device name {}", twice.name))
}
