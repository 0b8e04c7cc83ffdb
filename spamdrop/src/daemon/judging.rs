//! Asks what the blocklists say of refused sources, and tells the filter.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Result;

use super::Daemon;
use crate::clock;
use crate::config::Config;
use crate::dnsbl::{Answer, Asked, Lookups, Resolver};
use crate::responder::Texts;
use spamdrop_core::dnsbl::Zones;
use spamdrop_core::smtp::DEFAULT_TEXT;

/// A flood of forged addresses does that.
const SPENT: &str = "`max_lookups_per_day` is spent, so of refused senders only a few are looked up until it has recovered; see `spamdrop report` for what came, and raise it only as far as your blocklists allow";

pub(super) struct Judging {
    lookups: Lookups,
}

impl Judging {
    pub fn new(config: &Config) -> Self {
        let (zones, resolver) = sources(config);
        Self {
            lookups: Lookups::new(zones, resolver, config.max_lookups_per_day),
        }
    }

    /// Takes over a changed configuration.
    pub fn reconfigure(&mut self, config: &Config) {
        let (zones, resolver) = sources(config);
        let per_day = config.max_lookups_per_day;
        self.lookups.reconfigure(zones, resolver, per_day);
    }

    /// Asks about a source; what is known of it already.
    pub fn ask(&mut self, source: IpAddr) -> Option<Answer> {
        match self.lookups.ask(source) {
            Asked::Known(answer) => Some(answer),
            Asked::Started | Asked::UnderWay | Asked::TooMany => None,
        }
    }

    /// The next source of which something was learned. May be dropped and
    /// called again.
    pub async fn next(&mut self) -> Answer {
        self.lookups.next().await
    }

    /// What keeps sources from being looked up, by its subject.
    fn troubles(&mut self) -> [(&'static str, Option<String>); 2] {
        let spent = self.lookups.is_spent().then(|| SPENT.into());
        let refused = self.lookups.refusals().trouble();
        [("look-ups", spent), ("blocklists", refused)]
    }

    /// Why sources are listed, for the responder.
    pub fn texts(&self) -> Texts {
        let texts = self.lookups.texts();
        Arc::new(move |source| texts(source).map_or_else(|| DEFAULT_TEXT.into(), Into::into))
    }
}

/// What cannot be read is no reason not to watch.
fn sources(config: &Config) -> (Zones, Resolver) {
    let read =
        || -> Result<_> { Ok((config.asked_zones()?, Resolver::read(&config.resolv_conf)?)) };
    read().unwrap_or_else(|error| {
        log::warn!(target: "spamdrop::dnsbl", "no blocklist is asked: {error:#}");
        (Zones::default(), Resolver::new(&[]))
    })
}

impl Daemon {
    /// Hands on the sources that wait for a verdict.
    pub(super) fn read_asks(&mut self) {
        self.admitting.read_asks(&mut self.recording);
        for source in self.admitting.take_asks() {
            if let Some(answer) = self.judging.ask(source) {
                self.judge(&answer);
            }
        }
    }

    /// Says what keeps sources from being looked up.
    pub(super) fn say_judging(&mut self) {
        for (subject, trouble) in self.judging.troubles() {
            match trouble {
                Some(text) => self.upkeep.warn(subject, text),
                None => self.upkeep.fine(subject),
            }
        }
    }

    /// Tells the filter what was learned of a source.
    pub(super) fn judge(&mut self, answer: &Answer) {
        log::debug!(target: "spamdrop::dnsbl", "{}: {:?}", answer.addr, answer.standing);
        let Some(verdict) = answer.verdict(clock::monotonic_ns()) else {
            return;
        };
        match self.admitting.judge(answer.addr, verdict) {
            Ok(()) => self.upkeep.fine("verdicts"),
            Err(error) => self.upkeep.warn("verdicts", format!("{error:#}")),
        }
    }
}
