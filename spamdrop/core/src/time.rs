//! The two clocks, as values that the caller has read.

use std::time::{Duration, SystemTime};

/// A point in time, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The clock of the log's stamps.
    pub wall: SystemTime,
    /// Time since some fixed point; never steps. A replay counts it from its
    /// first line.
    pub mono: Duration,
}
