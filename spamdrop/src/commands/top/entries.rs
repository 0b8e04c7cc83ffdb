//! Reads the entries, within a budget.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use anyhow::Result;
use spamdrop_common::action::is_live;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::allowlist::AllowedNets;
use spamdrop_core::history::HistoryKind;
use spamdrop_core::target::{ShownNet, Target};
use spamdrop_core::top::{CandidatePool, SourceFilter, SourceTable};

use crate::clock;
use crate::commands::meter::Meter;
use crate::commands::status;
use crate::kernel::blocklist::{Blocklist, Found};
use crate::render::history::HistoryRow;
use crate::render::status::Maps;

/// Maximum number of sources that one read of the filter's cache adds.
const DROPPED: usize = 64;
/// A read of all entries takes at most 0.4 % of a processor.
const ALL: u32 = 250;
/// A read of the filter's cache takes at most 0.1 % of a processor.
const PART: u32 = 1_000;

/// Reads the entries that a snapshot may show: now and then all of them, in between
/// only those with the most hits and the newest.
pub(super) struct EntryReader {
    pub table: SourceTable,
    all: Option<AllEntries>,
    all_meter: Meter,
    cache_meter: Meter,
    /// The prefixes that had an entry when all were read.
    prefixes: HashSet<Target>,
    /// For a /64, the address under which the reason of its block is stored.
    origins: HashMap<Target, IpAddr>,
}

/// The last read of all entries.
#[derive(Clone, Copy)]
pub(super) struct AllEntries {
    pub maps: Maps,
    pub read: MonotonicNs,
}

impl EntryReader {
    /// A reader that has read nothing yet.
    pub fn new() -> Self {
        Self {
            table: SourceTable::default(),
            all: None,
            all_meter: Meter::new(ALL),
            cache_meter: Meter::new(PART),
            prefixes: HashSet::new(),
            origins: HashMap::new(),
        }
    }

    /// The last read of all entries.
    pub fn all(&self) -> Option<AllEntries> {
        self.all
    }

    /// The address under which the reason for a block is stored, if it is known.
    pub fn origin(&self, target: Target) -> Option<IpAddr> {
        target
            .origin()
            .or_else(|| self.origins.get(&target).copied())
    }

    /// Reads all entries if that is due, and in any case the entries of `table`. Returns
    /// the fill levels of the maps at the last read of all entries.
    pub fn read(
        &mut self,
        blocklist: &Blocklist,
        allowed: &AllowedNets,
        filter: &SourceFilter,
        events: &[HistoryRow],
    ) -> Result<Maps> {
        if self.all_meter.is_due() {
            self.read_all(blocklist, allowed, filter)?;
        }
        if self.cache_meter.is_due() {
            let read = || blocklist.recently_dropped(DROPPED);
            self.table.add(self.cache_meter.measure(read)?);
        }
        self.add_blocked(events);
        self.table.add(filter.targets());
        let (prefixes, hosts): (Vec<Target>, Vec<Target>) = self
            .table
            .targets()
            .into_iter()
            .partition(|target| matches!(target, Target::Net(_)));
        let now = clock::monotonic_ns();
        let mut live = blocklist.live_among(&hosts, now)?;
        for prefix in prefixes {
            let found = blocklist.prefix_entry(prefix.net())?;
            let found = found.filter(|it| it.is_certain || self.prefixes.contains(&prefix));
            if let Some(found) = found.filter(|it| is_live(it.entry.expires, now)) {
                live.insert(prefix, found.entry);
            }
        }
        self.table.read(now, &live);
        Ok(self.all.map(|all| all.maps).unwrap_or_default())
    }

    /// Adds the sources of the blocks in `events`, which has the newest event first. The
    /// oldest block is added first, so that a /64 keeps its newest origin.
    fn add_blocked(&mut self, events: &[HistoryRow]) {
        let is_block = |event: &&HistoryRow| event.event == HistoryKind::Blocked.name();
        let blocked = events.iter().rev().filter(is_block);
        for ShownNet(net) in blocked.filter_map(|event| event.addr) {
            let target = Target::from(net);
            let source = target.source();
            self.table.add([target, source]);
            if source != target {
                self.origins.insert(source, net.addr());
            }
        }
    }

    fn read_all(
        &mut self,
        blocklist: &Blocklist,
        allowed: &AllowedNets,
        filter: &SourceFilter,
    ) -> Result<()> {
        let read = clock::monotonic_ns();
        let (all, targets, origins) = self.all_meter.measure(|| {
            let mut pool = CandidatePool::new(read, filter);
            let offer = |found: &Found| pool.offer(found.target, &found.entry);
            let maps = status::count_entries(blocklist, allowed, offer)?;
            let targets = pool.into_targets();
            let origins = origins_of(blocklist, &targets)?;
            Ok((AllEntries { maps, read }, targets, origins))
        })?;
        self.table.replace(&targets);
        let is_prefix = |target: &Target| matches!(target, Target::Net(_));
        self.prefixes = targets.into_iter().filter(is_prefix).collect();
        self.origins = origins;
        self.all = Some(all);
        Ok(())
    }
}

/// For each /64 of the targets, an address under which a reason is stored.
fn origins_of(blocklist: &Blocklist, targets: &[Target]) -> Result<HashMap<Target, IpAddr>> {
    let is_net = |target: &&Target| matches!(target, Target::V6(_));
    let wanted: HashSet<&Target> = targets.iter().filter(is_net).collect();
    let mut origins = HashMap::new();
    if !wanted.is_empty() {
        blocklist.for_each_origin(|addr, _| {
            let source = Target::of_origin(addr).find(|target| wanted.contains(target));
            origins.extend(source.map(|source| (source, addr)));
        })?;
    }
    Ok(origins)
}
