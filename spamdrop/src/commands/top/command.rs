//! Runs another command of spamdrop, so that the history names it and its messages
//! do not reach the screen.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use spamdrop_core::top::TopAction;
use tokio::sync::mpsc::UnboundedSender;

/// The program that runs, also after its file was replaced.
const SELF: &str = "/proc/self/exe";

/// The title and the lines of a command's output.
pub(super) type CommandOutput = (String, Vec<String>);

/// Starts the command; its output comes later, because it may wait for its turn.
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
            Err(error) => vec![format!("cannot start it: {error}")],
        };
        // The screen may be closed meanwhile.
        let _ = done.send((title, lines));
    });
}
