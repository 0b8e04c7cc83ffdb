//! The supervisor: installs the filter, spawns the tasks, and handles changes
//! of interfaces, network and configuration.

mod allow_file;
mod attachment;
mod pauses;
mod protection;
mod reload;
mod sweep;
mod tasks;
mod traffic;
mod warnings;

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot::Receiver;
use tokio::time::{sleep, timeout};

use super::disk::{Disk, DiskThread};
use super::health::Subject;
use super::interfaces::{AttachRefusals, describe};
use super::release::ReleaseMessage;
use super::saved_blocks::BlockSaver;
use super::service_manager;
use super::settings::DaemonSettings;
use super::status::HealthReporter;
use super::ticks::period;
use super::watch::{WatchMessage, WatchReport};
use super::{RunOptions, Signals, warn_of};
use crate::checks;
use crate::clock;
use crate::config::{Config, absolute_path};
use crate::exit::{Exit, Failure};
use crate::install;
use crate::kernel::attach::Filter;
use crate::kernel::blocklist::Blocklist;
use crate::kernel::blocklist::pins::{self, Pinned};
use crate::kernel::network::{NetworkChange, NetworkMonitor};
use crate::kernel::packet_log::PacketLog;
use crate::lock::{self, DaemonMark, WriteLock};
use crate::protect::{self, ReadProtected};
use allow_file::AllowFileWatch;
use protection::known_nets;
use spamdrop_core::allowlist::AllowSpan;
use spamdrop_core::listeners::ListenerWatch;
use spamdrop_core::not_ip::NotIpWatch;
use spamdrop_core::pause::PauseWatch;
use spamdrop_core::policy::{Protected, Scope};
use sweep::Swept;
use tasks::Tasks;

/// How often the periodic checks run. They include the interfaces, because an event
/// of the network may be missed.
const SECOND: Duration = Duration::from_secs(1);
/// Maximum time from an event of an interface to the check of the interfaces.
const SOON: Duration = Duration::from_millis(100);
/// How often the packet log is read, with `--log-packets`.
const PACKETS_PERIOD: Duration = Duration::from_millis(100);
/// How soon a failed attempt to take the write lock is repeated.
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// How long the write lock may be held by another process until the start logs the
/// holder, and until a reload fails.
const LOCK_NAMED_AFTER: Duration = Duration::from_secs(1);
/// How long a sweep, or the end of the packet log, waits for the write lock. Also how long
/// an update of the protected addresses is retried before the lock's holder is reported.
const SHORT_LOCK_WAIT: Duration = Duration::from_millis(100);

pub(super) struct Supervisor {
    /// The configuration that is in force.
    config: Config,
    settings: DaemonSettings,
    options: RunOptions,
    mark: Rc<DaemonMark>,
    blocklist: Blocklist,
    refusals: AttachRefusals,
    not_ip: NotIpWatch,
    pauses: PauseWatch,
    /// Watches after the start whether the mail server listens. `None` once it
    /// listens, or once the warning that it does not has been logged.
    listeners: Option<ListenerWatch>,
    /// Whether the filter's settings may hold the end of a pause that is over, which
    /// must be removed. True at the start, because an earlier daemon may have left one.
    forgets_pauses: bool,
    packets: Option<PacketLog>,
    /// The prefixes that must not be blocked, as last sent to the tasks.
    protected: Protected,
    /// The private address of the proxy in front of the mail server, if the log shows
    /// one. It is protected, too.
    proxy: Option<IpAddr>,
    /// Whether the allowlist may differ from `protected`, in its file or in the
    /// filter, so that all of it must be read again.
    rereads_allowlist: bool,
    /// The file of the allowlist.
    allow_file: AllowFileWatch,
    /// The time in which the allowlist need not be read again.
    allow_span: AllowSpan,
    /// Whether addresses, routes or interfaces have changed.
    network_changed: bool,
    /// Whether an interface has changed since the last check of the interfaces.
    interfaces_changed: bool,
    /// Since when an update of the filter's protected addresses has been
    /// pending.
    protecting: Option<Instant>,
    disk: Disk,
    disk_thread: DiskThread,
    last_sweep: Instant,
    sweeping: Option<Receiver<Result<Swept>>>,
    saver: BlockSaver,
    tasks: Tasks,
    inbox: UnboundedReceiver<WatchReport>,
    health: HealthReporter,
}

impl Supervisor {
    /// Installs the filter and spawns the tasks.
    ///
    /// # Errors
    ///
    /// The configuration is wrong, the filter cannot be attached, a log cannot
    /// be opened, or another daemon runs.
    pub async fn start(
        options: RunOptions,
        config: Config,
        mark: &mut Option<Rc<DaemonMark>>,
    ) -> Result<Self> {
        let settings = DaemonSettings::new(&config)?;
        checks::ensure_no_overlap(&config)?;
        warn_of(checks::answer(&config).await?);
        let filter = &settings.filter;
        let run_dir = &filter.run_dir;
        let mark = Rc::clone(mark.insert(Rc::new(DaemonMark::begin(run_dir)?)));
        let allow_file = AllowFileWatch::begin(&settings.filter.allow_file);
        let ReadProtected {
            protected,
            allowlist,
        } = protect::read(&settings.filter.allow_file)?;
        let lock = acquire(run_dir).await?;
        let mut installed = install::install(
            &lock,
            filter,
            &filter.interfaces,
            &protected,
            options.log_level,
        )?;
        let answers = settings.responder.is_some();
        let steered = install::steer(&lock, filter, answers, &mut installed.filter);
        if let Err(error) = install::release_others(&lock, filter) {
            log::warn!("{error:#}");
        }
        drop(lock);
        // This call drops the loaded filter, which takes tens of MiB, before the
        // tasks allocate memory that lasts.
        let packets = open_packet_log(installed.filter, options.log_level)?;
        let (disk, mut disk_thread) = DiskThread::new();
        let started = disk_thread.ensure_started();
        let (sender, inbox) = unbounded_channel();
        let tail = settings.sources.open()?;
        let known = known_nets(&disk, &settings).await;
        let scope = Scope { protected, known };
        let path = absolute_path(options.path.as_deref());
        let tasks = Tasks::spawn(&settings, tail, &scope, &disk, path, sender)?;
        let health = tasks.health();
        say_thread(&health, started);
        let mut saver = BlockSaver::new(settings.block_places());
        saver.restore(&disk, &health, &scope.protected).await;
        let mut supervisor = Self {
            packets,
            config,
            settings,
            options,
            mark,
            blocklist: installed.blocklist,
            refusals: AttachRefusals::default(),
            not_ip: NotIpWatch::default(),
            pauses: PauseWatch::default(),
            listeners: Some(ListenerWatch::default()),
            forgets_pauses: true,
            protected: scope.protected,
            proxy: None,
            rereads_allowlist: false,
            allow_file,
            allow_span: AllowSpan::default(),
            // No event tells of a change before the subscription.
            network_changed: true,
            interfaces_changed: false,
            protecting: None,
            disk,
            disk_thread,
            last_sweep: clock::instant(),
            sweeping: None,
            saver,
            tasks,
            inbox,
            health,
        };
        supervisor.note_allowlist(&allowlist);
        supervisor.note_refusals(installed.refused);
        supervisor.keep_attached();
        supervisor.warn_of_settings();
        supervisor.tasks.tell_release(ReleaseMessage::Adopt);
        let answers = supervisor.arrange_responder(steered).await == Ok(true);
        let responding = if answers {
            ", answering listed senders"
        } else {
            ""
        };
        let ready = format!(
            "{}, watching {}{responding}",
            describe(&installed.attached),
            supervisor.settings.sources.describe(),
        );
        log::info!(target: "spamdrop::run", "ready: {ready}");
        service_manager::ready(&ready);
        Ok(supervisor)
    }

    /// Runs until SIGTERM, SIGINT, or the end of standard input.
    ///
    /// # Errors
    ///
    /// The filter was detached, or a task ended.
    pub async fn supervise(&mut self, signals: &mut Signals) -> Result<()> {
        let mut second = period(SECOND);
        let mut packets = period(PACKETS_PERIOD);
        let mut retry = period(LOCK_RETRY);
        let mut soon = period(SOON);
        let mut changes = Some(NetworkMonitor::subscribe()?);
        loop {
            tokio::select! {
                biased;
                () = signals.end.recv() => return Ok(()),
                _ = signals.hangup.recv() => tokio::select! {
                    biased;
                    () = signals.end.recv() => return Ok(()),
                    () = self.reload() => {}
                },
                _ = signals.user.recv() => self.refresh(),
                _ = signals.resume.recv() => self.tasks.tell_watch(WatchMessage::Resume),
                Some(report) = self.inbox.recv() => self.take(report),
                ended = self.tasks.released() => return ended,
                _ = retry.tick(), if self.protecting.is_some() => self.protect(),
                _ = second.tick() => self.look_after()?,
                _ = soon.tick(), if self.interfaces_changed => {
                    self.interfaces_changed = false;
                    self.keep_attached();
                }
                result = next_change(&mut changes) => match result {
                    // Routes can change in bursts, so the addresses are read once a
                    // second at most.
                    Ok(change) => {
                        self.network_changed = true;
                        self.interfaces_changed |= change == NetworkChange::Interfaces;
                    }
                    Err(error) => {
                        let text = format!("cannot follow the network's changes: {error}");
                        self.health.raise(Subject::Network, text);
                        changes = None;
                    }
                },
                _ = packets.tick(), if self.packets.is_some() => self.log_packets(),
            }
        }
    }

    fn take(&mut self, report: WatchReport) {
        match report {
            WatchReport::LogsEnded => self.tasks.tell_release(ReleaseMessage::Finish),
            WatchReport::Proxy(proxy) => {
                self.proxy = proxy;
                self.protect();
            }
        }
    }

    /// Periodic checks, once a second.
    ///
    /// # Errors
    ///
    /// The filter was detached, or a task ended.
    fn look_after(&mut self) -> Result<()> {
        let filter = &self.settings.filter;
        if pins::pinned(&filter.pin_dir)? != Pinned::Current || !self.mark.is_seen() {
            let message = "the filter was detached while the daemon ran, so the daemon ends; a new start attaches it";
            return Err(Failure::new(Exit::NotAttached, message));
        }
        self.tasks.ensure_running()?;
        say_thread(&self.health, self.disk_thread.ensure_started());
        self.keep_attached();
        if std::mem::take(&mut self.network_changed) {
            self.protect();
        }
        self.end_allowances();
        self.watch_allow_file();
        self.watch_pauses();
        self.watch_listeners();
        self.sweep();
        self.saver.poll(&self.disk, &self.health, &self.protected);
        service_manager::is_alive();
        Ok(())
    }

    fn log_packets(&mut self) {
        if let Some(packets) = &mut self.packets {
            packets.flush();
        }
    }

    /// Ends the tasks; the filter stays attached.
    pub async fn stop(mut self) {
        service_manager::stopping();
        self.tasks.stop().await;
        let is_pinned = pins::pinned(&self.settings.filter.pin_dir);
        match is_pinned {
            Ok(Pinned::Current) => self.saver.end(&self.disk).await,
            Ok(_) => self.saver.abandon().await,
            Err(_) => {}
        }
        if self.packets.is_some() {
            self.silence();
        }
        let filter = match is_pinned {
            Ok(Pinned::Current) => "; the filter stays attached (`spamdrop detach` removes it)",
            _ => "",
        };
        log::info!(target: "spamdrop::run", "stopped{filter}");
    }

    /// Replaces the program by one that logs no packets.
    fn silence(&self) {
        let filter = &self.settings.filter;
        let silenced = || {
            let lock = lock::acquire_within(&filter.run_dir, SHORT_LOCK_WAIT)?;
            install::reinstall(&lock, filter, &filter.interfaces, &self.protected, 0)
        };
        if let Err(error) = silenced() {
            log::warn!("the filter goes on logging packets: {error:#}");
        }
    }
}

fn open_packet_log(mut filter: Filter, log_level: u8) -> Result<Option<PacketLog>> {
    match log_level {
        0 => Ok(None),
        _ => PacketLog::open(&mut filter).map(Some),
    }
}

fn say_thread(health: &HealthReporter, started: io::Result<()>) {
    let failed = "cannot start the thread for disk work, so nothing is saved; trying again";
    health.report(Subject::DiskThread, failed, started.map_err(Into::into));
}

/// Waits for the write lock, and names its holder after [`LOCK_NAMED_AFTER`].
async fn acquire(run_dir: &Path) -> Result<WriteLock> {
    let start = clock::instant();
    let mut is_named = false;
    loop {
        if let Some(lock) = WriteLock::try_acquire(run_dir, Duration::ZERO)? {
            return Ok(lock);
        }
        if !is_named && start.elapsed() >= LOCK_NAMED_AFTER {
            is_named = true;
            if let Some(holder) = lock::holder(run_dir) {
                log::warn!("waiting for {holder}, which holds the write lock");
            }
        }
        sleep(LOCK_RETRY).await;
    }
}

/// Waits a second for the write lock; an error names its holder.
async fn acquire_soon(run_dir: &Path) -> Result<WriteLock> {
    match timeout(LOCK_NAMED_AFTER, acquire(run_dir)).await {
        Ok(lock) => lock,
        Err(_) => lock::acquire_within(run_dir, Duration::ZERO),
    }
}

/// Waits for the next change; for ever, if there is no subscription because it failed.
async fn next_change(changes: &mut Option<NetworkMonitor>) -> io::Result<NetworkChange> {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}
