//! `export`: the entries, as [`import`](crate::listing) reads them.

use std::io::{self, Write};
use std::time::Duration;

use super::entries::{By, Entry};
use spamdrop_core::target::Target;

/// Writes one line an entry. Times are rounded down to whole seconds, but not
/// to none: a block gets no longer on its way, unless less than a second is
/// left of it.
///
/// # Errors
///
/// The writer fails.
pub fn text(out: &mut impl Write, entries: &[Entry]) -> io::Result<()> {
    for entry in entries {
        // The second in which a prefix ends counts whole.
        let whole = Duration::from_secs(matches!(entry.target, Target::Net(_)).into());
        let left = entry.expires_in.saturating_sub(whole);
        write!(out, "{} {}", entry.target, seconds(left))?;
        if entry.fixed {
            out.write_all(b" fixed")?;
        } else {
            write!(out, " ttl={}", entry.ttl_s)?;
        }
        if let Some(limit) = entry.hard_limit_in {
            write!(out, " limit={}", seconds(limit))?;
        }
        if entry.origin == By::Log {
            out.write_all(b" log")?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Never 0: that would be no time.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().max(1)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::super::entries::tests::entry;
    use super::*;

    #[test]
    fn a_line_has_what_import_needs() {
        let from_log = Entry {
            hard_limit_in: Some(Duration::from_secs(3300)),
            origin: By::Log,
            ..entry("192.0.2.10")
        };
        let prefix = Entry {
            ttl_s: 0,
            fixed: true,
            ..entry("192.0.2.0/24")
        };
        let ending = Entry {
            expires_in: Duration::ZERO,
            ..prefix
        };
        let mut out = Vec::new();
        let entries = [prefix, ending, from_log, entry("2001:db8::1")];
        text(&mut out, &entries).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
192.0.2.0/24 551 fixed
192.0.2.0/24 1 fixed
192.0.2.10 552 ttl=600 limit=3300 log
2001:db8::/64 552 ttl=600
"
        );
    }
}
