//! Inputs from the field, with the result of each line: the files of `cases`,
//! whose first lines name their sources.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use jiff::tz::TimeZone;
use spamdrop::config::Config;
use spamdrop_core::engine::{Engine, EngineSettings, Replay, ReplayedLine};
use spamdrop_core::log::Parsed;
use spamdrop_core::policy::{Decision, IgnoreReason, Protected};
use spamdrop_core::reputation::SenderStanding;
use spamdrop_core::target::Target;
use spamdrop_core::time::{Moment, unix_seconds};

use super::{directory, unix_time};

/// 2026-11-28 12:00:00 UTC, the day on which the cases were written.
const PRESENT: u64 = 1_795_867_200;
const DAY: u64 = 86_400;

/// The settings that the configuration gives.
fn settings(config: &str) -> EngineSettings {
    let mut settings = Config::parse(config).unwrap().engine().unwrap();
    settings.parser.zone = TimeZone::UTC;
    settings
}

fn replay(config: &str) -> Replay {
    Replay::new(settings(config), Protected::default(), unix_time(PRESENT))
}

/// The lines of a case.
fn lines(name: &str) -> Vec<String> {
    let path = directory().join("cases");
    let text = fs::read_to_string(path.join(name).with_extension("log")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// The result of each line in a word: the last number of the address that it
/// would block, `ok` for accepted mail, `broken` for a complaint of a blocklist,
/// `near` for a near miss, `stale` for a rejection that is too old, `ignored` for
/// another that blocks nobody, `delivered` for a delivery, `-` for an irrelevant
/// line.
fn results(name: &str, config: &str) -> Vec<String> {
    let mut replay = replay(config);
    let results = lines(name).into_iter();
    let results = results.map(|line| match replay.scan(line.as_bytes()) {
        ReplayedLine::Match(addr, _) => {
            let addr = addr.to_string();
            let number = addr.strip_prefix("198.51.100.");
            number.unwrap_or(&addr).to_owned()
        }
        ReplayedLine::Accepted(_) => "ok".into(),
        ReplayedLine::Ignored(IgnoreReason::BrokenBlocklist) => "broken".into(),
        ReplayedLine::Ignored(IgnoreReason::Stale) => "stale".into(),
        ReplayedLine::Ignored(_) => "ignored".into(),
        ReplayedLine::NearMiss(_) => "near".into(),
        ReplayedLine::Delivered(_) => "delivered".into(),
        ReplayedLine::Nothing => "-".into(),
    });
    results.collect()
}

/// The numbers of a range, as words.
fn words(range: std::ops::RangeInclusive<u8>) -> String {
    let words: Vec<_> = range.map(|number| number.to_string()).collect();
    words.join(" ")
}

#[test]
fn every_line_has_the_result_of_its_case() {
    let renamed = "servers = [\"sendmail\", \"exim\"]\n\
                   program = { sendmail = [\"MTA\", \"sm-acceptingconnections\"], exim = \"exim-in\" }";
    let friends = [["ok"; 12].join(" "), ["broken"; 5].join(" ")].join(" ");
    for (name, config, expected) in [
        // 64:ff9b::c633:6417, behind NAT64, is 198.51.100.23.
        ("nat64", "", "23".into()),
        ("syslog-headers", "", words(1..=15)),
        (
            "containers",
            "servers = [\"postfix\", \"exim\"]",
            words(21..=26),
        ),
        (
            "program-names",
            "servers = [\"sendmail\", \"exim\"]",
            // The third line is taken, too: `exim-in` counts as a container's name, and a
            // line of Exim's own log follows it.
            "26 near 32".into(),
        ),
        ("program-names", renamed, "26 31 32".into()),
        ("rspamd-dqs", "servers = [\"rspamd\"]", "47 near".into()),
        (
            "list-shut-down",
            "servers = [\"postfix\"]",
            friends + " near",
        ),
        ("opensmtpd-addr", "servers = [\"opensmtpd\"]", "34".into()),
        (
            "list-texts",
            "servers = [\"exim\"]",
            format!(
                "10 12 14 16 18 20 22 24 26 near 30 32 34 36 38 40 {}",
                "29 31 33 35 37 39 41"
            ),
        ),
    ] {
        assert_eq!(results(name, config).join(" "), expected, "{name}");
    }
}

/// A stamp without a year is read as a past time, never as one months ahead.
#[test]
fn old_stamps_demote_nobody_and_are_not_remembered() {
    let mut replay = replay("servers = [\"postfix\"]");
    for line in lines("old-bsd-stamps-learn") {
        replay.learn(line.as_bytes());
    }
    replay.end_log();
    let records = replay.take_records();
    let record = |addr: &str| records.get(&Target::from(addr.parse::<IpAddr>().unwrap()));
    let now = unix_seconds(unix_time(PRESENT));
    let friend = record("198.51.100.63").unwrap();
    assert_eq!(friend.standing(now), SenderStanding::Known);
    // 36 days after the oldest of three acceptances, that of 20 November.
    let until = unix_seconds(unix_time(PRESENT + 28 * DAY));
    assert_eq!(friend.known_until().day(), until.day());
    let old = record("198.51.100.61").map(|record| record.standing(now));
    assert!(matches!(old, None | Some(SenderStanding::Void)), "{old:?}");
}

/// The decisions about lines that are appended to a followed log.
fn followed(name: &str, config: &str) -> Vec<Decision> {
    let mut engine = Engine::new(settings(config), Protected::default());
    let now = Moment {
        wall: unix_time(PRESENT),
        mono: Duration::from_secs(DAY),
    };
    let mut decisions = Vec::new();
    for line in lines(name) {
        let Parsed::Event(event) = engine.read(line.as_bytes(), false, now.wall) else {
            panic!("not taken: {line}");
        };
        decisions.push(engine.decide(&event, now, false).decision);
    }
    decisions
}

#[test]
fn an_archive_in_a_followed_log_blocks_nobody() {
    let stale = Decision::Ignore(IgnoreReason::Stale);
    assert_eq!(followed("old-bsd-stamps-run", ""), [stale; 4]);
}

/// The stamps are in other time zones than the machine's: UTC, as in a container, and
/// zones behind and ahead of it.
#[test]
fn new_lines_of_other_time_zones_block() {
    let zone = |name| TimeZone::get(name).unwrap();
    let mut settings = settings("");
    settings.parser.zone = zone("Europe/Berlin");
    let mut engine = Engine::new(settings, Protected::default());
    let now = Moment {
        wall: unix_time(PRESENT),
        mono: Duration::from_secs(DAY),
    };
    for name in ["UTC", "Etc/GMT+8", "Asia/Tokyo", "Europe/Berlin"] {
        let written = jiff::Timestamp::try_from(now.wall).unwrap();
        let stamp = written.to_zoned(zone(name)).strftime("%b %e %H:%M:%S");
        let line = format!(
            "{stamp} mx1 courieresmtpd: error,relay=::ffff:198.51.100.23,port=40112,\
             from=<offer@bulk.example>,to=<anna@home.example>: 511 Blacklisted by bl.example"
        );
        let Parsed::Event(event) = engine.read(line.as_bytes(), false, now.wall) else {
            panic!("not taken: {line}");
        };
        let decision = engine.decide(&event, now, false).decision;
        assert!(
            matches!(decision, Decision::Block { .. }),
            "{line}: {decision:?}"
        );
    }
}
