//! Skipping the lines that contain no needle does not change the result. Each line that
//! matches a grammar contains at least one of the needles.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use spamdrop::config::Config;
use spamdrop::tail::{MAX_LINE, Piece, Splitter};
use spamdrop_core::log::{Needles, Parsed, Parser};

use super::{NOW, SERVERS, corpus, unix_time};

/// A configuration for each server, one for all servers, and one with a
/// pattern.
static CONFIGS: LazyLock<Vec<Config>> = LazyLock::new(|| {
    let names = SERVERS.map(|(name, _)| name);
    let each = names.map(|name| format!("servers = [{name:?}]"));
    let pattern = "[[pattern]]\nname = \"any\"\nmatch = '^[A-Za-z]+ <HOST> '";
    let others = [format!("servers = {names:?}"), pattern.into()];
    let texts = each.into_iter().chain(others);
    texts.map(|text| Config::parse(&text).unwrap()).collect()
});

static LINES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let cases = SERVERS.into_iter().flat_map(|(name, _)| corpus(name));
    let lines = cases.map(|case| case.line);
    // A line that only the pattern matches.
    lines.chain([b"refused 192.0.2.1 ".to_vec()]).collect()
});

/// Endings in place of a newline. The first two join a line with the next one;
/// the last one adds an empty line.
const ENDS: &[&[u8]] = &[b"\r", b" ", b"\n\n"];

/// A change to a line of the corpora.
#[derive(Clone, Debug)]
enum Change {
    None,
    Cut(Index),
    Byte(Index, u8),
    Join(&'static [u8]),
    Long,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => Just(Change::None),
        2 => any::<Index>().prop_map(Change::Cut),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(index, byte)| Change::Byte(index, byte)),
        2 => select(ENDS).prop_map(Change::Join),
        1 => Just(Change::Long),
    ]
}

/// Generates a log of changed lines of the corpora.
fn log() -> impl Strategy<Value = Vec<u8>> {
    let line = (select(&**LINES), change()).prop_map(|(mut line, change)| {
        match change {
            Change::None => {}
            Change::Cut(index) => line.truncate(index.index(line.len() + 1)),
            Change::Byte(index, byte) if !line.is_empty() => {
                let at = index.index(line.len());
                line[at] = byte;
            }
            Change::Byte(..) => {}
            Change::Join(end) => return [&line, end].concat(),
            Change::Long => line.resize(line.len() + MAX_LINE, b'x'),
        }
        line.push(b'\n');
        line
    });
    vec(line, 0..40).prop_map(|lines| lines.concat())
}

type Found = Vec<(u64, String)>;
type Search = fn(&Parser) -> Needles;

const SEARCHES: [Search; 2] = [Parser::needles, Parser::event_needles];

fn cases() -> impl Iterator<Item = (&'static Config, Search)> {
    CONFIGS
        .iter()
        .flat_map(|config| SEARCHES.map(|search| (config, search)))
}

/// Parses a log in portions. Returns each line's result with the line number,
/// except [`Parsed::Nothing`], and the number of lines. With `search`, lines
/// without its needles are skipped.
fn read(config: &Config, portions: &[&[u8]], search: Option<Search>) -> (Found, u64) {
    let mut parser = config.parser();
    let needles = search.map(|search| search(&parser));
    let (mut found, mut lines) = (Vec::new(), 0);
    let mut splitter = Splitter::from_offset(0);
    let mut take = |piece: Piece<'_>| match piece {
        Piece::Line { bytes, .. } => {
            lines += 1;
            found.extend(something(&mut parser, bytes).map(|text| (lines, text)));
        }
        Piece::Overlong => {
            lines += 1;
            found.push((0, "overlong".into()));
        }
        Piece::Skipped { lines: skipped } => lines += skipped,
    };
    for portion in portions {
        if let Some(needles) = &needles {
            splitter.feed_wanted(portion, &mut |at| needles.find(portion, at), &mut take);
        } else {
            splitter.feed(portion, &mut take);
        }
    }
    splitter.finish(&mut take);
    (found, lines)
}

fn something(parser: &mut Parser, line: &[u8]) -> Option<String> {
    match parser.parse(line, unix_time(NOW)) {
        Parsed::Nothing => None,
        parsed => Some(format!("{parsed:?}")),
    }
}

proptest! {
    #[test]
    fn skipped_lines_are_nothing(log in log(), size in 1..20_000_usize) {
        let portions: Vec<&[u8]> = log.chunks(size).collect();
        for (config, search) in cases() {
            prop_assert_eq!(read(config, &portions, Some(search)), read(config, &portions, None));
        }
    }
}

/// The log is a single portion, so that each line is searched as a whole.
#[test]
fn no_line_of_the_corpora_is_missed() {
    let lines: Vec<u8> = LINES
        .iter()
        .flat_map(|line| [line, &b"\n"[..]].concat())
        .collect();
    for (config, search) in cases() {
        assert_eq!(
            read(config, &[&lines], Some(search)),
            read(config, &[&lines], None)
        );
    }
}
