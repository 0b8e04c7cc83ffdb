//! What is done once a second, and what `status` is told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::Daemon;
use crate::clock;
use crate::config::Config;
use crate::durable;
use crate::exit::{Exit, Failure};
use crate::install::{Setup, reinstall};
use crate::kernel::attach::{self, Attached};
use crate::kernel::blocklist::{Blocklist, pins};
use crate::lock::WriteLock;
use crate::render::watcher::{FILE, File, State};
use crate::tail::{self, FileStatus};

/// Expired entries are swept this often.
const SWEEP_PERIOD: Duration = Duration::from_secs(30);

pub(super) struct Upkeep {
    since_unix_s: u64,
    /// The interfaces, when they were attached last.
    pub(super) attached: Vec<Attached>,
    /// Whether addresses, routes or interfaces have changed.
    pub(super) network_changed: bool,
    /// Connections that were ended.
    pub(super) released: u64,
    ceiling: Option<String>,
    /// Standing trouble by subject, said once each time it changes.
    warnings: BTreeMap<&'static str, String>,
    last_sweep: Instant,
    sweeping: Arc<AtomicBool>,
}

impl Upkeep {
    pub(super) fn new(attached: Vec<Attached>) -> Self {
        Self {
            since_unix_s: clock::unix_s(),
            attached,
            network_changed: false,
            released: 0,
            ceiling: None,
            warnings: BTreeMap::new(),
            last_sweep: clock::instant(),
            sweeping: Arc::default(),
        }
    }

    /// One line about what was set up.
    pub(super) fn describe(&self, config: &Config) -> String {
        let interfaces = self.attached.iter().map(|attached| {
            let native = attached.interface.xdp.is_some_and(|xdp| xdp.native);
            let mode = if native { "native" } else { "generic" };
            format!("{} ({mode})", attached.interface.name)
        });
        let journal = config.journal.then(|| "the journal".to_owned());
        let logs = config.logs.iter().map(|path| path.display().to_string());
        let logs = journal.into_iter().chain(logs);
        let list = |items: Vec<String>| items.join(", ");
        format!(
            "filter on {}, watching {}",
            list(interfaces.collect()),
            list(logs.collect())
        )
    }

    /// Notes standing trouble and says it, unless it was said already.
    pub(super) fn warn(&mut self, subject: &'static str, text: String) {
        if self.warnings.get(subject) != Some(&text) {
            log::warn!("{text}");
            self.warnings.insert(subject, text);
        }
    }

    pub(super) fn fine(&mut self, subject: &'static str) {
        if self.warnings.remove(subject).is_some() {
            log::info!("{subject}: well again");
        }
    }

    /// Whether blocking pauses, for a blocklist gone wrong.
    pub(super) fn is_paused(&self) -> bool {
        self.ceiling.is_some()
    }

    fn write(&mut self, config: &Config, now: &State) {
        match write(&config.run_dir, now) {
            Ok(()) => self.fine("status"),
            Err(error) => self.warn("status", format!("{error:#}")),
        }
    }
}

fn write(run_dir: &Path, state: &State) -> Result<()> {
    let path = run_dir.join(FILE);
    durable::replace(&path, serde_json::to_string(state)?.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

impl Daemon {
    /// Once a second; whether there is nothing left to do.
    ///
    /// # Errors
    ///
    /// The filter was detached.
    pub(super) fn upkeep(&mut self) -> Result<bool> {
        if !pins::exist(&self.config.pin_dir)? || !self.watcher.is_seen() {
            let message = "the filter was detached; this watcher has nothing to write to";
            return Err(Failure::new(Exit::NotAttached, message));
        }
        self.keep_attached();
        if std::mem::take(&mut self.upkeep.network_changed) {
            self.protect();
        }
        self.keep_fifo();
        self.say_ceiling();
        self.say_judging();
        self.sweep();
        self.keep_known();
        self.keep_senders();
        self.keep_waves();
        self.keep_positions();
        let snapshot = self.snapshot();
        self.upkeep.write(&self.config, &snapshot);
        // Standard input alone can come to an end.
        let ended = self
            .tail
            .files()
            .all(|file| file.state == tail::State::Ended);
        Ok(ended && self.releases.is_empty())
    }

    fn keep_positions(&mut self) {
        match self.tail.begin_save() {
            None => {}
            Some(Ok(())) => self.upkeep.fine("positions"),
            Some(Err(error)) => {
                let text = format!("cannot keep the log positions: {error:#}");
                self.upkeep.warn("positions", text);
            }
        }
    }

    /// Puts the filter back on an interface that was made anew.
    fn keep_attached(&mut self) {
        let linked = match attach::linked(&self.config.pin_dir) {
            Ok(linked) => linked,
            // Nothing is known of any interface, so nothing is attached again.
            Err(error) => return self.upkeep.warn("interfaces", format!("{error:#}")),
        };
        let on = |name: &String| {
            linked
                .iter()
                .any(|link| link.name == *name && link.interface.is_some())
        };
        let missing: Vec<String> = self
            .config
            .interfaces
            .iter()
            .filter(|name| !on(name))
            .cloned()
            .collect();
        if missing.is_empty() {
            return self.upkeep.fine("interfaces");
        }
        match self.reinstall(&missing) {
            Ok(()) => log::info!("attached to {} again", missing.join(", ")),
            Err(error) => self.upkeep.warn("interfaces", format!("{error:#}")),
        }
    }

    fn reinstall(&mut self, interfaces: &[String]) -> Result<()> {
        let lock = WriteLock::acquire(&self.config.run_dir)?;
        let setup = Setup::new(&self.config, self.options.log_level);
        self.blocklist = reinstall(&lock, &setup, interfaces)?.blocklist;
        Ok(())
    }

    fn say_ceiling(&mut self) {
        let ceiling = self.intake.ceiling();
        if self.upkeep.ceiling.is_some() != ceiling.is_some() {
            match &ceiling {
                Some(text) => log::error!(target: "spamdrop::policy", "no new blocks: {text}"),
                None => log::warn!(target: "spamdrop::policy", "blocking again"),
            }
        }
        self.upkeep.ceiling = ceiling;
    }

    /// In a thread of its own: a full map takes a while to read.
    fn sweep(&mut self) {
        let upkeep = &mut self.upkeep;
        if upkeep.last_sweep.elapsed() < SWEEP_PERIOD
            || upkeep.sweeping.swap(true, Ordering::AcqRel)
        {
            return;
        }
        upkeep.last_sweep = clock::instant();
        let (done, config) = (Arc::clone(&upkeep.sweeping), self.config.clone());
        tokio::task::spawn_blocking(move || {
            let lock = || WriteLock::acquire(&config.run_dir);
            let swept = Blocklist::open(&config.pin_dir)
                .and_then(|mut list| list.sweep(clock::monotonic_ns(), lock));
            match swept {
                Ok(count) => log::debug!("swept {count} expired entries"),
                Err(error) => log::warn!("cannot sweep expired entries: {error:#}"),
            }
            done.store(false, Ordering::Release);
        });
    }

    fn snapshot(&self) -> State {
        let ceiling = self.upkeep.ceiling.clone();
        let files = self.tail.files().map(file).collect();
        let counts = self
            .intake
            .counts
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count));
        State {
            since_unix_s: self.upkeep.since_unix_s,
            written_unix_s: clock::unix_s(),
            files,
            events: counts.collect(),
            pending_releases: self.releases.len() as u64,
            released: self.upkeep.released,
            ceiling,
            fifo: self.inlet.state().cloned(),
            gate: self.gate(),
            answer: self.answering.state(),
            warnings: self.upkeep.warnings.values().cloned().collect(),
        }
    }
}

fn file(status: &FileStatus) -> File {
    File {
        path: status.path.clone(),
        trusted: status.trusted,
        state: status.state.to_string(),
        lines: status.lines,
        overlong: status.overlong,
        unfit: status.unfit,
        lag_bytes: status.lag,
    }
}
