//! Texts with which a blocklist complains about the query instead of listing a
//! source.

use memchr::memchr2_iter;

/// Texts that blocklists return for a query that they refuse to serve. Courier
/// treats any answer as a listing. Source:
/// <https://www.spamhaus.org/news/article/788/>, error codes 127.255.255.254
/// and 127.255.255.255.
const COMPLAINTS: [&[u8]; 2] = [b"open resolver", b"returnc"];

/// Whether the text complains about the query.
pub fn is_complaint(text: &[u8]) -> bool {
    COMPLAINTS
        .iter()
        .any(|complaint| holds_in_any_case(text, complaint))
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
