#![expect(clippy::unwrap_used, reason = "a test may panic")]
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use spamdrop_core::target::{ShownNet, Target, parse_net};
use spamdrop_core::time::UnixSeconds;
use spamdrop_core::top::{TopAction, TopKey, TopMode, TopView};
use spamdrop_core::wave::Wave;

use super::look::TerminalLook;
use super::popup::hidden_rows;
use super::screen::{ReadFailure, draw};
use super::*;
use crate::render::entries::tests::entry;
use crate::render::status::tests::status;

fn row(target: &str, hits_per_s: f64, hits: u32, zone: Option<&str>) -> TopRow {
    TopRow {
        entry: LiveEntry {
            hits,
            ..entry(target)
        },
        hits_per_s,
        zone: zone.map(str::to_owned),
        reason: format!("mx1 courieresmtpd: error,relay={target},port=4711: 511 Listed"),
    }
}

fn event(addr: Option<&str>, count: u64, by: &str, text: &str) -> HistoryRow {
    HistoryRow {
        first_unix_s: 1_795_392_000,
        last_unix_s: 1_795_392_060,
        event: if by.is_empty() { "blocked" } else { "command" },
        addr: addr.map(|addr| ShownNet(parse_net(addr).unwrap())),
        count,
        wave_unix_s: None,
        by: by.to_owned(),
        text: text.to_owned(),
    }
}

fn snapshot() -> TopSnapshot {
    let mut status = status();
    status.interfaces.truncate(1);
    status.wave = Some(Wave {
        start_unix_s: 1_795_392_000,
        length_s: 63.5,
        ongoing: true,
        slots: 40,
        peak_open: 38,
        ..Wave::default()
    });
    status.report = status.judge(UnixSeconds::new(0));
    TopSnapshot {
        status,
        entries_read: Some(Duration::from_millis(72_400)),
        gate: TopGate {
            mode: "on",
            waits: true,
            open: Some(30),
            slots: 40,
        },
        figures: TopFigures {
            open: [0, 5, 10, 20, 40].map(Some).into(),
            refused_per_s: [0, 8, 4].map(Some).into(),
            dropped_per_s: (0..60).map(Some).collect(),
            refused: 1412,
            dropped: 70_000,
        },
        sources: vec![
            row("192.0.2.66", 12.34, 4_000, Some("zen.b.example")),
            row("2001:db8::1", 0.5, 50_000, None),
            row("192.0.2.0/24", 0.0, 7, None),
        ],
        events: vec![
            event(None, 5, "anna", "import list"),
            event(Some("192.0.2.66"), 3, "", "511 Listed"),
        ],
        is_database_read: true,
        unknown: Vec::new(),
    }
}

const UTF8: TerminalLook = TerminalLook {
    style: Style::Coloured,
    is_utf8: true,
};
const PLAIN_ASCII: TerminalLook = TerminalLook {
    style: Style::Plain,
    is_utf8: false,
};

/// The drawn cells.
fn drawn(
    size: (u16, u16),
    snapshot: &TopSnapshot,
    view: &mut TopView,
    look: TerminalLook,
) -> ratatui::buffer::Buffer {
    drawn_after(None, size, snapshot, view, look)
}

fn drawn_after(
    failure: Option<ReadFailure<'_>>,
    size: (u16, u16),
    snapshot: &TopSnapshot,
    view: &mut TopView,
    look: TerminalLook,
) -> ratatui::buffer::Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    let listed = snapshot.shown(&view.filter).map(|row| row.entry.target);
    let listed: Vec<Target> = listed.collect();
    let row = view.follow(&listed);
    let draw = |frame: &mut ratatui::Frame<'_>| {
        draw(frame, snapshot, failure, view, row, look, &TimeZone::UTC);
    };
    terminal.draw(draw).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &ratatui::buffer::Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let rows = buffer.content.chunks(width);
    let row = |cells: &[ratatui::buffer::Cell]| {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned()
    };
    rows.map(row).collect()
}

#[test]
fn a_small_screen_in_utf8() {
    let shown = lines(&drawn((80, 24), &snapshot(), &mut TopView::default(), UTF8));
    for (row, expected) in [
        (
            0,
            "DEGRADED: the daemon is not running, so nothing new is blocked; start `spamdrop",
        ),
        (1, "run` (protecting eth0, ports 25, 587: 1604 blocked)"),
        (
            5,
            "gate    on: strangers have to wait; 1412 SYNs were refused or would have been",
        ),
        (
            6,
            "wave    since 2026-11-23 00:00:00 +00:00, for 1m 3s so far: at most 38",
        ),
        (
            7,
            "        connections for 40 slots, 0 SYNs refused, 0 went to the responder",
        ),
        (9, "top of 1604 entries, all read 1m 12s ago, by hits/s"),
        (
            10,
            "ADDRESS          HITS/S       HITS  EXPIRES   BY        ZONE OR REASON",
        ),
        (
            11,
            "192.0.2.66         12.3       4000  9m 12s    hand      zen.b.example",
        ),
        (
            12,
            "2001:db8::/64       0.5      50000  9m 12s    hand      ..,port=4711: 511 Listed",
        ),
        (20, "recent events"),
        (
            21,
            "2026-11-23 00:01:00  command                    5 times by anna: import list",
        ),
        (
            22,
            "2026-11-23 00:01:00  blocked   192.0.2.66       3 times 511 Listed",
        ),
        (
            23,
            "q quit  s sort  / filter  p pause  Enter show  r remove  a allow  ? help",
        ),
    ] {
        assert_eq!(shown[row], expected, "{shown:#?}");
    }
    // The newest point is on the right, and a full bar is all slots.
    assert!(shown[2].starts_with("slots   30 of 40 ") && shown[2].ends_with(" ▁▂▄█"));
    assert_eq!(shown[2].chars().count(), 80);
    assert!(shown[3].starts_with("refused 4/s ") && shown[3].ends_with(" █▄"));
    assert!(shown[4].starts_with("dropped 59/s ") && shown[4].ends_with("▇█"));
}

#[test]
fn a_large_screen_has_the_zone_and_the_reason() {
    let shown = lines(&drawn(
        (200, 60),
        &snapshot(),
        &mut TopView::default(),
        UTF8,
    ));
    assert!(shown[0].ends_with("1604 blocked)"), "{shown:#?}");
    let sources: Vec<&String> = shown
        .iter()
        .filter(|line| line.contains("511 Listed"))
        .collect();
    assert_eq!(
        *sources[0],
        "192.0.2.66         12.3       4000  9m 12s    hand      zen.b.example                 \
         mx1 courieresmtpd: error,relay=192.0.2.66,port=4711: 511 Listed"
    );
    assert_eq!(sources.len(), 4, "{shown:#?}");
    assert!(shown[59].starts_with("q quit "), "{shown:#?}");
}

#[test]
fn ascii_without_colours() {
    let mut view = TopView::default();
    for mode in [
        TopMode::List,
        TopMode::Help,
        TopMode::Confirm(TopAction::Remove("192.0.2.66".parse().unwrap())),
    ] {
        view.mode = mode;
        for size in [(80, 24), (200, 60)] {
            let buffer = drawn(size, &snapshot(), &mut view, PLAIN_ASCII);
            let is_plain = |cell: &ratatui::buffer::Cell| {
                cell.symbol().is_ascii() && cell.fg == Color::Reset && cell.bg == Color::Reset
            };
            assert!(buffer.content.iter().all(is_plain), "{:#?}", lines(&buffer));
        }
    }
    let buffer = drawn((80, 24), &snapshot(), &mut TopView::default(), PLAIN_ASCII);
    assert!(
        lines(&buffer)[2].ends_with(" ..-#"),
        "{:#?}",
        lines(&buffer)
    );
    let coloured = drawn((80, 24), &snapshot(), &mut TopView::default(), UTF8);
    assert_eq!(coloured[(0, 0)].fg, Color::Yellow);
}

#[test]
fn the_selected_source_is_reversed_and_stays_in_sight() {
    let mut snapshot = snapshot();
    let target = |index: u32| Target::V4((0xc000_0200 + index).to_be_bytes());
    snapshot.sources = (0..100)
        .map(|index| row(&target(index).to_string(), 1.0, 100, None))
        .collect();
    let listed: Vec<Target> = (0..100).map(target).collect();
    let mut view = TopView::default();
    view.press(TopKey::Down, &listed);
    for (key, index) in [(TopKey::Home, 0), (TopKey::End, 99)] {
        view.press(key, &listed);
        let buffer = drawn((80, 24), &snapshot, &mut view, PLAIN_ASCII);
        let shown = lines(&buffer);
        let wanted = format!("{} ", target(index));
        let row = shown.iter().position(|line| line.starts_with(&wanted));
        let row = u16::try_from(row.unwrap()).unwrap();
        assert!(
            buffer[(0, row)]
                .modifier
                .contains(ratatui::style::Modifier::REVERSED)
        );
    }
}

#[test]
fn the_windows_and_the_last_line_tell_the_mode() {
    let mut view = TopView::default();
    let listed = [Target::from(
        "192.0.2.66".parse::<std::net::IpAddr>().unwrap(),
    )];
    let mut shown = |keys: &str| {
        for key in keys.chars() {
            view.press(TopKey::Char(key), &listed);
        }
        lines(&drawn((80, 24), &snapshot(), &mut view, PLAIN_ASCII)).join("\n")
    };
    let asked = shown("jr");
    assert!(asked.contains("+ confirm ---"), "{asked}");
    assert!(asked.contains("| spamdrop remove 192.0.2.66"), "{asked}");
    assert!(shown("n?").contains("| q, Ctrl-C         quit"));
    assert!(shown("xp").contains("\nPAUSED, p goes on  q quit"));
    let filtered = shown("p/2001");
    assert!(filtered.ends_with("\nfilter: 2001_   (Enter keeps it, Esc clears it)"));
    assert!(!filtered.contains("12.3") && filtered.contains("2001:db8::/64"));
    assert!(!filtered.contains("none of the top entries matches"));
    view.press(TopKey::Char('x'), &listed);
    let none = lines(&drawn((80, 24), &snapshot(), &mut view, PLAIN_ASCII)).join("\n");
    assert!(none.contains("\nnone of the top entries "), "{none}");
    view.press(TopKey::Backspace, &listed);
    view.press(TopKey::Enter, &listed);
    let kept = lines(&drawn((80, 24), &snapshot(), &mut view, PLAIN_ASCII)).join("\n");
    assert!(kept.contains("\nFILTER 2001  q quit"), "{kept}");
}

#[test]
fn any_size_is_drawn() {
    for size in [(1, 1), (10, 3), (40, 10), (79, 23), (300, 100)] {
        for mode in [
            TopMode::Help,
            TopMode::Text("title".into(), vec!["x".repeat(500); 90], 80),
        ] {
            let mut view = TopView::default();
            view.mode = mode;
            drawn(size, &snapshot(), &mut view, UTF8);
        }
    }
}

#[test]
fn text_says_the_same() {
    let mut out = Vec::new();
    let mut snapshot = snapshot();
    snapshot.unknown.push("the zones: no".into());
    write_text(&mut out, Style::Plain, &snapshot, &TimeZone::UTC).unwrap();
    let text = String::from_utf8(out).unwrap();
    let expected = "\
slots    30 of 40
refused  4/s
dropped  59/s
gate     on: strangers have to wait; 1412 SYNs were refused or would have been
wave     since 2026-11-23 00:00:00 +00:00, for 1m 3s so far: at most 38 connections for 40 \
slots, 0 SYNs refused, 0 went to the responder
unknown  the zones: no

top of 1604 entries, all read 1m 12s ago
ADDRESS        HITS/S   HITS  EXPIRES  STATE   BY    ZONE           REASON
192.0.2.66       12.3   4000  9m 12s   sealed  hand  zen.b.example  mx1 courieresmtpd: ";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("\n\nrecent events\nFIRST "), "{text}");
}

#[test]
fn json_has_status_and_list_as_they_print_them() {
    let mut out = Vec::new();
    json::object(&mut out, &snapshot()).unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let status = serde_json::to_value(&snapshot().status).unwrap();
    assert_eq!(shown["status"], status);
    assert_eq!(shown["entries_read_s_ago"], 72.4);
    assert_eq!(shown["sources"][0]["addr"], "192.0.2.66");
    assert_eq!(shown["sources"][0]["hits"], 4_000);
    assert_eq!(shown["sources"][0]["hits_per_s"], 12.3);
    assert_eq!(
        shown["figures"]["refused_per_s"],
        serde_json::json!([0, 8, 4])
    );
    assert_eq!(shown["events"][1]["event"], "blocked");
    assert_eq!(shown["gate"]["open"], 30);
}

#[test]
fn without_a_filter_and_with_the_gate_off() {
    let mut snapshot = snapshot();
    snapshot.status.maps = None;
    snapshot.entries_read = None;
    snapshot.gate = TopGate {
        mode: "off",
        ..TopGate::default()
    };
    snapshot.figures = TopFigures::default();
    assert_eq!(snapshot.describe_gate(), "off");
    assert_eq!(
        snapshot.describe_sources(&SourceFilter::default()),
        "no filter is attached, so nothing is blocked"
    );
    let line = watch_line(&snapshot);
    assert!(
        line.ends_with("; slots -, SYNs refused -, packets dropped -"),
        "{line}"
    );
    snapshot.gate.mode = "observe";
    assert_eq!(
        snapshot.describe_gate(),
        "observe: everybody passes; 0 SYNs were refused or would have been"
    );
}

#[test]
fn an_old_snapshot_is_named_before_its_health_line() {
    let mut snapshot = snapshot();
    snapshot.status.report.health = spamdrop_core::health::Health::Protected;
    let failure = ReadFailure {
        error: "cannot read counters: no",
        age: Duration::from_secs(7),
    };
    let mut view = TopView::default();
    let buffer = drawn_after(Some(failure), (80, 24), &snapshot, &mut view, UTF8);
    let shown = lines(&buffer);
    assert_eq!(
        shown[0], "CANNOT READ: cannot read counters: no; the figures are 7s old",
        "{shown:#?}"
    );
    assert_eq!(buffer[(0, 0)].fg, Color::Red);
    assert!(shown[1].starts_with("before: "), "{shown:#?}");
    assert!(buffer.content.iter().all(|cell| cell.fg != Color::Green));
}

#[test]
fn without_the_database_neither_events_nor_a_wave_are_denied() {
    let mut snapshot = snapshot();
    snapshot.status.wave = None;
    snapshot.events.clear();
    let words = |snapshot: &TopSnapshot| {
        let mut out = Vec::new();
        write_text(&mut out, Style::Plain, snapshot, &TimeZone::UTC).unwrap();
        let view = &mut TopView::default();
        let screen = lines(&drawn((80, 24), snapshot, view, UTF8)).join("\n");
        [String::from_utf8(out).unwrap(), screen]
    };
    assert!(
        words(&snapshot)
            .iter()
            .all(|it| it.contains("none was recorded"))
    );
    snapshot.is_database_read = false;
    for shown in words(&snapshot) {
        assert!(!shown.contains("none was recorded"), "{shown}");
        let unknown = shown.matches("unknown: the database cannot be read");
        assert_eq!(unknown.count(), 2, "{shown}");
    }
}

#[test]
fn what_was_not_measured_is_a_gap_and_no_rate() {
    let mut snapshot = snapshot();
    snapshot.figures.refused_per_s = vec![Some(8), None, Some(8), None];
    let shown = lines(&drawn((80, 24), &snapshot, &mut TopView::default(), UTF8));
    assert!(shown[3].starts_with("refused - "), "{shown:#?}");
    assert!(shown[3].ends_with(" █ █"), "{shown:#?}");
}

#[test]
fn a_text_that_is_wrapped_scrolls_to_its_end() {
    let word = "x".repeat(30);
    let lines_of: Vec<String> = (0..30)
        .map(|row| format!("{row} {word} {word} {word}"))
        .collect();
    let mut view = TopView::default();
    view.mode = TopMode::Text("title".into(), lines_of, 0);
    let area = ratatui::layout::Rect::new(0, 0, 80, 24);
    let hidden = hidden_rows(area, &view);
    // Each line takes two rows of 76 cells, and 22 rows have room.
    assert_eq!(hidden, 60 - 22);
    view.limit_scroll(hidden);
    view.press(TopKey::End, &[]);
    let shown = lines(&drawn((80, 24), &snapshot(), &mut view, PLAIN_ASCII)).join("\n");
    let last = format!("| 29 {word} {word}");
    assert!(shown.contains(&last), "{shown}");
    assert!(shown.contains("+ rows 39 to 60 of 60, j, k -"), "{shown}");
}

#[test]
fn a_long_health_line_takes_four_rows_and_says_that_it_is_cut() {
    let mut snapshot = snapshot();
    snapshot.unknown.push("the zones: no".into());
    let mut view = TopView::default();
    for (look, end) in [(UTF8, "…"), (PLAIN_ASCII, "...")] {
        let shown = lines(&drawn((20, 24), &snapshot, &mut view, look));
        assert!(shown[3].ends_with(end), "{shown:#?}");
        assert!(shown[4].starts_with("slots"), "{shown:#?}");
    }
}
