//! All slices of a cluster, prepared once: node selectors parsed, counters numbered, devices as selectors see them, and what
//! selectors said of them.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, RwLock};

use rustc_hash::FxHashMap;
use sim_cel::Value;
use sim_core::api::meta::Labels;
use sim_core::quantity::Quantity;
use sim_core::selectors::NodeSelector;
use smol_str::SmolStr;

use crate::api::{Device, ResourceSlice};
use crate::selector::{Selector, device_value};

/// A node that devices are wanted for.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// The name.
    pub name: &'a str,
    /// The labels.
    pub labels: &'a Labels,
}

/// A slice, prepared.
#[derive(Debug)]
pub struct Slice {
    body: Arc<ResourceSlice>,
    selector: Option<Result<NodeSelector, String>>,
    devices: Vec<Prepared>,
    /// What is there of every shared counter, numbered over all sets.
    pub(crate) counters: Vec<Quantity>,
    pub(crate) binding_conditions: bool,
    outcomes: RwLock<Outcomes>,
}

/// What is known of every device, by selector.
type Outcomes = Vec<(Arc<Selector>, Arc<[AtomicU8]>)>;

/// A device, prepared.
#[derive(Debug)]
pub(crate) struct Prepared {
    selector: Option<Result<NodeSelector, String>>,
    value: OnceLock<Result<Value, String>>,
    /// What it takes from the counters of the slice; others are not limited.
    pub(crate) consumes: Vec<(usize, Quantity)>,
}

const UNKNOWN: u8 = 0;
const NO: u8 = 1;
const YES: u8 = 2;

impl Slice {
    /// Prepares a slice.
    pub fn new(body: Arc<ResourceSlice>) -> Slice {
        let spec = &body.spec;
        let mut numbers: FxHashMap<(&str, &str), usize> = FxHashMap::default();
        let mut counters = Vec::new();
        for set in &spec.shared_counters {
            for (name, counter) in &set.counters {
                let number = *numbers.entry((&set.name, name)).or_insert(counters.len());
                if number == counters.len() {
                    counters.push(counter.value.clone());
                } else {
                    counters[number] = counter.value.clone();
                }
            }
        }
        let prepare = |device: &Device| {
            let consumed = device.consumes_counters.iter().flat_map(|consumption| {
                consumption.counters.iter().map(move |(name, c)| ((&consumption.counter_set, name), &c.value))
            });
            let consumes = consumed
                .filter_map(|((set, name), value)| {
                    numbers.get(&(set.as_str(), name.as_str())).map(|number| (*number, value.clone()))
                })
                .collect();
            Prepared { selector: device.node_selector.as_ref().map(parse), value: OnceLock::new(), consumes }
        };
        Slice {
            selector: spec.node_selector.as_ref().map(parse),
            devices: spec.devices.iter().map(prepare).collect(),
            binding_conditions: spec.devices.iter().any(|device| device.binding_conditions.is_some()),
            counters,
            outcomes: RwLock::default(),
            body,
        }
    }

    /// The object.
    pub fn body(&self) -> &ResourceSlice {
        &self.body
    }

    pub(crate) fn device(&self, index: usize) -> &Device {
        &self.body.spec.devices[index]
    }

    pub(crate) fn prepared(&self, index: usize) -> &Prepared {
        &self.devices[index]
    }

    /// Whether the node reaches the slice by the slice's own selection; `None` if it says nothing.
    pub(crate) fn reaches(&self, node: Node<'_>) -> Option<Result<bool, String>> {
        let spec = &self.body.spec;
        let name = spec.node_name.as_deref().unwrap_or("");
        let all = spec.all_nodes == Some(true);
        (!name.is_empty() || all || self.selector.is_some())
            .then(|| node_matches(node, name, all, self.selector.as_ref()))
    }

    /// Whether the node reaches a device by the device's own selection.
    pub(crate) fn device_reaches(&self, index: usize, node: Node<'_>) -> Result<bool, String> {
        let device = self.device(index);
        let name = device.node_name.as_deref().unwrap_or("");
        node_matches(node, name, device.all_nodes == Some(true), self.devices[index].selector.as_ref())
    }

    /// What a selector says of a device; computed once.
    pub(crate) fn selected(&self, index: usize, selector: &Arc<Selector>) -> Result<bool, String> {
        let known = self.outcomes_of(selector);
        match known[index].load(Ordering::Relaxed) {
            NO => return Ok(false),
            YES => return Ok(true),
            _ => {}
        }
        let driver = &self.body.spec.driver;
        let value = self.devices[index].value.get_or_init(|| device_value(driver, self.device(index)));
        let outcome = match value {
            Ok(value) => selector.matches(value).map_err(ToString::to_string)?.outcome,
            Err(why) => Err(why.clone()),
        };
        if let Ok(selected) = outcome {
            known[index].store(if selected { YES } else { NO }, Ordering::Relaxed);
        }
        outcome
    }

    fn outcomes_of(&self, selector: &Arc<Selector>) -> Arc<[AtomicU8]> {
        let find = |all: &Outcomes| {
            all.iter().find(|(s, _)| Arc::ptr_eq(s, selector)).map(|(_, known)| known.clone())
        };
        // A poisoned lock only means that somebody else panicked while adding an entry.
        let read = self.outcomes.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = find(&read) {
            return known;
        }
        drop(read);
        let known: Arc<[AtomicU8]> = self.devices.iter().map(|_| AtomicU8::new(UNKNOWN)).collect();
        let mut write = self.outcomes.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        write.push((selector.clone(), known.clone()));
        known
    }
}

fn parse(selector: &k8s_openapi::api::core::v1::NodeSelector) -> Result<NodeSelector, String> {
    NodeSelector::strict(selector).map_err(|e| format!("failed to parse node selector: {e}"))
}

fn node_matches(
    node: Node<'_>,
    name: &str,
    all: bool,
    selector: Option<&Result<NodeSelector, String>>,
) -> Result<bool, String> {
    if !name.is_empty() {
        return Ok(node.name == name);
    }
    match selector {
        _ if all => Ok(true),
        Some(Ok(selector)) => selector.matches(node.name, node.labels).map_err(|e| e.to_string()),
        Some(Err(why)) => Err(why.clone()),
        None => Ok(false),
    }
}

/// All slices, in the order of the list, findable by node.
#[derive(Debug, Default)]
pub struct Inventory {
    slices: Vec<Arc<Slice>>,
    by_node: FxHashMap<SmolStr, Vec<usize>>,
    elsewhere: Vec<usize>,
}

impl Inventory {
    /// Slices in the order in which they are to be looked at.
    pub fn new(slices: Vec<Arc<Slice>>) -> Inventory {
        let (mut by_node, mut elsewhere) = (FxHashMap::<SmolStr, Vec<usize>>::default(), Vec::new());
        for (index, slice) in slices.iter().enumerate() {
            match &slice.body.spec.node_name {
                Some(name) if !name.is_empty() => by_node.entry(name.clone()).or_default().push(index),
                _ => elsewhere.push(index),
            }
        }
        Inventory { slices, by_node, elsewhere }
    }

    /// The slices that may be meant for a node, in order.
    pub(crate) fn candidates(&self, node: &str) -> impl Iterator<Item = &Arc<Slice>> {
        let own = self.by_node.get(node).map_or(&[][..], Vec::as_slice);
        let mut indices: Vec<usize> = own.iter().chain(&self.elsewhere).copied().collect();
        indices.sort_unstable();
        indices.into_iter().map(|index| &self.slices[index])
    }
}
