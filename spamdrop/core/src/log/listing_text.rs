//! Decides whether a reply in the administrator's words says that the peer is
//! on a DNS blocklist.
//!
//! Such a text may contain words of the peer, of a sender that a forwarder
//! passes on, or of another server. A missed rejection costs only a look-up the
//! next time, but a wrong one costs mail. Therefore words that the peer chose
//! are removed first, and a text is taken only if nothing in it refers to
//! something else.

use std::net::IpAddr;
use std::sync::LazyLock;

use memchr::memmem;
use regex::bytes::Regex;

use super::address;
use super::grammar::expression;

/// Labels in the domains of blocklists.
const LABEL: &str = r"\b(?:(?:dns|[a-z])?bl|rbl|(?:black|block|deny)-?list|spamhaus|spamcop|abuseat|barracudacentral|uceprotect|sorbs|spamrats|mailspike|surriel|gbudb|spameatingmonkey)\b";

/// Names a DNS blocklist: a word for one, or its zone.
static LIST: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"\b(?:dns-?bl|rbl)s?\b|\b(?:listed (?:at|by|in|on)|blocked using) (?:https?://)?[a-z0-9-]+\.[a-z0-9.-]*[a-z]",
    )
});

/// Mentions some list, which may list something other than hosts.
static SOME_LIST: LazyLock<Regex> = LazyLock::new(|| {
    expression(&format!(
        r"\b(?:black|block|deny)[ -]?list|\bblackhole|\blisted\b|\b(?:blocked|found) (?:at|by|in|using) [a-z0-9.-]*{LABEL}"
    ))
});

/// The web page of a list.
static PAGE: LazyLock<Regex> =
    LazyLock::new(|| expression(&format!(r"\bhttps?://[^ ]*{LABEL}[^ ]*")));

/// A prefilter: it matches every text that could name a list, and others.
static HINT: LazyLock<Regex> = LazyLock::new(|| {
    expression(&format!(
        r"(?i){LABEL}|\bdns-?bl|\b(?:black|block|deny)[ -]?list|\bblackhole|\blisted\b|\bblocked\b|\bhttps?://[^ ]*[0-9]+\.[0-9]+\.[0-9]+\.[0-9]"
    ))
});

/// Mentions an allow-list, a delay, or that something is not listed.
static DENIAL: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"dnswl|\b(?:white|allow|pass|gr[ae]y)[ -]?list|n't\b|\b(?:not?|nor|no longer|never) (?:[a-z]+ ){0,2}(?:in|on|at|by|found|(?:[a-z]+[ -]?)?list(?:ed)?)\b",
    )
});

/// Mentions other data that is looked up in a list: content, or data that a
/// forwarder passes on.
static OTHER: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"\b(?:dbl|rhsbl|surbl|uribl|ur[il]s?|domains?|senders?|helo|ehlo|received|verif(?:y|ied|ication)|callout|remote)\b",
    )
});

static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| expression(r"(?:\bipv6:)?([0-9a-f:.]*[0-9a-f])"));

static QUAD: LazyLock<Regex> = LazyLock::new(|| expression(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"));

/// The number of bytes that are examined; no server's reply is longer.
const MOST: usize = 1024;

/// Whether `text` says that the host `addr` is on a blocklist. It does if it
/// names a DNS blocklist, or if it contains the address and either mentions a
/// list or contains the web page of one. `chosen` is the other text in the line
/// that the peer chose. The error is the reason why the text does not say so,
/// or not reliably.
pub(super) fn says_listed(text: &[u8], addr: IpAddr, chosen: &[u8]) -> Result<(), &'static str> {
    if text.len() > MOST || chosen.len() > MOST {
        return Err("it is too long to be examined");
    }
    let text = text.to_ascii_lowercase();
    if memmem::find(&text, b"response to \"").is_some() {
        return Err("its text quotes another server");
    }
    if memmem::find(&text, b"\"@").is_some() {
        return Err("its text holds a quoted mailbox, which may hold anything");
    }
    if DENIAL.is_match(&text) {
        return Err("its text is not about a listed address");
    }
    if OTHER.is_match(&text) {
        return Err("its text is about a sender, a domain, a URL or another server");
    }
    let is_code = |other: &IpAddr| matches!(other, IpAddr::V4(addr) if addr.is_loopback());
    if addresses(&text).any(|other| other != addr && !is_code(&other)) {
        return Err("its text names another address");
    }
    let text = without(&text, &chosen.to_ascii_lowercase());
    let names = |text| addresses(text).any(|named| named == addr);
    let paged = || PAGE.find_iter(&text).any(|page| names(page.as_bytes()));
    if LIST.is_match(&text) || SOME_LIST.is_match(&text) && names(&text) || paged() {
        Ok(())
    } else {
        Err("its text is not certain to be about a blocklist; if it is, write a [[pattern]]")
    }
}

/// Whether a line may be about a list, by the prefilter.
pub(super) fn speaks_of_list(line: &[u8]) -> bool {
    HINT.is_match(line)
}

/// All addresses in a text. None of them may have a zone or a port.
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
