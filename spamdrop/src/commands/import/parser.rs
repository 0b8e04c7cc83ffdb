//! Parses a list into entries. A long list is divided among several threads.

use std::collections::{BTreeMap, HashSet};
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle, available_parallelism};

use ipnet::IpNet;
use spamdrop_common::entry::{Entry, SEALED};

use super::NAMED;
use crate::render::allowed::shown;
use spamdrop_core::invalid::Invalid;
use spamdrop_core::listing::ListEntry;
use spamdrop_core::lists::{DropRecord, ListFormat, ListParser, NftDocument};
use spamdrop_core::owners::EntryOwner;
use spamdrop_core::policy::Scope;
use spamdrop_core::target::Target;

/// Minimum number of bytes per thread.
const PART: usize = 1 << 20;

pub(super) struct ImportParser<'a> {
    pub(super) list: ListParser,
    pub(super) scope: &'a Scope,
    /// Entries whose peers hold a connection. They are imported open, so that
    /// the connection can end properly.
    pub(super) connected: &'a HashSet<Target>,
    /// Whether the list is imported for an owner. Owners that its lines name are then
    /// ignored.
    pub(super) is_owned: bool,
}

/// The content of a list.
#[derive(Default)]
pub(super) struct ParsedList {
    /// Entries that may be blocked, sorted. If several lines have the same
    /// target, the last one counts.
    pub(super) entries: Vec<(Target, Entry)>,
    /// The entries of lines that name an owner of their own other than `hand`, by owner.
    /// Each list is sorted as `entries` is.
    pub(super) others: BTreeMap<EntryOwner, Vec<(Target, Entry)>>,
    /// Addresses of entries that are imported open.
    pub(super) connected: Vec<IpNet>,
    /// Number of addresses that must not be blocked.
    pub(super) left_out: usize,
    /// The first addresses that must not be blocked, each with the reason.
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
        match self.list.format {
            ListFormat::Nft => return self.parse_nft(text),
            ListFormat::NftJson => return self.parse_nft_json(text),
            _ => {}
        }
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
            match self.read_line(line) {
                Ok(None) => {}
                Ok(Some(entry)) => self.take(entry, &mut part),
                Err(error) => part.reject(error),
            }
        }
        part.each_once();
        part
    }

    fn read_line(&self, line: &[u8]) -> Result<Option<ListEntry>, Invalid> {
        if self.list.format != ListFormat::SpamhausJson || line.trim_ascii().is_empty() {
            return self.list.read_line(line);
        }
        let record: DropRecord = serde_json::from_slice(line).map_err(invalid)?;
        record.read(&self.list.reader)
    }

    fn parse_nft(&self, text: &[u8]) -> ParsedList {
        let mut list = ParsedList::default();
        self.list.read_nft(text, &mut |line, read| {
            list.lines = line;
            self.take_or_reject(read, &mut list);
        });
        list.each_once();
        list
    }

    /// The document counts as one line, so every error is reported for line 1.
    fn parse_nft_json(&self, text: &[u8]) -> ParsedList {
        let mut list = ParsedList {
            lines: 1,
            ..ParsedList::default()
        };
        match serde_json::from_slice::<NftDocument>(text) {
            Ok(document) => document.read(&self.list.reader, &mut |read| {
                self.take_or_reject(read, &mut list);
            }),
            Err(error) => list.reject(invalid(error)),
        }
        list.each_once();
        list
    }

    fn take_or_reject(&self, read: Result<ListEntry, Invalid>, list: &mut ParsedList) {
        match read {
            Ok(entry) => self.take(entry, list),
            Err(error) => list.reject(error),
        }
    }

    fn take(&self, listed: ListEntry, part: &mut ParsedList) {
        let ListEntry {
            net,
            mut entry,
            owner,
            ..
        } = listed;
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
        match owner.filter(|owner| !self.is_owned && *owner != EntryOwner::Hand) {
            Some(owner) => part.others.entry(owner).or_default().push((target, entry)),
            None => part.entries.push((target, entry)),
        }
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
        for (owner, entries) in later.others {
            self.others.entry(owner).or_default().extend(entries);
        }
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

    /// Sorts, and keeps the last entry of each target. After [`ParsedList::append`], the
    /// stable sort is fast, because it only merges parts that are already sorted.
    fn each_once(&mut self) {
        for entries in std::iter::once(&mut self.entries).chain(self.others.values_mut()) {
            entries.sort_by_key(|(target, _)| *target);
            entries.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    *kept = *later;
                }
                same
            });
        }
    }

    /// The targets of all entries, sorted, each once.
    pub(super) fn targets(&self) -> Vec<Target> {
        let all = std::iter::once(&self.entries).chain(self.others.values());
        let mut all: Vec<Target> = all.flatten().map(|(target, _)| *target).collect();
        if !self.others.is_empty() {
            all.sort_unstable();
            all.dedup();
        }
        all
    }
}

fn invalid(error: serde_json::Error) -> Invalid {
    Invalid::new(format!(
        "the text is not valid JSON of this list format: {error}"
    ))
}

/// Divides the text at line ends, into parts of more than `size` bytes; the last part may
/// be shorter.
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
    use crate::clock;
    use spamdrop_core::listing::ListReader;
    use spamdrop_core::term::Term;

    fn parser<'a>(
        format: ListFormat,
        scope: &'a Scope,
        connected: &'a HashSet<Target>,
    ) -> ImportParser<'a> {
        let term = Term {
            start: MonotonicNs::default(),
            ttl_s: 600,
            slides: true,
            hard_limit_s: 0,
        };
        let list = ListParser {
            reader: ListReader::new(term),
            format,
            local_now: clock::local(),
        };
        ImportParser {
            list,
            scope,
            connected,
            is_owned: false,
        }
    }

    /// The entries with their seconds and ttl, and the errors with their lines.
    fn parsed(format: ListFormat, text: &str) -> (Vec<String>, Vec<String>) {
        assert_eq!(ListFormat::recognize(text.as_bytes()), format);
        let (scope, none) = (Scope::default(), HashSet::new());
        let list = parser(format, &scope, &none).parse(text.as_bytes());
        let entry = |(target, entry): &(Target, Entry)| {
            format!("{target} {} {}", entry.expires.second(), entry.ttl_s)
        };
        let error = |(line, error): &(usize, Invalid)| format!("{line}: {error}");
        let entries = list.entries.iter().map(entry).collect();
        (entries, list.errors.iter().map(error).collect())
    }

    /// The text has the format that Spamhaus has published since 2024.
    #[test]
    fn the_json_of_spamhaus_is_a_list_of_prefixes() {
        let text = r#"{"cidr":"192.0.2.0/24","sblid":"SBL256894","rir":"apnic"}
{"cidr":"2001:db8::/32","sblid":"SBL1","rir":"ripencc"}

{"type":"metadata","timestamp":1764431704,"size":93047,"records":2,"copyright":"(c)","terms":"https://x/"}
"#;
        let (entries, errors) = parsed(ListFormat::SpamhausJson, text);
        assert_eq!(entries, ["192.0.2.0/24 600 600", "2001:db8::/32 600 600"]);
        assert_eq!(errors, [""; 0]);
        let (entries, errors) = parsed(
            ListFormat::SpamhausJson,
            "{\"cidr\":\"x\"}\n{\"cidr\":\"192.0.2.1\"}\n{\"asn\":7}\n{\"cidr\":\n[]\n",
        );
        assert_eq!(entries, ["192.0.2.1 600 600"]);
        let begins = [
            "1: `x` is not",
            "3: the object has no `cidr`",
            "4: the text is not valid JSON",
            "5: the text is not valid JSON",
        ];
        assert_eq!(errors.len(), begins.len());
        for (error, begin) in errors.iter().zip(begins) {
            assert!(error.starts_with(begin), "{error}");
        }
    }

    /// The text is as nftables 1.0.6 prints it.
    #[test]
    fn the_json_of_nft_is_read_with_its_times_and_intervals() {
        let text = r#"{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}, {"set": {"family": "inet", "name": "a", "table": "f", "type": "ipv4_addr", "handle": 2, "flags": ["interval", "timeout"], "elem": ["10.0.0.5", {"elem": {"val": "192.0.2.1", "timeout": 3600, "expires": 3599, "comment": "x"}}, {"range": ["192.0.2.8", "192.0.2.20"]}, {"elem": {"val": {"prefix": {"addr": "198.51.100.0", "len": 24}}, "timeout": 93784}}, {"elem": {"val": "203.0.113.1", "timeout": 0}}]}}, {"set": {"name": "empty", "type": "ipv6_addr"}}]}"#;
        let (entries, errors) = parsed(ListFormat::NftJson, text);
        assert_eq!(
            entries,
            [
                "10.0.0.5 600 600",
                "192.0.2.1 3599 0",
                "192.0.2.20 600 600",
                "203.0.113.1 600 600",
                "192.0.2.8/29 600 600",
                "192.0.2.16/30 600 600",
                "198.51.100.0/24 93784 0",
            ]
        );
        assert_eq!(errors, [""; 0]);
        let concatenated = r#"{"nftables": [{"set": {"name": "cc", "elem": [{"concat": ["192.0.2.1", 25]}, 25, "x"]}}]}"#;
        let (entries, errors) = parsed(ListFormat::NftJson, concatenated);
        assert_eq!((entries.len(), errors.len()), (0, 3));
        assert!(
            errors[0].starts_with("1: set `cc` has more than addresses"),
            "{errors:?}"
        );
        let cut = &text[..text.len() - 9];
        let (entries, errors) = parsed(ListFormat::NftJson, cut);
        assert_eq!((entries.len(), errors.len()), (0, 1));
    }

    #[test]
    fn the_lines_of_a_set_of_nft_are_named() {
        let text =
            "table inet f {\n\tset a {\n\t\telements = { 192.0.2.1, x,\n\t\t\t y }\n\t}\n}\n";
        let (entries, errors) = parsed(ListFormat::Nft, text);
        assert_eq!(entries, ["192.0.2.1 600 600"]);
        assert!(
            errors[0].starts_with("3: `x`") && errors[1].starts_with("4: `y`"),
            "{errors:?}"
        );
    }

    #[test]
    fn parts_end_with_their_lines() {
        assert_eq!(parts(b"a\nbc\n\nd", 1), [b"a\n", &b"bc\n"[..], b"\nd"]);
        assert_eq!(parts(b"abc", 1), [b"abc"]);
        assert_eq!(parts(b"abc\n", 1), [b"abc\n", &b""[..]]);
        assert_eq!(parts(b"", 1), [b""]);
    }

    #[test]
    fn a_text_in_parts_is_read_as_a_whole() {
        let (scope, none) = (Scope::default(), HashSet::new());
        let parser = parser(ListFormat::Lines, &scope, &none);
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
