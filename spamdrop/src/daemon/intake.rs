//! Line → event → decision → entry.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use log::Level;
use spamdrop_common::entry::Origin;

use super::releasing::grace_ns;
use crate::clock;
use crate::config::{Config, Seal};
use crate::kernel::blocklist::{Blocklist, Term};
use crate::lock::WriteLock;
use crate::tail::Line;
use spamdrop_core::escape::escape;
use spamdrop_core::event::Event;
use spamdrop_core::event::Evidence;
use spamdrop_core::log::{Parsed, Parser};
use spamdrop_core::policy::{Decision, Policy, PolicyConfig, Protected};
use spamdrop_core::release::ReleaseMode;
use spamdrop_core::release::Releases;
use spamdrop_core::reputation::{EvidenceBuffer, Record};
use spamdrop_core::target::Target;
use spamdrop_core::time::Moment;

/// A line that is older tells nothing of a wave that goes on.
const JUST_NOW: Duration = Duration::from_secs(60);

/// From a log line to what is to be done about it.
pub(super) struct Intake {
    parser: Parser,
    policy: Policy,
    pub(super) protected: Protected,
    /// What lines tell of their sources.
    pub(super) evidence_buffer: EvidenceBuffer,
    /// Lines by what was decided, for `status`.
    pub(super) counts: BTreeMap<&'static str, u64>,
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
            parser: config.parser(),
            policy: Policy::new(config.policy()?),
            protected,
            evidence_buffer: EvidenceBuffer::new(config.known_sources()),
            counts: BTreeMap::new(),
            rule: Rule::new(config),
        })
    }

    /// Takes over a changed configuration; what was learned stays.
    pub(super) fn reconfigure(
        &mut self,
        old: &Config,
        config: &Config,
        policy: PolicyConfig,
        protected: Protected,
    ) {
        self.policy.reconfigure(policy);
        if !config.reads_as(old) {
            self.parser = config.parser();
        }
        self.protected = protected;
        self.rule = Rule::new(config);
    }

    /// Tells the policy what is known of a source.
    pub(super) fn remind(&mut self, source: Target, record: &Record) {
        let now = moment();
        let accepted = Duration::from_secs(record.last_accepted().into());
        let accepted = SystemTime::UNIX_EPOCH + accepted;
        let age = now.wall.duration_since(accepted).unwrap_or_default();
        let refused = record.last_demoted() >= record.last_accepted();
        self.policy.remind(source.net().addr(), age, refused, now);
    }

    /// The ceiling, while it holds.
    pub(super) fn ceiling(&mut self) -> Option<String> {
        let moment = moment();
        self.policy.ceiling(moment).map(|trip| trip.to_string())
    }

    /// Lets what blocklists said of sources count: what was held for long
    /// enough, or `all`. None of it, while the ceiling holds.
    pub(super) fn settle(&mut self, all: bool) {
        let now = moment();
        let until = if all { Duration::MAX } else { now.mono };
        let is_wrong = self.policy.ceiling(now).is_some();
        self.evidence_buffer.settle(is_wrong, until);
    }

    /// `heard` is told what a line that was just written says of its source.
    pub(super) fn line(
        &mut self,
        line: &Line<'_>,
        writer: &mut Writer<'_>,
        heard: &mut dyn FnMut(IpAddr, Evidence),
    ) {
        let wall = clock::wall();
        let Parsed::Event(mut event) = self.parser.parse(line.bytes, wall) else {
            return;
        };
        if line.backlog && event.at.is_none() {
            // It may be as old as the log.
            event.at = Some(SystemTime::UNIX_EPOCH);
        }
        let line = line.bytes;
        let blocklist = &*writer.blocklist;
        let now = clock::monotonic_ns();
        let mono = Duration::from_nanos(now);
        let moment = Moment { wall, mono };
        let listed = Cell::new(false);
        let blocked = |addr: IpAddr| {
            listed.set(blocklist.is_blocked(addr.into(), now).unwrap_or(false));
            listed.get()
        };
        let decision = self.policy.decide(&event, moment, &self.protected, blocked);
        *self.counts.entry(decision.name()).or_default() += 1;
        if let Some(evidence) = self.learn(&event, moment) {
            heard(event.addr, evidence);
        }
        match decision {
            Decision::Block { addr, age } => {
                let age = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
                if let Err(error) = self.rule.block(addr, now.saturating_sub(age), line, writer) {
                    *self.counts.entry("failed").or_default() += 1;
                    log::error!(target: "spamdrop::block", "cannot block {addr}: {error:#}");
                    return;
                }
                // Lest a storm of what is known makes another one.
                let level = if listed.get() {
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

    /// Learns what an event tells of its source; that, if it has just happened.
    fn learn(&mut self, event: &Event<'_>, now: Moment) -> Option<Evidence> {
        let evidence = self.policy.evidence(event, &self.protected)?;
        self.evidence_buffer
            .learn(event.addr, evidence, event.at, now);
        let age = event.at.and_then(|at| now.wall.duration_since(at).ok());
        (age.unwrap_or_default() <= JUST_NOW).then_some(evidence)
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
