//! A watcher whose clock is the log's, and whose blocklist is in memory.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use foldhash::HashMap;

use crate::clock;
use crate::config::Config;
use spamdrop_core::event::Event;
use spamdrop_core::log::{Needles, Parsed, Parser};
use spamdrop_core::policy::{Decision, Policy, Protected, Why};
use spamdrop_core::reputation::EvidenceBuffer;
use spamdrop_core::target::Target;
use spamdrop_core::time::Moment;

/// What a line would have done.
pub(super) enum Seen {
    /// Blocked this address, or found it blocked just then, by this rule.
    Match(IpAddr, Cow<'static, str>),
    /// Made its sender a known one, by this rule.
    Accepted(Cow<'static, str>),
    /// Made known whom it was delivered to, by this rule.
    Delivered(Cow<'static, str>),
    /// Nothing, though it was understood.
    Ignored(Why),
    /// Nothing, though it looks like a rejection.
    NearMiss(&'static str),
    /// Nothing.
    Nothing,
}

/// Parser and policy, and what they need.
pub(super) struct Replay<'a> {
    parser: Parser,
    /// The real time, which decides the year of stamps without one.
    now: SystemTime,
    policy: Policy,
    protected: &'a Protected,
    ttl: Duration,
    blocked_until: HashMap<Target, Duration>,
    /// The first stamp, and the time since.
    start: Option<SystemTime>,
    elapsed: Duration,
}

impl<'a> Replay<'a> {
    pub(super) fn new(config: &Config, protected: &'a Protected) -> Result<Self> {
        Ok(Self {
            parser: config.parser(),
            now: clock::wall(),
            policy: Policy::new(config.policy()?),
            protected,
            ttl: config.ttl,
            blocked_until: HashMap::default(),
            start: None,
            elapsed: Duration::ZERO,
        })
    }

    /// What to look for: other lines are [`Seen::Nothing`].
    pub(super) fn needles(&self) -> Needles {
        self.parser.needles()
    }

    pub(super) fn line(&mut self, line: &[u8]) -> Seen {
        self.judge(line, |_, _| {})
    }

    /// As [`Replay::line`]; `evidence_buffer` learns what the line tells of its source.
    pub(super) fn teach(&mut self, line: &[u8], evidence_buffer: &mut EvidenceBuffer) -> Seen {
        self.judge(line, |replay, event| {
            replay.settle(evidence_buffer, replay.elapsed);
            let evidence = replay.policy.evidence(event, replay.protected);
            // Without a stamp it may be as old as the log.
            if let (Some(evidence), Some(at)) = (evidence, event.at) {
                evidence_buffer.learn(event.addr, evidence, Some(at), replay.present());
            }
        })
    }

    /// Behind the last line of a log that taught: what blocklists said counts,
    /// unless the log ends while the ceiling holds.
    pub(super) fn end(mut self, evidence_buffer: &mut EvidenceBuffer) {
        self.settle(evidence_buffer, Duration::MAX);
    }

    fn settle(&mut self, evidence_buffer: &mut EvidenceBuffer, until: Duration) {
        let is_wrong = self.policy.ceiling(self.present()).is_some();
        evidence_buffer.settle(is_wrong, until);
    }

    /// Now, and the time of the log.
    fn present(&self) -> Moment {
        Moment {
            wall: self.now,
            mono: self.elapsed,
        }
    }

    fn judge(&mut self, line: &[u8], then: impl FnOnce(&mut Self, &Event<'_>)) -> Seen {
        let event = match self.parser.parse(line, self.now) {
            Parsed::Event(event) => event,
            Parsed::NearMiss(reason) => return Seen::NearMiss(reason),
            Parsed::Nothing => return Seen::Nothing,
        };
        let decision = self.decide(&event);
        then(self, &event);
        match decision {
            // A repeat was blocked within this second.
            Decision::Block { .. } | Decision::Ignore(Why::Repeat) => {
                Seen::Match(event.addr, event.rule)
            }
            Decision::Ignore(why) => Seen::Ignored(why),
            Decision::Known => Seen::Accepted(event.rule),
            Decision::Delivered => Seen::Delivered(event.rule),
        }
    }

    fn decide(&mut self, event: &Event<'_>) -> Decision {
        let moment = self.moment(event.at);
        let blocked = |addr: IpAddr| {
            let until = self.blocked_until.get(&addr.into());
            until.is_some_and(|until| moment.mono <= *until)
        };
        let decision = self.policy.decide(event, moment, self.protected, blocked);
        if let Decision::Block { addr, .. } = decision {
            self.blocked_until
                .insert(addr.into(), moment.mono + self.ttl);
        }
        decision
    }

    /// The time of a stamp. A clock that was set back stands still here.
    fn moment(&mut self, at: Option<SystemTime>) -> Moment {
        let wall = at.or(self.start).unwrap_or(SystemTime::UNIX_EPOCH);
        let start = *self.start.get_or_insert(wall);
        let since = wall.duration_since(start).unwrap_or_default();
        self.elapsed = self.elapsed.max(since);
        Moment {
            wall,
            mono: self.elapsed,
        }
    }
}
