//! Parses addresses in log lines.

use std::net::{IpAddr, Ipv4Addr};

use crate::nat64::canonical;

/// Parses an address in the form of the C library. An address that is
/// IPv4-mapped or behind NAT64 becomes IPv4. A port, a scope such as `%eth0` or
/// brackets are not accepted.
pub(super) fn plain(bytes: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(bytes).ok()?;
    // The most frequent form first: parsing it as IPv6 would be slower.
    let mapped = text.strip_prefix("::ffff:");
    if let Some(addr) = mapped.and_then(|text| text.parse::<Ipv4Addr>().ok()) {
        return Some(addr.into());
    }
    text.parse().ok().map(canonical)
}

/// As [`plain`], with an optional `IPv6:` prefix of RFC 5321's address
/// literals.
pub(super) fn tagged(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.split_at_checked("IPv6:".len()) {
        Some((tag, addr)) if tag.eq_ignore_ascii_case(b"IPv6:") => plain(addr),
        _ => plain(bytes),
    }
}

/// The address in the brackets at the start of `bytes`, and the text after
/// them. `None` without brackets; the inner `None` if their content is not an
/// address.
pub(super) fn bracketed(bytes: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let inside = bytes.strip_prefix(b"[")?;
    let (addr, rest) = inside.split_at_checked(memchr::memchr(b']', inside)?)?;
    Some((tagged(addr), rest.strip_prefix(b"]")?))
}
