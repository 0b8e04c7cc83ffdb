//! Lines of the mail log: an event's address is the one that the mail server
//! wrote, whatever text the peer makes it log elsewhere.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use memchr::memmem;
use spamdrop::config::Config;
use spamdrop_core::event::{Event, EventKind};
use spamdrop_core::log::Parsed;
use spamdrop_core::nat64::canonical;

/// Configurations, each of which gives a parser.
const CONFIGURATIONS: [&str; 4] = [
    "",
    r#"program = "esmtpd-smarthost""#,
    r#"servers = ["courier", "postfix", "exim", "sendmail", "opensmtpd", "rblsmtpd", "haraka", "rspamd"]"#,
    r#"
servers = []
[[pattern]]
name = "named"
program = "filter"
match = '^reject from [^ \[]*\[<HOST>\]: 5\d\d [0-9.]+ Listed at '
[[pattern]]
name = "any"
match = '^[a-z]+: <HOST> is listed'
"#,
];

/// The headers that syslog writes before a message. No peer can change them.
const HEADERS: [&str; 11] = [
    "Nov 23 08:50:54 mx1 courieresmtpd: ",
    "2026-11-23T08:50:54Z mx1 courierd[12]: ",
    "2026-11-23T08:50:54Z mx1 courieresmtp: ",
    "<19>1 2026-11-23T08:50:54Z mx1 courieresmtpd - - - ",
    "2026-11-23T08:50:54Z mx1 esmtpd-smarthost: ",
    "Nov 23 08:50:54 mx1 postfix/smtpd[12]: ",
    "Nov 23 08:50:54 mx1 postfix/postscreen[12]: ",
    "Nov 23 08:50:54 mx1 sm-mta[12]: ",
    "Nov 23 08:50:54 mx1 smtpd[12]: ",
    "Nov 23 08:50:54 mx1 rspamd[12]: ",
    "Nov 23 08:50:54 mx1 filter: ",
];

/// The stamp that Exim writes before a message. A container's name and its line may follow
/// it, too.
const STAMP: &str = "2026-11-23 08:50:54 ";

/// 2026-11-23 09:00:00 UTC.
const NOW: Duration = Duration::from_secs(1_795_424_400);

static CONFIGS: LazyLock<Vec<Config>> = LazyLock::new(|| {
    let config = |text: &&str| Config::parse(text).expect("a configuration");
    CONFIGURATIONS.iter().map(config).collect()
});

/// Takes the bytes as lines, and as a message behind each header and behind a stamp.
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let now = SystemTime::UNIX_EPOCH + NOW;
    for config in CONFIGS.iter() {
        // Some servers name the peer in an earlier line, so the address may be
        // anywhere in the data.
        let mut parser = config.parser();
        for line in data.split(|byte| *byte == b'\n') {
            // In JSON, an address may be escaped.
            if let Parsed::Event(event) = parser.parse(line, now)
                && memchr::memchr(b'\\', data).is_none()
            {
                assert!(stands_in(event.addr, data), "{event:?}");
            }
        }
        for header in HEADERS {
            let line = [header.as_bytes(), data].concat();
            if let Parsed::Event(event) = config.parser().parse(&line, now) {
                check_message(&event, unwrapped(data));
            }
        }
        let line = [STAMP.as_bytes(), data].concat();
        if let Parsed::Event(event) = config.parser().parse(&line, now) {
            assert!(stands_in(event.addr, data), "{event:?}");
        }
    }
}

/// Whether the address is one of the line's words.
fn stands_in(addr: IpAddr, line: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    let is_there = |word: &[u8]| {
        // RFC 5321 tags an address `IPv6:`, whose end looks like part of an
        // address.
        is(addr, word) || word.strip_prefix(b"6:").is_some_and(|rest| is(addr, rest))
    };
    line.split(|byte| !is_part(byte)).any(is_there)
}

fn check_message(event: &Event<'_>, message: &[u8]) {
    match (&*event.rule, &event.kind) {
        ("courier-511", EventKind::Rejected { text }) => {
            let rest = message.strip_prefix(b"error,relay=").expect("a rejection");
            let relay = rest.split(|byte| *byte == b',').next();
            assert!(is(event.addr, relay.unwrap_or_default()), "{event:?}");
            assert!(rest.ends_with(text), "{event:?}");
            let before = rest[..rest.len() - text.len()].trim_ascii_end();
            assert!(
                before.ends_with(b": 511") || before.ends_with(b": 511-"),
                "{event:?}"
            );
            // A line that ends in the peer's own command contains this field.
            assert!(memmem::find(before, b",cmd: ").is_none(), "{event:?}");
        }
        ("courier-newmsg", EventKind::Accepted) => {
            assert!(message.starts_with(b"newmsg,id="), "{event:?}");
            let inner = message.strip_suffix(b"])").expect("a peer at the end");
            let relay = inner.rsplit(|byte| *byte == b'[').next();
            assert!(is(event.addr, relay.unwrap_or_default()), "{event:?}");
        }
        ("courier-delivered", EventKind::Delivered) => {
            assert!(message.starts_with(b"id="), "{event:?}");
            let reply = memmem::find(message, b">: ");
            assert!(reply.is_none(), "{event:?}");
            let inner = message.strip_suffix(b"]").expect("a host at the end");
            let host = inner.rsplit(|byte| *byte == b'[').next();
            assert!(is(event.addr, host.unwrap_or_default()), "{event:?}");
        }
        _ => assert!(stands_in(event.addr, message), "{event:?}"),
    }
}

/// Removes blanks before the message, and rsyslog's `message repeated 3 times:
/// [ … ]` around it.
fn unwrapped(message: &[u8]) -> &[u8] {
    let message = message.trim_ascii_start();
    let message = message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message);
    let message = message.trim_ascii_start();
    if !message.starts_with(b"message repeated ") {
        return message;
    }
    let inner = message.strip_suffix(b"]").unwrap_or(message);
    let start = memchr::memchr(b'[', inner).map_or(0, |at| at + 1);
    inner[start..].trim_ascii_start()
}

fn is(addr: IpAddr, word: &[u8]) -> bool {
    let read = str::from_utf8(word).ok().and_then(|word| word.parse().ok());
    read.is_some_and(|read: IpAddr| canonical(read) == addr)
}
