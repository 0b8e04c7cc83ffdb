//! A watcher whose clock is the log's, and whose blocklist is in memory.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use foldhash::HashMap;

use crate::clock;
use crate::config::Config;
use crate::event::Event;
use crate::parse::{Needles, Parsed, Parser};
use crate::policy::{Decision, Moment, Policy, Protected, Why};
use crate::target::Target;

/// What a line would have done.
pub(super) enum Seen {
    /// Blocked this address, or found it blocked just then, by this rule.
    Match(IpAddr, Cow<'static, str>),
    /// Made its sender a known one, by this rule.
    Accepted(Cow<'static, str>),
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
        match self.parser.parse(line, self.now) {
            Parsed::Event(event) => self.event(&event),
            Parsed::NearMiss(reason) => Seen::NearMiss(reason),
            Parsed::Nothing => Seen::Nothing,
        }
    }

    fn event(&mut self, event: &Event<'_>) -> Seen {
        let moment = self.moment(event.at);
        let blocked = |addr: IpAddr| {
            let until = self.blocked_until.get(&addr.into());
            until.is_some_and(|until| moment.mono <= *until)
        };
        match self.policy.decide(event, moment, self.protected, blocked) {
            Decision::Block { addr, .. } => {
                self.blocked_until
                    .insert(addr.into(), moment.mono + self.ttl);
                Seen::Match(addr, event.rule.clone())
            }
            // It was blocked within this second.
            Decision::Ignore(Why::Repeat) => Seen::Match(event.addr, event.rule.clone()),
            Decision::Ignore(why) => Seen::Ignored(why),
            Decision::Known => Seen::Accepted(event.rule.clone()),
        }
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
