//! The FIFO task: carries out the commands that are written to the FIFO.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use spamdrop_core::policy::Protected;
use spamdrop_core::recent::{Command, Commands};
use spamdrop_core::status::FifoState;
use spamdrop_core::term::Term;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::block::{BlockRule, origin};
use super::health::Subject;
use super::period;
use super::release::ReleaseMessage;
use super::status::{Health, StatusMessage};
use crate::clock;
use crate::fifo::{Fifo, Got};
use crate::kernel::blocklist::Blocklist;
use crate::lock::{self, WriteLock};

/// Bytes that are read at once: some 80 commands.
const BUDGET: usize = 1024;
/// The reason that `show` gives.
const REASON: &[u8] = b"fifo";
/// Writers get no answer, so refused commands are logged, at most this often.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(1);
/// How often the FIFO is looked at and `status` is told.
const SECOND: Duration = Duration::from_secs(1);
/// How often commands are tried again that wait for the write lock.
const RETRY: Duration = Duration::from_millis(20);
/// How long a flush waits for the write lock at each of its steps.
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// What the task is told.
pub(super) enum FifoMessage {
    /// Another configuration holds.
    Reconfigure {
        settings: FifoSettings,
        /// The FIFO, where its path is another.
        fifo: Option<Fifo>,
    },
    /// Other addresses must not be blocked.
    Protect(Protected),
    /// Carries out what was written, and ends.
    Stop,
}

/// What the task needs of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FifoSettings {
    /// Where the FIFO is; `None`: there is none.
    pub path: Option<PathBuf>,
    pub rule: BlockRule,
}

pub(super) struct FifoTask {
    settings: FifoSettings,
    /// Closed after an error, until it can be opened again.
    fifo: Option<Fifo>,
    commands: Commands,
    /// Commands that wait for the write lock; nothing more is read meanwhile.
    waiting: VecDeque<Command>,
    /// Since when the write lock could not be had.
    refused: Option<Instant>,
    counts: FifoState,
    complained: Option<Instant>,
    blocklist: Blocklist,
    protected: Protected,
    run_dir: PathBuf,
    releases: UnboundedSender<ReleaseMessage>,
    status: UnboundedSender<StatusMessage>,
    health: Health,
}

impl FifoTask {
    /// Opens the FIFO, if there is one.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn open(
        settings: FifoSettings,
        blocklist: Blocklist,
        protected: Protected,
        run_dir: PathBuf,
        releases: UnboundedSender<ReleaseMessage>,
        status: UnboundedSender<StatusMessage>,
    ) -> Result<Self> {
        Ok(Self {
            fifo: settings.path.as_deref().map(Fifo::open).transpose()?,
            counts: counts(&settings),
            settings,
            commands: Commands::default(),
            waiting: VecDeque::new(),
            refused: None,
            complained: None,
            blocklist,
            protected,
            run_dir,
            releases,
            health: Health::new(status.clone()),
            status,
        })
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self, mut inbox: UnboundedReceiver<FifoMessage>) {
        let mut second = period(SECOND);
        let mut retry = period(RETRY);
        loop {
            tokio::select! {
                biased;
                message = inbox.recv() => match message {
                    None | Some(FifoMessage::Stop) => break,
                    Some(FifoMessage::Protect(protected)) => self.protected = protected,
                    Some(FifoMessage::Reconfigure { settings, fifo }) => self.reconfigure(settings, fifo),
                },
                _ = second.tick() => self.look_after(),
                _ = retry.tick(), if !self.waiting.is_empty() => self.carry_out(),
                () = readable(self.fifo.as_ref()), if self.waiting.is_empty() => self.read(),
            }
        }
        self.read();
    }

    fn reconfigure(&mut self, settings: FifoSettings, fifo: Option<Fifo>) {
        if settings.path != self.settings.path {
            self.fifo = fifo;
            self.commands = Commands::default();
            self.counts = counts(&settings);
        }
        self.settings = settings;
        self.look_after();
    }

    /// Opens the FIFO again if it is closed or somebody removed it, and tells
    /// the status task.
    fn look_after(&mut self) {
        if let Some(path) = &self.settings.path {
            if self.fifo.as_ref().is_some_and(Fifo::is_in_place) {
                if self.waiting.is_empty() {
                    self.health.clear(Subject::Fifo);
                }
            } else {
                match Fifo::open(path) {
                    Ok(fifo) => self.fifo = Some(fifo),
                    Err(error) => self.health.raise(Subject::Fifo, format!("{error:#}")),
                }
            }
        }
        self.tell();
    }

    fn tell(&self) {
        let counts = self.settings.path.is_some().then(|| self.counts.clone());
        let _ = self.status.send(StatusMessage::Fifo(counts));
    }

    fn read(&mut self) {
        let Some(fifo) = &mut self.fifo else {
            return;
        };
        let (mut read, mut malformed) = (Vec::new(), Vec::new());
        let mut take = |command| match command {
            Ok(command) => read.push(command),
            Err(error) => malformed.push(error),
        };
        match fifo.read(&mut [0; BUDGET]) {
            Ok(Got::Bytes(bytes)) => self.commands.feed(bytes, &mut take),
            Ok(Got::End) => self.commands.finish(&mut take),
            Ok(Got::Nothing) => {}
            Err(error) => {
                self.fifo = None;
                let text = format!("cannot read the FIFO: {error}");
                self.health.raise(Subject::Fifo, text);
            }
        }
        for error in malformed {
            self.counts.malformed += 1;
            self.complain(&error.to_string());
        }
        self.waiting.extend(read);
        self.carry_out();
        self.tell();
    }

    /// Carries out what waits, as far as the write lock is free.
    fn carry_out(&mut self) {
        while let Some(command) = self.waiting.front().copied() {
            match self.obey(command) {
                Ok(true) => {}
                Ok(false) => {
                    let since = *self.refused.get_or_insert_with(clock::instant);
                    if since.elapsed() >= LOCK_WAIT {
                        self.name_holder();
                    }
                    return;
                }
                Err(error) => {
                    self.counts.failed += 1;
                    self.complain(&format!("{error:#}"));
                }
            }
            self.refused = None;
            self.waiting.pop_front();
        }
    }

    /// Carries out a command; whether the write lock was free.
    fn obey(&mut self, command: Command) -> Result<bool> {
        if let Command::Flush = command {
            return self.flush().map(|()| true);
        }
        let Some(lock) = WriteLock::try_acquire(&self.run_dir, Duration::ZERO)? else {
            return Ok(false);
        };
        match command {
            Command::Add(addr) => self.block(&lock, addr)?,
            Command::Remove(addr) => self.unblock(&lock, addr)?,
            Command::Flush => {}
        }
        Ok(true)
    }

    fn name_holder(&self) {
        if let Some(holder) = lock::holder(&self.run_dir) {
            let text = format!("{holder} holds the write lock; commands of the FIFO wait");
            self.health.raise(Subject::Fifo, text);
        }
    }

    /// As `spamdrop add ADDR`, but the peer's connections are released after
    /// the grace, as after an offence.
    fn block(&mut self, lock: &WriteLock, addr: IpAddr) -> Result<()> {
        if let Some(why) = self.protected.why(addr) {
            self.counts.protected += 1;
            self.complain(&format!("{addr} not blocked: {why}"));
            return Ok(());
        }
        let BlockRule {
            ttl_s,
            sealed,
            releases,
            grace,
            ..
        } = self.settings.rule;
        let term = Term {
            start: clock::monotonic_ns(),
            ttl_s,
            slides: true,
            hard_limit_s: 0,
        };
        let mut origin = origin(self.blocklist.origin(addr)?);
        origin.last_offence = term.start;
        origin.release_pending = releases.into();
        origin.set_text(REASON);
        self.blocklist.renew(lock, addr, term, sealed, &origin)?;
        let message = ReleaseMessage::Add {
            addr,
            due: term.start.plus(grace),
            open: !sealed,
        };
        let _ = self.releases.send(message);
        self.counts.added += 1;
        log::info!(target: "spamdrop::fifo", "blocked {addr}: fifo");
        Ok(())
    }

    fn unblock(&mut self, lock: &WriteLock, addr: IpAddr) -> Result<()> {
        if self.blocklist.remove(lock, addr.into())? {
            self.counts.removed += 1;
            log::info!(target: "spamdrop::fifo", "unblocked {addr}: fifo");
        } else {
            log::debug!(target: "spamdrop::fifo", "{addr} is not blocked");
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let run_dir = &self.run_dir;
        let lock = || lock::acquire_within(run_dir, LOCK_WAIT);
        let live = self.blocklist.flush(clock::monotonic_ns(), lock)?;
        self.counts.flushed += 1;
        log::info!(target: "spamdrop::fifo", "unblocked everything, {live} entries: fifo");
        Ok(())
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

fn counts(settings: &FifoSettings) -> FifoState {
    FifoState {
        path: settings.path.clone().unwrap_or_default(),
        ..FifoState::default()
    }
}

/// Resolves when there is something to read, never without a FIFO.
async fn readable(fifo: Option<&Fifo>) {
    match fifo {
        // An error surfaces in the read that follows.
        Some(fifo) => drop(fifo.readable().await),
        None => std::future::pending().await,
    }
    // A writer without end must leave the other tasks their turn.
    tokio::task::yield_now().await;
}
