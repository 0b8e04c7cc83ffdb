//! Records in the history each command that changes something, with the name of the
//! user who gave it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use anyhow::Result;
use ipnet::IpNet;
use rustix::process::getuid;
use spamdrop_core::allowlist::AllowAdded;
use spamdrop_core::escape::escape;
use spamdrop_core::history::HistoryEvent;
use spamdrop_core::nat64::canonical;
use spamdrop_core::target::{Target, parse_net};

use crate::account;
use crate::cli::without_config;
use crate::clock;
use crate::config::Config;
use crate::store::{DAEMON_WAIT, Store};

/// How long a command waits for the database.
const WAIT: Duration = DAEMON_WAIT;
/// A command with at most this many addresses gets a row for each of them. A command
/// with more gets one row with their number.
const ROWS: usize = 64;
/// The longest name of a user, in bytes.
const NAME: usize = 32;

/// Records this command. `nets`: the addresses that it concerns; empty if it
/// concerns all or none. If the database cannot be opened within [`WAIT`], the
/// command is not recorded, and a warning says so. Before a daemon has made
/// `state_dir`, nothing is recorded.
pub(super) fn record(config: &Config, nets: impl IntoIterator<Item = IpNet>) {
    if config.history.is_zero() || !config.state_dir.exists() {
        return;
    }
    if let Err(error) = write(config, &events(nets, &words(env::args_os()))) {
        log::warn!("done, but this command is not recorded in the history: {error:#}");
    }
}

/// Records this command, if it changed anything: `nets` are the addresses that it changed.
pub(super) fn record_changed(config: &Config, nets: impl IntoIterator<Item = IpNet>) {
    let mut nets = nets.into_iter().peekable();
    if nets.peek().is_some() {
        record(config, nets);
    }
}

/// Records this `allow add`, unless it only prolongs entries: a job that does so every
/// hour would push the blocks out of the history. `is_all_news`: all changed entries are
/// recorded, because the command shortens terms, or allows without an end.
pub(super) fn record_allowed(config: &Config, change: &AllowAdded, is_all_news: bool) {
    record_changed(config, news(change, is_all_news));
}

/// The prefixes to record, sorted: those that are new on the list or have an end for the
/// first time, and with `is_all_news` all that were changed.
fn news(change: &AllowAdded, is_all_news: bool) -> Vec<IpNet> {
    let changed = change.changed.iter().filter(|_| is_all_news);
    let all = change.added.iter().chain(&change.limited).chain(changed);
    let mut all: Vec<IpNet> = all.copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn write(config: &Config, events: &[HistoryEvent]) -> Result<()> {
    Store::open(&config.store_file(), WAIT)?.write_history(events)
}

fn events(nets: impl IntoIterator<Item = IpNet>, words: &[OsString]) -> Vec<HistoryEvent> {
    let mut nets = nets.into_iter();
    let few: Vec<IpNet> = nets.by_ref().take(ROWS).collect();
    let more = nets.count();
    let (by, now) = (user(), clock::unix_seconds());
    let event =
        |net, count| HistoryEvent::command(net, count, now, by.clone(), &row_text(words, net));
    if more > 0 || few.is_empty() {
        let count = few.len() + more;
        return vec![event(None, u64::try_from(count).unwrap_or(u64::MAX))];
    }
    few.into_iter().map(|net| event(Some(net), 1)).collect()
}

/// The words of the command line without the program's name and the path of the
/// configuration.
fn words(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let (words, _) = without_config(args.skip(1));
    words
}

/// The text of the row of one address: the command line with no other address,
/// because `forget` of another address would not find the row. If `net` is `None`, the
/// command line without addresses.
fn row_text(words: &[OsString], net: Option<IpNet>) -> Vec<u8> {
    let mut own = net.map(|net| as_given(net, words).into());
    let mut text: Vec<OsString> = Vec::new();
    for word in words {
        match word.to_str().and_then(parse_net) {
            Some(_) => text.extend(own.take()),
            None => text.push(word.clone()),
        }
    }
    text.join(" ".as_ref()).into_encoded_bytes()
}

/// Writes an address without a length if the command line has it so, because
/// `ADDRESS/128` is another target than `ADDRESS`.
fn as_given(net: IpNet, words: &[OsString]) -> String {
    let addrs = words.iter().filter_map(|word| word.to_str()?.parse().ok());
    match addrs.map(canonical).any(|addr| IpNet::from(addr) == net) {
        true => net.addr().to_string(),
        false => Target::from(net).to_string(),
    }
}

/// The name of the user who gave the command: for root, the user who called sudo;
/// otherwise that of this process. It proves nothing, because root can set any name.
fn user() -> String {
    let sudo = env::var_os("SUDO_USER").filter(|_| getuid().is_root());
    let sudo = sudo.filter(|name| !name.is_empty());
    shown(&sudo.unwrap_or_else(|| account::user_name(getuid()).into()))
}

/// A name of a user as it is stored: cut and escaped.
fn shown(name: &OsStr) -> String {
    let bytes = name.as_encoded_bytes();
    escape(bytes.get(..NAME).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn given(line: &str) -> Vec<OsString> {
        words(line.split(' ').map(OsString::from))
    }

    #[test]
    fn a_few_addresses_have_a_row_each_and_many_are_one() {
        let net: IpNet = "192.0.2.1/32".parse().unwrap();
        let words = given("spamdrop add 192.0.2.1 192.0.2.2");
        let few = events([net; ROWS], &words);
        assert_eq!(few.len(), ROWS);
        assert!(few.iter().all(|row| row.net == Some(net) && row.count == 1));
        let many = events([net; ROWS + 1], &words);
        assert_eq!((many.len(), many[0].net, many[0].count), (1, None, 65));
        // The row of all addresses names none, because `forget` of one could not find it.
        assert_eq!(many[0].text, "add");
        let none = events([], &words);
        assert_eq!((none.len(), none[0].net, none[0].count), (1, None, 0));
    }

    #[test]
    fn what_is_only_allowed_for_longer_is_no_news() {
        let [added, limited, longer] = ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"]
            .map(|net| net.parse::<IpNet>().unwrap());
        let mut change = AllowAdded::default();
        change.added.insert(added);
        change.changed.extend([limited, longer]);
        change.limited.push(limited);
        assert_eq!(news(&change, false), [added, limited]);
        assert_eq!(news(&change, true), [added, limited, longer]);
    }

    #[test]
    fn each_row_names_its_own_address_only() {
        let nets = ["192.0.2.1/32", "192.0.2.0/24", "2001:db8::1/128"];
        let nets = nets.map(|net| net.parse().unwrap());
        let words = given("spamdrop -c 192.0.2.9 add 192.0.2.1 192.0.2.9/24 2001:DB8::1 --for 1h");
        let rows = events(nets, &words).into_iter();
        let texts: Vec<String> = rows.map(|row| row.text).collect();
        assert_eq!(
            texts,
            [
                "add 192.0.2.1 --for 1h",
                "add 192.0.2.0/24 --for 1h",
                "add 2001:db8::1 --for 1h"
            ]
        );
        let alone = events(nets, &given("spamdrop add 2001:DB8::1/128"));
        assert_eq!(alone[2].text, "add 2001:db8::1/128");
    }

    #[test]
    fn a_name_is_cut_and_escaped() {
        assert_eq!(shown("anna".as_ref()), "anna");
        let name = format!("\x1b{}", "x".repeat(40));
        assert_eq!(shown(name.as_ref()), format!(r"\x1b{}", "x".repeat(31)));
    }

    #[test]
    fn a_command_is_recorded_as_it_was_given() {
        let args = "/sbin/spamdrop -c a.toml add 192.0.2.1 --reason spam";
        let args = args.split(' ').chain(["of today"]);
        let words = words(args.map(OsString::from));
        let net = "192.0.2.1/32".parse().unwrap();
        let text = row_text(&words, Some(net));
        assert_eq!(text, b"add 192.0.2.1 --reason spam of today");
    }
}
