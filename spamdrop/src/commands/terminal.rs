//! The terminal on standard output.

use std::io;

use rustix::termios::tcgetwinsize;

/// The number of columns of the terminal. `None` if standard output is no terminal,
/// or a terminal that does not know its size.
pub(super) fn columns() -> Option<usize> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}
