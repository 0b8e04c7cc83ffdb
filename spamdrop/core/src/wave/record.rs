//! The totals of a wave.

use serde::{Deserialize, Serialize};

use super::sample::Totals;
use super::sources::SourceCounts;

/// A wave, as `report --json` prints it and as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wave {
    /// The start, in seconds since 1970.
    pub start_unix_s: u64,
    /// Seconds from the start to the last shortage of slots or refusal.
    pub length_s: f64,
    /// Whether the wave has not ended yet.
    pub ongoing: bool,
    /// Whether refusals were only counted: `admit = "observe"`.
    pub observed: bool,
    /// Number of connections that the server can serve at once.
    pub slots: u32,
    /// The maximum number of connections that the server held.
    pub peak_open: u32,
    /// The maximum number of connections that waited to be accepted.
    pub peak_waiting: u32,
    /// The counts of sources.
    #[serde(flatten)]
    pub who: SourceCounts,
    /// SYNs of delayed sources, without the first SYN of each.
    pub repeats: u64,
    /// The counts of SYNs, packets and blocks.
    #[serde(flatten)]
    pub totals: Totals,
    /// SYNs of known senders that were refused, or would have been. Must be 0.
    pub known_delayed: u64,
    /// The longest time from a source's first refusal to the acceptance of its
    /// mail; `null` if there is no such source.
    pub longest_wait_s: Option<f64>,
    /// The longest time from a listed source's first refusal to its rejection;
    /// `null` if there is no such source.
    pub longest_listed_wait_s: Option<f64>,
    /// The longest waits of wanted mail, at most 100, in the order in which they
    /// began.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<WantedWait>,
}

/// How long a source had to wait whose mail was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WantedWait {
    /// Seconds from the start of the wave to the first refusal of the source.
    pub at_s: f64,
    /// Seconds from that refusal to the acceptance of the source's mail.
    pub wait_s: f64,
}

impl Wave {
    /// The end, in seconds since 1970.
    #[must_use]
    pub fn end_unix_s(&self) -> u64 {
        // Rounded up. A length is far below the limits of both types.
        self.start_unix_s
            .saturating_add(self.length_s.ceil() as u64)
    }
}
