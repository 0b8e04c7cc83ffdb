//! Stored state that spamdrop reads again: a damaged file is refused or can be
//! shown, and a value that was read is written as it was.

use std::time::Duration;

use jiff::tz::TimeZone;
use spamdrop::render::page::ReportPage;
use spamdrop::render::picture::Switches;
use spamdrop::render::wave_detail::{self, WaveDetail};
use spamdrop::render::waves::{self, NumberedWave};
use spamdrop::render::{daemon, table::Style, wave};
use spamdrop::tail::Positions;
use spamdrop_core::health::{DaemonHealth, HealthFacts, judge};
use spamdrop_core::status::DaemonState;
use spamdrop_core::wave::{Point, Wave};

/// Takes the bytes as the read positions, as the daemon's state, and as a
/// stored wave.
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    if let Ok(positions) = Positions::parse(data) {
        let written = serde_json::to_vec(&positions).expect("JSON");
        assert_eq!(Positions::parse(&written).as_ref(), Ok(&positions));
    }
    if let Ok(state) = serde_json::from_slice(data) {
        check_state(&state);
    }
    if let Ok(wave) = serde_json::from_slice(data) {
        check_wave(&wave);
    }
}

fn check_state(state: &DaemonState) {
    let written = serde_json::to_vec(state).expect("JSON");
    let read: DaemonState = serde_json::from_slice(&written).expect("what was written");
    assert_eq!(read, *state);
    daemon::write_text(&mut Vec::new(), state, Duration::MAX).expect("a vector takes all");
    let facts = HealthFacts {
        filtered: &["eth0".to_owned()],
        unfiltered: &[],
        allowlist: None,
        ports: &[25],
        blocked: 0,
        paused: &[],
        daemon: DaemonHealth::Running(state, Duration::ZERO),
    };
    let report = judge(facts);
    assert!(state.degraded_by.is_empty() || !report.reasons.is_empty());
}

fn check_wave(stored: &Wave) {
    let written = serde_json::to_vec(stored).expect("JSON");
    // A fraction of a second may be rounded.
    serde_json::from_slice::<Wave>(&written).expect("what was written");
    let zone = TimeZone::UTC;
    assert!(!wave::format_line(stored, &zone).is_empty());
    assert!(stored.end_unix_s() >= stored.start_unix_s);
    let numbered = |number| NumberedWave {
        number,
        wave: stored.clone(),
    };
    let report = waves::WaveReport {
        recording: true,
        since_unix_s: 0,
        until_unix_s: u64::MAX,
        has_end: false,
        waves: vec![numbered(1), numbered(2)],
    };
    let courses = [(numbered(1), vec![Point::default()])];
    waves::write_report(&mut Vec::new(), Style::Plain, 80, &report, &zone)
        .expect("a vector takes all");
    let page = ReportPage {
        host: "mx",
        report: &report,
        courses: &courses,
        switches: Switches::default(),
        zone: &zone,
    };
    let detail = WaveDetail {
        numbered: numbered(1),
        points: vec![Point::default()],
    };
    wave_detail::write_detail(&mut Vec::new(), Style::Plain, 80, &detail, &zone)
        .expect("a vector takes all");
    assert!(!page.html().expect("a page").is_empty());
}
