//! Texts with which a blocklist complains about the query instead of listing a
//! source, and texts of lists that list nobody bad.

use memchr::{memchr_iter, memchr2_iter};

/// A mail server that treats any answer as a listing logs these as a rejection.
///
/// - `open resolver`, `returnc`: Spamhaus's error codes 127.255.255.254 and
///   127.255.255.255, <https://www.spamhaus.org/news/article/788/>
/// - `query refused`: URIBL, <http://uribl.com/refused.shtml>
/// - `shut down`: a blocklist that is wound up may list everybody and say so
/// - the others are allow-lists, which a server should not reject by
const COMPLAINTS: [&[u8]; 8] = [
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
    COMPLAINTS
        .iter()
        .any(|complaint| holds_in_any_case(text, complaint))
        || quotes_refusal(text)
}

/// Whether the text contains an address of 127.255.255.0/24.
fn quotes_refusal(text: &[u8]) -> bool {
    memchr_iter(b'1', text).any(|at| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        let is_start = before.is_none_or(|byte| !byte.is_ascii_digit() && *byte != b'.');
        let rest = text.get(at..).and_then(|rest| rest.strip_prefix(REFUSAL));
        is_start && matches!(rest, Some([b'0'..=b'9', ..]))
    })
}

fn holds_in_any_case(text: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else {
        return true;
    };
    memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text).any(|at| {
        text.get(at..at + part.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(part))
    })
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
            "shutdown",
        ] {
            assert!(!is_complaint(text.as_bytes()), "{text}");
        }
    }
}
