//! Decides whether a reply in the administrator's words says that the peer is
//! on a DNS blocklist.
//!
//! Such a text may contain words of the peer, of a sender that a forwarder
//! passes on, or of another server. A rejection that is missed costs only a
//! look-up at the next connection, but a text that is wrongly taken as one costs
//! mail. Therefore words that the peer chose are removed first, and a text is
//! taken only if nothing in it refers to something other than the peer. The
//! patterns are in `reply_patterns.txt`.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::LazyLock;

use memchr::memmem;
use regex::bytes::{Captures, Regex};

use super::address;
use super::grammar::expression;
use super::reply_patterns::{REPLY_PATTERNS, ReplyPatterns};
use crate::dnsbl::complaint::is_complaint;

static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| expression(r"(?:\bipv6:)?([0-9a-f:.]*[0-9a-f])"));

static QUAD: LazyLock<Regex> = LazyLock::new(|| expression(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"));

/// The longest text that is examined, in bytes; no server's reply is longer.
const MOST: usize = 1024;

/// Whether `text` says that the host `addr` is on a blocklist: it names a DNS
/// blocklist, or it mentions a list and contains the address, or it has a URL of a
/// list with the address in it. `chosen`: text elsewhere in the line that the peer
/// chose. `names`: the part of the line with the peer's host name and HELO. The error
/// is the reason why the text does not say so, or not reliably.
pub(super) fn says_listed(
    text: &[u8],
    addr: IpAddr,
    chosen: &[u8],
    names: &[u8],
) -> Result<(), &'static str> {
    says_listed_by(&REPLY_PATTERNS, text, addr, chosen, names)
}

/// As [`says_listed`], with other patterns.
pub(super) fn says_listed_by(
    patterns: &ReplyPatterns,
    text: &[u8],
    addr: IpAddr,
    chosen: &[u8],
    names: &[u8],
) -> Result<(), &'static str> {
    if text.len() > MOST || chosen.len() > MOST || names.len() > MOST {
        return Err("it is too long to be examined");
    }
    let text = text.to_ascii_lowercase();
    if memmem::find(&text, b"response to \"").is_some() {
        return Err("its text quotes another server");
    }
    if memmem::find(&text, b"\"@").is_some() {
        return Err("its text holds a quoted mailbox, which may hold anything");
    }
    let unnamed = without_names(&text, &names.to_ascii_lowercase());
    if patterns.not.is_match(&unnamed) {
        return Err("its text is not about a listed address");
    }
    if is_about_other(patterns, &unnamed) {
        return Err("its text is about a sender, a domain, a URL or another server");
    }
    let is_code = |other: &IpAddr| matches!(other, IpAddr::V4(addr) if addr.is_loopback());
    if addresses(&unnamed).any(|other| other != addr && !is_code(&other)) {
        return Err("its text names another address");
    }
    let text = without(&text, &chosen.to_ascii_lowercase());
    let names = |text| addresses(text).any(|named| named == addr);
    let paged = || {
        patterns
            .page
            .find_iter(&text)
            .any(|page| names(page.as_bytes()))
    };
    if patterns.list.is_match(&text) || patterns.some.is_match(&text) && names(&text) || paged() {
        Ok(())
    } else {
        Err("its text is not certain to be about a blocklist; if it is, write a [[pattern]]")
    }
}

/// The text, or the text without the peer's names if only they make it a complaint of the
/// blocklist. `names` is that of [`says_listed`].
pub(super) fn without_false_complaint<'text>(text: &'text [u8], names: &[u8]) -> Cow<'text, [u8]> {
    if !is_complaint(text) {
        return text.into();
    }
    let unnamed = without_names(&text.to_ascii_lowercase(), &names.to_ascii_lowercase());
    if is_complaint(&unnamed) {
        text.into()
    } else {
        unnamed.into()
    }
}

/// Whether a line may be about a list, by the prefilter.
pub(super) fn speaks_of_list(line: &[u8]) -> bool {
    REPLY_PATTERNS.hint.is_match(line)
}

/// Words in the names of allow-lists.
const ALLOWLISTS: [&[u8]; 3] = [b"dnswl", b"whitelist", b"allowlist"];

/// Whether the zone that the text from ` blocked using ` on names is an allow-list,
/// by its name. Allocates nothing, because it is called for every rejection.
pub(super) fn is_allowlist(text: &[u8]) -> bool {
    let zone = text.strip_prefix(b" blocked using ").unwrap_or(text);
    let end = memchr::memchr2(b';', b' ', zone).unwrap_or(zone.len());
    let zone = zone.get(..end).unwrap_or_default();
    let is_in = |word: &&[u8]| {
        let mut parts = zone.windows(word.len());
        parts.any(|part| part.eq_ignore_ascii_case(word))
    };
    ALLOWLISTS.iter().any(is_in)
}

/// Whether a text says that something other than the peer's address is listed.
/// Host names in it are ignored, because a peer chooses its own, but the names of
/// lists of domains are not.
fn is_about_other(patterns: &ReplyPatterns, text: &[u8]) -> bool {
    static NAME: LazyLock<Regex> =
        LazyLock::new(|| expression(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.[a-z][a-z0-9-]*"));
    static DOMAINS: LazyLock<Regex> =
        LazyLock::new(|| expression(r"\b(?:dbl|rhsbl|surbl|uribl)\b"));
    let text = patterns.peer.replace_all(text, &b"@"[..]);
    let text = NAME.replace_all(&text, |name: &Captures<'_>| {
        let name = name.get(0).map_or(&b""[..], |name| name.as_bytes());
        if DOMAINS.is_match(name) {
            name.to_vec()
        } else {
            b"@".to_vec()
        }
    });
    patterns.other.is_match(&text)
}

/// Replaces each host name that stands in `names` by `@`. Words without a dot
/// stay, so that a peer cannot remove a `not`.
fn without_names(text: &[u8], names: &[u8]) -> Vec<u8> {
    let is_end = |byte: &u8| b" <>@\"'(),;:=[]".contains(byte);
    let is_name = |word: &[u8]| {
        memchr::memchr(b'.', word).is_some() && names.split(is_end).any(|name| name == word)
    };
    let words = text.split_inclusive(is_end);
    let words = words.flat_map(|word| {
        let (end, name) = word.split_last().map_or((None, word), |(last, before)| {
            if is_end(last) {
                (Some(*last), before)
            } else {
                (None, word)
            }
        });
        let name = if is_name(name) { b"@" } else { name };
        name.iter().copied().chain(end)
    });
    words.collect()
}

/// All addresses in a text. An IPv4 address is found also if a port follows it.
fn addresses(text: &[u8]) -> impl Iterator<Item = IpAddr> {
    let found = ADDRESS.captures_iter(text);
    found.filter_map(|found| {
        let bytes = found.get(1)?.as_bytes();
        address::plain(bytes).or_else(|| address::plain(QUAD.find(bytes)?.as_bytes()))
    })
}

/// Replaces each word that is a mailbox or shares a part with `chosen` by `@`.
/// Both arguments are in lower case.
fn without(text: &[u8], chosen: &[u8]) -> Vec<u8> {
    let is_end = |byte: &u8| b" <>@\"'(),;:=[]".contains(byte);
    let terms: Vec<_> = chosen
        .split(is_end)
        .filter(|term| !term.is_empty())
        .collect();
    let repeats = |word: &&[u8]| {
        let bare = trim(word);
        memchr::memchr(b'@', word).is_some()
            || !bare.is_empty() && stands_in(bare, chosen)
            || terms.iter().any(|term| stands_in(term, word))
    };
    let words = text.split(u8::is_ascii_whitespace);
    let words = words.map(|word| if repeats(&word) { b"@" } else { word });
    words.collect::<Vec<_>>().join(&b' ')
}

/// Removes bytes that are neither letter nor digit from both ends.
fn trim(word: &[u8]) -> &[u8] {
    let start = word.iter().position(u8::is_ascii_alphanumeric);
    let end = word.iter().rposition(u8::is_ascii_alphanumeric);
    start
        .zip(end)
        .and_then(|(start, end)| word.get(start..=end))
        .unwrap_or_default()
}

/// Whether `whole` contains `part` with no adjacent letter or digit.
fn stands_in(part: &[u8], whole: &[u8]) -> bool {
    let is_free = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    memmem::find_iter(whole, part).any(|at| {
        is_free(at.checked_sub(1).and_then(|before| whole.get(before)))
            && is_free(whole.get(at + part.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_make_its_listing_a_complaint_by_its_names() {
        let names = b"H=returnc.example.net (dnswl.example.net) ";
        let kept = |text: &[u8]| without_false_complaint(text, names).as_ref() == text;
        let listed = b"Returnc.example.net (dnswl.example.net) [192.0.2.1] is on an RBL";
        let unnamed = without_false_complaint(listed, names);
        assert_eq!(unnamed.as_ref(), b"@ (@) [192.0.2.1] is on an rbl");
        assert!(kept(b"192.0.2.1 is on an RBL"));
        assert!(kept(b"dnswl.example.net: open resolver"));
        assert!(kept(b"192.0.2.1 is listed at list.dnswl.org"));
    }
}
