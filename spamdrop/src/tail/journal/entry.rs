//! Converts a journal entry to a log line.
//!
//! journalctl matches journald's trusted fields. This module makes sure that
//! the fields which the writer chooses, identifier and message, cannot imitate
//! other fields of the line.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::tail::MAX_LINE;

/// The fields that are requested. journalctl adds those that begin with two
/// underscores.
pub const FIELDS: &str = "MESSAGE,SYSLOG_IDENTIFIER,_PID,_HOSTNAME";

/// Maximum length of a host name on Linux, in bytes.
const MAX_HOST: usize = 64;

/// The parts of an entry that a line needs.
#[derive(Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// The entry's cursor.
    pub cursor: String,
    /// When journald received it, in microseconds since 1970.
    pub time_us: u64,
    /// The line as `journalctl -o short-iso-precise` shows it, in UTC.
    pub line: Result<Vec<u8>, Unfit>,
}

/// Why an entry is not converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its message is longer than 4,096 bytes, so journalctl omits it; or its line would be
    /// longer than [`MAX_LINE`].
    TooLong,
    /// No program that calls syslog(3) writes such an entry.
    NotSyslog,
}

/// A JSON object of `journalctl -o json`, see systemd's "Journal JSON Format":
/// text is a string, other bytes are an array of numbers, a field of more than
/// 4,096 bytes is null, and a repeated field is an array of these.
#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    time: String,
    #[serde(rename = "_HOSTNAME", default)]
    host: Field,
    #[serde(rename = "SYSLOG_IDENTIFIER", default)]
    identifier: Field,
    #[serde(rename = "_PID", default)]
    pid: Field,
    #[serde(rename = "MESSAGE", default)]
    message: Field,
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Field {
    Text(String),
    Bytes(Vec<u8>),
    TooLong,
    Other(IgnoredAny),
    #[default]
    #[serde(skip)]
    Missing,
}

impl JournalEntry {
    /// Reads one line of journalctl's output; `None` if it is no entry.
    #[must_use]
    pub fn parse(json: &[u8]) -> Option<Self> {
        let fields: Fields = serde_json::from_slice(json).ok()?;
        let time_us = fields.time.parse().ok()?;
        Some(Self {
            line: fields.format_line(time_us),
            cursor: fields.cursor,
            time_us,
        })
    }
}

impl Fields {
    fn format_line(&self, time_us: u64) -> Result<Vec<u8>, Unfit> {
        let stamp = stamp(time_us).ok_or(Unfit::NotSyslog)?;
        let host = self.host.word(MAX_HOST).unwrap_or("-");
        let identifier = self.identifier.word(MAX_LINE).ok_or(Unfit::NotSyslog)?;
        // These characters end the identifier in a line, so an identifier that
        // contains one could imitate another program's.
        if identifier.contains([':', '[', ']']) {
            return Err(Unfit::NotSyslog);
        }
        let is_number = |pid: &&str| pid.bytes().all(|byte| byte.is_ascii_digit());
        let pid = self.pid.word(MAX_LINE).filter(is_number);
        let pid = pid.map_or_else(String::new, |pid| format!("[{pid}]"));
        let mut line = format!("{stamp} {host} {identifier}{pid}: ").into_bytes();
        let start = line.len();
        match &self.message {
            Field::Text(text) => line.extend_from_slice(text.as_bytes()),
            Field::Bytes(bytes) => line.extend_from_slice(bytes),
            Field::TooLong => return Err(Unfit::TooLong),
            Field::Other(_) | Field::Missing => return Err(Unfit::NotSyslog),
        }
        for byte in line.iter_mut().skip(start).filter(|byte| **byte == b'\n') {
            *byte = b' ';
        }
        if line.len() > MAX_LINE {
            return Err(Unfit::TooLong);
        }
        Ok(line)
    }
}

impl Field {
    /// The value, if it is a word of visible ASCII.
    fn word(&self, longest: usize) -> Option<&str> {
        match self {
            Self::Text(text)
                if (1..=longest).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                Some(text)
            }
            _ => None,
        }
    }
}

fn stamp(time_us: u64) -> Option<String> {
    let time = Timestamp::from_microsecond(i64::try_from(time_us).ok()?).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string())
}

#[cfg(test)]
mod tests;
