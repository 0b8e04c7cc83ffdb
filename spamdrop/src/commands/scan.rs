//! `scan`: a log, replayed through parser and policy.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};

use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::event::Event;
use crate::parse::{Parsed, Parser};
use crate::policy::{Decision, Moment, Policy, PolicyConfig, Protected, Why};
use crate::protect;
use crate::report::scan::{self, Match, Scanned};
use crate::report::{escape::escape, json, table::Style, trust};
use crate::target::Target;

/// Longer lines are passed over, as the watcher does; in bytes.
const LONGEST_LINE: u64 = 8192;

/// Runs the verb.
///
/// # Errors
///
/// A file cannot be opened or read; the message names it.
pub fn run(config: &Config, args: &cli::Scan, out: &mut impl Write, style: Style) -> Result<()> {
    let files = args
        .files
        .iter()
        .map(|path| open(path))
        .collect::<Result<Vec<_>>>()?;
    let protected = protect::protected(config)?;
    let mut addrs: HashMap<IpAddr, u64> = HashMap::new();
    for (name, input) in files {
        let mut replay = Replay::new(config, &protected)?;
        let scanned = scan_file(&name, input, &mut replay, |found| {
            *addrs.entry(found.addr).or_default() += 1;
            if args.output.json {
                json::object(out, found)
            } else {
                Ok(())
            }
        })
        .with_context(|| format!("cannot read {name}"))?;
        if !args.output.json {
            scan::text(out, &scanned)?;
        }
    }
    if !args.output.json {
        scan::addresses(out, style, addrs)?;
        trust::note(out)?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<(String, Box<dyn BufRead>)> {
    let name = escape(path.as_os_str().as_encoded_bytes());
    if name == "-" {
        return Ok((name, Box::new(io::stdin().lock())));
    }
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    Ok((name, Box::new(BufReader::with_capacity(1 << 16, file))))
}

fn scan_file(
    name: &str,
    mut input: impl BufRead,
    replay: &mut Replay<'_>,
    mut found: impl FnMut(&Match<'_>) -> io::Result<()>,
) -> io::Result<Scanned> {
    let mut scanned = Scanned {
        file: name.into(),
        ..Scanned::default()
    };
    let mut line = Vec::new();
    while let Some(whole) = next_line(&mut input, &mut line)? {
        scanned.lines += 1;
        if !whole {
            scanned.overlong += 1;
            continue;
        }
        match replay.line(&line) {
            Seen::Match(addr, rule) => {
                *scanned.matches.entry(rule.clone()).or_default() += 1;
                found(&Match {
                    file: name,
                    line: scanned.lines,
                    addr,
                    rule,
                })?;
            }
            Seen::Ignored(why) => *scanned.ignored.entry(why.to_string()).or_default() += 1,
            Seen::NearMiss(reason) => scanned.near_misses.push((scanned.lines, reason)),
            Seen::Nothing => {}
        }
    }
    Ok(scanned)
}

/// Reads a line without its end; whether it is whole, or too long.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let read = input.take(LONGEST_LINE + 1).read_until(b'\n', line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.pop_if(|byte| *byte == b'\n').is_some() || read as u64 <= LONGEST_LINE {
        return Ok(Some(true));
    }
    input.skip_until(b'\n')?;
    Ok(Some(false))
}

/// What a line would have done.
enum Seen {
    Match(IpAddr, Cow<'static, str>),
    Ignored(Why),
    NearMiss(&'static str),
    Nothing,
}

/// A watcher whose clock is the log's, and whose blocklist is in memory.
struct Replay<'a> {
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
    fn new(config: &Config, protected: &'a Protected) -> Result<Self> {
        let policy = PolicyConfig {
            ttl: config.ttl,
            reject_text: config.reject_pattern()?,
            max_new_per_minute: config.max_new_per_minute,
        };
        Ok(Self {
            parser: config.parser(),
            now: clock::wall(),
            policy: Policy::new(policy),
            protected,
            ttl: config.ttl,
            blocked_until: HashMap::new(),
            start: None,
            elapsed: Duration::ZERO,
        })
    }

    fn line(&mut self, line: &[u8]) -> Seen {
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
            Decision::Known => Seen::Nothing,
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn lines(text: &[u8]) -> Vec<(bool, usize)> {
        let (mut input, mut line) = (BufReader::new(text), Vec::new());
        let mut all = Vec::new();
        while let Some(whole) = next_line(&mut input, &mut line).unwrap() {
            all.push((whole, line.len()));
        }
        all
    }

    #[test]
    fn overlong_lines_are_passed_over_whole() {
        let longest = usize::try_from(LONGEST_LINE).unwrap();
        let mut text = vec![b'a'; longest];
        text.push(b'\n');
        text.extend(vec![b'b'; 3 * longest]);
        text.extend(b"\n\nc");
        let seen = lines(&text);
        assert_eq!(seen[0], (true, longest));
        assert!(!seen[1].0);
        assert_eq!(seen[2..], [(true, 0), (true, 1)]);
    }
}
