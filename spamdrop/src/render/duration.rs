//! Durations for display.

use std::fmt;
use std::time::Duration;

/// The two largest units, rounded down: `1d 3h`, `9m 12s`, `10m`, `0s`.
#[must_use]
pub fn human(duration: Duration) -> Human {
    Human(duration)
}

/// What [`human`] shows.
#[derive(Clone, Copy, Debug)]
pub struct Human(Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.as_secs();
        let units = [
            (s / 86_400, "d"),
            (s / 3600 % 24, "h"),
            (s / 60 % 60, "m"),
            (s % 60, "s"),
        ];
        let largest = units.iter().skip_while(|(count, _)| *count == 0);
        let mut shown = largest.take(2).filter(|(count, _)| *count > 0);
        let Some((count, unit)) = shown.next() else {
            return f.write_str("0s");
        };
        let mut digits = itoa::Buffer::new();
        f.write_str(digits.format(*count))?;
        f.write_str(unit)?;
        shown.try_for_each(|(count, unit)| {
            f.write_str(" ")?;
            f.write_str(digits.format(*count))?;
            f.write_str(unit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_two_units() {
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
            assert_eq!(human(Duration::from_secs(seconds)).to_string(), text);
        }
        assert_eq!(human(Duration::from_millis(1999)).to_string(), "1s");
    }
}
