//! Which logs can be believed.

use std::io::{self, Write};

/// Why a plain file is no proof.
pub const PLAIN_FILE: &str =
    "a plain file cannot tell a line that a local user forged from a real one";

/// Writes it, behind a result that rests on plain files.
///
/// # Errors
///
/// The writer fails.
pub fn note(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "note: {PLAIN_FILE}; the journal can")
}
