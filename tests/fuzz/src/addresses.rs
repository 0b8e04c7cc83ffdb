//! Addresses, prefixes and durations as a user types them.

use std::net::IpAddr;
use std::time::Duration;

use clap::Parser as _;
use spamdrop::cli::{Cli, Verb};
use spamdrop::commands::addresses::{self, Given};
use spamdrop_core::target::Target;
use spamdrop_core::term::LONGEST;

/// Takes the bytes as the standard input of `add`. If they are text, takes the
/// first line as a duration and the second one as an address.
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    check_lines(data);
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let mut lines = text.split('\n');
    let time = lines.next().unwrap_or_default();
    check_command(time, lines.next().unwrap_or_default());
}

fn check_lines(data: &[u8]) {
    let words: Vec<&[u8]> = data
        .split(|byte| *byte == b'\n')
        .map(|line| line.split(|byte| *byte == b'#').next().unwrap_or_default())
        .map(<[u8]>::trim_ascii)
        .filter(|word| !word.is_empty())
        .collect();
    match addresses::read_lines("standard input", data) {
        Ok(all) => {
            assert_eq!(all.len(), words.len());
            all.iter()
                .zip(words)
                .for_each(|(given, word)| check_given(given, word));
        }
        Err(_) => assert!(words.iter().any(|word| target(word).is_none())),
    }
}

fn check_given(given: &Given, word: &[u8]) {
    let Given { target, net } = given;
    assert_eq!(self::target(word), Some(*target));
    assert!(target.net().contains(net), "{given:?}");
    assert_eq!(target.net().trunc(), target.net());
    assert_eq!(target.to_string().parse::<Target>().ok(), Some(*target));
    if let Some(addr) = str::from_utf8(word).ok().and_then(|word| word.parse().ok()) {
        let addr: IpAddr = addr;
        assert_eq!(
            (net.addr(), net.prefix_len()),
            (addr.to_canonical(), net.max_prefix_len())
        );
        let covered = if net.addr().is_ipv4() { 32 } else { 64 };
        assert_eq!(target.net().prefix_len(), covered);
    }
}

fn target(word: &[u8]) -> Option<Target> {
    str::from_utf8(word).ok()?.parse().ok()
}

fn check_command(time: &str, word: &str) {
    let words = ["spamdrop", "add", "--for", time, "--", word];
    let Ok(cli) = Cli::try_parse_from(words) else {
        return;
    };
    let Verb::Add(args) = cli.verb else {
        panic!("another verb: {words:?}");
    };
    let term = args.term.expect("a time was given");
    assert!(term.subsec_nanos() == 0 && (Duration::from_secs(1)..=LONGEST).contains(&term));
    // A lone `-` stands for standard input.
    if word != "-" {
        let read = addresses::read(&args.addrs);
        assert_eq!(read.is_ok(), target(word.as_bytes()).is_some());
    }
}
