//! Exim's settings: what `exim -bP config` prints, which has the macros
//! replaced, or a configuration file without macros (spec.txt, "The runtime
//! configuration file" and "Access control lists").

mod acl;
mod config;
mod dnslists;
mod list;
mod recipients;
mod settings;

pub use settings::{EximTexts, read};

#[cfg(test)]
mod tests;
