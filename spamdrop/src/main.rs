//! The `spamdrop` command.

fn main() {}
