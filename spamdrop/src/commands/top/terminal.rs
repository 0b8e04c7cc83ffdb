//! Switches the terminal to the alternate screen and to raw mode, and restores it.

use std::env;
use std::fs::File;
use std::io::{self, BufWriter};
use std::os::fd::AsFd as _;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use log::LevelFilter;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};

use crate::exit::{Exit, Failure};

/// Whether the terminal has been changed. It must be restored only once: restoring it
/// again would move the cursor back over text that was printed since.
static IS_CHANGED: AtomicBool = AtomicBool::new(false);

/// The open screen. Dropping it restores the terminal.
pub(super) struct Screen {
    pub terminal: Terminal<CrosstermBackend<BufWriter<File>>>,
    level: LevelFilter,
}

impl Screen {
    /// Switches the terminal to the alternate screen and to raw mode.
    ///
    /// # Errors
    ///
    /// The terminal cannot move its cursor ([`Exit::Usage`]), or cannot be used.
    pub fn open() -> Result<Self> {
        if env::var_os("TERM").is_some_and(|term| term == "dumb") {
            let message = "TERM is `dumb`, a terminal that cannot move its cursor; `spamdrop top --once` \
                           prints the same once, and `spamdrop status --watch` a line each second";
            return Err(Failure::new(Exit::Usage, message));
        }
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            previous(panic);
        }));
        let terminal = make_terminal()?;
        let level = log::max_level();
        // From here on, `drop` restores what has been changed.
        let mut screen = Self { terminal, level };
        // A message would be written across the snapshot.
        log::set_max_level(LevelFilter::Off);
        screen.enter()?;
        Ok(screen)
    }

    /// Sets up the terminal again, and clears it: a shell may have used it while
    /// this process was stopped, or another process wrote on it.
    ///
    /// # Errors
    ///
    /// The terminal cannot be used.
    pub fn reopen(&mut self) -> Result<()> {
        // Leave first: entering the alternate screen twice would overwrite the saved
        // cursor, and crossterm does not set raw mode while it believes that raw mode is
        // set.
        restore();
        self.terminal = make_terminal()?;
        self.enter()
    }

    /// Redraws the screen in the terminal's new size.
    ///
    /// # Errors
    ///
    /// The terminal cannot be used.
    pub fn resize(&mut self) -> Result<()> {
        self.terminal = make_terminal()?;
        clear()
    }

    fn enter(&mut self) -> Result<()> {
        IS_CHANGED.store(true, Ordering::Relaxed);
        enable_raw_mode().context("cannot read single keys from the terminal")?;
        execute!(output()?, EnterAlternateScreen, Hide).context("cannot write to the terminal")?;
        clear()
    }
}

/// Clears the screen for a new [`Terminal`]. `Terminal::clear` would ask the terminal
/// for the cursor's position, and the thread that reads events would get the answer.
fn clear() -> Result<()> {
    execute!(output()?, Clear(ClearType::All)).context("cannot write to the terminal")
}

/// The terminal in its present size. If it does not know its size, such as a serial
/// console, the size is taken from `COLUMNS` and `LINES`, or is 80×24.
fn make_terminal() -> Result<Terminal<CrosstermBackend<BufWriter<File>>>> {
    let backend = CrosstermBackend::new(BufWriter::new(output()?));
    let viewport = match terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => Viewport::Fullscreen,
        _ => {
            let number = |name| env::var(name).ok();
            Viewport::Fixed(fallback_size(number("COLUMNS"), number("LINES")))
        }
    };
    let terminal = Terminal::with_options(backend, TerminalOptions { viewport });
    terminal.context("cannot use the terminal")
}

fn fallback_size(columns: Option<String>, rows: Option<String>) -> Rect {
    let number = |text: Option<String>, default| {
        let number = text.and_then(|text| text.parse().ok());
        number.filter(|number| *number > 0).unwrap_or(default)
    };
    Rect::new(0, 0, number(columns, 80), number(rows, 24))
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
        log::set_max_level(self.level);
    }
}

/// Restores the terminal if it was changed. Errors are ignored, because the terminal
/// may be gone.
fn restore() {
    if !IS_CHANGED.swap(false, Ordering::Relaxed) {
        return;
    }
    let _ = disable_raw_mode();
    if let Ok(mut out) = output() {
        let _ = execute!(out, LeaveAlternateScreen, Show);
    }
}

/// Standard output without its lock, for which the panic hook of another thread could
/// wait forever.
fn output() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

/// Whether the locale's characters are in UTF-8.
pub(super) fn is_utf8() -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"];
    let mut set = names.iter().filter_map(env::var_os);
    let first = set.find(|value| !value.is_empty());
    first.is_some_and(|value| is_utf8_locale(&value.to_string_lossy()))
}

fn is_utf8_locale(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_a_size_has_one() {
        let size = |columns: &str, rows: &str| {
            let size = fallback_size(Some(columns.into()), Some(rows.into()));
            (size.width, size.height)
        };
        assert_eq!(fallback_size(None, None), Rect::new(0, 0, 80, 24));
        assert_eq!(size("132", "43"), (132, 43));
        assert_eq!(size("0", "many"), (80, 24));
    }

    #[test]
    fn the_locale_tells_the_characters() {
        for locale in ["en_US.UTF-8", "C.utf8", "de_DE.UTF-8@euro"] {
            assert!(is_utf8_locale(locale), "{locale}");
        }
        for locale in ["C", "POSIX", "de_DE@euro", "en_US.ISO-8859-1"] {
            assert!(!is_utf8_locale(locale), "{locale}");
        }
    }
}
