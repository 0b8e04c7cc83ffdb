//! One line a minute about what was done, for the daemon's log.

use std::time::Duration;

use crate::duration::human;
use crate::status::{ActiveGateMode, DaemonState};

/// How often a line is due.
const PERIOD: Duration = Duration::from_secs(60);

/// Compares the state of the daemon with that of a minute ago.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    since: Duration,
    told: SummaryFigures,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SummaryFigures {
    blocks: u64,
    released: u64,
    refused: u64,
    answered: u64,
}

impl SummaryFigures {
    fn of_state(state: &DaemonState) -> Self {
        let event = |name| state.events.get(name).copied().unwrap_or_default();
        // `blocked` includes the blocks that could not be written; `failed` counts those.
        let by_log = event("blocked").saturating_sub(event("failed"));
        let by_fifo = state.fifo.as_ref().map_or(0, |fifo| fifo.added);
        let refused = state.gate.iter().flat_map(|gate| gate.refused);
        Self {
            blocks: by_log.saturating_add(by_fifo),
            released: state.released,
            refused: refused.fold(0, u64::saturating_add),
            answered: state.responder.as_ref().map_or(0, |it| it.answered),
        }
    }

    /// The difference from older figures. A figure that is lower than before has
    /// restarted at 0.
    fn since(self, old: Self) -> Self {
        let step = |new: u64, old| new.checked_sub(old).unwrap_or(new);
        Self {
            blocks: step(self.blocks, old.blocks),
            released: step(self.released, old.released),
            refused: step(self.refused, old.refused),
            answered: step(self.answered, old.answered),
        }
    }
}

impl Summary {
    /// A summary whose first minute begins at `now`, a reading of `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn new(now: Duration) -> Self {
        Self {
            since: now,
            told: SummaryFigures::default(),
        }
    }

    /// Ignores what the filter counted before the daemon started.
    pub fn skip(&mut self, state: &DaemonState) {
        self.told.refused = SummaryFigures::of_state(state).refused;
    }

    /// A line once a minute, if anything was done in it.
    pub fn poll(&mut self, state: &DaemonState, now: Duration) -> Option<String> {
        match now.saturating_sub(self.since) < PERIOD {
            true => None,
            false => self.take(state, now),
        }
    }

    /// A line about everything since the last one.
    pub fn take(&mut self, state: &DaemonState, now: Duration) -> Option<String> {
        let length = human(now.saturating_sub(self.since));
        let figures = SummaryFigures::of_state(state);
        let step = figures.since(self.told);
        (self.since, self.told) = (now, figures);
        if step == SummaryFigures::default() {
            return None;
        }
        let mut parts = vec![format!(
            "blocked or renewed {}, {}",
            count(step.blocks, "time"),
            count(step.released, "connection") + " ended"
        )];
        if let Some(gate) = &state.gate {
            let verb = match gate.mode {
                ActiveGateMode::Observe => "would have been refused",
                ActiveGateMode::On => "refused",
            };
            parts.push(format!(
                "{} of strangers {verb}, {} of {} slots in use",
                count(step.refused, "SYN"),
                gate.open,
                gate.slots
            ));
        }
        if state.responder.is_some() {
            parts.push(count(step.answered, "recipient") + " rejected by the responder");
        }
        Some(format!("in the last {length}: {}", parts.join(", ")))
    }
}

fn count(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{FifoState, GateState, ResponderState};

    fn moment(seconds: u64) -> Duration {
        Duration::from_secs(1_000 + seconds)
    }

    fn state(blocked: u64, released: u64) -> DaemonState {
        DaemonState {
            events: [("blocked".to_owned(), blocked)].into(),
            released,
            ..DaemonState::default()
        }
    }

    #[test]
    fn a_line_a_minute_says_what_was_done_in_it() {
        let mut summary = Summary::new(moment(0));
        assert_eq!(summary.poll(&state(0, 0), moment(60)), None);
        for second in 61..120 {
            assert_eq!(summary.poll(&state(34, 1), moment(second)), None);
        }
        let line = summary.poll(&state(34, 1), moment(120));
        let expected = "in the last 1m: blocked or renewed 34 times, 1 connection ended";
        assert_eq!(line.as_deref(), Some(expected));
        assert_eq!(summary.poll(&state(34, 1), moment(180)), None);
        // The daemon ends within a minute.
        let line = summary.take(&state(35, 1), moment(192));
        let expected = "in the last 12s: blocked or renewed 1 time, 0 connections ended";
        assert_eq!(line.as_deref(), Some(expected));
        assert_eq!(summary.take(&state(35, 1), moment(193)), None);
    }

    #[test]
    fn the_gate_the_responder_and_the_fifo_have_their_parts() {
        let gate = |mode, refused| GateState {
            mode,
            open: 38,
            slots: 40,
            refused: [0, 12, refused],
            ..GateState::default()
        };
        let mut summary = Summary::new(moment(0));
        let mut state = DaemonState {
            gate: Some(gate(ActiveGateMode::Observe, 100)),
            ..state(5, 0)
        };
        // The filter has counted before the daemon began.
        summary.skip(&state);
        state.gate = Some(gate(ActiveGateMode::Observe, 220));
        state.events.insert("failed".to_owned(), 1);
        state.fifo = Some(FifoState {
            added: 2,
            ..FifoState::default()
        });
        let line = summary.poll(&state, moment(60));
        let expected = "in the last 1m: blocked or renewed 6 times, 0 connections ended, \
                        120 SYNs of strangers would have been refused, 38 of 40 slots in use";
        assert_eq!(line.as_deref(), Some(expected));
        // The filter was attached anew.
        state.gate = Some(gate(ActiveGateMode::On, 0));
        state.responder = Some(ResponderState {
            answered: 9,
            ..ResponderState::default()
        });
        let line = summary.poll(&state, moment(120));
        let expected = "in the last 1m: blocked or renewed 0 times, 0 connections ended, \
                        12 SYNs of strangers refused, 38 of 40 slots in use, \
                        9 recipients rejected by the responder";
        assert_eq!(line.as_deref(), Some(expected));
    }
}
