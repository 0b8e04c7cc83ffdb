//! Decides how the gate is set, from the occupancy of the mail server.

mod controller;
mod occupancy;

pub use controller::GateController;
pub use occupancy::Occupancy;
