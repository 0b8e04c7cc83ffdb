//! Whether a reply in the administrator's words is about a DNS blocklist.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::address;
use super::server::grammar;

/// Names a DNS blocklist: a word for one, or its zone.
static LIST: LazyLock<Regex> = LazyLock::new(|| {
    grammar(
        r"(?i)\b(?:dns-?bl|rbl)s?\b|\b(?:listed (?:at|by|in|on)|blocked using) (?:https?://)?[a-z0-9-]+\.[a-z0-9.-]*[a-z]",
    )
});

/// What else is looked up in one: content, or what a forwarder passes on.
static OTHER: LazyLock<Regex> =
    LazyLock::new(|| grammar(r"(?i)\b(?:dbl|rhsbl|surbl|uribl|ur[il]s?|domains?|senders?|helo)\b"));

/// A word that is used for an administrator's own lists, of senders too.
static BLACKLIST: LazyLock<Regex> =
    LazyLock::new(|| grammar(r"(?i)\b(?:black|block|deny)[ -]?list"));

static ADDRESS: LazyLock<Regex> = LazyLock::new(|| grammar(r"[0-9A-Fa-f:.]*[0-9A-Fa-f]"));

/// Whether `text` says that the host `addr` is on a blocklist: it names the
/// address and speaks of a list, or it names a DNS blocklist and nothing but a
/// host that could be on it.
pub(super) fn says_listed(text: &[u8], addr: IpAddr) -> bool {
    let list = LIST.is_match(text);
    list && !OTHER.is_match(text) || (list || BLACKLIST.is_match(text)) && names(text, addr)
}

/// Whether a line may be about a list at all.
pub(super) fn speaks_of_list(line: &[u8]) -> bool {
    LIST.is_match(line) || BLACKLIST.is_match(line)
}

fn names(text: &[u8], addr: IpAddr) -> bool {
    let mut named = ADDRESS.find_iter(text);
    named.any(|found| address::plain(found.as_bytes()) == Some(addr))
}
