//! The tail's lines: they do not depend on the portions.

use spamdrop::tail::{MAX_LINE, Piece, Splitter};

use crate::portions::Portions;

/// A byte that is expanded to many, so that short inputs give long lines.
const MANY: u8 = b'~';

#[derive(Debug, Default, PartialEq, Eq)]
struct Lines {
    /// Each line, the offset of its start, and the offset of the next line.
    lines: Vec<(Vec<u8>, u64, u64)>,
    overlong: usize,
}

/// Feeds the stream in portions, and compares with the expected lines.
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let portions = Portions::new(data);
    let stream = expanded(portions.stream);
    let mut found = Lines::default();
    let mut take = |piece: Piece<'_>| match piece {
        Piece::Line { bytes, start, end } => found.lines.push((bytes.to_vec(), start, end)),
        Piece::Overlong => found.overlong += 1,
        Piece::Skipped { .. } => panic!("everything is wanted"),
    };
    let mut splitter = Splitter::from_offset(0);
    for portion in portions.cut(&stream) {
        splitter.feed(portion, &mut take);
    }
    assert_eq!(splitter.position(), stream.len() as u64);
    splitter.finish(&mut take);
    assert_eq!(splitter.line_start(), splitter.position());
    let expected = expected(&stream);
    assert_eq!(found, expected);
    check_wanted(&portions, &stream, &expected);
}

/// A byte that makes a line wanted.
const WANTED: u8 = b'!';

/// Checks that skipped lines are counted, and that no wanted line is skipped.
fn check_wanted(portions: &Portions<'_>, stream: &[u8], expected: &Lines) {
    let mut found = Vec::new();
    let mut lines = 0;
    let mut take = |piece: Piece<'_>| match piece {
        Piece::Line { bytes, start, end } => {
            lines += 1;
            if bytes.contains(&WANTED) {
                found.push((bytes.to_vec(), start, end));
            }
        }
        Piece::Overlong => lines += 1,
        Piece::Skipped { lines: skipped } => lines += skipped,
    };
    let mut splitter = Splitter::from_offset(0);
    for portion in portions.cut(stream) {
        let mut next = |at| memchr::memchr(WANTED, &portion[at..]).map(|found| at + found);
        splitter.feed_wanted(portion, &mut next, &mut take);
    }
    splitter.finish(&mut take);
    let all = expected.lines.len() + expected.overlong;
    assert_eq!(lines, all as u64);
    let wanted = expected.lines.iter();
    let wanted: Vec<_> = wanted.filter(|(line, ..)| line.contains(&WANTED)).collect();
    assert!(found.iter().eq(wanted));
}

fn expanded(stream: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &byte in stream {
        let times = if byte == MANY { MAX_LINE / 2 } else { 1 };
        bytes.resize(bytes.len() + times, byte);
    }
    bytes
}

fn expected(stream: &[u8]) -> Lines {
    let mut lines = Lines::default();
    let mut start = 0;
    for line in stream.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len() as u64;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if line.len() > MAX_LINE {
            lines.overlong += 1;
        } else {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            lines.lines.push((line.to_vec(), start, end));
        }
        start = end;
    }
    lines
}
