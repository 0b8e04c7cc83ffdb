//! A terminal of tmux, in which a program runs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::host::Host;
use crate::wait::until;

/// A tmux server with one terminal. Dropping it ends both.
pub struct Tmux<'a> {
    host: &'a Host,
    socket: PathBuf,
}

impl<'a> Tmux<'a> {
    /// Opens a terminal of `width` columns and `height` lines, and starts in it the
    /// program whose name and arguments are `words`. The server listens on `socket`.
    ///
    /// # Errors
    ///
    /// tmux does not start.
    pub fn open(
        host: &'a Host,
        socket: PathBuf,
        [width, height]: [&str; 2],
        words: &[&str],
    ) -> Result<Self> {
        let tmux = Self { host, socket };
        let session = ["-f", "/dev/null", "new-session", "-d", "-x", width, "-y"];
        tmux.ask(&[&session[..], &[height], words].concat())?;
        Ok(tmux)
    }

    /// Runs a command of tmux, and returns its output.
    ///
    /// # Errors
    ///
    /// The command fails.
    pub fn ask(&self, words: &[&str]) -> Result<String> {
        let socket = self.socket.to_str().context("a path that is not UTF-8")?;
        let tmux = ["tmux", "-u", "-S", socket].into_iter();
        self.host.exec(tmux.chain(words.iter().copied()))
    }

    /// The text on the screen.
    ///
    /// # Errors
    ///
    /// As [`Tmux::ask`].
    pub fn screen(&self) -> Result<String> {
        self.ask(&["capture-pane", "-p"])
    }

    /// Waits until `wanted` accepts the text on the screen, and returns that text.
    ///
    /// # Errors
    ///
    /// `wanted` accepts none within `timeout`; the error contains `what` and the last text.
    pub fn wait_for(
        &self,
        what: &str,
        timeout: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let mut last = String::new();
        let screen = until(what, timeout, || {
            last = self.screen()?;
            Ok(wanted(&last).then(|| last.clone()))
        });
        screen.with_context(|| format!("the screen:\n{last}"))
    }

    /// The id of the process that runs in the terminal.
    ///
    /// # Errors
    ///
    /// As [`Tmux::ask`].
    pub fn pid(&self) -> Result<u32> {
        let pid = self.ask(&["display-message", "-p", "#{pane_pid}"])?;
        Ok(pid.trim().parse()?)
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let _ = self.ask(&["kill-server"]);
    }
}
