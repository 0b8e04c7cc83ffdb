//! What `spamdrop run` tells of itself, each second, in `watcher.json`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration::human;
use super::trust;

/// The name of the file in the run directory.
pub const FILE: &str = "watcher.json";

/// The state of the watcher.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// When it started, in seconds since 1970.
    pub since_unix_s: u64,
    /// When it wrote this, in seconds since 1970.
    pub written_unix_s: u64,
    /// Its logs.
    pub files: Vec<File>,
    /// Events by the name of what was decided.
    pub events: BTreeMap<String, u64>,
    /// Addresses and entries whose connections are waited for.
    pub pending_releases: u64,
    /// Connections that were ended.
    pub released: u64,
    /// Why blocking pauses; `null` while it does not.
    pub ceiling: Option<String>,
    /// The FIFO; `null`: none is configured.
    pub fifo: Option<Fifo>,
    /// The gate; `null`: it is off.
    pub gate: Option<Gate>,
    /// The responder; `null`: it is off.
    pub answer: Option<Answer>,
    /// What the administrator should know.
    pub warnings: Vec<String>,
}

/// A log that the watcher follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct File {
    /// Its path; `journal` for the journal, `-` for standard input.
    pub path: PathBuf,
    /// Whether a local user cannot forge its lines: it is the journal.
    pub trusted: bool,
    /// `"following"`, `"absent"`, …
    pub state: String,
    /// Lines read since the watcher started.
    pub lines: u64,
    /// Lines longer than 8 KiB, which were skipped.
    pub overlong: u64,
    /// Entries of the journal that no syslog(3) writes, which were skipped.
    pub unfit: u64,
    /// Bytes that are written but not yet read.
    pub lag_bytes: u64,
}

/// The gate, and who came to it since the filter was attached, in SYNs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gate {
    /// `"observe"` or `"on"`.
    pub mode: String,
    /// Connections that the server held a moment ago.
    pub open: u32,
    /// Connections that it serves at once.
    pub slots: u32,
    /// Whether there is a flood of SYNs that nobody follows up.
    pub flooded: bool,
    /// Known senders, as the filter holds them.
    pub known: u64,
    /// SYNs that passed.
    pub admitted: u64,
    /// Of these, those of known or trusted senders while others had to wait.
    pub preferred: u64,
    /// Of these, those that passed so that no class starves.
    pub floored: u64,
    /// SYNs that were refused, or would have been, by class: the best first.
    pub refused: [u64; 3],
    /// SYNs that had to be repeated, in a flood.
    pub unrepeated: u64,
    /// Looks at the sockets with all slots taken, five a second.
    pub full: u64,
}

/// What came through the FIFO since the watcher started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fifo {
    /// Its path.
    pub path: PathBuf,
    /// Addresses that were blocked or renewed.
    pub added: u64,
    /// Addresses that were unblocked.
    pub removed: u64,
    /// Times that everything was unblocked.
    pub flushed: u64,
    /// Addresses that must not be blocked.
    pub protected: u64,
    /// Pieces that were no command.
    pub malformed: u64,
    /// Commands that the kernel refused.
    pub failed: u64,
}

/// What the responder has done since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Connections now, accepted or about to be.
    pub connections: usize,
    /// The most accepted at any time.
    pub peak: usize,
    /// Recipients that were refused with a 511.
    pub answered: u64,
    /// Connections that were ended for a limit.
    pub limited: u64,
    /// Log lines that did not reach syslog.
    pub lost_lines: u64,
}

/// A watcher's state may be this old: it writes every second.
pub const FRESH: Duration = Duration::from_secs(5);

/// Writes the state; `age` is the time since it was written.
///
/// # Errors
///
/// The writer fails.
pub fn text(out: &mut impl Write, state: &State, age: Duration) -> io::Result<()> {
    if age > FRESH {
        let age = human(age);
        writeln!(
            out,
            "  warning: the watcher has told nothing for {age}; it hangs"
        )?;
    }
    for file in &state.files {
        source(out, file)?;
    }
    let is_plain = |file: &File| !file.trusted && file.path.as_os_str() != "-";
    if state.files.iter().any(is_plain) {
        write!(out, "  ")?;
        trust::note(out)?;
    }
    for (name, count) in &state.events {
        writeln!(out, "  {name}: {count}")?;
    }
    let State {
        pending_releases,
        released,
        ..
    } = state;
    writeln!(
        out,
        "  releases: {pending_releases} pending, {released} connections ended"
    )?;
    if let Some(fifo) = &state.fifo {
        fifo.write(out)?;
    }
    if let Some(gate) = &state.gate {
        gate.write(out)?;
    }
    if let Some(answer) = &state.answer {
        answer.write(out)?;
    }
    if let Some(ceiling) = &state.ceiling {
        writeln!(out, "  blocking pauses: {ceiling}")?;
    }
    for warning in &state.warnings {
        writeln!(out, "  warning: {warning}")?;
    }
    Ok(())
}

fn source(out: &mut impl Write, file: &File) -> io::Result<()> {
    let File {
        state,
        trusted,
        lines,
        overlong,
        unfit,
        lag_bytes,
        ..
    } = file;
    let path = spamdrop_core::escape::escape(file.path.as_os_str().as_encoded_bytes());
    let trust = if *trusted { "trusted" } else { "not trusted" };
    let unfit = match unfit {
        0 => String::new(),
        _ => format!(", {unfit} not from syslog"),
    };
    writeln!(
        out,
        "  {path}: {state}, {trust}, {lines} lines read, {overlong} too long{unfit}, {lag_bytes} bytes behind"
    )
}

impl Gate {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self {
            mode,
            open,
            slots,
            known,
            preferred,
            ..
        } = self;
        writeln!(
            out,
            "  gate: {mode}, {open} of {slots} slots taken, {known} known senders"
        )?;
        let refused: u64 = self.refused.iter().sum::<u64>() + self.unrepeated;
        let verb = if mode == "on" {
            "refused"
        } else {
            "would have refused"
        };
        writeln!(
            out,
            "  gate: {verb} {refused} SYNs of strangers, {preferred} of known senders passed meanwhile"
        )?;
        if self.flooded {
            writeln!(
                out,
                "  gate: a flood of SYNs that nobody follows up; strangers pass when they repeat theirs"
            )?;
        }
        Ok(())
    }
}

impl Fifo {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self {
            path,
            added,
            removed,
            flushed,
            protected,
            malformed,
            failed,
        } = self;
        let path = spamdrop_core::escape::escape(path.as_os_str().as_encoded_bytes());
        writeln!(
            out,
            "  {path}: {added} added, {removed} removed, {flushed} flushed; \
             refused {protected} protected, {malformed} malformed, {failed} failed"
        )
    }
}

impl Answer {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self {
            connections,
            peak,
            answered,
            limited,
            lost_lines,
        } = self;
        writeln!(
            out,
            "  responder: {connections} connections, {peak} at most; {answered} recipients \
             refused, {limited} connections cut short, {lost_lines} log lines lost"
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    pub fn state() -> State {
        let file = File {
            path: "/var/log/mail.log".into(),
            trusted: false,
            state: "following".into(),
            lines: 1234,
            overlong: 3,
            unfit: 0,
            lag_bytes: 56,
        };
        State {
            since_unix_s: 1_795_431_601,
            written_unix_s: 1_795_435_201,
            files: vec![file],
            events: [("blocked".into(), 12), ("protected".into(), 1)].into(),
            pending_releases: 2,
            released: 10,
            ceiling: Some("6001 new blocks in a minute".into()),
            fifo: Some(Fifo {
                path: "/run/spamdrop/recent".into(),
                added: 5,
                removed: 4,
                flushed: 3,
                protected: 2,
                malformed: 1,
                failed: 0,
            }),
            gate: Some(Gate {
                mode: "observe".into(),
                open: 31,
                slots: 40,
                flooded: true,
                known: 250,
                admitted: 9_000,
                preferred: 120,
                floored: 6,
                refused: [1, 20, 300],
                unrepeated: 4_000,
                full: 17,
            }),
            answer: Some(Answer {
                connections: 3,
                peak: 75,
                answered: 900,
                limited: 20,
                lost_lines: 1,
            }),
            warnings: vec!["/var/log/b.log is absent".into()],
        }
    }

    #[test]
    fn text_says_everything() {
        let mut out = Vec::new();
        text(&mut out, &state(), Duration::from_secs(6)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "  warning: the watcher has told nothing for 6s; it hangs
  /var/log/mail.log: following, not trusted, 1234 lines read, 3 too long, 56 bytes behind
  note: a plain file cannot tell a line that a local user forged from a real one; the journal can
  blocked: 12
  protected: 1
  releases: 2 pending, 10 connections ended
  /run/spamdrop/recent: 5 added, 4 removed, 3 flushed; refused 2 protected, 1 malformed, 0 failed
  gate: observe, 31 of 40 slots taken, 250 known senders
  gate: would have refused 4321 SYNs of strangers, 120 of known senders passed meanwhile
  gate: a flood of SYNs that nobody follows up; strangers pass when they repeat theirs
  responder: 3 connections, 75 at most; 900 recipients refused, 20 connections cut short, 1 log lines lost
  blocking pauses: 6001 new blocks in a minute
  warning: /var/log/b.log is absent
"
        );
    }

    #[test]
    fn the_journal_and_standard_input_need_no_note() {
        let file = |path: &str, trusted, unfit| File {
            path: path.into(),
            state: "reading".into(),
            trusted,
            unfit,
            ..File::default()
        };
        let state = State {
            files: vec![file("journal", true, 2), file("-", false, 0)],
            ..State::default()
        };
        let mut out = Vec::new();
        text(&mut out, &state, FRESH).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "  journal: reading, trusted, 0 lines read, 0 too long, 2 not from syslog, 0 bytes behind
  -: reading, not trusted, 0 lines read, 0 too long, 0 bytes behind
  releases: 0 pending, 0 connections ended
"
        );
    }

    #[test]
    fn a_fresh_state_is_no_warning() {
        let mut out = Vec::new();
        text(&mut out, &State::default(), FRESH).unwrap();
        assert_eq!(out, b"  releases: 0 pending, 0 connections ended\n");
    }

    #[test]
    fn reads_what_it_writes_and_what_an_older_one_wrote() {
        let json = serde_json::to_string(&state()).unwrap();
        assert_eq!(serde_json::from_str::<State>(&json).unwrap(), state());
        let older: State = serde_json::from_str(r#"{"released":3}"#).unwrap();
        assert_eq!(
            older,
            State {
                released: 3,
                ..State::default()
            }
        );
    }
}
