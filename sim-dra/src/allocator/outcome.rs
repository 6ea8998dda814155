//! From chosen devices to results of claims: configuration and node selector.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use smol_str::{SmolStr, format_smolstr};

use super::Error;
use super::requests::Claim;
use super::search::{Chosen, Search};
use crate::api::{
    AllocationResult, DeviceAllocationConfiguration, DeviceAllocationResult, DeviceConfiguration,
    DeviceRequestAllocationResult,
};

/// One result per claim.
///
/// # Errors
/// A node selector of several terms, which no valid slice has.
pub(crate) fn results(search: &Search<'_>) -> Result<Vec<AllocationResult>, Error> {
    let mut shares = 0;
    let mut results = Vec::with_capacity(search.wishes.claims.len());
    for (claim, chosen) in search.wishes.claims.iter().zip(&search.results) {
        let devices = chosen.iter().map(|chosen| device(search, chosen, &mut shares)).collect();
        let devices = DeviceAllocationResult { results: devices, config: config(search, claim) };
        let node_selector = node_selector(search, chosen).map_err(|why| {
            Error::new(format!("create NodeSelector for claim {}: {why}", claim.body.metadata.name))
        })?;
        results.push(AllocationResult { devices, node_selector });
    }
    Ok(results)
}

fn device(search: &Search<'_>, chosen: &Chosen, shares: &mut usize) -> DeviceRequestAllocationResult {
    let request = &search.wishes.entries[chosen.entry];
    let device = search.device(chosen.candidate);
    let pool = &search.pools[search.candidates[chosen.candidate].pool];
    let waits = |conditions: &Option<Vec<SmolStr>>| {
        if search.features.device_binding { conditions.clone().unwrap_or_default() } else { Vec::new() }
    };
    let share_id = chosen.shared.then(|| {
        *shares += 1;
        format_smolstr!("share-{}", *shares - 1)
    });
    DeviceRequestAllocationResult {
        tolerations: Vec::new(),
        request: search.wishes.full_name(request),
        driver: pool.driver.clone(),
        pool: pool.name.clone(),
        device: device.name.clone(),
        admin_access: search.wishes.admin(request).then_some(true),
        binding_conditions: waits(&device.binding_conditions),
        binding_failure_conditions: waits(&device.binding_failure_conditions),
        share_id,
        consumed_capacity: (!chosen.consumed.is_empty()).then(|| chosen.consumed.clone()),
    }
}

/// Of the classes of all requests, then of the claim; the latter once for every request that it names.
fn config(search: &Search<'_>, claim: &Claim) -> Vec<DeviceAllocationConfiguration> {
    let mut config = Vec::new();
    let mut push = |source: &'static str, requests: &[SmolStr], device: &DeviceConfiguration| {
        config.push(DeviceAllocationConfiguration {
            source: SmolStr::new_static(source),
            requests: requests.to_vec(),
            device: device.clone(),
        });
    };
    let selected = |first: usize| &search.wishes.entries[first + search.wanted[first].selected];
    for (number, &(first, _)) in claim.requests.iter().enumerate() {
        let Some(class) = &selected(first).class else { continue };
        let mut requests = Vec::new();
        if search.fixes.class_config_names_requests {
            let same = |first: &usize| selected(*first).class.as_ref().is_some_and(|c| Arc::ptr_eq(c, class));
            let firsts = || claim.requests.iter().map(|(first, _)| *first);
            if firsts().take(number).any(|first| same(&first)) {
                continue;
            }
            requests.extend(firsts().filter(same).map(|first| search.wishes.full_name(selected(first))));
        }
        class.spec.config.iter().for_each(|device| push("FromClass", &requests, device));
    }
    for own in &claim.body.spec.devices.config {
        if own.requests.is_empty() {
            push("FromClaim", &[], &own.device);
            continue;
        }
        for &(first, _) in &claim.requests {
            let name = &search.wishes.parent(&search.wishes.entries[first]).name;
            let alternative = search.wishes.alternative(selected(first));
            let named = own.requests.contains(name)
                || !alternative.is_empty() && own.requests.contains(&format_smolstr!("{name}/{alternative}"));
            if named {
                push("FromClaim", &own.requests, &own.device);
            }
        }
    }
    config
}

/// The nodes that reach all devices; `None` for all nodes.
fn node_selector(search: &Search<'_>, chosen: &[Chosen]) -> Result<Option<NodeSelector>, String> {
    let mut term = NodeSelectorTerm::default();
    for chosen in chosen {
        let device = search.device(chosen.candidate);
        let spec = &search.candidates[chosen.candidate].slice.body().spec;
        let (name, selector) = if spec.per_device_node_selection == Some(true) {
            (&device.node_name, &device.node_selector)
        } else {
            (&spec.node_name, &spec.node_selector)
        };
        if name.is_some() || device.binds_to_node == Some(true) {
            return Ok(Some(only(search.node.name)));
        }
        match selector.as_ref().map_or(&[][..], |selector| &selector.node_selector_terms) {
            [] => {}
            [own] => {
                merge(&mut term.match_fields, own.match_fields.as_deref());
                merge(&mut term.match_expressions, own.match_expressions.as_deref());
            }
            several => {
                return Err(format!("unsupported ResourceSlice.NodeSelector with {} terms", several.len()));
            }
        }
    }
    let some = term.match_fields.is_some() || term.match_expressions.is_some();
    Ok(some.then(|| NodeSelector { node_selector_terms: vec![term] }))
}

fn only(node: &str) -> NodeSelector {
    let requirement = NodeSelectorRequirement {
        key: "metadata.name".into(),
        operator: "In".into(),
        values: Some(vec![node.into()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![requirement]), ..NodeSelectorTerm::default() };
    NodeSelector { node_selector_terms: vec![term] }
}

/// Adds requirements that are not there yet; the order of values does not matter.
fn merge(to: &mut Option<Vec<NodeSelectorRequirement>>, from: Option<&[NodeSelectorRequirement]>) {
    let values = |requirement: &NodeSelectorRequirement| {
        let mut values = requirement.values.clone().unwrap_or_default();
        values.sort();
        values.dedup();
        values
    };
    for new in from.unwrap_or_default() {
        let known = to
            .iter()
            .flatten()
            .any(|old| old.key == new.key && old.operator == new.operator && values(old) == values(new));
        if !known {
            to.get_or_insert_default().push(new.clone());
        }
    }
}
