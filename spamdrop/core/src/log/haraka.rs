//! Haraka's own words about its plugin `dns-list`, once `dnsbl`.
//!
//! ```text
//! [INFO] [UUID] [core] hook=connect plugin=dns-list function=onConnect params="" retval=DENY msg="host [IP] is listed on ZONE"
//! ```
//!
//! It is written when a peer connects, before it said a word: UUID and IP are
//! Haraka's. In other hooks `params` is the peer's, so only `connect` is taken.
//! `DENYSOFT`, a 4xx, is not: the plugin answers so only where the
//! administrator wants it. Neither is `[dnsbl] host [IP] is blacklisted by`,
//! which `dnsbl` writes where it lets the peer go on (`reject=false`).
//!
//! `DENY` is what the plugin answered. The plugin `karma` overrides it, unless
//! its `deny_excludes` name `dns-list`, and says so in another line: the peer
//! is listed then, but its mail would have been judged.
//!
//! Haraka escapes carriage returns in what it logs, but newlines only in
//! `[PROTOCOL]` lines. So where a plugin logs a decoded header or another value
//! that may hold a newline, a sender can write whole lines into Haraka's
//! standard output, and into a journal or file that takes it line by line; also
//! a line that makes up a session. No grammar can tell those. The plugin
//! `syslog` hands over each message as one, and rsyslog escapes the newline.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use regex::bytes::Regex;

use super::address;
use super::grammar::{Context, Finding, Grammar, GrammarResult, expression};
use super::header::Header;

static REJECTED: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r#"^\[[A-Z]+\] \[[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}\] \[core\] hook=connect plugin=(?:dns-list|dnsbl) function=[^ "]+ params="" retval=DENY(?:DISCONNECT)? msg="(host \[([0-9A-Fa-f:.]+)\] is (?:listed on|blacklisted by) .*)"#,
    )
});

/// How its lines are read.
pub(super) const GRAMMAR: Grammar = Grammar {
    read,
    looks_rejected,
    needles: &["] is listed on ", "] is blacklisted by "],
    tells_acceptances: false,
};

/// Reads a line, from syslog or from Haraka's standard output.
fn read<'line>(_: &mut Context<'_>, header: &Header<'line>) -> GrammarResult<'line> {
    if !matches!(header.program, Some(b"haraka") | None) {
        return Err(header.not_its());
    }
    if !looks_rejected(header.message) {
        return Err("it rejects nothing");
    }
    let found = REJECTED.captures(header.message);
    let found = found.ok_or("its fields are not as Haraka writes them")?;
    let (_, [text, host]) = found.extract();
    let addr = address::plain(host).ok_or("its host is not an address")?;
    Ok(Finding::rejected(addr, text, "haraka-dnsbl"))
}

/// Whether it is one of the plugin's sentences.
fn looks_rejected(line: &[u8]) -> bool {
    static LISTED: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("] is listed on "));
    static BLACKLISTED: LazyLock<Finder<'_>> =
        LazyLock::new(|| Finder::new("] is blacklisted by "));
    LISTED.find(line).is_some() || BLACKLISTED.find(line).is_some()
}
