//! The number of connections that the mail server serves at once.

use crate::courier::esmtpd::DEFAULT_SLOTS;

/// The number of slots, and the problem with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// The number; Courier's default while it is unknown.
    pub count: u32,
    /// Why the number is unknown or doubtful.
    pub trouble: Option<String>,
    /// Whether neither the configuration nor the mail server tells the number.
    pub is_unknown: bool,
}

impl Slots {
    /// Chooses between the configuration's `slots`, 0 for none, and the mail
    /// server's own number from `file`, or the reason why that is unknown.
    #[must_use]
    pub fn choose(configured: u32, servers: Result<u32, String>, file: &str) -> Self {
        let (count, trouble) = match (configured, servers) {
            (0, Ok(count)) => (count, None),
            (0, Err(reason)) => {
                let text = format!(
                    "the number of the mail server's slots is unknown: {reason}; set `slots`"
                );
                return Self {
                    count: DEFAULT_SLOTS,
                    trouble: Some(text),
                    is_unknown: true,
                };
            }
            (count, Ok(servers)) if count != servers => {
                let text = format!(
                    "`slots` is {count}, but the mail server's number in {file} is {servers}; \
                     correct one of them, or remove `slots`"
                );
                (count, Some(text))
            }
            (count, _) => (count, None),
        };
        Self {
            count,
            trouble,
            is_unknown: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_decides_and_a_contradiction_is_named() {
        let choose = |configured, servers: Result<u32, &str>| {
            let slots = Slots::choose(configured, servers.map_err(Into::into), "/c/esmtpd");
            let trouble = slots.trouble.unwrap_or_default();
            (slots.count, slots.is_unknown, trouble)
        };
        let fine = |count| (count, false, String::new());
        assert_eq!(choose(0, Ok(60)), fine(60));
        assert_eq!(choose(60, Ok(60)), fine(60));
        assert_eq!(choose(60, Err("no file")), fine(60));
        let (count, is_unknown, trouble) = choose(60, Ok(40));
        assert_eq!((count, is_unknown), (60, false));
        assert!(
            trouble.starts_with("`slots` is 60, but the mail server's number in /c/esmtpd is 40;"),
            "{trouble}"
        );
        let (count, is_unknown, trouble) = choose(0, Err("no file"));
        assert_eq!((count, is_unknown), (DEFAULT_SLOTS, true));
        assert!(
            trouble.contains("is unknown: no file; set `slots`"),
            "{trouble}"
        );
    }
}
