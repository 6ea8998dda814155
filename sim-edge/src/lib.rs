//! The edge of the simulation: scheduler extenders that are web services, as `extenders` of a KubeSchedulerConfiguration
//! names them.
//!
//! A simulated decision can ask a real extender: it is called over HTTP with upstream's JSON (feature `http`), while
//! virtual time stands still, and costs what `Timing` says. What it answers is put down on a cassette
//! (`Recording`), from which the run can be repeated without the service ([`Cassette`]), to the same digest.
//!
//! ```
//! use sim_edge::Cassette;
//! use sim_scheduler::config::SchedulerConfig;
//! use sim_scheduler::framework::Registry;
//! use sim_scheduler::Scheduler;
//!
//! let config = SchedulerConfig::from_json(serde_json::json!({
//!     "apiVersion": "kubescheduler.config.k8s.io/v1",
//!     "kind": "KubeSchedulerConfiguration",
//!     "extenders": [{"urlPrefix": "http://gpu-extender:8888", "filterVerb": "filter", "nodeCacheCapable": true}],
//! })).unwrap();
//! let cassette = Cassette::parse(r#"{"cassette":"wavetank.dev/extender/v1"}
//! {"extender":0,"url":"http://gpu-extender:8888/filter","request":{},"digest":"0","response":{"NodeNames":["n-1"]}}
//! "#).unwrap();
//! let scheduler = Scheduler::from_config_with_extenders(&config, &Registry::in_tree(), |number, extender| {
//!     cassette.extender(number, extender)
//! }).unwrap();
//! assert_eq!(scheduler.extenders().names().collect::<Vec<_>>(), ["http://gpu-extender:8888"]);
//! ```
//!
//! A replay is strict: the run must ask what was asked when the cassette was recorded, in the same order. The first
//! question that differs ends the run, and says in what.
//!
//! A service that is called cannot be in two runs at once, so a cluster with one cannot be forked: the fork ends where it
//! first needs an answer. A replay can be forked.

mod cassette;
mod difference;
#[cfg(feature = "http")]
mod http;
mod parts;
#[cfg(feature = "http")]
mod recording;
mod service;
mod wire;

pub use cassette::{Cassette, CassetteError};
#[cfg(feature = "http")]
pub use http::http_extender;
#[cfg(feature = "http")]
pub use recording::Recording;
