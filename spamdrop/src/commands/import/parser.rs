//! Parses a list into entries. A long list is divided among several threads.

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle, available_parallelism};

use ipnet::IpNet;
use spamdrop_common::entry::{Entry, SEALED};

use super::NAMED;
use crate::render::allowed::shown;
use spamdrop_core::invalid::Invalid;
use spamdrop_core::listing::{ListEntry, ListReader};
use spamdrop_core::policy::Scope;
use spamdrop_core::target::Target;

/// Minimum number of bytes per thread.
const PART: usize = 1 << 20;

pub(super) struct ImportParser<'a> {
    pub(super) reader: ListReader,
    pub(super) scope: &'a Scope,
    /// Entries whose peers hold a connection. They are imported open, so that
    /// the connection can end properly.
    pub(super) connected: &'a HashSet<Target>,
}

/// The content of a list.
#[derive(Default)]
pub(super) struct ParsedList {
    /// Entries that may be blocked, sorted. If several lines have the same
    /// target, the last one counts.
    pub(super) entries: Vec<(Target, Entry)>,
    /// Addresses of entries that are imported open.
    pub(super) connected: Vec<IpNet>,
    /// Number of addresses that must not be blocked.
    pub(super) left_out: usize,
    /// The first of those addresses, each with the reason.
    pub(super) named: Vec<String>,
    /// Number of invalid lines.
    pub(super) bad: usize,
    /// The first invalid lines, counted from 1, each with its error. The number
    /// is limited because a file that is not a list has millions.
    pub(super) errors: Vec<(usize, Invalid)>,
    lines: usize,
}

impl ImportParser<'_> {
    /// Parses a whole list.
    pub(super) fn parse(&self, text: &[u8]) -> ParsedList {
        let threads = available_parallelism().map_or(1, usize::from);
        let parts = parts(text, text.len().div_ceil(threads).max(PART));
        thread::scope(|scope| {
            let parse = |part| scope.spawn(move || self.parse_part(part));
            let threads: Vec<_> = parts.into_iter().map(parse).collect();
            let mut all = ParsedList::default();
            for part in threads.into_iter().map(ScopedJoinHandle::join) {
                all.append(part.unwrap_or_else(|panic| resume_unwind(panic)));
            }
            all.each_once();
            all
        })
    }

    fn parse_part(&self, text: &[u8]) -> ParsedList {
        let mut part = ParsedList::default();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            part.lines += 1;
            match self.reader.read_line(line) {
                Ok(None) => {}
                Ok(Some(entry)) => self.take(entry, &mut part),
                Err(error) => part.reject(error),
            }
        }
        part.each_once();
        part
    }

    fn take(&self, listed: ListEntry, part: &mut ParsedList) {
        let ListEntry { net, mut entry, .. } = listed;
        let target = match self.scope.choose(listed.target, net) {
            Ok(choice) => choice.target,
            Err(why) => {
                part.left_out += 1;
                if part.named.len() < NAMED {
                    part.named.push(format!("{}: {why}", shown(net)));
                }
                return;
            }
        };
        if self.connected.contains(&target) {
            part.connected.push(net);
        } else {
            entry.flags |= SEALED;
        }
        part.entries.push((target, entry));
    }
}

impl ParsedList {
    /// Counts the current line as invalid.
    fn reject(&mut self, error: Invalid) {
        self.bad += 1;
        if self.errors.len() < NAMED {
            self.errors.push((self.lines, error));
        }
    }

    fn append(&mut self, later: Self) {
        let before = self.lines;
        self.lines += later.lines;
        self.entries.extend(later.entries);
        self.connected.extend(later.connected);
        self.left_out += later.left_out;
        self.named.extend(later.named);
        self.named.truncate(NAMED);
        self.bad += later.bad;
        let errors = later.errors.into_iter();
        self.errors
            .extend(errors.map(|(line, why)| (before + line, why)));
        self.errors.truncate(NAMED);
    }

    /// Sorts, and keeps the last entry of each target. The stable sort is fast,
    /// because it only merges parts that are already sorted.
    fn each_once(&mut self) {
        self.entries.sort_by_key(|(target, _)| *target);
        self.entries.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                *kept = *later;
            }
            same
        });
    }
}

/// Divides the text at line ends, into parts of at least this size.
fn parts(text: &[u8], size: usize) -> Vec<&[u8]> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(end) = rest
        .get(size..)
        .and_then(|rest| memchr::memchr(b'\n', rest))
    {
        let (part, later) = rest.split_at(size + end + 1);
        parts.push(part);
        rest = later;
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use spamdrop_common::time::MonotonicNs;

    use super::*;
    use spamdrop_core::term::Term;

    #[test]
    fn parts_end_with_their_lines() {
        assert_eq!(parts(b"a\nbc\n\nd", 1), [b"a\n", &b"bc\n"[..], b"\nd"]);
        assert_eq!(parts(b"abc", 1), [b"abc"]);
        assert_eq!(parts(b"abc\n", 1), [b"abc\n", &b""[..]]);
        assert_eq!(parts(b"", 1), [b""]);
    }

    #[test]
    fn a_text_in_parts_is_read_as_a_whole() {
        let term = Term {
            start: MonotonicNs::default(),
            ttl_s: 600,
            slides: true,
            hard_limit_s: 0,
        };
        let parser = ImportParser {
            reader: ListReader::new(term),
            scope: &Scope::default(),
            connected: &HashSet::new(),
        };
        let text = b"192.0.2.3 60\nx\n192.0.2.1\n127.0.0.1\n192.0.2.3 90\ny\n127.0.0.2\n";
        for size in [1, 20, 1000] {
            let mut all = ParsedList::default();
            for part in parts(text, size) {
                all.append(parser.parse_part(part));
            }
            all.each_once();
            let ttls = all
                .entries
                .iter()
                .map(|(target, entry)| (target.to_string(), entry.ttl_s));
            assert_eq!(
                ttls.collect::<Vec<_>>(),
                [("192.0.2.1".into(), 600), ("192.0.2.3".into(), 90)]
            );
            let bad: Vec<usize> = all.errors.iter().map(|(line, _)| *line).collect();
            assert_eq!((all.bad, bad), (2, vec![2, 6]));
            assert_eq!(all.named, ["127.0.0.1: loopback", "127.0.0.2: loopback"]);
            assert_eq!(all.left_out, 2);
        }
        assert_eq!(parser.parse(text).entries.first().unwrap().1.ttl_s, 600);
        let bad = parser.parse_part(&b"x\n".repeat(99));
        assert_eq!((bad.bad, bad.errors.len()), (99, NAMED));
    }
}
