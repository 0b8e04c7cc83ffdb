//! Courier's log lines. The peer chooses the sender and the recipient in them;
//! the operator of a blocklist chooses the text.
//!
//! Courier passes every string through one sanitiser, and so does this module,
//! so that no peer can forge a line or a field. One bug of Courier is not
//! imitated: after a bare carriage return, it reads past the end of a string.

use std::net::{IpAddr, SocketAddr};

/// Length in bytes at which Courier truncates a string.
const LONGEST: usize = 128;

/// The line for a new connection.
#[must_use]
pub fn started(peer: SocketAddr) -> Vec<u8> {
    let (ip, port) = (relay(peer), peer.port());
    format!("started,ip=[{ip}],port=[{port}]").into_bytes()
}

/// The line for a refusal. `sender` and `recipient` are results of [`mailbox`];
/// `reply` is one line of the reply with its code.
#[must_use]
pub fn refused(peer: SocketAddr, sender: &[u8], recipient: &[u8], reply: &str) -> Vec<u8> {
    let (ip, port) = (relay(peer), peer.port());
    let start = format!("error,relay={ip},port={port},from=");
    let reply = sanitised(reply.as_bytes().iter().copied());
    [start.as_bytes(), sender, b",to=", recipient, b": ", &reply].concat()
}

/// An address in the logged form, in angle brackets. A truncated address has no
/// `>`.
#[must_use]
pub fn mailbox(address: &[u8]) -> Vec<u8> {
    // These bytes would end the field.
    let blanked = address.iter().map(|byte| match byte {
        b'<' | b'>' | b':' => b' ',
        other => *other,
    });
    let brackets = (b"<", b">");
    let begin = brackets.0.iter().copied();
    sanitised(begin.chain(blanked).chain(brackets.1.iter().copied()))
}

fn sanitised(bytes: impl Iterator<Item = u8>) -> Vec<u8> {
    let printable = |byte| match byte {
        b'\n' => b'/',
        0..b' ' => b'.',
        other => other,
    };
    let mut bytes = bytes.filter(|byte| *byte != b'\r').map(printable);
    let mut clean: Vec<u8> = bytes.by_ref().take(LONGEST).collect();
    if bytes.next().is_some() {
        clean.extend(b"...");
    }
    clean
}

/// The peer's address as Courier's IPv6 sockets show it: IPv4 is IPv4-mapped.
fn relay(peer: SocketAddr) -> IpAddr {
    match peer.ip().to_canonical() {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().into(),
        addr => addr,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::time::SystemTime;

    use super::*;
    use crate::event::EventKind;
    use crate::log::{Parsed, Parser, ParserSettings};

    fn refused_line(peer: &str, sender: &[u8], recipient: &[u8], reply: &str) -> Vec<u8> {
        let peer = peer.parse().unwrap();
        refused(peer, &mailbox(sender), &mailbox(recipient), reply)
    }

    fn into_text(line: Vec<u8>) -> String {
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn lines_are_those_of_courier() {
        assert_eq!(
            into_text(refused_line(
                "192.0.2.1:40112",
                b"a@example.net",
                b"b@example.com",
                "511 Blocked"
            )),
            "error,relay=::ffff:192.0.2.1,port=40112,from=<a@example.net>,to=<b@example.com>: 511 Blocked"
        );
        assert_eq!(
            into_text(refused_line("[2001:db8::66]:1", b"", b"b@c", "511-x")),
            "error,relay=2001:db8::66,port=1,from=<>,to=<b@c>: 511-x"
        );
        assert_eq!(
            into_text(started("[::ffff:192.0.2.1]:7".parse().unwrap())),
            "started,ip=[::ffff:192.0.2.1],port=[7]"
        );
    }

    /// The lengths were observed on a real Courier.
    #[test]
    fn strings_are_cut_as_courier_cuts_them() {
        let long = [b'a'; 500];
        let cut = format!("<{}...", "a".repeat(127));
        assert_eq!(into_text(mailbox(&long)), cut);
        assert_eq!(
            into_text(mailbox(&long[..126])),
            format!("<{}>", "a".repeat(126))
        );
        let reply = format!("511 {}", "t".repeat(125));
        let logged = into_text(refused_line("192.0.2.1:1", b"", b"", &reply));
        assert!(logged.ends_with(&format!(": 511 {}...", "t".repeat(124))));
    }

    #[test]
    fn nothing_ends_a_field_or_a_line() {
        assert_eq!(
            mailbox(b"a>,to=<b>: 511 x\n\r\0\x1f\x7f\xff@c"),
            b"<a ,to= b   511 x/..\x7f\xff@c>"
        );
    }

    #[test]
    fn our_own_parser_takes_them_as_couriers() {
        let long = [b'x'; 300];
        for (sender, recipient) in [
            (&b"a@example.net"[..], &b"b@example.com"[..]),
            (b"x>,to=<y>: 250 Ok", b"error,relay=::ffff:9.9.9.9,port=1"),
            (&long, &long),
            (b"\r\n\0", b"..."),
        ] {
            let message = refused_line("192.0.2.1:40112", sender, recipient, "511 Listed");
            let stamp = b"Nov 23 08:50:54 mx1 courieresmtpd: ";
            let whole = [&stamp[..], &message].concat();
            let mut parser = Parser::new(ParserSettings::default());
            let Parsed::Event(event) = parser.parse(&whole, SystemTime::UNIX_EPOCH) else {
                panic!("{}", String::from_utf8_lossy(&whole));
            };
            assert_eq!(event.addr.to_string(), "192.0.2.1");
            let text = b"Listed"[..].into();
            assert_eq!(event.kind, EventKind::Rejected { text });
        }
    }
}
