#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use jiff::tz::TimeZone;
use spamdrop_common::settings::Refresh;
use spamdrop_core::dnsbl::named_zone::ZoneNames;
use spamdrop_core::engine::{
    BlockTerm, DryRun, DryRunSettings, EngineSettings, HitSender, LogClock,
};
use spamdrop_core::log::ParserSettings;
use spamdrop_core::policy::{PolicyConfig, Protected};

use super::*;
use crate::render::prediction_json::json;

/// 2026-11-23 12:00:00 UTC.
const NOON: u64 = 1_795_435_200;

const LOG: &str = "\
2026-11-23T12:00:00Z mx courieresmtpd: started,ip=[192.0.2.1],port=[1]
2026-11-23T12:00:01Z mx courieresmtpd: error,relay=192.0.2.1,port=1,from=<a>: 511 Listed, see 0123456789abcdefghij.zen.dq.spamhaus.net
2026-11-23T12:00:02Z mx courieresmtpd: started,ip=[192.0.2.1],port=[2]
2026-11-23T12:00:03Z mx courierd: newmsg,id=1: dns; a (a [192.0.2.1])
2026-11-23T12:06:00Z mx courieresmtpd: error,relay=2001:db8::1,port=1,from=<a>: 511 Listed
2026-11-23T12:06:00Z mx courieresmtpd: error,relay=127.0.0.1,port=1,from=<a>: 511 Listed
";

fn prediction(ttl_s: u32) -> Prediction {
    let settings = DryRunSettings {
        engine: EngineSettings {
            parser: ParserSettings::default(),
            policy: PolicyConfig::default(),
            evidence_capacity: 100,
        },
        term: BlockTerm {
            ttl_s,
            hard_limit_s: 3_600,
            refresh: Refresh::Packet,
        },
        grace: Some(Duration::from_secs(3)),
        slots: Some(1),
    };
    let (protected, senders) = (Protected::default(), HashMap::new());
    let mut run = DryRun::new(settings, protected, senders, ZoneNames::default());
    let mut clock = LogClock::new(UNIX_EPOCH + Duration::from_secs(NOON + 86_400));
    for line in LOG.lines() {
        run.replay_line(line.as_bytes(), Path::new("mail.log"), &mut clock);
    }
    run.prediction()
}

fn predicted(predictions: Vec<Prediction>) -> Predicted {
    let changes = match predictions.len() {
        1 => Vec::new(),
        _ => vec!["ttl=1".into()],
    };
    Predicted {
        files: vec!["mail.log".into()],
        lines: 6,
        overlong: 1,
        changes,
        predictions,
        gate: None,
    }
}

fn shown(predicted: &Predicted) -> String {
    let shown = Shown {
        all: false,
        is_live: false,
        style: Style::Plain,
        zone: TimeZone::UTC,
    };
    let mut out = Vec::new();
    write_text(&mut out, predicted, &shown).unwrap();
    recommend(&mut out, predicted).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn figures_lists_notes_and_a_recommendation() {
    let expected = "\
mail.log: 6 lines, 1 too long to be read, from 2026-11-23 12:00:00 +00:00 to 2026-11-23 12:06:00 +00:00 (6m)
NUMBER  OF
     2  blocks
     2  addresses and /64s that were blocked
     1  connections in the log that a block dropped
     0  blocks of known senders; must be 0
     1  messages accepted from a blocked address
     1  rejections that did not block: loopback
     1  accepted messages
     2  connections
     1  connections at most at a time
     1  slots

192.0.2.1 would have been blocked when its mail was accepted at 2026-11-23 12:00:03 +00:00
ADDRESS        FROM                        UNTIL                       REJECTIONS  DROPPED  RULE
192.0.2.1      2026-11-23 12:00:01 +00:00  2026-11-23 12:10:02 +00:00           1        1  courier-511
2001:db8::/64  2026-11-23 12:06:00 +00:00  2026-11-23 12:16:00 +00:00           1        0  courier-511
note: each packet of a blocked sender extends its block; a log shows rejections and new connections only, so real blocks last longer
note: the server logs no end of a connection, so each counts until its rejection or accepted message, otherwise for 30s; a packet's TTL, host names and repeated SYNs are not in a log, so only `admit = \"observe\"` shows whom the gate would refuse
note: in an old log, only the texts of rejections show whether a blocklist was broken
recommendation: no known sender would have been blocked, so start `spamdrop run`; but first look at the mail that was accepted from blocked addresses, and allow the senders that you want
recommendation: keep `admit = \"observe\"`: as far as the log tells, slots did not run short, but 6m of log are too short to tell; replay a week
";
    assert_eq!(shown(&predicted(vec![prediction(600)])), expected);
}

#[test]
fn a_changed_configuration_is_shown_beside_the_other() {
    let text = shown(&predicted(vec![prediction(600), prediction(1)]));
    for expected in [
        "changed: ttl=1\nCONFIGURED  CHANGED  OF\n         2        2  blocks\n",
        "         1        1  connections in the log that a block dropped\n",
        "0 sources would have been blocked only with the changes\n",
    ] {
        assert!(text.contains(expected), "{expected}{text}");
    }
    let mut more = prediction(600);
    more.slots.slots = Some(7);
    let text = shown(&predicted(vec![prediction(600), more.clone()]));
    let rows = "         1        1  connections at most at a time\n         1        7  slots\n";
    assert!(text.contains(rows), "{text}");
    more.slots.slots = None;
    let text = shown(&predicted(vec![prediction(600), more]));
    let rows = "         1        1  connections at most at a time\n         1  unknown  slots\n";
    assert!(text.contains(rows), "{text}");
    let same = shown(&predicted(vec![prediction(600), prediction(600)]));
    assert!(
        same.contains("\nthe changes make no difference in this log\n"),
        "{same}"
    );
}

#[test]
fn what_must_not_be_is_named_without_the_keys_of_zones() {
    let mut bad = prediction(600);
    let text = "Listed, see ***.zen.dq.spamhaus.net".to_owned();
    let at = UNIX_EPOCH + Duration::from_secs(NOON);
    bad.known_blocked = 1;
    bad.known_hits = vec![HitSender {
        addr: "192.0.2.9".parse().unwrap(),
        at,
        text: text.clone(),
    }];
    let shown_text = shown(&predicted(vec![bad.clone()]));
    let expected = "known sender 192.0.2.9 would have been blocked at 2026-11-23 12:00:00 +00:00: Listed, see ***.zen.dq.spamhaus.net\n";
    assert!(shown_text.contains(expected), "{shown_text}");
    let last: Vec<&str> = shown_text.lines().rev().take(2).collect();
    assert!(
        last[1].starts_with("recommendation: known senders would have been blocked: put those")
    );
    let mut out = Vec::new();
    json(&mut out, &predicted(vec![bad])).unwrap();
    let json = String::from_utf8(out).unwrap();
    assert!(!json.contains("0123456789abcdefghij"), "{json}");
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!(
        lines[0],
        r#"{"kind":"block","run":"configured","addr":"192.0.2.1","from_unix_s":1795435201,"until_unix_s":1795435802,"offences":1,"dropped":1,"rule":"courier-511"}"#
    );
    assert_eq!(
        lines[2],
        r#"{"kind":"known-hit","run":"configured","addr":"192.0.2.9","at_unix_s":1795435200,"text":"Listed, see ***.zen.dq.spamhaus.net"}"#
    );
    assert!(lines[3].starts_with(r#"{"kind":"accepted-hit","#));
    assert!(lines[4].starts_with(r#"{"kind":"prediction","run":"configured","files":["mail.log"],"lines":6,"overlong":1,"changes":[],"from_unix_s":1795435200,"until_unix_s":1795435560,"#));
    assert_eq!(lines.len(), 5);
}

#[test]
fn a_log_without_evidence_recommends_no_start() {
    type Change = fn(&mut Prediction);
    let recommended = |change: Change| {
        let mut prediction = prediction(600);
        prediction.accepted_while_blocked = 0;
        prediction.accepted_hits.clear();
        change(&mut prediction);
        let text = shown(&predicted(vec![prediction]));
        let line = text.lines().rev().nth(1);
        line.unwrap().to_owned()
    };
    let cases: [(Change, &str); 3] = [
        (
            |it| it.events.clear(),
            "recommendation: the log shows no accepted mail, so it cannot tell whether wanted",
        ),
        (
            |_| {},
            "recommendation: no wanted sender would have been blocked, but 6m of log are too short",
        ),
        (
            |it| it.until = it.from.map(|from| from + Duration::from_secs(86_400)),
            "recommendation: no wanted sender would have been blocked: start `spamdrop run`",
        ),
    ];
    for (change, expected) in cases {
        let found = recommended(change);
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn the_counts_of_the_gate_are_in_the_json() {
    let mut all = predicted(vec![prediction(600)]);
    let counted = |all: &Predicted| {
        let mut out = Vec::new();
        json(&mut out, all).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(counted(&all).contains(r#""gate":null}"#));
    all.gate = Some(GateStats {
        admitted: 7,
        refused: [1, 2, 3],
        ..GateStats::default()
    });
    assert!(counted(&all).contains(r#""gate":{"admitted":7,"refused":[1,2,3]}}"#));
}

#[test]
fn a_pause_and_an_outage_come_first_in_the_recommendation() {
    let mut bad = prediction(600);
    let from = UNIX_EPOCH + Duration::from_secs(NOON);
    bad.pauses = vec![spamdrop_core::engine::PredictedPause {
        from,
        until: Some(from + Duration::from_secs(60)),
        why: "6 of the 30 known senders of the last 24 h are refused now".into(),
        rejections: 7,
    }];
    bad.outages = vec![spamdrop_core::engine::ListingOutage {
        from,
        until: None,
        rejected: 6,
        regulars: 30,
        text: "Listed".into(),
    }];
    bad.proxies = vec!["172.17.0.1".parse().unwrap()];
    let text = shown(&predicted(vec![bad]));
    for expected in [
        "172.17.0.1 is private and had most connections of an hour: ",
        "warning: a blocklist seems to have listed everybody, from 2026-11-23 12:00:00 +00:00 to the end: 6 of the 30 senders of several accepted messages were rejected, such as with: Listed\n",
        "blocking would have paused, from 2026-11-23 12:00:00 +00:00 to 2026-11-23 12:01:00 +00:00, for 7 rejections: 6 of the 30 known",
        "    1m  time in which blocking paused\n",
        "recommendation: blocking would have paused, or a blocklist seems to have listed everybody",
    ] {
        assert!(text.contains(expected), "{expected}{text}");
    }
}
