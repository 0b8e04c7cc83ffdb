#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use regex::Regex;
use spamdrop_core::pause::PausedLayer;
use spamdrop_core::status::{DaemonState, FRESH};

use super::*;
use crate::render::daemon::tests::state;
use crate::render::status::DaemonStatus;
use crate::render::status::tests::status as without_daemon;

/// When the state of [`state`] was written, in seconds since 1970.
const WRITTEN: u64 = 1_795_435_201;

fn status(state: Option<DaemonState>) -> Status {
    let now = UnixSeconds::new(WRITTEN);
    let mut status = without_daemon();
    status.daemon = Some(DaemonStatus {
        pid: 99,
        state,
        unreadable: None,
    });
    status.paused = vec![PausedLayer {
        layer: Layer::Gate,
        remaining: Duration::from_millis(59_500),
    }];
    status.report = status.judge(now);
    status
}

fn shown(status: &Status, filter: Option<&FilterCounters>, now: u64) -> String {
    let mut out = Vec::new();
    let now = UnixSeconds::new(now);
    let figures = Figures {
        status,
        filter,
        now,
    };
    write_text(&mut out, figures).unwrap();
    String::from_utf8(out).unwrap()
}

/// The text with every metric.
fn whole() -> String {
    let filter = FilterCounters {
        packets: Counters {
            sealed_dropped: 12,
            ..Counters::default()
        },
        gate: GateStats {
            admitted: 100,
            known_or_allowed: 20,
            starvation_admits: 3,
            refused: [1, 20, 300],
            ..GateStats::default()
        },
    };
    shown(&status(Some(state())), Some(&filter), WRITTEN)
}

/// The names of the metrics, with their kinds.
fn kinds(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let parts = types.map(|line| line.split_once(' ').unwrap());
    parts
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

#[test]
fn every_figure_is_a_metric() {
    let text = whole();
    for line in [
        concat!(
            "spamdrop_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ),
        "spamdrop_metrics_timestamp_seconds 1795435201",
        "spamdrop_up 1",
        "spamdrop_health 1",
        "spamdrop_attached{interface=\"eth0\",mode=\"native\"} 1",
        "spamdrop_attached{interface=\"eth3\",mode=\"none\"} 0",
        "spamdrop_entries{family=\"ipv4\",state=\"open\"} 1",
        "spamdrop_entries{family=\"ipv4\",state=\"sealed\"} 799",
        "spamdrop_entries{family=\"ipv6_address\",state=\"sealed\"} 2",
        "spamdrop_entries{family=\"prefix\",state=\"sealed\"} 2",
        "spamdrop_entries_capacity{family=\"ipv6\"} 1000",
        "spamdrop_allowlist_prefixes{source=\"automatic\"} 7",
        "spamdrop_packets_total{reason=\"sealed_dropped\"} 12",
        "spamdrop_packets_total{reason=\"not_blocked\"} 0",
        "spamdrop_gate_syns_total{class=\"all\",result=\"admitted\"} 100",
        "spamdrop_gate_syns_total{class=\"2\",result=\"refused\"} 300",
        "spamdrop_gate_known_syns_total 20",
        "spamdrop_gate_starvation_syns_total 3",
        "spamdrop_paused_seconds{layer=\"gate\"} 59",
        "spamdrop_paused_seconds{layer=\"drop\"} 0",
        "spamdrop_blocking_paused 1",
        "spamdrop_tail_lag_bytes{source=\"/var/log/mail.log\"} 56",
        "spamdrop_tail_reading{source=\"/var/log/mail.log\"} 0",
        "spamdrop_tail_silent{source=\"/var/log/mail.log\"} 1",
        "spamdrop_events_total{decision=\"blocked\"} 12",
        "spamdrop_gate_open_connections 31",
        "spamdrop_gate_slots 40",
        "spamdrop_gate_on 0",
        "spamdrop_lookups_total{zone=\"zen.example\",result=\"listed\"} 5",
        "spamdrop_zone_broken{zone=\"zen.example\"} 0",
        "spamdrop_zone_tested{zone=\"zen.example\"} 1",
        "spamdrop_responder_connections 3",
        "spamdrop_fifo_commands_total{result=\"malformed\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
    }
}

#[test]
fn what_only_the_daemon_knows_is_left_out_while_it_is_down_or_hangs() {
    let mut down = status(None);
    down.daemon = None;
    let hanging = status(Some(state()));
    let later = WRITTEN + FRESH.as_secs() + 1;
    for (status, now) in [
        (&down, WRITTEN),
        (&hanging, later),
        (&status(None), WRITTEN),
    ] {
        let text = shown(status, Some(&FilterCounters::default()), now);
        assert!(text.contains("\nspamdrop_up 0\n"), "{text}");
        let names: BTreeSet<String> = kinds(&text).into_keys().collect();
        let expected = [
            "spamdrop_allowlist_prefixes",
            "spamdrop_attached",
            "spamdrop_build_info",
            "spamdrop_entries",
            "spamdrop_entries_capacity",
            "spamdrop_gate_known_syns_total",
            "spamdrop_gate_starvation_syns_total",
            "spamdrop_gate_syns_total",
            "spamdrop_health",
            "spamdrop_health_reasons",
            "spamdrop_metrics_timestamp_seconds",
            "spamdrop_packets_total",
            "spamdrop_paused_seconds",
            "spamdrop_up",
        ];
        assert!(names.iter().eq(expected.iter()), "{names:?}");
    }
}

#[test]
fn without_a_filter_the_health_says_so() {
    let mut status = without_daemon();
    status.interfaces.clear();
    status.maps = None;
    status.report = status.judge(UnixSeconds::new(WRITTEN));
    let text = shown(&status, None, WRITTEN);
    assert!(text.contains("\nspamdrop_health 2\n"), "{text}");
    assert!(!text.contains("spamdrop_packets_total"), "{text}");
}

#[test]
fn only_counters_end_in_total() {
    let kinds = kinds(&whole());
    assert!(kinds.len() > 30, "{kinds:?}");
    for (name, kind) in kinds {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} {kind}");
    }
}

#[test]
fn no_label_is_an_address() {
    let text = whole();
    let label = Regex::new("=\"([^\"]*)\"").unwrap();
    for found in label.captures_iter(&text) {
        let is_address = found[1].parse::<IpAddr>().is_ok();
        assert!(!is_address, "{}", &found[0]);
    }
}

/// The delivered files that name metrics.
const USERS: [(&str, &str); 3] = [
    ("metrics.md", include_str!("../../../docs/metrics.md")),
    (
        "grafana/spamdrop.json",
        include_str!("../../../dist/grafana/spamdrop.json"),
    ),
    (
        "prometheus/rules.yml",
        include_str!("../../../dist/prometheus/rules.yml"),
    ),
];

#[test]
fn the_guide_the_dashboard_and_the_alerts_name_metrics_that_exist() {
    let kinds = kinds(&whole());
    let named = Regex::new("spamdrop_[a-z0-9_]+").unwrap();
    for (file, text) in USERS {
        let names: BTreeSet<&str> = named.find_iter(text).map(|it| it.as_str()).collect();
        assert!(names.len() > 5, "{file}: {names:?}");
        for name in names {
            assert!(kinds.contains_key(name), "{file}: no metric {name}");
        }
    }
}

#[test]
fn the_guide_names_every_metric() {
    for name in kinds(&whole()).into_keys() {
        let is_named = ["`", "{"].map(|end| format!("`{name}{end}"));
        assert!(is_named.iter().any(|it| USERS[0].1.contains(it)), "{name}");
    }
}

/// Grafana reads the dashboard as JSON, and shows a panel only with a query.
#[test]
fn every_panel_of_the_dashboard_has_a_query() {
    let dashboard: serde_json::Value = serde_json::from_str(USERS[1].1).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 10);
    for panel in panels {
        let targets = panel["targets"].as_array().unwrap();
        let is_query = |target: &serde_json::Value| target["expr"].is_string();
        assert!(
            !targets.is_empty() && targets.iter().all(is_query),
            "{panel}"
        );
    }
}
