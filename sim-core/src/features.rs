//! Feature gates: which parts of Kubernetes are switched on (`pkg/features/kube_features.go`).
//!
//! Only gates that change something here are known; their defaults are those of v1.34. One set holds for the whole cluster,
//! as a careful administrator would have it.

use std::fmt;

macro_rules! gates {
    ($($variant:ident = $default:literal: $doc:literal;)*) => {
        /// A feature gate, under its name upstream.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Gate { $(#[doc = $doc] $variant,)* }

        impl Gate {
            /// All gates, in order of their names.
            pub const ALL: &'static [Gate] = &[$(Gate::$variant),*];

            /// The name upstream.
            pub const fn name(self) -> &'static str {
                match self { $(Gate::$variant => stringify!($variant)),* }
            }

            /// True if it is on by default in v1.34.
            pub const fn default_on(self) -> bool {
                match self { $(Gate::$variant => $default),* }
            }
        }
    };
}

gates! {
    DRAAdminAccess = true: "Devices for administration, whoever else has them (KEP-5018).";
    DRAConsumableCapacity = false: "Devices that several claims share by portions of their capacity (KEP-5075).";
    DRADeviceBindingConditions = false: "Binding waits for conditions of devices (KEP-5007).";
    DRADeviceTaints = false: "Taints of devices, tolerations and eviction (KEP-5055).";
    DRAExtendedResource = false: "Extended resources that mean a DeviceClass (KEP-5004).";
    DRAPartitionableDevices = false: "Devices that consume shared counters (KEP-4815).";
    DRAPrioritizedList = true: "Requests with alternatives, `firstAvailable` (KEP-4816).";
    DRAResourceClaimDeviceStatus = true: "`status.devices` of claims (KEP-4817).";
    DRASchedulerFilterTimeout = true: "A limit for the search for devices on one node.";
    HPAConfigurableTolerance = false: "Autoscalers with a tolerance of their own for each direction (KEP-4951).";
}

/// Which gates are on. The default is v1.34's.
///
/// ```
/// use sim_core::features::{FeatureGates, Gate};
/// let mut gates = FeatureGates::default();
/// assert!(gates.on(Gate::DRAAdminAccess) && !gates.on(Gate::DRADeviceTaints));
/// gates.set_by_name("DRADeviceTaints", true)?;
/// assert!(gates.on(Gate::DRADeviceTaints));
/// assert!(gates.set_by_name("DRADeviceTaint", true).unwrap_err().to_string().contains("DRADeviceTaints"));
/// # Ok::<(), sim_core::features::UnknownGate>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FeatureGates(u64);

/// No gate of this name changes anything here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("feature gate `{0}` changes nothing here; those that do: {known}", known = Gate::ALL.iter().map(|g| g.name()).collect::<Vec<_>>().join(", "))]
pub struct UnknownGate(pub String);

impl Default for FeatureGates {
    fn default() -> FeatureGates {
        Gate::ALL
            .iter()
            .filter(|gate| gate.default_on())
            .fold(FeatureGates(0), |gates, &gate| gates.with(gate))
    }
}

impl FeatureGates {
    /// True if a gate is on.
    pub const fn on(self, gate: Gate) -> bool {
        self.0 & (1 << gate as u64) != 0
    }

    /// With one more gate on.
    #[must_use]
    pub const fn with(self, gate: Gate) -> FeatureGates {
        FeatureGates(self.0 | 1 << gate as u64)
    }

    /// With one more gate off.
    #[must_use]
    pub const fn without(self, gate: Gate) -> FeatureGates {
        FeatureGates(self.0 & !(1 << gate as u64))
    }

    /// Switches the gate of a name.
    ///
    /// # Errors
    /// There is none of that name here.
    pub fn set_by_name(&mut self, name: &str, on: bool) -> Result<(), UnknownGate> {
        let gate =
            *Gate::ALL.iter().find(|gate| gate.name() == name).ok_or_else(|| UnknownGate(name.into()))?;
        *self = if on { self.with(gate) } else { self.without(gate) };
        Ok(())
    }
}

impl fmt::Debug for FeatureGates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Gate::ALL.iter().filter(|gate| self.on(**gate))).finish()
    }
}
