//! Records the commands that change something in the history, with the user who
//! gave them.

use std::env;
use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Result, anyhow};
use ipnet::IpNet;
use rustix::process::getuid;
use spamdrop_core::escape::escape;
use spamdrop_core::history::HistoryEvent;

use crate::account;
use crate::clock;
use crate::config::Config;
use crate::lock::{self, WriteLock};
use crate::store::{DAEMON_WAIT, Store};

/// How long a command waits for the write lock to record itself, and then for the
/// database.
const WAIT: Duration = DAEMON_WAIT;
/// The most addresses of a command that have a row each; more are one row with
/// their number.
const ROWS: usize = 64;
/// The longest name of a user, in bytes.
const NAME: usize = 32;

/// Records this command, which concerns these addresses; none: all, or none at
/// all. If the database cannot be had soon, the command is not recorded, and a
/// warning says so. Before a daemon has made `state_dir`, nothing is recorded.
pub(super) fn record(config: &Config, nets: impl IntoIterator<Item = IpNet>) {
    if config.history.is_zero() || !config.state_dir.exists() {
        return;
    }
    if let Err(error) = write(config, &events(nets)) {
        log::warn!("done, but the history lacks this command: {error:#}");
    }
}

fn write(config: &Config, events: &[HistoryEvent]) -> Result<()> {
    let run_dir = &config.run_dir;
    let _lock = WriteLock::try_acquire(run_dir, WAIT)?.ok_or_else(|| {
        let holder = lock::holder(run_dir).map(|holder| holder.to_string());
        let holder = holder.unwrap_or_else(|| "another process".into());
        anyhow!("{holder} holds the write lock")
    })?;
    let mut store = Store::open(&config.store_file(), WAIT)?;
    let now = clock::unix_seconds();
    store.write_history(events, config.history, now)
}

fn events(nets: impl IntoIterator<Item = IpNet>) -> Vec<HistoryEvent> {
    let mut nets = nets.into_iter();
    let few: Vec<IpNet> = nets.by_ref().take(ROWS).collect();
    let more = nets.count();
    let (words, by, now) = (words(env::args_os()), user(), clock::unix_seconds());
    let event = |net, count| HistoryEvent::command(net, count, now, by.clone(), &words);
    if more > 0 || few.is_empty() {
        let count = few.len() + more;
        return vec![event(None, u64::try_from(count).unwrap_or(u64::MAX))];
    }
    few.into_iter().map(|net| event(Some(net), 1)).collect()
}

/// The command line without the program's name and the path of the configuration.
fn words(args: impl Iterator<Item = OsString>) -> Vec<u8> {
    let mut args = args.skip(1);
    let mut words: Vec<OsString> = Vec::new();
    while let Some(word) = args.next() {
        match word.to_str() {
            Some("-c" | "--config") => drop(args.next()),
            _ => words.push(word),
        }
    }
    words.join(" ".as_ref()).into_encoded_bytes()
}

/// The user who gave the command: the one who called sudo, or that of this
/// process. It is a hint for colleagues: root can set any name.
fn user() -> String {
    let sudo = env::var_os("SUDO_USER").filter(|_| getuid().is_root());
    let name = sudo.filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| account::user_name(getuid()).into());
    let bytes = name.as_encoded_bytes();
    escape(bytes.get(..NAME).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_few_addresses_have_a_row_each_and_many_are_one() {
        let net: IpNet = "192.0.2.1/32".parse().unwrap();
        let few = events([net; ROWS]);
        assert_eq!(few.len(), ROWS);
        assert!(few.iter().all(|row| row.net == Some(net) && row.count == 1));
        let many = events([net; ROWS + 1]);
        assert_eq!((many.len(), many[0].net, many[0].count), (1, None, 65));
        let none = events([]);
        assert_eq!((none.len(), none[0].net, none[0].count), (1, None, 0));
    }

    #[test]
    fn a_command_is_recorded_as_it_was_given() {
        let args = "/sbin/spamdrop -c a.toml add 192.0.2.1 --reason spam";
        let args = args.split(' ').chain(["of today"]);
        let words = words(args.map(OsString::from));
        assert_eq!(words, b"add 192.0.2.1 --reason spam of today");
    }
}
