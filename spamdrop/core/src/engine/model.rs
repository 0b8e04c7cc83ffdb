//! Passes random logs through the engine and through an independent model of the
//! rules of reputation, which keeps every event and counts.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::tests::{settings, wall};
use super::*;
use crate::event::{Clock, Envelope};

/// 2026-11-23, midnight.
pub(super) const START: u64 = 1_795_392_000;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
/// The time for which the engine may remember a connection beyond a week,
/// because it rounds connections to the hour.
const MARGIN: u64 = 2 * HOUR;

#[derive(Clone, Copy, Debug)]
pub(super) enum Fact {
    Accepted,
    /// A message to an unknown recipient: its sender, and the peer's port.
    Unknown(&'static str, Option<u16>),
    Listed,
    /// A delivery from this server: its recipient.
    Delivered(&'static str),
}

/// A fact about an address, and its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Happening {
    pub at: u64,
    pub addr: u8,
    pub fact: Fact,
}

/// The address of a number. 0 and 1 are in the same /24, and so are 2 and 3.
pub(super) fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, number / 2, number).into()
}

fn fact() -> impl Strategy<Value = Fact> {
    let sender = prop::sample::select(vec!["", "a@b", "c@d", "e@f", "g@h", "i@j", "k@l", "m@n"]);
    let port = prop_oneof![Just(None), (1..30u16).prop_map(Some)];
    let recipient = prop_oneof![Just("anna"), Just("bob")];
    prop_oneof![
        25 => Just(Fact::Accepted),
        30 => (sender, port).prop_map(|(sender, port)| Fact::Unknown(sender, port)),
        1 => Just(Fact::Listed),
        10 => recipient.prop_map(Fact::Delivered),
    ]
}

/// Some busy hours within three weeks. All times are whole minutes, as accepted
/// mail is counted by the minute.
pub(super) fn log() -> impl Strategy<Value = Vec<Happening>> {
    let day = prop_oneof![3 => Just(9u64), 1 => 0..3u64, 1 => 7..10u64, 1 => 0..21u64];
    let minute = prop_oneof![3 => 0..70u64, 1 => 0..1440u64, 1 => 1430..1440u64];
    let addr = prop_oneof![3 => Just(0u8), 1 => 0..4u8];
    let one = (day, minute, addr, fact()).prop_map(|(day, minute, addr, fact)| Happening {
        at: START + day * DAY + minute * MINUTE,
        addr,
        fact,
    });
    prop::collection::vec(one, 0..90).prop_map(|mut log| {
        // Address 200 sends a message each day, so that the log has no gap.
        log.extend((0..22).map(|day| Happening {
            at: START + day * DAY,
            addr: 200,
            fact: Fact::Accepted,
        }));
        log.sort_by_key(|happening| happening.at);
        log
    })
}

pub(super) fn event(happening: &Happening) -> Event<'static> {
    let mut envelope = Envelope::default();
    let kind = match happening.fact {
        Fact::Accepted => EventKind::Accepted,
        Fact::Listed => EventKind::Rejected {
            text: b"Listed"[..].into(),
        },
        Fact::Unknown(sender, port) => {
            (envelope.sender, envelope.port) = (Some(sender.as_bytes().into()), port);
            let text = b"Unknown user."[..].into();
            EventKind::Rejected { text }
        }
        Fact::Delivered(recipient) => {
            envelope.recipient = Some(recipient.as_bytes().into());
            EventKind::Delivered
        }
    };
    Event {
        addr: address(happening.addr),
        kind,
        at: Some(wall(happening.at)),
        clock: Clock::Zoned,
        rule: "model".into(),
        envelope,
    }
}

/// Whether a source is known at `now`, by the engine.
fn by_engine(log: &[Happening], addr: u8, now: u64) -> bool {
    let mut engine = Engine::new(settings(), Protected::default());
    for happening in log {
        let now = Moment {
            wall: wall(happening.at),
            mono: Duration::from_secs(happening.at - START),
        };
        engine.settle(now, false);
        engine.decide(&event(happening), now, false);
    }
    let end = Moment {
        wall: wall(now),
        mono: Duration::from_secs(now - START),
    };
    engine.settle(end, true);
    let records = engine.take_records();
    let record = records.get(&Target::from(address(addr)));
    record.is_some_and(|record| record.standing(unix_seconds(wall(now))).is_known())
}

/// Whether a source is known at `now`, by the rules of the documentation. A
/// connection counts for a week and `margin`.
fn by_the_book(log: &[Happening], addr: u8, now: u64, margin: u64) -> bool {
    let own: Vec<&Happening> = log.iter().filter(|other| other.addr == addr).collect();
    let demoted = demotions(&own).into_iter().max().unwrap_or(0);
    let counts = |happening: &&&Happening| happening.at > demoted && now - happening.at <= 36 * DAY;
    let accepted: BTreeSet<u64> = own
        .iter()
        .filter(counts)
        .filter(|happening| matches!(happening.fact, Fact::Accepted))
        .map(|happening| happening.at)
        .collect();
    let days: BTreeSet<u64> = accepted.iter().map(|at| at / DAY).collect();
    let deliveries: Vec<(u64, &str)> = own
        .iter()
        .filter(counts)
        .filter(|happening| wrote_first(log, happening, margin))
        .filter_map(|happening| match happening.fact {
            Fact::Delivered(recipient) => Some((happening.at / DAY, recipient)),
            _ => None,
        })
        .collect();
    let is_pair = |(day, to): &(u64, &str)| {
        let mut others = deliveries.iter();
        others.any(|(other_day, other)| day != other_day && to != other)
    };
    accepted.len() >= 3 && days.len() >= 2 || deliveries.iter().any(is_pair)
}

fn wrote_first(log: &[Happening], delivery: &Happening, margin: u64) -> bool {
    let index = log.iter().position(|other| std::ptr::eq(other, delivery));
    let before = &log[..index.unwrap_or(0)];
    let is_contact = |other: &&Happening| {
        !matches!(other.fact, Fact::Delivered(_))
            && other.addr / 2 == delivery.addr / 2
            && other.at + 7 * DAY + margin >= delivery.at
    };
    delivery.at >= START + 7 * DAY && !before.iter().any(|other| is_contact(&other))
}

/// When a source is demoted.
fn demotions(own: &[&Happening]) -> Vec<u64> {
    let mut demotions = Vec::new();
    let mut strikes: Vec<u64> = Vec::new();
    let mut connections: Vec<(u16, u64)> = Vec::new();
    let mut senders: Vec<(&str, u64)> = Vec::new();
    for (index, happening) in own.iter().enumerate() {
        let at = happening.at;
        match happening.fact {
            Fact::Listed => demotions.push(at),
            Fact::Unknown(sender, port) if !sender.is_empty() => {
                let mut is_new = true;
                if let Some(port) = port {
                    let known = |(other, since): &(u16, u64)| *other == port && at - since <= HOUR;
                    match connections.iter().any(known) {
                        true => is_new = false,
                        false => connections.push((port, at)),
                    }
                }
                let known = |(other, since): &(&str, u64)| *other == sender && at - since <= 60;
                match senders.iter().any(known) {
                    true => is_new = false,
                    false => senders.push((sender, at)),
                }
                if is_new {
                    strikes.push(at);
                    let struck = strikes.iter().filter(|strike| at - **strike <= HOUR);
                    let accepted = own[..index].iter().filter(|other| {
                        matches!(other.fact, Fact::Accepted) && at - other.at <= HOUR
                    });
                    let struck = struck.count();
                    if struck >= 5 && struck > accepted.count() {
                        demotions.push(at);
                    }
                }
            }
            _ => {}
        }
    }
    demotions
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn standings_follow_from_the_rules(
        log in log(),
        addr in prop_oneof![Just(0u8), 0..4u8],
        now in prop_oneof![
            Just(START + 9 * DAY + 80 * MINUTE),
            Just(START + 22 * DAY),
        ],
    ) {
        let mut log = log;
        log.retain(|happening| happening.at <= now);
        let known = by_engine(&log, addr, now);
        if by_the_book(&log, addr, now, MARGIN) {
            prop_assert!(known, "it is known by the rules");
        }
        if known {
            prop_assert!(by_the_book(&log, addr, now, 0), "it is not known by the rules");
        }
    }

    /// Random rejections and accepted messages of bots never trip the ceiling
    /// while no known sender is rejected, even if a bot's mail was accepted
    /// shortly before it is listed.
    #[test]
    fn bots_cannot_pause_blocking(
        known in 1..40u8,
        bots in prop::collection::vec((0..400u16, 0..120u64, any::<bool>()), 0..600),
    ) {
        let mut engine = Engine::new(settings(), Protected::default());
        let moment = |second: u64| Moment {
            wall: wall(START + 3 * DAY + second),
            mono: Duration::from_secs(9 * DAY + second),
        };
        for n in 0..known {
            let ago = [1, 2, 2 * DAY].map(|ago| START + 3 * DAY - ago);
            let record = ago.into_iter().fold(Record::default(), |record, at| {
                record.join(Record::accepted(unix_seconds(wall(at))))
            });
            engine.remember(address(n).into(), &record, moment(0));
        }
        let mut bots = bots;
        bots.sort_by_key(|(_, second, _)| *second);
        for (bot, second, is_listed) in bots {
            let [high, low] = bot.to_be_bytes();
            let fact = if is_listed { Fact::Listed } else { Fact::Accepted };
            let happening = Happening { at: START + 3 * DAY + second, addr: 0, fact };
            let event = Event { addr: Ipv4Addr::new(203, 0, high, low).into(), ..event(&happening) };
            engine.decide(&event, moment(second), false);
            prop_assert_eq!(engine.ceiling(moment(second)), None);
        }
    }
}
