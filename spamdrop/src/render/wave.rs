//! Describes a wave in one sentence, for the log of `run` and for `status`.

use std::time::Duration;

use jiff::tz::TimeZone;
use spamdrop_common::time::UnixSeconds;

use super::noun;
use super::show::local_time;
use spamdrop_core::duration::{Human, human};
use spamdrop_core::wave::{News, Wave};

/// Describes the beginning, the long duration or the end of a wave for the log of
/// `run`.
#[must_use]
pub fn news(news: &News) -> String {
    match news {
        News::Begins(wave) => {
            let (wait, mode) = if wave.observed {
                ("would have to wait", " (`admit` is \"observe\")")
            } else {
                ("have to wait", "")
            };
            let Wave {
                peak_open, slots, ..
            } = wave;
            format!(
                "a wave: {peak_open} connections for {slots} slots, strangers {wait}{mode}; \
                 `spamdrop status` shows its progress"
            )
        }
        News::Lasts(wave) => format!(
            "the wave has refused strangers for ten minutes: {}; \
             `spamdrop report` shows what became of them; `spamdrop known add ADDR` lets a sender pass; \
             if the machine can serve more connections, raise the server's slots (Courier's MAXDAEMONS)",
            figures(wave)
        ),
        News::IsOver(wave) => {
            format!("the wave is over after {}: {}", length(wave), figures(wave))
        }
    }
}

/// Describes a wave for `status`.
#[must_use]
pub fn format_line(wave: &Wave, zone: &TimeZone) -> String {
    let (start, length, figures) = (
        local_time(UnixSeconds::new(wave.start_unix_s), zone),
        length(wave),
        figures(wave),
    );
    if wave.ongoing {
        format!("since {start}, for {length} so far: {figures}")
    } else {
        format!("last one at {start}, for {length}: {figures}")
    }
}

fn figures(wave: &Wave) -> String {
    let verb = if wave.observed {
        "would have been refused"
    } else {
        "refused"
    };
    format!(
        "at most {} for {}, {} {verb}, {} went to the responder",
        noun::count(wave.peak_open, "connection", "connections"),
        noun::count(wave.slots, "slot", "slots"),
        noun::count(wave.totals.all_refused(), "SYN", "SYNs"),
        wave.totals.answered
    )
}

fn length(wave: &Wave) -> Human {
    human(Duration::try_from_secs_f64(wave.length_s).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use spamdrop_core::wave::Totals;

    fn wave() -> Wave {
        Wave {
            start_unix_s: 1_795_392_000,
            length_s: 663.5,
            slots: 40,
            peak_open: 38,
            totals: Totals {
                refused: [0, 12, 1_400],
                answered: 650,
                ..Totals::default()
            },
            ..Wave::default()
        }
    }

    fn observed() -> Wave {
        Wave {
            observed: true,
            ongoing: true,
            ..wave()
        }
    }

    const FIGURES: &str =
        "at most 38 connections for 40 slots, 1412 SYNs refused, 650 went to the responder";
    const WOULD: &str = "at most 38 connections for 40 slots, 1412 SYNs would have been refused, \
                         650 went to the responder";

    #[test]
    fn the_log_line() {
        assert_eq!(
            news(&News::Begins(wave())),
            "a wave: 38 connections for 40 slots, strangers have to wait; \
             `spamdrop status` shows its progress"
        );
        assert_eq!(
            news(&News::Begins(observed())),
            "a wave: 38 connections for 40 slots, strangers would have to wait \
             (`admit` is \"observe\"); `spamdrop status` shows its progress"
        );
        assert_eq!(
            news(&News::IsOver(wave())),
            format!("the wave is over after 11m 3s: {FIGURES}")
        );
        assert_eq!(
            news(&News::IsOver(observed())),
            format!("the wave is over after 11m 3s: {WOULD}")
        );
        let alarm = news(&News::Lasts(wave()));
        for step in [FIGURES, "`spamdrop report`", "known add", "MAXDAEMONS"] {
            assert!(alarm.contains(step), "{step}: {alarm}");
        }
    }

    #[test]
    fn the_line_of_status() {
        let zone = TimeZone::UTC;
        assert_eq!(
            format_line(&wave(), &zone),
            format!("last one at 2026-11-23 00:00:00 +00:00, for 11m 3s: {FIGURES}")
        );
        assert_eq!(
            format_line(&observed(), &zone),
            format!("since 2026-11-23 00:00:00 +00:00, for 11m 3s so far: {WOULD}")
        );
    }
}
