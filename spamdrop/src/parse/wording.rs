//! Whether a reply in the administrator's words is about a DNS blocklist.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::address;
use super::server::grammar;

/// Names a list: a word for one, or where it is.
static LIST: LazyLock<Regex> = LazyLock::new(|| {
    grammar(
        r"(?i)\b(?:dns-?[bw]?l|rbl)s?\b|\b(?:listed|found|list|blocked) (?:at|by|in|on|using) (?:[a-z][a-z+.-]*://)?[a-z0-9-]+\.[a-z0-9.-]*[a-z]",
    )
});

/// A word that is used for an administrator's own lists, of senders too.
static BLACKLIST: LazyLock<Regex> =
    LazyLock::new(|| grammar(r"(?i)\b(?:black|block|deny)[ -]?list"));

static ADDRESS: LazyLock<Regex> = LazyLock::new(|| grammar(r"[0-9A-Fa-f:.]*[0-9A-Fa-f]"));

/// Whether `text` says that `addr` is on a blocklist: it speaks of a DNS
/// blocklist; or of a blacklist, and of this address.
pub(super) fn says_listed(text: &[u8], addr: IpAddr) -> bool {
    LIST.is_match(text) || BLACKLIST.is_match(text) && names(text, addr)
}

/// Whether a line may be about a list at all.
pub(super) fn speaks_of_list(line: &[u8]) -> bool {
    LIST.is_match(line) || BLACKLIST.is_match(line)
}

fn names(text: &[u8], addr: IpAddr) -> bool {
    let mut named = ADDRESS.find_iter(text);
    named.any(|found| address::plain(found.as_bytes()) == Some(addr))
}
