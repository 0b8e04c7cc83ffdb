//! Texts with which a blocklist complains about the query instead of listing a
//! source, and texts of allow-lists.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// Texts that are no listings. A mail server that treats any answer as a listing rejects
/// the source and logs such a text as the reason.
///
/// - `open resolver`, `returnc`: Spamhaus's error codes 127.255.255.254 and
///   127.255.255.255, <https://www.spamhaus.org/news/article/788/>
/// - `query refused`: URIBL, <http://uribl.com/refused.shtml>
/// - `shut down`: a blocklist that is wound up may list everybody and say so
/// - [`REFUSAL`]
/// - the others are allow-lists, which a server should not reject by
const COMPLAINTS: [&[u8]; 9] = [
    REFUSAL,
    b"open resolver",
    b"returnc",
    b"query refused",
    b"shut down",
    b"dnswl",
    b"wl.mailspike",
    b"swl.spamhaus",
    b"iadb.isipp",
];

/// The start of the addresses with which a blocklist refuses to serve.
const REFUSAL: &[u8] = b"127.255.255.";

/// Whether the text complains about the query, quotes the address of a refusal,
/// or names an allow-list.
pub fn is_complaint(text: &[u8]) -> bool {
    // The fastest kind, because each rejection is searched.
    static SEARCH: LazyLock<AhoCorasick> = LazyLock::new(|| {
        let built = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(COMPLAINTS);
        built.expect("the texts are constants, and each is used in a test")
    });
    let mut found = SEARCH.find_iter(text);
    found.any(|found| {
        COMPLAINTS[found.pattern()] != REFUSAL || is_address(text, found.start(), found.end())
    })
}

/// Whether `text[start..end]`, which is [`REFUSAL`], begins an address of 127.255.255.0/24.
fn is_address(text: &[u8], start: usize, end: usize) -> bool {
    let before = start.checked_sub(1).and_then(|before| text.get(before));
    let is_start = before.is_none_or(|byte| !byte.is_ascii_digit() && *byte != b'.');
    is_start && text.get(end).is_some_and(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::is_complaint;

    #[test]
    fn texts_about_the_query_are_complaints() {
        for text in [
            "Error: open resolver; https://check.spamhaus.org/returnc/pub/192.0.2.53",
            "ERROR: OPEN RESOLVER",
            "https://check.spamhaus.org/ReturnC/vol/",
            "blocked using multi.uribl.com; 127.0.0.1 -> Query Refused. See http://uribl.com/refused.shtml",
            "blocked using dnsbl.old.example; List shut down. See: http://www.old.example/notice",
            "192.0.2.1 is listed at zen.spamhaus.org (127.255.255.254)",
            "listed at zen.spamhaus.org: 127.255.255.252",
            "127.255.255.255",
            "127.255.255.x and 127.255.255.127.255.255.1 and 127.255.255.1",
            "Client host blocked using list.dnswl.org",
        ] {
            assert!(is_complaint(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn texts_about_the_peer_are_none() {
        for text in [
            "",
            "192.0.2.1 is listed at zen.spamhaus.org (127.0.0.4)",
            "see https://www.spamhaus.org/query/ip/192.0.2.1",
            "relaying refused",
            "the message was refused: listed at bl.example",
            "327.255.255.1 1.127.255.255.1 127.255.255. 127.255.25.5",
            "127.127.255.255.1",
            "shutdown",
        ] {
            assert!(!is_complaint(text.as_bytes()), "{text}");
        }
    }
}
