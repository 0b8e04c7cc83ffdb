//! Sendmail's log lines.
//!
//! ```text
//! ruleset=check_relay, arg1=NAME, arg2=IP, relay=NAME [IP], reject=550 5.7.1 Rejected: IP listed at ZONE
//! QUEUE_ID: ruleset=check_rcpt, arg1=<RECIPIENT>, relay=NAME [IP] (may be forged), reject=550 5.7.1 <RECIPIENT>... TEXT
//! ```
//!
//! The second form results from `FEATURE(delay_checks)`. The administrator
//! chooses TEXT, and the access map refuses in the same form, so TEXT must name
//! a blocklist. Other rulesets are not taken: they check senders (`check_mail`)
//! and content (`check_eoh`), which a forwarder passes on. `arg2` may be the
//! blocklist's answer (127.0.0.3), so the address is taken from `relay`. The PTR
//! name, the identd reply (`IDENT:x@`) and the recipient precede the address.
//! Sendmail leaves no blank, comma or bracket in the name and the identd reply. A
//! line is not taken if its recipient contains one of these characters or a
//! quote, or if the line has two `relay=`.
//!
//! If `arg2` is an address with which a blocklist refuses queries, the event has
//! `arg2` in place of TEXT.
//!
//! A 4xx is not taken: FEATURE(dnsbl) logs it when the blocklist did not
//! answer.

use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use regex::bytes::Regex;

use super::address;
use super::grammar::{Context, Finding, Grammar, GrammarResult, expression};
use super::header::Header;
use super::listing_text::{says_listed, speaks_of_list, without_false_complaint};
use crate::dnsbl::complaint::is_complaint;

static REJECTED: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r#"^(?:[0-9A-Za-z]+: )?ruleset=check_(?:relay, arg1=[^ ,"]*|rcpt, arg1=([^ ,"]*))(?:, arg2=([^ ,"]*))?, relay=(?:([^ ,"\[\]]+) )?\[([0-9A-Za-z:.]+)\](?: \(may be forged\))?, reject=5[0-9][0-9] (?:5\.[0-9]+\.[0-9]+ )?(?:[^ "]*\.\.\. )?(.*)"#,
    )
});

pub(super) const GRAMMAR: Grammar = Grammar {
    // `sm-acceptingconnections` is the title of the daemon's process, which
    // glibc's syslog takes for its name.
    programs: &["sendmail", "sm-mta", "sm-acceptingconnections"],
    units: &["sendmail"],
    read,
    looks_rejected,
    needles: &["ruleset=check_"],
    connections: &[],
    // Sendmail logs a message's sender before a milter may refuse the message.
    tells_acceptances: false,
};

fn read<'line>(context: &mut Context<'_>, header: &Header<'line>) -> GrammarResult<'line> {
    if !context.is_own(&GRAMMAR, header.program) {
        return Err(header.not_its());
    }
    if !rejects(header.message) {
        return Err("it rejects nothing");
    }
    let found = REJECTED.captures(header.message);
    let found =
        found.ok_or("it is not a rejection by check_relay or check_rcpt in Sendmail's form")?;
    let part = |group| found.get(group).map_or(&b""[..], |part| part.as_bytes());
    let [recipient, answer, name, host, text] = [1, 2, 3, 4, 5].map(part);
    let addr = address::tagged(host).ok_or("its relay is not an address")?;
    if memmem::find(text, b", relay=").is_some() {
        return Err("it has two relays, and one may be forged");
    }
    says_listed(text, addr, recipient, name)?;
    if is_complaint(answer) {
        return Ok(Finding::rejected(addr, answer, "sendmail-dnsbl"));
    }
    let text = without_false_complaint(text, name);
    Ok(Finding::rejected(addr, text, "sendmail-dnsbl"))
}

/// Whether a ruleset refused permanently and the line mentions a list.
fn looks_rejected(line: &[u8]) -> bool {
    rejects(line) && speaks_of_list(line)
}

fn rejects(line: &[u8]) -> bool {
    static RULESET: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("ruleset=check_"));
    static REJECT: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(", reject=5"));
    RULESET.find(line).is_some() && REJECT.find(line).is_some()
}
