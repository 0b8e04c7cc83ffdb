//! The log sources that the daemon reads.

use std::path::PathBuf;

use anyhow::Result;
use rustix::process::getuid;

use crate::config::{AnswerMode, Config};
use crate::directory::{self, Owned};
use crate::tail::Tail;

/// The log sources that the daemon reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceSettings {
    pub logs: Vec<PathBuf>,
    /// The matches for journalctl; `None`: the journal is not read.
    journal: Option<Vec<String>>,
    state_dir: PathBuf,
    positions: PathBuf,
}

impl SourceSettings {
    /// Derives the sources from the configuration.
    ///
    /// # Errors
    ///
    /// `journal_match` names only users that do not exist.
    pub fn new(config: &Config) -> Result<Self> {
        let journal = match config.journal {
            true => Some(journal_matches(config)?),
            false => None,
        };
        Ok(Self {
            logs: config.logs.clone(),
            journal,
            state_dir: config.state_dir.clone(),
            positions: config.positions_file(),
        })
    }

    /// Opens the logs at their saved read positions.
    ///
    /// # Errors
    ///
    /// The state directory cannot be created, or standard input cannot be read.
    pub fn open(&self) -> Result<Tail> {
        directory::prepare(&self.state_dir, Owned::State)?;
        let tail = Tail::open(&self.logs, Some(self.positions.clone()))?;
        Ok(self.with_journal(tail))
    }

    /// Opens the logs at their ends. Read positions are not saved.
    ///
    /// # Errors
    ///
    /// Standard input cannot be read.
    pub fn open_unsaved(&self) -> Result<Tail> {
        Ok(self.with_journal(Tail::open(&self.logs, None)?))
    }

    /// Opens the logs in place of `old`, each at its last read position.
    ///
    /// # Errors
    ///
    /// As [`SourceSettings::open`].
    pub fn reopen(&self, old: &Tail) -> Result<Tail> {
        Ok(self.with_journal(old.reopen(&self.logs)?))
    }

    fn with_journal(&self, tail: Tail) -> Tail {
        match &self.journal {
            None => tail,
            Some(matches) => tail.with_journal(matches.clone()),
        }
    }

    /// Describes the sources in words.
    pub fn describe(&self) -> String {
        let journal = self.journal.as_ref().map(|_| "the journal".to_owned());
        let logs = self.logs.iter().map(|path| path.display().to_string());
        let all: Vec<String> = journal.into_iter().chain(logs).collect();
        all.join(", ")
    }
}

fn journal_matches(config: &Config) -> Result<Vec<String>> {
    let mut matches = config.journal_args()?;
    if config.answer == AnswerMode::On {
        matches.extend(own_entries(getuid().as_raw(), std::process::id()));
    }
    Ok(matches)
}

/// The journalctl match for the responder's own log lines. An earlier process
/// with the same pid matches only if it ran as the same user.
fn own_entries(uid: u32, pid: u32) -> [String; 5] {
    [
        "+".into(),
        "_TRANSPORT=syslog".into(),
        "PRIORITY=3".into(),
        format!("_UID={uid}"),
        format!("_PID={pid}"),
    ]
}
