//! Computes the state of the gate from the occupancy of the mail server.

mod controller;
mod occupancy;
mod share;
mod slots;
mod visibility;
mod waiting;

pub use controller::GateController;
pub use occupancy::Occupancy;
pub use slots::Slots;
pub use visibility::Visibility;
pub use waiting::{RefusedSyn, WaitingStrangers};
