//! Computes the state of the gate from the occupancy of the mail server.

mod controller;
mod handed_over;
mod logged_connections;
mod occupancy;
mod schedule;
mod share;
mod slots;
mod visibility;
mod waiting;

pub(crate) use controller::LIMITS;
pub use controller::{GateController, limits};
pub use handed_over::HandedOver;
pub use logged_connections::{ASSUMED, ConnectionEnds, LoggedConnections};
pub use occupancy::Occupancy;
pub use schedule::CountSchedule;
pub use slots::Slots;
pub use visibility::Visibility;
pub use waiting::{RefusedSyn, WaitingStrangers, WhenFull};
