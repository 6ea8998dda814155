//! Scenarios from recorded data.

mod openb;

pub use openb::{Imported, openb};
