//! The engine: one clock, one order, components with three inputs and two outputs.

pub mod component;
pub mod kernel;
pub mod log;
pub mod queue;
pub mod random;
pub mod timing;
