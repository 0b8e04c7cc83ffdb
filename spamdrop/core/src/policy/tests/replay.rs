//! Replays whole logs through the parser and the policy.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use jiff::Timestamp;

use super::*;
use crate::log::{Parsed, Parser, ParserSettings};

/// The result of a replay.
#[derive(Debug, Default)]
struct Outcome {
    blocked: HashSet<IpAddr>,
    known: usize,
    held_back: usize,
    trips: Vec<Trip>,
}

/// Writes a log, second by second.
#[derive(Default)]
struct Log {
    text: String,
    message: u32,
}

impl Log {
    fn write_line(&mut self, second: u64, program: &str, message: &str) {
        let stamp = Timestamp::try_from(moment(second * 1000).wall).unwrap();
        self.text
            .push_str(&format!("{stamp} mx1 {program}: {message}\n"));
    }

    fn refuse(&mut self, second: u64, addr: Ipv4Addr) {
        let message = format!(
            "error,relay=::ffff:{addr},port=4000,from=<a@example.net>,to=<b@example.com>: \
             511 Blacklisted by dnsbl.example"
        );
        self.write_line(second, "courieresmtpd", &message);
    }

    fn accept(&mut self, second: u64, addr: Ipv4Addr) {
        self.message += 1;
        let message = format!(
            "newmsg,id={:08X}.6561A3AE.00006A21: dns; mail (mail.example.org [::ffff:{addr}])",
            self.message
        );
        self.write_line(second, "courierd", &message);
    }

    fn replay(&self) -> Outcome {
        let mut parser = Parser::new(ParserSettings::default());
        let protected = Protected::default();
        let mut policy = knowing((0..SENDERS).map(|n| sender(n).to_string()));
        let mut outcome = Outcome::default();
        let mut tripped = false;
        for line in self.text.lines() {
            let Parsed::Event(event) = parser.parse(line.as_bytes(), moment(0).wall) else {
                panic!("not understood: {line}");
            };
            let passed = event.at.unwrap().duration_since(moment(0).wall).unwrap();
            let now = moment(u64::try_from(passed.as_millis()).unwrap());
            let is_blocked = outcome.blocked.contains(&event.addr);
            match policy.decide(&event, now, &protected, is_blocked) {
                Decision::Block { addr, .. } => {
                    outcome.blocked.insert(addr);
                }
                Decision::Known => outcome.known += 1,
                Decision::Delivered => panic!("nothing was delivered: {line}"),
                Decision::Ignore(IgnoreReason::Ceiling) => outcome.held_back += 1,
                Decision::Ignore(why) => panic!("{why}: {line}"),
            }
            let trip = policy.ceiling(now);
            if let Some(trip) = trip.filter(|_| !tripped) {
                outcome.trips.push(trip);
            }
            tripped = trip.is_some();
        }
        outcome
    }
}

fn bot(n: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(n).unwrap())
}

fn sender(n: u64) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, u8::try_from(n).unwrap())
}

const SENDERS: u64 = 50;
const MINUTE: u64 = 60;

/// The known sender that delivers in this second; each delivers once in ten
/// minutes.
fn deliveries(second: u64) -> Option<Ipv4Addr> {
    second
        .is_multiple_of(12)
        .then(|| sender(second / 12 % SENDERS))
}

/// 1,000 sources a minute for ten minutes, 95 % of them listed.
#[test]
fn a_real_wave_is_blocked() {
    let mut log = Log::default();
    for second in 0..20 * MINUTE {
        if let Some(addr) = deliveries(second) {
            log.accept(second, addr);
        }
        if second < 10 * MINUTE {
            continue;
        }
        let wave = second - 10 * MINUTE;
        for n in wave * 1000 / MINUTE..(wave + 1) * 1000 / MINUTE {
            if n % 20 == 0 {
                log.accept(second, bot(n));
            } else {
                log.refuse(second, bot(n));
            }
        }
    }
    let outcome = log.replay();
    assert_eq!(outcome.trips, []);
    assert_eq!(outcome.held_back, 0);
    assert_eq!(outcome.blocked.len(), 9500);
    assert_eq!(outcome.known, 2 * 50 + 500);
}

/// The known senders deliver for ten minutes; then a blocklist lists every
/// address.
fn everybody_listed(until: u64) -> Log {
    let mut log = Log::default();
    for second in 0..until {
        match deliveries(second) {
            Some(addr) if second < 10 * MINUTE => log.accept(second, addr),
            Some(addr) => log.refuse(second, addr),
            None => {}
        }
        if second >= 10 * MINUTE {
            log.refuse(second, bot(second));
        }
    }
    log
}

#[test]
fn a_blocklist_that_lists_everybody_trips_the_ceiling() {
    let outcome = everybody_listed(20 * MINUTE).replay();
    let refused = Trip::Share {
        refused: 10,
        known: 50,
    };
    assert_eq!(outcome.trips, [refused]);
    // The tenth known sender is refused 9 × 12 s after the first.
    let senders = outcome.blocked.iter().filter(|addr| !is_bot(**addr));
    assert_eq!(senders.count(), 9);
    assert_eq!(outcome.blocked.len(), 9 + 108);
    assert_eq!(outcome.held_back, 41 + 492);
}

#[test]
fn it_recovers_when_known_senders_are_accepted_again() {
    let mut log = everybody_listed(20 * MINUTE);
    for second in 20 * MINUTE..30 * MINUTE {
        if let Some(addr) = deliveries(second) {
            log.accept(second, addr);
        }
    }
    log.refuse(30 * MINUTE, bot(9999));
    let outcome = log.replay();
    assert_eq!(outcome.trips.len(), 1);
    assert!(outcome.blocked.contains(&bot(9999).into()));
}

#[test]
fn a_flood_of_new_addresses_trips_the_ceiling() {
    let mut log = Log::default();
    for n in 0..7000 {
        log.refuse(n / 200, bot(n));
    }
    let outcome = log.replay();
    let rate = Trip::Rate {
        offences: 6001,
        limit: 6000,
    };
    assert_eq!(outcome.trips, [rate]);
    assert_eq!(outcome.blocked.len(), 6000);
}

fn is_bot(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V4(addr) if addr.octets()[0] == 10)
}
