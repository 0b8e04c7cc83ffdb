//! Addresses with which a blocklist refuses to answer.

use std::net::Ipv4Addr;

/// Whether an address is a refusal to serve, which says nothing about the
/// source. Source: <https://www.spamhaus.org/news/article/788/>.
#[must_use]
pub fn is_refusal(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [127, 255, 255, _])
}

/// Explains the address of a refusal, with the administrator's next step.
#[must_use]
pub fn explain(address: Ipv4Addr) -> &'static str {
    match address.octets() {
        [127, 255, 255, 252] => {
            "there is no such list; correct its name in `zones`, or in Courier's BLACKLISTS"
        }
        [127, 255, 255, 254] => {
            "it does not serve public name servers; query it through a resolver of your own, or with a key from the blocklist"
        }
        [127, 255, 255, 255] => {
            "it received too many queries; get a key from the blocklist, and see `max_lookups_per_day`"
        }
        _ => {
            "it refuses your name server; query it through a resolver of your own, or with a key from the blocklist"
        }
    }
}
