//! Latency: from the write of a log line to the first dropped SYN.

mod fail2ban;
mod knock;
mod load;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use spamdrop_lab::{Daemon, Site};

use crate::machine::Cores;
use crate::packets::say;
use crate::sample::Sample;
use crate::table::{Bar, Case, Unit};
use knock::Knocker;
use load::{LINES_PER_SECOND, Load};

/// How thorough to be.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How often everything takes its turn.
    pub rounds: usize,
    /// Lines for spamdrop in each round, idle and again under load.
    pub lines: usize,
    /// Lines for fail2ban, which takes longer.
    pub slow_lines: usize,
    /// How long a drop by fail2ban is waited for; at most [`knock::LONGEST`].
    pub timeout: Duration,
}

/// What reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    Spamdrop,
    Fail2ban,
}

/// What one contender did, over the rounds.
#[derive(Default)]
struct Outcome {
    idle: Delays,
    loaded: Delays,
    /// The least lines per second of the load.
    line_rate: Option<f64>,
}

/// Seconds from line to drop, and how many lines had no effect in time.
#[derive(Default)]
struct Delays {
    sample: Sample,
    missed: usize,
}

/// At most between two lines, at random, so that they do not keep step with
/// what wakes spamdrop.
const PAUSE: Duration = Duration::from_millis(20);
/// The same for fail2ban, which looks for what to ban less often the longer
/// there was nothing.
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// The bars, in seconds: median and 99th percentile idle, the latter under load.
const IDLE: (Bar, Bar) = (Bar::AtMost(1e-3), Bar::AtMost(5e-3));
const LOADED: Bar = Bar::AtMost(0.25);

/// Measures both contenders, by turns.
///
/// # Errors
///
/// spamdrop cannot be measured; where fail2ban cannot, that is only noted.
pub fn cases(cores: Cores, effort: Effort) -> Result<Vec<Case>> {
    let (mut spamdrop, mut fail2ban) = (Outcome::default(), Ok(Outcome::default()));
    for round in 1..=effort.rounds {
        say(&format!("latency, round {round} of {}", effort.rounds));
        Contender::Spamdrop.measure(cores, effort, &mut spamdrop)?;
        if let Ok(outcome) = &mut fail2ban
            && let Err(error) = Contender::Fail2ban.measure(cores, effort, outcome)
        {
            say(&format!("fail2ban: {error:#}"));
            fail2ban = Err(error.to_string());
        }
    }
    ensure!(
        spamdrop.idle.missed + spamdrop.loaded.missed == 0,
        "spamdrop did not drop within {:?}: {} senders idle, {} under load",
        knock::LONGEST,
        spamdrop.idle.missed,
        spamdrop.loaded.missed
    );
    Ok(table(&spamdrop, fail2ban.as_ref(), effort))
}

fn table(spamdrop: &Outcome, fail2ban: Result<&Outcome, &String>, effort: Effort) -> Vec<Case> {
    let mut idle = case("line to drop, idle", &spamdrop.idle).with_bar(IDLE.0);
    p99(&mut idle, "spamdrop", &spamdrop.idle, Some(IDLE.1));
    let name = format!("line to drop, {}", held(spamdrop.line_rate));
    let mut loaded = case(name, &spamdrop.loaded);
    p99(&mut loaded, "spamdrop", &spamdrop.loaded, Some(LOADED));
    match fail2ban {
        Ok(outcome) => {
            beside(&mut idle, "fail2ban", &outcome.idle, effort);
            let name = format!("fail2ban, {}", held(outcome.line_rate));
            beside(&mut loaded, &name, &outcome.loaded, effort);
        }
        Err(why) => {
            idle.without("fail2ban", why, None);
            loaded.without("fail2ban", why, None);
        }
    }
    vec![idle, loaded]
}

fn case(name: impl Into<String>, delays: &Delays) -> Case {
    Case::new(name, Unit::Milliseconds, "spamdrop", delays.sample.clone())
}

fn p99(case: &mut Case, subject: &str, delays: &Delays, bar: Option<Bar>) {
    let lines = delays.sample.0.len();
    let p99 = Sample(vec![delays.sample.quantile(0.99)]);
    case.also(&format!("{subject}, p99 of {lines} lines"), p99, bar);
}

fn beside(case: &mut Case, name: &str, delays: &Delays, effort: Effort) {
    let lines = delays.sample.0.len() + delays.missed;
    if delays.missed > 0 {
        let within = effort.timeout.as_secs_f64();
        let missed = delays.missed;
        let why = format!("{missed} of {lines} senders not dropped within {within} s");
        return case.without(name, why, None);
    }
    case.also(name, delays.sample.clone(), None);
    p99(case, "fail2ban", delays, None);
}

/// What the load came to, and whether that is what it should be.
fn held(least: Option<f64>) -> String {
    let least = least.unwrap_or_default();
    if least >= 0.99 * LINES_PER_SECOND as f64 {
        "100,000 lines/s, held".into()
    } else {
        format!("{least:.0} of 100,000 lines/s, **not held**")
    }
}

impl Contender {
    /// One round: on hosts of its own, with a log of its own.
    fn measure(self, cores: Cores, effort: Effort, outcome: &mut Outcome) -> Result<()> {
        let site = Site::with_listener(&spamdrop_lab::binary("spamdrop")?)?;
        let daemon = self.start(&site)?;
        let mut trial = Trial {
            knocker: Knocker::new(&site.world, cores)?,
            site: &site,
            senders: 0,
        };
        // The first ban makes fail2ban set up its rule.
        let first = trial.delay(knock::LONGEST)?;
        first
            .with_context(|| daemon.output())
            .context("it drops nothing")?;
        trial.repeat(self, effort, &mut outcome.idle)?;
        let load = Load::start(&site.path("mail.log"))?;
        trial.repeat(self, effort, &mut outcome.loaded)?;
        let line_rate = load.stop()?;
        outcome.line_rate = Some(
            outcome
                .line_rate
                .map_or(line_rate, |least| least.min(line_rate)),
        );
        Ok(())
    }

    fn start(self, site: &Site<TcpListener>) -> Result<Daemon> {
        match self {
            // As it is by default.
            Self::Spamdrop => site.run_logging("info", &[]),
            Self::Fail2ban => fail2ban::start(&site.server, &site.path("mail.log")),
        }
    }
}

/// A site whose log is read by something.
struct Trial<'a> {
    site: &'a Site<TcpListener>,
    knocker: Knocker,
    senders: u16,
}

impl Trial<'_> {
    /// Line after line, but for the first that has no effect in time: those
    /// behind it would wait for it.
    fn repeat(&mut self, contender: Contender, effort: Effort, delays: &mut Delays) -> Result<()> {
        let (lines, pause, timeout) = match contender {
            Contender::Spamdrop => (effort.lines, PAUSE, knock::LONGEST),
            Contender::Fail2ban => (effort.slow_lines, LONG_PAUSE, effort.timeout),
        };
        for _ in 0..lines {
            thread::sleep(pause.mul_f64(fastrand::f64()));
            let Some(delay) = self.delay(timeout)? else {
                delays.missed += 1;
                break;
            };
            delays.sample.0.push(delay.as_secs_f64());
        }
        Ok(())
    }

    /// From the line of another sender to its first dropped SYN.
    fn delay(&mut self, timeout: Duration) -> Result<Option<Duration>> {
        self.senders += 1;
        let [high, low] = self.senders.to_be_bytes();
        let sender = Ipv4Addr::new(100, 96, high, low);
        let path = self.site.path("mail.log");
        let mut log = OpenOptions::new().append(true).open(path)?;
        let line = rejection(sender);
        self.knocker.until_dropped(sender, timeout, || {
            log.write_all(line.as_bytes()).context("cannot log")
        })
    }
}

/// Courier's, with a newline.
fn rejection(sender: Ipv4Addr) -> String {
    let stamp = jiff::Timestamp::now();
    format!(
        "{stamp:.6} mx1 courieresmtpd: error,relay=::ffff:{sender},port=4025,\
         from=<a@b.example>,to=<c@here.example>: 511 Listed, see https://zone.example/{sender}\n"
    )
}

#[cfg(test)]
mod tests;
