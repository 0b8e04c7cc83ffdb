//! The FIFO task: carries out the commands that are written to the FIFO.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use spamdrop_core::history::{BlockNote, HistoryEvent};
use spamdrop_core::policy::{KnownNets, Protected, Scope};
use spamdrop_core::recent::{Command, Commands};
use spamdrop_core::status::FifoState;
use spamdrop_core::target::Target;
use spamdrop_core::term::Term;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::block::{BlockRule, origin};
use super::health::Subject;
use super::history::HistoryLog;
use super::period;
use super::release::ReleaseMessage;
use super::status::{Health, StatusMessage};
use crate::clock;
use crate::fifo::{Fifo, Got};
use crate::kernel::blocklist::Blocklist;
use crate::lock::{self, WriteLock};

/// Bytes per read: some 80 commands.
const BUDGET: usize = 1024;
/// The reason that `show` prints.
const REASON: &[u8] = b"fifo";
/// Minimum time between two log messages about refused commands. They are
/// logged because writers get no answer.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(1);
/// How often the FIFO is checked and `status` is updated.
const SECOND: Duration = Duration::from_secs(1);
/// How often commands that wait for the write lock are retried.
const RETRY: Duration = Duration::from_millis(20);
/// How long each step of a flush waits for the write lock.
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// Messages to the task.
pub(super) enum FifoMessage {
    /// The configuration has changed.
    Reconfigure {
        settings: FifoSettings,
        /// The new FIFO, if its path has changed.
        fifo: Option<Fifo>,
    },
    /// The set of protected addresses has changed.
    Protect(Protected),
    /// The set of known senders may have changed.
    Know(KnownNets),
    /// Execute the commands already written, then end.
    Stop,
}

/// The task's part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FifoSettings {
    /// The path of the FIFO; `None`: there is none.
    pub path: Option<PathBuf>,
    pub rule: BlockRule,
}

pub(super) struct FifoTask {
    settings: FifoSettings,
    /// `None` after an error, until the FIFO can be opened again.
    fifo: Option<Fifo>,
    commands: Commands,
    /// Commands that wait for the write lock; nothing more is read until they
    /// are done.
    waiting: VecDeque<Command>,
    /// The first failed attempt to take the write lock for the first waiting
    /// command.
    refused: Option<Instant>,
    counts: FifoState,
    complained: Option<Instant>,
    blocklist: Blocklist,
    scope: Scope,
    run_dir: PathBuf,
    releases: UnboundedSender<ReleaseMessage>,
    status: UnboundedSender<StatusMessage>,
    health: Health,
    history: HistoryLog,
}

impl FifoTask {
    /// Opens the FIFO if one is configured.
    ///
    /// # Errors
    ///
    /// The FIFO cannot be opened.
    pub fn open(
        settings: FifoSettings,
        blocklist: Blocklist,
        scope: Scope,
        run_dir: PathBuf,
        releases: UnboundedSender<ReleaseMessage>,
        status: UnboundedSender<StatusMessage>,
        history: HistoryLog,
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
            scope,
            run_dir,
            releases,
            health: Health::new(status.clone()),
            history,
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
                    Some(FifoMessage::Protect(protected)) => self.scope.protected = protected,
                    Some(FifoMessage::Know(known)) => self.scope.known = known,
                    Some(FifoMessage::Reconfigure { settings, fifo }) => self.reconfigure(settings, fifo),
                },
                _ = second.tick() => self.look_after(),
                _ = retry.tick(), if !self.waiting.is_empty() => self.carry_out(),
                () = readable(self.fifo.as_ref()), if self.waiting.is_empty() => self.read(),
            }
        }
        self.read();
        if !self.waiting.is_empty() {
            log::warn!(
                target: "spamdrop::fifo",
                "{} commands of the FIFO are lost: another process holds the write lock",
                self.waiting.len()
            );
        }
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

    /// Reopens the FIFO if it is closed or was removed, and reports to the
    /// status task.
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
        } else {
            self.health.clear(Subject::Fifo);
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

    /// Executes waiting commands until the write lock is unavailable.
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

    /// Executes a command. Returns whether the write lock was free.
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

    /// Blocks as `spamdrop add ADDR` does, but the peer's connections are
    /// released after the grace, as after an offence.
    fn block(&mut self, lock: &WriteLock, addr: IpAddr) -> Result<()> {
        if let Some(why) = self.scope.protected.why(addr) {
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
        let target = self.scope.target(addr);
        let is_renewed = self
            .blocklist
            .renew(lock, addr, target, term, sealed, &origin)?;
        let at = clock::unix_seconds();
        self.history.block(match is_renewed {
            true => BlockNote::renewed(addr, target, at, ttl_s, 0),
            false => BlockNote::new(addr, target, at),
        });
        let message = ReleaseMessage::Add {
            addr,
            due: term.start.plus(grace),
            open: (!sealed).then_some(target),
        };
        let _ = self.releases.send(message);
        self.counts.added += 1;
        log::debug!(target: "spamdrop::fifo", "blocked {addr}: fifo");
        Ok(())
    }

    fn unblock(&mut self, lock: &WriteLock, addr: IpAddr) -> Result<()> {
        let targets: Vec<Target> = Target::covering(addr).collect();
        if !self.blocklist.remove_all(lock, &targets)?.is_empty() {
            self.counts.removed += 1;
            self.record(Some(addr), &format!("remove {addr}"));
            log::debug!(target: "spamdrop::fifo", "unblocked {addr}: fifo");
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
        self.record(None, "flush");
        log::info!(target: "spamdrop::fifo", "unblocked everything, {live} entries: fifo");
        Ok(())
    }

    /// Records a command that unblocks.
    fn record(&self, addr: Option<IpAddr>, words: &str) {
        let (net, by) = (addr.map(|addr| Target::from(addr).net()), "fifo".into());
        let at = clock::unix_seconds();
        self.history
            .add(HistoryEvent::command(net, 1, at, by, words.as_bytes()));
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

/// Resolves when the FIFO has data; never without a FIFO.
async fn readable(fifo: Option<&Fifo>) {
    match fifo {
        // An error surfaces in the read that follows.
        Some(fifo) => drop(fifo.readable().await),
        None => std::future::pending().await,
    }
    // A writer that never stops must not starve the other tasks.
    tokio::task::yield_now().await;
}
