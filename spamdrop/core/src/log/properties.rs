//! Property tests: text that a peer can choose, rendered through a model of
//! Courier's logging.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Parsed, Parser, ParserSettings};
use crate::event::EventKind;
use crate::nat64::canonical;

const HEADER: &[u8] = b"Nov 23 08:50:54 mx1 courieresmtpd: ";

/// Bytes that a peer chooses, biased towards the tokens of the grammar.
fn chosen() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => vec(any::<u8>(), 0..12),
        4 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(Just(b'a'), 100..140),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

const PIECES: &[&str] = &[
    "error,relay=",
    "9.9.9.9",
    "::ffff:9.9.9.9",
    ",port=25",
    ",ident=",
    ",from=<",
    ",to=<",
    ">",
    "\"",
    ": ",
    ": 511 ",
    "511-",
    "...",
    "\r",
    "\r\r\r\r\r\r\r\r\r\r\r\r",
    "\n",
    "Nov 23 08:50:54 mx1 courieresmtpd: ",
    " (",
    " [9.9.9.9])",
    "newmsg,id=1: dns; ",
    ",addr=<b>,success: delivered: ",
    " [9.9.9.9]",
];

/// `clog_msg_str`: control bytes become dots, newlines become slashes, and the
/// string is truncated after 128 bytes. A carriage return is skipped without
/// being counted, so for each of them a byte is read past the end of the string.
fn logged(string: &[u8], behind: &[u8]) -> Vec<u8> {
    let string: Vec<u8> = string.iter().copied().filter(|&byte| byte != 0).collect();
    let memory = string.iter().chain(&[0]).chain(behind);
    let mut out: Vec<u8> = memory
        .filter(|&&byte| byte != b'\r')
        .take(string.len().min(128))
        .map(|&byte| match byte {
            b'\n' => b'/',
            0..b' ' => b'.',
            byte => byte,
        })
        .collect();
    if string.len() > 128 {
        out.extend(b"...");
    }
    out
}

/// `set_submit_error`: a mailbox contains no brackets or colons inside its own
/// brackets.
fn mailbox(text: &[u8]) -> Vec<u8> {
    let inside = text.iter().map(|&byte| match byte {
        b'<' | b'>' | b':' => b' ',
        byte => byte,
    });
    [b'<'].into_iter().chain(inside).chain([b'>']).collect()
}

/// `print_submit_log_fix`: an ident contains no commas or colons.
fn ident(text: &[u8]) -> Vec<u8> {
    let blanked = text.iter().map(|&byte| match byte {
        b',' | b':' => b' ',
        byte => byte,
    });
    blanked.collect()
}

#[derive(Clone, Debug)]
struct Session {
    addr: IpAddr,
    port: u16,
    ident: Option<Vec<u8>>,
    from: Vec<u8>,
    to: Option<Vec<u8>>,
    text: Vec<u8>,
    memory: Vec<u8>,
}

impl Session {
    fn relay(&self) -> String {
        match self.addr {
            IpAddr::V4(addr) => format!("::ffff:{addr}"),
            IpAddr::V6(addr) => addr.to_string(),
        }
    }

    fn refusal(&self, code: &str) -> Vec<u8> {
        let mut line = HEADER.to_vec();
        line.extend(format!("error,relay={},port={}", self.relay(), self.port).bytes());
        if let Some(text) = self.ident.as_ref().filter(|text| !text.is_empty()) {
            line.extend(b",ident=");
            line.extend(logged(&ident(text), &self.memory));
        }
        line.extend(b",from=");
        line.extend(logged(&mailbox(&self.from), &self.memory));
        if let Some(to) = &self.to {
            line.extend(b",to=");
            line.extend(logged(&mailbox(to), &self.memory));
        }
        line.extend(b": ");
        let reply = [code.as_bytes(), b" ", &self.text].concat();
        line.extend(logged(&reply, &self.memory));
        line
    }

    /// The line that `iov_logerror` writes about an invalid command.
    fn command(&self) -> Vec<u8> {
        let mut line = HEADER.to_vec();
        line.extend(format!("error,relay={},port={}", self.relay(), self.port).bytes());
        if let Some(text) = &self.ident {
            line.extend(b",ident=\"");
            line.extend(logged(text, &self.memory));
            line.extend(b"\"");
        }
        line.extend(b",msg=\"502 ESMTP command error\",cmd: ");
        line.extend(logged(&self.text, &self.memory));
        line
    }

    /// Whether Courier writes the refusal in the grammar's form. With an ident that
    /// starts with a quote, the refusal looks like a line of [`Self::command`].
    fn clean(&self) -> bool {
        if self
            .ident
            .as_ref()
            .is_some_and(|ident| ident.starts_with(b"\""))
        {
            return false;
        }
        let fields = [Some(&self.from), self.to.as_ref(), self.ident.as_ref()];
        let mut fields = fields.into_iter().flatten();
        !fields.any(|field| field.contains(&b'\r') || field.contains(&0))
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        any::<u128>().prop_map(|bits| canonical(Ipv6Addr::from_bits(bits).into())),
    ]
}

fn session() -> impl Strategy<Value = Session> {
    let to = prop::option::of(chosen());
    let identity = prop::option::of(chosen());
    (
        address(),
        any::<u16>(),
        identity,
        chosen(),
        to,
        chosen(),
        chosen(),
    )
        .prop_map(|(addr, port, ident, from, to, text, memory)| Session {
            addr,
            port,
            ident,
            from,
            to,
            text,
            memory,
        })
}

/// A line of the SMTP client, up to and including its mailboxes. Courier reads
/// the mailboxes line by line from a file, and replaces carriage returns with
/// blanks.
fn sending(from: &[u8], to: &[u8]) -> Vec<u8> {
    let stored = |text: &[u8]| -> Vec<u8> {
        let kept = text.iter().filter(|&&byte| byte != b'\n');
        kept.map(|&byte| if byte == b'\r' { b' ' } else { byte })
            .collect()
    };
    let mut line =
        b"Nov 23 08:50:54 mx1 courieresmtp: id=000A0B0C.6561A3AE.00006A21,from=<".to_vec();
    line.extend(logged(&stored(from), b""));
    line.extend(b">,addr=<");
    line.extend(logged(&stored(to), b""));
    line.push(b'>');
    line
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_424_400)
}

/// The address, and whether the event was a rejection.
fn read(line: &[u8]) -> Option<(IpAddr, bool)> {
    match Parser::new(ParserSettings::default()).parse(line, now()) {
        Parsed::Event(event) => {
            Some((event.addr, matches!(event.kind, EventKind::Rejected { .. })))
        }
        Parsed::NearMiss(_) | Parsed::Nothing => None,
    }
}

proptest! {
    #[test]
    fn a_refusal_names_its_peer_or_nobody(session in session()) {
        let found = read(&session.refusal("511"));
        prop_assert!(found.is_none_or(|found| found == (session.addr, true)));
        prop_assert!(found.is_some() || !session.clean());
    }

    #[test]
    fn another_code_is_never_taken_for_511(mut session in session()) {
        // Stale memory after an ident affects only the peer itself.
        session.ident = None;
        prop_assert_eq!(read(&session.refusal("550")), None);
        prop_assert_eq!(read(&session.refusal("451")), None);
    }

    /// A spammer could make a forwarder send mailboxes with carriage returns, and so
    /// have the forwarder blocked.
    #[test]
    fn stale_memory_is_never_taken_for_a_reply(
        mut session in session(),
        returns in 1..20_usize,
        memory in prop::sample::select(&[": 511 x", ">: 511 x", ",to=<c>: 511 x", "...: 511 x"]),
        in_from in any::<bool>(),
    ) {
        session.ident = None;
        session.memory = memory.into();
        let field = if in_from { &mut session.from } else { session.to.get_or_insert_default() };
        field.extend(vec![b'\r'; returns]);
        prop_assert_eq!(read(&session.refusal("550")), None);
    }

    #[test]
    fn a_command_is_never_taken_for_a_refusal(session in session()) {
        prop_assert_eq!(read(&session.command()), None);
    }

    #[test]
    fn arbitrary_bytes_never_panic(line in vec(any::<u8>(), 0..300)) {
        let _ = read(&line);
    }

    #[test]
    fn pieces_of_the_grammar_never_panic(line in chosen()) {
        let _ = read(&line);
        let _ = read(&[HEADER, &line].concat());
        let _ = read(&[b"Nov 23 08:50:54 mx1 courierd: newmsg,id=1: dns; ", &line[..]].concat());
    }

    #[test]
    fn garbage_around_a_line_never_names_another(
        session in session(),
        before in chosen(),
        behind in chosen(),
    ) {
        // Text that starts with a whole header is a different line, not garbage
        // before this one.
        prop_assume!(!before.starts_with(HEADER));
        let line = [&before, &session.refusal("511"), &behind].map(|part| part.as_slice()).concat();
        let found = read(&line);
        const PRIORITY: usize = "<191>".len();
        prop_assert!(found.is_none() || before.len() <= PRIORITY);
        prop_assert!(found.is_none_or(|(addr, _)| addr == session.addr));
    }

    #[test]
    fn an_acceptance_names_its_peer_or_nobody(
        addr in address(),
        helo in chosen(),
        name in prop::option::of(chosen()),
    ) {
        // `ehlo` replaces blanks and control bytes of HELO by underscores. The
        // name from the resolver cannot contain a blank.
        let underscored = |text: &[u8]| -> Vec<u8> {
            text.iter().map(|&byte| if byte <= b' ' { b'_' } else { byte }).collect()
        };
        let mut text = [b"dns; ", &underscored(&helo)[..], b" ("].concat();
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            text.extend([&underscored(&name)[..], b" "].concat());
        }
        text.extend(format!("[{addr}])").bytes());
        let line = [
            b"Nov 23 08:50:54 mx1 courierd: newmsg,id=000A0B0C.6561A3AE.00006A21: ",
            &logged(&text, b"")[..],
        ].concat();
        let found = read(&line);
        prop_assert!(found.is_none_or(|found| found == (addr, false)));
        prop_assert!(found.is_some() || helo.is_empty() || text.len() > 128);
    }

    #[test]
    fn a_delivery_names_its_host_or_nobody(
        addr in address(),
        from in chosen(),
        to in chosen(),
        name in prop::option::of(chosen()),
        memory in chosen(),
    ) {
        let name = name.filter(|name| !name.is_empty()).unwrap_or_default();
        let mut text = [b"delivered: ", &name[..]].concat();
        if !name.is_empty() {
            text.push(b' ');
        }
        text.extend(format!("[{addr}]").bytes());
        let line = [&sending(&from, &to)[..], b",size=1234,success: ", &logged(&text, &memory)].concat();
        let found = read(&line);
        prop_assert!(found.is_none_or(|found| found == (addr, false) && !from.is_empty()));
        let is_plain = |text: &[u8]| !text.iter().any(|byte| b"<> \0\r\n".contains(byte));
        let is_clean = is_plain(&from) && is_plain(&to) && is_plain(&name);
        let is_short = text.len() <= 128;
        prop_assert!(found.is_some() || from.is_empty() || to.is_empty() || !is_clean || !is_short);
    }

    #[test]
    fn a_reply_is_never_taken_for_a_delivery(
        from in chosen(),
        to in chosen(),
        reply in chosen(),
        memory in chosen(),
        host in prop::sample::select(&["", ",success: delivered: [9.9.9.9]", " [9.9.9.9]"]),
    ) {
        let reply = [&reply[..], host.as_bytes()].concat();
        let line = [&sending(&from, &to)[..], b": ", &logged(&reply, &memory)].concat();
        prop_assert_eq!(read(&line), None);
    }
}
