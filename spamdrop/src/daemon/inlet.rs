//! Carries out what is written to the FIFO.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use spamdrop_common::entry::Origin;

use super::Daemon;
use super::releasing::grace_ns;
use crate::clock;
use crate::config::Seal;
use crate::fifo::{Fifo, Got};
use crate::kernel::blocklist::Term;
use crate::lock::WriteLock;
use crate::render::watcher;
use spamdrop_core::recent::{Command, Commands};
use spamdrop_core::release::ReleaseMode;

/// Bytes that are read before others get their turn: some 80 commands.
const BUDGET: usize = 1024;
/// The reason that `show` gives.
const REASON: &[u8] = b"fifo";
/// Nobody is answered, so refusals are logged; no more often than this.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(1);

/// The FIFO, if one is configured, and what came through it.
#[derive(Default)]
pub(super) struct Inlet {
    /// Closed after trouble, until it can be opened again.
    fifo: Option<Fifo>,
    commands: Commands,
    state: Option<watcher::Fifo>,
    complained: Option<Instant>,
}

impl Inlet {
    /// Opens the FIFO at `path`; no FIFO where that is empty.
    pub fn open(path: &Path) -> Result<Self> {
        if path.as_os_str().is_empty() {
            return Ok(Self::default());
        }
        Ok(Self {
            fifo: Some(Fifo::open(path)?),
            state: Some(watcher::Fifo {
                path: path.into(),
                ..watcher::Fifo::default()
            }),
            ..Self::default()
        })
    }

    /// What replaces it where `path` is another.
    pub fn reopened(&self, path: &Path) -> Result<Option<Self>> {
        let same = self.path().unwrap_or(Path::new("")) == path;
        if same {
            Ok(None)
        } else {
            Self::open(path).map(Some)
        }
    }

    /// What `status` is told.
    pub fn state(&self) -> Option<&watcher::Fifo> {
        self.state.as_ref()
    }

    /// Resolves when there is something to read, never without a FIFO.
    pub async fn readable(&self) {
        match &self.fifo {
            // What is wrong, a read will tell.
            Some(fifo) => drop(fifo.readable().await),
            None => std::future::pending().await,
        }
        // Clocks and signals stand still while nothing waits.
        tokio::task::yield_now().await;
    }

    fn path(&self) -> Option<&Path> {
        self.state.as_ref().map(|state| state.path.as_path())
    }

    fn count(&mut self, which: impl FnOnce(&mut watcher::Fifo) -> &mut u64) {
        if let Some(state) = &mut self.state {
            *which(state) += 1;
        }
    }

    fn complain(&mut self, text: &str) {
        let now = clock::instant();
        let due = self
            .complained
            .is_none_or(|last| now - last >= COMPLAINT_PERIOD);
        if due {
            self.complained = Some(now);
            log::warn!(target: "spamdrop::fifo", "fifo: {text}");
        } else {
            log::debug!(target: "spamdrop::fifo", "fifo: {text}");
        }
    }
}

impl Daemon {
    /// Reads the FIFO once and does what it says.
    pub(super) fn read_fifo(&mut self) {
        let Inlet { fifo, commands, .. } = &mut self.inlet;
        let Some(open) = fifo else {
            return;
        };
        let mut read = Vec::new();
        let mut keep = |command| read.push(command);
        match open.read(&mut [0; BUDGET]) {
            Ok(Got::Bytes(bytes)) => commands.feed(bytes, &mut keep),
            Ok(Got::End) => commands.finish(&mut keep),
            Ok(Got::Nothing) => {}
            Err(error) => {
                *fifo = None;
                self.upkeep
                    .warn("fifo", format!("cannot read the FIFO: {error}"));
            }
        }
        for command in read {
            match command {
                Ok(command) => self.obey(command),
                Err(malformed) => {
                    self.inlet.count(|state| &mut state.malformed);
                    self.inlet.complain(&malformed.to_string());
                }
            }
        }
    }

    /// Opens the FIFO again if it is closed or somebody removed it.
    pub(super) fn keep_fifo(&mut self) {
        let Some(path) = self.inlet.path() else {
            return;
        };
        if self.inlet.fifo.as_ref().is_some_and(Fifo::is_in_place) {
            return self.upkeep.fine("fifo");
        }
        match Fifo::open(path) {
            Ok(fifo) => self.inlet.fifo = Some(fifo),
            Err(error) => self.upkeep.warn("fifo", format!("{error:#}")),
        }
    }

    fn obey(&mut self, command: Command) {
        let done = match command {
            Command::Add(addr) => self.add(addr),
            Command::Remove(addr) => self.remove(addr),
            Command::Flush => self.flush(),
        };
        if let Err(error) = done {
            self.inlet.count(|state| &mut state.failed);
            self.inlet.complain(&format!("{error:#}"));
        }
    }

    /// As `spamdrop add ADDR`, but that the peer's connections are looked for
    /// by the release that follows, as after an offence.
    fn add(&mut self, addr: IpAddr) -> Result<()> {
        if let Some(why) = self.intake.protected.why(addr) {
            self.inlet.count(|state| &mut state.protected);
            self.inlet.complain(&format!("{addr} not blocked: {why}"));
            return Ok(());
        }
        let config = &self.config;
        let term = Term {
            start: clock::monotonic_ns(),
            ttl_s: config.ttl_s(),
            slides: true,
            hard_limit_s: 0,
        };
        let sealed = config.seal == Seal::AtOnce;
        let mut origin = self.blocklist.origin(addr)?.unwrap_or_else(|| Origin {
            first_unix_s: clock::unix_s(),
            ..Origin::default()
        });
        origin.offence = term.start;
        origin.release_pending = (config.release != ReleaseMode::Off).into();
        origin.set_text(REASON);
        let lock = WriteLock::acquire(&config.run_dir)?;
        self.blocklist.renew(&lock, addr, term, sealed, &origin)?;
        let due = term.start.saturating_add(grace_ns(config.grace));
        self.releases.add(addr, due, !sealed);
        self.inlet.count(|state| &mut state.added);
        log::info!(target: "spamdrop::fifo", "blocked {addr}: fifo");
        Ok(())
    }

    fn remove(&mut self, addr: IpAddr) -> Result<()> {
        let lock = WriteLock::acquire(&self.config.run_dir)?;
        if self.blocklist.remove(&lock, addr.into())? {
            self.inlet.count(|state| &mut state.removed);
            log::info!(target: "spamdrop::fifo", "unblocked {addr}: fifo");
        } else {
            log::debug!(target: "spamdrop::fifo", "{addr} is not listed");
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let run_dir = &self.config.run_dir;
        let live = self
            .blocklist
            .flush(clock::monotonic_ns(), || WriteLock::acquire(run_dir))?;
        self.inlet.count(|state| &mut state.flushed);
        log::info!(target: "spamdrop::fifo", "unblocked everything, {live} entries: fifo");
        Ok(())
    }
}
