//! Builds, tests and shows spamdrop.
fn main() {}
