//! The lines of the corpora.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use spamdrop_core::log::MailServer;

/// 2026-11-23 09:00:00 UTC.
pub const NOW: u64 = 1_795_424_400;

/// Each server has a file, which is named as in `servers`.
pub const SERVERS: [(&str, MailServer); 8] = [
    ("courier", MailServer::Courier),
    ("postfix", MailServer::Postfix),
    ("exim", MailServer::Exim),
    ("sendmail", MailServer::Sendmail),
    ("opensmtpd", MailServer::Opensmtpd),
    ("rblsmtpd", MailServer::Rblsmtpd),
    ("haraka", MailServer::Haraka),
    ("rspamd", MailServer::Rspamd),
];

#[allow(dead_code, reason = "`configured` reads only the lines")]
pub struct Case {
    /// `FILE:LINE`.
    pub place: String,
    pub hostile: bool,
    pub expected: String,
    pub line: Vec<u8>,
}

/// This directory. The packages of the tests lie at different depths.
pub fn directory() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut places = package.ancestors().map(|root| root.join("tests/corpus"));
    places.find(|place| place.is_dir()).unwrap()
}

/// The cases of a file, such as a server's.
pub fn corpus(file: &str) -> Vec<Case> {
    fs::read_to_string(directory().join(file).with_extension("txt"))
        .unwrap()
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            let place = format!("{file}.txt:{}", index + 1);
            let (kind, rest) = line.split_once(' ').unwrap();
            let (expected, line) = rest.trim_start().split_once(' ').unwrap();
            assert!(matches!(kind, "real" | "hostile"), "{place}");
            Case {
                place,
                hostile: kind == "hostile",
                expected: expected.into(),
                line: unescape(padding_removed(expected, line)),
            }
        })
        .collect()
}

/// Removes the padding after EXPECTED. LINE may itself start with a blank, so
/// the padding is not trimmed but computed from the column.
fn padding_removed<'line>(expected: &str, line: &'line str) -> &'line str {
    const COLUMN: usize = 23;
    let padding = COLUMN.saturating_sub(expected.len());
    assert!(line[..padding].trim().is_empty(), "{line}");
    &line[padding..]
}

fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().unwrap() {
                b'\\' => b'\\',
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => panic!("unknown escape \\{}", char::from(other)),
            },
            byte => byte,
        });
    }
    bytes
}

pub fn unix_time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
