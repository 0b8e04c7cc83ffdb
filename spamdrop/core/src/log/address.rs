//! Bytes → address.

use std::net::{IpAddr, Ipv4Addr};

/// An address as the kernel's library prints it; an IPv4-mapped one becomes
/// IPv4. No port, no zone, no brackets.
pub(super) fn plain(bytes: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(bytes).ok()?;
    // The most frequent form: quicker than by way of IPv6.
    let mapped = text.strip_prefix("::ffff:");
    if let Some(addr) = mapped.and_then(|text| text.parse::<Ipv4Addr>().ok()) {
        return Some(addr.into());
    }
    let addr: IpAddr = text.parse().ok()?;
    Some(addr.to_canonical())
}

/// As [`plain`], or with the `IPv6:` of RFC 5321's address literals before it.
pub(super) fn tagged(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.split_at_checked("IPv6:".len()) {
        Some((tag, addr)) if tag.eq_ignore_ascii_case(b"IPv6:") => plain(addr),
        _ => plain(bytes),
    }
}

/// What stands between the brackets at the start of `bytes`, read as an
/// address, and what follows them. `None` without brackets; their content may
/// be no address.
pub(super) fn bracketed(bytes: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let inside = bytes.strip_prefix(b"[")?;
    let (addr, rest) = inside.split_at_checked(memchr::memchr(b']', inside)?)?;
    Some((tagged(addr), rest.strip_prefix(b"]")?))
}
