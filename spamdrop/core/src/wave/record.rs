//! What is kept of a wave.

use serde::{Deserialize, Serialize};

use super::sample::Totals;
use super::sources::Counts;

/// A wave, as `report --json` shows it and as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wave {
    /// When it began, in seconds since 1970.
    pub start_unix_s: u64,
    /// Seconds from there to when the server was last short of slots.
    pub length_s: f64,
    /// Whether it is not over yet.
    pub ongoing: bool,
    /// Whether nobody was refused: `admit = "observe"`.
    pub observed: bool,
    /// Connections that the server serves at once.
    pub slots: u32,
    /// The most connections that it held.
    pub peak_open: u32,
    /// The most of them that waited to be accepted.
    pub peak_waiting: u32,
    /// Who came.
    #[serde(flatten)]
    pub who: Counts,
    /// SYNs of the delayed that were not their first.
    pub repeats: u64,
    /// What was counted.
    #[serde(flatten)]
    pub totals: Totals,
    /// SYNs of known senders that were refused, or would have been: there
    /// must be none.
    pub known_delayed: u64,
    /// The longest time from a source's first refusal to its mail's
    /// acceptance; null: there was none.
    pub longest_wait_s: Option<f64>,
    /// As `longest_wait_s`, to a blocklist's rejection.
    pub longest_listed_wait_s: Option<f64>,
}

impl Wave {
    /// When it was over, in seconds since 1970.
    #[must_use]
    pub fn end_unix_s(&self) -> u64 {
        // Rounded up; a length is far from the limits of either.
        self.start_unix_s
            .saturating_add(self.length_s.ceil() as u64)
    }
}
