//! How full the mail server is, and what the gate is told of it.

pub mod keeper;
pub mod occupancy;
pub mod slots;

pub use keeper::Keeper;
pub use occupancy::Occupancy;
