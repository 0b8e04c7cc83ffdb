//! Hashes of the last lines of a file, by which they are recognized in a copy of it.

use std::collections::VecDeque;

use memchr::{memchr_iter, memrchr};
use serde::{Deserialize, Serialize};

/// Maximum number of bytes that a mark covers: two lines of a mail log, with
/// their stamps, are seldom longer and hardly ever repeat.
pub(super) const WINDOW: usize = 1024;
/// Minimum number of bytes that identify a copy, which has another inode.
pub(super) const LEAST: usize = 64;
/// Number of lines whose marks are kept. A file that an editor has saved, or a copy that
/// was made while the log grew, may lack the log's last lines.
const KEPT: usize = 1024;
/// Number of lines whose marks are saved. Few are enough: a copy that is made after the
/// reader has stopped does not lack the last lines that were read.
const SAVED: usize = 16;

/// Hashes that identify a line, each of at most [`WINDOW`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub(super) struct Mark {
    /// Hash of the line and the one before it. A known pair shows that a file is a copy;
    /// a single known line may be there by chance.
    pub pair: u64,
    /// Hash of the line alone; 0 if it is shorter than [`LEAST`].
    pub line: u64,
}

impl Mark {
    /// Whether both marks may be of the same line.
    pub fn is_like(self, other: Self) -> bool {
        self.pair == other.pair || (self.line == other.line && self.line != 0)
    }
}

impl From<(u64, u64)> for Mark {
    fn from((pair, line): (u64, u64)) -> Self {
        Self { pair, line }
    }
}

impl From<Mark> for (u64, u64) {
    fn from(Mark { pair, line }: Mark) -> Self {
        (pair, line)
    }
}

/// Odd, and with its bits spread evenly: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Marks of the last lines of a file. The hash must stay the same across releases. It need only
/// resist accidental collisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Trace {
    marks: VecDeque<Mark>,
    /// The last bytes, at most [`WINDOW`].
    #[serde(skip)]
    recent: Vec<u8>,
}

impl Trace {
    /// The trace of a file that was read up to the end of a line. `recent`: the
    /// bytes before it, [`WINDOW`] of them or all that there are.
    pub fn after(recent: Vec<u8>) -> Self {
        let mut trace = Self {
            marks: VecDeque::new(),
            recent,
        };
        trace.marks.extend(mark(&trace.recent));
        trace
    }

    /// Continues the trace of a file that was read before, of which `recent` are
    /// the last bytes read.
    pub fn resumed(&self, recent: Vec<u8>) -> Self {
        Self {
            marks: self.marks.clone(),
            recent,
        }
    }

    /// Adds the next bytes of the file. `on_end` gets each line's end, as a
    /// number of bytes in `bytes`, with its mark.
    pub fn extend(&mut self, bytes: &[u8], on_end: &mut dyn FnMut(usize, Mark)) {
        let known = self.recent.len();
        let mut all = std::mem::take(&mut self.recent);
        all.extend_from_slice(bytes);
        for newline in memchr_iter(b'\n', bytes) {
            let end = newline + 1;
            let window = &all[(known + end).saturating_sub(WINDOW)..known + end];
            if let Some(mark) = mark(window) {
                on_end(end, mark);
                self.push(mark);
            }
        }
        all.drain(..all.len().saturating_sub(WINDOW));
        self.recent = all;
    }

    /// Ends an unfinished line.
    pub fn finish(&mut self) {
        if let Some(mark) = mark(&self.recent) {
            self.push(mark);
        }
    }

    fn push(&mut self, mark: Mark) {
        if self.marks.len() == KEPT {
            self.marks.pop_front();
        }
        self.marks.push_back(mark);
    }

    /// All marks, oldest first.
    pub fn marks(&self) -> impl Iterator<Item = Mark> {
        self.marks.iter().copied()
    }

    /// The mark of the last line; `None` if too few bytes were read.
    pub fn last(&self) -> Option<Mark> {
        self.marks.back().copied()
    }

    /// The newest marks, which are saved.
    pub fn saved(&self) -> Self {
        let surplus = self.marks.len().saturating_sub(SAVED);
        Self {
            marks: self.marks.range(surplus..).copied().collect(),
            recent: Vec::new(),
        }
    }
}

/// The mark of the last line in `window`. `None`: it is too short, even with the line
/// before it; or it does not fit into the window. Without its start, which has the time,
/// it may be equal to another line.
pub(super) fn mark(window: &[u8]) -> Option<Mark> {
    let last = line_start(window, window.len());
    if last == 0 && window.len() == WINDOW {
        return None;
    }
    let (line, pair) = (&window[last..], &window[line_start(window, last)..]);
    (pair.len() >= LEAST).then(|| Mark {
        pair: hash(pair),
        line: if line.len() >= LEAST { hash(line) } else { 0 },
    })
}

fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain([&last]).copied().map(u64::from_le_bytes);
    words.fold(bytes.len() as u64, |hash, word| {
        (hash.rotate_left(29) ^ word).wrapping_mul(FACTOR)
    })
}

/// The start of the line that ends at `end`, which is behind its newline.
fn line_start(window: &[u8], end: usize) -> usize {
    let before = &window[..end.saturating_sub(1)];
    memrchr(b'\n', before).map_or(0, |newline| newline + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn traced(text: &[u8], portion: usize) -> Vec<Mark> {
        let mut trace = Trace::default();
        let mut seen = Vec::new();
        for bytes in text.chunks(portion) {
            trace.extend(bytes, &mut |_, mark| seen.push(mark));
        }
        assert_eq!(trace.marks().collect::<Vec<_>>(), seen);
        assert_eq!(trace.recent, text[text.len().saturating_sub(WINDOW)..]);
        seen
    }

    #[test]
    fn portions_do_not_matter() {
        let lines = (0..20).map(|n| format!("line {n} {}\n", "x".repeat(n * 10)));
        let text = lines.collect::<String>();
        let whole = traced(text.as_bytes(), text.len());
        // The first lines are too short to be recognized.
        assert_eq!(whole.len(), 17);
        for portion in [1, 7, 64, 300] {
            assert_eq!(traced(text.as_bytes(), portion), whole);
        }
        let distinct: HashSet<_> = whole.iter().map(|mark| mark.pair).collect();
        assert_eq!(distinct.len(), whole.len());
    }

    #[test]
    fn a_mark_covers_two_lines() {
        let line = |n: u32| format!("{n} {}\n", "x".repeat(300));
        let text = [line(1), line(2), line(3)].concat();
        let of = |text: &str| mark(text.as_bytes()).map(|mark| mark.pair);
        let line_of = |text: &str| mark(text.as_bytes()).map(|mark| mark.line);
        assert_eq!(of(&text), of(&[line(2), line(3)].concat()));
        assert_ne!(of(&text), of(&line(3)));
        assert_ne!(of(&text), of(&[line(4), line(3)].concat()));
        assert_ne!(of(&text), of(&[line(2), line(4)].concat()));
        assert_eq!(line_of(&text), line_of(&line(3)));
        assert_eq!(mark(&[b'x'; WINDOW]), None);
    }

    /// Marks are saved. With another hash, those that an older release has saved would not
    /// be recognized.
    #[test]
    fn the_hash_is_fixed() {
        assert_eq!(mark(&[b'x'; LEAST - 1]), None);
        let hash = 9_532_425_857_868_765_044;
        assert_eq!(mark(&[b'x'; LEAST + 3]), Some((hash, hash).into()));
    }

    #[test]
    fn memory_is_bounded() {
        let text = format!("{}\n", "x".repeat(LEAST)).repeat(10_000);
        let mut trace = Trace::default();
        trace.extend(text.as_bytes(), &mut |_, _| ());
        assert_eq!((trace.marks.len(), trace.recent.len()), (KEPT, WINDOW));
        assert_eq!(trace.saved().marks.len(), SAVED);
    }
}
