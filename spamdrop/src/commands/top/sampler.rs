//! Reads what a snapshot shows, within a budget.

use std::net::IpAddr;
use std::rc::Rc;

use anyhow::Result;
use spamdrop_common::gate::{CLASSES, Gate, GateStats};
use spamdrop_common::settings::Settings;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::allowlist::AllowedNets;
use spamdrop_core::dnsbl::key::mask;
use spamdrop_core::dnsbl::named_zone::ZoneNames;
use spamdrop_core::escape::escape;
use spamdrop_core::owners::OwnerNames;
use spamdrop_core::target::Target;
use spamdrop_core::top::{MinuteCourse, SourceRate, TopView};
use spamdrop_core::zones::Zones;

use super::database::DatabaseReader;
use super::entries::EntryReader;
use crate::clock;
use crate::commands::list::entry;
use crate::commands::status::AllowedReader;
use crate::commands::{status, why};
use crate::config::Config;
use crate::kernel::blocklist::{Blocklist, Found, read_gate};
use crate::render::status::Status;
use crate::render::top::{TopFigures, TopGate, TopRow, TopSnapshot};

/// Maximum number of sources in a snapshot.
const SOURCES: usize = 100;

/// Takes a snapshot each second.
pub struct Sampler<'a> {
    config: &'a Config,
    zones: ZoneNames,
    /// The number of slots, from the configuration or the mail server's settings.
    slots: u32,
    unknown: Vec<String>,
    database: DatabaseReader,
    allowed: AllowedReader,
    entries: EntryReader,
    open: MinuteCourse,
    refused: MinuteCourse,
    dropped: MinuteCourse,
}

/// The data of a snapshot that is read from the filter: its sources and figures.
#[derive(Default)]
struct FilterFigures {
    rows: Vec<TopRow>,
    dropped: u64,
    settings: Option<Settings>,
}

impl<'a> Sampler<'a> {
    /// A sampler that has read only the settings of the mail server.
    pub fn new(config: &'a Config) -> Self {
        let mut unknown = Vec::new();
        let zones = config.asked_zones().unwrap_or_else(|error| {
            unknown.push(format!("the zones: {error:#}"));
            Zones::default()
        });
        Self {
            config,
            zones: ZoneNames::new(zones.rules(), &[]),
            slots: config.server_slots().count,
            unknown,
            database: DatabaseReader::new(config.store_file()),
            allowed: AllowedReader::new(config),
            entries: EntryReader::new(),
            open: MinuteCourse::default(),
            refused: MinuteCourse::default(),
            dropped: MinuteCourse::default(),
        }
    }

    /// Takes a snapshot, in the order and with the filter of `view`.
    ///
    /// # Errors
    ///
    /// The kernel or a map cannot be queried.
    pub fn sample(&mut self, view: &TopView) -> Result<TopSnapshot> {
        self.database.read();
        let DatabaseReader {
            events,
            last_wave,
            owner_names: names,
            error,
            ..
        } = &self.database;
        let database = error.as_ref().map(|error| format!("the database: {error}"));
        let entries = &mut self.entries;
        let mut filter = FilterFigures::default();
        let last_wave = last_wave.clone();
        let read = |blocklist: &Blocklist, allowed: &AllowedNets| {
            let maps = entries.read(blocklist, allowed, &view.filter, events)?;
            filter = read_filter(&self.zones, entries, names, blocklist, allowed, view)?;
            Ok(maps)
        };
        let status = status::gather_with(self.config, last_wave, &mut self.allowed, read)?;
        if status.maps.is_none() {
            self.entries = EntryReader::new();
        }
        let now = clock::monotonic_ns();
        let (gate, stats) = match &filter.settings {
            Some(_) => read_gate(&self.config.pin_dir)?,
            None => (Gate::default(), GateStats::default()),
        };
        let gate = self.read_gate(&status, &gate, &stats, filter.settings.as_ref(), now);
        Ok(TopSnapshot {
            entries_read: self.entries.all().map(|all| now.elapsed_since(all.read)),
            gate,
            figures: self.count(&status, gate, &stats, filter.dropped, now),
            sources: filter.rows,
            events: self.database.events.clone(),
            is_database_read: database.is_none(),
            unknown: self.unknown.iter().cloned().chain(database).collect(),
            status,
        })
    }

    fn read_gate(
        &self,
        status: &Status,
        gate: &Gate,
        stats: &GateStats,
        settings: Option<&Settings>,
        now: MonotonicNs,
    ) -> TopGate {
        let counted = status.responding(clock::unix_seconds());
        let counted = counted.and_then(|state| state.gate.as_ref());
        let mode = settings.map_or("off", |settings| why::gate_mode(gate, settings, now));
        TopGate {
            mode,
            waits: mode != "off" && makes_wait(gate, stats),
            open: counted.map(|gate| gate.open),
            slots: counted.map_or(self.slots, |gate| gate.slots),
        }
    }

    /// Adds a point to each figure. A figure that cannot be read, because there is no
    /// filter or no daemon that counts connections, gets a gap.
    fn count(
        &mut self,
        status: &Status,
        gate: TopGate,
        stats: &GateStats,
        dropped: u64,
        now: MonotonicNs,
    ) -> TopFigures {
        let refused = stats.refused.iter().sum();
        match gate.open {
            Some(open) => self.open.level(now, open.into()),
            None => self.open.skip(now),
        }
        if status.maps.is_some() {
            self.refused.count(now, refused);
            self.dropped.count(now, dropped);
        } else {
            self.refused.skip(now);
            self.dropped.skip(now);
        }
        TopFigures {
            open: self.open.points().collect(),
            refused_per_s: self.refused.points().collect(),
            dropped_per_s: self.dropped.points().collect(),
            refused,
            dropped,
        }
    }
}

/// Whether the filter would make strangers of at least one class wait.
fn makes_wait(gate: &Gate, stats: &GateStats) -> bool {
    let held = gate.held(stats.admitted);
    (0..CLASSES).any(|class| !gate.admits(class, held))
}

fn read_filter(
    zones: &ZoneNames,
    entries: &EntryReader,
    names: &Rc<OwnerNames>,
    blocklist: &Blocklist,
    allowed: &AllowedNets,
    view: &TopView,
) -> Result<FilterFigures> {
    let now = clock::monotonic_ns();
    let mut sources = entries.table.sorted(view.order, &view.filter);
    sources.truncate(SOURCES);
    let row = |source: &SourceRate| {
        let addr = entries.origin(source.target);
        let reason = read_reason(blocklist, addr)?;
        let addr = match source.target {
            Target::V6(_) => addr,
            _ => None,
        };
        let zone = zones.name_in(&reason, addr.unwrap_or(source.target.net().addr()));
        let found = Found {
            target: source.target,
            entry: source.entry,
        };
        Ok(TopRow {
            entry: entry(&found, allowed, names, now),
            hits_per_s: source.hits_per_s,
            zone: zone.map(|zone| mask(&zone).into_owned()),
            reason,
        })
    };
    let packets = blocklist.counters()?;
    Ok(FilterFigures {
        rows: sources.iter().map(row).collect::<Result<_>>()?,
        dropped: packets.open_dropped + packets.sealed_dropped + packets.cidr_dropped,
        settings: Some(blocklist.settings()?),
    })
}

/// The reason that is stored under an address; empty: unknown.
fn read_reason(blocklist: &Blocklist, addr: Option<IpAddr>) -> Result<String> {
    let origin = addr.map(|addr| blocklist.origin(addr)).transpose()?;
    let text = origin.flatten().map(|origin| escape(origin.used_text()));
    Ok(text.map_or_else(String::new, |text| mask(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spamdrop_common::gate::SHARE_ONE;

    #[test]
    fn strangers_wait_while_any_class_does_and_syns_since_the_count_are_charged() {
        let gate = Gate {
            admitted: 100,
            open: 25,
            limits: [32, 30, 28],
            share: SHARE_ONE / 2,
            ..Gate::default()
        };
        let waits = |admitted| {
            let stats = GateStats {
                admitted,
                ..GateStats::default()
            };
            makes_wait(&gate, &stats)
        };
        // Each SYN counts as half a connection, and class 2 waits from 28 connections on.
        assert!(!waits(105));
        assert!(waits(106));
    }
}
