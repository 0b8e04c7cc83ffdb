//! Parsing and formatting of durations for people.
//!
//! A duration is a number of seconds, `600`, or numbers with units: `10m`,
//! `1h30m`, `1h 30m`, `7d`, `2w`. A day has 24 hours. Years and months are
//! refused, because they have no fixed length.

use std::fmt;
use std::time::Duration;

use jiff::fmt::friendly::SpanParser;
use jiff::{Span, SpanRelativeTo};
use serde::de::{Deserializer, Error, Visitor};

use crate::invalid::Invalid;

static PARSER: SpanParser = SpanParser::new();

/// Parses a duration.
///
/// # Errors
///
/// The text is not in the [format above](self), is negative, or counts months
/// or years.
pub fn parse(text: &str) -> Result<Duration, Invalid> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse().map(Duration::from_secs);
        return seconds.map_err(|_| Invalid::new(format!("`{text}` seconds are too many")));
    }
    let span = PARSER.parse_span(text).map_err(|_| no_duration(text))?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(Invalid::new(format!(
            "`{text}` counts months or years, whose length varies; give days, such as 365d"
        )));
    }
    of_span(span).ok_or_else(|| no_duration(text))
}

fn of_span(span: Span) -> Option<Duration> {
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours());
    duration.ok()?.try_into().ok()
}

fn no_duration(text: &str) -> Invalid {
    Invalid::new(format!(
        "`{text}` is not a duration; give seconds, such as 600, or units, such as 10m, 1h30m, 7d or 2w"
    ))
}

/// The two largest units, rounded down: `1d 3h`, `9m 12s`, `10m`, `0s`.
/// [`parse`] accepts this format.
#[must_use]
pub fn human(duration: Duration) -> Human {
    Human(duration)
}

/// The result of [`human`].
#[derive(Clone, Copy, Debug)]
pub struct Human(Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.as_secs();
        let units = [
            (s / 86_400, 'd'),
            (s / 3600 % 24, 'h'),
            (s / 60 % 60, 'm'),
            (s % 60, 's'),
        ];
        let largest = units.iter().skip_while(|(count, _)| *count == 0);
        let mut shown = largest.take(2).filter(|(count, _)| *count > 0);
        let Some((count, unit)) = shown.next() else {
            return f.write_str("0s");
        };
        write!(f, "{count}{unit}")?;
        shown.try_for_each(|(count, unit)| write!(f, " {count}{unit}"))
    }
}

/// For `#[serde(deserialize_with)]`: accepts a text in the format of [`parse`],
/// or a whole number of seconds.
///
/// # Errors
///
/// The value is neither.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(TextOrSeconds)
}

struct TextOrSeconds;

impl Visitor<'_> for TextOrSeconds {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"10m\", or a number of seconds")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_secs(seconds))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Duration, E> {
        let seconds = u64::try_from(seconds);
        seconds
            .map(Duration::from_secs)
            .map_err(|_| E::custom("a duration cannot be negative"))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer as _;
    use serde::de::value::{Error as ValueError, U64Deserializer};

    use super::*;

    #[test]
    fn seconds_and_units_are_read() {
        for (text, seconds) in [
            ("600", 600),
            ("0", 0),
            ("0s", 0),
            ("90s", 90),
            ("10m", 600),
            ("1h30m", 5_400),
            ("1h 30m", 5_400),
            ("1 hour 30 minutes", 5_400),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("365d", 31_536_000),
            ("1.5h", 5_400),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn a_configuration_gives_a_text_or_seconds() {
        #[derive(serde::Deserialize)]
        struct Wait {
            #[serde(deserialize_with = "deserialize")]
            time: Duration,
        }
        for text in ["time = 600", "time = \"10m\""] {
            let wait = toml::from_str::<Wait>(text).map(|wait| wait.time);
            assert_eq!(wait, Ok(Duration::from_secs(600)), "{text}");
        }
        for text in ["time = -1", "time = 1.5", "time = \"soon\""] {
            assert!(toml::from_str::<Wait>(text).is_err(), "{text}");
        }
        let wrong = toml::from_str::<Wait>("time = 1.5").map_err(|error| error.to_string());
        let expected = "expected a duration such as \"10m\", or a number of seconds";
        assert!(wrong.is_err_and(|error| error.contains(expected)));
        // Formats other than TOML have unsigned numbers.
        let number: U64Deserializer<ValueError> = 600_u64.into_deserializer();
        assert_eq!(deserialize(number), Ok(Duration::from_secs(600)));
    }

    #[test]
    fn what_is_no_duration_is_refused_by_name() {
        for text in [
            "",
            " ",
            "ten minutes",
            "10x",
            "-10m",
            "10m ago",
            "99999999999999999999",
        ] {
            let error = parse(text).map_err(|error| error.to_string());
            assert!(error.is_err_and(|error| error.contains(text)), "{text}");
        }
    }

    #[test]
    fn months_and_years_are_refused_with_a_hint() {
        for text in ["1y", "2 years", "1mo", "3 months", "1y 2d"] {
            let error = parse(text).map_err(|error| error.to_string());
            assert!(error.is_err_and(|error| error.contains("365d")), "{text}");
        }
    }

    #[test]
    fn shows_two_units_that_are_read_again() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (552, "9m 12s"),
            (3600, "1h"),
            (3601, "1h"),
            (3661, "1h 1m"),
            (86_399, "23h 59m"),
            (97_200, "1d 3h"),
            (86_400 * 3650, "3650d"),
        ] {
            let shown = human(Duration::from_secs(seconds)).to_string();
            assert_eq!(shown, text);
            let again = parse(&shown).map(|duration| human(duration).to_string());
            assert_eq!(again.as_deref(), Ok(text));
        }
        assert_eq!(human(Duration::from_millis(1999)).to_string(), "1s");
    }
}
