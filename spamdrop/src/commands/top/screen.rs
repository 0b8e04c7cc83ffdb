//! The screen: draws a snapshot each second, and takes the keys.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::tz::TimeZone;
use ratatui::crossterm::event::{self, Event};
use spamdrop_core::target::Target;
use spamdrop_core::top::{TopEffect, TopMode, TopView};
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{MissedTickBehavior, interval};

use super::PERIOD;
use super::command::{self, CommandOutput};
use super::keys::read_key;
use super::sampler::Sampler;
use super::terminal::{Screen, is_utf8};
use crate::clock;
use crate::commands::owners::OwnerReader;
use crate::commands::show;
use crate::config::Config;
use crate::kernel::blocklist::Blocklist;
use crate::render::show as details;
use crate::render::table::Style;
use crate::render::top::TopSnapshot;
use crate::render::top::look::TerminalLook;
use crate::render::top::popup::hidden_rows;
use crate::render::top::screen::{ReadFailure, draw};

/// Runs until a key or a signal ends it.
///
/// # Errors
///
/// The first snapshot cannot be read, or the terminal cannot be used.
pub(super) fn run(config: &Config, path: Option<&Path>, style: Style) -> Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    runtime.block_on(async {
        let mut sampler = Sampler::new(config);
        let view = TopView::default();
        let snapshot = sampler.sample(&view)?;
        // Handle signals before the terminal is changed: a signal that ends the process
        // would leave it changed.
        let ends = Ends::new()?;
        let continued = handle(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?;
        let screen = Screen::open()?;
        let top = Top {
            config,
            path: path.map(Path::to_owned),
            sampler,
            view,
            snapshot,
            taken: clock::monotonic(),
            error: None,
            zone: TimeZone::system(),
            look: TerminalLook {
                style,
                is_utf8: is_utf8(),
            },
            screen,
        };
        top.drive(ends, continued).await
    })
}

struct Top<'a> {
    config: &'a Config,
    path: Option<PathBuf>,
    sampler: Sampler<'a>,
    view: TopView,
    snapshot: TopSnapshot,
    /// When the snapshot was taken.
    taken: Duration,
    /// Why no snapshot could be taken since.
    error: Option<String>,
    zone: TimeZone,
    look: TerminalLook,
    screen: Screen,
}

impl Top<'_> {
    async fn drive(mut self, mut ends: Ends, mut continued: Signal) -> Result<()> {
        let mut events = read_events();
        let (done, mut outputs) = unbounded_channel();
        let mut second = interval(PERIOD);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = ends.wait() => return Ok(()),
                _ = continued.recv() => self.screen.reopen()?,
                event = events.recv() => match event {
                    Some(event) => {
                        let event = event.context("cannot read the terminal")?;
                        if self.take(&event, &done)? {
                            return Ok(());
                        }
                    }
                    None => bail!("the thread that reads the terminal has ended"),
                },
                Some((title, lines)) = outputs.recv() => {
                    self.view.mode = TopMode::Text(title, lines, 0);
                    self.sample();
                }
                _ = second.tick() => self.sample(),
            }
            self.draw()?;
        }
    }

    /// Takes an event of the terminal. Returns whether it ends the screen.
    fn take(&mut self, event: &Event, done: &UnboundedSender<CommandOutput>) -> Result<bool> {
        if matches!(event, Event::Resize(..)) {
            self.screen.resize()?;
        }
        let Some(key) = event.as_key_event().and_then(read_key) else {
            return Ok(false);
        };
        let order = self.view.order;
        match self.view.press(key, &self.listed()) {
            TopEffect::Quit => return Ok(true),
            TopEffect::Draw => {}
            TopEffect::Redraw => self.screen.reopen()?,
            TopEffect::Show(target) => {
                let lines = self.details(target);
                let lines = lines.unwrap_or_else(|error| vec![format!("{error:#}")]);
                self.view.mode = TopMode::Text(target.to_string(), lines, 0);
            }
            TopEffect::Act(action) => command::start(action, self.path.clone(), done.clone()),
        }
        // Sort the sources of the present snapshot. The next snapshot, within a second,
        // selects its sources by the new order.
        if order != self.view.order {
            self.snapshot.sort(self.view.order);
        }
        Ok(false)
    }

    fn listed(&self) -> Vec<Target> {
        let shown = self.snapshot.shown(&self.view.filter);
        shown.map(|row| row.entry.target).collect()
    }

    /// Takes a new snapshot, unless the screen is frozen. An error is only shown,
    /// because the next read may succeed.
    fn sample(&mut self) {
        if self.view.is_paused {
            return;
        }
        match self.sampler.sample(&self.view) {
            Ok(snapshot) => {
                self.snapshot = snapshot;
                self.taken = clock::monotonic();
                self.error = None;
            }
            Err(error) => self.error = Some(format!("{error:#}")),
        }
    }

    /// The lines that `spamdrop show` prints for a source.
    fn details(&self, target: Target) -> Result<Vec<String>> {
        let blocklist = Blocklist::open(&self.config.pin_dir)?;
        let detail = show::detail(&blocklist, &OwnerReader::open(self.config), target.net())?;
        let mut text = Vec::new();
        details::write_text(&mut text, &detail, &self.zone)?;
        let mut lines: Vec<String> = String::from_utf8_lossy(&text)
            .lines()
            .map(str::to_owned)
            .collect();
        if lines.is_empty() {
            lines.push("This source is not blocked any more.".into());
        }
        Ok(lines)
    }

    fn draw(&mut self) -> Result<()> {
        let selected = self.view.follow(&self.listed());
        let (snapshot, look, zone) = (&self.snapshot, self.look, &self.zone);
        let error = self.error.as_deref().map(|error| ReadFailure {
            error,
            age: clock::monotonic().saturating_sub(self.taken),
        });
        let terminal = &mut self.screen.terminal;
        let area = terminal.get_frame().area();
        self.view.limit_scroll(hidden_rows(area, &self.view));
        let view = &self.view;
        let drawn = terminal.draw(|frame| {
            draw(frame, snapshot, error, view, selected, look, zone);
        });
        drawn.map(drop).context("cannot write to the terminal")
    }
}

/// The signals that end the screen. Without handlers, they would end the process before
/// it restores the terminal.
struct Ends([Signal; 4]);

fn handle(kind: SignalKind) -> Result<Signal> {
    signal(kind).context("cannot handle signals")
}

impl Ends {
    fn new() -> Result<Self> {
        Ok(Self([
            handle(SignalKind::terminate())?,
            handle(SignalKind::hangup())?,
            handle(SignalKind::interrupt())?,
            handle(SignalKind::quit())?,
        ]))
    }

    async fn wait(&mut self) {
        let [terminate, hangup, interrupt, quit] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
        }
    }
}

/// The events of the terminal, which a thread waits for.
fn read_events() -> UnboundedReceiver<std::io::Result<Event>> {
    let (events, inbox) = unbounded_channel();
    thread::spawn(move || {
        loop {
            let event = event::read();
            let is_last = event.is_err();
            if events.send(event).is_err() || is_last {
                return;
            }
        }
    });
    inbox
}
