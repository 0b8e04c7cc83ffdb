//! The screen: draws a picture each second, and takes the keys.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, bail};
use crossterm::event::{self, Event};
use jiff::tz::TimeZone;
use spamdrop_core::target::Target;
use spamdrop_core::top::{TopEffect, TopMode, TopView};
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{MissedTickBehavior, interval};

use super::PERIOD;
use super::command::{self, CommandOutput};
use super::keys::key;
use super::sampler::Sampler;
use super::terminal::{Screen, is_utf8};
use crate::commands::show;
use crate::config::Config;
use crate::kernel::blocklist::Blocklist;
use crate::render::show as details;
use crate::render::table::Style;
use crate::render::top::TopPicture;
use crate::render::top::look::TerminalLook;
use crate::render::top::screen::draw;

/// Runs until a key or a signal ends it.
///
/// # Errors
///
/// The first picture cannot be read, or the terminal cannot be used.
pub(super) fn run(config: &Config, path: Option<&Path>, style: Style) -> Result<()> {
    let mut sampler = Sampler::new(config);
    let view = TopView::default();
    let picture = sampler.sample(&view)?;
    let screen = Screen::open()?;
    let top = Top {
        config,
        path: path.map(Path::to_owned),
        sampler,
        view,
        picture,
        zone: TimeZone::system(),
        look: TerminalLook {
            style,
            is_utf8: is_utf8(),
        },
        screen,
    };
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    runtime.block_on(top.drive())
}

struct Top<'a> {
    config: &'a Config,
    path: Option<PathBuf>,
    sampler: Sampler<'a>,
    view: TopView,
    picture: TopPicture,
    zone: TimeZone,
    look: TerminalLook,
    screen: Screen,
}

impl Top<'_> {
    async fn drive(mut self) -> Result<()> {
        let mut ends = Ends::new()?;
        let mut events = read_events();
        let (done, mut outputs) = unbounded_channel();
        let mut second = interval(PERIOD);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = ends.wait() => return Ok(()),
                event = events.recv() => match event {
                    Some(event) => {
                        let event = event.context("cannot read the terminal")?;
                        if self.take(&event, &done) {
                            return Ok(());
                        }
                    }
                    None => bail!("the terminal is not read any more"),
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
    fn take(&mut self, event: &Event, done: &UnboundedSender<CommandOutput>) -> bool {
        let Some(key) = event.as_key_event().and_then(key) else {
            return false;
        };
        let before = (self.view.order, self.view.filter.clone());
        match self.view.press(key, &self.listed()) {
            TopEffect::Quit => return true,
            TopEffect::Draw => {}
            TopEffect::Show(target) => {
                let lines = self.details(target);
                let lines = lines.unwrap_or_else(|error| vec![format!("{error:#}")]);
                self.view.mode = TopMode::Text(target.to_string(), lines, 0);
            }
            TopEffect::Act(action) => command::start(action, self.path.clone(), done.clone()),
        }
        if before != (self.view.order, self.view.filter.clone()) {
            self.picture.sort(self.view.order);
            self.sample();
        }
        false
    }

    fn listed(&self) -> Vec<Target> {
        let shown = self.picture.shown(&self.view.filter);
        shown.map(|row| row.entry.target).collect()
    }

    /// Reads a new picture, unless it is frozen. An error is shown, because the next
    /// second may be better.
    fn sample(&mut self) {
        if self.view.is_paused {
            return;
        }
        match self.sampler.sample(&self.view) {
            Ok(picture) => self.picture = picture,
            Err(error) => self.picture.unknown = vec![format!("this second: {error:#}")],
        }
    }

    /// What `show` prints.
    fn details(&self, target: Target) -> Result<Vec<String>> {
        let blocklist = Blocklist::open(&self.config.pin_dir)?;
        let detail = show::detail(&blocklist, target.net())?;
        let mut text = Vec::new();
        details::text(&mut text, &detail, &self.zone)?;
        let mut lines: Vec<String> = String::from_utf8_lossy(&text)
            .lines()
            .map(str::to_owned)
            .collect();
        if lines.is_empty() {
            lines.push("It is not blocked any more.".into());
        }
        Ok(lines)
    }

    fn draw(&mut self) -> Result<()> {
        let selected = self.view.follow(&self.listed());
        let (picture, view, look, zone) = (&self.picture, &self.view, self.look, &self.zone);
        let terminal = &mut self.screen.terminal;
        let drawn = terminal.draw(|frame| draw(frame, picture, view, selected, look, zone));
        drawn.map(drop).context("cannot write to the terminal")
    }
}

/// The signals that end the screen. Without a handler, the terminal would stay as it
/// is.
struct Ends([Signal; 3]);

impl Ends {
    fn new() -> Result<Self> {
        let handle = |kind| signal(kind).context("cannot handle signals");
        Ok(Self([
            handle(SignalKind::terminate())?,
            handle(SignalKind::hangup())?,
            handle(SignalKind::interrupt())?,
        ]))
    }

    async fn wait(&mut self) {
        let [terminate, hangup, interrupt] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = interrupt.recv() => {}
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
