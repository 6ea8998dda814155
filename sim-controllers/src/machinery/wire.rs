//! Between virtual time and the wire's `metav1.Time`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1;
use sim_core::time::{Epoch, Time};

/// An instant as a status has it: whole seconds.
pub fn wire(epoch: Epoch, at: Time) -> v1::Time {
    v1::Time(epoch.timestamp(at.truncate_to_secs()))
}

/// The instant of a wire time.
pub fn instant(epoch: Epoch, at: &v1::Time) -> Time {
    epoch.time_of(at.0)
}
