//! Looks at the server: counts its connections and sets the gate, or renews it while
//! the server is quiet.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use spamdrop_common::gate::{Gate, GateMode, GateStats, RESPONDER_IPV4, RESPONDER_IPV6, SMTP_PORT};
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::gate::{CountSchedule, WhenFull};

use tokio::time::Instant;

use super::GateTask;
use crate::clock;
use crate::daemon::health::Subject;
use crate::daemon::responder_view::ResponderView;
use crate::daemon::ticks::next_tick;

impl GateTask {
    /// Makes a count of the connections due at once, so that a change of the gate's
    /// inputs reaches the filter.
    pub(super) fn count_soon(&mut self) {
        self.schedule = CountSchedule::default();
        self.next_look = Instant::now();
    }

    /// Sets the gate by the number of the server's connections. If the gate is not set
    /// for two seconds, the filter treats it as open.
    pub(super) fn look(&mut self) {
        self.read_requests();
        // First find out whether the filter has the known senders: until then, the gate only
        // observes.
        self.senders.poll(&self.settings, &self.health);
        match self.try_look() {
            Ok(()) => self.health.clear(Subject::Gate),
            Err(error) => {
                let text =
                    format!("the gate is not updated, so it opens within two seconds: {error:#}");
                self.health.raise(Subject::Gate, text);
            }
        }
        self.next_look = next_tick(self.schedule.pause(clock::monotonic_ns()));
    }

    fn try_look(&mut self) -> Result<()> {
        let stats = self.maps.stats()?;
        let now = clock::monotonic_ns();
        self.filter = self.blocklist.settings()?;
        let slots = self.controller.slots();
        // A count also writes the gate's mode. Until the filter has the known senders, each
        // look counts, because the mode changes then.
        if self.schedule.is_due(&stats, slots, now)
            || !self.senders.is_told()
            || self.gate.mode != self.effective_mode() as u32
        {
            self.count(stats, now)?;
            self.publish_status();
            return Ok(());
        }
        self.stats = stats;
        self.set(Gate {
            written: now,
            ..self.gate
        })
    }

    /// Counts the connections, and sets the gate. `stats` must be read before the
    /// count, so that the gate misses no SYN that is admitted in between.
    fn count(&mut self, stats: GateStats, now: MonotonicNs) -> Result<()> {
        // While blocking is paused, a blocklist may list every sender. Before the
        // filter has the known senders, a blocklist may list a known sender. In both
        // cases, the responder must answer nobody. While the responder is paused by
        // hand, the filter steers nobody to it.
        let is_safe =
            !self.is_paused && self.senders.is_told() && !self.filter.is_responder_paused(now);
        let responders = match &self.responder {
            Some(view) if is_safe => view.families,
            _ => 0,
        };
        let is_answered = |peer: IpAddr| {
            let family = if peer.is_ipv6() {
                RESPONDER_IPV6
            } else {
                RESPONDER_IPV4
            };
            // In doubt the connection counts as taking a slot.
            responders & family != 0 && self.maps.is_steered(peer, now).unwrap_or(false)
        };
        let answered = self
            .responder
            .as_ref()
            .map_or(0, ResponderView::connections);
        let instant = clock::instant();
        let refuses = self.when_full == WhenFull::Refuses;
        let is_handed_over = |peer, port| {
            if !self.strangers.is_empty() {
                self.strangers.connected(peer);
            }
            self.handed_over.holds(peer, port, instant)
        };
        let seen = self.counter.count(SMTP_PORT, is_answered, is_handed_over);
        let seen = seen.context("cannot count the connections")?;
        self.handed_over.forget_ended(instant);
        self.visibility.sample(seen, instant);
        let seen = seen.without(answered);
        let mut gate = self.controller.set(seen, stats.admitted, responders, now);
        gate.mode = self.effective_mode() as u32;
        let slots = self.controller.slots();
        self.full += u64::from(gate.open >= slots);
        self.strangers.set_share(gate.share);
        if refuses {
            // Promised slots count as taken, so that no other stranger gets them.
            gate.open = gate.open.saturating_add(self.strangers.promised());
        }
        self.schedule.counted(&gate, seen, &stats, slots, now);
        (self.seen, self.stats) = (seen, stats);
        self.set(gate)?;
        self.admit_waiting(now);
        Ok(())
    }

    fn set(&mut self, gate: Gate) -> Result<()> {
        self.peak = Some(self.peak.unwrap_or(self.seen).max(self.seen));
        self.gate = gate;
        self.maps.set(gate)
    }

    /// The configured mode, but the gate only observes until the filter has the
    /// known senders, and while it is paused by hand.
    pub(super) fn effective_mode(&self) -> GateMode {
        let is_paused = self.filter.is_gate_paused(clock::monotonic_ns());
        match self.settings.mode {
            GateMode::On if is_paused || !self.senders.is_told() => GateMode::Observe,
            mode => mode,
        }
    }

    /// Opens the gate at once, rather than when its last state goes stale.
    pub(super) fn open_gate(&mut self) {
        if let Err(error) = self.maps.set(Gate::default()) {
            log::warn!("{error:#}; the gate opens by itself within two seconds");
        }
    }
}
