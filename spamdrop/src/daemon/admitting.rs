//! Keeps the gate: counts the server's connections, and tells the filter of
//! them.

use std::hash::{BuildHasher as _, RandomState};
use std::mem;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use spamdrop_common::gate::{ANSWERS4, ANSWERS6, CLASSES, Gate, Mode, PORT, Passage, Verdict};

use super::Daemon;
use super::introducing::Senders;
use super::recording::Recording;
use crate::clock;
use crate::config::{Admit, Config};
use crate::kernel::blocklist::GateMaps;
use crate::kernel::occupancy;
use spamdrop_core::gate::{GateController, Occupancy};
use spamdrop_core::status::{GateMode, GateState};
use spamdrop_core::wave::{Sample, Totals};

/// Refused sources that are handed on in one go; more than the filter can tell
/// of between two of them.
const ASKS: usize = 4_096;

/// The gate, as far as the watcher knows it.
pub(super) struct Admitting {
    gatehouse: GateMaps,
    keeper: GateController,
    seen: Occupancy,
    /// The most that was seen since the last sample, if anything was.
    peak: Option<Occupancy>,
    limit: u32,
    passage: Passage,
    full: u64,
    pub(super) senders: Senders,
    asks: Vec<IpAddr>,
}

impl Admitting {
    pub fn open(config: &Config) -> Result<Self> {
        let mut gatehouse = GateMaps::open(&config.pin_dir)?;
        gatehouse.forget_verdicts()?;
        Ok(Self {
            gatehouse,
            keeper: keeper(config),
            seen: Occupancy::default(),
            peak: None,
            limit: u32::MAX,
            passage: Passage::default(),
            full: 0,
            senders: Senders::default(),
            asks: Vec::new(),
        })
    }

    /// Whether anything is to be done.
    pub fn is_on(&self) -> bool {
        self.keeper.mode() != Mode::Off
    }

    /// Takes over a changed configuration; verdicts are to be forgotten.
    pub fn reconfigure(&mut self, config: &Config) {
        let was_on = self.is_on();
        self.keeper = keeper(config);
        self.senders.is_ready &= was_on;
    }

    /// Forgets what the blocklists of a configuration said.
    pub fn forget_verdicts(&mut self) -> Result<()> {
        self.gatehouse.forget_verdicts()
    }

    /// Has the known senders read again.
    pub fn senders_changed(&mut self) {
        self.senders.changed();
    }

    /// Reads whose class has to wait, and records them.
    pub fn read_asks(&mut self, recording: &mut Recording) {
        for _ in 0..ASKS {
            let Some((source, judged)) = self.gatehouse.next_ask() else {
                return;
            };
            let known = self.senders.contains(source);
            recording.delayed(source, known);
            if !judged && self.asks.len() < ASKS {
                self.asks.push(source);
            }
        }
    }

    /// The sources without a verdict that were read since this was last called.
    pub fn take_asks(&mut self) -> Vec<IpAddr> {
        mem::take(&mut self.asks)
    }

    /// Keeps a verdict.
    pub fn judge(&mut self, source: IpAddr, verdict: Verdict) -> Result<()> {
        self.gatehouse.judge(source.into(), verdict)
    }

    /// What was seen since this was last called; `None`: nothing.
    pub fn take_sample(&mut self) -> Option<Sample> {
        let peak = self.peak.take()?;
        let passage = &self.passage;
        Some(Sample {
            at: clock::monotonic(),
            unix_s: clock::unix_s(),
            open: peak.open,
            waiting: peak.waiting,
            slots: self.keeper.slots(),
            limit: self.limit,
            observed: self.keeper.mode() == Mode::Observe,
            totals: Totals {
                admitted: passage.admitted,
                known_or_allowed: passage.preferred,
                starvation_admits: passage.floored,
                refused: passage.refused,
                unconfirmed: passage.unrepeated,
                ..Totals::default()
            },
        })
    }

    /// `answered`: the responder's connections; `answers`: in which families it
    /// takes more.
    fn tend(&mut self, answered: usize, answers: u32) -> Result<()> {
        let passage = self.gatehouse.passage()?;
        let now = clock::monotonic_ns();
        let is_answered = |peer: IpAddr| {
            let families = if peer.is_ipv6() { ANSWERS6 } else { ANSWERS4 };
            // In doubt it takes a slot.
            answers & families != 0 && self.gatehouse.is_steered(peer, now).unwrap_or(false)
        };
        let seen = occupancy::count(PORT, is_answered)
            .context("cannot count the connections")?
            .without(answered);
        let mut gate = self.keeper.set(seen, passage.admitted, answers, now);
        if gate.mode == Mode::On as u32 && !self.senders.is_ready {
            gate.mode = Mode::Observe as u32;
        }
        self.full += u64::from(gate.open >= self.keeper.slots());
        (self.seen, self.passage) = (seen, passage);
        self.peak = Some(self.peak.unwrap_or(seen).max(seen));
        self.limit = gate.limits[CLASSES - 1];
        self.gatehouse.set(gate)
    }
}

fn keeper(config: &Config) -> GateController {
    let mode = match config.admit {
        Admit::Off => Mode::Off,
        Admit::Observe => Mode::Observe,
        Admit::On => Mode::On,
    };
    let slots = config.server_slots();
    // Its keys come from the kernel's random numbers.
    let seed = RandomState::new().hash_one(slots);
    GateController::new(mode, slots, seed as u32)
}

impl Daemon {
    /// Sets the gate. It opens by itself when that fails for long.
    pub(super) fn tend_gate(&mut self) {
        self.read_asks();
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
        if let Err(error) = self.admitting.gatehouse.set(Gate::default()) {
            log::warn!("{error:#}; it opens by itself in two seconds");
        }
    }

    /// What `status` is told.
    pub(super) fn gate(&self) -> Option<GateState> {
        let Admitting {
            keeper,
            seen,
            passage,
            full,
            senders,
            ..
        } = &self.admitting;
        let mode = match keeper.mode() {
            Mode::Off => return None,
            Mode::Observe => GateMode::Observe,
            Mode::On => GateMode::On,
        };
        Some(GateState {
            mode,
            open: seen.open,
            slots: keeper.slots(),
            flooded: keeper.is_flooded(clock::monotonic_ns()),
            known: senders.len() as u64,
            admitted: passage.admitted,
            known_or_allowed: passage.preferred,
            starvation_admits: passage.floored,
            refused: passage.refused,
            unconfirmed: passage.unrepeated,
            full: *full,
        })
    }
}
