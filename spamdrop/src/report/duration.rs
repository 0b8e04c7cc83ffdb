//! Durations for people.

use std::time::Duration;

/// The two largest units, rounded down: `1d 3h`, `9m 12s`, `10m`, `0s`.
#[must_use]
pub fn human(duration: Duration) -> String {
    let s = duration.as_secs();
    let units = [
        (s / 86_400, "d"),
        (s / 3600 % 24, "h"),
        (s / 60 % 60, "m"),
        (s % 60, "s"),
    ];
    let largest = units.iter().position(|(count, _)| *count > 0);
    let Some(largest) = largest else {
        return "0s".into();
    };
    let shown: Vec<String> = units
        .iter()
        .skip(largest)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    shown.join(" ")
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
            assert_eq!(human(Duration::from_secs(seconds)), text);
        }
        assert_eq!(human(Duration::from_millis(1999)), "1s");
    }
}
