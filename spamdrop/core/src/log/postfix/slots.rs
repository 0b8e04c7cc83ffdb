//! The lines that report the begin or the end of a connection.

use std::net::IpAddr;

use super::super::bytes::count_digits;
use super::super::slot_line::{SlotChange, SlotLine};
use super::{bracketed, named};

/// Whether the program is the `smtpd` of port 25. Other services, such as
/// `postfix/submission/smtpd`, have slots of their own.
pub(super) fn is_public(program: Option<&[u8]>) -> bool {
    program.is_some_and(|name| memchr::memchr_iter(b'/', name).count() < 2)
}

/// Parses `connect from NAME[IP]` and `disconnect from NAME[IP] …`.
pub(super) fn of_smtpd(message: &[u8]) -> Option<SlotLine> {
    slot(message, [b"connect from ", b"disconnect from "])
}

/// Parses `CONNECT from [IP]:PORT …`, `DISCONNECT [IP]:PORT`, and the lines of
/// [`handed_over`], after which the connection is another process's.
pub(super) fn of_postscreen(message: &[u8]) -> Option<SlotLine> {
    let slot = match handed_over(message) {
        Some((addr, port)) => SlotLine::new(addr, SlotChange::Closed).with_port(Some(port)),
        None => slot(message, [b"CONNECT from ", b"DISCONNECT "])?,
    };
    Some(slot.by_postscreen())
}

/// Parses `PASS NEW [IP]:PORT`, with which postscreen hands the connection of a
/// client to `smtpd`. `OLD`: the client has passed before. `ALLOWLISTED`, or
/// `WHITELISTED` before Postfix 3.6: the administrator's access list permits it.
pub(super) fn handed_over(message: &[u8]) -> Option<(IpAddr, u16)> {
    let words: [&[u8]; 4] = [b"PASS NEW ", b"PASS OLD ", b"ALLOWLISTED ", b"WHITELISTED "];
    let peer = words
        .iter()
        .find_map(|words| message.strip_prefix(*words))?;
    let (addr, port) = bracketed(peer)?;
    let port = str::from_utf8(port.strip_prefix(b":")?).ok()?;
    Some((addr?, port.parse().ok()?))
}

fn slot(message: &[u8], [opened, closed]: [&[u8]; 2]) -> Option<SlotLine> {
    let (peer, change) = match message.strip_prefix(opened) {
        Some(peer) => (peer, SlotChange::Opened),
        None => (message.strip_prefix(closed)?, SlotChange::Closed),
    };
    let (addr, rest) = named(peer)?;
    let port = rest.strip_prefix(b":").and_then(|rest| {
        let digits = rest.get(..count_digits(rest))?;
        str::from_utf8(digits).ok()?.parse().ok()
    });
    Some(SlotLine::new(addr?, change).with_port(port))
}
