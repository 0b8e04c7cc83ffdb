//! Whether the mail server's connections can be seen in this network namespace.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Occupancy;
use crate::listeners::ListenerWatch;

/// Number of minutes with connections in the log, and none in the kernel, after
/// which the server seems to run in another network namespace.
const UNSEEN: usize = 20;
/// The period in which these minutes must be.
const PERIOD: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);

/// The evidence that the mail server's connections exist here.
#[derive(Clone, Debug, Default)]
pub struct Visibility {
    listeners: ListenerWatch,
    /// The last minutes in which the log told of connections, since the kernel last
    /// showed one.
    unseen: VecDeque<Instant>,
    /// Number of connections that this network namespace has accepted, when
    /// the log last told of one.
    accepted: Option<u64>,
    /// When [`Visibility::logged`] was called last.
    last_logged: Option<Instant>,
}

impl Visibility {
    /// Takes a sample of the sockets.
    pub fn sample(&mut self, seen: Occupancy, now: Instant) {
        self.listeners.sample(seen.listeners > 0, now);
        if seen.open > 0 {
            self.unseen.clear();
        }
    }

    /// Whether the next connection of the log is to be recorded: one a minute,
    /// because many lines of one minute may be those of a short connection.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        let is_old = |last| now.saturating_duration_since(last) >= MINUTE;
        self.last_logged.is_none_or(is_old)
    }

    /// Records that the log tells of a connection, if that
    /// [is due](Self::is_due). `accepted`: the number of
    /// connections that this network namespace has accepted so far, on any
    /// port; `None` if it is unknown. That number includes connections that were
    /// too short for a sample.
    pub fn logged(&mut self, accepted: Option<u64>, now: Instant) {
        self.last_logged = Some(now);
        if accepted.is_none() || self.accepted != accepted {
            self.accepted = accepted;
            self.unseen.clear();
            return;
        }
        self.unseen.push_back(now);
        if self.unseen.len() > UNSEEN {
            self.unseen.pop_front();
        }
    }

    /// A sentence if the server's connections cannot be seen.
    #[must_use]
    pub fn trouble(&self, now: Instant) -> Option<String> {
        let age = |since: Instant| now.saturating_duration_since(since);
        let is_unserved = self.listeners.is_missing(now);
        let first = self.unseen.front().filter(|_| self.unseen.len() >= UNSEEN);
        let is_unseen = first.is_some_and(|first| age(*first) <= PERIOD);
        let fact = match (is_unserved, is_unseen) {
            (true, _) => "nothing listens on port 25 in this network namespace",
            (_, true) => "connections of the log do not exist in this network namespace",
            (false, false) => return None,
        };
        Some(format!(
            "{fact}, so the gate does not know how many slots are in use; run spamdrop in the mail \
             server's network namespace"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTENING: Occupancy = Occupancy {
        open: 0,
        waiting: 0,
        opened: 0,
        pending: 0,
        listeners: 1,
    };

    #[test]
    fn a_server_that_is_down_for_a_minute_may_be_elsewhere() {
        let (start, mut visibility) = (Instant::now(), Visibility::default());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        visibility.sample(Occupancy::default(), at(0));
        visibility.sample(Occupancy::default(), at(59));
        assert_eq!(visibility.trouble(at(59)), None);
        let text = visibility.trouble(at(60)).unwrap_or_default();
        assert!(text.starts_with("nothing listens on port 25 in"), "{text}");
        visibility.sample(LISTENING, at(61));
        assert_eq!(visibility.trouble(at(61)), None);
        visibility.sample(Occupancy::default(), at(62));
        assert_eq!(visibility.trouble(at(100)), None);
    }

    #[test]
    fn connections_that_only_the_log_knows_are_elsewhere() {
        let (start, mut visibility) = (Instant::now(), Visibility::default());
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        visibility.sample(LISTENING, at(0));
        visibility.logged(Some(7), at(0));
        assert!(!visibility.is_due(at(1) - Duration::from_nanos(1)));
        assert!(visibility.is_due(at(1)));
        visibility.logged(Some(7), at(0));
        (1..19).for_each(|minute| visibility.logged(Some(7), at(minute)));
        assert_eq!(visibility.trouble(at(19)), None);
        visibility.logged(Some(7), at(23 * 60));
        let text = visibility.trouble(at(24 * 60)).unwrap_or_default();
        assert!(
            text.starts_with("connections of the log do not exist"),
            "{text}"
        );
        // The first minute is more than a day ago.
        assert_eq!(visibility.trouble(at(24 * 60 + 1)), None);
        visibility.logged(Some(7), at(24 * 60 + 1));
        assert!(visibility.trouble(at(24 * 60 + 1)).is_some());
        let open = Occupancy {
            open: 1,
            ..LISTENING
        };
        visibility.sample(open, at(24 * 60 + 1));
        assert_eq!(visibility.trouble(at(24 * 60 + 1)), None);
    }

    #[test]
    fn connections_that_no_sample_shows_are_counted() {
        let (start, mut visibility) = (Instant::now(), Visibility::default());
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        for minute in 0..40 {
            visibility.sample(LISTENING, at(minute));
            visibility.logged(Some(minute), at(minute));
            assert_eq!(visibility.trouble(at(minute)), None);
        }
        (40..80).for_each(|minute| visibility.logged(None, at(minute)));
        assert_eq!(visibility.trouble(at(80)), None);
    }
}
