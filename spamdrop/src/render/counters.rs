//! `stats`: the filter's counters.

use std::fmt::Write as _;
use std::io::{self, Write};

use spamdrop_common::counter::{Counters, Reason};

use super::json;
use super::table::{self, Column, Style, left, right};

type CounterRow = (u64, &'static str, &'static str);

const COLUMNS: [Column<CounterRow>; 3] = [
    right("PACKETS", |row, text| write!(text, "{}", row.0)),
    left("REASON", |row, text| text.write_str(row.1)),
    left("MEANING", |row, text| text.write_str(row.2)),
];

/// Writes every counter, drops first, and the totals.
pub fn write_text(out: &mut impl Write, style: Style, counters: &Counters) -> io::Result<()> {
    let mut reasons = Reason::ALL.to_vec();
    reasons.sort_by_key(|reason| !reason.is_drop());
    let mut rows: Vec<CounterRow> = reasons
        .iter()
        .map(|&reason| (counters.get(reason), reason.name(), reason.description()))
        .collect();
    let total = |dropped: bool| -> u64 {
        let counted = reasons.iter().filter(|reason| reason.is_drop() == dropped);
        counted.map(|&reason| counters.get(reason)).sum()
    };
    rows.push((total(true), "dropped", "All dropped packets."));
    rows.push((total(false), "passed", "All passed packets."));
    table::write(out, style, &COLUMNS, &rows)
}

/// Writes one object: packets by the [name](Reason::name) of the reason,
/// sorted. `stats --json` prints this.
pub fn json(out: &mut impl Write, counters: &Counters) -> io::Result<()> {
    let mut object = serde_json::Map::new();
    for &reason in Reason::ALL {
        object.insert(reason.name().into(), counters.get(reason).into());
    }
    json::object(out, &object)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const COUNTED: Counters = Counters {
        not_ip: 1,
        not_tcp: 2,
        later_fragment: 3,
        truncated: 4,
        too_many_headers: 5,
        other_port: 6,
        not_blocked: 7000,
        expired: 8,
        allowed: 9,
        open_passed: 10,
        other_host: 50,
        gate_known_or_allowed: 20,
        gate_answered: 30,
        gate_refused: 40,
        open_dropped: 11,
        sealed_dropped: 12,
        cidr_dropped: 13,
        paused: 14,
        reserved: [0; 14],
    };

    #[test]
    fn drops_come_first_and_totals_last() {
        let mut out = Vec::new();
        write_text(&mut out, Style::Plain, &COUNTED).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..6],
            [
                "PACKETS  REASON                 MEANING",
                "     40  gate_refused           Dropped: a new connection while the server has no slots to spare.",
                "     11  open_dropped           Dropped: a new connection (SYN without ACK) from an open entry.",
                "     12  sealed_dropped         Dropped: any packet from a sealed entry.",
                "     13  cidr_dropped           Dropped: any packet from a blocked prefix.",
                "      1  not_ip                 Passed: neither IPv4 nor IPv6, or behind more than two VLAN tags.",
            ]
        );
        assert_eq!(
            lines[19..],
            [
                "     76  dropped                All dropped packets.",
                "   7162  passed                 All passed packets.",
            ]
        );
    }

    #[test]
    fn json_names_every_reason() {
        let mut out = Vec::new();
        json(&mut out, &COUNTED).unwrap();
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&out).unwrap();
        assert_eq!(object.len(), 18);
        assert_eq!(object["not_blocked"], 7000);
        assert_eq!(object["cidr_dropped"], 13);
    }
}
