//! Computes the state of the gate from the occupancy of the mail server.

mod controller;
mod occupancy;
mod slots;
mod visibility;

pub use controller::GateController;
pub use occupancy::Occupancy;
pub use slots::Slots;
pub use visibility::Visibility;
