//! Latency: from the write of a log line to the first dropped SYN.

pub mod fail2ban;
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

/// The extent of the measurement.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Number of rounds; each round measures everything once.
    pub rounds: usize,
    /// Log lines for spamdrop in each round, idle and again under load.
    pub lines: usize,
    /// Log lines for fail2ban; fewer, because it is slower.
    pub slow_lines: usize,
    /// Maximum wait for a drop by fail2ban; at most [`knock::LONGEST`].
    pub timeout: Duration,
}

/// A program that reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    Spamdrop,
    Fail2ban,
}

/// The measurements of one contender, over all rounds.
#[derive(Default)]
struct Outcome {
    idle: Delays,
    loaded: Delays,
    /// The lowest rate of the load in any round, in lines per second.
    line_rate: Option<f64>,
}

/// Delays from the log line to the drop in seconds, and the number of lines
/// that caused no drop within the timeout.
#[derive(Default)]
struct Delays {
    sample: Sample,
    missed: usize,
}

/// Maximum pause between two log lines. Each pause is random, so that the lines do not
/// synchronize with spamdrop's wake-ups.
const PAUSE: Duration = Duration::from_millis(20);
/// Maximum pause for fail2ban, which polls for bans less often the longer it
/// was idle.
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// Required delays without load, in seconds: the median and the 99th percentile.
const IDLE: (Bar, Bar) = (Bar::AtMost(1e-3), Bar::AtMost(5e-3));
/// Required 99th percentile of the delays under load, in seconds.
const LOADED: Bar = Bar::AtMost(0.25);

/// Measures both contenders in turn.
///
/// # Errors
///
/// spamdrop cannot be measured. If fail2ban cannot, that is only noted in the
/// table.
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

/// Describes the rate of the load, and whether it reached the target.
fn held(least: Option<f64>) -> String {
    let least = least.unwrap_or_default();
    if least >= 0.99 * LINES_PER_SECOND as f64 {
        "100,000 lines/s, held".into()
    } else {
        format!("{least:.0} of 100,000 lines/s, **not held**")
    }
}

impl Contender {
    /// Runs one round on a new site with a new log.
    fn measure(self, cores: Cores, effort: Effort, outcome: &mut Outcome) -> Result<()> {
        let site = Site::with_listener(&spamdrop_lab::binary("spamdrop")?)?;
        let daemon = self.start(&site)?;
        let mut trial = Trial {
            knocker: Knocker::new(&site.world, cores)?,
            site: &site,
            senders: 0,
        };
        // fail2ban creates its firewall rule with the first ban, so that ban is
        // not measured.
        let first = trial.delay(knock::LONGEST)?;
        first
            .with_context(|| daemon.output())
            .context("no SYN is dropped after the first line")?;
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
            // The default log level.
            Self::Spamdrop => site.run_logging("info", &[]),
            Self::Fail2ban => fail2ban::start(&site.server, &site.path("mail.log")),
        }
    }
}

/// A site whose log a contender reads.
struct Trial<'a> {
    site: &'a Site<TcpListener>,
    knocker: Knocker,
    senders: u16,
}

impl Trial<'_> {
    /// Measures one log line after another. It stops at the first line that
    /// causes no drop within the timeout, because the following lines would
    /// queue up behind that one.
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

    /// Logs a line of a new sender, and measures the delay to its first dropped
    /// SYN.
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

/// A rejection line in Courier's format, with a newline.
fn rejection(sender: Ipv4Addr) -> String {
    let stamp = jiff::Timestamp::now();
    format!(
        "{stamp:.6} mx1 courieresmtpd: error,relay=::ffff:{sender},port=4025,\
         from=<a@b.example>,to=<c@here.example>: 511 Listed, see https://zone.example/{sender}\n"
    )
}

#[cfg(test)]
mod tests;
