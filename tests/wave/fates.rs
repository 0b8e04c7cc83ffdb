//! Twenty addresses with different fates in a wave: `why` tells what happened to
//! each, then and a day later.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::scope;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use spamdrop_lab::wait::until;
use spamdrop_lab::wave::Mode;
use spamdrop_lab::{Signal, Site, Wave};

use super::gate::short;
use super::{SEED, SPAMDROP};

/// A day, in seconds.
const DAY: i64 = 86_400;
/// A SYN that gets no answer for this long was dropped.
const UNANSWERED: Duration = Duration::from_millis(300);
/// Time limit for events to be written.
const WRITTEN: Duration = Duration::from_secs(15);

/// Addresses of the administrator's commands. `ALLOWED[0]` is in the blocked prefix.
const BLOCKED: &str = "100.88.0.1";
const IN_PREFIX: [&str; 2] = ["100.88.1.1", "100.88.1.2"];
const PREFIX: &str = "100.88.1.0/24";
const ALLOWED: [&str; 2] = ["100.88.1.77", "100.88.2.1"];
const KNOWN_BY_HAND: &str = "100.88.3.1";
/// Senders that connect at the height of the wave.
const STRANGERS: [&str; 4] = ["100.88.4.1", "100.88.5.1", "100.88.6.1", "100.88.7.1"];
/// A sender that never connects.
const ABSENT: &str = "100.88.9.1";

/// An address, and what `why` must tell of it.
struct Case {
    addr: String,
    /// The events of its history.
    events: &'static [&'static str],
    /// A part of the text of the first event.
    text: String,
    /// The fate of its next connection; `None`: it depends on the slots.
    next: Option<&'static str>,
}

impl Case {
    fn new(addr: &str, events: &'static [&'static str], next: Option<&'static str>) -> Self {
        Self {
            addr: addr.to_owned(),
            events,
            text: String::new(),
            next,
        }
    }

    fn with_text(self, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, ..self }
    }
}

fn why(site: &Site, addr: &str) -> Value {
    let told = site.spamdrop(&["why", "--json", "--no-lookup", addr]);
    let told: Value = serde_json::from_str(&told.unwrap()).unwrap();
    told[0].clone()
}

/// Whether the history has exactly the events of the case. Of a bot, `refused` and
/// `released` are ignored: whether the gate refused it before its block, and whether it
/// held a connection after, differs from wave to wave.
fn is_told(case: &Case, told: &Value) -> bool {
    let rows = told["history"].as_array().unwrap();
    let is_bot = case.events == ["blocked"];
    let differs = |event: &str| is_bot && matches!(event, "refused" | "released");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = rows
        .iter()
        .map(|row| (text(&row["event"]), text(&row["text"])));
    let rows: Vec<_> = rows.filter(|(event, _)| !differs(event)).collect();
    rows.iter().map(|(event, _)| event).eq(case.events)
        && rows.iter().all(|(_, text)| text.contains(&case.text))
}

#[test]
fn twenty_addresses_are_told_their_fates_then_and_a_day_later() {
    let mut wave = Wave::new(Path::new(SPAMDROP), Mode::Admit, short(), SEED).unwrap();
    let site = &wave.site;
    site.spamdrop(&["add", BLOCKED, "--reason", "asked to"])
        .unwrap();
    site.spamdrop(&["add", PREFIX, "--for", "1h"]).unwrap();
    site.spamdrop(&["allow", "add", ALLOWED[0], "100.88.2.0/24"])
        .unwrap();
    site.spamdrop(&["known", "add", KNOWN_BY_HAND]).unwrap();
    let mut refused = Vec::new();
    scope(|scope| {
        scope.spawn(|| wave.run().unwrap());
        let mut rest: Vec<&str> = STRANGERS.to_vec();
        // A SYN that is dropped was refused by the gate. A stranger that was admitted, so
        // that its class does not starve, tries again until it is refused.
        until("strangers to be refused", short().length, || {
            rest.retain(|addr| {
                let is_dropped = site.dropped(addr, UNANSWERED).unwrap();
                refused.extend(is_dropped.then_some(*addr));
                !is_dropped
            });
            Ok((rest.is_empty()).then_some(()))
        })
        .unwrap();
        for (addr, fate) in [(BLOCKED, "dropped"), (ALLOWED[0], "accepted")] {
            let told = why(site, addr);
            assert_eq!(told["next"]["fate"], fate, "{told}");
        }
    });
    let cases = cases(&wave, &refused);
    assert_eq!(cases.len(), 20);
    let site = &wave.site;
    for case in &cases {
        let told = until(&format!("the events of {}", case.addr), WRITTEN, || {
            let told = why(site, &case.addr);
            Ok(is_told(case, &told).then_some(told))
        });
        let told = told.unwrap_or_else(|error| panic!("{error:#}: {}", why(site, &case.addr)));
        if let Some(fate) = case.next {
            assert_eq!(told["next"]["fate"], fate, "{told}");
            let is_dropped = fate == "dropped";
            assert_eq!(
                site.dropped(&case.addr, UNANSWERED).unwrap(),
                is_dropped,
                "{told}"
            );
        }
        let is_known = told["known"].is_object() && told["gate"]["passes"] == true;
        let should = case.addr == KNOWN_BY_HAND || wave.known().any(|known| known == case.addr);
        assert_eq!(is_known, should, "{told}");
    }
    a_day_passes(&mut wave);
    for case in &cases {
        let told = why(&wave.site, &case.addr);
        assert!(is_told(case, &told), "{}: {told}", case.addr);
        assert_eq!(told["block"], Value::Null, "{told}");
        let now = jiff::Timestamp::now().as_second();
        for row in told["history"].as_array().unwrap() {
            let ago = now - row["last_unix_s"].as_i64().unwrap();
            assert!((DAY..DAY + 600).contains(&ago), "{row}");
        }
    }
}

/// Three known senders, nine bots of the log, and the addresses of this test.
fn cases(wave: &Wave, refused: &[&str]) -> Vec<Case> {
    let mut cases = vec![
        Case::new(BLOCKED, &["command"], Some("dropped"))
            .with_text(format!("add {BLOCKED} --reason asked to")),
        Case::new(ALLOWED[0], &["command", "command"], Some("accepted")).with_text("add 100.88."),
        Case::new(ALLOWED[1], &["command"], Some("accepted")).with_text("allow add"),
        Case::new(KNOWN_BY_HAND, &["command"], None).with_text("known add"),
        Case::new(ABSENT, &[], None),
    ];
    cases.extend(IN_PREFIX.map(|addr| {
        Case::new(addr, &["command"], Some("dropped")).with_text(format!("add {PREFIX}"))
    }));
    cases.extend(
        refused
            .iter()
            .map(|addr| Case::new(addr, &["refused"], None)),
    );
    let known = wave.known().take(3);
    cases.extend(known.map(|addr| Case::new(&addr, &["command"], None).with_text("known import")));
    let log = fs::read_to_string(wave.site.path("mail.log")).unwrap();
    let rejected = log.lines().filter(|line| line.contains(": 511 "));
    let bots: BTreeSet<&str> = rejected
        .map(|line| line.split_once("relay=").unwrap().1)
        .map(|rest| rest.split_once(',').unwrap().0)
        .map(|addr| addr.trim_start_matches("::ffff:"))
        .collect();
    let bots = bots.into_iter().take(20 - cases.len());
    cases.extend(
        bots.map(|addr| {
            Case::new(addr, &["blocked"], Some("dropped")).with_text(format!("{addr},"))
        }),
    );
    cases
}

/// The next day: the machine has been switched off, the blocks have expired, and
/// all that was written is a day old.
fn a_day_passes(wave: &mut Wave) {
    let mut daemon = wave.daemon.take().unwrap();
    daemon.signal(Signal::SIGTERM).unwrap();
    daemon.exit_status(WRITTEN).unwrap();
    wave.site.spamdrop(&["flush"]).unwrap();
    wave.site.spamdrop(&["detach"]).unwrap();
    let database = Connection::open(wave.site.path("state/spamdrop.db")).unwrap();
    database
        .execute("DELETE FROM history WHERE text LIKE 'flush%'", [])
        .unwrap();
    database
        .execute(
            "UPDATE history SET began = began - ?1, ended = ended - ?1",
            [DAY],
        )
        .unwrap();
}
