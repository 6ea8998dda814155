//! Feature gates that change what is allocated (`structured/internal/types.go`).

use sim_core::features::{FeatureGates, Gate};

/// Which features are on. The default is Kubernetes 1.34's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// `DRAAdminAccess`.
    pub admin_access: bool,
    /// `DRAConsumableCapacity`.
    pub consumable_capacity: bool,
    /// `DRADeviceBindingConditions`.
    pub device_binding: bool,
    /// `DRAResourceClaimDeviceStatus`.
    pub device_status: bool,
    /// `DRADeviceTaints`.
    pub device_taints: bool,
    /// `DRAPartitionableDevices`.
    pub partitionable_devices: bool,
    /// `DRAPrioritizedList`.
    pub prioritized_list: bool,
}

impl Default for Features {
    fn default() -> Features {
        Features { admin_access: true, device_status: true, prioritized_list: true, ..Features::NONE }
    }
}

impl From<FeatureGates> for Features {
    fn from(gates: FeatureGates) -> Features {
        Features {
            admin_access: gates.on(Gate::DRAAdminAccess),
            consumable_capacity: gates.on(Gate::DRAConsumableCapacity),
            device_binding: gates.on(Gate::DRADeviceBindingConditions),
            device_status: gates.on(Gate::DRAResourceClaimDeviceStatus),
            device_taints: gates.on(Gate::DRADeviceTaints),
            partitionable_devices: gates.on(Gate::DRAPartitionableDevices),
            prioritized_list: gates.on(Gate::DRAPrioritizedList),
        }
    }
}

impl Features {
    /// All off.
    pub const NONE: Features = Features {
        admin_access: false,
        consumable_capacity: false,
        device_binding: false,
        device_status: false,
        device_taints: false,
        partitionable_devices: false,
        prioritized_list: false,
    };

    /// Exactly the gates of these names; others play no part here.
    pub fn from_gates<'a>(gates: impl IntoIterator<Item = &'a str>) -> Features {
        let mut features = Features::NONE;
        for gate in gates {
            match gate {
                "DRAAdminAccess" => features.admin_access = true,
                "DRAConsumableCapacity" => features.consumable_capacity = true,
                "DRADeviceBindingConditions" => features.device_binding = true,
                "DRAResourceClaimDeviceStatus" => features.device_status = true,
                "DRADeviceTaints" => features.device_taints = true,
                "DRAPartitionableDevices" => features.partitionable_devices = true,
                "DRAPrioritizedList" => features.prioritized_list = true,
                _ => {}
            }
        }
        features
    }

    /// Whether upstream takes its experimental allocator, which alone knows `distinctAttribute` and prefers devices without
    /// binding conditions. With the default gates it does, because of the device status.
    pub fn experimental(self) -> bool {
        self.consumable_capacity || self.device_binding || self.device_status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_of_the_cluster_are_the_features_of_their_names() {
        assert_eq!(Features::from(FeatureGates::default()), Features::default());
        for gate in Gate::ALL {
            let none = Gate::ALL.iter().fold(FeatureGates::default(), |gates, gate| gates.without(*gate));
            assert_eq!(Features::from(none.with(*gate)), Features::from_gates([gate.name()]), "{gate:?}");
        }
    }
}
