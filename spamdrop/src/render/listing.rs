//! `export`: the entries, as [`import`](spamdrop_core::listing) reads them.

use std::io::{self, Write};
use std::time::Duration;

use super::entries::{EntryOrigin, LiveEntry};
use spamdrop_core::owners::EntryOwner;
use spamdrop_core::target::Target;

/// Writes one line for each entry. With `names_owners`, a line has `owner=` if the FIFO,
/// an imported list or a jail alone wants the entry, and its name is known. Times are
/// rounded down to whole seconds, but to at least 1, the minimum that `import` accepts.
pub fn write_text(
    out: &mut impl Write,
    entries: &[LiveEntry],
    names_owners: bool,
) -> io::Result<()> {
    for entry in entries {
        // `import` blocks a prefix to the end of its last second, so one second less
        // is exported.
        let whole = Duration::from_secs(matches!(entry.target, Target::Net(_)).into());
        let left = entry.expires_in.saturating_sub(whole);
        write!(out, "{} {}", entry.target, seconds(left))?;
        // If another owner wants the entry beyond the limit of the log's block, no packet
        // extends it, and `import` would end it at that limit.
        let limit = entry.hard_limit_in.map(seconds);
        let outlasts = limit.is_some_and(|limit| seconds(left) > limit + 1);
        if entry.fixed || outlasts {
            out.write_all(b" fixed")?;
        } else {
            write!(out, " ttl={}", entry.ttl_s)?;
        }
        if let Some(limit) = limit.filter(|_| !outlasts) {
            write!(out, " limit={limit}")?;
        }
        if entry.origin == EntryOrigin::Log {
            out.write_all(b" log")?;
        } else if names_owners
            && let Some(owner) = entry.owners.only()
            && !matches!(*owner, EntryOwner::Hand | EntryOwner::Unnamed(_))
        {
            write!(out, " owner={owner}")?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs().max(1)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::borrow::Cow;
    use std::rc::Rc;

    use spamdrop_common::entry::ORIGIN_LOG;
    use spamdrop_common::time::MonotonicNs;
    use spamdrop_core::listing::{ListEntry, ListReader};
    use spamdrop_core::owners::{OwnerBit, ShownOwners};
    use spamdrop_core::term::Term;

    use super::super::entries::{EntryState, tests::entry};
    use super::*;

    #[test]
    fn a_line_has_what_import_needs() {
        let from_log = LiveEntry {
            hard_limit_in: Some(Duration::from_secs(3300)),
            origin: EntryOrigin::Log,
            ..entry("192.0.2.10")
        };
        let prefix = LiveEntry {
            ttl_s: 0,
            fixed: true,
            ..entry("192.0.2.0/24")
        };
        let ending = LiveEntry {
            expires_in: Duration::ZERO,
            ..prefix.clone()
        };
        let by_hand_too = LiveEntry {
            expires_in: Duration::from_secs(7 * 86_400),
            ..from_log.clone()
        };
        let mut out = Vec::new();
        let (network, alone) = (entry("2001:db8::1"), entry("2001:db8::1/128"));
        let entries = [prefix, ending, from_log, by_hand_too, network, alone];
        write_text(&mut out, &entries, false).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
192.0.2.0/24 551 fixed
192.0.2.0/24 1 fixed
192.0.2.10 552 ttl=600 limit=3300 log
192.0.2.10 604800 fixed log
2001:db8::/64 552 ttl=600
2001:db8::1/128 552 ttl=600
"
        );
    }

    #[test]
    fn what_export_writes_is_read_as_the_same() {
        let drop = OwnerBit::new(5).unwrap();
        let names = Rc::new([(drop, "drop".parse().unwrap())].into_iter().collect());
        let owned = |owner: OwnerBit, entry| LiveEntry {
            owners: ShownOwners::new(owner.into(), &names),
            ..entry
        };
        let entry = |target: &str, ttl_s, limit: Option<u64>, origin| LiveEntry {
            target: target.parse().unwrap(),
            state: EntryState::Sealed,
            expires_in: Duration::from_secs(599),
            hard_limit_in: limit.map(Duration::from_secs),
            ttl_s,
            hits: 7,
            refreshes: 3,
            origin,
            owners: ShownOwners::default(),
            fixed: ttl_s == 0,
            allowed: false,
        };
        let reader = ListReader::new(Term {
            start: MonotonicNs::from_second(1_000),
            ttl_s: 600,
            slides: true,
            hard_limit_s: 0,
        });
        let entries = [
            entry("192.0.2.1", 600, None, EntryOrigin::Hand),
            entry("192.0.2.2", 300, Some(3_000), EntryOrigin::Log),
            entry("192.0.2.3", 300, Some(599), EntryOrigin::Log),
            entry("192.0.2.0/24", 0, None, EntryOrigin::Hand),
            entry("2001:db8::1", 0, None, EntryOrigin::Hand),
            entry("2001:db8::2/128", 600, None, EntryOrigin::Log),
            owned(drop, entry("192.0.2.4", 0, None, EntryOrigin::Hand)),
            owned(drop, entry("192.0.3.0/24", 0, None, EntryOrigin::Hand)),
            owned(
                OwnerBit::FIFO,
                entry("192.0.2.4", 60, Some(700), EntryOrigin::Hand),
            ),
            owned(
                OwnerBit::HAND,
                entry("192.0.2.4", 60, None, EntryOrigin::Hand),
            ),
        ];
        let mut text = Vec::new();
        write_text(&mut text, &entries, true).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.lines().count(), entries.len());
        for (line, expected) in text.lines().zip(&entries) {
            let read = reader.read_line(line.as_bytes()).unwrap().unwrap();
            let ListEntry {
                target,
                entry,
                owner,
                ..
            } = read;
            let of_owner = match (expected.owners.only(), expected.origin) {
                (_, EntryOrigin::Log) => Some(EntryOwner::Log),
                (only, _) => only
                    .map(Cow::into_owned)
                    .filter(|it| *it != EntryOwner::Hand),
            };
            assert_eq!(owner, of_owner, "{line}");
            assert_eq!(target, expected.target, "{line}");
            let limit = expected
                .hard_limit_in
                .map_or(0, |limit| 1_000 + limit.as_secs());
            assert_eq!(u64::from(entry.hard_until_s), limit, "{line}");
            assert_eq!(entry.ttl_s, expected.ttl_s, "{line}");
            // A prefix is blocked until its last second has passed.
            let whole = u64::from(matches!(expected.target, Target::Net(_)));
            let left = entry
                .expires
                .elapsed_since(MonotonicNs::from_second(1_000))
                .as_secs()
                + whole;
            assert_eq!(left, 599, "{line}");
            assert_eq!(
                entry.flags == ORIGIN_LOG,
                expected.origin == EntryOrigin::Log
            );
        }
    }
}
