//! The services of `master.cf`.

use std::net::IpAddr;

use super::parameters::assignment;
use super::{logical_lines, words};

/// A service: one logical line of `master.cf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// `smtp`, `25`, `192.0.2.1:smtp`, …
    pub name: String,
    /// `inet`, `unix`, `pass`, …
    pub kind: String,
    /// The column `maxproc`.
    pub limit: String,
    /// The program.
    pub command: String,
    /// The `-o name=value` options.
    pub overrides: Vec<(String, String)>,
}

/// Parses the services. A line with too few columns is left out.
pub(super) fn services(text: &str) -> Vec<Service> {
    let lines = logical_lines(text);
    lines.iter().filter_map(|line| service(line)).collect()
}

fn service(line: &str) -> Option<Service> {
    let mut columns = line.split_ascii_whitespace();
    let (name, kind) = (columns.next()?, columns.next()?);
    let limit = columns.nth(4)?;
    let command = columns.next()?;
    // The arguments are not split yet, because braces may enclose blanks.
    let behind = behind_columns(line, 8);
    Some(Service {
        name: name.to_owned(),
        kind: kind.to_owned(),
        limit: limit.to_owned(),
        command: command.rsplit('/').next().unwrap_or(command).to_owned(),
        overrides: overrides(behind),
    })
}

/// The rest of a line behind this number of columns.
fn behind_columns(line: &str, columns: usize) -> &str {
    let mut rest = line.trim_start();
    for _ in 0..columns {
        let end = rest.find(|c: char| c.is_ascii_whitespace());
        rest = end.and_then(|end| rest.get(end..)).unwrap_or_default();
        rest = rest.trim_start();
    }
    rest
}

/// The values of `-o`: a word, which ends at a blank, or braces around
/// `name = value`.
fn overrides(arguments: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // A comma is a part of a value here.
    let protected = arguments.replace(',', "\u{1}");
    let words: Vec<String> = words(&protected);
    let mut words = words.iter().map(|word| word.replace('\u{1}', ","));
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("-o") {
            Some("") => words.next(),
            Some(value) => Some(value.to_owned()),
            None => None,
        };
        found.extend(value.as_deref().and_then(assignment));
    }
    found
}

impl Service {
    /// Whether it listens on port 25, not only for this machine.
    pub fn is_public_smtp(&self) -> bool {
        if self.kind != "inet" {
            return false;
        }
        let (host, port) = match self.name.rsplit_once(':') {
            Some((host, port)) => (host, port),
            None => ("", self.name.as_str()),
        };
        matches!(port, "smtp" | "25") && !is_loopback(host)
    }
}

fn is_loopback(host: &str) -> bool {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = inner.unwrap_or(host);
    let is_own = |addr: IpAddr| addr.to_canonical().is_loopback();
    host == "localhost" || host.parse().is_ok_and(is_own)
}
