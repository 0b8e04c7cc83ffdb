//! What outlives the daemon, in SQLite.

pub(crate) mod database;
pub mod known;
pub mod waves;
