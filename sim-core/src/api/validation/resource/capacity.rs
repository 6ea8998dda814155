//! Capacities of devices, and the policies by which claims may take portions of them.

use k8s_openapi::api::resource::v1::{CapacityRequestPolicy, CapacityRequestPolicyRange, DeviceCapacity};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Wire;

use super::lists::{limit, unique};
use crate::api::validation::common::list;
use crate::api::validation::field::{Errors, Path, Shown};
use crate::quantity::Quantity;

const MOST_OPTIONS: usize = 10;

/// `validateMultiAllocatableDeviceCapacity` and `validateSingleAllocatableDeviceCapacity`.
pub(super) fn capacity(e: &mut Errors, path: &Path<'_>, capacity: &DeviceCapacity, shared: bool) {
    let Some(policy) = &capacity.request_policy else { return };
    let at = path.child("requestPolicy");
    if shared {
        request_policy(e, &at, &Quantity::from_wire(&capacity.value), policy);
    } else {
        e.forbidden(&at, "allowMultipleAllocations must be true");
    }
}

fn request_policy(e: &mut Errors, path: &Path<'_>, whole: &Quantity, policy: &CapacityRequestPolicy) {
    let options: Vec<Quantity> = list(&policy.valid_values).iter().map(Quantity::from_wire).collect();
    let default = policy.default.as_ref().map(Quantity::from_wire);
    let missing = |field: &str| format!("required when {field} is defined");
    match (options.as_slice(), &policy.valid_range, default) {
        ([_, ..], Some(_), _) => {
            let detail = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";
            e.forbidden(path, detail);
        }
        ([], None, _) => {}
        ([], Some(_), None) => e.required(&path.child("default"), &missing("validRange")),
        (_, None, None) => e.required(&path.child("default"), &missing("validValues")),
        ([], Some(range), Some(default)) => valid_range(e, &path.child("validRange"), &default, whole, range),
        (options, None, Some(default)) => {
            valid_values(e, &path.child("validValues"), &default, whole, options)
        }
    }
}

fn valid_values(e: &mut Errors, path: &Path<'_>, default: &Quantity, whole: &Quantity, options: &[Quantity]) {
    for (i, pair) in options.windows(2).enumerate().filter(|(_, pair)| pair[0] > pair[1]) {
        e.invalid(&path.index(i + 1), &pair[1].to_string(), "values must be sorted in ascending order");
    }
    for (i, option) in options.iter().enumerate().filter(|(_, option)| *option > whole) {
        let detail = format!("option is larger than capacity value: {whole}");
        e.invalid(&path.index(i), &option.to_string(), &detail);
    }
    limit(e, path, options, MOST_OPTIONS);
    let shown = |units: &i64| Shown::from(&units.to_string());
    unique(e, path, "", options.iter().map(Quantity::value), shown);
    if !options.contains(default) {
        let detail = "default value is not valid according to the requestPolicy";
        e.invalid(path, &default.to_string(), detail);
    }
}

fn valid_range(
    e: &mut Errors,
    path: &Path<'_>,
    default: &Quantity,
    whole: &Quantity,
    range: &CapacityRequestPolicyRange,
) {
    let at = path.child("min");
    if range.min.0.is_empty() {
        return e.required(&at, "required when validRange is defined");
    }
    let read = |wire: &Option<Wire>| wire.as_ref().map(Quantity::from_wire);
    let (min, max) = (Quantity::from_wire(&range.min), read(&range.max));
    let mut refuse = |at: &Path<'_>, value: &Quantity, detail: String| {
        e.invalid(at, &value.to_string(), &detail);
    };
    if min > *whole {
        refuse(&at, &min, format!("min is larger than capacity value: {whole}"));
    }
    if *default < min {
        refuse(&at, default, format!("default is less than min: {min}"));
    }
    if let Some(max) = &max {
        let at = path.child("max");
        if min > *max {
            refuse(&at, &min, format!("min is larger than max: {max}"));
        }
        if *max > *whole {
            refuse(&at, max, format!("max is larger than capacity value: {whole}"));
        }
        if default > max {
            refuse(&at, default, format!("default is more than max: {max}"));
        }
    }
    if let Some(step) = read(&range.step) {
        let at = path.child("step");
        let mut next = min.clone();
        next.add(&step);
        if next > *whole {
            refuse(&at, &step, format!("one step {next} is larger than capacity value: {whole}"));
        }
        for value in [Some(default), max.as_ref()].into_iter().flatten() {
            let above = value.value().wrapping_sub(min.value());
            // DIFFERS: a step of zero is no multiple of anything here; upstream's division by it panics.
            if above.checked_rem(step.value()).is_none_or(|rest| rest != 0) {
                refuse(&at, value, format!("value is not a multiple of a given step ({step}) from ({min})"));
            }
        }
    }
}
