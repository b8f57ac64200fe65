//! The service and its commands.
fn main() {}
