//! Property tests: mailboxes and replies that a peer can choose, rendered as
//! Postfix and Exim log a delivery.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use proptest::collection::vec;
use proptest::prelude::*;

use super::{MailServer, Parsed, Parser, ParserSettings};
use crate::event::EventKind;

/// The least length at which a syslogd truncates a message, without its header.
const TRUNCATED: usize = 900;

const PIECES: &[&str] = &[
    ">, relay=x[9.9.9.9]:25, ",
    ", relay=",
    "x[9.9.9.9]:25",
    ", delay=1, ",
    ", status=sent (",
    ", status=sent (250 ok)",
    ", orig_to=<",
    "> R=a T=b H=x [9.9.9.9]",
    " R=a",
    " T=b",
    " H=x [9.9.9.9]",
    " <",
    ">",
    "\"",
    ")",
    " ",
    "a@example.net",
];

fn chosen() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        2 => vec(b' '..=b'~', 1..12),
        4 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(Just(b'a'), 100..900),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// Exim quotes the local part of a mailbox that holds a blank.
fn quoted(mailbox: &[u8]) -> Vec<u8> {
    match mailbox.contains(&b' ') {
        true => [b"\"", mailbox, b"\"@example.net"].concat(),
        false => mailbox.to_vec(),
    }
}

#[derive(Clone, Debug)]
struct Delivery {
    addr: Ipv4Addr,
    sender: Vec<u8>,
    to: Vec<u8>,
    original: Option<Vec<u8>>,
    reply: Vec<u8>,
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let sender = prop_oneof![Just(Vec::new()), chosen()];
    let original = prop::option::of(chosen());
    let parts = (any::<u32>(), sender, chosen(), original, chosen());
    parts.prop_map(|(bits, sender, to, original, reply)| Delivery {
        addr: Ipv4Addr::from_bits(bits),
        sender,
        to,
        original,
        reply,
    })
}

impl Delivery {
    /// The host of the delivery that a parser takes from two lines.
    fn read(server: MailServer, queued: &[u8], sent: &[u8]) -> Option<IpAddr> {
        let mut parser = Parser::new(ParserSettings {
            servers: vec![server],
            ..ParserSettings::default()
        });
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_424_400);
        let _ = parser.parse(queued, now);
        let sent = sent.get(..TRUNCATED).unwrap_or(sent);
        match parser.parse(sent, now) {
            Parsed::Event(event) if event.kind == EventKind::Delivered => Some(event.addr),
            _ => None,
        }
    }

    fn by_postfix(&self) -> Option<IpAddr> {
        let header = b"Nov 23 08:50:54 mx1 postfix/";
        let mut queued = [header, &b"qmgr[1]: 4XyZ: from=<"[..], &self.sender].concat();
        queued.extend(b">, size=1234, nrcpt=1 (queue active)");
        let mut sent = [header, &b"smtp[1]: 4XyZ: to=<"[..], &self.to, b">"].concat();
        if let Some(original) = &self.original {
            sent.extend([b", orig_to=<", &original[..], b">"].concat());
        }
        let addr = self.addr;
        sent.extend(format!(", relay=mx.example.org[{addr}]:25, delay=1, ").bytes());
        sent.extend([b"dsn=2.0.0, status=sent (", &self.reply[..], b")"].concat());
        Self::read(MailServer::Postfix, &queued, &sent)
    }

    fn by_exim(&self) -> Option<IpAddr> {
        let header = b"2026-11-23 08:50:54 1vNDf3-0005Qv-EA ";
        let sender = match &self.sender[..] {
            [] => b"<>".to_vec(),
            sender => quoted(sender),
        };
        let queued = [&header[..], b"<= ", &sender, b" U=alice P=local S=12"].concat();
        let mut sent = [&header[..], b"=> ", &quoted(&self.to)].concat();
        if let Some(original) = &self.original {
            sent.extend([b" <", &quoted(original)[..], b">"].concat());
        }
        let addr = self.addr;
        sent.extend(format!(" R=dnslookup T=remote_smtp H=mx.example.org [{addr}] C=\"").bytes());
        sent.extend([&self.reply[..], b"\""].concat());
        Self::read(MailServer::Exim, &queued, &sent)
    }

    /// Whether a parser takes the mailboxes and the host.
    fn is_plain(&self) -> bool {
        let mailboxes = [Some(&self.sender), Some(&self.to), self.original.as_ref()];
        let is_plain = |mailbox: &Vec<u8>| {
            let has_special = mailbox.iter().any(|byte| b"<>\" ".contains(byte));
            !mailbox.is_empty() && mailbox.len() <= 200 && !has_special
        };
        mailboxes.into_iter().flatten().all(is_plain) && !self.addr.is_loopback()
    }
}

proptest! {
    #[test]
    fn a_delivery_of_postfix_names_its_host_or_nobody(delivery in delivery()) {
        let found = delivery.by_postfix();
        prop_assert!(found.is_none_or(|found| found == delivery.addr));
        prop_assert!(found.is_none() || !delivery.sender.is_empty());
        let names_relay = memchr::memmem::find(&delivery.reply, b", relay=").is_some();
        let is_taken = delivery.is_plain() && delivery.reply.len() <= 100 && !names_relay;
        prop_assert!(found.is_some() || !is_taken);
    }

    #[test]
    fn a_delivery_of_exim_names_its_host_or_nobody(delivery in delivery()) {
        let found = delivery.by_exim();
        prop_assert!(found.is_none_or(|found| found == delivery.addr));
        prop_assert!(found.is_none() || !delivery.sender.is_empty());
        prop_assert!(found.is_some() || !delivery.is_plain());
    }
}
