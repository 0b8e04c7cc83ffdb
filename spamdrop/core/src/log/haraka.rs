//! Haraka's log lines of its plugin `dns-list`, formerly `dnsbl`.
//!
//! ```text
//! [INFO] [UUID] [core] hook=connect plugin=dns-list function=onConnect params="" retval=DENY msg="host [IP] is listed on ZONE"
//! ```
//!
//! Haraka writes this line when a peer connects, before the peer sends
//! anything, so UUID and IP are Haraka's own. In other hooks the peer chooses
//! `params`, so only `connect` is taken. `DENYSOFT` (a 4xx) is not taken: the
//! plugin answers so only if the administrator chose it. `[dnsbl] host [IP] is
//! blacklisted by` is not taken either: `dnsbl` writes it when it lets the peer
//! continue (`reject=false`).
//!
//! `DENY` is the plugin's answer. The plugin `karma`, unless its
//! `deny_excludes` contains `dns-list`, overrides that answer and logs so in
//! another line. Such a peer counts as rejected: it is listed, although Haraka
//! goes on to examine its mail.
//!
//! Haraka escapes carriage returns in its log, but newlines only in
//! `[PROTOCOL]` lines. So if a plugin logs a decoded header or another value
//! with a newline, a sender can write whole lines, even with an invented
//! session, into Haraka's standard output, and so into the journal or any file that
//! receives this output line by line. No grammar can detect such lines. The plugin `syslog`
//! avoids that: it passes each message as one, and rsyslog escapes the newline.

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

pub(super) const GRAMMAR: Grammar = Grammar {
    programs: &["haraka"],
    units: &["haraka"],
    read,
    looks_rejected,
    needles: &["] is listed on ", "] is blacklisted by "],
    connections: &[],
    tells_acceptances: false,
};

/// Parses a line, from syslog or from Haraka's standard output.
fn read<'line>(context: &mut Context<'_>, header: &Header<'line>) -> GrammarResult<'line> {
    if header.program.is_some() && !context.is_own(&GRAMMAR, header.program) {
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

/// Whether the line is one of the plugin's messages.
fn looks_rejected(line: &[u8]) -> bool {
    static LISTED: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("] is listed on "));
    static BLACKLISTED: LazyLock<Finder<'_>> =
        LazyLock::new(|| Finder::new("] is blacklisted by "));
    LISTED.find(line).is_some() || BLACKLISTED.find(line).is_some()
}
