//! The engine and the API server of Wavetank.

pub mod api;
pub mod engine;
pub mod helpers;
pub mod int_or_string;
pub mod load;
pub mod quantity;
pub mod selectors;
pub mod time;
pub mod validation;
pub mod yaml_scalar;
