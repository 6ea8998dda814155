//! Drivers of the devices of pools.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::Object;
use sim_core::engine::timing::Timing;
use sim_dra::driver::{
    Driver, GPU_DRIVER, GpuGroup, Gpus, IMEX_DRIVER, Imex, NIC_DRIVER, Nics, PRODUCTS, Product, Service,
    Sharing,
};
use smol_str::SmolStr;

use crate::format::nearest::nearest;
use crate::format::{DelaySpec, DeviceSpec, SharingSpec};

/// The drivers of each node that has devices.
pub type Drivers = BTreeMap<SmolStr, Arc<[Box<dyn Driver>]>>;

/// Most devices of one entry: a slice has room for no more.
const MOST_DEVICES: u32 = 128;

/// What is wrong with an entry: a field and a text.
pub(super) fn check(spec: &DeviceSpec) -> Result<(), (&'static str, String)> {
    let DeviceSpec { model, count, sharing, failures, .. } = spec;
    let product = Product::named(model);
    if product.is_none() && !["nic", "imex"].contains(&model.as_str()) {
        let known: Vec<&str> = PRODUCTS.iter().map(|p| p.key).chain(["nic", "imex"]).collect();
        let hint =
            nearest(model, known.iter().copied()).map_or(String::new(), |n| format!(", did you mean `{n}`"));
        return Err(("model", format!("no device `{model}`{hint}; there are {}", known.join(", "))));
    }
    if !(1..=MOST_DEVICES).contains(count) {
        return Err(("count", format!("{count} is not between 1 and {MOST_DEVICES}")));
    }
    let ways = match sharing {
        SharingSpec::Exclusive => 1,
        _ if product.is_none() => return Err(("sharing", format!("`{model}` is not a GPU"))),
        SharingSpec::Mig if product.is_some_and(|p| p.mig.is_empty()) => {
            return Err(("sharing", format!("no MIG partitions of `{model}` are known here")));
        }
        SharingSpec::Mig => 1,
        SharingSpec::TimeSlicing(ways) | SharingSpec::Mps(ways) => *ways,
    };
    if !(1..=100).contains(&ways) {
        return Err(("sharing", format!("{ways} is not between 1 and 100")));
    }
    if failures.is_some_and(|part| !(0.0..=1.0).contains(&part)) {
        return Err(("failures", "not a number between 0 and 1".to_owned()));
    }
    Ok(())
}

/// How long a driver takes: as the entries say, the last of them wins.
fn service<'a>(specs: impl Iterator<Item = &'a DeviceSpec>, timing: &Timing) -> Service {
    // A run in which nothing takes time has drivers that take none.
    let mut out = if *timing == Timing::instant() { Service::INSTANT } else { Service::TYPICAL };
    for spec in specs {
        let fields = [
            (&mut out.prepare, spec.prepare),
            (&mut out.unprepare, spec.unprepare),
            (&mut out.set_up, spec.set_up),
        ];
        for (field, value) in fields {
            if let Some(DelaySpec(delay)) = value {
                *field = delay;
            }
        }
        out.failures = spec.failures.unwrap_or(out.failures);
    }
    out
}

/// The drivers of a node with these devices, all of which have been checked.
pub(super) fn drivers(specs: &[DeviceSpec], timing: &Timing) -> Arc<[Box<dyn Driver>]> {
    let mut out: Vec<Box<dyn Driver>> = Vec::new();
    let group = |spec: &DeviceSpec| {
        let sharing = match spec.sharing {
            SharingSpec::Exclusive => Sharing::Exclusive,
            SharingSpec::Mig => Sharing::Mig,
            SharingSpec::TimeSlicing(ways) => Sharing::TimeSlicing(ways),
            SharingSpec::Mps(ways) => Sharing::Mps(ways),
        };
        Some(GpuGroup { product: Product::named(&spec.model)?, count: spec.count as usize, sharing })
    };
    let groups: Vec<GpuGroup> = specs.iter().filter_map(group).collect();
    if !groups.is_empty() {
        let own = specs.iter().filter(|s| Product::named(&s.model).is_some());
        out.push(Box::new(Gpus::new(groups, service(own, timing))));
    }
    for (model, make) in [
        (
            "nic",
            (|n, s| Box::new(Nics::new(n, s)) as Box<dyn Driver>) as fn(usize, Service) -> Box<dyn Driver>,
        ),
        ("imex", |n, s| Box::new(Imex::new(n, s))),
    ] {
        let own = || specs.iter().filter(|s| s.model == model);
        let count: usize = own().map(|s| s.count as usize).sum();
        if count > 0 {
            out.push(make(count, service(own(), timing)));
        }
    }
    out.into()
}

/// The classes that come with the drivers of some nodes, as their charts install them.
pub(super) fn classes(drivers: &Drivers) -> Vec<Object> {
    let mut names: Vec<&str> = drivers.values().flat_map(|all| all.iter().map(|d| d.name())).collect();
    names.sort_unstable();
    names.dedup();
    let typed = |driver: &str, kind: &str| {
        format!("device.driver == '{driver}' && device.attributes['{driver}'].type == '{kind}'")
    };
    let of = |driver: &str| match driver {
        GPU_DRIVER => {
            vec![("gpu.nvidia.com", typed(driver, "gpu")), ("mig.nvidia.com", typed(driver, "mig"))]
        }
        IMEX_DRIVER => vec![
            ("compute-domain-daemon.nvidia.com", typed(driver, "daemon")),
            (
                "compute-domain-default-channel.nvidia.com",
                format!("{} && device.attributes['{driver}'].id == 0", typed(driver, "channel")),
            ),
        ],
        NIC_DRIVER => vec![("dra.net", format!("device.driver == '{driver}'"))],
        _ => Vec::new(),
    };
    let class = |(name, expression): (&str, String)| {
        let body = json!({"spec": {"selectors": [{"cel": {"expression": expression}}]}});
        Object::json(Kind::DEVICE_CLASS, Meta::named(Key::cluster(name)), body)
    };
    names.into_iter().flat_map(of).map(class).collect()
}
