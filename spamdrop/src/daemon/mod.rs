//! `spamdrop run`: wires the stages together and keeps them going.
//!
//! One thread, one loop. Each turn of it is short: at most [`BUDGET`] bytes of
//! log, some commands of the FIFO, one look at the sockets, or one look at the
//! interfaces.

mod admitting;
mod answering;
mod inlet;
mod intake;
mod introducing;
mod judging;
mod learning;
mod recording;
mod releasing;
mod reload;
mod sources;
mod upkeep;

use std::io;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::checks;
use crate::clock;
use crate::config::Config;
use crate::install::{Setup, install, reinstall};
use crate::kernel::attach::Filter;
use crate::kernel::blocklist::Blocklist;
use crate::kernel::network::Changes;
use crate::kernel::packet_log::PacketLog;
use crate::lock::{DaemonMark, WriteLock};
use crate::protect;
use crate::tail::Tail;
use admitting::Admitting;
use answering::Answering;
use inlet::Inlet;
use intake::Intake;
use judging::Judging;
use learning::Learning;
use recording::Recording;
use sources::{ensure_complete, open_tail};
use spamdrop_core::release::Releases;
use spamdrop_core::warning::Warning;
use upkeep::Upkeep;

/// Bytes of log that are read before others get their turn.
const BUDGET: usize = 256 * 1024;
/// How often the sockets of blocked peers are looked at, while there are any.
const RELEASE_PERIOD: Duration = Duration::from_millis(100);
/// How often the server's connections are counted, for the gate.
const ADMIT_PERIOD: Duration = Duration::from_millis(200);
/// How often the log of packets is read, with `--log-packets`.
const PACKETS_PERIOD: Duration = Duration::from_millis(100);
/// Logs and interfaces need no event: they are looked at this often.
const UPKEEP_PERIOD: Duration = Duration::from_secs(1);

/// What `run` needs beside the configuration.
pub struct RunOptions {
    /// The level of `--log-packets`; 0: off.
    pub log_level: u8,
    /// Reads the configuration again, flags applied, for SIGHUP.
    pub reread: Box<dyn Fn() -> Result<Config>>,
}

/// Attaches the filter if needed, then watches and blocks until SIGTERM or
/// SIGINT; the filter stays. SIGHUP reads the configuration again, SIGUSR1
/// the allowlist and the pending releases.
///
/// # Errors
///
/// The filter cannot be attached, another watcher runs, or the filter was
/// detached meanwhile. Trouble with logs, sockets or single addresses is
/// logged and counted, and the watch goes on.
pub fn run(config: Config, options: RunOptions) -> Result<()> {
    // Outlives the runtime, whose end waits for a sweep: no `detach` may come
    // between.
    let mut mark = None;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Before the pid is published: from then on others send SIGUSR1.
        let mut signals = Signals::new()?;
        ensure_complete(&config)?;
        warn_of(checks::answer(&config)?);
        let watcher = Rc::new(DaemonMark::begin(&config.run_dir)?);
        mark = Some(Rc::clone(&watcher));
        let mut daemon = Daemon::start(config, options, watcher)?;
        let result = daemon.watch(&mut signals).await;
        daemon.answering.end().await;
        daemon.stop();
        result
    })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            user: listen(SignalKind::user_defined1())?,
        })
    }
}

struct Daemon {
    config: Config,
    options: RunOptions,
    blocklist: Blocklist,
    tail: Tail,
    intake: Intake,
    inlet: Inlet,
    answering: Answering,
    learning: Learning,
    admitting: Admitting,
    judging: Judging,
    recording: Recording,
    releases: Releases,
    upkeep: Upkeep,
    packets: Option<PacketLog>,
    watcher: Rc<DaemonMark>,
}

impl Daemon {
    fn start(config: Config, options: RunOptions, watcher: Rc<DaemonMark>) -> Result<Self> {
        let setup = Setup::new(&config, options.log_level);
        let mut up = {
            let lock = WriteLock::acquire(&config.run_dir)?;
            install(&lock, &setup, &config.interfaces)?
        };
        let judging = Judging::new(&config);
        let mut daemon = Self {
            tail: open_tail(&config)?,
            intake: Intake::new(&config, protect::protected(&config.allow_file)?)?,
            inlet: Inlet::open(&config.fifo)?,
            answering: Answering::new(judging.texts()),
            judging,
            learning: Learning::new(),
            admitting: Admitting::open(&config)?,
            recording: Recording::new(),
            blocklist: up.blocklist,
            releases: Releases::default(),
            upkeep: Upkeep::new(up.attached),
            packets: None,
            watcher,
            config,
            options,
        };
        daemon.arrange_answering(&mut up.filter);
        daemon.packets = packet_log(&mut up.filter, daemon.options.log_level)?;
        warn_of_what_is_unwise(&daemon.config);
        daemon.adopt()?;
        daemon.remind();
        daemon.open_history();
        let answering = if daemon.answering.is_on() {
            ", answering listed senders"
        } else {
            ""
        };
        log::info!(target: "spamdrop::run", "ready: {}{answering}", daemon.upkeep.describe(&daemon.config));
        Ok(daemon)
    }

    async fn watch(&mut self, signals: &mut Signals) -> Result<()> {
        let mut release = period(RELEASE_PERIOD);
        let mut upkeep = period(UPKEEP_PERIOD);
        let mut admit = period(ADMIT_PERIOD);
        let mut packets = period(PACKETS_PERIOD);
        let mut changes = Some(Changes::subscribe()?);
        // What changed before that was not told.
        self.upkeep.network_changed = true;
        let mut more = self.read_logs();
        loop {
            tokio::select! {
                // In this order: a storm of lines delays nothing above it.
                biased;
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                _ = signals.hangup.recv() => self.reload(),
                _ = signals.user.recv() => self.refresh(),
                _ = upkeep.tick() => {
                    if self.upkeep()? {
                        return Ok(());
                    }
                    more = self.read_logs();
                }
                _ = release.tick(), if !self.releases.is_empty() => self.release(),
                _ = admit.tick(), if self.admitting.is_on() => self.tend_gate(),
                answer = self.judging.next() => self.judge(&answer),
                result = next_change(&mut changes) => match result {
                    // Routes can change in bursts; once a second will do.
                    Ok(()) => self.upkeep.network_changed = true,
                    Err(error) => {
                        let text = format!("cannot follow the network's changes: {error}");
                        self.upkeep.warn("network", text);
                        changes = None;
                    }
                },
                () = self.inlet.readable() => {
                    self.read_fifo();
                    // Whoever writes without end stops no log.
                    more = self.read_logs();
                }
                _ = packets.tick(), if self.packets.is_some() => self.log_packets(),
                // Not at once: clocks and signals stand still while nothing waits.
                () = tokio::task::yield_now(), if more => more = self.read_logs(),
                () = self.tail.changed() => more = self.read_logs(),
            }
        }
    }

    /// Reads some log; whether more is waiting.
    fn read_logs(&mut self) -> bool {
        let Self {
            tail,
            intake,
            blocklist,
            admitting,
            recording,
            releases,
            config,
            ..
        } = self;
        let mut writer = intake::Writer::new(blocklist, releases, &config.run_dir);
        tail.poll(clock::instant(), BUDGET, &mut |line| {
            intake.line(&line, &mut writer, &mut |source, evidence| {
                // Who is heard of was at the gate before.
                admitting.read_asks(recording);
                recording.heard(source, evidence);
            });
        })
    }

    fn log_packets(&mut self) {
        if let Some(packets) = &mut self.packets {
            packets.flush();
        }
    }

    /// The filter stays; only what is ours ends.
    fn stop(&mut self) {
        self.read_fifo();
        if let Err(error) = self.tail.save() {
            log::warn!("cannot keep the log positions: {error:#}");
        }
        self.keep_all_known();
        self.keep_all_waves();
        self.leave_gate();
        if self.packets.is_some() {
            self.silence();
        }
        log::info!(target: "spamdrop::run", "stopped; the filter stays attached (`spamdrop detach` removes it)");
    }

    /// Puts a program in place that logs no packets.
    fn silence(&self) {
        let setup = Setup::new(&self.config, 0);
        let silent = WriteLock::acquire(&self.config.run_dir)
            .and_then(|lock| reinstall(&lock, &setup, &self.config.interfaces));
        if let Err(error) = silent {
            log::warn!("the filter goes on logging packets: {error:#}");
        }
    }
}

/// Pending for ever once that has failed.
async fn next_change(changes: &mut Option<Changes>) -> io::Result<()> {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}

/// Nothing of it is worth not starting.
fn warn_of_what_is_unwise(config: &Config) {
    match checks::warnings(config) {
        Ok(warnings) => warn_of(warnings),
        Err(error) => log::warn!(target: "spamdrop::check", "{error:#}"),
    }
}

fn warn_of(warnings: Vec<Warning>) {
    for Warning { about, text } in warnings {
        log::warn!(target: "spamdrop::check", "{about}: {text}");
    }
}

fn period(length: Duration) -> Interval {
    let mut interval = interval(length);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn packet_log(filter: &mut Filter, level: u8) -> Result<Option<PacketLog>> {
    (level != 0).then(|| PacketLog::open(filter)).transpose()
}
