//! `list`: the entries.

use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use spamdrop_common::action::is_live;
use spamdrop_common::entry::{Entry, ORIGIN_LOG, SEALED};
use spamdrop_common::time::MonotonicNs;

use super::{count, owners};
use crate::cli::{Format, List};
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::{Blocklist, Found};
use crate::render::entries::{self, EntryOrigin, EntryState, LiveEntry};
use crate::render::recent::{self, Jiffies};
use crate::render::{json, table::Style};
use spamdrop_core::allowlist::AllowedNets;
use spamdrop_core::owners::{EntryOwner, OwnerMask, OwnerNames, ShownOwners};

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, or a map operation fails.
pub fn run(config: &Config, args: &List, out: &mut impl Write, style: Style) -> Result<()> {
    let now = clock::monotonic_ns();
    let live = live(config, now, args.owner.as_ref())?;
    match args.format {
        _ if args.json => json::array(out, &live)?,
        Some(Format::Json) => json::array(out, &live)?,
        Some(Format::Recent) => as_recent(out, &live, now, config.ttl)?,
        Some(Format::Table) | None => entries::text(out, style, &live)?,
    }
    Ok(())
}

/// The entries that are live at `now`, sorted; with an owner, those that it wants.
pub(super) fn live(
    config: &Config,
    now: MonotonicNs,
    owner: Option<&EntryOwner>,
) -> Result<Vec<LiveEntry>> {
    let blocklist = Blocklist::open(&config.pin_dir)?;
    let allowed = allowed(&blocklist)?;
    let bit = owner.map(|owner| owners::existing(&mut owners::store(config), owner));
    let bit = bit.transpose()?.transpose();
    let bit = bit.map_err(|message| Failure::new(Exit::Failed, message))?;
    let names = owners::names(config);
    let is_wanted = |entry: &Entry| bit.is_none_or(|bit| OwnerMask::of(entry).contains(bit));
    let mut live = Vec::new();
    blocklist.for_each(|found| {
        if is_live(found.entry.expires, now) && is_wanted(&found.entry) {
            live.push(entry(&found, &allowed, &names, now));
        }
    })?;
    entries::sort(&mut live);
    Ok(live)
}

/// The prefixes whose entries have no effect.
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
    let prefixes = recent::text(out, live, Duration::from_nanos(now.ns()), ttl, jiffies)?;
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
        owners: ShownOwners::new(OwnerMask::of(entry), names),
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
