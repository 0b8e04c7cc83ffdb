//! The FIFO's commands: they do not depend on the portions, and each piece of
//! the stream gives the command that it contains.

use std::net::IpAddr;

use spamdrop_core::owners::EntryOwner;
use spamdrop_core::recent::{Commands, FifoCommand};

use crate::portions::Portions;

/// Longest piece, in bytes.
const LONGEST: usize = 128;

/// Feeds the stream in portions, and compares with the expected commands.
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let portions = Portions::new(data);
    let mut found = Vec::new();
    let mut commands = Commands::default();
    for portion in portions.cut(portions.stream) {
        commands.feed(portion, &mut |command| found.push(command.ok()));
    }
    commands.finish(&mut |command| found.push(command.ok()));
    assert_eq!(found, expected(portions.stream));
}

/// The command of each piece of the stream; `None` for a piece that is no
/// command.
fn expected(stream: &[u8]) -> Vec<Option<FifoCommand>> {
    let mut starts = vec![0];
    for (at, byte) in stream.iter().enumerate() {
        let begun = starts.last().map_or(&[][..], |start| &stream[*start..at]);
        let is_before_time = begun.first() == Some(&b'+')
            && begun.len() <= LONGEST
            && begun.last().is_some_and(u8::is_ascii_whitespace);
        let is_kept = is_before_time || is_in_owner(begun);
        if b"\n\0+".contains(byte) || *byte == b'-' && !is_kept {
            starts.push(at);
        }
    }
    starts.push(stream.len());
    let pieces = starts
        .windows(2)
        .map(|pair| (&stream[pair[0]..pair[1]], stream.get(pair[1])));
    pieces
        .map(|(piece, end)| {
            let piece = piece
                .strip_prefix(b"\n")
                .or(piece.strip_prefix(b"\0"))
                .unwrap_or(piece);
            (piece, matches!(end, Some(b'\n' | b'\0')))
        })
        .filter(|(piece, _)| piece.len() > LONGEST || !piece.trim_ascii().is_empty())
        .map(|(piece, is_line)| {
            let command = (piece.len() <= LONGEST).then(|| command(piece.trim_ascii()))?;
            let needs_line = |it: &FifoCommand| match it {
                FifoCommand::Add(_, seconds) => seconds.is_some(),
                FifoCommand::Owned(..) => true,
                FifoCommand::Remove(_) | FifoCommand::Flush => false,
            };
            command.filter(|it| is_line || !needs_line(it))
        })
        .collect()
}

/// Whether a `-` behind this beginning of a piece belongs to an owner's name.
fn is_in_owner(begun: &[u8]) -> bool {
    let begun = begun
        .strip_prefix(b"\n")
        .or(begun.strip_prefix(b"\0"))
        .unwrap_or(begun);
    let words = begun.split(u8::is_ascii_whitespace);
    let words = words.filter(|word| !word.is_empty()).count();
    let least = match begun.trim_ascii_start().first() {
        Some(b'+') => 3,
        Some(b'-') => 2,
        _ => return false,
    };
    begun.len() <= LONGEST && words >= least && !begun.last().is_some_and(u8::is_ascii_whitespace)
}

/// The owner whose kind and name are in the last word.
fn owner(word: &str) -> Option<EntryOwner> {
    let owner: EntryOwner = word.parse().ok()?;
    if let EntryOwner::Unnamed(_) = owner {
        return None;
    }
    (word == "fifo" || word.contains(':')).then_some(owner)
}

fn command(piece: &[u8]) -> Option<FifoCommand> {
    let text = String::from_utf8(piece.to_vec()).ok()?;
    let words: Vec<&str> = text.split(|it: char| it.is_ascii_whitespace()).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let address = |word: &str| Some(word.parse::<IpAddr>().ok()?.to_canonical());
    match (text.as_bytes().first(), &words[..]) {
        (Some(b'+'), [addr, time, last]) => {
            let seconds = time
                .parse()
                .ok()
                .filter(|it| (1..=315_360_000).contains(it));
            let (addr, seconds) = (address(&addr[1..])?, seconds?);
            if time.starts_with('+') {
                return None;
            }
            return Some(match owner(last)? {
                EntryOwner::Fifo => FifoCommand::Add(addr, Some(seconds)),
                owner => FifoCommand::Owned(addr, Some(seconds), owner),
            });
        }
        (Some(b'-'), [addr, last]) => {
            return Some(FifoCommand::Owned(address(&addr[1..])?, None, owner(last)?));
        }
        _ => {}
    }
    if text == "clear" || text.trim_matches('/').is_empty() {
        return Some(FifoCommand::Flush);
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    let (addr, seconds) = match unsigned.split_once(|it: char| it.is_ascii_whitespace()) {
        Some((addr, time)) if text.starts_with('+') => {
            let seconds = time.trim_matches(|it: char| it.is_ascii_whitespace());
            let seconds = seconds
                .parse()
                .ok()
                .filter(|it| (1..=315_360_000).contains(it));
            (addr, Some(seconds?))
        }
        _ => (unsigned, None),
    };
    let addr = addr.parse::<IpAddr>().ok()?.to_canonical();
    Some(match text.starts_with('-') {
        true => FifoCommand::Remove(addr),
        false => FifoCommand::Add(addr, seconds),
    })
}
