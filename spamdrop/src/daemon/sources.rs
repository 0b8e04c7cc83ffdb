//! The logs to watch.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::getuid;

use crate::config::Answer;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::tail::Tail;

/// What only `run` needs of the configuration.
pub(super) fn ensure_complete(config: &Config) -> Result<()> {
    let missing = if config.interfaces.is_empty() {
        "no interface to protect; name one: `interfaces = [\"eth0\"]` or `--interface eth0`"
    } else if config.logs.is_empty() && !config.journal {
        "no log to watch; name one: `journal = true`, `logs = [\"/var/log/mail.log\"]` or `--log FILE`"
    } else if config.journal {
        return config.journal_args().map(drop);
    } else {
        return Ok(());
    };
    Err(Failure::new(Exit::Config, missing))
}

pub(super) fn open_tail(config: &Config) -> Result<Tail> {
    fs::create_dir_all(&config.state_dir)
        .with_context(|| format!("cannot make the directory {}", config.state_dir.display()))?;
    let tail = Tail::open(&config.logs, Some(config.positions_file()))?;
    if !config.journal {
        return Ok(tail);
    }
    let mut matches = config.journal_args()?;
    if config.answer == Answer::On {
        matches.extend(own_entries(getuid().as_raw(), std::process::id()));
    }
    Ok(tail.with_journal(matches))
}

/// What the responder logs, as journalctl matches it. A process that had this
/// number before counts only if it was the same user's.
fn own_entries(uid: u32, pid: u32) -> [String; 5] {
    [
        "+".into(),
        "_TRANSPORT=syslog".into(),
        "PRIORITY=3".into(),
        format!("_UID={uid}"),
        format!("_PID={pid}"),
    ]
}

/// Whether both watch the same, so that what is open can stay.
pub(super) fn are_same(one: &Config, other: &Config) -> bool {
    let of = |config: &Config| {
        let logs = config.logs.clone();
        let own = config.journal && config.answer == Answer::On;
        (logs, config.journal, config.journal_match.clone(), own)
    };
    of(one) == of(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_responders_entries_are_those_of_its_process_and_user() {
        assert_eq!(
            own_entries(117, 4711),
            [
                "+",
                "_TRANSPORT=syslog",
                "PRIORITY=3",
                "_UID=117",
                "_PID=4711"
            ]
        );
    }
}
