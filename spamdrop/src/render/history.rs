//! `history`: events as a table.

use std::fmt::Write as _;
use std::io::{self, Write};

use jiff::tz::TimeZone;
use serde::Serialize;
use spamdrop_core::history::HistoryEvent;
use spamdrop_core::target::ShownNet;
use spamdrop_core::time::UnixSeconds;

use super::show::local_time;
use super::table::{self, Column, Style, left, right};

/// An event. `history --json` prints an array of these, in the order of their
/// beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryRow {
    /// When the event happened; if the row combines several, when the first did.
    pub first_unix_s: u64,
    /// When the last event of the row happened.
    pub last_unix_s: u64,
    /// `"blocked"`, `"ended"`, `"released"`, `"refused"`, `"observed"` (the gate would have
    /// refused it), `"promoted"`, `"demoted"` or `"command"`.
    pub event: &'static str,
    /// The address or prefix; `null`: all, or too many to name.
    pub addr: Option<ShownNet>,
    /// Number of the row's offences, connections or SYNs; of a command, number of
    /// addresses.
    pub count: u64,
    /// The start of the wave in which the gate refused the address; `null`: no wave.
    pub wave_unix_s: Option<u64>,
    /// The user who gave the command, or `fifo`; empty: the daemon.
    pub by: String,
    /// The last log line, or the command. Bytes other than printable ASCII are
    /// `\xNN`, a backslash is `\\`.
    pub text: String,
}

impl HistoryRow {
    /// The row of an event.
    #[must_use]
    pub fn new(event: HistoryEvent) -> Self {
        let wave = event.wave.get();
        Self {
            first_unix_s: event.first.get(),
            last_unix_s: event.last.get(),
            event: event.kind.name(),
            addr: event.net.map(ShownNet),
            count: event.count,
            wave_unix_s: (wave != 0).then_some(wave),
            by: event.by,
            text: event.text,
        }
    }
}

/// A row, with its times as they are shown.
struct ShownEvent {
    row: HistoryRow,
    first: String,
    last: String,
}

const COLUMNS: [Column<ShownEvent>; 7] = [
    left("FIRST", |shown, text| text.write_str(&shown.first)),
    left("LAST", |shown, text| text.write_str(&shown.last)),
    left("EVENT", |shown, text| text.write_str(shown.row.event)),
    left("ADDRESS", |shown, text| match shown.row.addr {
        Some(addr) => write!(text, "{addr}"),
        None => text.write_str("-"),
    }),
    right("COUNT", |shown, text| write!(text, "{}", shown.row.count)),
    left("BY", |shown, text| {
        text.write_str(match shown.row.by.as_str() {
            "" => "-",
            by => by,
        })
    }),
    left("TEXT", |shown, text| text.write_str(&shown.row.text)),
];

/// Writes events as a table, with times in `zone`.
pub fn write_text(
    out: &mut impl Write,
    style: Style,
    rows: &[HistoryRow],
    zone: &TimeZone,
) -> io::Result<()> {
    let time = |unix_s| local_time(UnixSeconds::new(unix_s), zone);
    let shown = rows.iter().map(|row| ShownEvent {
        row: row.clone(),
        first: time(row.first_unix_s),
        last: match row.last_unix_s {
            last if last == row.first_unix_s => "-".into(),
            last => time(last),
        },
    });
    table::write(out, style, &COLUMNS, &shown.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::render::json;
    use spamdrop_core::history::{BlockNote, HistoryKind};
    use spamdrop_core::target::Target;

    fn some() -> Vec<HistoryRow> {
        let at = UnixSeconds::new;
        let target: Target = "192.0.2.1".parse().unwrap();
        let addr = target.net().addr();
        let note = BlockNote {
            last: at(1_795_392_060),
            count: 2,
            ..BlockNote::new(addr, target, at(1_795_392_000))
        };
        let blocked = HistoryEvent::blocked(&note, b"511 no");
        let by = "anna".to_owned();
        let net = Some("192.0.2.0/24".parse().unwrap());
        let command = HistoryEvent::command(net, 1, at(1_795_392_090), by, b"remove 192.0.2.0/24");
        let refused = HistoryEvent {
            wave: at(1_795_391_000),
            ..HistoryEvent::new(HistoryKind::Refused, None, at(1_795_392_100))
        };
        let rows = [blocked, command, refused].map(HistoryRow::new);
        rows.into()
    }

    #[test]
    fn text_and_json() {
        let mut out = Vec::new();
        write_text(&mut out, Style::Plain, &some(), &TimeZone::UTC).unwrap();
        json::array(&mut out, some()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"FIRST                       LAST                        EVENT    ADDRESS       COUNT  BY    TEXT
2026-11-23 00:00:00 +00:00  2026-11-23 00:01:00 +00:00  blocked  192.0.2.1         2  -     511 no
2026-11-23 00:01:30 +00:00  -                           command  192.0.2.0/24      1  anna  remove 192.0.2.0/24
2026-11-23 00:01:40 +00:00  -                           refused  -                 1  -
[
{"first_unix_s":1795392000,"last_unix_s":1795392060,"event":"blocked","addr":"192.0.2.1","count":2,"wave_unix_s":null,"by":"","text":"511 no"},
{"first_unix_s":1795392090,"last_unix_s":1795392090,"event":"command","addr":"192.0.2.0/24","count":1,"wave_unix_s":null,"by":"anna","text":"remove 192.0.2.0/24"},
{"first_unix_s":1795392100,"last_unix_s":1795392100,"event":"refused","addr":null,"count":1,"wave_unix_s":1795391000,"by":"","text":""}
]
"#
        );
    }
}
