//! Reads what a picture shows, within a budget.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use spamdrop_common::action::is_live;
use spamdrop_common::entry::Entry;
use spamdrop_common::gate::{Gate, GateStats};
use spamdrop_common::settings::Settings;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::allowlist::AllowedNets;
use spamdrop_core::dnsbl::key::mask;
use spamdrop_core::dnsbl::named_zone::ZoneNames;
use spamdrop_core::escape::escape;
use spamdrop_core::history::HistoryKind;
use spamdrop_core::target::Target;
use spamdrop_core::top::{
    CandidatePool, MinuteCourse, ReadBudget, SourceFilter, SourceRate, SourceTable, TopView,
};
use spamdrop_core::zones::Zones;

use crate::clock;
use crate::commands::list::entry;
use crate::commands::{status, why};
use crate::config::Config;
use crate::kernel::blocklist::{Blocklist, Found, read_gate};
use crate::render::history::HistoryRow;
use crate::render::status::{Maps, Status};
use crate::render::top::{TopFigures, TopGate, TopPicture, TopRow};
use crate::store::{STATUS_WAIT, Store};

/// The most sources of a picture.
const SOURCES: usize = 100;
/// The events of a picture.
const EVENTS: u32 = 50;
/// The sources that are taken from the filter's cache at a time.
const DROPPED: usize = 64;
/// A read of all entries takes at most 0.4 % of a processor.
const ALL: u32 = 250;
/// A read of the filter's cache takes at most 0.1 %, and one of the prefixes too.
const PART: u32 = 1_000;

/// Reads a picture each second.
pub struct Sampler<'a> {
    config: &'a Config,
    zones: ZoneNames,
    /// The slots, as the configuration or the mail server has them.
    slots: u32,
    unknown: Vec<String>,
    entries: EntryReader,
    open: MinuteCourse,
    refused: MinuteCourse,
    dropped: MinuteCourse,
}

/// What is read of the entries.
#[derive(Default)]
struct EntryReader {
    all: Option<AllEntries>,
    /// Of the filter's cache.
    cache: Option<ReadBudget>,
    prefixes: PrefixEntries,
    table: SourceTable,
}

/// The prefixes among the top sources.
#[derive(Default)]
struct PrefixEntries {
    entries: HashMap<Target, Entry>,
    budget: Option<ReadBudget>,
}

/// The last read of all entries.
struct AllEntries {
    maps: Maps,
    read: MonotonicNs,
    budget: ReadBudget,
}

/// What is read of the filter, beside the entries.
#[derive(Default)]
struct FilterFigures {
    rows: Vec<TopRow>,
    dropped: u64,
    settings: Option<Settings>,
}

impl<'a> Sampler<'a> {
    /// Nothing is read yet but the settings of the mail server.
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
            entries: EntryReader::default(),
            open: MinuteCourse::default(),
            refused: MinuteCourse::default(),
            dropped: MinuteCourse::default(),
        }
    }

    /// Reads a picture, for this order and filter.
    ///
    /// # Errors
    ///
    /// As `status`.
    pub fn sample(&mut self, view: &TopView) -> Result<TopPicture> {
        let mut unknown = self.unknown.clone();
        let events = self.events().unwrap_or_else(|error| {
            unknown.push(format!("the history: {error:#}"));
            Vec::new()
        });
        let mut filter = FilterFigures::default();
        let status = status::gather_with(self.config, |blocklist, allowed| {
            self.entries
                .read(blocklist, allowed, &view.filter, &events)?;
            filter = self.read_filter(blocklist, allowed, view)?;
            Ok(self.entries.maps())
        })?;
        if status.maps.is_none() {
            self.entries = EntryReader::default();
        }
        let now = clock::monotonic_ns();
        let (gate, stats) = match &filter.settings {
            Some(_) => read_gate(&self.config.pin_dir)?,
            None => (Gate::default(), GateStats::default()),
        };
        let all = self.entries.all.as_ref();
        Ok(TopPicture {
            entries_read: all.map(|all| now.elapsed_since(all.read)),
            gate: self.gate(&status, &gate, filter.settings.as_ref(), now),
            figures: self.figures(&status, &stats, filter.dropped, now),
            sources: filter.rows,
            events,
            unknown,
            status,
        })
    }

    fn events(&self) -> Result<Vec<HistoryRow>> {
        let store = Store::open_existing(&self.config.store_file(), STATUS_WAIT)?;
        let events = store.map_or(Ok(Vec::new()), |store| store.newest_history(EVENTS))?;
        Ok(events.into_iter().map(HistoryRow::new).collect())
    }

    fn read_filter(
        &self,
        blocklist: &Blocklist,
        allowed: &AllowedNets,
        view: &TopView,
    ) -> Result<FilterFigures> {
        let now = clock::monotonic_ns();
        let mut sources = self.entries.table.sorted(view.order, &view.filter);
        sources.truncate(SOURCES);
        let row = |source: &SourceRate| self.row(blocklist, source, allowed, now);
        let packets = blocklist.counters()?;
        Ok(FilterFigures {
            rows: sources.iter().map(row).collect::<Result<_>>()?,
            dropped: packets.open_dropped + packets.sealed_dropped + packets.cidr_dropped,
            settings: Some(blocklist.settings()?),
        })
    }

    fn row(
        &self,
        blocklist: &Blocklist,
        source: &SourceRate,
        allowed: &AllowedNets,
        now: MonotonicNs,
    ) -> Result<TopRow> {
        let SourceRate { target, .. } = *source;
        let addr = match target {
            // The origins of its addresses can only be found among all.
            Target::V6(_) => None,
            Target::Net(_) => target.origin(),
            target => Some(target.net().addr()),
        };
        let origin = addr.map(|addr| blocklist.origin(addr)).transpose()?;
        let text = origin.flatten().map(|origin| escape(origin.text()));
        let reason = text.map(|text| mask(&text).into_owned());
        let reason = reason.unwrap_or_default();
        let found = Found {
            target,
            entry: source.entry,
        };
        Ok(TopRow {
            entry: entry(&found, allowed, now),
            hits_per_s: source.hits_per_s,
            zone: self.zone(&reason, target.net().addr()),
            reason,
        })
    }

    fn zone(&self, reason: &str, addr: IpAddr) -> Option<String> {
        let name = self.zones.name_in(reason, addr)?;
        Some(mask(&name).into_owned())
    }

    fn gate(
        &self,
        status: &Status,
        gate: &Gate,
        settings: Option<&Settings>,
        now: MonotonicNs,
    ) -> TopGate {
        let counted = status.responding(clock::unix_seconds());
        let counted = counted.and_then(|state| state.gate.as_ref());
        let mode = settings.map_or("off", |settings| why::gate_mode(gate, settings, now));
        TopGate {
            mode,
            waits: mode != "off" && gate.limits.iter().any(|limit| gate.open >= *limit),
            open: counted.map(|gate| gate.open),
            slots: counted.map_or(self.slots, |gate| gate.slots),
        }
    }

    fn figures(
        &mut self,
        status: &Status,
        gate: &GateStats,
        dropped: u64,
        now: MonotonicNs,
    ) -> TopFigures {
        let refused = gate.refused.iter().sum();
        let counted = status.responding(clock::unix_seconds());
        if let Some(gate) = counted.and_then(|state| state.gate.as_ref()) {
            self.open.level(now, gate.open.into());
        }
        if status.maps.is_some() {
            self.refused.count(now, refused);
            self.dropped.count(now, dropped);
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

impl EntryReader {
    /// Reads all entries, if that is due, and otherwise the top ones.
    fn read(
        &mut self,
        blocklist: &Blocklist,
        allowed: &AllowedNets,
        filter: &SourceFilter,
        events: &[HistoryRow],
    ) -> Result<()> {
        if is_due(self.all.as_ref().map(|all| all.budget)) {
            self.read_all(blocklist, allowed, filter)?;
        }
        if is_due(self.cache) {
            let (dropped, cost) = measured(|| blocklist.recently_dropped(DROPPED))?;
            self.table.add(dropped);
            self.cache = Some(spent(PART, cost));
        }
        let is_block = |event: &&HistoryRow| event.event == HistoryKind::Blocked.name();
        let blocked = events.iter().filter(is_block);
        self.table.add(blocked.filter_map(|event| event.addr));
        self.table.add(filter.targets());
        let (prefixes, hosts): (Vec<Target>, Vec<Target>) = self
            .table
            .targets()
            .into_iter()
            .partition(|target| matches!(target, Target::Net(_)));
        let now = clock::monotonic_ns();
        let mut live = blocklist.live_among(&hosts, now)?;
        // One prefix cannot be read without all others.
        if !prefixes.is_empty() && is_due(self.prefixes.budget) {
            let (entries, cost) = measured(|| blocklist.live_among(&prefixes, now))?;
            self.prefixes = PrefixEntries {
                entries,
                budget: Some(spent(PART, cost)),
            };
        }
        live.extend(&self.prefixes.entries);
        live.retain(|_, entry| is_live(entry.expires, now));
        self.table.read(now, &live);
        Ok(())
    }

    fn read_all(
        &mut self,
        blocklist: &Blocklist,
        allowed: &AllowedNets,
        filter: &SourceFilter,
    ) -> Result<()> {
        let read = clock::monotonic_ns();
        let mut pool = CandidatePool::new(read, filter);
        let offer = |found: &Found| pool.offer(found.target, &found.entry);
        let (maps, cost) = measured(|| status::count_entries(blocklist, allowed, offer))?;
        self.table.replace(&pool.into_targets());
        self.prefixes = PrefixEntries::default();
        self.all = Some(AllEntries {
            maps,
            read,
            budget: spent(ALL, cost),
        });
        Ok(())
    }

    /// The fill levels at the last read of all entries.
    fn maps(&self) -> Maps {
        self.all.as_ref().map(|all| all.maps).unwrap_or_default()
    }
}

/// The first read is due at once.
fn is_due(budget: Option<ReadBudget>) -> bool {
    budget.is_none_or(|budget| budget.is_due(clock::monotonic()))
}

/// The budget after a read of this cost.
fn spent(rest: u32, cost: Duration) -> ReadBudget {
    let mut budget = ReadBudget::new(rest);
    budget.spend(clock::monotonic(), cost);
    budget
}

/// The result of a read, and the time of a processor that it took.
fn measured<T>(read: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let before = clock::processor_time();
    let value = read()?;
    Ok((value, clock::processor_time().saturating_sub(before)))
}
