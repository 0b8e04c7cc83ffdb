//! The commands of `/proc/net/xt_recent/NAME`.
//!
//! | command | does |
//! |---|---|
//! | `+ADDRESS` | adds an address, or renews it |
//! | `-ADDRESS` | removes an address; it is no error if there is none |
//! | `/` | removes all |
//! | `ADDRESS`, `clear` | as `+ADDRESS` and `/`: the older syntax, of `/proc/net/ipt_recent/NAME` |
//!
//! The kernel reads one command from each `open`, with or without a newline. A
//! FIFO has no boundaries between writers. So here a command ends at its line
//! end, at a NUL, where `+` or `-` begins the next, and when the last writer
//! closes. Blanks around a command are ignored. The kernel supports no
//! prefixes, and neither do these commands.

use std::fmt;
use std::net::IpAddr;

use crate::escape::escape;
use crate::nat64::canonical;

/// Maximum length of a command in bytes, including blanks around it; an address
/// has at most 45.
const LONGEST: usize = 64;

/// A parsed command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Block this address, or extend its block.
    Add(IpAddr),
    /// Unblock this address.
    Remove(IpAddr),
    /// Unblock everything.
    Flush,
}

impl Command {
    /// Parses one command. An IPv4-mapped IPv6 address becomes IPv4.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes.trim_ascii() {
            b"clear" => Some(Self::Flush),
            // Several `/` commands without newlines between.
            [b'/', rest @ ..] => rest.iter().all(|byte| *byte == b'/').then_some(Self::Flush),
            [b'-', rest @ ..] => address(rest).map(Self::Remove),
            [b'+', rest @ ..] | rest => address(rest).map(Self::Add),
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let addr: IpAddr = str::from_utf8(bytes).ok()?.parse().ok()?;
    Some(canonical(addr))
}

/// An invalid command: its first bytes, made printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a command; write +ADDRESS, -ADDRESS or /",
            self.0
        )
    }
}

/// Splits a stream into commands, independently of how its bytes arrive.
#[derive(Debug, Default)]
pub struct Commands {
    piece: Vec<u8>,
    overlong: bool,
}

impl Commands {
    /// Consumes the next bytes.
    pub fn feed(&mut self, bytes: &[u8], emit: &mut dyn FnMut(Result<Command, Malformed>)) {
        for &byte in bytes {
            match byte {
                b'\n' | b'\0' => self.finish(emit),
                b'+' | b'-' => {
                    self.finish(emit);
                    self.piece.push(byte);
                }
                _ if self.piece.len() < LONGEST => self.piece.push(byte),
                _ => self.overlong = true,
            }
        }
    }

    /// Ends the last command, when the last writer has closed.
    pub fn finish(&mut self, emit: &mut dyn FnMut(Result<Command, Malformed>)) {
        let Self { piece, overlong } = self;
        if *overlong {
            emit(Err(Malformed(escape(piece) + "…")));
        } else if !piece.trim_ascii().is_empty() {
            emit(Command::parse(piece).ok_or_else(|| Malformed(escape(piece))));
        }
        piece.clear();
        *overlong = false;
    }
}

#[cfg(test)]
mod tests;
