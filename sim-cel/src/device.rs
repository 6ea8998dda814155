//! The variable of device selectors, as expressions see it (`k8s.io/dynamic-resource-allocation/cel/compile.go`).

use crate::env::{Decl, Env};
use crate::types::Type;

/// The type of `device`.
pub const DEVICE: &str = "kubernetes.DRADevice";

/// Most cost units of one evaluation, estimated or real (`CELSelectorExpressionMaxCost`).
pub const MAX_COST: u64 = 1_000_000;

/// Limits of the API that bound what a selector can cost.
const MAX_ATTRIBUTE: u64 = 64;
const MAX_DOMAIN: u64 = 63;
const MAX_ID: u64 = 32;
const MAX_DRIVER: u64 = 63;
const MAX_ATTRIBUTES: u64 = 32;

impl Env {
    /// For selectors that are stored already, which is what allocation evaluates: every field of devices is known, whatever the
    /// features are, so that turning one off does not break stored expressions.
    pub fn stored_device_selectors() -> Env {
        with_device(Env::kubernetes(), true)
    }

    /// For selectors that are written now: `device.allowMultipleAllocations` is known only with the feature
    /// `DRAConsumableCapacity`.
    ///
    /// ```
    /// use sim_cel::Env;
    /// assert!(Env::new_device_selectors(false).compile_condition("[2, 1].sort()[0] == 1").is_err());
    /// assert!(Env::stored_device_selectors().compile_condition("[2, 1].sort()[0] == 1").is_ok());
    /// ```
    pub fn new_device_selectors(consumable_capacity: bool) -> Env {
        with_device(Env::kubernetes().for_new_expressions(), consumable_capacity)
    }
}

fn with_device(env: Env, consumable_capacity: bool) -> Env {
    env.with_sized_variable("device", device_type(consumable_capacity), device_type(true))
}

fn device_type(consumable_capacity: bool) -> Decl {
    let text = |max| Decl::scalar(Type::String, max);
    let attribute = Decl::scalar(Type::Any, MAX_ATTRIBUTE);
    let attributes = Decl::map(text(MAX_ID), attribute, MAX_ATTRIBUTES).selectable();
    let quantity = Decl::scalar(Type::object("kubernetes.Quantity"), 0);
    let capacity = Decl::map(text(MAX_ID), quantity, MAX_ATTRIBUTES);
    let mut fields = vec![
        ("driver", text(MAX_DRIVER)),
        ("attributes", Decl::map(text(MAX_DOMAIN), attributes, MAX_ATTRIBUTES)),
        ("capacity", Decl::map(text(MAX_DOMAIN), capacity, MAX_ATTRIBUTES)),
    ];
    if consumable_capacity {
        fields.push(("allowMultipleAllocations", Decl::scalar(Type::Bool, 1)));
    }
    Decl::object(DEVICE, fields)
}
