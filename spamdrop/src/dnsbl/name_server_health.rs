//! Tracks unresponsive name servers, so that the resolver tries them last for a
//! while.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Consecutive unanswered queries after which a server counts as silent.
const MANY: u32 = 3;
/// How long a silent server is tried last.
const WHILE: Duration = Duration::from_secs(30);

/// The state of one name server.
#[derive(Debug, Default)]
pub(super) struct NameServerHealth {
    state: Mutex<ServerState>,
}

#[derive(Clone, Copy, Debug, Default)]
struct ServerState {
    /// Unanswered queries since the last answer.
    unanswered: u32,
    /// The time until which the server is tried last.
    silent_until: Option<Instant>,
}

impl NameServerHealth {
    /// Whether the server should be tried after the others. When its time is
    /// over, one query probes the server. The other queries avoid it until the
    /// probe is answered, or until `wait` has passed.
    pub fn is_lost(&self, now: Instant, wait: Duration) -> bool {
        self.with_state(|state| match state.silent_until {
            None => false,
            Some(until) if now < until => true,
            Some(_) => {
                state.silent_until = Some(now + wait);
                false
            }
        })
    }

    /// Records an answer, whatever its content.
    pub fn answered(&self) {
        self.with_state(|state| *state = ServerState::default());
    }

    /// Records that a query was not answered in time.
    pub fn timed_out(&self, now: Instant) {
        self.with_state(|state| {
            state.unanswered = state.unanswered.saturating_add(1);
            if state.unanswered >= MANY {
                state.silent_until = Some(now + WHILE);
            }
        });
    }

    fn with_state<T>(&self, job: impl FnOnce(&mut ServerState) -> T) -> T {
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
        // The probe is under way.
        assert!(is_lost(31) && is_lost(32));
        server.timed_out(after(33));
        assert!(is_lost(62));
        assert!(!is_lost(63));
        server.answered();
        assert!(!is_lost(63));
    }
}
