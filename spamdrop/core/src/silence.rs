//! How long a log has been silent, and whether that is unusual.
//!
//! Times are seconds during which spamdrop watched the log. So neither a
//! stopped daemon, a machine that was off, nor a step of the wall clock makes a
//! log look silent.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration::human;

const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 24 * HOUR_S;
/// Number of days whose longest silences are remembered.
const DAYS: u64 = 7;
/// A silence is unusual if it is longer than this many times the longest silence of the
/// last [`DAYS`].
const FACTOR: u64 = 3;
/// The shortest silence that is unusual.
const LEAST_S: u64 = 6 * HOUR_S;
/// The longest usual silence of a log that was watched for less than [`DAYS`].
const UNKNOWN_S: u64 = DAY_S;
/// [`Silence::saved`] changes this often while nothing is logged.
const SAVED_STEP_S: u64 = 600;

/// The silences of a log in the last seven days.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Silence {
    /// How long the log has been watched.
    watched_s: u64,
    /// When the last line came.
    last_line_s: u64,
    /// The longest silence of each day that had a line: the day, and seconds.
    longest: VecDeque<(u64, u64)>,
}

impl Silence {
    /// Adds time during which the log was watched, and whether a line came at
    /// its end.
    pub fn watch(&mut self, elapsed_s: u64, has_line: bool) {
        self.watched_s = self.watched_s.saturating_add(elapsed_s);
        if !has_line {
            return;
        }
        let (day, silence) = (self.watched_s / DAY_S, self.length_s());
        self.last_line_s = self.watched_s;
        match self.longest.back_mut() {
            Some((last, longest)) if *last == day => *longest = silence.max(*longest),
            _ => self.longest.push_back((day, silence)),
        }
        self.longest
            .retain(|(of, _)| day.saturating_sub(*of) < DAYS);
    }

    /// How long no line has come.
    fn length_s(&self) -> u64 {
        self.watched_s.saturating_sub(self.last_line_s)
    }

    /// The longest usual silence: three times the longest of the last seven days, at
    /// least six hours. One day, if the log was watched for less than seven days.
    #[must_use]
    pub fn limit(&self) -> Duration {
        let is_new = self.watched_s < DAYS * DAY_S;
        let longest = self.longest.iter().map(|(_, silence)| *silence).max();
        Duration::from_secs(match longest {
            Some(longest) if !is_new => longest.saturating_mul(FACTOR).max(LEAST_S),
            _ => UNKNOWN_S,
        })
    }

    /// A phrase if the log has been silent for longer than usual. It does not
    /// change while the silence lasts.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let limit = self.limit();
        (self.length_s() > limit.as_secs()).then(|| {
            format!(
                "no line for more than {}; does the mail server still log there?",
                human(limit)
            )
        })
    }

    /// The value to save: up to ten minutes of silence are left out, so that it
    /// need not be written every second.
    #[must_use]
    pub fn saved(&self) -> Self {
        let silence = self.length_s() / SAVED_STEP_S * SAVED_STEP_S;
        Self {
            watched_s: self.last_line_s + silence,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_unusual(silence: &Silence) -> bool {
        silence.trouble().is_some()
    }

    #[test]
    fn a_new_log_may_be_silent_for_a_day() {
        let mut silence = Silence::default();
        silence.watch(DAY_S, false);
        assert!(!is_unusual(&silence));
        silence.watch(1, false);
        assert!(is_unusual(&silence));
        let text = silence.trouble().unwrap_or_default();
        assert!(text.starts_with("no line for more than 1d;"), "{text}");
        silence.watch(0, true);
        assert!(!is_unusual(&silence));
        silence.watch(DAY_S + 1, false);
        assert!(is_unusual(&silence));
    }

    #[test]
    fn after_a_week_three_times_the_longest_silence_is_usual() {
        let mut silence = Silence::default();
        for hour in 0..DAYS * 24 {
            silence.watch(HOUR_S, hour % 4 == 3);
        }
        assert_eq!(silence.limit().as_secs(), 12 * HOUR_S);
        silence.watch(12 * HOUR_S, false);
        assert!(!is_unusual(&silence));
        silence.watch(1, false);
        assert!(is_unusual(&silence));
        // The long silence is usual for the next seven days.
        silence.watch(0, true);
        assert_eq!(silence.limit().as_secs(), 36 * HOUR_S + 3);
        for _ in 0..DAYS * 24 {
            silence.watch(HOUR_S, true);
        }
        assert_eq!(silence.limit().as_secs(), LEAST_S);
    }

    #[test]
    fn what_is_saved_changes_only_every_ten_minutes() {
        let mut silence = Silence::default();
        silence.watch(5_000, true);
        silence.watch(599, false);
        assert_eq!(silence.saved().length_s(), 0);
        silence.watch(1, false);
        assert_eq!(silence.saved().length_s(), 600);
    }
}
