//! All slices of a cluster, prepared once: node selectors parsed, counters numbered, devices as selectors see them, and what
//! selectors said of them.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, RwLock};

use rustc_hash::{FxHashMap, FxHashSet};
use sim_cel::Value;
use sim_core::api::meta::Labels;
use sim_core::quantity::Quantity;
use sim_core::selectors::NodeSelector;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::allocator::Counters;
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
    pub(crate) counters: Amounts,
    pub(crate) traits: Traits,
    /// No two devices have the same name.
    pub(crate) distinct: bool,
    outcomes: RwLock<Outcomes>,
}

/// What some device of a slice has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traits {
    /// Binding conditions, also an empty list of them.
    pub(crate) binding_conditions: bool,
    /// Binding conditions that somebody would have to wait for.
    pub(crate) waits: bool,
    /// Counters that it consumes.
    pub(crate) counted: bool,
    /// Counters that it consumes, and taints.
    pub(crate) counted_and_tainted: bool,
    /// Several claims may share it.
    pub(crate) shared: bool,
}

/// What is there of counters.
#[derive(Debug)]
pub(crate) enum Amounts {
    /// In a unit of which all amounts of the slice are multiples, so small that sums fit.
    Whole(Vec<i64>),
    Any(Vec<Quantity>),
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
    /// The same in the unit of [`Amounts::Whole`], each counter once.
    pub(crate) whole: Vec<(usize, i64)>,
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
            let selector = device.node_selector.as_ref().map(parse);
            Prepared { selector, value: OnceLock::new(), consumes, whole: Vec::new() }
        };
        let mut devices: Vec<Prepared> = spec.devices.iter().map(prepare).collect();
        let mut names = FxHashSet::default();
        let some = |is: fn(&Device) -> bool| spec.devices.iter().any(is);
        Slice {
            selector: spec.node_selector.as_ref().map(parse),
            traits: Traits {
                binding_conditions: some(|device| device.binding_conditions.is_some()),
                waits: some(|device| device.binding_conditions.as_ref().is_some_and(|c| !c.is_empty())),
                counted: some(|device| !device.consumes_counters.is_empty()),
                counted_and_tainted: some(|d| !d.consumes_counters.is_empty() && !d.taints.is_empty()),
                shared: some(|device| device.allow_multiple_allocations == Some(true)),
            },
            distinct: spec.devices.iter().all(|device| names.insert(&device.name)),
            counters: whole(&counters, &mut devices).map_or(Amounts::Any(counters), Amounts::Whole),
            devices,
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

    /// The counters with some devices in use.
    pub(crate) fn counters_left(&self, in_use: impl Iterator<Item = usize>) -> Counters {
        Counters::new(self, in_use)
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

    /// What is known already of every device: false for the first selector that says so, `None` if somebody would have to
    /// look. Per-device node selection is not looked at.
    pub(crate) fn known(&self, selectors: &[Arc<Selector>], mut tell: impl FnMut(usize, bool)) {
        let outcomes: SmallVec<[_; 4]> =
            selectors.iter().map(|selector| self.outcomes_of(selector)).collect();
        for device in 0..self.devices.len() {
            let first =
                outcomes.iter().map(|known| known[device].load(Ordering::Relaxed)).find(|o| *o != YES);
            match first {
                None => tell(device, true),
                Some(NO) => tell(device, false),
                Some(_) => {}
            }
        }
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

/// All amounts of a slice in one unit, if there is one that fits.
fn whole(counters: &[Quantity], devices: &mut [Prepared]) -> Option<Vec<i64>> {
    let scale = [0, -3, -9].into_iter().find(|scale| {
        let consumed = devices.iter().flat_map(|device| device.consumes.iter().map(|(_, amount)| amount));
        counters.iter().chain(consumed).all(|amount| scaled(amount, *scale).is_some())
    })?;
    for device in devices {
        for (counter, amount) in &device.consumes {
            let amount = scaled(amount, scale)?;
            match device.whole.iter_mut().find(|(known, _)| known == counter) {
                Some((_, sum)) => *sum += amount,
                None => device.whole.push((*counter, amount)),
            }
        }
    }
    counters.iter().map(|amount| scaled(amount, scale)).collect()
}

/// In units of `10^scale`, if that is exact and so small that thousands of them can be added.
fn scaled(amount: &Quantity, scale: i8) -> Option<i64> {
    const MOST: i64 = i64::MAX >> 16;
    let number = amount.scaled_value(scale);
    if !(-MOST..=MOST).contains(&number) {
        return None;
    }
    let mut rest = amount.clone();
    rest.sub(&Quantity::new_scaled(number, scale));
    rest.is_zero().then_some(number)
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
    newest: OnceLock<Newest>,
}

/// Of every pool by driver and name: the newest generation, and how many slices it has.
type Newest = FxHashMap<(SmolStr, SmolStr), (i64, i64)>;

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
        Inventory { slices, by_node, elsewhere, newest: OnceLock::new() }
    }

    /// The newest generation of a slice's pool, on whatever nodes, and how many slices it has.
    pub(crate) fn newest(&self, of: &Slice) -> Option<(i64, i64)> {
        let pool = |slice: &Slice| (slice.body.spec.driver.clone(), slice.body.spec.pool.name.clone());
        let newest = self.newest.get_or_init(|| {
            let mut newest = Newest::default();
            for slice in &self.slices {
                let generation = slice.body.spec.pool.generation;
                let known = newest.entry(pool(slice)).or_insert((generation, 0));
                if generation > known.0 {
                    *known = (generation, 0);
                }
                known.1 += i64::from(generation == known.0);
            }
            newest
        });
        newest.get(&pool(of)).copied()
    }

    /// The slices that may be meant for a node, in order.
    pub(crate) fn candidates(&self, node: &str) -> impl Iterator<Item = &Arc<Slice>> {
        let own = self.by_node.get(node).map_or(&[][..], Vec::as_slice);
        let mut indices: Vec<usize> = own.iter().chain(&self.elsewhere).copied().collect();
        indices.sort_unstable();
        indices.into_iter().map(|index| &self.slices[index])
    }
}
