//! The maps of the gate: who passes while the server's slots run out.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap, Map, MapData, RingBuf};
use spamdrop_common::{
    gate::{Gate, Passage, Standing, Verdict, net_key, source_key},
    names,
};

use super::{data, fd, optional, pins, present, typed, walk};
use crate::bpf;
use crate::target::Target;

/// The maps of the gate, open. Only the watcher writes them, so there are no
/// turns.
pub struct Gatehouse {
    gate: Array<MapData, Gate>,
    passage: Array<MapData, Passage>,
    known: Keys,
    nets: Keys,
    verdicts: HashMap<MapData, [u8; 8], Verdict>,
    asks: RingBuf<MapData>,
}

type Keys = HashMap<MapData, [u8; 8], u8>;

impl Gatehouse {
    /// Opens the maps that are pinned in `dir`.
    ///
    /// # Errors
    ///
    /// None is pinned, or one of another layout.
    pub fn open(dir: &Path) -> Result<Self> {
        pins::check(dir, None)?;
        Ok(Self {
            gate: typed(data(dir, names::GATE)?, Map::Array)?,
            passage: typed(data(dir, names::PASSAGE)?, Map::Array)?,
            known: typed(data(dir, names::KNOWN)?, Map::HashMap)?,
            nets: typed(data(dir, names::KNOWN_NETS)?, Map::HashMap)?,
            verdicts: typed(data(dir, names::VERDICTS)?, Map::LruHashMap)?,
            asks: typed(data(dir, names::ASKS)?, Map::RingBuf)?,
        })
    }

    /// The gate as it was set last.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn gate(&self) -> Result<Gate> {
        self.gate.get(&0, 0).context("cannot read the gate")
    }

    /// Sets the gate.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn set(&mut self, gate: Gate) -> Result<()> {
        self.gate.set(0, gate, 0).context("cannot set the gate")
    }

    /// What the filter has counted.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn passage(&self) -> Result<Passage> {
        self.passage
            .get(&0, 0)
            .context("cannot read what passed the gate")
    }

    /// Makes these sources known, and no others. Prefixes are left out. Those
    /// that stay are never missing meanwhile.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation, as where there are more than
    /// `known_capacity`.
    pub fn know_exactly(&mut self, sources: impl IntoIterator<Item = Target>) -> Result<()> {
        let (mut keys, mut nets) = (HashSet::new(), HashSet::new());
        for source in sources {
            if let Some((v6, key)) = key(source) {
                keys.insert(key);
                nets.insert(net_key(v6, key));
            }
        }
        hold_exactly(&mut self.known, keys)?;
        hold_exactly(&mut self.nets, nets)
    }

    /// Keeps a verdict.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn judge(&mut self, source: Target, verdict: Verdict) -> Result<()> {
        let Some((_, key)) = key(source) else {
            return Ok(());
        };
        self.verdicts
            .insert(key, verdict, 0)
            .context("cannot keep a verdict")
    }

    /// Forgets all verdicts: they may have been given by other blocklists.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn forget_verdicts(&mut self) -> Result<()> {
        let mut keys = Vec::new();
        walk(&self.verdicts, |key, _| keys.push(key))?;
        for key in keys {
            present(self.verdicts.remove(&key))?;
        }
        Ok(())
    }

    /// The verdict of a source, however old.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn verdict(&self, source: Target) -> Result<Option<Verdict>> {
        match key(source) {
            Some((_, key)) => optional(self.verdicts.get(&key, 0)),
            None => Ok(None),
        }
    }

    /// Whether the filter leaves new connections of a host to the responder,
    /// as far as the blocklists decide.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn is_steered(&self, host: IpAddr, now: u64) -> Result<bool> {
        let Some(verdict) = self.verdict(host.into())? else {
            return Ok(false);
        };
        let (v6, source) = match host {
            IpAddr::V4(_) => (false, [0; 16]),
            IpAddr::V6(host) => (true, host.octets()),
        };
        Ok(verdict.standing(now) == Some(Standing::Listed) && verdict.is_about(v6, source))
    }

    /// The next source whose class has to wait, and whether it has a verdict.
    pub fn next_ask(&mut self) -> Option<(IpAddr, bool)> {
        let item = self.asks.next()?;
        let (source, judged) = item.split_first_chunk::<16>()?;
        let judged = u32::from_ne_bytes(judged.try_into().ok()?);
        Some((Ipv6Addr::from(*source).to_canonical(), judged != 0))
    }
}

/// Whether it is an IPv6 address, and its key; `None` for a prefix.
fn key(source: Target) -> Option<(bool, [u8; 8])> {
    let whole = |bytes: &[u8]| {
        let mut whole = [0; 16];
        whole
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        whole
    };
    match source {
        Target::V4(bytes) => Some((false, source_key(false, whole(&bytes)))),
        Target::V6(bytes) => Some((true, source_key(true, whole(&bytes)))),
        Target::Net(_) => None,
    }
}

fn hold_exactly(map: &mut Keys, mut wanted: HashSet<[u8; 8]>) -> Result<()> {
    let mut gone = Vec::new();
    walk(map, |key, _| {
        if !wanted.remove(&key) {
            gone.push(key);
        }
    })?;
    // First, lest a full map has no room.
    for key in gone {
        present(map.remove(&key))?;
    }
    let keys: Vec<[u8; 8]> = wanted.into_iter().collect();
    bpf::update(fd(map), &keys, &vec![1_u8; keys.len()]).context("cannot write the known senders")
}
