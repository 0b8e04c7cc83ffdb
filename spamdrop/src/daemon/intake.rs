//! Line → event → decision → entry.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use log::Level;
use spamdrop_common::entry::Origin;

use super::releasing::grace_ns;
use crate::clock;
use crate::config::{Config, Seal};
use crate::kernel::blocklist::{Blocklist, Term};
use crate::lock::WriteLock;
use crate::tail::Line;
use spamdrop_core::engine::{Engine, EngineSettings};
use spamdrop_core::escape::escape;
use spamdrop_core::event::Evidence;
use spamdrop_core::log::Parsed;
use spamdrop_core::policy::{Decision, Protected};
use spamdrop_core::release::ReleaseMode;
use spamdrop_core::release::Releases;
use spamdrop_core::reputation::Record;
use spamdrop_core::target::Target;
use spamdrop_core::time::Moment;

/// From a log line to what is to be done about it.
pub(super) struct Intake {
    pub(super) engine: Engine,
    rule: Rule,
}

/// How offenders are blocked, from the configuration.
struct Rule {
    ttl_s: u32,
    hard_limit_s: u32,
    sealed: bool,
    releases: bool,
    grace: u64,
}

/// What decisions are written to. The right to write is asked for with the
/// first write and given back when the batch of lines ends.
pub(super) struct Writer<'a> {
    blocklist: &'a mut Blocklist,
    releases: &'a mut Releases,
    run_dir: &'a Path,
    lock: Option<WriteLock>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        blocklist: &'a mut Blocklist,
        releases: &'a mut Releases,
        run_dir: &'a Path,
    ) -> Self {
        Self {
            blocklist,
            releases,
            run_dir,
            lock: None,
        }
    }
}

impl Intake {
    pub(super) fn new(config: &Config, protected: Protected) -> Result<Self> {
        Ok(Self {
            engine: Engine::new(config.engine()?, protected),
            rule: Rule::new(config),
        })
    }

    /// Takes over a changed configuration; what was learned stays.
    pub(super) fn reconfigure(
        &mut self,
        config: &Config,
        settings: EngineSettings,
        protected: Protected,
    ) {
        self.engine.reconfigure(settings);
        self.engine.protect(protected);
        self.rule = Rule::new(config);
    }

    /// Tells the policy what is known of a source.
    pub(super) fn remember(&mut self, source: Target, record: &Record) {
        self.engine.remember(source, record, moment());
    }

    /// The ceiling, while it holds.
    pub(super) fn ceiling(&mut self) -> Option<String> {
        self.engine.ceiling(moment()).map(|trip| trip.to_string())
    }

    /// Lets pending demotions count.
    pub(super) fn settle(&mut self, all: bool) {
        self.engine.settle(moment(), all);
    }

    /// `heard` is told what a line that was just written says of its source.
    pub(super) fn line(
        &mut self,
        line: &Line<'_>,
        writer: &mut Writer<'_>,
        heard: &mut dyn FnMut(IpAddr, Evidence),
    ) {
        let now = moment();
        let Parsed::Event(event) = self.engine.read(line.bytes, line.backlog, now.wall) else {
            return;
        };
        let line = line.bytes;
        let now_ns = u64::try_from(now.mono.as_nanos()).unwrap_or(u64::MAX);
        let is_blocked = writer.blocklist.is_blocked(event.addr.into(), now_ns);
        let is_blocked = is_blocked.unwrap_or(false);
        let effects = self.engine.decide(&event, now, is_blocked);
        if let Some(evidence) = effects.evidence {
            heard(event.addr, evidence);
        }
        match effects.decision {
            Decision::Block { addr, age } => {
                let age = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
                if let Err(error) = self
                    .rule
                    .block(addr, now_ns.saturating_sub(age), line, writer)
                {
                    self.engine.count_failure();
                    log::error!(target: "spamdrop::block", "cannot block {addr}: {error:#}");
                    return;
                }
                // A storm of known offenders must not flood the log.
                let level = if is_blocked {
                    Level::Debug
                } else {
                    Level::Info
                };
                log::log!(target: "spamdrop::block", level, "blocked {addr}: {}", escape(line));
            }
            Decision::Known | Decision::Delivered => {}
            Decision::Ignore(why) => {
                log::debug!(target: "spamdrop::policy", "{} not blocked: {why}", event.addr);
            }
        }
    }
}

fn moment() -> Moment {
    Moment {
        wall: clock::wall(),
        mono: clock::monotonic(),
    }
}

impl Rule {
    fn new(config: &Config) -> Self {
        Self {
            ttl_s: config.ttl_s(),
            hard_limit_s: config.hard_limit_s(),
            sealed: config.seal == Seal::AtOnce,
            releases: config.release != ReleaseMode::Off,
            grace: grace_ns(config.grace),
        }
    }

    fn block(
        &self,
        addr: IpAddr,
        offence: u64,
        line: &[u8],
        writer: &mut Writer<'_>,
    ) -> Result<()> {
        let lock = match writer.lock.take() {
            Some(lock) => lock,
            None => WriteLock::acquire(writer.run_dir)?,
        };
        let lock = writer.lock.insert(lock);
        let term = Term {
            start: offence,
            ttl_s: self.ttl_s,
            slides: true,
            hard_limit_s: self.hard_limit_s,
        };
        let origin = self.origin(writer.blocklist.origin(addr)?, offence, line);
        writer
            .blocklist
            .offence(lock, addr, term, self.sealed, &origin)?;
        writer
            .releases
            .add(addr, offence + self.grace, !self.sealed);
        Ok(())
    }

    fn origin(&self, old: Option<Origin>, offence: u64, line: &[u8]) -> Origin {
        let mut origin = old.unwrap_or_else(|| Origin {
            first_unix_s: clock::unix_s(),
            ..Origin::default()
        });
        origin.offence = offence;
        origin.offences = origin.offences.saturating_add(1);
        origin.release_pending = self.releases.into();
        origin.set_text(line);
        origin
    }
}
