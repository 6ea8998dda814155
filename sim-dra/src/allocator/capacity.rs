//! Portions of devices that several claims share (`consumable_capacity.go`).

use std::collections::BTreeMap;

use sim_core::quantity::{Format, Quantity};
use smol_str::SmolStr;

use crate::api::{
    CapacityRequestPolicy, CapacityRequestPolicyRange, CapacityRequirements, Device, DeviceCapacity,
};

/// Amounts by name.
pub type Consumed = BTreeMap<SmolStr, Quantity>;

/// Whether a request can be met with what is left of a device; false also for what the device does not have.
pub(crate) fn fits(
    request: Option<&CapacityRequirements>,
    device: &Device,
    allocated: Option<&Consumed>,
    allocating: Option<&Consumed>,
) -> bool {
    let requests = request.and_then(|request| request.requests.as_ref());
    if requests.is_some_and(|requests| requests.keys().any(|name| !device.capacity.contains_key(name))) {
        return false;
    }
    device.capacity.iter().all(|(name, capacity)| {
        let mut total = consumption(requests.and_then(|requests| requests.get(name)), capacity);
        if capacity.request_policy.as_ref().is_some_and(|policy| violates(&total, policy)) {
            return false;
        }
        for taken in [allocated, allocating].into_iter().flatten().filter_map(|taken| taken.get(name)) {
            total.add(taken);
        }
        total <= capacity.value
    })
}

/// What a request takes of all capacities of a device.
pub(crate) fn consumed(request: Option<&CapacityRequirements>, device: &Device) -> Consumed {
    let requests = request.and_then(|request| request.requests.as_ref());
    let one = |(name, capacity): (&SmolStr, &DeviceCapacity)| {
        (name.clone(), consumption(requests.and_then(|requests| requests.get(name)), capacity))
    };
    device.capacity.iter().map(one).collect()
}

fn consumption(requested: Option<&Quantity>, capacity: &DeviceCapacity) -> Quantity {
    let policy = capacity.request_policy.as_ref();
    let Some(requested) = requested else {
        return policy.and_then(|policy| policy.default.as_ref()).unwrap_or(&capacity.value).clone();
    };
    let Some(policy) = policy else { return requested.clone() };
    match (&policy.valid_range, &policy.valid_values) {
        (Some(range @ CapacityRequestPolicyRange { min: Some(min), .. }), _) => {
            round_up(requested, min, range)
        }
        (_, Some(values)) => values.iter().find(|value| requested <= value).unwrap_or(requested).clone(),
        _ => requested.clone(),
    }
}

fn round_up(requested: &Quantity, min: &Quantity, range: &CapacityRequestPolicyRange) -> Quantity {
    if requested < min {
        return min.clone();
    }
    let Some(step) = range.step.as_ref().map(Quantity::value).filter(|step| *step != 0) else {
        return requested.clone();
    };
    let (requested, min) = (requested.value(), min.value());
    let added = requested.wrapping_sub(min);
    let mut steps = added.wrapping_div(step);
    if added.wrapping_rem(step) != 0 {
        steps = steps.wrapping_add(1);
    }
    Quantity::new(min.wrapping_add(step.wrapping_mul(steps)), Format::BinarySI)
}

fn violates(consumed: &Quantity, policy: &CapacityRequestPolicy) -> bool {
    if policy.default.as_ref().is_some_and(|default| consumed.identical(default)) {
        return false;
    }
    if let Some(range) = &policy.valid_range {
        if range.max.as_ref().is_some_and(|max| consumed > max) {
            return true;
        }
        let step = range.step.as_ref().map(Quantity::value).filter(|step| *step != 0);
        // A range with steps has a least value; upstream would not survive its absence.
        let min = range.min.as_ref().map_or(0, Quantity::value);
        return step.is_some_and(|step| consumed.value().wrapping_sub(min).wrapping_rem(step) != 0);
    }
    let values = policy.valid_values.as_deref().unwrap_or_default();
    !values.is_empty() && values.iter().all(|value| value != consumed)
}
