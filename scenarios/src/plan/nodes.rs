//! Nodes of pools.

use sim_cluster::build::node;
use sim_core::api::object::Object;
use sim_core::quantity::Quantity;

use crate::format::NodePool;

/// Most nodes of one pool: far above any cluster, far below what exhausts memory by a slip of the hand.
const MOST_NODES: u32 = 1_000_000;

/// The nodes of a pool; `Err` is a field and what is wrong with it.
pub(super) fn of_pool(pool: &NodePool) -> Result<Vec<Object>, (String, String)> {
    if pool.name.is_empty() {
        return Err(("name".to_owned(), "an empty name".to_owned()));
    }
    if pool.count.is_some_and(|count| count > MOST_NODES) {
        return Err(("count".to_owned(), format!("more than {MOST_NODES} nodes")));
    }
    let check = |field: &str, text: &str| match text.parse::<Quantity>() {
        Ok(quantity) if quantity.value() < 0 => Err((field.to_owned(), format!("`{text}` is negative"))),
        Ok(_) => Ok(()),
        Err(error) => Err((field.to_owned(), format!("`{text}`: {error}"))),
    };
    check("cpu", pool.cpu.as_str())?;
    check("memory", pool.memory.as_str())?;
    if let Some(storage) = &pool.ephemeral_storage {
        check("ephemeralStorage", storage.as_str())?;
    }
    for (name, amount) in &pool.resources {
        check(&format!("resources.{name}"), amount.as_str())?;
    }
    let make = |(i, name): (usize, &String)| {
        let mut made = node(name).cpu(pool.cpu.as_str()).memory(pool.memory.as_str()).pods(pool.pods);
        if let Some(storage) = &pool.ephemeral_storage {
            made = made.capacity("ephemeral-storage", storage.as_str());
        }
        for (resource, amount) in &pool.resources {
            made = made.capacity(resource, amount.as_str());
        }
        if let Some(zone) = pool.zones.get(i.checked_rem(pool.zones.len()).unwrap_or(0)) {
            made = made.label("topology.kubernetes.io/zone", zone);
        }
        for (key, value) in &pool.labels {
            made = made.label(key, value.as_str());
        }
        for taint in &pool.taints {
            made = made.taint(&taint.key, &taint.value, &taint.effect);
        }
        Object::from(made)
    };
    Ok(pool.node_names().iter().enumerate().map(make).collect())
}
