//! `ipset save`: lines such as `add NAME 192.0.2.1 timeout 599 comment "x"`.

use std::time::Duration;

use crate::invalid::Invalid;
use crate::listing::{ListEntry, ListReader, shown};

/// Parses a line; `None` if it has no entry. An entry with the timeout 0 never ends, so
/// 0 counts as no timeout.
pub(super) fn read_line(reader: &ListReader, line: &[u8]) -> Result<Option<ListEntry>, Invalid> {
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    match words.next() {
        None | Some(b"create" | b"-N" | b"flush" | b"-F" | b"COMMIT") => return Ok(None),
        Some([b'#', ..]) => return Ok(None),
        Some(b"add" | b"-A") => {}
        Some(word) => {
            let word = shown(word);
            return Err(Invalid::new(format!(
                "`{word}` is not a line of `ipset save`"
            )));
        }
    }
    let (Some(_set), Some(member)) = (words.next(), words.next()) else {
        let line = shown(line.trim_ascii());
        return Err(Invalid::new(format!("`{line}` names no address")));
    };
    let mut left = None;
    while let Some(word) = words.next() {
        match word {
            b"timeout" => left = Some(seconds(words.next().unwrap_or_default())?),
            b"nomatch" => {
                let member = shown(member);
                return Err(Invalid::new(format!(
                    "`{member}` is an exception (nomatch), which a block cannot have; use `spamdrop allow add`"
                )));
            }
            b"packets" | b"bytes" | b"skbmark" | b"skbprio" | b"skbqueue" => drop(words.next()),
            b"-exist" | b"-!" => {}
            // The text of a comment may hold any words. In the output of `ipset save`,
            // only skbmark, skbprio and skbqueue follow it, and they do not matter.
            b"comment" => break,
            word => {
                let word = shown(word);
                return Err(Invalid::new(format!("`{word}` is not understood")));
            }
        }
    }
    if member.contains(&b',') {
        let member = shown(member);
        return Err(Invalid::new(format!(
            "`{member}` is more than an address; save a set of addresses or nets alone: `ipset save NAME`"
        )));
    }
    let left = left.filter(|left| !left.is_zero());
    reader.read_address(member, left).map(Some)
}

fn seconds(word: &[u8]) -> Result<Duration, Invalid> {
    let seconds = str::from_utf8(word).ok().and_then(|text| text.parse().ok());
    seconds.map(Duration::from_secs).ok_or_else(|| {
        let word = shown(word);
        Invalid::new(format!("`{word}` is not a timeout in seconds"))
    })
}
