//! The maps of the gate.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap, Map, MapData, RingBuf};
use spamdrop_common::{
    gate::{Gate, GateStats, LookupRequest, NextAdmit, Verdict},
    names,
    time::MonotonicNs,
};

use super::known::{Keys, KnownSet, hold_exactly, hold_instead, key};
use super::{data, optional, pins, present, typed, walk};
use spamdrop_core::nat64::canonical;
use spamdrop_core::target::Target;

/// Reads the counters of the filter's gate from the pinned map.
///
/// # Errors
///
/// No map is pinned, or a map has another version or layout.
pub fn read_gate_stats(pin_dir: &Path) -> Result<GateStats> {
    Ok(read_gate(pin_dir)?.1)
}

/// Reads the gate and its counters from the pinned maps.
///
/// # Errors
///
/// As [`read_gate_stats`].
pub fn read_gate(pin_dir: &Path) -> Result<(Gate, GateStats)> {
    let _acting = pins::act_as_daemon(pin_dir)?;
    pins::ensure_current(pin_dir)?;
    let dir = pins::maps_dir(pin_dir);
    pins::check(&dir, None)?;
    let gate: Array<_, Gate> = typed(data(&dir, names::GATE)?, Map::Array)?;
    let stats: Array<_, GateStats> = typed(data(&dir, names::GATE_STATS)?, Map::Array)?;
    Ok((
        gate.get(&0, 0).context("cannot read the gate")?,
        stats.get(&0, 0).context("cannot read gate_stats")?,
    ))
}

/// The open maps of the gate. They need no write lock: beside the filter, only the
/// daemon writes them, except that `spamdrop forget` removes elements.
pub struct GateMaps {
    gate: Array<MapData, Gate>,
    stats: Array<MapData, GateStats>,
    pub(super) known: Keys<[u8; 8]>,
    pub(super) known_addresses: Keys<[u8; 16]>,
    pub(super) nets: Keys<[u8; 8]>,
    pub(super) verdicts: HashMap<MapData, [u8; 8], Verdict>,
    pub(super) next_admits: HashMap<MapData, [u8; 8], NextAdmit>,
    lookup_requests: RingBuf<MapData>,
}

impl GateMaps {
    /// Opens the pinned maps.
    ///
    /// # Errors
    ///
    /// No map is pinned, or a map has another version or layout.
    pub fn open(pin_dir: &Path) -> Result<Self> {
        pins::ensure_current(pin_dir)?;
        Self::open_maps(&pins::maps_dir(pin_dir))
    }

    /// Opens the maps that are pinned in `dir` itself.
    pub(super) fn open_maps(dir: &Path) -> Result<Self> {
        pins::check(dir, None)?;
        Ok(Self {
            gate: typed(data(dir, names::GATE)?, Map::Array)?,
            stats: typed(data(dir, names::GATE_STATS)?, Map::Array)?,
            known: typed(data(dir, names::KNOWN)?, Map::HashMap)?,
            known_addresses: typed(data(dir, names::KNOWN6_ADDR)?, Map::HashMap)?,
            nets: typed(data(dir, names::KNOWN_NETS)?, Map::HashMap)?,
            verdicts: typed(data(dir, names::VERDICTS)?, Map::LruHashMap)?,
            next_admits: typed(data(dir, names::NEXT_ADMITS)?, Map::HashMap)?,
            lookup_requests: typed(data(dir, names::LOOKUP_REQUESTS)?, Map::RingBuf)?,
        })
    }

    /// The current setting of the gate.
    pub fn gate(&self) -> Result<Gate> {
        self.gate.get(&0, 0).context("cannot read the gate")
    }

    /// Sets the gate.
    pub fn set(&mut self, gate: Gate) -> Result<()> {
        self.gate.set(0, gate, 0).context("cannot set the gate")
    }

    /// The counters of the filter.
    pub fn stats(&self) -> Result<GateStats> {
        self.stats.get(&0, 0).context("cannot read gate_stats")
    }

    /// Adds the counters of an older version's filter.
    pub(super) fn add_stats(&mut self, old: &GateStats) -> Result<()> {
        let mut stats = self.stats()?;
        stats.admitted += old.admitted;
        stats.known_or_allowed += old.known_or_allowed;
        stats.starvation_admits += old.starvation_admits;
        for (class, old) in stats.refused.iter_mut().zip(old.refused) {
            *class += old;
        }
        self.stats
            .set(0, stats, 0)
            .context("cannot write gate_stats")
    }

    /// Replaces the known senders by `sources`; prefixes are ignored. A source
    /// that stays is never missing in between.
    ///
    /// # Errors
    ///
    /// There are more than `known_capacity` sources.
    pub fn know_exactly(&mut self, sources: impl IntoIterator<Item = Target>) -> Result<KnownSet> {
        let known: KnownSet = sources.into_iter().collect();
        // Addresses come first: a /64 that is no longer known as a whole needs them.
        hold_exactly(&mut self.known_addresses, &known.addresses)?;
        hold_exactly(&mut self.known, &known.sources)?;
        hold_exactly(&mut self.nets, &known.nets)?;
        Ok(known)
    }

    /// As [`GateMaps::know_exactly`], if the map holds exactly `old`: only the
    /// difference is written.
    ///
    /// # Errors
    ///
    /// As [`GateMaps::know_exactly`]. The map may then hold old and new sources.
    pub fn know_instead(
        &mut self,
        old: &KnownSet,
        sources: impl IntoIterator<Item = Target>,
    ) -> Result<KnownSet> {
        let known: KnownSet = sources.into_iter().collect();
        hold_instead(&mut self.known_addresses, &old.addresses, &known.addresses)?;
        hold_instead(&mut self.known, &old.sources, &known.sources)?;
        hold_instead(&mut self.nets, &old.nets, &known.nets)?;
        Ok(known)
    }

    /// Stores a verdict.
    pub fn set_verdict(&mut self, source: Target, verdict: Verdict) -> Result<()> {
        let Some((_, key)) = key(source) else {
            return Ok(());
        };
        self.verdicts
            .insert(key, verdict, 0)
            .context("cannot store a verdict")
    }

    /// Removes all verdicts, after a change of the zones that are used and trusted.
    pub fn clear_verdicts(&mut self) -> Result<()> {
        let mut keys = Vec::new();
        walk(&self.verdicts, |key, _| keys.push(key))?;
        for key in keys {
            present(self.verdicts.remove(&key))?;
        }
        Ok(())
    }

    /// The verdict of a source, even if it has expired.
    pub fn verdict(&self, source: Target) -> Result<Option<Verdict>> {
        match key(source) {
            Some((_, key)) => optional(self.verdicts.get(&key, 0)),
            None => Ok(None),
        }
    }

    /// Whether the filter steers new connections of a host to the responder,
    /// according to the verdict alone.
    pub fn is_steered(&self, host: IpAddr, now: MonotonicNs) -> Result<bool> {
        let Some(verdict) = self.verdict(host.into())? else {
            return Ok(false);
        };
        let (v6, source) = match canonical(host) {
            IpAddr::V4(_) => (false, [0; 16]),
            IpAddr::V6(host) => (true, host.octets()),
        };
        Ok(verdict.rejects(v6, source, now))
    }

    /// Removes the verdict on a source, and the promise to admit its next SYN.
    /// Returns whether there was a verdict or a promise.
    ///
    /// # Errors
    ///
    /// A map operation fails.
    pub fn forget(&mut self, source: Target) -> Result<bool> {
        let Some((_, key)) = key(source) else {
            return Ok(false);
        };
        let is_judged = present(self.verdicts.remove(&key))?;
        Ok(present(self.next_admits.remove(&key))? || is_judged)
    }

    /// Admits the next SYN of a source until a time.
    pub fn admit_next(&mut self, source: IpAddr, until: MonotonicNs) -> Result<()> {
        let Some((_, key)) = key(source.into()) else {
            return Ok(());
        };
        let admit = NextAdmit { until };
        self.next_admits
            .insert(key, admit, 0)
            .context("cannot store the promise to admit a SYN")
    }

    /// Removes the promises of [`GateMaps::admit_next`] that were kept or have
    /// expired.
    pub fn remove_old_admits(&mut self, now: MonotonicNs) -> Result<()> {
        let mut old = Vec::new();
        walk(&self.next_admits, |key, admit| {
            if admit.until < now {
                old.push(key);
            }
        })?;
        for key in old {
            present(self.next_admits.remove(&key))?;
        }
        Ok(())
    }

    /// The next SYN that the filter has reported because its class has to wait;
    /// `None` if there is none at present.
    pub fn next_lookup_request(&mut self) -> Option<(IpAddr, LookupRequest)> {
        let item = self.lookup_requests.next()?;
        let request = request(&item)?;
        let source = Ipv6Addr::from(request.source).to_canonical();
        Some((source, request))
    }
}

/// Reads a [`LookupRequest`].
fn request(item: &[u8]) -> Option<LookupRequest> {
    let (source, rest) = item.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let (source_port, rest) = rest.split_first_chunk()?;
    let [class, has_verdict] = rest.try_into().ok()?;
    Some(LookupRequest {
        source: *source,
        sequence: u32::from_ne_bytes(*sequence),
        source_port: u16::from_ne_bytes(*source_port),
        class,
        has_verdict,
    })
}
