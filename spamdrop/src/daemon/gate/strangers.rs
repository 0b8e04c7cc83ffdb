//! Handles the strangers that the gate has refused: looks them up, and promises
//! those that have waited longest that their next SYN is admitted.

use std::net::IpAddr;

use spamdrop_common::gate::{GateMode, LookupRequest};
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::dnsbl::rate_limit::Urgency;
use spamdrop_core::gate::RefusedSyn;

use super::GateTask;
use crate::clock;
use crate::daemon::health::Subject;
use crate::dnsbl::{Asked, LookupAnswer};

/// Maximum number of look-up requests per read; more than the filter can queue
/// between two reads.
const REQUESTS: usize = 4_096;

impl GateTask {
    /// Reads the look-up requests, records their sources, and looks up those
    /// without a verdict.
    pub(super) fn read_requests(&mut self) {
        for _ in 0..REQUESTS {
            let Some((source, request)) = self.maps.next_lookup_request() else {
                return;
            };
            self.take_request(source, request);
        }
    }

    fn take_request(&mut self, source: IpAddr, request: LookupRequest) {
        let is_known = self.senders.contains(source);
        let is_refused = self.effective_mode() == GateMode::On;
        self.history.delayed(source, is_known, is_refused);
        let syn = RefusedSyn {
            source,
            source_port: request.source_port,
            sequence: request.sequence,
        };
        let now = clock::monotonic_ns();
        let waited = self.strangers.refused(syn, request.class.into(), now);
        if request.has_verdict == 0
            && let Asked::Known(answer) = self.lookups.ask(source, Urgency::after(waited))
        {
            self.keep_verdict(&answer);
        }
    }

    pub(super) fn keep_verdict(&mut self, answer: &LookupAnswer) {
        let Some(verdict) = answer.verdict(clock::monotonic_ns()) else {
            return;
        };
        match self.maps.set_verdict(answer.addr.into(), verdict) {
            Ok(()) => self.health.clear(Subject::Resolver),
            Err(error) => self.health.raise(Subject::Resolver, format!("{error:#}")),
        }
    }

    /// Admits the next SYNs of the strangers that have waited longest. An error is
    /// only logged, because the stranger then waits for its turn like others.
    pub(super) fn admit_waiting(&mut self, now: MonotonicNs) {
        let slots = self.controller.slots();
        let admits = self.strangers.admit(self.seen, slots, self.when_full, now);
        for admit in admits {
            if let Err(error) = self.maps.admit_next(admit.source, admit.until) {
                log::debug!("{error:#}");
            }
        }
    }

    /// Removes promises that are no longer needed. An error is only logged: a
    /// promise that has expired admits nobody.
    pub(super) fn remove_old_admits(&mut self) {
        if let Err(error) = self.maps.remove_old_admits(clock::monotonic_ns()) {
            log::debug!("{error:#}");
        }
    }
}
