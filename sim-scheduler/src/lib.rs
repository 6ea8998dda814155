//! kube-scheduler.
pub mod cache;
pub mod config;
pub mod cycle;
mod float;
pub mod framework;
pub mod node;
pub mod plugins;
pub mod pod;
pub mod queue;
pub mod resources;
#[cfg(test)]
mod testing;
