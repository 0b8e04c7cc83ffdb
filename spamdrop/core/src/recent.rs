//! The commands of `/proc/net/xt_recent/NAME`.
//!
//! | command | does |
//! |---|---|
//! | `+ADDRESS` | adds an address, or renews it |
//! | `+ADDRESS SECONDS` | the same, for this time; not a command of the kernel's |
//! | `+ADDRESS SECONDS OWNER` | the same for an owner: `import:NAME`, `f2b:JAIL` or `fifo` |
//! | `-ADDRESS` | removes an address; it is no error if there is none |
//! | `-ADDRESS OWNER` | removes this owner's hold; `fifo` owns the blocks of `+ADDRESS` |
//! | `/` | removes all |
//! | `ADDRESS`, `clear` | as `+ADDRESS` and `/`: the older syntax, of `/proc/net/ipt_recent/NAME` |
//!
//! The kernel reads one command from each `open`, with or without a newline. A
//! FIFO has no boundaries between writers. So here a command ends at its line
//! end, at a NUL, where `+` or `-` begins the next, and when the last writer
//! closes. Blanks around a command are ignored. The kernel supports no
//! prefixes, and neither do these commands.
//!
//! A command with a time or an owner counts only if a line end or a NUL ended it.
//! Otherwise it may have been cut: a write of more than `PIPE_BUF` bytes is cut where
//! another writer's begins, or where its writer died, and the first digits of a time
//! are a time as well. A `-` in place of the time or in the name of an owner begins no
//! command, so that a negative number blocks nobody.

use std::fmt;
use std::net::IpAddr;

use crate::escape::escape;
use crate::nat64::canonical;
use crate::owners::EntryOwner;
use crate::term;

/// Maximum length of a command in bytes, including blanks around it; an address
/// has at most 45, a number of seconds 9, and an owner 55.
const LONGEST: usize = 128;

/// A parsed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FifoCommand {
    /// Block this address, or extend its block, for this number of seconds; `None`: for
    /// the configured time.
    Add(IpAddr, Option<u32>),
    /// Unblock this address.
    Remove(IpAddr),
    /// Block this address for an owner with a name, for this number of seconds; `None`:
    /// remove the owner's hold.
    Owned(IpAddr, Option<u32>, EntryOwner),
    /// Unblock everything.
    Flush,
}

impl FifoCommand {
    /// Parses one command. An IPv4-mapped IPv6 address becomes IPv4.
    ///
    /// # Errors
    ///
    /// The bytes are not a command.
    pub fn parse(bytes: &[u8]) -> Result<Self, CommandMistake> {
        let parsed = match bytes.trim_ascii() {
            b"clear" => Some(Self::Flush),
            // Several `/` commands may come without newlines between them.
            [b'/', rest @ ..] => rest.iter().all(|byte| *byte == b'/').then_some(Self::Flush),
            [b'-', rest @ ..] => return remove(rest),
            [b'+', rest @ ..] => return add(rest),
            rest => address(rest).map(|addr| Self::Add(addr, None)),
        };
        parsed.ok_or(CommandMistake::NoCommand)
    }
}

/// Parses `ADDRESS`, `ADDRESS SECONDS` and `ADDRESS SECONDS OWNER`.
fn add(bytes: &[u8]) -> Result<FifoCommand, CommandMistake> {
    let (addr, rest) = split_word(bytes);
    let addr = address(addr).ok_or(CommandMistake::NoCommand)?;
    let (time, owner_word) = split_word(rest);
    let ttl_s = match time {
        [] => None,
        time => Some(seconds(time).ok_or(CommandMistake::NoTime)?),
    };
    match (ttl_s, owner_word) {
        (ttl_s, []) => Ok(FifoCommand::Add(addr, ttl_s)),
        (None, _) => Err(CommandMistake::NoTime),
        (Some(ttl_s), word) => match owner(word).ok_or(CommandMistake::NoOwner)? {
            EntryOwner::Fifo => Ok(FifoCommand::Add(addr, Some(ttl_s))),
            owner => Ok(FifoCommand::Owned(addr, Some(ttl_s), owner)),
        },
    }
}

/// Parses `ADDRESS` and `ADDRESS OWNER`.
fn remove(bytes: &[u8]) -> Result<FifoCommand, CommandMistake> {
    let (addr, rest) = split_word(bytes);
    let addr = address(addr).ok_or(CommandMistake::NoCommand)?;
    match rest {
        [] => Ok(FifoCommand::Remove(addr)),
        word => {
            let owner = owner(word).ok_or(CommandMistake::NoOwner)?;
            Ok(FifoCommand::Owned(addr, None, owner))
        }
    }
}

/// The bytes before the first blank, and those behind it without blanks around.
fn split_word(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(u8::is_ascii_whitespace);
    let (word, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    (word, rest.trim_ascii())
}

/// Parses an owner that is written in full. `None` also for `log`, `hand` and
/// `unnamed:NUMBER`, which the FIFO must not use.
fn owner(bytes: &[u8]) -> Option<EntryOwner> {
    let owner: EntryOwner = str::from_utf8(bytes).ok()?.parse().ok()?;
    match owner {
        EntryOwner::Log | EntryOwner::Hand | EntryOwner::Unnamed(_) => None,
        EntryOwner::Fifo => Some(owner),
        EntryOwner::Import(_) | EntryOwner::Jail(_) => bytes.contains(&b':').then_some(owner),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let addr: IpAddr = str::from_utf8(bytes).ok()?.parse().ok()?;
    Some(canonical(addr))
}

/// Parses a number of seconds. It has no sign, because a `+` begins the next command.
fn seconds(bytes: &[u8]) -> Option<u32> {
    let seconds: u32 = str::from_utf8(bytes).ok()?.parse().ok()?;
    (1..=term::LONGEST.as_secs())
        .contains(&seconds.into())
        .then_some(seconds)
}

/// The reason why a command is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandMistake {
    /// It does not have the form of a command, or its address is not valid.
    NoCommand,
    /// The text after the address is not a number of seconds.
    NoTime,
    /// The last word is not an owner.
    NoOwner,
    /// It has a time or an owner, but neither a line end nor a NUL ended it.
    Cut,
    /// It is longer than any valid command.
    TooLong,
}

/// An invalid command: its first bytes, made printable, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    shown: String,
    mistake: CommandMistake,
}

impl Malformed {
    /// The kind of mistake.
    #[must_use]
    pub fn mistake(&self) -> CommandMistake {
        self.mistake
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shown, mistake } = self;
        match mistake {
            CommandMistake::NoCommand | CommandMistake::TooLong => write!(
                f,
                "`{shown}` is not a command; write +ADDRESS, +ADDRESS SECONDS, -ADDRESS or /"
            ),
            CommandMistake::NoTime => write!(
                f,
                "`{shown}` is not a command; only a number of seconds may follow the \
                 address, from 1 to {}",
                term::LONGEST.as_secs()
            ),
            CommandMistake::NoOwner => write!(
                f,
                "`{shown}` is not a command; only fifo, import:NAME or f2b:JAIL may be the last word"
            ),
            CommandMistake::Cut => write!(
                f,
                "`{shown}` may be cut; a newline must follow the number of seconds or the owner"
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
    pub fn feed(&mut self, bytes: &[u8], emit: &mut dyn FnMut(Result<FifoCommand, Malformed>)) {
        for &byte in bytes {
            match byte {
                b'\n' | b'\0' => self.end(true, emit),
                b'-' if self.is_before_time() || self.is_in_owner() => self.push(byte),
                b'+' | b'-' => {
                    self.end(false, emit);
                    self.push(byte);
                }
                _ => self.push(byte),
            }
        }
    }

    /// Ends the last command, when the last writer has closed.
    pub fn finish(&mut self, emit: &mut dyn FnMut(Result<FifoCommand, Malformed>)) {
        self.end(false, emit);
    }

    /// Whether the next byte may be the first of a time.
    fn is_before_time(&self) -> bool {
        let Self { piece, overlong } = self;
        let is_add = piece.first() == Some(&b'+');
        is_add && !overlong && piece.last().is_some_and(u8::is_ascii_whitespace)
    }

    /// Whether the next byte may belong to the name of an owner, which is the third
    /// word behind `+`, and the second one behind `-`.
    fn is_in_owner(&self) -> bool {
        let Self { piece, overlong } = self;
        let words = piece.split(u8::is_ascii_whitespace);
        let words = words.filter(|word| !word.is_empty()).count();
        let is_behind =
            |least| words >= least && !piece.last().is_some_and(u8::is_ascii_whitespace);
        !overlong
            && match piece.trim_ascii_start().first() {
                Some(b'+') => is_behind(3),
                Some(b'-') => is_behind(2),
                _ => false,
            }
    }

    fn push(&mut self, byte: u8) {
        if self.piece.len() < LONGEST {
            self.piece.push(byte);
        } else {
            self.overlong = true;
        }
    }

    /// Ends a command. `is_line`: a line end or a NUL ended it.
    fn end(&mut self, is_line: bool, emit: &mut dyn FnMut(Result<FifoCommand, Malformed>)) {
        let Self { piece, overlong } = self;
        let shown = |end: &str| escape(piece) + end;
        if *overlong {
            emit(Err(Malformed {
                shown: shown("…"),
                mistake: CommandMistake::TooLong,
            }));
        } else if !piece.trim_ascii().is_empty() {
            let command = match FifoCommand::parse(piece) {
                Ok(FifoCommand::Add(_, Some(_)) | FifoCommand::Owned(..)) if !is_line => {
                    Err(CommandMistake::Cut)
                }
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
