//! The terminal on standard output.

use std::io;

use rustix::termios::tcgetwinsize;

/// The number of its columns; nothing if standard output is no terminal, or one
/// that does not know.
pub(super) fn columns() -> Option<usize> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}
