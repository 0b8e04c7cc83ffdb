//! Log messages about refused commands, because a writer to the FIFO gets no answer.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use spamdrop_core::recent::CommandMistake;

use crate::clock;

/// Minimum time between two messages about commands that are refused for the same
/// reason.
const PERIOD: Duration = Duration::from_secs(1);

/// The reason for which a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum CommandRefusal {
    Malformed(CommandMistake),
    Protected,
    Failed,
}

/// When each reason was logged last.
#[derive(Debug, Default)]
pub(super) struct Complaints(HashMap<CommandRefusal, Instant>);

impl Complaints {
    /// Logs a refusal as a warning, but as a debug message if there was a warning for
    /// the same reason within the last [`PERIOD`].
    pub(super) fn log(&mut self, refusal: CommandRefusal, text: &str) {
        let now = clock::instant();
        let last = self.0.get(&refusal);
        if last.is_none_or(|last| now.duration_since(*last) >= PERIOD) {
            self.0.insert(refusal, now);
            log::warn!(target: "spamdrop::fifo", "fifo: {text}");
        } else {
            log::debug!(target: "spamdrop::fifo", "fifo: {text}");
        }
    }
}
