//! How full the mail server is, and what the gate is told of it.

mod controller;
mod occupancy;

pub use controller::GateController;
pub use occupancy::Occupancy;
