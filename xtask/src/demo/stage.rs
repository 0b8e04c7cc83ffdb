//! The mail server, the daemon, and what can be asked of them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use spamdrop_lab::wait::until;
use spamdrop_lab::{Daemon, Reply, Site, binary};

use super::story::human;

/// How many sessions the server has at a time: Courier's `MAXDAEMONS`.
pub const SLOTS: usize = 4;
/// What stands on the server's blocklist.
const LISTED: &str = "100.64.0.64/26";
/// Time that what takes milliseconds may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(5);
/// No answer for this long, to a SYN that is not yet repeated, is a drop.
pub const SILENCE: Duration = Duration::from_millis(800);
const OUTPUT_LINES: usize = 20;

/// A mail server with the daemon before it.
pub struct Stage {
    // Dropped before the site it runs on.
    daemon: Daemon,
    /// The server, and where its peers connect from.
    pub site: Site,
    /// How long the daemon took to be ready.
    pub ready_after: Duration,
}

impl Stage {
    /// Sets everything up; `with` are further lines of the configuration.
    ///
    /// # Errors
    ///
    /// Something did not start; the error holds its output.
    pub fn new(with: &[String]) -> Result<Self> {
        let site = Site::new(&binary("spamdrop")?, |options| options.slots = SLOTS)?;
        site.blacklist(LISTED)?;
        site.configure(&with.join("\n"))?;
        let start = Instant::now();
        let daemon = site.run()?;
        Ok(Self {
            daemon,
            site,
            ready_after: start.elapsed(),
        })
    }

    /// What the daemon said last.
    pub fn last_output(&self) -> String {
        let output = self.daemon.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(OUTPUT_LINES)..].join("\n")
    }

    /// Delivers a message and tells how long the banner took.
    ///
    /// # Errors
    ///
    /// The server did not take it.
    pub fn deliver(&self, source: &str) -> Result<String> {
        let start = Instant::now();
        let mut client = self.site.connect(source)?;
        let banner = client.read_reply().context("no banner")?;
        expect(&banner, 220)?;
        let waited = human(start.elapsed());
        expect(&client.command("EHLO friend.example")?, 250)?;
        expect(&client.mail("a@friend.example")?, 250)?;
        expect(&client.rcpt("postmaster@mx1.example")?, 250)?;
        expect(&client.data("hello")?, 250)?;
        expect(&client.quit()?, 221)?;
        Ok(format!("delivered; banner after {waited}"))
    }

    /// How often the server has accepted a connection from an address.
    ///
    /// # Errors
    ///
    /// The mail log cannot be read.
    pub fn accepted(&self, source: &str) -> Result<usize> {
        let log = std::fs::read_to_string(self.site.path("mail.log"))?;
        let started = format!("started,ip=[::ffff:{source}],");
        Ok(log.lines().filter(|line| line.contains(&started)).count())
    }

    /// What `spamdrop VERB --json` says.
    ///
    /// # Errors
    ///
    /// It failed.
    pub fn json(&self, verb: &str) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.site.spamdrop(&[verb, "--json"])?,
        )?)
    }

    /// An address as `spamdrop list` shows it, if it is blocked.
    ///
    /// # Errors
    ///
    /// As [`Stage::json`].
    pub fn entry(&self, addr: &str) -> Result<Option<Value>> {
        let list = self.json("list")?;
        let mut entries = list.as_array().into_iter().flatten();
        Ok(entries.find(|entry| entry["addr"] == addr).cloned())
    }

    /// The packets that the filter has dropped.
    ///
    /// # Errors
    ///
    /// As [`Stage::json`].
    pub fn packets_dropped(&self) -> Result<u64> {
        let stats = self.json("stats")?;
        let counters = stats.as_object().into_iter().flatten();
        let dropped = counters.filter(|(reason, _)| reason.ends_with("_dropped"));
        Ok(dropped.filter_map(|(_, count)| count.as_u64()).sum())
    }

    /// Waits until `spamdrop list` shows an address in this state.
    ///
    /// # Errors
    ///
    /// It does not within [`SOON`].
    pub fn await_state(&self, addr: &str, state: &str) -> Result<()> {
        until(&format!("{addr} to be {state}"), SOON, || {
            let entry = self.entry(addr)?;
            Ok(entry.filter(|entry| entry["state"] == state).map(drop))
        })
    }
}

/// The reply as it came, if it has this code.
///
/// # Errors
///
/// It has another; the error is the reply.
pub fn expect(reply: &Reply, code: u16) -> Result<String> {
    let text = format!("{} {}", reply.code, reply.text);
    ensure!(reply.code == code, "{text}");
    Ok(text)
}
