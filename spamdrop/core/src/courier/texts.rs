//! Classifies the text of a 511 reply.

/// Courier's own texts of a 511 (`submit.C` of Courier 0.72 to 2.0.4, with its
/// spelling). Courier replies 511 if the text of a refusal has no other code. All
/// other texts come from a blocklist, from `smtpaccess`, or from a recipient's own
/// filter.
const COURIERS_OWN: [&[u8]; 3] = [
    UNKNOWN_USER,
    b"Undeliverable address.",
    b"Headers specify no receipients.",
];

/// The only text of [`COURIERS_OWN`] that concerns the recipient. The others
/// concern limits of the server or the message.
const UNKNOWN_USER: &[u8] = b"Unknown user.";

/// Whether Courier refused the recipient with one of its own texts.
pub fn is_own(text: &[u8]) -> bool {
    COURIERS_OWN.contains(&text.trim_ascii())
}

/// Whether Courier refused the recipient because it does not exist.
pub fn is_unknown_user(text: &[u8]) -> bool {
    text.trim_ascii() == UNKNOWN_USER
}
