//! The commands of `/proc/net/xt_recent/NAME`.
//!
//! | command | does |
//! |---|---|
//! | `+ADDRESS` | adds an address, or renews it |
//! | `+ADDRESS SECONDS` | the same, for this time; not a command of the kernel's |
//! | `-ADDRESS` | removes an address; it is no error if there is none |
//! | `/` | removes all |
//! | `ADDRESS`, `clear` | as `+ADDRESS` and `/`: the older syntax, of `/proc/net/ipt_recent/NAME` |
//!
//! The kernel reads one command from each `open`, with or without a newline. A
//! FIFO has no boundaries between writers. So here a command ends at its line
//! end, at a NUL, where `+` or `-` begins the next, and when the last writer
//! closes. Blanks around a command are ignored. The kernel supports no
//! prefixes, and neither do these commands.
//!
//! A command with a time counts only if a line end or a NUL ended it. A write of
//! more than `PIPE_BUF` bytes may be cut where another writer's begins, or where
//! its writer died, and the first digits of a time are a time as well. A `-` in
//! place of the time begins no command, so that a negative number blocks nobody.

use std::fmt;
use std::net::IpAddr;

use crate::escape::escape;
use crate::nat64::canonical;
use crate::term;

/// Maximum length of a command in bytes, including blanks around it; an address
/// has at most 45, and a number of seconds 9.
const LONGEST: usize = 64;

/// A parsed command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Block this address, or extend its block; for this time, or else for the
    /// configured one.
    Add(IpAddr, Option<u32>),
    /// Unblock this address.
    Remove(IpAddr),
    /// Unblock everything.
    Flush,
}

impl Command {
    /// Parses one command. An IPv4-mapped IPv6 address becomes IPv4.
    ///
    /// # Errors
    ///
    /// The bytes are not a command.
    pub fn parse(bytes: &[u8]) -> Result<Self, Mistake> {
        let parsed = match bytes.trim_ascii() {
            b"clear" => Some(Self::Flush),
            // Several `/` commands without newlines between.
            [b'/', rest @ ..] => rest.iter().all(|byte| *byte == b'/').then_some(Self::Flush),
            [b'-', rest @ ..] => address(rest).map(Self::Remove),
            [b'+', rest @ ..] => return add(rest),
            rest => address(rest).map(|addr| Self::Add(addr, None)),
        };
        parsed.ok_or(Mistake::NoCommand)
    }
}

/// Parses `ADDRESS` and `ADDRESS SECONDS`.
fn add(bytes: &[u8]) -> Result<Command, Mistake> {
    let end = bytes.iter().position(u8::is_ascii_whitespace);
    let (addr, time) = bytes.split_at(end.unwrap_or(bytes.len()));
    let addr = address(addr).ok_or(Mistake::NoCommand)?;
    let ttl_s = match time.trim_ascii() {
        [] => None,
        time => Some(seconds(time).ok_or(Mistake::NoTime)?),
    };
    Ok(Command::Add(addr, ttl_s))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let addr: IpAddr = str::from_utf8(bytes).ok()?.parse().ok()?;
    Some(canonical(addr))
}

/// Without a sign: `+` would begin the next command.
fn seconds(bytes: &[u8]) -> Option<u32> {
    let seconds: u32 = str::from_utf8(bytes).ok()?.parse().ok()?;
    (1..=term::LONGEST.as_secs())
        .contains(&seconds.into())
        .then_some(seconds)
}

/// The reason why a command is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mistake {
    /// It does not have the form of a command, or its address is not valid.
    NoCommand,
    /// The text after the address is not a number of seconds.
    NoTime,
    /// It has a time, but neither a line end nor a NUL ended it.
    Cut,
    /// It is longer than every command.
    TooLong,
}

/// An invalid command: its first bytes, made printable, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    shown: String,
    mistake: Mistake,
}

impl Malformed {
    /// The kind of mistake.
    #[must_use]
    pub fn mistake(&self) -> Mistake {
        self.mistake
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shown, mistake } = self;
        match mistake {
            Mistake::NoCommand | Mistake::TooLong => write!(
                f,
                "`{shown}` is not a command; write +ADDRESS, +ADDRESS SECONDS, -ADDRESS or /"
            ),
            Mistake::NoTime => write!(
                f,
                "`{shown}` is not a command; only a number of seconds may follow the \
                 address, from 1 to {}",
                term::LONGEST.as_secs()
            ),
            Mistake::Cut => write!(
                f,
                "`{shown}` may be cut; a newline must follow the number of seconds"
            ),
        }
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
                b'\n' | b'\0' => self.end(true, emit),
                b'-' if self.is_before_time() => self.push(byte),
                b'+' | b'-' => {
                    self.end(false, emit);
                    self.push(byte);
                }
                _ => self.push(byte),
            }
        }
    }

    /// Ends the last command, when the last writer has closed.
    pub fn finish(&mut self, emit: &mut dyn FnMut(Result<Command, Malformed>)) {
        self.end(false, emit);
    }

    /// Whether the next byte may be the first of a time.
    fn is_before_time(&self) -> bool {
        let Self { piece, overlong } = self;
        let is_add = piece.first() == Some(&b'+');
        is_add && !overlong && piece.last().is_some_and(u8::is_ascii_whitespace)
    }

    fn push(&mut self, byte: u8) {
        if self.piece.len() < LONGEST {
            self.piece.push(byte);
        } else {
            self.overlong = true;
        }
    }

    /// Ends a command. `is_line`: a line end or a NUL ended it.
    fn end(&mut self, is_line: bool, emit: &mut dyn FnMut(Result<Command, Malformed>)) {
        let Self { piece, overlong } = self;
        let shown = |end: &str| escape(piece) + end;
        if *overlong {
            emit(Err(Malformed {
                shown: shown("…"),
                mistake: Mistake::TooLong,
            }));
        } else if !piece.trim_ascii().is_empty() {
            let command = match Command::parse(piece) {
                Ok(Command::Add(_, Some(_))) if !is_line => Err(Mistake::Cut),
                command => command,
            };
            emit(command.map_err(|mistake| Malformed {
                shown: shown(""),
                mistake,
            }));
        }
        piece.clear();
        *overlong = false;
    }
}

#[cfg(test)]
mod tests;
