//! Runs every seed, and every line of the parser's corpora, through its target.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use spamdrop_fuzz::{
    addresses, config, dialogue, dns, exim, fifo, journal, line, lists, postfix, state, stream,
    zones,
};

fn try_all(target: &str, check: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut tried = 0;
    for seed in fs::read_dir(seeds).unwrap() {
        check(&fs::read(seed.unwrap().path()).unwrap());
        tried += 1;
    }
    assert!(tried > 0, "{target} has no seeds");
}

#[test]
fn seeds_break_no_promise() {
    try_all("addresses", addresses::check);
    try_all("config", config::check);
    try_all("dialogue", dialogue::check);
    try_all("dns", dns::check);
    try_all("exim", exim::check);
    try_all("fifo", fifo::check);
    try_all("journal", journal::check);
    try_all("line", line::check);
    try_all("lists", lists::check);
    try_all("postfix", postfix::check);
    try_all("state", state::check);
    try_all("stream", stream::check);
    try_all("zones", zones::check);
}

#[test]
fn lines_of_the_corpus_break_no_promise() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let mut tried = 0;
    let files = fs::read_dir(corpus).unwrap();
    let files = files.map(|file| file.unwrap().path());
    // The lines of `cases` have headers, which the check adds itself.
    for file in files.filter(|file| file.is_file()) {
        for text in fs::read(file).unwrap().split(|byte| *byte == b'\n') {
            line::check(text);
            tried += 1;
        }
    }
    assert!(tried > 100);
}
