//! `export`: the entries, as [`import`](crate::listing) reads them.

use std::io::{self, Write};
use std::time::Duration;

use super::entries::{By, Entry};

/// Writes one line an entry. Times are rounded down to whole seconds, so that
/// no block gets longer on its way.
///
/// # Errors
///
/// The writer fails.
pub fn text(out: &mut impl Write, entries: &[Entry]) -> io::Result<()> {
    for entry in entries {
        write!(out, "{} {}", entry.target, seconds(entry.expires_in))?;
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
            expires_in: Duration::ZERO,
            ttl_s: 0,
            fixed: true,
            ..entry("192.0.2.0/24")
        };
        let mut out = Vec::new();
        text(&mut out, &[prefix, from_log, entry("2001:db8::1")]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
192.0.2.0/24 1 fixed
192.0.2.10 552 ttl=600 limit=3300 log
2001:db8::/64 552 ttl=600
"
        );
    }
}
