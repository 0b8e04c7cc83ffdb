//! Keys in the names of zones. Some blocklists give each customer a zone of its
//! own, as in `KEY.zen.dq.spamhaus.net`: whoever knows the name can query at the
//! customer's expense.

use std::borrow::Cow;

/// The domains below which zones have keys.
const KEYED: [&str; 3] = ["dq.spamhaus.net", "abusix.zone", "dnsbl.abusix.com"];
/// The length of the shortest key. Shorter labels are names, such as `combined`.
const SHORTEST_KEY: usize = 20;
/// The text in place of a key.
const MASK: &str = "***";

/// The text with the keys in it replaced by `***`. Every output that names a
/// zone passes through this.
#[must_use]
pub fn mask(text: &str) -> Cow<'_, str> {
    let lower = text.to_ascii_lowercase();
    if !KEYED.iter().any(|domain| lower.contains(domain)) {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        mask_name(name, &mut masked);
        let end = behind.find(is_of_name).unwrap_or(behind.len());
        let (between, behind) = behind.split_at(end);
        masked.push_str(between);
        rest = behind;
    }
    Cow::Owned(masked)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

fn mask_name(name: &str, masked: &mut String) {
    let lower = name.to_ascii_lowercase();
    let keyed = KEYED.iter().any(|domain| lower.contains(domain));
    for (index, label) in name.split('.').enumerate() {
        masked.push_str(if index > 0 { "." } else { "" });
        let is_key =
            label.len() >= SHORTEST_KEY && label.bytes().all(|b| b.is_ascii_alphanumeric());
        masked.push_str(if keyed && is_key { MASK } else { label });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_masked_wherever_they_stand() {
        for (text, expected) in [
            (
                "abcdefghijklmnopqrstuvwx12.zen.dq.spamhaus.net",
                "***.zen.dq.spamhaus.net",
            ),
            (
                "2.0.0.127.abcdefghijklmnopqrstuvwx12.ZEN.DQ.Spamhaus.net. failed",
                "2.0.0.127.***.ZEN.DQ.Spamhaus.net. failed",
            ),
            (
                "ü blocked using 0123456789abcdef0123456789abcdef.combined.mail.abusix.zone; x",
                "ü blocked using ***.combined.mail.abusix.zone; x",
            ),
            ("zen.spamhaus.org", "zen.spamhaus.org"),
            ("zen.dq.spamhaus.net", "zen.dq.spamhaus.net"),
            // The name of a host, not of a zone.
            (
                "abcdefghijklmnopqrstuvwx12.example.net, see dq.spamhaus.net",
                "abcdefghijklmnopqrstuvwx12.example.net, see dq.spamhaus.net",
            ),
            ("", ""),
        ] {
            assert_eq!(mask(text), expected);
        }
    }
}
