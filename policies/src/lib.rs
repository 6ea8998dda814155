//! Scheduler plugins that live outside the scheduler: worked examples and studies.
//!
//! Each is a type with the traits of the extension points that it takes part in, added to a profile with one line:
//!
//! ```
//! use policies::headroom::Headroom;
//! use sim_scheduler::Scheduler;
//! use sim_scheduler::framework::{Profile, plugin};
//!
//! let profile = Profile::default_profile().with(plugin(Headroom { percent: 20 }).filter());
//! let scheduler = Scheduler::new(vec![profile]);
//! assert_eq!(scheduler.profiles().len(), 1);
//! ```

pub mod coscheduling;
pub mod headroom;

pub use coscheduling::Coscheduling;

/// Makes the plugins of this crate that have arguments of their own known to configurations.
pub fn register(registry: &mut sim_scheduler::framework::Registry) {
    Coscheduling::register(registry);
}
