//! Decides when a mail server that does not listen counts as missing.

use std::time::{Duration, Instant};

/// After this time without a listener, the server counts as missing. At a boot, the
/// daemon may start before the mail server, and a restart of the server takes a moment.
const MISSING_AFTER: Duration = Duration::from_secs(60);

/// Whether something listens on the watched ports.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListenerWatch {
    /// Since when nothing has listened.
    absent_since: Option<Instant>,
}

impl ListenerWatch {
    /// Records whether something listens at the time `now`.
    pub fn sample(&mut self, is_listening: bool, now: Instant) {
        self.absent_since = match is_listening {
            true => None,
            false => self.absent_since.or(Some(now)),
        };
    }

    /// Whether nothing has listened for a minute, as far as the samples show.
    #[must_use]
    pub fn is_missing(&self, now: Instant) -> bool {
        let age = |since| now.saturating_duration_since(since);
        self.absent_since
            .is_some_and(|since| age(since) >= MISSING_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_listen_is_missing_after_a_minute() {
        let (start, mut watch) = (Instant::now(), ListenerWatch::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!watch.is_missing(at(100)));
        watch.sample(false, at(100));
        watch.sample(false, at(159));
        assert!(!watch.is_missing(at(159)));
        assert!(watch.is_missing(at(160)));
        watch.sample(true, at(161));
        assert!(!watch.is_missing(at(300)));
        // The next absence has a minute of its own.
        watch.sample(false, at(400));
        assert!(!watch.is_missing(at(459)) && watch.is_missing(at(460)));
    }
}
