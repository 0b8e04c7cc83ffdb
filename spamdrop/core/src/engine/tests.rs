#![expect(clippy::unwrap_used, reason = "a test may panic")]
use std::net::IpAddr;

use super::*;
use crate::dnsbl::rule::Rule;
use crate::log::MailServer;
use crate::policy::{IgnoreReason, Protection};
use crate::time::UnixSeconds;

mod state;

/// 2026-11-23 09:00:00 UTC.
pub(super) const PRESENT: u64 = 1_795_424_400;

pub(super) fn wall(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn moment(passed: u64) -> Moment {
    Moment {
        wall: wall(PRESENT + passed),
        mono: Duration::from_secs(1_000_000 + passed),
    }
}

pub(super) fn settings() -> EngineSettings {
    EngineSettings {
        parser: ParserSettings::default(),
        policy: PolicyConfig::default(),
        evidence_capacity: 100,
    }
}

fn engine() -> Engine {
    Engine::new(settings(), Protected::default())
}

fn stamp(seconds: u64) -> String {
    jiff::Timestamp::try_from(wall(seconds))
        .unwrap()
        .to_string()
}

pub(super) fn rejection(seconds: u64, addr: &str) -> String {
    format!(
        "{} mx courieresmtpd: error,relay={addr},from=<a>,to=<b>: 511 Listed",
        stamp(seconds)
    )
}

pub(super) fn unknown_recipient(seconds: u64, addr: &str) -> String {
    format!(
        "{} mx courieresmtpd: error,relay={addr},from=<{seconds}>,to=<b>: 511 Unknown user.",
        stamp(seconds)
    )
}

pub(super) fn acceptance(seconds: u64, addr: &str) -> String {
    format!(
        "{} mx courierd: newmsg,id=1: dns; a (a [{addr}])",
        stamp(seconds)
    )
}

pub(super) fn delivery(seconds: u64, addr: &str) -> String {
    format!(
        "{} mx courieresmtp: id=1,from=<a@b>,addr=<c@d>,success: delivered: d [{addr}]",
        stamp(seconds)
    )
}

/// Parses a line and decides about its event.
fn effects(engine: &mut Engine, line: &str, now: Moment, is_blocked: bool) -> Effects {
    match engine.read(line.as_bytes(), false, now.wall) {
        Parsed::Event(event) => engine.decide(&event, now, is_blocked),
        other => panic!("{line}: {other:?}"),
    }
}

fn is_block(effects: Effects) -> bool {
    matches!(effects.decision, Decision::Block { .. })
}

/// The learned records, by source.
pub(super) fn learned(records: Records) -> Vec<(String, Record)> {
    let text = |(source, record): (Target, Record)| (source.to_string(), record);
    let mut all: Vec<_> = records.into_iter().map(text).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn a_rejection_blocks_and_counts_as_evidence_an_hour_later() {
    let mut engine = engine();
    let line = rejection(PRESENT, "192.0.2.1");
    let addr: IpAddr = "192.0.2.1".parse().unwrap();
    let age = Duration::from_secs(2);
    let expected = Effects {
        decision: Decision::Block { addr, age },
        evidence: Some(Evidence::Listed),
    };
    assert_eq!(effects(&mut engine, &line, moment(2), false), expected);
    assert_eq!(engine.counts(), &[("blocked", 1)].into());
    engine.settle(moment(3601), false);
    assert!(!engine.has_records());
    engine.settle(moment(3602), false);
    assert!(engine.has_records());
    assert_eq!(engine.record_count(), 1);
    let reasons = engine.take_demotion_reasons();
    let listed = BTreeMap::from([(addr.into(), DemotionReason::Listed)]);
    assert_eq!(reasons, listed);
    let records = engine.take_records();
    assert!(!engine.has_records());
    let demoted = Record::demoted(UnixSeconds::new(PRESENT));
    assert_eq!(
        learned(records.clone()),
        [("192.0.2.1".to_owned(), demoted)]
    );
    engine.give_back(records, reasons);
    assert_eq!(engine.record_count(), 1);
    assert_eq!(engine.take_demotion_reasons(), listed);
}

#[test]
fn all_pending_demotions_can_be_settled_at_once() {
    let mut engine = engine();
    effects(
        &mut engine,
        &rejection(PRESENT, "192.0.2.1"),
        moment(0),
        false,
    );
    engine.settle(moment(0), true);
    assert!(engine.has_records());
}

#[test]
fn only_evidence_of_the_last_minute_is_an_effect() {
    for (age, expected) in [(60, Some(Evidence::Accepted)), (61, None)] {
        let mut engine = engine();
        let line = acceptance(PRESENT, "192.0.2.1");
        let effects = effects(&mut engine, &line, moment(age), false);
        assert_eq!(effects.decision, Decision::Known);
        assert_eq!(effects.evidence, expected, "{age}");
        assert!(engine.has_records());
    }
}

#[test]
fn mail_that_was_accepted_before_a_restart_outweighs_unknown_recipients() {
    for (is_known, expected) in [(true, 0), (false, 1)] {
        let mut engine = engine();
        let addr: IpAddr = "192.0.2.1".parse().unwrap();
        if is_known {
            let mail = [5, 6, 7].map(|ago| Record::accepted(UnixSeconds::new(PRESENT - ago)));
            let record = mail.into_iter().fold(Record::default(), Record::join);
            engine.remember(addr.into(), &record, moment(0));
            for second in [1, 2] {
                let line = acceptance(PRESENT + second, "192.0.2.1");
                effects(&mut engine, &line, moment(second), false);
            }
            engine.take_records();
        }
        for second in 10..15 {
            let line = unknown_recipient(PRESENT + second, "192.0.2.1");
            effects(&mut engine, &line, moment(second), false);
        }
        assert_eq!(engine.record_count(), expected, "{is_known}");
    }
}

#[test]
fn a_delivery_to_an_unread_network_is_not_learned() {
    let mut engine = engine();
    let line = delivery(PRESENT, "192.0.2.1");
    let effects = effects(&mut engine, &line, moment(0), false);
    assert_eq!(effects.decision, Decision::Delivered);
    assert_eq!(effects.evidence, None);
    assert_eq!(engine.record_count(), 0);
}

#[test]
fn a_repeat_is_one_only_while_its_source_is_blocked() {
    let mut engine = engine();
    let line = rejection(PRESENT, "192.0.2.1");
    assert!(is_block(effects(&mut engine, &line, moment(0), false)));
    let repeat = effects(&mut engine, &line, moment(0), true);
    assert_eq!(repeat.decision, Decision::Ignore(IgnoreReason::Repeat));
    assert!(is_block(effects(&mut engine, &line, moment(0), false)));
    assert_eq!(engine.counts(), &[("blocked", 2), ("repeat", 1)].into());
    engine.count_failure();
    assert_eq!(engine.counts().get("failed"), Some(&1));
}

#[test]
fn a_line_without_a_stamp_is_new_unless_it_is_backlog() {
    let mut engine = engine();
    let line = b"<19>1 - mx courieresmtpd - - - error,relay=192.0.2.1,from=<a>,to=<b>: 511 Listed";
    for (is_backlog, expected) in [(false, None), (true, Some(SystemTime::UNIX_EPOCH))] {
        let Parsed::Event(event) = engine.read(line, is_backlog, wall(PRESENT)) else {
            panic!("not understood");
        };
        assert_eq!(event.at, expected);
        let decision = engine.decide(&event, moment(0), false).decision;
        let is_stale = decision == Decision::Ignore(IgnoreReason::Stale);
        assert_eq!(is_stale, is_backlog);
    }
    // A line of the backlog with a stamp is dated by the stamp.
    let line = rejection(PRESENT, "192.0.2.1");
    let Parsed::Event(event) = engine.read(line.as_bytes(), true, wall(PRESENT)) else {
        panic!("not understood");
    };
    assert_eq!(event.at, Some(wall(PRESENT)));
}

/// Courier's rejection with a stamp without a zone, this long before the
/// present (in seconds; negative: ahead).
fn zoneless(age: i64) -> String {
    let written = wall(PRESENT.checked_add_signed(-age).unwrap());
    let stamp = jiff::Timestamp::try_from(written).unwrap();
    let stamp = stamp.strftime("%b %e %H:%M:%S");
    format!("{stamp} mx courieresmtpd: error,relay=192.0.2.1,from=<a>,to=<b>: 511 Listed")
}

/// How old the event of a line is taken to be, and whether its stamp is off.
fn age_and_offset(line: &str, is_backlog: bool) -> (i64, Option<String>) {
    let mut engine = engine();
    let Parsed::Event(event) = engine.read(line.as_bytes(), is_backlog, wall(PRESENT)) else {
        panic!("{line}");
    };
    let at = jiff::Timestamp::try_from(event.at.unwrap()).unwrap();
    let offset = match event.clock {
        Clock::Off(offset) => Some(offset.to_string()),
        Clock::Local | Clock::Zoned => None,
    };
    (i64::try_from(PRESENT).unwrap() - at.as_second(), offset)
}

#[test]
fn a_new_line_of_another_time_zone_is_taken_as_just_written() {
    for (age, offset) in [
        (3_600, "1h behind"),
        (3_630, "1h behind"),
        (-32_400, "9h ahead"),
        (-20_700, "5h 45m ahead"),
        (8 * 3_600, "8h behind"),
        (11 * 3_600 + 30 * 60, "11h 30m behind"),
    ] {
        let line = zoneless(age);
        assert_eq!(
            age_and_offset(&line, false),
            (0, Some(offset.into())),
            "{line}"
        );
        let line = &line;
        assert_eq!(age_and_offset(line, true), (age, None), "backlog: {line}");
    }
}

#[test]
fn any_other_old_line_is_stale_however_it_came() {
    const DAY: i64 = 86_400;
    for age in [
        17 * 60,
        3_600 + 120,
        2 * DAY,
        187 * DAY,
        -DAY + 600,
        236 * DAY,
    ] {
        let line = zoneless(age);
        assert_eq!(age_and_offset(&line, false), (age, None), "{line}");
        let effects = effects(&mut engine(), &line, moment(0), false);
        assert_eq!(
            effects.decision,
            Decision::Ignore(IgnoreReason::Stale),
            "{line}"
        );
    }
    // A stamp that names its zone is believed.
    let line = rejection(PRESENT - 3_600, "192.0.2.1");
    assert_eq!(age_and_offset(&line, false), (3_600, None));
    // A stamp that is more than a day ahead is taken as one of the year before.
    let line = zoneless(-DAY - 3_600);
    assert_eq!(age_and_offset(&line, false), (364 * DAY - 3_600, None));
}

/// A container's clock is right, but the time zone of its stamps is unknown. The
/// stamp of the container engine names its zone.
#[test]
fn the_stamp_of_a_container_engine_decides_about_the_zone() {
    let within = |line: &str, passed: u64| format!("{} stdout F {line}", stamp(PRESENT - passed));
    for is_backlog in [false, true] {
        let line = within(&zoneless(3_600 + 5), 2);
        assert_eq!(age_and_offset(&line, is_backlog), (2, None));
        let line = within(&zoneless(30), 2);
        assert_eq!(age_and_offset(&line, is_backlog), (2, None));
        // A container prints an old log.
        let line = within(&zoneless(187 * 86_400), 2);
        assert_eq!(age_and_offset(&line, is_backlog), (187 * 86_400, None));
    }
}

#[test]
fn near_misses_are_counted_by_reason() {
    let mut engine = engine();
    let line = b"error,relay=192.0.2.1,from=<a>,to=<b>: 511 Listed";
    for _ in 0..2 {
        let parsed = engine.read(line, false, wall(PRESENT));
        assert!(matches!(parsed, Parsed::NearMiss(_)), "{parsed:?}");
    }
    let reason = "it does not start with a syslog header";
    assert_eq!(engine.near_misses(), &[(reason, 2)].into());
    assert_eq!(engine.read(b"noise", false, wall(PRESENT)), Parsed::Nothing);
    assert!(engine.counts().is_empty());
}

#[test]
fn protected_addresses_are_replaced() {
    let mut engine = engine();
    let line = rejection(PRESENT, "192.0.2.1");
    let net = "192.0.2.0/24".parse().unwrap();
    let reason = Protection::Allowlist(net);
    engine.protect(Protected::new([(net, reason)]));
    assert_eq!(
        engine.scope().protected.why("192.0.2.1".parse().unwrap()),
        Some(reason)
    );
    let effects = effects(&mut engine, &line, moment(0), false);
    assert_eq!(
        effects.decision,
        Decision::Ignore(IgnoreReason::Protected(reason))
    );
    assert_eq!(effects.evidence, None);
}

#[test]
fn other_settings_keep_what_was_learned() {
    let mut engine = engine();
    effects(
        &mut engine,
        &acceptance(PRESENT, "192.0.2.1"),
        moment(0),
        false,
    );
    let mut other = settings();
    other.parser.servers = vec![MailServer::Exim];
    other.evidence_capacity = 1;
    engine.reconfigure(other);
    let line = acceptance(PRESENT, "192.0.2.2");
    let parsed = engine.read(line.as_bytes(), false, wall(PRESENT));
    assert_eq!(parsed, Parsed::Nothing);
    let mut other = settings();
    other.evidence_capacity = 1;
    other.policy.ttl = Duration::from_secs(1);
    engine.reconfigure(other);
    effects(&mut engine, &line, moment(0), false);
    let old = rejection(PRESENT, "192.0.2.3");
    let stale = effects(&mut engine, &old, moment(2), false).decision;
    assert_eq!(stale, Decision::Ignore(IgnoreReason::Stale));
    // The capacity is now 1, so the second source was dropped.
    let learned = learned(engine.take_records());
    assert_eq!(learned.len(), 1);
    assert_eq!(learned[0].0, "192.0.2.1");
}

const CONNECTED: &str =
    "Nov 23 09:00:00 mx smtpd[1]: 6a3f5c1b9d2e4f70 smtp connected address=192.0.2.1 host=x";
const REFUSED: &str = "Nov 23 09:00:00 mx smtpd[1]: 6a3f5c1b9d2e4f70 smtp failed-command \
     command=\"RCPT TO:<a@b>\" result=\"554 5.7.1 listed at dnsbl.example\"";

fn opensmtpd() -> EngineSettings {
    let mut settings = settings();
    settings.parser.servers = vec![MailServer::Opensmtpd];
    settings
}

/// Whether the parser still remembers the connection of [`CONNECTED`] after
/// `then`.
fn remembers_connection(then: impl FnOnce(&mut Engine)) -> bool {
    let mut engine = Engine::new(opensmtpd(), Protected::default());
    let connected = engine.read(CONNECTED.as_bytes(), false, wall(PRESENT));
    assert_eq!(connected, Parsed::Nothing);
    then(&mut engine);
    let refused = engine.read(REFUSED.as_bytes(), false, wall(PRESENT));
    matches!(refused, Parsed::Event(_))
}

#[test]
fn connections_are_forgotten_only_with_other_settings_or_another_log() {
    assert!(remembers_connection(|_| {}));
    assert!(remembers_connection(
        |engine| engine.reconfigure(opensmtpd())
    ));
    assert!(!remembers_connection(|engine| {
        let mut other = opensmtpd();
        other
            .parser
            .programs
            .set(MailServer::Courier, vec!["smtpd2".into()]);
        engine.reconfigure(other);
    }));
    assert!(!remembers_connection(Engine::start_log));
}

#[test]
fn unknown_recipients_of_two_logs_do_not_add_up() {
    for (is_other, expected) in [(false, 1), (true, 0)] {
        let mut engine = engine();
        for n in 0..5 {
            if n == 3 && is_other {
                engine.start_log();
            }
            let line = unknown_recipient(PRESENT + n, "192.0.2.1");
            let effects = effects(&mut engine, &line, moment(9), false);
            assert_eq!(effects.decision, Decision::Ignore(IgnoreReason::OwnText));
            assert_eq!(effects.evidence, Some(Evidence::UnknownRecipient));
        }
        assert_eq!(engine.record_count(), expected);
    }
}

/// Trips the ceiling: five known senders are rejected.
fn trip(engine: &mut Engine) {
    let sender = |n: u64| format!("198.51.100.{n}");
    for n in 1..=5 {
        let addr: IpAddr = sender(n).parse().unwrap();
        engine.remember(addr.into(), &known_record(), moment(0));
    }
    for n in 1..=5 {
        let line = rejection(PRESENT, &sender(n));
        effects(engine, &line, moment(0), false);
    }
}

#[test]
fn a_tripped_ceiling_drops_pending_demotions_until_another_log_starts() {
    let mut engine = engine();
    trip(&mut engine);
    let expected = Trip::Share {
        refused: 5,
        known: 5,
    };
    assert_eq!(engine.ceiling(moment(1)), Some(expected));
    engine.settle(moment(1), true);
    let records = engine.take_records();
    assert_eq!(records.len(), 0);
    engine.start_log();
    assert_eq!(engine.ceiling(moment(1)), None);
}

/// The rejection of another address in the /64 does not count for the known address.
#[test]
fn the_ceiling_does_not_count_addresses_that_are_known_alone() {
    let mut engine = engine();
    for n in 1..=5 {
        let alone = Target::alone(format!("2001:db8:{n}::25").parse().unwrap());
        engine.remember(alone, &known_record(), moment(0));
        engine.know_exactly([&alone], moment(0));
        let line = rejection(PRESENT, &format!("2001:db8:{n}::66"));
        effects(&mut engine, &line, moment(0), false);
    }
    assert_eq!(engine.ceiling(moment(1)), None);
}

/// The record of a known sender, with accepted mail of yesterday and today.
fn known_record() -> Record {
    let ago = [60, 3600, 86_400].map(|ago| Record::accepted(UnixSeconds::new(PRESENT - ago)));
    ago.into_iter().fold(Record::default(), Record::join)
}

#[test]
fn the_ceiling_counts_what_was_known_before_the_start() {
    let mut engine = engine();
    let ago = |seconds| UnixSeconds::new(PRESENT - seconds);
    for n in 1..=9 {
        let addr: IpAddr = format!("198.51.100.{n}").parse().unwrap();
        let record = match n {
            1..=6 => known_record(),
            7 => known_record().join(Record::demoted(ago(0))),
            _ => Record::accepted(ago(9)),
        };
        engine.remember(addr.into(), &record, moment(0));
    }
    for n in 5..=9 {
        let line = rejection(PRESENT, &format!("198.51.100.{n}"));
        effects(&mut engine, &line, moment(0), false);
    }
    assert_eq!(engine.ceiling(moment(0)), None);
    for n in 2..=4 {
        let line = rejection(PRESENT, &format!("198.51.100.{n}"));
        effects(&mut engine, &line, moment(0), false);
    }
    let expected = Trip::Share {
        refused: 5,
        known: 6,
    };
    assert_eq!(engine.ceiling(moment(0)), Some(expected));
    engine.resume();
    assert_eq!(engine.ceiling(moment(0)), None);
}

#[test]
fn pending_demotions_by_a_zone_that_proves_broken_are_dropped() {
    let rules = ["bl.broken.example", "bl.works.example"];
    let rules = rules.map(|zone| Rule::of_config(zone).unwrap());
    let mut engine = engine();
    engine.set_zones(ZoneNames::new(&rules, &[]));
    for (n, zone) in [
        (1, "bl.broken.example"),
        (2, "bl.works.example"),
        (3, "other.example"),
    ] {
        let line = rejection(PRESENT, &format!("192.0.2.{n}"));
        let line = line.replace("Listed", &format!("Blacklisted by {zone}"));
        effects(&mut engine, &line, moment(0), false);
    }
    engine.set_zones(ZoneNames::new(&rules, &[true]));
    engine.settle(moment(3600), false);
    let sources: Vec<_> = learned(engine.take_records())
        .into_iter()
        .map(|(source, _)| source)
        .collect();
    assert_eq!(sources, ["192.0.2.2", "192.0.2.3"]);
}

#[test]
fn a_delivery_counts_only_where_this_server_wrote_first() {
    const DAY: u64 = 86_400;
    for (from, expected) in [(None, 1), (Some("192.0.2.200"), 0), (Some("192.0.3.1"), 1)] {
        let mut engine = engine();
        let mut read = |line: String, at: u64| {
            if let Parsed::Event(event) = engine.read(line.as_bytes(), false, wall(at)) {
                let now = Moment {
                    wall: wall(at),
                    mono: Duration::from_secs(at),
                };
                engine.decide(&event, now, false);
            }
        };
        for day in 0..=8 {
            let at = PRESENT + day * DAY;
            read(acceptance(at, "203.0.113.1"), at);
            if let Some(from) = from.filter(|_| day == 2) {
                let started = format!(
                    "{} mx courieresmtpd: started,ip=[::ffff:{from}],port=[4000]",
                    stamp(at)
                );
                read(started, at);
            }
        }
        read(delivery(PRESENT + 8 * DAY, "192.0.2.1"), PRESENT + 8 * DAY);
        let learned = learned(engine.take_records());
        let delivered = learned.iter().filter(|(source, _)| source == "192.0.2.1");
        assert_eq!(delivered.count(), expected, "{from:?}");
    }
}
