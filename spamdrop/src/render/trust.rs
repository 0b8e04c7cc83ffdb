//! Which logs can be trusted.

use std::io::{self, Write};

/// Why a plain file is not trusted.
pub const PLAIN_FILE: &str =
    "a plain file cannot tell a line that a local user forged from a real one";

/// Writes a note after a result that comes from plain files.
///
/// # Errors
///
/// The writer fails.
pub fn note(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "note: {PLAIN_FILE}; the journal can")
}
