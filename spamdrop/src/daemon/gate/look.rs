//! Looks at the server: counts its connections and sets the gate.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use spamdrop_common::gate::{
    CLASSES, Gate, GateMode, GateStats, RESPONDER_IPV4, RESPONDER_IPV6, SMTP_PORT,
};
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::gate::{Look, NextLook, Occupancy, WhenFull};
use tokio::time::Instant;

use super::GateTask;
use crate::clock;
use crate::daemon::health::Subject;
use crate::daemon::responder_view::ResponderView;
use crate::daemon::ticks::next_tick;

/// The time from a wake-up to the look. The filter counts a SYN before the
/// kernel's TCP has it, and a SYN without a socket would count as lost.
const ARRIVAL: Duration = Duration::from_millis(15);

impl GateTask {
    /// Makes the next look due: the filter is to be told something else.
    pub(super) fn look_soon(&mut self) {
        self.next_look = Instant::now();
    }

    /// Makes the next look due, after the SYNs have arrived, if the filter asked
    /// for it. Its wake-up is lost if a look-up request is read at that moment,
    /// so this is also called without one.
    pub(super) fn look_if_woken(&mut self) {
        let Some(written) = self.waking else {
            return;
        };
        if self.maps.stats().is_ok_and(|stats| stats.woken == written) {
            self.waking = None;
            self.next_look = Instant::now() + ARRIVAL;
        }
    }

    /// Counts the connections and sets the gate. If this fails, the last gate
    /// holds for as long as it says, and then the filter treats it as open.
    pub(super) fn look(&mut self) {
        // Unless the look succeeds, or shows that the next one may be later.
        self.next_look = next_tick(NextLook::QUICK.after);
        self.read_requests();
        // Until the filter has the known senders, the gate only observes.
        self.senders.poll(&self.settings, &self.health);
        match self.try_look() {
            Ok(()) => self.health.clear(Subject::Gate),
            Err(error) => {
                (self.waking, self.peak) = (None, None);
                let text = format!("the gate opens within seconds: {error:#}");
                self.health.raise(Subject::Gate, text);
            }
        }
        self.tell();
    }

    fn try_look(&mut self) -> Result<()> {
        let stats = self.maps.stats()?;
        let now = clock::monotonic_ns();
        self.filter = self.blocklist.settings()?;
        // While blocking is paused, a blocklist may list every sender; before
        // the filter has the known senders, it may list one of them. In both
        // cases, the responder must answer nobody. While it is paused by hand,
        // the filter steers nobody to it.
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
            if refuses {
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
        self.full += u64::from(gate.open >= self.controller.slots());
        self.strangers.set_share(gate.share);
        if refuses {
            // Others must not take the slots that are promised.
            gate.open = gate.open.saturating_add(self.strangers.promised());
        }
        let next = self.schedule(&gate, seen, &stats, now);
        next.write_to(&mut gate);
        (self.seen, self.stats) = (seen, stats);
        self.peak = Some(self.peak.unwrap_or(seen).max(seen));
        self.limit = gate.limits[CLASSES - 1];
        self.maps.set(gate)?;
        self.waking = (next.wake_after > 0).then_some(gate.written);
        self.next_look = next_tick(next.after);
        self.admit_waiting(now);
        Ok(())
    }

    /// How soon to look again. While the filter has not been told of the known
    /// senders, the gate only waits for that.
    fn schedule(
        &mut self,
        gate: &Gate,
        seen: Occupancy,
        stats: &GateStats,
        now: MonotonicNs,
    ) -> NextLook {
        let look = Look {
            open: gate.open,
            limit: gate.limits[CLASSES - 1],
            waiting: seen.waiting,
            admitted: stats.admitted,
            refused: stats.refused.iter().sum(),
        };
        let next = self.schedule.next(look, self.controller.slots(), now);
        if self.senders.is_told() {
            next
        } else {
            NextLook::QUICK
        }
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
            log::warn!("{error:#}; it opens by itself within seconds");
        }
    }
}
