//! Rspamd's log lines: the summary of each message.
//!
//! ```text
//! 2026-11-23 08:50:54 #1234(normal) <a1b2c3>; task; rspamd_task_write_log: id: <MESSAGE-ID>, qid: <QID>, ip: IP, from: <SENDER>, (default: T (reject): [15.2/15.0] [RBL_SPAMHAUS_XBL(4.00){IP:from;},…]), len: …
//! ```
//!
//! Rspamd rejects for many reasons. A rejection is taken only if the blocklists
//! decided it. Their symbols are those that scored for the address of the peer, with
//! an option `IP:from`. These must have the required score, which is the second of the
//! two numbers, or at least a third of it if without them the message would not have been
//! rejected. Only the module `rbl` writes such an option, whatever the administrator
//! calls the symbol, and an allow-list has a negative score. Content says nothing
//! about a peer, because a forwarder or a large provider may send it. A list of
//! little weight that only completes the score of the content says nothing
//! either. `(no action)` is an acceptance.
//!
//! The sender chooses the Message-ID, which precedes IP; Rspamd leaves no blank
//! in it. If it contains a whole forged ` ip: 9.9.9.9,`, the true one follows,
//! and a line with two is not taken. Symbols are parsed up to the first whose
//! options are not in Rspamd's form: a brace in an option, from a rule of the
//! administrator, hides the symbols after it. An option that the sender chooses
//! could still contain a whole forged symbol, so a line whose bad scores are
//! far above its total, the first of the two numbers, is not taken.

use std::net::IpAddr;
use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use regex::bytes::Regex;

use super::address;
use super::grammar::{Context, Finding, Grammar, GrammarResult, expression};
use super::header::Header;

static WRITTEN: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"^(?:#[0-9]+\([a-z_]+\) )?<[^<> ]*>; [a-z_]+; rspamd_task_write_log: id: <[^<> ]*>,(?: qid: <[^<> ]*>,)? ip: ([0-9A-Fa-f:.]+),(?: user: [^ ,]+,)?(?: from: <[^<> ]*>,)? \(default: [A-Z] \((reject|no action)\): \[(-?[0-9.]+)/([0-9.]+)\] \[(.*)",
    )
});

/// By how much the sum of the positive scores of a rejected message may exceed its
/// total, which negative scores reduce.
const MAX_GOOD: f64 = 3.0;

/// The blocklists must have at least the required score divided by this number. In
/// Spamhaus' own set-up for Rspamd, a listed peer has 7 of the required 15.
const LEAST_PART: f64 = 3.0;

pub(super) const GRAMMAR: Grammar = Grammar {
    programs: &["rspamd"],
    units: &["rspamd"],
    read,
    looks_rejected,
    needles: &[" (reject): [", " (no action): ["],
    connections: &[],
    tells_acceptances: true,
};

/// Parses a line, from syslog or from Rspamd's own log.
fn read<'line>(context: &mut Context<'_>, header: &Header<'line>) -> GrammarResult<'line> {
    if header.program.is_some() && !context.is_own(&GRAMMAR, header.program) {
        return Err(header.not_its());
    }
    static ACCEPTED: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(" (no action): ["));
    if !looks_rejected(header.message) && ACCEPTED.find(header.message).is_none() {
        return Err("it is not a rejection because of a blocklist");
    }
    let message = super::stamp::Stamp::own(header.message).map_or(header.message, |(_, rest)| rest);
    let found = WRITTEN.captures(message);
    let found = found.ok_or("its fields are not as Rspamd writes them")?;
    let (_, [ip, action, total, required, symbols]) = found.extract();
    let addr = address::plain(ip).ok_or("its ip is not an address")?;
    if memmem::find_iter(message, b" ip: ").nth(1).is_some() {
        return Err("it has two addresses, and one may be forged");
    }
    if action == b"no action" {
        if memmem::find(message, b", user: ").is_some() {
            return Err("an authenticated user of this server sent the message");
        }
        return Ok(Finding::accepted(addr, "rspamd-accepted"));
    }
    let scores = Scores::from_symbols(symbols, addr);
    let listing = scores
        .listing
        .ok_or("no blocklist scored for its address")?;
    let total = number(total).ok_or("its score is not a number")?;
    let required = number(required).ok_or("its required score is not a number")?;
    if scores.bad > total + MAX_GOOD {
        return Err(
            "its positive scores exceed its total by more than 3, so a symbol may be forged",
        );
    }
    let is_decisive = scores.listings >= required || total - scores.listings < required;
    if scores.listings < required / LEAST_PART || !is_decisive {
        return Err("the blocklists did not decide the rejection");
    }
    Ok(Finding::rejected(addr, listing, "rspamd-rbl"))
}

/// Whether a blocklist may have contributed to a rejection.
fn looks_rejected(line: &[u8]) -> bool {
    static REJECT: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(" (reject): ["));
    static RBL: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("RBL_"));
    static FROM: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(":from;"));
    REJECT.find(line).is_some() && (RBL.find(line).is_some() || FROM.find(line).is_some())
}

/// The scores of a comma-separated list of symbols.
#[derive(Default)]
struct Scores<'line> {
    /// The first `SYMBOL(SCORE){OPTIONS}` that scored for the address.
    listing: Option<&'line [u8]>,
    /// The sum of the scores of all such symbols.
    listings: f64,
    /// The sum of all scores above 0. Negative scores are left out, so that a
    /// sender cannot balance a forged symbol with another forged one.
    bad: f64,
}

impl<'line> Scores<'line> {
    fn from_symbols(symbols: &'line [u8], addr: IpAddr) -> Self {
        static SYMBOL: LazyLock<Regex> =
            LazyLock::new(|| expression(r"^([A-Za-z0-9_-]+)\((-?[0-9.]+)\)(?:\{([^{}]*)\})?,?"));
        let (mut rest, mut scores) = (symbols, Self::default());
        while let Some(found) = SYMBOL.captures(rest) {
            let part = |group| found.get(group).map_or(&b""[..], |part| part.as_bytes());
            let [whole, score, options] = [0, 2, 3].map(part);
            let score = number(score).unwrap_or_default();
            scores.bad += score.max(0.0);
            if score > 0.0 && names(options, addr) {
                let listing = whole.strip_suffix(b",").unwrap_or(whole);
                scores.listing.get_or_insert(listing);
                scores.listings += score;
            }
            rest = rest.get(whole.len()..).unwrap_or_default();
        }
        scores
    }
}

/// Whether the options of a symbol are about the peer's address.
fn names(options: &[u8], addr: IpAddr) -> bool {
    options.split(|byte| *byte == b';').any(|option| {
        let peer = option.strip_suffix(b":from");
        peer.and_then(address::plain) == Some(addr)
    })
}

fn number(text: &[u8]) -> Option<f64> {
    str::from_utf8(text).ok()?.parse().ok()
}
