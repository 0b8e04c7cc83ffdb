//! What the text of a 511 tells.

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

/// Whether Courier refused the recipient in words of its own.
pub fn is_own(text: &[u8]) -> bool {
    COURIERS_OWN.contains(&text.trim_ascii())
}

/// Whether Courier knows no such recipient.
pub fn is_unknown_user(text: &[u8]) -> bool {
    text.trim_ascii() == UNKNOWN_USER
}
