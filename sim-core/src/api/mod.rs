//! The API server: objects, store, watches, admission.

pub mod admission;
pub mod defaults;
pub mod error;
pub mod kind;
pub mod list;
pub mod meta;
pub mod object;
pub mod patch;
pub mod pod_status;
pub mod request;
pub mod server;
pub mod store;
pub mod strategy;
pub mod validation;
pub mod watch;
pub mod wire;
