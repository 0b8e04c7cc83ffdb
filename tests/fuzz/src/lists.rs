//! The lists of other programs, which `import` reads, and the allowlist.

use std::time::Duration;

use jiff::civil::date;
use spamdrop_common::time::{MonotonicNs, UnixSeconds};
use spamdrop_core::allowlist::{AllowTerm, Allowlist, checked_comment};
use spamdrop_core::listing::{ListEntry, ListReader};
use spamdrop_core::lists::{DropRecord, ListFormat, ListParser, NftDocument};
use spamdrop_core::target::parse_net;
use spamdrop_core::term::{LONGEST, Term};

/// The start of the blocks.
const START: MonotonicNs = MonotonicNs::from_second(1_000);
const FORMATS: [ListFormat; 3] = [ListFormat::Lines, ListFormat::Ipset, ListFormat::Fail2ban];

/// Takes the bytes as a list in every format, and as an allowlist.
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let _ = ListFormat::recognize(data);
    let reader = ListReader::new(Term {
        start: START,
        ttl_s: 600,
        slides: true,
        hard_limit_s: 3_600,
    });
    let parser = |format| ListParser {
        reader,
        format,
        local_now: date(2026, 11, 29).at(20, 5, 0, 0),
    };
    for line in data.split(|byte| *byte == b'\n') {
        for format in FORMATS {
            let entry = parser(format).read_line(line);
            entry.ok().flatten().iter().for_each(check_entry);
        }
        if let Ok(record) = serde_json::from_slice::<DropRecord>(line) {
            let entry = record.read(&reader);
            entry.ok().flatten().iter().for_each(check_entry);
        }
    }
    let lines = data.split(|byte| *byte == b'\n').count();
    parser(ListFormat::Nft).read_nft(data, &mut |line, entry| {
        assert!((1..=lines).contains(&line), "line {line} of {lines}");
        entry.iter().for_each(check_entry);
    });
    if let Ok(document) = serde_json::from_slice::<NftDocument>(data) {
        document.read(&reader, &mut |entry| entry.iter().for_each(check_entry));
    }
    check_allowlist(&String::from_utf8_lossy(data));
}

/// Checks that the entry blocks its address or prefix, from the start on and not for
/// longer than a list may say.
fn check_entry(entry: &ListEntry) {
    let net = entry.target.net();
    assert_eq!(net.trunc(), net, "{entry:?}");
    assert!(net.contains(&entry.net), "{entry:?}");
    let end = START.plus(LONGEST);
    assert!((START..=end).contains(&entry.entry.expires), "{entry:?}");
}

/// Checks that an allowlist is read as it was written, also after an entry has been added
/// with an end and a comment from the data.
fn check_allowlist(text: &str) {
    let now = UnixSeconds::new(1_796_000_000);
    let Ok(mut list) = Allowlist::parse("allow", text, now) else {
        return;
    };
    assert_written(&list, now);
    let mut nets = list.nets().to_vec();
    nets.extend(parse_net("192.0.2.1"));
    let comment = text.lines().find_map(|line| checked_comment(line).ok());
    let first = text.bytes().next().unwrap_or_default();
    let days = Duration::from_secs(u64::from(first) * 86_400);
    let term = AllowTerm {
        until: (!first.is_multiple_of(4)).then(|| now.plus(days)),
        comment: comment.as_deref().filter(|_| first % 8 > 3),
        shortens: first % 16 > 7,
    };
    let added = list.add(&nets, term);
    for &net in &nets {
        let item = list.item(net);
        assert!(item.is_some(), "{net} {term:?}: {list}");
        let is_new = added.added.contains(&net) || added.changed.contains(&net);
        if let Some(item) = item.filter(|_| is_new) {
            assert_eq!(item.end.time(), term.until, "{net}: {list}");
            assert!(term.comment.is_none_or(|comment| comment == item.comment));
        }
    }
    assert_written(&list, now);
    list.remove(&nets);
    assert_written(&list, now);
}

fn assert_written(list: &Allowlist, now: UnixSeconds) {
    let again = Allowlist::parse("allow", &list.to_string(), now).ok();
    assert_eq!(again.as_ref(), Some(list));
}
