//! The mail server, the daemon, and queries to them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use spamdrop_lab::wait::until;
use spamdrop_lab::{Daemon, Reply, Site, binary};

use crate::story::human;

/// Maximum number of concurrent sessions of the server: Courier's `MAXDAEMONS`.
pub const SLOTS: usize = 4;
/// The addresses on the server's blocklist.
const LISTED: &str = "100.64.0.64/26";
/// Time limit for steps that normally take milliseconds, on a busy machine.
pub const SOON: Duration = Duration::from_secs(5);
/// A SYN that is not answered for this long was dropped. The time is shorter
/// than the 1 s after which the kernel repeats a SYN.
pub const SILENCE: Duration = Duration::from_millis(800);
const OUTPUT_LINES: usize = 20;

/// A mail server that the daemon protects.
pub struct Stage {
    // The field order matters: the daemon is dropped before its site.
    daemon: Daemon,
    /// The server, and the hosts from which its peers connect.
    pub site: Site,
    /// The time that the daemon took to be ready.
    pub ready_after: Duration,
}

impl Stage {
    /// Starts the server and the daemon; `with` contains further lines of the
    /// configuration.
    ///
    /// # Errors
    ///
    /// The server or the daemon did not start. The error contains its output.
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

    /// The daemon's last lines of output.
    pub fn last_output(&self) -> String {
        let output = self.daemon.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(OUTPUT_LINES)..].join("\n")
    }

    /// Delivers a message and reports how long the banner took.
    ///
    /// # Errors
    ///
    /// The server did not accept it.
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

    /// Counts the connections that the server has accepted from an address.
    ///
    /// # Errors
    ///
    /// The mail log cannot be read.
    pub fn accepted(&self, source: &str) -> Result<usize> {
        let log = std::fs::read_to_string(self.site.path("mail.log"))?;
        let started = format!("started,ip=[::ffff:{source}],");
        Ok(log.lines().filter(|line| line.contains(&started)).count())
    }

    /// Runs `spamdrop VERB --json`, and parses its output.
    ///
    /// # Errors
    ///
    /// The command failed.
    pub fn json(&self, verb: &str) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.site.spamdrop(&[verb, "--json"])?,
        )?)
    }

    /// The entry of an address in `spamdrop list`, if it is blocked.
    ///
    /// # Errors
    ///
    /// As [`Stage::json`].
    pub fn entry(&self, addr: &str) -> Result<Option<Value>> {
        let list = self.json("list")?;
        let mut entries = list.as_array().into_iter().flatten();
        Ok(entries.find(|entry| entry["addr"] == addr).cloned())
    }

    /// Number of packets that the filter has dropped.
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
    /// The address is not in this state within [`SOON`].
    pub fn await_state(&self, addr: &str, state: &str) -> Result<()> {
        until(&format!("{addr} to be {state}"), SOON, || {
            let entry = self.entry(addr)?;
            Ok(entry.filter(|entry| entry["state"] == state).map(drop))
        })
    }
}

/// Checks that a reply has this code, and returns it as text.
///
/// # Errors
///
/// The reply has another code; the error contains the reply.
pub fn expect(reply: &Reply, code: u16) -> Result<String> {
    let text = format!("{} {}", reply.code, reply.text);
    ensure!(reply.code == code, "{text}");
    Ok(text)
}
