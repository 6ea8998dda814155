//! Drivers of a node's devices: they publish what they have, say when it breaks, and answer the kubelet.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta_v1;
use serde_json::{Value, json};
use sim_core::api::error::{ApiError, Reason};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Meta, OwnerReference, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::{DeleteOptions, Request, Tag};
use sim_core::engine::component::Ctx;
use sim_core::engine::log::Record;
use sim_core::engine::random::Stream;
use sim_core::time::Span;
use sim_dra::driver::{Answer, Claim, Driver, Pool, Prepared, Service};
use smol_str::{SmolStr, format_smolstr};

use crate::devices::claims::Claims;
use crate::devices::slices::{Published, Write, writes};

use super::nodes::NodeState;
use super::{Fleet, FleetConfig, Timer};

/// Tags of answers about slices have these bits.
pub(super) const SLICE_TAG: u64 = 0b11 << 62;

/// What happens to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Its driver taints it.
    Taint {
        /// The key; empty = the driver's name with `/unhealthy`.
        key: SmolStr,
        /// The value.
        value: SmolStr,
        /// `NoSchedule` or `NoExecute`.
        effect: SmolStr,
    },
    /// Its driver does not publish it any more.
    Gone,
}

/// What a driver fails with when it is asked to prepare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How many more times; `None` = until somebody mends it.
    pub times: Option<u32>,
    /// What it says.
    pub error: SmolStr,
}

/// Drivers, and the kubelet's claims, of one node.
#[derive(Clone, Debug, Default)]
pub struct NodeDevices {
    drivers: Vec<Plugin>,
    pub(super) claims: Claims,
}

impl NodeDevices {
    /// What the kubelet knows of claims.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}

/// A driver on a node.
#[derive(Clone, Debug)]
struct Plugin {
    driver: Box<dyn Driver>,
    /// By hardware: what is wrong with it, and since when, as on the wire.
    trouble: BTreeMap<SmolStr, (Trouble, Value)>,
    fault: Option<Fault>,
    published: Vec<Published>,
    writes: VecDeque<Write>,
    /// The answer that is waited for; one write at a time.
    waiting: Option<u64>,
    /// The kubelet has deleted the slices, and the driver has not noticed yet.
    hidden: bool,
    /// What is wanted has changed while slices were being written.
    again: bool,
    /// Questions so far: each has draws of its own.
    questions: u64,
}

impl Plugin {
    fn new(driver: Box<dyn Driver>) -> Plugin {
        Plugin {
            driver,
            trouble: BTreeMap::new(),
            fault: None,
            published: Vec::new(),
            writes: VecDeque::new(),
            waiting: None,
            hidden: false,
            again: false,
            questions: 0,
        }
    }

    /// The driver's devices as they are now.
    fn pools(&self, node: &str) -> Vec<Pool> {
        if self.hidden {
            return Vec::new();
        }
        let mut pools = self.driver.pools(node);
        if self.trouble.is_empty() {
            return pools;
        }
        for slice in pools.iter_mut().flat_map(|pool| &mut pool.slices) {
            slice.devices.retain_mut(|device| {
                let name = SmolStr::new(device["name"].as_str().unwrap_or_default());
                for (hardware, (trouble, since)) in &self.trouble {
                    if !self.driver.is_part(&name, hardware) {
                        continue;
                    }
                    let Trouble::Taint { key, value, effect } = trouble else { return false };
                    let mut taint = json!({"key": key, "effect": effect, "timeAdded": since});
                    if !value.is_empty() {
                        taint["value"] = value.as_str().into();
                    }
                    match &mut device["taints"] {
                        Value::Array(taints) => taints.push(taint),
                        none => *none = json!([taint]),
                    }
                }
                true
            });
        }
        pools
    }

    fn knows(&self, hardware: &str, node: &str) -> bool {
        let pools = self.driver.pools(node);
        let mut devices = pools.iter().flat_map(|pool| &pool.slices).flat_map(|slice| &slice.devices);
        devices.any(|d| d["name"].as_str().is_some_and(|name| self.driver.is_part(name, hardware)))
    }
}

/// A driver that is known by its slices only, which somebody else has written.
#[derive(Clone, Debug)]
struct StandIn(SmolStr, Service);

impl Driver for StandIn {
    fn name(&self) -> &str {
        &self.0
    }

    fn pools(&self, _: &str) -> Vec<Pool> {
        Vec::new()
    }

    fn prepare(&mut self, claim: &Claim, random: &mut Stream) -> Answer<Vec<Prepared>> {
        let kind = format!("k8s.{}/claim", self.0);
        self.1.prepared(Span::ZERO, random, || claim.ready(&kind))
    }

    fn unprepare(&mut self, claim: &Claim, random: &mut Stream) -> Answer<()> {
        self.1.unprepared(claim, random)
    }

    fn clone_box(&self) -> Box<dyn Driver> {
        Box::new(self.clone())
    }
}

impl NodeState {
    /// Drivers and claims, if the node has had any.
    pub fn devices(&self) -> Option<&NodeDevices> {
        self.devices.as_deref()
    }

    pub(super) fn devices_mut(&mut self) -> &mut NodeDevices {
        self.devices.get_or_insert_default()
    }

    /// True if there is a driver of this name on the node.
    pub(super) fn has_driver(&self, name: &str, config: &FleetConfig) -> bool {
        let own = |d: &NodeDevices| d.drivers.iter().any(|p| p.driver.name() == name);
        config.stand_in.is_some() || self.devices.as_deref().is_some_and(own)
    }

    /// Asks a driver to prepare a claim, or to give it `back`.
    pub(super) fn ask(
        &mut self,
        ctx: &Ctx<'_, Timer>,
        config: &FleetConfig,
        name: &str,
        key: &Key,
        back: bool,
    ) -> Answer<Vec<Prepared>> {
        let devices = self.devices.get_or_insert_default();
        let found = devices.drivers.iter().position(|p| p.driver.name() == name);
        let at = found.unwrap_or(devices.drivers.len());
        if found.is_none() {
            let Some(service) = &config.stand_in else {
                let why = format_smolstr!("DRA driver {name} is not registered");
                return Answer { after: Span::ZERO, result: Err(why) };
            };
            devices.drivers.push(Plugin::new(Box::new(StandIn(name.into(), service.clone()))));
        }
        let (plugin, claims) = (&mut devices.drivers[at], &devices.claims);
        let unknown = Claim { namespace: key.namespace.clone(), name: key.name.clone(), ..Claim::default() };
        let claim = claims.question(key, name).unwrap_or(&unknown);
        plugin.questions += 1;
        let mut draw_key = [0; 24];
        draw_key[..16].copy_from_slice(&claim.uid.0.to_le_bytes());
        draw_key[16..].copy_from_slice(&plugin.questions.to_le_bytes());
        let mut random = ctx.stream_for("kubelet/driver", &draw_key);
        if back {
            let (namespace, name) = (claim.namespace.clone(), claim.name.clone());
            let claim = Claim { namespace, name, uid: claim.uid, ..Claim::default() };
            let Answer { after, result } = plugin.driver.unprepare(&claim, &mut random);
            return Answer { after, result: result.map(|()| Vec::new()) };
        }
        let mut answer = plugin.driver.prepare(claim, &mut random);
        if let Some(fault) = plugin.fault.as_mut() {
            answer.result = Err(fault.error.clone());
            fault.times = fault.times.map(|times| times.saturating_sub(1));
            if fault.times == Some(0) {
                plugin.fault = None;
            }
        }
        answer
    }
}

impl Fleet {
    /// The drivers of a node that has just come begin.
    pub(super) fn start_drivers(&mut self, ctx: &mut Ctx<'_, Timer>, node: u32) {
        let state = &mut self.nodes[node as usize];
        let Some(drivers) = self.config.drivers.get(&state.name) else { return };
        state.devices_mut().drivers = drivers.iter().map(|d| Plugin::new(d.clone_box())).collect();
        for at in 0..drivers.len() {
            self.publish(ctx, node, at);
        }
    }

    /// The slices of a node's drivers are to go; says which drivers have some.
    pub(super) fn hide_slices(&mut self, node: u32) -> Vec<usize> {
        let devices = self.nodes[node as usize].devices.as_mut();
        let drivers = devices.into_iter().flat_map(|d| &mut d.drivers).enumerate();
        let hide = |(at, plugin): (usize, &mut Plugin)| {
            plugin.hidden = true;
            (!plugin.published.is_empty() || plugin.waiting.is_some()).then_some(at)
        };
        drivers.filter_map(hide).collect()
    }

    /// A driver has noticed that its slices are gone.
    pub(super) fn show_slices(&mut self, ctx: &mut Ctx<'_, Timer>, node: u32, at: usize) {
        if let Some(plugin) = self.plugin(node, at) {
            plugin.hidden = false;
            self.publish(ctx, node, at);
        }
    }

    /// Sends the next write that makes a driver's slices what it wants.
    pub(super) fn publish(&mut self, ctx: &mut Ctx<'_, Timer>, node: u32, at: usize) {
        let state = &mut self.nodes[node as usize];
        let Some(object) = state.object.clone() else { return };
        let Some(plugin) = state.devices.as_mut().and_then(|d| d.drivers.get_mut(at)) else { return };
        if plugin.waiting.is_some() {
            plugin.again = true;
            return;
        }
        if plugin.writes.is_empty() {
            let (pools, name) = (plugin.pools(&state.name), plugin.driver.name());
            plugin.writes = writes(name, &state.name, &pools, &plugin.published).into();
        }
        let Some(write) = plugin.writes.front() else { return };
        let request = match write {
            Write::Delete(key) => {
                let (kind, options) = (Kind::RESOURCE_SLICE, DeleteOptions::default());
                Request::Delete { kind, key: key.clone(), options }
            }
            Write::Update(key, spec) => {
                let body = json!({"spec": spec});
                let mut meta = meta_of(&object, plugin.driver.name());
                meta.key = key.clone();
                Request::Update(Box::new(Object::json(Kind::RESOURCE_SLICE, meta, body)))
            }
            Write::Create(spec) => {
                let meta = meta_of(&object, plugin.driver.name());
                let body = json!({"spec": spec});
                Request::Create(Box::new(Object::json(Kind::RESOURCE_SLICE, meta, body)))
            }
        };
        self.slice_writes += 1;
        plugin.waiting = Some(self.slice_writes);
        self.slices_in_flight.insert(self.slice_writes, (node, at as u32));
        ctx.request(request, Tag(SLICE_TAG | self.slice_writes));
    }

    /// A slice was written, or not.
    pub(super) fn slice_written(
        &mut self,
        ctx: &mut Ctx<'_, Timer>,
        serial: u64,
        result: Result<Arc<Object>, ApiError>,
    ) {
        let Some((node, at)) = self.slices_in_flight.remove(&serial) else { return };
        let at = at as usize;
        let drivers = self.nodes[node as usize].devices.as_mut().map(|d| &mut d.drivers);
        let Some(plugin) = drivers.and_then(|d| d.get_mut(at)).filter(|p| p.waiting == Some(serial)) else {
            return;
        };
        plugin.waiting = None;
        let Some(write) = plugin.writes.pop_front() else { return };
        let lost = matches!(&result, Err(error) if error.reason == Reason::NotFound);
        match (write, result) {
            (Write::Create(spec), Ok(object)) => {
                plugin.published.push(Published { key: object.key().clone(), spec });
            }
            (Write::Update(key, spec), Ok(_)) => {
                plugin.published.iter_mut().filter(|p| p.key == key).for_each(|p| p.spec = spec.clone());
            }
            (Write::Delete(key) | Write::Update(key, _), _) if lost => {
                plugin.published.retain(|p| p.key != key);
                plugin.again = true;
            }
            (Write::Delete(key), Ok(_)) => plugin.published.retain(|p| p.key != key),
            // DIFFERS: upstream tries again with a back-off; what the API server refuses now it refuses later.
            (_, Err(error)) => {
                let text = format!("{} cannot publish its devices: {error}", plugin.driver.name());
                plugin.writes.clear();
                plugin.again = false;
                ctx.record(Record::Note { by: "kubelet", text: &text });
                return;
            }
        }
        if std::mem::take(&mut plugin.again) {
            plugin.writes.clear();
        }
        self.publish(ctx, node, at);
    }

    /// The driver on a node that has a piece of hardware.
    fn driver_of(&self, node: &str, hardware: &str) -> Result<(u32, usize), SmolStr> {
        let id = self.node_ids.get(node).copied().filter(|id| self.nodes[*id as usize].object.is_some());
        let id = id.ok_or_else(|| format_smolstr!("no node {node}"))?;
        let drivers = self.nodes[id as usize].devices.as_ref().map_or(&[][..], |d| &d.drivers);
        let at = drivers.iter().position(|p| p.knows(hardware, node));
        at.map(|at| (id, at)).ok_or_else(|| format_smolstr!("node {node} has no device {hardware}"))
    }

    fn plugin(&mut self, node: u32, at: usize) -> Option<&mut Plugin> {
        self.nodes[node as usize].devices.as_mut()?.drivers.get_mut(at)
    }

    /// A device breaks, or all that is on a piece of hardware.
    ///
    /// # Errors
    /// There is no such node or device.
    pub fn fail_device(
        &mut self,
        ctx: &mut Ctx<'_, Timer>,
        node: &str,
        hardware: &str,
        trouble: Trouble,
    ) -> Result<(), SmolStr> {
        let (id, at) = self.driver_of(node, hardware)?;
        let since = meta_v1::Time(ctx.epoch().timestamp(ctx.now().truncate_to_secs()));
        let since = serde_json::to_value(since).unwrap_or_default();
        if let Some(plugin) = self.plugin(id, at) {
            let trouble = match trouble {
                Trouble::Taint { key, value, effect } if key.is_empty() => Trouble::Taint {
                    key: format_smolstr!("{}/unhealthy", plugin.driver.name()),
                    value,
                    effect,
                },
                other => other,
            };
            plugin.trouble.insert(hardware.into(), (trouble, since));
        }
        self.publish(ctx, id, at);
        Ok(())
    }

    /// A device works again; `replaced` if it is another piece of hardware now.
    ///
    /// # Errors
    /// There is no such node or device.
    pub fn repair_device(
        &mut self,
        ctx: &mut Ctx<'_, Timer>,
        node: &str,
        hardware: &str,
        replaced: bool,
    ) -> Result<(), SmolStr> {
        let (id, at) = self.driver_of(node, hardware)?;
        if let Some(plugin) = self.plugin(id, at) {
            plugin.trouble.remove(hardware);
            if replaced {
                plugin.driver.replaced(hardware);
            }
        }
        self.publish(ctx, id, at);
        Ok(())
    }

    /// From now on a driver on a node fails to prepare claims; `None` = not any more.
    ///
    /// # Errors
    /// There is no such node or driver.
    pub fn fail_prepare(&mut self, node: &str, driver: &str, fault: Option<Fault>) -> Result<(), SmolStr> {
        let id = self.node_ids.get(node).copied().ok_or_else(|| format_smolstr!("no node {node}"))?;
        let drivers = self.nodes[id as usize].devices.as_mut().map_or(&mut [][..], |d| &mut d.drivers);
        let plugin = drivers.iter_mut().find(|p| p.driver.name() == driver);
        let plugin = plugin.ok_or_else(|| format_smolstr!("node {node} has no driver {driver}"))?;
        plugin.fault = fault;
        Ok(())
    }
}

/// A slice of a driver on a node: named after both, owned by the node.
fn meta_of(node: &Object, driver: &str) -> Meta {
    let owner = OwnerReference {
        api_version: SmolStr::new_static("v1"),
        kind: SmolStr::new_static("Node"),
        name: node.key().name.clone(),
        uid: node.meta.uid,
        controller: true,
        block_owner_deletion: false,
    };
    let mut meta = Meta::named(Key::default());
    meta.generate_name = format_smolstr!("{}-{driver}-", node.meta.name());
    meta.owner_references.push(owner);
    meta.uid = Uid::default();
    meta
}
