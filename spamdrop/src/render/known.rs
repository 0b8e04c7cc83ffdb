//! `known list`: known senders and their evidence.

use std::fmt::Write as _;
use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

use super::table::{self, Column, Style, left};
use spamdrop_core::reputation::{Record, SenderStanding};
use spamdrop_core::target::Target;
use spamdrop_core::time::UnixSeconds;

/// A sender. `known list --json` prints an array of these, IPv4 first, by
/// address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SenderRow {
    /// A host, `"192.0.2.1"`, or the /64 of one, `"2001:db8::/64"`.
    #[serde(rename = "addr")]
    pub source: Target,
    /// The standing that follows from the evidence.
    pub state: SenderStanding,
    /// When mail from it was last accepted; null: never.
    pub last_accepted_unix_s: Option<u64>,
    /// When it last accepted a message from this server; null: never.
    pub last_delivered_unix_s: Option<u64>,
    /// Until when it stays known without new evidence; null: it is not known, or it
    /// was added by hand.
    pub known_until_unix_s: Option<u64>,
    /// When it was last demoted or removed by hand; null: never.
    pub last_demoted_unix_s: Option<u64>,
}

impl SenderRow {
    /// The sender's standing at `now`; `None` if no evidence counts any more.
    #[must_use]
    pub fn new(source: Target, record: &Record, now: UnixSeconds) -> Option<Self> {
        let time = |at: UnixSeconds| (at != UnixSeconds::default()).then(|| at.get());
        let state = record.standing(now);
        (state != SenderStanding::Void).then(|| Self {
            source,
            state,
            last_accepted_unix_s: time(record.last_accepted()),
            last_delivered_unix_s: time(record.last_delivered()),
            known_until_unix_s: (state == SenderStanding::Known)
                .then(|| record.known_until().get()),
            last_demoted_unix_s: time(record.last_demoted()),
        })
    }
}

const COLUMNS: [Column<SenderRow>; 5] = [
    left("ADDRESS", |sender, text| write!(text, "{}", sender.source)),
    left("STATE", |sender, text| text.write_str(name(sender.state))),
    left("LAST MAIL", |sender, text| {
        date(sender.last_accepted_unix_s, text)
    }),
    left("LAST DELIVERY", |sender, text| {
        date(sender.last_delivered_unix_s, text)
    }),
    left("KNOWN UNTIL", |sender, text| {
        date(sender.known_until_unix_s, text)
    }),
];

/// Writes senders as a table. Dates are in UTC.
pub fn write_text(out: &mut impl Write, style: Style, senders: &[SenderRow]) -> io::Result<()> {
    table::write(out, style, &COLUMNS, senders)
}

fn name(state: SenderStanding) -> &'static str {
    match state {
        SenderStanding::Void => "void",
        SenderStanding::Demoted => "demoted",
        SenderStanding::Unproven => "unproven",
        SenderStanding::Known => "known",
        SenderStanding::ByHand => "by hand",
    }
}

fn date(unix_s: Option<u64>, text: &mut String) -> std::fmt::Result {
    let at = unix_s.and_then(|s| Timestamp::from_second(i64::try_from(s).ok()?).ok());
    match at {
        Some(at) => write!(text, "{}", at.strftime("%Y-%m-%d")),
        None => text.write_str("-"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::render::json;

    fn some() -> [SenderRow; 2] {
        let known = SenderRow {
            source: "192.0.2.1".parse().unwrap(),
            state: SenderStanding::Known,
            last_accepted_unix_s: Some(1_795_392_000),
            last_delivered_unix_s: Some(1_795_392_000 - 86_400),
            known_until_unix_s: Some(1_795_392_000 + 35 * 86_400 - 1),
            last_demoted_unix_s: None,
        };
        let by_hand = SenderRow {
            source: "2001:db8::1".parse().unwrap(),
            state: SenderStanding::ByHand,
            last_accepted_unix_s: None,
            last_delivered_unix_s: None,
            known_until_unix_s: None,
            last_demoted_unix_s: Some(9),
        };
        [known, by_hand]
    }

    #[test]
    fn text_and_json() {
        let mut out = Vec::new();
        write_text(&mut out, Style::Plain, &some()).unwrap();
        json::array(&mut out, some()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"ADDRESS        STATE    LAST MAIL   LAST DELIVERY  KNOWN UNTIL
192.0.2.1      known    2026-11-23  2026-11-22     2026-12-27
2001:db8::/64  by hand  -           -              -
[
{"addr":"192.0.2.1","state":"known","last_accepted_unix_s":1795392000,"last_delivered_unix_s":1795305600,"known_until_unix_s":1798415999,"last_demoted_unix_s":null},
{"addr":"2001:db8::/64","state":"by-hand","last_accepted_unix_s":null,"last_delivered_unix_s":null,"known_until_unix_s":null,"last_demoted_unix_s":9}
]
"#
        );
    }
}
