//! The daemon's part of `status`.

use std::io::{self, Write};
use std::time::Duration;

use spamdrop_core::escape::escape;
use spamdrop_core::status::{
    ActiveGateMode, DaemonState, FRESH, FifoState, GateState, ResponderState, SettingsState,
    SourceState,
};

use super::{noun, trust};
use spamdrop_core::duration::human;

/// Writes the state; `age` is the time since the daemon wrote it.
pub fn write_text(out: &mut impl Write, state: &DaemonState, age: Duration) -> io::Result<()> {
    if age > FRESH {
        let age = human(age);
        writeln!(
            out,
            "  warning: the daemon has not been responding for {age}"
        )?;
    }
    for source in &state.sources {
        write_source(out, source)?;
    }
    let is_plain = |source: &SourceState| !source.trusted && source.path.as_os_str() != "-";
    if state.sources.iter().any(is_plain) {
        write!(out, "  ")?;
        trust::note(out)?;
    }
    for (name, count) in &state.events {
        writeln!(out, "  {name}: {count}")?;
    }
    for (reason, count) in &state.near_misses {
        writeln!(out, "  near miss, {reason}: {count}")?;
    }
    let DaemonState {
        pending_releases,
        released,
        ..
    } = state;
    writeln!(
        out,
        "  releases: {pending_releases} pending, {} ended",
        noun::count(*released, "connection", "connections")
    )?;
    if let Some(fifo) = &state.fifo {
        write_fifo(out, fifo)?;
    }
    if let Some(settings) = &state.server_settings {
        write_settings(out, settings, state.written_unix_s)?;
    }
    if let Some(gate) = &state.gate {
        write_gate(out, gate)?;
    }
    if let Some(responder) = &state.responder {
        write_responder(out, responder)?;
    }
    if let Some(ceiling) = &state.ceiling {
        writeln!(out, "  blocking pauses: {ceiling}")?;
    }
    for warning in &state.warnings {
        writeln!(out, "  warning: {warning}")?;
    }
    Ok(())
}

fn write_source(out: &mut impl Write, source: &SourceState) -> io::Result<()> {
    let SourceState {
        state,
        trusted,
        lines,
        overlong,
        unfit,
        lag_bytes,
        ..
    } = source;
    let path = escape(source.path.as_os_str().as_encoded_bytes());
    let trust = if *trusted { "trusted" } else { "not trusted" };
    let unfit = match unfit {
        0 => String::new(),
        _ => format!(", {unfit} not from syslog"),
    };
    writeln!(
        out,
        "  {path}: {state}, {trust}, {} read, {overlong} too long{unfit}, {} behind",
        noun::count(*lines, "line", "lines"),
        noun::count(*lag_bytes, "byte", "bytes")
    )
}

fn write_settings(out: &mut impl Write, settings: &SettingsState, now: u64) -> io::Result<()> {
    let age = human(Duration::from_secs(
        now.saturating_sub(settings.read_unix_s),
    ));
    let servers = settings.servers.join(", ");
    writeln!(out, "  settings of {servers}: read {age} ago")
}

fn write_gate(out: &mut impl Write, gate: &GateState) -> io::Result<()> {
    let GateState {
        mode,
        open,
        slots,
        known,
        known_or_allowed,
        ..
    } = gate;
    writeln!(
        out,
        "  gate: {}, {open} of {slots} slots in use, {}",
        mode.name(),
        noun::count(*known, "known sender", "known senders")
    )?;
    let refused = gate.refused.into_iter().fold(0, u64::saturating_add);
    let verb = match mode {
        ActiveGateMode::Observe => "would have refused",
        ActiveGateMode::On => "refused",
    };
    writeln!(
        out,
        "  gate: {verb} {} of strangers; meanwhile {known_or_allowed} of known or allowlisted senders passed",
        noun::count(refused, "SYN", "SYNs")
    )?;
    Ok(())
}

fn write_fifo(out: &mut impl Write, fifo: &FifoState) -> io::Result<()> {
    let FifoState {
        path,
        added,
        removed,
        flushed,
        protected,
        malformed,
        failed,
    } = fifo;
    let path = escape(path.as_os_str().as_encoded_bytes());
    writeln!(
        out,
        "  {path}: {added} added, {removed} removed, {flushed} flushed; \
         not executed: {protected} protected, {malformed} malformed, {failed} failed"
    )
}

fn write_responder(out: &mut impl Write, responder: &ResponderState) -> io::Result<()> {
    let ResponderState {
        connections,
        peak,
        answered,
        limited,
        lost_lines,
    } = responder;
    writeln!(
        out,
        "  responder: {}, at most {peak} so far; {} rejected, {} ended by a limit, {} lost",
        noun::count(*connections, "connection", "connections"),
        noun::count(*answered, "recipient", "recipients"),
        noun::count(*limited, "connection", "connections"),
        noun::count(*lost_lines, "log line", "log lines")
    )
}

#[cfg(test)]
pub(crate) mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use spamdrop_core::reload::ReloadState;
    use spamdrop_core::status::ZoneFigures;
    use spamdrop_core::time::MonotonicNs;

    pub(crate) fn state() -> DaemonState {
        let file = SourceState {
            path: "/var/log/mail.log".into(),
            trusted: false,
            state: "following".into(),
            lines: 1234,
            overlong: 3,
            unfit: 0,
            lag_bytes: 56,
            silent: true,
        };
        DaemonState {
            version: 1,
            since_unix_s: 1_795_431_601,
            written_unix_s: 1_795_435_201,
            config: Some("/etc/spamdrop/spamdrop.toml".into()),
            sources: vec![file],
            events: [("blocked".into(), 12), ("protected".into(), 1)].into(),
            near_misses: [("its stamp is not a time".into(), 4)].into(),
            pending_releases: 2,
            released: 10,
            ceiling: Some("6001 new blocks in a minute".into()),
            fifo: Some(FifoState {
                path: "/run/spamdrop/recent".into(),
                added: 5,
                removed: 4,
                flushed: 3,
                protected: 2,
                malformed: 1,
                failed: 0,
            }),
            gate: Some(GateState {
                mode: ActiveGateMode::Observe,
                open: 31,
                slots: 40,
                known: 250,
                admitted: 9_000,
                known_or_allowed: 120,
                starvation_admits: 6,
                refused: [1, 20, 300],
                full: 17,
            }),
            responder: Some(ResponderState {
                connections: 3,
                peak: 75,
                answered: 900,
                limited: 20,
                lost_lines: 1,
            }),
            zones: vec![ZoneFigures {
                zone: "zen.example".into(),
                state: "works".into(),
                listed: 5,
                unlisted: 4,
                failed: 3,
            }],
            server_settings: Some(SettingsState {
                servers: vec!["postfix".into()],
                read_unix_s: 1_795_424_401,
            }),
            reload: Some(ReloadState::new(
                MonotonicNs::from_ns(77),
                Err("`ttl` is wrong".into()),
            )),
            warnings: vec!["/var/log/b.log is absent".into()],
            degraded_by: Vec::new(),
        }
    }

    #[test]
    fn text_says_everything() {
        let mut out = Vec::new();
        write_text(&mut out, &state(), Duration::from_secs(6)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "  warning: the daemon has not been responding for 6s
  /var/log/mail.log: following, not trusted, 1234 lines read, 3 too long, 56 bytes behind
  note: a plain file cannot tell a line that a local user forged from a real one; the journal can
  blocked: 12
  protected: 1
  near miss, its stamp is not a time: 4
  releases: 2 pending, 10 connections ended
  /run/spamdrop/recent: 5 added, 4 removed, 3 flushed; not executed: 2 protected, 1 malformed, 0 failed
  settings of postfix: read 3h ago
  gate: observe, 31 of 40 slots in use, 250 known senders
  gate: would have refused 321 SYNs of strangers; meanwhile 120 of known or allowlisted senders passed
  responder: 3 connections, at most 75 so far; 900 recipients rejected, 20 connections ended by a limit, 1 log line lost
  blocking pauses: 6001 new blocks in a minute
  warning: /var/log/b.log is absent
"
        );
    }

    #[test]
    fn the_journal_and_standard_input_need_no_note() {
        let source = |path: &str, trusted, unfit| SourceState {
            path: path.into(),
            state: "reading".into(),
            trusted,
            unfit,
            ..SourceState::default()
        };
        let state = DaemonState {
            sources: vec![source("journal", true, 2), source("-", false, 0)],
            ..DaemonState::default()
        };
        let mut out = Vec::new();
        write_text(&mut out, &state, FRESH).unwrap();
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
        write_text(&mut out, &DaemonState::default(), FRESH).unwrap();
        assert_eq!(out, b"  releases: 0 pending, 0 connections ended\n");
    }

    #[test]
    fn json_has_these_names() {
        assert_eq!(
            serde_json::to_string(&state()).unwrap(),
            r#"{"version":1,"since_unix_s":1795431601,"written_unix_s":1795435201,"config":"/etc/spamdrop/spamdrop.toml","files":[{"path":"/var/log/mail.log","trusted":false,"state":"following","lines":1234,"overlong":3,"unfit":0,"lag_bytes":56,"silent":true}],"events":{"blocked":12,"protected":1},"near_misses":{"its stamp is not a time":4},"pending_releases":2,"released":10,"ceiling":"6001 new blocks in a minute","fifo":{"path":"/run/spamdrop/recent","added":5,"removed":4,"flushed":3,"protected":2,"malformed":1,"failed":0},"gate":{"mode":"observe","open":31,"slots":40,"known":250,"admitted":9000,"known_or_allowed":120,"starvation_admits":6,"refused":[1,20,300],"full":17},"responder":{"connections":3,"peak":75,"answered":900,"limited":20,"lost_lines":1},"zones":[{"zone":"zen.example","state":"works","listed":5,"unlisted":4,"failed":3}],"server_settings":{"servers":["postfix"],"read_unix_s":1795424401},"reload":{"begun_ns":77,"error":"`ttl` is wrong","changed":[],"needs_restart":[],"needs_detach":[],"failed":[]},"warnings":["/var/log/b.log is absent"],"degraded_by":[]}"#
        );
    }

    #[test]
    fn reads_what_it_writes_and_a_state_without_later_fields() {
        let json = serde_json::to_string(&state()).unwrap();
        assert_eq!(serde_json::from_str::<DaemonState>(&json).unwrap(), state());
        let older: DaemonState = serde_json::from_str(r#"{"version":1,"released":3}"#).unwrap();
        assert_eq!(
            older,
            DaemonState {
                version: 1,
                released: 3,
                ..DaemonState::default()
            }
        );
    }
}
