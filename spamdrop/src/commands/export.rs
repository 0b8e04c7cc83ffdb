//! `export`: the entries as text for `import`.

use std::collections::HashMap;
use std::io::Write;
use std::rc::Rc;

use anyhow::Result;
use spamdrop_common::action::is_live;

use super::{count, list, owners};
use crate::cli::{self, ExportFormat};
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::{Blocklist, Found};
use crate::render::entries::LiveEntry;
use crate::render::listing;
use crate::store::BootTime;
use spamdrop_core::allowlist::AllowedNets;
use spamdrop_core::owners::{EntryOwner, OwnerMask, combine};

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, or a map operation fails.
pub fn run(config: &Config, args: cli::Export, out: &mut impl Write) -> Result<()> {
    let now = clock::monotonic_ns();
    match (args.format, args.owners) {
        (ExportFormat::Lines, false) => {
            Ok(listing::write_text(out, &list::live(config, now)?, false)?)
        }
        (ExportFormat::Lines, true) => by_owner(config, out),
        (ExportFormat::Recent, false) => {
            let live = list::live(config, now)?;
            list::as_recent(out, &live, now, config.ttl)
        }
        (ExportFormat::Recent, true) => {
            let message = "the lines of xt_recent name no owners; give `--format lines`";
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

/// Writes a line for each owner of an entry, with the end of that owner's hold.
fn by_owner(config: &Config, out: &mut impl Write) -> Result<()> {
    let blocklist = Blocklist::open(&config.pin_dir)?;
    let now = BootTime::now()?;
    let mono = now.clocks.mono;
    // Fail without the names: an import of nameless lines would make blocks by hand.
    let names = Rc::new(owners::store(config).names()?);
    let (mut lines, mut shared) = (Vec::new(), HashMap::new());
    let line = |target, entry| {
        list::entry(
            &Found { target, entry },
            &AllowedNets::default(),
            &names,
            mono,
        )
    };
    blocklist.for_each(|found| {
        let is_live = is_live(found.entry.expires, mono);
        if is_live && OwnerMask::from_entry(&found.entry).is_shared() {
            shared.insert(found.target, found.entry);
        } else if is_live {
            lines.push(line(found.target, found.entry));
        }
    })?;
    for (target, holds) in owners::store(config).holds_of(&shared, &now)? {
        let Some(entry) = shared.get(&target) else {
            continue;
        };
        let live = holds.iter().filter(|(_, hold)| is_live(hold.ends, mono));
        let each = live.filter_map(|hold| combine(entry, &[*hold]));
        lines.extend(each.map(|entry| line(target, entry)));
    }
    // The lines of a target stay in the order of its owners.
    lines.sort_by_key(|it| it.target.net());
    let is_lost =
        |it: &&LiveEntry| matches!(it.owners.only().as_deref(), Some(EntryOwner::Unnamed(_)));
    let lost = lines.iter().filter(is_lost).count();
    if lost > 0 {
        let blocks = count(lost, "block is", "blocks are");
        log::warn!("{blocks} exported as made by hand, because the names of the owners are lost");
    }
    Ok(listing::write_text(out, &lines, true)?)
}
