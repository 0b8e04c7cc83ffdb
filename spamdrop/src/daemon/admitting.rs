//! Keeps the gate: counts the server's connections, and tells the filter of
//! them.

use std::hash::{BuildHasher as _, RandomState};
use std::mem;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use spamdrop_common::gate::{
    CLASSES, Gate, GateMode, GateStats, RESPONDER_IPV4, RESPONDER_IPV6, SMTP_PORT, Verdict,
};

use super::Daemon;
use super::introducing::Senders;
use super::recording::Recording;
use crate::clock;
use crate::config::{Admit, Config};
use crate::kernel::blocklist::GateMaps;
use crate::kernel::occupancy;
use crate::render::watcher;
use spamdrop_core::gate::{GateController, Occupancy};
use spamdrop_core::wave::{Sample, Totals};

/// Refused sources that are handed on in one go; more than the filter can tell
/// of between two of them.
const LOOKUP_REQUESTS: usize = 4_096;

/// The gate, as far as the watcher knows it.
pub(super) struct Admitting {
    gate_maps: GateMaps,
    keeper: GateController,
    seen: Occupancy,
    /// The most that was seen since the last sample, if anything was.
    peak: Option<Occupancy>,
    limit: u32,
    stats: GateStats,
    full: u64,
    pub(super) senders: Senders,
    lookup_requests: Vec<IpAddr>,
}

impl Admitting {
    pub fn open(config: &Config) -> Result<Self> {
        let mut gate_maps = GateMaps::open(&config.pin_dir)?;
        gate_maps.clear_verdicts()?;
        Ok(Self {
            gate_maps,
            keeper: keeper(config),
            seen: Occupancy::default(),
            peak: None,
            limit: u32::MAX,
            stats: GateStats::default(),
            full: 0,
            senders: Senders::default(),
            lookup_requests: Vec::new(),
        })
    }

    /// Whether anything is to be done.
    pub fn is_on(&self) -> bool {
        self.keeper.mode() != GateMode::Off
    }

    /// Takes over a changed configuration; verdicts are to be forgotten.
    pub fn reconfigure(&mut self, config: &Config) {
        let was_on = self.is_on();
        self.keeper = keeper(config);
        self.senders.is_ready &= was_on;
    }

    /// Forgets what the blocklists of a configuration said.
    pub fn forget_verdicts(&mut self) -> Result<()> {
        self.gate_maps.clear_verdicts()
    }

    /// Has the known senders read again.
    pub fn senders_changed(&mut self) {
        self.senders.changed();
    }

    /// Reads whose class has to wait, and records them.
    pub fn read_lookup_requests(&mut self, recording: &mut Recording) {
        for _ in 0..LOOKUP_REQUESTS {
            let Some((source, judged)) = self.gate_maps.next_lookup_request() else {
                return;
            };
            let known = self.senders.contains(source);
            recording.delayed(source, known);
            if !judged && self.lookup_requests.len() < LOOKUP_REQUESTS {
                self.lookup_requests.push(source);
            }
        }
    }

    /// The sources without a verdict that were read since this was last called.
    pub fn take_lookup_requests(&mut self) -> Vec<IpAddr> {
        mem::take(&mut self.lookup_requests)
    }

    /// Keeps a verdict.
    pub fn judge(&mut self, source: IpAddr, verdict: Verdict) -> Result<()> {
        self.gate_maps.set_verdict(source.into(), verdict)
    }

    /// What was seen since this was last called; `None`: nothing.
    pub fn take_sample(&mut self) -> Option<Sample> {
        let peak = self.peak.take()?;
        let stats = &self.stats;
        Some(Sample {
            at: clock::monotonic(),
            unix_s: clock::unix_s(),
            open: peak.open,
            waiting: peak.waiting,
            slots: self.keeper.slots(),
            limit: self.limit,
            observed: self.keeper.mode() == GateMode::Observe,
            totals: Totals {
                admitted: stats.admitted,
                known_or_allowed: stats.known_or_allowed,
                starvation_admits: stats.starvation_admits,
                refused: stats.refused,
                unconfirmed: stats.unconfirmed,
                ..Totals::default()
            },
        })
    }

    /// `answered`: the responder's connections; `answers`: in which families it
    /// takes more.
    fn tend(&mut self, answered: usize, answers: u32) -> Result<()> {
        let stats = self.gate_maps.stats()?;
        let now = clock::monotonic_ns();
        let is_answered = |peer: IpAddr| {
            let families = if peer.is_ipv6() {
                RESPONDER_IPV6
            } else {
                RESPONDER_IPV4
            };
            // In doubt it takes a slot.
            answers & families != 0 && self.gate_maps.is_steered(peer, now).unwrap_or(false)
        };
        let seen = occupancy::count(SMTP_PORT, is_answered)
            .context("cannot count the connections")?
            .without(answered);
        let mut gate = self.keeper.set(seen, stats.admitted, answers, now);
        if gate.mode == GateMode::On as u32 && !self.senders.is_ready {
            gate.mode = GateMode::Observe as u32;
        }
        self.full += u64::from(gate.open >= self.keeper.slots());
        (self.seen, self.stats) = (seen, stats);
        self.peak = Some(self.peak.unwrap_or(seen).max(seen));
        self.limit = gate.limits[CLASSES - 1];
        self.gate_maps.set(gate)
    }
}

fn keeper(config: &Config) -> GateController {
    let mode = match config.admit {
        Admit::Off => GateMode::Off,
        Admit::Observe => GateMode::Observe,
        Admit::On => GateMode::On,
    };
    let slots = config.server_slots();
    // Its keys come from the kernel's random numbers.
    let seed = RandomState::new().hash_one(slots);
    GateController::new(mode, slots, seed as u32)
}

impl Daemon {
    /// Sets the gate. It opens by itself when that fails for long.
    pub(super) fn tend_gate(&mut self) {
        self.read_lookup_requests();
        // A blocklist that lists everybody is not to be repeated.
        let answers = if self.upkeep.is_paused() {
            0
        } else {
            self.answering.families()
        };
        let connections = self.answering.connections();
        match self.admitting.tend(connections, answers) {
            Ok(()) => self.upkeep.fine("gate"),
            Err(error) => self
                .upkeep
                .warn("gate", format!("the gate is open: {error:#}")),
        }
    }

    /// Opens the gate at once, rather than when it has gone stale.
    pub(super) fn leave_gate(&mut self) {
        if let Err(error) = self.admitting.gate_maps.set(Gate::default()) {
            log::warn!("{error:#}; it opens by itself in two seconds");
        }
    }

    /// What `status` is told.
    pub(super) fn gate(&self) -> Option<watcher::Gate> {
        let Admitting {
            keeper,
            seen,
            stats,
            full,
            senders,
            ..
        } = &self.admitting;
        let mode = match keeper.mode() {
            GateMode::Off => return None,
            GateMode::Observe => "observe",
            GateMode::On => "on",
        };
        Some(watcher::Gate {
            mode: mode.into(),
            open: seen.open,
            slots: keeper.slots(),
            flooded: keeper.is_flooded(clock::monotonic_ns()),
            known: senders.len() as u64,
            admitted: stats.admitted,
            known_or_allowed: stats.known_or_allowed,
            starvation_admits: stats.starvation_admits,
            refused: stats.refused,
            unconfirmed: stats.unconfirmed,
            full: *full,
        })
    }
}
