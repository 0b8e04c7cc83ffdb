//! The text of nft: `elements = { … }` as `nft list set` prints it, and
//! `add element FAMILY TABLE NAME { … }` as `nft -f` reads it.

use std::time::Duration;

use super::range;
use crate::invalid::Invalid;
use crate::listing::{ListEntry, ListReader, shown};

type Emit<'a> = &'a mut dyn FnMut(usize, Result<ListEntry, Invalid>);

/// Whether a line is a statement for `nft -f`, rather than one of ipset.
pub(super) fn is_statement(line: &[u8]) -> bool {
    let mut words = line.split(u8::is_ascii_whitespace).skip(1);
    let object = words.next().unwrap_or_default();
    // An ipset may be named like an object of nft, but then an address follows.
    if object == b"ruleset" {
        return words.next().is_none();
    }
    let families: [&[u8]; 3] = [b"ip", b"ip6", b"inet"];
    let objects: [&[u8]; 4] = [b"table", b"set", b"element", b"chain"];
    objects.contains(&object) && words.next().is_some_and(|word| families.contains(&word))
}

/// Reads the elements of all sets in the text.
pub(super) fn read(reader: &ListReader, text: &[u8], emit: Emit<'_>) {
    let mut tokens = Tokens {
        text,
        at: 0,
        line: 1,
    };
    let mut statement: Vec<&[u8]> = Vec::new();
    while let Some((_, token)) = tokens.next() {
        match token {
            b"{" => {
                let is_elements = statement.ends_with(&[b"elements", b"="])
                    || statement.iter().any(|word| *word == b"element");
                if is_elements {
                    read_elements(reader, &mut tokens, emit);
                }
                statement.clear();
            }
            b"}" | b";" => statement.clear(),
            word => statement.push(word),
        }
    }
}

fn read_elements(reader: &ListReader, tokens: &mut Tokens<'_>, emit: Emit<'_>) {
    let (mut element, mut first) = (Vec::new(), 0);
    loop {
        let next = tokens.next();
        match next {
            Some((_, b"," | b"}")) | None => {
                if !element.is_empty() {
                    match read_element(reader, &element) {
                        Ok(entries) => entries.into_iter().for_each(|it| emit(first, Ok(it))),
                        Err(error) => emit(first, Err(error)),
                    }
                }
                element.clear();
                match next {
                    Some((_, b",")) => {}
                    Some(_) => return,
                    None => {
                        let cut = "the list of elements does not end: it may be cut";
                        return emit(tokens.line, Err(Invalid::new(cut)));
                    }
                }
            }
            Some((line, word)) => {
                if element.is_empty() {
                    first = line;
                }
                element.push(word);
            }
        }
    }
}

fn read_element(reader: &ListReader, words: &[&[u8]]) -> Result<Vec<ListEntry>, Invalid> {
    let mut words = words.iter().copied();
    let key = words.next().unwrap_or_default();
    let (mut timeout, mut expires) = (None, None);
    while let Some(word) = words.next() {
        match word {
            b"timeout" => timeout = Some(time(words.next().unwrap_or_default())?),
            b"expires" => expires = Some(time(words.next().unwrap_or_default())?),
            b"comment" | b"packets" | b"bytes" => drop(words.next()),
            b"counter" => {}
            b"." | b":" => {
                let key = shown(key);
                return Err(Invalid::new(format!(
                    "`{key} {}` is more than an address; list a set of addresses alone: `nft list set FAMILY TABLE NAME`",
                    shown(word)
                )));
            }
            word => {
                let word = shown(word);
                return Err(Invalid::new(format!("`{word}` is not understood")));
            }
        }
    }
    // An element with the timeout 0 never ends.
    let timeout = timeout.filter(|time| !time.is_zero());
    range::read(reader, key, expires.or(timeout))
}

/// A time such as `1d2h3m4s` or `59m59s996ms`; a number alone is seconds.
fn time(word: &[u8]) -> Result<Duration, Invalid> {
    let parse = || {
        let mut rest = str::from_utf8(word).ok()?;
        if let Ok(seconds) = rest.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let mut time = Duration::ZERO;
        while !rest.is_empty() {
            let end = rest.find(|byte: char| !byte.is_ascii_digit())?;
            let (number, unit) = rest.split_at(end);
            let length = unit.find(|byte: char| byte.is_ascii_digit());
            let (unit, later) = unit.split_at(length.unwrap_or(unit.len()));
            let ms: u64 = match unit {
                "w" => 604_800_000,
                "d" => 86_400_000,
                "h" => 3_600_000,
                "m" => 60_000,
                "s" => 1_000,
                "ms" => 1,
                _ => return None,
            };
            let part = number.parse::<u64>().ok()?.checked_mul(ms)?;
            time = time.checked_add(Duration::from_millis(part))?;
            rest = later;
        }
        (!word.is_empty()).then_some(time)
    };
    parse().ok_or_else(|| {
        let word = shown(word);
        Invalid::new(format!("`{word}` is not a time of nft, such as 1h30m"))
    })
}

/// Splits the text into words, signs such as `{`, and quoted texts. Skips comments.
struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> Iterator for Tokens<'a> {
    /// The number of the line, and the token.
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.text.get(self.at..)?;
            let length = match rest {
                [] => return None,
                [b'\n', ..] => {
                    self.line += 1;
                    self.at += 1;
                    continue;
                }
                [byte, ..] if byte.is_ascii_whitespace() => {
                    self.at += 1;
                    continue;
                }
                [b'#', ..] => {
                    let end = rest.iter().position(|byte| *byte == b'\n');
                    self.at += end.unwrap_or(rest.len());
                    continue;
                }
                [b'{' | b'}' | b',' | b';' | b'=', ..] => 1,
                [b'"', text @ ..] => {
                    let is_end = |byte: &u8| *byte == b'"' || *byte == b'\n';
                    text.iter()
                        .position(is_end)
                        .map_or(rest.len(), |end| end + 2)
                }
                _ => {
                    let is_end =
                        |byte: &u8| byte.is_ascii_whitespace() || b"{},;=\"#".contains(byte);
                    rest.iter().position(is_end).unwrap_or(rest.len())
                }
            };
            let token = rest.get(..length).unwrap_or(rest);
            self.at += length;
            self.line += token.iter().filter(|byte| **byte == b'\n').count();
            return Some((self.line, token));
        }
    }
}
