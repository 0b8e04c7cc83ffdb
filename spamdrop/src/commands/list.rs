//! `list`: the entries.

use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Error, Result};
use ipnet::IpNet;
use jiff::tz::TimeZone;
use spamdrop_common::action::is_live;
use spamdrop_common::entry::{Entry, ORIGIN_LOG, SEALED};
use spamdrop_common::time::MonotonicNs;

use super::addresses;
use super::input::last_of;
use super::{count, owners};
use crate::cli::{Format, List};
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::{Blocklist, Found};
use crate::render::allowed::shown;
use crate::render::entries::{self, EntryOrigin, EntryState, LiveEntry};
use crate::render::entry_selection::{
    EntryOrder, EntrySelection, FirstBlocked, SelectedEntries, StateWord, dated_text,
};
use crate::render::recent::{self, Jiffies};
use crate::render::{json, table::Style};
use spamdrop_core::allowlist::AllowedNets;
use spamdrop_core::owners::{EntryOwner, OwnerMask, OwnerNames, ShownOwners};
use spamdrop_core::target::Target;

/// Runs the verb.
///
/// # Errors
///
/// A word is not an address ([`Exit::Usage`]), nothing is attached, a given address
/// has no entry that is asked for ([`Exit::Failed`]), or a map operation fails.
pub fn run(config: &Config, args: &List, out: &mut impl Write, style: Style) -> Result<()> {
    let now = clock::monotonic_ns();
    let nets: Vec<IpNet> = addresses::each(&args.addrs)?
        .iter()
        .map(|given| given.net)
        .collect();
    let states: Vec<StateWord> = args.state.iter().copied().map(Into::into).collect();
    let is_filtered = args.owner.is_some() || !states.is_empty();
    let order = args.sort.map(EntryOrder::from).unwrap_or_default();
    let most = args.number.map(|number| number as usize);
    let selection = EntrySelection::new(nets, states, order, most);
    let selected = select(config, now, args.owner.as_ref(), selection)?;
    let format = match args.json {
        true => Format::Json,
        false => args.format.unwrap_or(Format::Table),
    };
    let is_dated = order == EntryOrder::Since;
    match format {
        Format::Json if is_dated => json::array(out, selected.dated(&TimeZone::UTC))?,
        Format::Json => json::array(out, &selected.entries)?,
        Format::Recent => as_recent(out, &selected.entries, now, config.ttl)?,
        Format::Table => {
            match is_dated {
                true => dated_text(out, style, &selected.dated(&TimeZone::system()))?,
                false => entries::write_text(out, style, &selected.entries)?,
            }
            selected.write_count(out)?;
        }
    }
    let missing = selected.missing.into_iter();
    last_of(missing.map(|net| no_entry(net, is_filtered)).collect())
}

/// The error for a given address or prefix for which no entry is shown.
fn no_entry(net: IpNet, is_filtered: bool) -> Error {
    let addr = shown(net);
    let message = match is_filtered {
        true => format!("no entry of {addr} has this state or owner"),
        false if net.prefix_len() == net.max_prefix_len() => format!("{addr} is not blocked"),
        false => format!("nothing in {addr} is blocked"),
    };
    Failure::new(Exit::Failed, message)
}

/// The entries that are live at `now`, sorted.
pub(super) fn live(config: &Config, now: MonotonicNs) -> Result<Vec<LiveEntry>> {
    let selected = select(config, now, None, EntrySelection::default())?;
    Ok(selected.entries)
}

/// Selects from the entries that are live at `now`. If `owner` is given, entries that
/// it does not want are left out.
fn select(
    config: &Config,
    now: MonotonicNs,
    owner: Option<&EntryOwner>,
    mut selection: EntrySelection,
) -> Result<SelectedEntries> {
    let blocklist = Blocklist::open(&config.pin_dir)?;
    let allowed = allowed(&blocklist)?;
    let bit = owner.map(|owner| owners::existing(&mut owners::store(config), owner));
    let bit = bit.transpose()?.transpose();
    let bit = bit.map_err(|message| Failure::new(Exit::Failed, message))?;
    let names = owners::names(config);
    if selection.needs_since() {
        selection.set_since(first_blocked(&blocklist)?);
    }
    let is_wanted =
        |entry: &Entry| bit.is_none_or(|bit| OwnerMask::from_entry(entry).contains(bit));
    blocklist.for_each(|found| {
        if is_live(found.entry.expires, now)
            && selection.is_asked(found.target)
            && is_wanted(&found.entry)
        {
            selection.take(entry(&found, &allowed, &names, now));
        }
    })?;
    Ok(selection.finish())
}

/// When each block began. That of a /64 began with the first of its addresses.
fn first_blocked(blocklist: &Blocklist) -> Result<FirstBlocked> {
    let mut since = FirstBlocked::new();
    blocklist.for_each_origin(|addr, origin| {
        for target in Target::of_origin(addr) {
            let first = since.entry(target).or_insert(origin.first_blocked);
            *first = origin.first_blocked.min(*first);
        }
    })?;
    Ok(since)
}

/// The allowed prefixes. Entries inside them have no effect.
pub(super) fn allowed(blocklist: &Blocklist) -> Result<AllowedNets> {
    let allowed = blocklist.allowed()?.into_iter();
    Ok(allowed.map(|(net, _)| net).collect())
}

/// Writes the entries in the format of xt_recent.
pub(super) fn as_recent(
    out: &mut impl Write,
    live: &[LiveEntry],
    now: MonotonicNs,
    ttl: Duration,
) -> Result<()> {
    let jiffies = Jiffies {
        hz: clock::ticks_per_second(),
    };
    let prefixes = recent::write_text(out, live, Duration::from_nanos(now.ns()), ttl, jiffies)?;
    if prefixes > 0 {
        let left_out = count(prefixes, "prefix is", "prefixes are");
        log::warn!("{left_out} left out: xt_recent has no prefixes");
    }
    Ok(())
}

/// A live entry, as it is shown at `now`.
pub(super) fn entry(
    found: &Found,
    allowed: &AllowedNets,
    names: &Rc<OwnerNames>,
    now: MonotonicNs,
) -> LiveEntry {
    let Found { target, entry } = found;
    let until = |time: MonotonicNs| time.elapsed_since(now);
    let hard_until = MonotonicNs::from_second(entry.hard_until_s);
    LiveEntry {
        target: *target,
        state: if entry.flags & SEALED != 0 {
            EntryState::Sealed
        } else {
            EntryState::Open
        },
        expires_in: until(entry.expires),
        hard_limit_in: (entry.hard_until_s != 0).then(|| until(hard_until)),
        ttl_s: entry.ttl_s,
        hits: entry.hits,
        refreshes: entry.refreshes,
        origin: if entry.flags & ORIGIN_LOG != 0 {
            EntryOrigin::Log
        } else {
            EntryOrigin::Hand
        },
        owners: ShownOwners::new(OwnerMask::from_entry(entry), names),
        fixed: entry.ttl_s == 0,
        allowed: allowed.cover(target.net()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use spamdrop_common::entry::ORIGIN_HAND;

    use super::*;

    #[test]
    fn an_entry_as_the_filter_holds_it() {
        let none = AllowedNets::default();
        let names = Rc::default();
        let mut found = Found {
            target: "192.0.2.1".parse().unwrap(),
            entry: Entry {
                expires: MonotonicNs::from_second(1_000),
                hard_until_s: 2_000,
                ttl_s: 600,
                hits: 5,
                refreshes: 4,
                flags: ORIGIN_LOG,
                owners: 0,
            },
        };
        let shown = entry(&found, &none, &names, MonotonicNs::from_second(400));
        assert_eq!(shown.expires_in, Duration::from_secs(600));
        assert_eq!(shown.hard_limit_in, Some(Duration::from_secs(1600)));
        assert_eq!((shown.ttl_s, shown.hits, shown.refreshes), (600, 5, 4));
        assert_eq!(
            (shown.state, shown.origin),
            (EntryState::Open, EntryOrigin::Log)
        );
        assert_eq!(shown.owners.to_string(), "log");
        assert!(!shown.fixed);
        found.entry.flags = ORIGIN_HAND | SEALED;
        found.entry.hard_until_s = 0;
        found.entry.ttl_s = 0;
        let shown = entry(&found, &none, &names, MonotonicNs::from_second(400));
        assert_eq!(
            (shown.state, shown.origin),
            (EntryState::Sealed, EntryOrigin::Hand)
        );
        assert_eq!((shown.hard_limit_in, shown.fixed), (None, true));
        assert!(!shown.allowed);
        let allowed = ["192.0.2.0/24".parse().unwrap()].into_iter().collect();
        let shown = entry(&found, &allowed, &names, MonotonicNs::from_second(400));
        assert_eq!(shown.state(), "allowed");
    }
}
