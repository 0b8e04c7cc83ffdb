//! Runs another command of spamdrop as a process of its own, so that the history names
//! that command, and its messages do not reach the screen.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use spamdrop_core::top::TopAction;
use tokio::sync::mpsc::UnboundedSender;

/// This program, even if its file has been replaced since it started.
const SELF: &str = "/proc/self/exe";

/// The title and the lines of a command's output.
pub(super) type CommandOutput = (String, Vec<String>);

/// Runs the command in a thread, because it may wait for the write lock. The thread
/// sends the output to `done`.
pub(super) fn start(
    action: TopAction,
    config: Option<PathBuf>,
    done: UnboundedSender<CommandOutput>,
) {
    thread::spawn(move || {
        let words = action.words();
        let title = format!("spamdrop {}", words.join(" "));
        let mut command = Command::new(SELF);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        let output = command.args(&words).stdin(Stdio::null()).output();
        let lines = match output {
            Ok(output) => {
                let all = [output.stdout, output.stderr].concat();
                let text = String::from_utf8_lossy(&all);
                text.lines().map(str::to_owned).collect()
            }
            Err(error) => vec![format!("cannot start the command: {error}")],
        };
        // The screen may be closed meanwhile.
        let _ = done.send((title, lines));
    });
}
