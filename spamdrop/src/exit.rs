//! Exit codes, and errors that carry one.

use std::fmt;
use std::process::ExitCode;
use std::sync::OnceLock;

use rustix::process::geteuid;
use spamdrop_core::invalid::Invalid;

/// The exit code of a command that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Failed for a reason that has no code of its own.
    Failed = 1,
    /// The command line is invalid; clap uses the same code.
    Usage = 2,
    /// No filter is attached (no pinned maps).
    NotAttached = 3,
    /// Not root, or a capability is missing.
    NoPermission = 4,
    /// The configuration is wrong (`EX_CONFIG`).
    Config = 78,
}

/// An error with an exit code.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    /// Empty if the output of the command has already named the error.
    message: String,
}

impl Failure {
    /// An error that ends the program with `exit`; `message` names the value
    /// and the next step.
    #[expect(
        clippy::new_ret_no_self,
        reason = "it is always returned as an anyhow::Error"
    )]
    pub fn new(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        Self {
            code: exit as u8,
            message: message.into(),
        }
        .into()
    }

    /// Ends the program with `code`, without a message, because the output has
    /// said what is wrong.
    pub fn silent(code: u8) -> anyhow::Error {
        Self {
            code,
            message: String::new(),
        }
        .into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit code of an error.
#[must_use]
pub fn code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(number(error))
}

/// Whether an error ends the program with `exit`.
#[must_use]
pub fn has_code(error: &anyhow::Error, exit: Exit) -> bool {
    number(error) == exit as u8
}

/// Whether the output has said what is wrong, so that no message is needed.
#[must_use]
pub fn is_silent(error: &anyhow::Error) -> bool {
    let failure = error.downcast_ref::<Failure>();
    failure.is_some_and(|failure| failure.message.is_empty())
}

/// Whether root called [`note_user`].
static BEGUN_BY_ROOT: OnceLock<bool> = OnceLock::new();

/// Notes whether root runs this process, before the daemon gives up root's rights.
pub fn note_user() {
    // A second call changes nothing.
    let _ = BEGUN_BY_ROOT.set(geteuid().is_root());
}

fn is_begun_by_root() -> bool {
    BEGUN_BY_ROOT.get().copied().unwrap_or(false) || geteuid().is_root()
}

/// Text to append to an error's message: the advice to run the command as root, if
/// the kernel has denied something to an ordinary user; otherwise empty. The message
/// of a [`Failure`] names its own next step.
#[must_use]
pub fn next_step(error: &anyhow::Error) -> &'static str {
    let is_explained = error.downcast_ref::<Failure>().is_some();
    let is_refused = !is_explained && exit(error) == Exit::NoPermission;
    match is_refused && !is_begun_by_root() {
        true => "; run the command as root",
        false => "",
    }
}

fn number(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Failure>() {
        Some(failure) => failure.code,
        None => exit(error) as u8,
    }
}

fn exit(error: &anyhow::Error) -> Exit {
    if error.chain().any(|cause| cause.is::<Invalid>()) {
        return Exit::Usage;
    }
    let denied = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::PermissionDenied);
    if denied {
        Exit::NoPermission
    } else {
        Exit::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;
    use spamdrop_core::target::Target;

    #[test]
    fn a_failure_keeps_its_code_under_context() {
        let error = Failure::new(Exit::Config, "bad").context("outer");
        assert_eq!(number(&error), Exit::Config as u8);
    }

    #[test]
    fn a_text_that_cannot_be_read_is_wrong_usage() {
        let error = "mx.example".parse::<Target>().context("outer");
        assert_eq!(error.err().map(|e| exit(&e)), Some(Exit::Usage));
    }

    #[test]
    fn a_denied_system_call_is_no_permission() {
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = Err::<(), _>(denied).context("cannot open").err();
        assert_eq!(error.map(|e| exit(&e)), Some(Exit::NoPermission));
    }
}
