//! How many connections the mail server serves at once.

use crate::checks::esmtpd::Settings;

/// Courier's default for `MAXDAEMONS`.
pub const DEFAULT: u32 = 40;

/// Courier's `MAXDAEMONS`; [`DEFAULT`] where it is absent or no number.
#[must_use]
pub fn of_courier(settings: &Settings) -> u32 {
    let number = settings
        .get(&b"MAXDAEMONS"[..])
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|value| value.trim().parse().ok());
    number.filter(|slots| *slots > 0).unwrap_or(DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::esmtpd::settings;

    #[test]
    fn maxdaemons() {
        let slots = |script: &str| of_courier(&settings(script.as_bytes()));
        assert_eq!(slots("MAXDAEMONS=60\nMAXPERIP=4\n"), 60);
        assert_eq!(slots("MAXDAEMONS='12 '\n"), 12);
        for nonsense in [
            "",
            "MAXDAEMONS=",
            "MAXDAEMONS=0",
            "MAXDAEMONS=-3",
            "MAXDAEMONS=all",
        ] {
            assert_eq!(slots(nonsense), DEFAULT, "{nonsense}");
        }
    }
}
