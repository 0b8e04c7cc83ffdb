#![expect(clippy::unwrap_used, reason = "a test may panic")]
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use spamdrop_core::target::Target;
use spamdrop_core::time::UnixSeconds;
use spamdrop_core::top::{TopAction, TopKey, TopMode, TopView};
use spamdrop_core::wave::Wave;

use super::look::TerminalLook;
use super::screen::draw;
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
        addr: addr.map(|addr| addr.parse::<Target>().unwrap()),
        count,
        wave_unix_s: None,
        by: by.to_owned(),
        text: text.to_owned(),
    }
}

fn picture() -> TopPicture {
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
    TopPicture {
        status,
        entries_read: Some(Duration::from_millis(72_400)),
        gate: TopGate {
            mode: "on",
            waits: true,
            open: Some(30),
            slots: 40,
        },
        figures: TopFigures {
            open: vec![0, 5, 10, 20, 40],
            refused_per_s: vec![0, 8, 4],
            dropped_per_s: (0..60).collect(),
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
    picture: &TopPicture,
    view: &mut TopView,
    look: TerminalLook,
) -> ratatui::buffer::Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    let listed = picture.shown(&view.filter).map(|row| row.entry.target);
    let listed: Vec<Target> = listed.collect();
    let row = view.follow(&listed);
    let draw = |frame: &mut ratatui::Frame<'_>| {
        draw(frame, picture, view, row, look, &TimeZone::UTC);
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
    let shown = lines(&drawn((80, 24), &picture(), &mut TopView::default(), UTF8));
    for (row, expected) in [
        (
            0,
            "DEGRADED: the daemon is not running, so nothing new is blocked; start `spamdrop",
        ),
        (1, "run` (protecting eth0, ports 25, 587: 1604 blocked)"),
        (
            5,
            "gate    on: strangers have to wait; 1412 SYNs were refused",
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
            "ADDRESS          HITS/S       HITS  EXPIRES   BY    ZONE OR REASON",
        ),
        (
            11,
            "192.0.2.66         12.3       4000  9m 12s    hand  zen.b.example",
        ),
        (
            12,
            "2001:db8::/64       0.5      50000  9m 12s    hand  ..8::1,port=4711: 511 Listed",
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
    let shown = lines(&drawn((200, 60), &picture(), &mut TopView::default(), UTF8));
    assert!(shown[0].ends_with("1604 blocked)"), "{shown:#?}");
    let sources: Vec<&String> = shown
        .iter()
        .filter(|line| line.contains("511 Listed"))
        .collect();
    assert_eq!(
        *sources[0],
        "192.0.2.66         12.3       4000  9m 12s    hand  zen.b.example                 \
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
            let buffer = drawn(size, &picture(), &mut view, PLAIN_ASCII);
            let is_plain = |cell: &ratatui::buffer::Cell| {
                cell.symbol().is_ascii() && cell.fg == Color::Reset && cell.bg == Color::Reset
            };
            assert!(buffer.content.iter().all(is_plain), "{:#?}", lines(&buffer));
        }
    }
    let buffer = drawn((80, 24), &picture(), &mut TopView::default(), PLAIN_ASCII);
    assert!(
        lines(&buffer)[2].ends_with(" ..-#"),
        "{:#?}",
        lines(&buffer)
    );
    let coloured = drawn((80, 24), &picture(), &mut TopView::default(), UTF8);
    assert_eq!(coloured[(0, 0)].fg, Color::Yellow);
}

#[test]
fn the_selected_source_is_reversed_and_stays_in_sight() {
    let mut picture = picture();
    let target = |index: u32| Target::V4((0xc000_0200 + index).to_be_bytes());
    picture.sources = (0..100)
        .map(|index| row(&target(index).to_string(), 1.0, 100, None))
        .collect();
    let listed: Vec<Target> = (0..100).map(target).collect();
    let mut view = TopView::default();
    view.press(TopKey::Down, &listed);
    for (key, index) in [(TopKey::Home, 0), (TopKey::End, 99)] {
        view.press(key, &listed);
        let buffer = drawn((80, 24), &picture, &mut view, PLAIN_ASCII);
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
        lines(&drawn((80, 24), &picture(), &mut view, PLAIN_ASCII)).join("\n")
    };
    let asked = shown("jr");
    assert!(asked.contains("+ confirm ---"), "{asked}");
    assert!(asked.contains("| spamdrop remove 192.0.2.66"), "{asked}");
    assert!(shown("n?").contains("| q, Ctrl-C         quit"));
    assert!(shown("xp").contains("\nPAUSED, p goes on  q quit"));
    let filtered = shown("p/2001");
    assert!(filtered.ends_with("\nfilter: 2001_   (Enter keeps it, Esc clears it)"));
    assert!(!filtered.contains("12.3") && filtered.contains("2001:db8::/64"));
    assert!(!filtered.contains("none of the top ones matches"));
    view.press(TopKey::Char('x'), &listed);
    let none = lines(&drawn((80, 24), &picture(), &mut view, PLAIN_ASCII)).join("\n");
    assert!(none.contains("\nnone of the top ones matches; "), "{none}");
    view.press(TopKey::Backspace, &listed);
    view.press(TopKey::Enter, &listed);
    let kept = lines(&drawn((80, 24), &picture(), &mut view, PLAIN_ASCII)).join("\n");
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
            drawn(size, &picture(), &mut view, UTF8);
        }
    }
}

#[test]
fn text_says_the_same() {
    let mut out = Vec::new();
    let mut picture = picture();
    picture.unknown.push("the zones: no".into());
    text(&mut out, Style::Plain, &picture, &TimeZone::UTC).unwrap();
    let text = String::from_utf8(out).unwrap();
    let expected = "\
slots    30 of 40
refused  4/s
dropped  59/s
gate     on: strangers have to wait; 1412 SYNs were refused
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
    json::object(&mut out, &picture()).unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let status = serde_json::to_value(&picture().status).unwrap();
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
    let mut picture = picture();
    picture.status.maps = None;
    picture.entries_read = None;
    picture.gate = TopGate {
        mode: "off",
        ..TopGate::default()
    };
    picture.figures = TopFigures::default();
    assert_eq!(picture.gate(), "off");
    assert_eq!(
        picture.title(),
        "no filter is attached, so nothing is blocked"
    );
    let line = watch_line(&picture);
    assert!(
        line.ends_with("; slots -, SYNs refused -, packets dropped -"),
        "{line}"
    );
    picture.gate.mode = "observe";
    assert_eq!(
        picture.gate(),
        "observe: everybody passes; 0 SYNs would have been refused"
    );
}
