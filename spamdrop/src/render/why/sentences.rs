//! The sentences of `why`.

use std::io::{self, Write};
use std::time::Duration;

use jiff::tz::TimeZone;
use spamdrop_common::counter::Reason;
use spamdrop_common::settings::Refresh;
use spamdrop_core::duration::human;
use spamdrop_core::history::{BlockEnd, EndedBlock};
use spamdrop_core::next_syn::{CommandEffect, Fate};
use spamdrop_core::reputation::SenderStanding;
use spamdrop_core::time::UnixSeconds;

use super::{AllowedBy, Explanation, FilterPresence, GatePlace};
use crate::render::allowed::shown;
use crate::render::entries::{EntryOrigin, EntryState, LiveEntry};
use crate::render::history;
use crate::render::known::SenderRow;
use crate::render::lookup;
use crate::render::show::{BlockOrigin, local_time};
use crate::render::table::Style;

/// Writes each address and, below it, the sentences about it, with times in
/// `zone`.
pub fn write_text(
    out: &mut impl Write,
    style: Style,
    all: &[Explanation<'_>],
    zone: &TimeZone,
) -> io::Result<()> {
    for (index, one) in all.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}: {}", one.addr, next(one))?;
        for sentence in sentences(one, zone) {
            writeln!(out, "  {sentence}")?;
        }
        for CommandEffect { command, effect } in &one.changes {
            writeln!(out, "  `{command}` {effect}.")?;
        }
        if let Some(looked_up) = &one.lookup {
            writeln!(out, "The zones say now:")?;
            lookup::write_text(out, std::slice::from_ref(looked_up))?;
        }
        if !one.history.is_empty() {
            writeln!(out, "History:")?;
            history::write_text(out, style, &one.history, zone)?;
        }
    }
    Ok(())
}

/// The fate of the next connection.
fn next(one: &Explanation<'_>) -> String {
    let Some(next) = &one.next else {
        return "the fate of its next connection is unknown.".into();
    };
    let because = match next.reason {
        None => "no interface has the filter",
        Some(Reason::OtherPort) => "the filter does not watch port 25",
        Some(Reason::Paused) => "it is blocked, but blocks are paused",
        Some(Reason::Allowed) => "it is blocked, but the allowlist lets it pass",
        Some(Reason::Expired) => "its block has expired",
        Some(Reason::OpenDropped | Reason::SealedDropped) => "it is blocked",
        Some(Reason::CidrDropped) => "a prefix around it is blocked",
        Some(Reason::GateKnownOrAllowed) => "strangers wait, but it is no stranger",
        Some(Reason::GateAnswered) => "it is listed, so the responder rejects it",
        Some(Reason::GateRefused) => "slots run short; its system tries again in a second or more",
        Some(_) => "it is not blocked",
    };
    let fate = fate(next.fate);
    match next.fate_of_windows {
        windows if windows == next.fate => format!("its next connection is {fate}: {because}."),
        windows => format!(
            "its next connection is {fate}: {because}. From Windows it would be {}.",
            self::fate(windows)
        ),
    }
}

fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Accepted => "accepted",
        Fate::Dropped => "dropped",
        Fate::Refused => "refused at the gate",
        Fate::Answered => "answered by the responder",
    }
}

fn sentences(one: &Explanation<'_>, zone: &TimeZone) -> Vec<String> {
    let mut all = Vec::new();
    match &one.block {
        Some(block) => {
            all.extend(block.entries.iter().map(|it| entry(it, one.refresh)));
            all.extend(block.origins.iter().map(|it| origin(it, zone)));
            if block.entries.is_empty() {
                all.push("It is not blocked.".into());
            }
        }
        None if one.filter == FilterPresence::Absent => {
            all.push("No filter is attached, so no sender is blocked or has to wait.".into());
        }
        None => {}
    }
    all.extend(one.ended.as_ref().map(|it| ended(it, zone)));
    if one.filter == FilterPresence::Detached {
        all.push("The filter is on no interface, so its entries drop nothing.".into());
    }
    all.extend(allowed(one, zone));
    match &one.known {
        None if one.unread.is_known => {}
        known => all.push(sender(known.as_ref(), zone)),
    }
    all.extend(one.gate.as_ref().map(gate));
    all.extend(one.unknown.iter().map(|what| format!("Unknown: {what}.")));
    all
}

/// The end of the last block.
fn ended(block: &EndedBlock, zone: &TimeZone) -> String {
    let time = |at| local_time(at, zone);
    match &block.end {
        BlockEnd::ByItself(at) => format!("Its last block ended by itself at {}.", time(*at)),
        BlockEnd::Command { at, by, text } => {
            let at = time(*at);
            format!("Its last block was ended by {by} at {at}: `{text}`.")
        }
        BlockEnd::AtLatest(at) => format!(
            "Its last block by the log ended at {} at the latest, by the present `hard_limit`; its exact end is not known.",
            time(*at)
        ),
    }
}

/// The sentence about the allowlist; `None` if the allowlist could not be read.
fn allowed(one: &Explanation<'_>, zone: &TimeZone) -> Option<String> {
    let Some(allowed) = &one.allowed else {
        return (!one.unread.is_allowlist).then(|| "Nothing allows it.".into());
    };
    let net = shown(allowed.net);
    Some(match allowed.by {
        "file" if !allowed.is_in_effect => format!(
            "The allowlist has {net}, but the filter does not have it yet; `spamdrop reload` \
             applies it, or the daemon's next start."
        ),
        "file" => by_file(allowed, zone),
        "filter" => format!("The filter's allowlist has {net}, so it is never dropped."),
        by if !allowed.is_in_effect => {
            format!(
                "{net} is protected automatically ({by}), but the filter does not have it yet; \
                 `spamdrop reload` applies it, or the daemon's next start."
            )
        }
        by => format!("It is never dropped, because {net} is protected automatically ({by})."),
    })
}

fn by_file(allowed: &AllowedBy, zone: &TimeZone) -> String {
    let net = shown(allowed.net);
    let comment = allowed.comment.as_ref();
    let comment = comment.map(|comment| format!(" ({comment})"));
    let comment = comment.unwrap_or_default();
    match allowed.until_unix_s {
        None => format!("The allowlist has {net}{comment}, so it is never dropped."),
        Some(until) => {
            let until = local_time(UnixSeconds::new(until), zone);
            format!("The allowlist has {net}{comment} until {until}; until then it is not dropped.")
        }
    }
}

fn entry(entry: &LiveEntry, refresh: Refresh) -> String {
    let what = match entry.state {
        EntryState::Open => "open, so only new connections are dropped",
        EntryState::Sealed => "sealed, so every packet is dropped",
    };
    let by = match entry.origin {
        EntryOrigin::Log => "because of the log".into(),
        EntryOrigin::Hand => format!("by {}", entry.owners),
    };
    let ttl = human(Duration::from_secs(entry.ttl_s.into()));
    let extends = match refresh {
        Refresh::Packet => Some("packet"),
        Refresh::Syn => Some("new connection"),
        Refresh::Never => None,
    };
    let extends = extends.filter(|_| !entry.is_final());
    let slides = match (entry.ttl_s, extends) {
        (0, _) => String::new(),
        (_, None) => ", whatever packets arrive".into(),
        (_, Some(packet)) => format!(", or {ttl} after its next {packet}"),
    };
    let limit = entry.hard_limit_in.filter(|_| extends.is_some());
    let limit = limit.map(|limit| format!(", at the latest in {}", human(limit)));
    format!(
        "{} is blocked {by}; the block is {what}, has {}, and ends in {}{slides}{}.",
        entry.target,
        number(entry.hits.into(), "hit"),
        human(entry.expires_in),
        limit.unwrap_or_default(),
    )
}

fn origin(origin: &BlockOrigin, zone: &TimeZone) -> String {
    let since = local_time(UnixSeconds::new(origin.first_unix_s), zone);
    let mut text = format!("{} has been blocked since {since}", shown(origin.addr));
    if let Some(ago) = origin.last_offence_ago {
        let offences = number(origin.offences.into(), "offence");
        text += &format!(", for {offences}, the last {} ago", human(ago));
    }
    match origin.text.as_str() {
        "" => text + ".",
        why => format!("{text}: {why}"),
    }
}

fn sender(known: Option<&SenderRow>, zone: &TimeZone) -> String {
    let Some(known) = known else {
        return "It is not a known sender: there is no evidence for it.".into();
    };
    let time = |at: Option<u64>| at.map(|at| local_time(UnixSeconds::new(at), zone));
    let mut evidence = Vec::new();
    for (what, at) in [
        ("its mail was last accepted", known.last_accepted_unix_s),
        (
            "it last took mail from this server",
            known.last_delivered_unix_s,
        ),
        ("it was last demoted or removed", known.last_demoted_unix_s),
    ] {
        evidence.extend(time(at).map(|at| format!("{what} on {at}")));
    }
    let evidence = match evidence.join(", ") {
        none if none.is_empty() => String::new(),
        some => format!(": {some}"),
    };
    let is = match known.state {
        SenderStanding::ByHand => "is a known sender, added by hand".to_owned(),
        SenderStanding::Known => match time(known.known_until_unix_s) {
            Some(until) => format!("is a known sender until {until}"),
            None => "is a known sender".to_owned(),
        },
        SenderStanding::Unproven => "is not a known sender yet".to_owned(),
        SenderStanding::Demoted => "is no known sender any more".to_owned(),
        SenderStanding::Void => "is not a known sender".to_owned(),
    };
    format!("{} {is}{evidence}.", known.source)
}

fn gate(gate: &GatePlace) -> String {
    let refused = match gate.refused {
        0 => String::new(),
        refused => format!(" The gate has refused {} from it.", number(refused, "SYN")),
    };
    let others = match gate.refused_without_source {
        0 => String::new(),
        others => format!(
            " The gate has refused {} from sources that were too many to record; it may be one.",
            number(others, "SYN")
        ),
    };
    let place = match gate.mode {
        "off" => "The gate is off, so no sender has to wait.".to_owned(),
        _ if gate.passes => "The gate never makes it wait.".to_owned(),
        mode => {
            let waits = match mode {
                "on" => "waits",
                _ => "would wait (the gate only observes)",
            };
            let at = |limit| format!("{limit} ({} %)", percent(limit, gate.slots));
            let windows = match gate.waits_from_of_windows {
                same if same == gate.class.waits_from => String::new(),
                other => format!(", or {} if it runs Windows", at(other)),
            };
            format!(
                "At the gate it is a stranger of class {} and {waits} while at least {} of the \
                 server's {} slots are in use{windows}; {} are in use now.",
                gate.class.class,
                at(gate.class.waits_from),
                gate.slots,
                gate.held,
            )
        }
    };
    place + &refused + &others
}

fn percent(part: u32, whole: u32) -> u64 {
    u64::from(part) * 100 / u64::from(whole.max(1))
}

fn number(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
