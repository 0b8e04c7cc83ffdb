//! The responder's dialogue: its result does not depend on the portions, it
//! never accepts a message, and no peer can forge a log line.

use std::net::{IpAddr, SocketAddr};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use spamdrop::config::Config;
use spamdrop_core::event::EventKind;
use spamdrop_core::log::{Parsed, Parser};
use spamdrop_core::smtp::{Dialogue, DialogueOutput, Parties};

use crate::portions::Portions;

/// The byte that separates the peer's commands from the blocklist's text.
const PARTED: u8 = 0xfe;
const PEER: [u8; 4] = [192, 0, 2, 66];
/// Maximum length of a reply in bytes.
const LONGEST_REPLY: usize = 4 * 486;
/// Bytes of unsent replies at which the dialogue stops reading; `ENOUGH` in
/// `spamdrop_core::smtp`.
const ENOUGH: usize = 1024;

#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    replies: Vec<u8>,
    lines: Vec<Vec<u8>>,
    refusals: u64,
    has_ended: bool,
}

/// Feeds the stream in portions and as a whole, and compares the results.
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let portions = Portions::new(data);
    let mut parts = portions.stream.splitn(2, |byte| *byte == PARTED);
    let (stream, text) = (parts.next().unwrap_or_default(), parts.next());
    let text = String::from_utf8_lossy(text.unwrap_or_default()).into_owned();
    let said = talk(&portions.cut(stream), &text);
    let lines = stream.iter().filter(|byte| **byte == b'\n').count();
    // A 421 may follow the last reply.
    assert!(said.replies.len() <= (lines + 1) * LONGEST_REPLY);
    replies(&said.replies, lines);
    said.lines.iter().for_each(|line| logged(line));
    // The portions determine how much of an endless line is read.
    if stream.len() < 64 * 1024 {
        assert_eq!(said, talk(&[stream], &text));
    }
}

fn talk(portions: &[&[u8]], text: &str) -> Said {
    let text = || text.to_owned();
    let parties = Parties {
        host: "mx.example",
        peer: SocketAddr::from((PEER, 4711)),
        text: &text,
    };
    let mut said = Said::default();
    let mut dialogue = Dialogue::default();
    let mut out = DialogueOutput::default();
    for portion in portions {
        let mut rest = *portion;
        while !rest.is_empty() {
            let taken = dialogue.feed(rest, &parties, &mut out);
            assert!(taken > 0, "the dialogue must read while no reply waits");
            assert!(out.replies.len() < ENOUGH + 2 * LONGEST_REPLY);
            rest = &rest[taken..];
            said.replies.append(&mut out.replies);
        }
    }
    said.lines = out.lines;
    said.refusals = out.refusals;
    said.has_ended = dialogue.has_ended();
    said
}

/// Checks that each line belongs to a reply, and that no reply invites or
/// accepts a message: a 250 answers only greetings, MAIL, RSET and NOOP, and
/// its text is fixed.
fn replies(replies: &[u8], commands: usize) {
    let text = std::str::from_utf8(replies).expect("replies are ASCII");
    let mut whole = 0;
    for line in text.split_terminator("\r\n") {
        assert!(
            line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{line}"
        );
        let (code, rest) = line.split_at(3);
        let known = [
            "221", "250", "252", "421", "500", "501", "502", "503", "511", "554",
        ];
        assert!(known.contains(&code), "{line}");
        if code == "250" {
            let fixed = [" Ok.", "-mx.example Ok.", " mx.example Ok."];
            let offered = ["-PIPELINING", "-8BITMIME", " SIZE"];
            assert!(fixed.contains(&rest) || offered.contains(&rest), "{line}");
        }
        whole += usize::from(!rest.starts_with('-'));
    }
    assert!(whole <= commands + 1);
}

/// Checks that the message has no control characters, and that spamdrop's
/// parser reads it as a rejection of the peer and of no other address.
fn logged(message: &[u8]) {
    assert!(message.iter().all(|byte| *byte >= b' '));
    let line = [b"Nov 23 08:50:54 mx courieresmtpd: ", message].concat();
    let now = UNIX_EPOCH + Duration::from_secs(1_795_431_601);
    static PARSER: LazyLock<Mutex<Parser>> =
        LazyLock::new(|| Mutex::new(Config::default().parser()));
    let parser = &mut PARSER.lock().expect("a panic ends the program");
    match parser.parse(&line, now) {
        Parsed::Event(event) => {
            assert_eq!(event.addr, IpAddr::from(PEER));
            assert!(matches!(event.kind, EventKind::Rejected { .. }));
        }
        _ => panic!("{}", message.escape_ascii()),
    }
}
