//! The commands that `/proc/net/xt_recent/NAME` takes.
//!
//! | command | does |
//! |---|---|
//! | `+ADDRESS` | adds an address, or renews it |
//! | `-ADDRESS` | removes an address; none that is not there is missed |
//! | `/` | removes all |
//! | `ADDRESS`, `clear` | as `+ADDRESS` and `/`: so read `/proc/net/ipt_recent/NAME`, the file of 2009 |
//!
//! The kernel takes one command from each `open`, with or without a newline.
//! A FIFO keeps no borders between writers, so a command ends here with its
//! line, with a NUL, where `+` or `-` begins the next, and when nobody writes
//! any more. Blanks around a command do not count. The kernel knows no
//! prefixes, and neither do these commands.

use std::fmt;
use std::net::IpAddr;

use crate::escape::escape;

/// Longest command, in bytes with the blanks around it; an address has 45.
const LONGEST: usize = 64;

/// What a script wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Block this address, or prolong its block.
    Add(IpAddr),
    /// Unblock this address.
    Remove(IpAddr),
    /// Unblock everything.
    Flush,
}

impl Command {
    /// Reads one command. An IPv4-mapped IPv6 address is its IPv4 one.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes.trim_ascii() {
            b"clear" => Some(Self::Flush),
            // Two that came without newlines are one slash more.
            [b'/', rest @ ..] => rest.iter().all(|byte| *byte == b'/').then_some(Self::Flush),
            [b'-', rest @ ..] => address(rest).map(Self::Remove),
            [b'+', rest @ ..] | rest => address(rest).map(Self::Add),
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let addr: IpAddr = str::from_utf8(bytes).ok()?.parse().ok()?;
    Some(addr.to_canonical())
}

/// What is no command: its first bytes, made printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no command; write +ADDRESS, -ADDRESS or /",
            self.0
        )
    }
}

/// Cuts a stream into commands, however its bytes are portioned.
#[derive(Debug, Default)]
pub struct Commands {
    piece: Vec<u8>,
    overlong: bool,
}

impl Commands {
    /// Takes the next bytes.
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

    /// Ends the last command: nobody writes any more.
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
