//! `history`: the events of senders, and the commands of administrators.

use std::io::Write;

use anyhow::Result;
use jiff::tz::TimeZone;

use super::lookup;
use super::period::TimeRange;
use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::render::history::{self, HistoryRow};
use crate::render::{json, table::Style};
use crate::store::{HistoryQuery, Store, VERB_WAIT};

/// Runs the verb.
///
/// # Errors
///
/// The word is not an address, or the period is not valid, see [`TimeRange::new`]
/// ([`Exit::Usage`]); the database cannot be read.
///
/// [`Exit::Usage`]: crate::exit::Exit::Usage
pub fn run(
    config: &Config,
    args: &cli::HistoryOptions,
    out: &mut impl Write,
    style: Style,
) -> Result<()> {
    let (now, zone) = (clock::unix_seconds(), TimeZone::system());
    let addr = args.addr.as_deref().map(lookup::address).transpose()?;
    let range = TimeRange::new(args.since, args.until, None, now, &zone)?;
    let query = HistoryQuery {
        addr,
        since: range.since,
        until: range.until,
    };
    let rows = rows(config, &query)?;
    if args.output.json {
        return Ok(json::array(out, rows)?);
    }
    if config.history.is_zero() {
        log::warn!("nothing is recorded: `history` is 0 in the configuration");
    }
    Ok(history::write_text(out, style, &rows, &zone)?)
}

/// The events that a query asks for; none without a database.
fn rows(config: &Config, query: &HistoryQuery) -> Result<Vec<HistoryRow>> {
    let store = Store::open_existing(&config.store_file(), VERB_WAIT)?;
    let Some(store) = store else {
        return Ok(Vec::new());
    };
    store.check_history()?;
    let events = store.history(query)?;
    Ok(events.into_iter().map(HistoryRow::new).collect())
}
