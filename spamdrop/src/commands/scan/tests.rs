#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use super::*;
use spamdrop_core::policy::Protected;

const REJECTION: &[u8] = b"2026-11-23T08:50:55Z mx1 courieresmtpd: error,relay=192.0.2.1,port=4711,from=<a@b.example>: 511 Listed\n";
const NEAR_MISS: &[u8] = b"error,relay=192.0.2.1,port=4711,from=<a@b.example>: 511 Listed\n";

/// The output of `scan` for a text, with these flags.
fn scan(text: impl Read + Send, all: bool, json: bool) -> String {
    let args = cli::Scan {
        files: Vec::new(),
        all,
        reading: cli::LogOptions::default(),
        output: cli::OutputFormat { json },
    };
    let mut out = Vec::new();
    let mut scan = ScanRun {
        out: &mut out,
        args: &args,
        columns: COLUMNS,
        addrs: HashMap::default(),
    };
    let protected = Protected::default();
    let settings = Config::default().engine().unwrap();
    let mut replay = Replay::new(settings, protected, clock::wall());
    scan.file("mail.log", text, clock::wall(), &mut replay)
        .unwrap();
    scan.addresses(Style::Plain).unwrap();
    String::from_utf8(out).unwrap()
}

/// A reader that returns one byte at a time.
struct Dripping<'a>(&'a [u8]);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((first, rest)) = self.0.split_first() else {
            return Ok(0);
        };
        buffer[0] = *first;
        self.0 = rest;
        Ok(1)
    }
}

/// A reader that fails after its bytes.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the disk is gone")),
            count => Ok(count),
        }
    }
}

#[test]
fn portions_do_not_matter() {
    let log = [REJECTION, NEAR_MISS, REJECTION].concat();
    let log = log.trim_ascii_end();
    let whole = scan(log, false, true);
    assert_eq!(whole.matches(r#""kind":"match""#).count(), 2, "{whole}");
    assert_eq!(scan(Dripping(log), false, true), whole);
}

#[test]
fn what_was_read_before_an_error_is_shown() {
    let log = [REJECTION, REJECTION.trim_ascii_end()].concat();
    let text = scan(Failing(&log), false, false);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "mail.log: 1 line, 1 would block",
            "  not read to its end: the disk is gone",
        ]
    );
}

#[test]
fn a_flood_of_near_misses_is_shown_only_if_asked_for() {
    let log = NEAR_MISS.repeat(10);
    let shown = |all| scan(&log[..], all, false).matches("error,relay=").count();
    assert_eq!((shown(false), shown(true)), (3, 10));
    let json = scan(&log[..], false, true);
    assert_eq!(json.matches(r#""kind":"near-miss""#).count(), 10);
}

#[test]
fn a_long_line_is_passed_over_in_little_time() {
    let rest = b"x".repeat(1 << 20);
    let mut log = [REJECTION.trim_ascii_end(), &rest, b"\n"].concat();
    log.extend(REJECTION);
    // The fastest of several runs counts, because the machine may be busy.
    let fastest = (0..5)
        .map(|_| {
            let start = Instant::now();
            let text = scan(&log[..], false, false);
            let taken = start.elapsed();
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(
                lines[..3],
                [
                    "mail.log: 2 lines, 1 would block",
                    "  courier-511: 1",
                    "  too long to be read: 1",
                ]
            );
            taken
        })
        .min()
        .unwrap();
    // For an unoptimised build, the test only checks that the time is linear.
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 10 });
    assert!(fastest < limit, "{fastest:?}");
}
