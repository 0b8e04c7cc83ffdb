//! IPv4 senders behind NAT64 (RFC 6052): a translator puts the IPv4 address
//! into the last four bytes of an IPv6 address.
//!
//! In every map, such a sender has its IPv4 address as key, because its /64 would
//! contain the whole IPv4 Internet.

/// The first twelve bytes of an address, as words in memory order.
pub type Prefix = [u32; 3];

/// Maximum number of prefixes beside [`WELL_KNOWN`].
pub const MAX_PREFIXES: usize = 4;

/// 64:ff9b::/96.
pub const WELL_KNOWN: Prefix = [u32::from_ne_bytes([0, 0x64, 0xff, 0x9b]), 0, 0];

/// The prefix of an address.
#[inline(always)]
#[must_use]
pub const fn prefix(address: [u8; 16]) -> Prefix {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = address;
    [
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
        u32::from_ne_bytes([i, j, k, l]),
    ]
}

/// The last four bytes of an address. They are an IPv4 address if the prefix is that
/// of a translator.
#[inline(always)]
#[must_use]
pub const fn embedded(address: [u8; 16]) -> [u8; 4] {
    let [.., m, n, o, p] = address;
    [m, n, o, p]
}
