//! Name servers that do not answer are asked last for a while.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Questions in a row without an answer, after which a server counts as
/// silent.
const MANY: u32 = 3;
/// For how long it is asked last then.
const WHILE: Duration = Duration::from_secs(30);

/// What is known of a name server.
#[derive(Debug, Default)]
pub(super) struct NameServerHealth {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Questions without an answer since the last one with one.
    unanswered: u32,
    /// Until then it is asked last.
    silent_until: Option<Instant>,
}

impl NameServerHealth {
    /// Whether the server is to be asked after the others. When its time is
    /// over, one question tries it; the rest go on to the others until that is
    /// answered, or was not within `wait`.
    pub fn is_lost(&self, now: Instant, wait: Duration) -> bool {
        self.with(|state| match state.silent_until {
            None => false,
            Some(until) if now < until => true,
            Some(_) => {
                state.silent_until = Some(now + wait);
                false
            }
        })
    }

    /// Notes an answer, whatever it says.
    pub fn answered(&self) {
        self.with(|state| *state = State::default());
    }

    /// Notes that a question was not answered in time.
    pub fn timed_out(&self, now: Instant) {
        self.with(|state| {
            state.unanswered = state.unanswered.saturating_add(1);
            if state.unanswered >= MANY {
                state.silent_until = Some(now + WHILE);
            }
        });
    }

    fn with<T>(&self, job: impl FnOnce(&mut State) -> T) -> T {
        job(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(1500);

    #[test]
    fn a_silent_server_is_tried_again_by_one_question() {
        let (start, server) = (Instant::now(), NameServerHealth::default());
        let after = |seconds| start + Duration::from_secs(seconds);
        let is_lost = |seconds| server.is_lost(after(seconds), WAIT);
        server.timed_out(after(1));
        server.timed_out(after(1));
        server.answered();
        server.timed_out(after(1));
        server.timed_out(after(1));
        assert!(!is_lost(1));
        server.timed_out(after(1));
        assert!(is_lost(2) && is_lost(30));
        assert!(!is_lost(31));
        // That one is under way.
        assert!(is_lost(31) && is_lost(32));
        server.timed_out(after(33));
        assert!(is_lost(62));
        assert!(!is_lost(63));
        server.answered();
        assert!(!is_lost(63));
    }
}
