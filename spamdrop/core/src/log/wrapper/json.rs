//! Lines that are a JSON object.
//!
//! ```text
//! {"log":"LINE\n","stream":"stdout","time":"2026-11-03T08:50:54.6Z"}      Docker's json-file
//! {"timestamp":"…","host":"mx1","syslog-tag":"prog[811]:","message":"…"}   a template of rsyslog
//! ```
//!
//! Only a flat object is read, and it must be the whole line. Text behind the
//! object, or a second key for the same part of the line, shows that the writer
//! did not escape a sender's words.

use std::borrow::Cow;

use super::Unwrapped;
use crate::log::stamp::Stamp;

/// The keys for a whole line. The constants below have those for its parts.
const LOG: &[&str] = &["log"];
const TIME: &[&str] = &["time", "timestamp", "@timestamp", "timereported"];
const HOST: &[&str] = &["host", "hostname", "sysloghost", "fromhost"];
const TAG: &[&str] = &[
    "syslog-tag",
    "syslogtag",
    "tag",
    "programname",
    "app-name",
    "program",
];
const MESSAGE: &[&str] = &["message", "msg"];

/// A string without its escapes.
type JsonString<'line> = Cow<'line, [u8]>;

/// The values of an object. A value is `Some` once its key was read.
#[derive(Default)]
struct JsonParts<'line> {
    log: Option<JsonString<'line>>,
    time: Option<JsonString<'line>>,
    host: Option<JsonString<'line>>,
    tag: Option<JsonString<'line>>,
    message: Option<JsonString<'line>>,
}

/// The log line in a JSON object. `None` if the object has no log line, or one
/// that may be forged.
pub(super) fn unwrap(line: &[u8]) -> Option<Unwrapped<'_>> {
    let parts = JsonParts::read(line)?;
    match &parts.log {
        Some(_) => parts.of_engine(),
        None => parts.of_syslog(),
    }
}

impl<'line> JsonParts<'line> {
    fn read(line: &'line [u8]) -> Option<Self> {
        let mut parts = Self::default();
        let mut rest = blank(line.strip_prefix(b"{")?);
        loop {
            let (key, behind) = string(rest)?;
            let behind = blank(blank(behind).strip_prefix(b":")?);
            let (value, behind) = value(behind)?;
            if let Some(part) = parts.of_key(&key) {
                if part.is_some() {
                    return None;
                }
                *part = Some(value?);
            }
            rest = blank(behind);
            match rest {
                [b',', behind @ ..] => rest = blank(behind),
                [b'}', behind @ ..] => return blank(behind).is_empty().then_some(parts),
                _ => return None,
            }
        }
    }

    fn of_key(&mut self, key: &[u8]) -> Option<&mut Option<JsonString<'line>>> {
        let is_in = |keys: &[&str]| keys.iter().any(|known| known.as_bytes() == key);
        if is_in(LOG) {
            Some(&mut self.log)
        } else if is_in(TIME) {
            Some(&mut self.time)
        } else if is_in(HOST) {
            Some(&mut self.host)
        } else if is_in(TAG) {
            Some(&mut self.tag)
        } else if is_in(MESSAGE) {
            Some(&mut self.message)
        } else {
            None
        }
    }

    /// The line that a container wrote, from the object of a container engine.
    fn of_engine(self) -> Option<Unwrapped<'line>> {
        if self.message.is_some() || self.tag.is_some() {
            return None;
        }
        let text = match self.log? {
            Cow::Borrowed(text) => Cow::Borrowed(text),
            Cow::Owned(text) => Cow::Owned(one_line(text)),
        };
        let stamp = match self.time {
            Some(Cow::Borrowed(time)) if Stamp::Rfc3339(time).is_zoneless() => return None,
            Some(Cow::Borrowed(time)) => Some(Stamp::Rfc3339(time)),
            Some(Cow::Owned(_)) => return None,
            None => None,
        };
        Some(Unwrapped { text, stamp })
    }

    /// The line that syslog would have written to a file.
    fn of_syslog(self) -> Option<Unwrapped<'line>> {
        let host = self.host.unwrap_or(Cow::Borrowed(b"-"));
        let (time, tag, message) = (self.time?, self.tag?, self.message?);
        let is_word = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
        if ![&host, &tag].iter().all(|word| is_word(word)) || time.is_empty() {
            return None;
        }
        let end: &[u8] = if tag.ends_with(b":") { b" " } else { b": " };
        let line = [&*time, b" ", &*host, b" ", &*tag, end, &*message].concat();
        Some(Unwrapped {
            text: Cow::Owned(one_line(line)),
            stamp: None,
        })
    }
}

fn blank(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_start()
}

/// Removes the line's end, and replaces each other newline by a blank, so that
/// the text after it does not become a line.
fn one_line(mut text: Vec<u8>) -> Vec<u8> {
    let end = text.strip_suffix(b"\n").unwrap_or(&text);
    let length = end.strip_suffix(b"\r").unwrap_or(end).len();
    text.truncate(length);
    let newlines = text.iter_mut().filter(|byte| **byte == b'\n');
    newlines.for_each(|byte| *byte = b' ');
    text
}

/// Splits off a value; returns its text and the rest. The text is `None` if the
/// value is not a string.
fn value(bytes: &[u8]) -> Option<(Option<JsonString<'_>>, &[u8])> {
    match bytes.first()? {
        b'"' => string(bytes).map(|(text, rest)| (Some(text), rest)),
        b'{' => skip_object(bytes).map(|rest| (None, rest)),
        _ => {
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
            let length = bytes.iter().take_while(|byte| is_plain(byte)).count();
            (length > 0).then_some((None, bytes.get(length..)?))
        }
    }
}

/// Skips the flat object in which Docker's json-file has a container's labels
/// (`attrs`).
fn skip_object(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = blank(bytes.strip_prefix(b"{")?);
    loop {
        if let Some(behind) = rest.strip_prefix(b"}") {
            return Some(behind);
        }
        let (_key, behind) = string(rest)?;
        let (_value, behind) = string(blank(blank(behind).strip_prefix(b":")?))?;
        rest = blank(behind);
        rest = rest.strip_prefix(b",").map_or(rest, blank);
    }
}

/// Parses a string; returns it and the rest. A string without escapes is
/// borrowed.
fn string(bytes: &[u8]) -> Option<(JsonString<'_>, &[u8])> {
    let inside = bytes.strip_prefix(b"\"")?;
    let end = memchr::memchr2(b'"', b'\\', inside)?;
    let (text, rest) = inside.split_at_checked(end)?;
    match rest.strip_prefix(b"\"") {
        Some(rest) => Some((Cow::Borrowed(text), rest)),
        None => escaped(text.to_vec(), rest).map(|(text, rest)| (Cow::Owned(text), rest)),
    }
}

/// Parses the rest of a string from its first escape on.
fn escaped(mut text: Vec<u8>, mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    loop {
        let end = memchr::memchr2(b'"', b'\\', rest)?;
        text.extend_from_slice(rest.get(..end)?);
        rest = match rest.get(end..)? {
            [b'"', rest @ ..] => return Some((text, rest)),
            [b'\\', b'u', hex @ ..] => {
                let (code, rest) = unicode(hex)?;
                text.extend(code.encode_utf8(&mut [0; 4]).bytes());
                rest
            }
            [b'\\', byte, rest @ ..] => {
                text.push(simple(*byte)?);
                rest
            }
            _ => return None,
        };
    }
}

fn simple(escape: u8) -> Option<u8> {
    match escape {
        b'"' | b'\\' | b'/' => Some(escape),
        b't' => Some(b'\t'),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b'b' => Some(8),
        b'f' => Some(12),
        _ => None,
    }
}

/// Parses four hexadecimal digits; half of a surrogate pair becomes U+FFFD.
fn unicode(bytes: &[u8]) -> Option<(char, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(4)?;
    digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
    let code = u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    Some((
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
        rest,
    ))
}
