//! The wavetank command line.
fn main() {}
