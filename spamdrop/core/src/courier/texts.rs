//! What the text of a 511 tells.

use memchr::memchr2_iter;

/// Courier answers 511 for any refusal of a recipient that has no code of its
/// own. These are its own words in that place (`submit.C` of Courier 0.72 to
/// 2.0.4, with its spelling); the rest come from a blocklist, from
/// `smtpaccess`, or from a recipient's own filter.
const COURIERS_OWN: [&[u8]; 3] = [
    UNKNOWN_USER,
    b"Undeliverable address.",
    b"Headers specify no receipients.",
];

/// Those of [`COURIERS_OWN`] that tell of the recipient, and not of what the
/// server cannot do.
const UNKNOWN_USER: &[u8] = b"Unknown user.";

/// What blocklists answer to a query they will not serve. Courier takes any
/// answer for a listing.
/// Source: <https://www.spamhaus.org/news/article/788/>, error codes
/// 127.255.255.254 and 127.255.255.255.
const COMPLAINTS: [&[u8]; 2] = [b"open resolver", b"returnc"];

/// Whether Courier refused the recipient in words of its own.
pub fn is_own(text: &[u8]) -> bool {
    COURIERS_OWN.contains(&text.trim_ascii())
}

/// Whether Courier knows no such recipient.
pub fn is_unknown_user(text: &[u8]) -> bool {
    text.trim_ascii() == UNKNOWN_USER
}

/// Whether the text complains of the query.
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
