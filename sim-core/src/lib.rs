//! The engine and the API server of Wavetank: everything that every component shares.
//!
//! - [`engine`]: one clock, one ordered queue, the contract of components (three inputs, two outputs), named random
//!   streams, the hashed log, how long things take;
//! - [`api`]: objects, the store with its revisions and watches, the verbs, admission, defaulting, validation, patches, and
//!   the wire form;
//! - [`load`]: manifests, dumps and configuration files as typed values, with places in every error;
//! - [`features`]: the feature gates of the modelled version;
//! - [`quantity`], [`duration`], [`selectors`], [`int_or_string`], [`names`], [`syntax`], [`helpers`]: values and pure predicates that several components share.
//!
//! Invariant: nothing here knows a scheduler, a kubelet or a controller, reads the wall clock, or does I/O.
//!
//! ```
//! use sim_core::api::kind::Kind;
//! use sim_core::api::request::Request;
//! use sim_core::api::server::{ApiOptions, ApiServer, Moment};
//! use sim_core::engine::{log::Log, random::Seed};
//! use sim_core::load::{LoadOptions, Source, objects};
//! use sim_core::time::{Epoch, Time};
//!
//! let mut api = ApiServer::new(Seed(1), Epoch::default(), ApiOptions::default());
//! let manifest = Source::new("web.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: web}, \
//!     spec: {containers: [{name: main, image: nginx}]}}");
//! let mut log = Log::default();
//! for loaded in objects(&mut api.kinds, &[manifest], &LoadOptions::default()).unwrap().objects {
//!     let mut moment = Moment { now: Time::ZERO, log: &mut log };
//!     api.handle(&mut moment, Request::Create(Box::new(loaded.object))).unwrap();
//! }
//! assert_eq!(api.store.count(Kind::POD), 1);
//! assert_eq!(log.count(), 1);
//! ```

pub mod api;
pub mod duration;
pub mod engine;
pub mod features;
pub mod helpers;
pub mod int_or_string;
pub mod load;
pub mod names;
pub mod selectors;
pub mod time;
pub mod yaml_scalar;

pub use sim_values::{quantity, syntax};
