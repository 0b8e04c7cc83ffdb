//! A day without a wave. The mail and the server are simulated; the gate
//! controller, the gate and the filter are the real ones.

use std::net::{Ipv4Addr, Ipv6Addr};

use fastrand::Rng;
use spamdrop_core::gate::{GateController, Occupancy};

use super::*;

const SEED: u64 = 1;
const SLOTS: u32 = 40;
/// Length of a day in seconds.
const DAY: f64 = 86_400.0;
/// Seconds between two updates of the gate, as in the daemon.
const PERIOD: f64 = 0.2;
/// Mails a second, by the hour.
const RATES: [f64; 24] = [
    0.10, 0.08, 0.08, 0.08, 0.10, 0.15, 0.30, 0.60, 0.90, 1.00, 1.00, 1.00, //
    0.90, 0.90, 1.00, 1.00, 0.90, 0.80, 0.60, 0.50, 0.40, 0.30, 0.20, 0.15,
];
/// Seconds until the server's listener has accepted a connection.
const ACCEPT: f64 = 0.005;
/// Seconds in which a handshake is expected, as in the daemon.
const HANDSHAKE: f64 = 0.4;
/// Number of connections that a mailing list's server opens at once: the
/// maximum that one source may have.
const PER_SOURCE: usize = 4;
const KNOWN_SENDERS: u32 = 150;

/// A SYN.
struct Arrival {
    at: f64,
    source: IpAddr,
    ttl: u8,
    /// Duration of the session in seconds; `None` if the handshake is never
    /// completed.
    session: Option<f64>,
}

/// Generates the arrivals of a day.
struct World {
    rng: Rng,
    arrivals: Vec<Arrival>,
    /// Factor by which sessions are longer than on a usual day.
    stretch: f64,
}

impl World {
    fn day(stretch: f64) -> Vec<Arrival> {
        let mut world = Self {
            rng: Rng::with_seed(SEED),
            arrivals: Vec::new(),
            stretch,
        };
        world.mail();
        world.lists();
        world.scans();
        world.arrivals.sort_by(|a, b| a.at.total_cmp(&b.at));
        world.arrivals
    }

    /// Adds mail. Half of the sessions take up to 6 s, 95 % up to 19 s; one of
    /// 500 is a large message over a slow line.
    fn mail(&mut self) {
        for at in self.poisson(1.0) {
            let hour = (at / 3_600.0) as usize;
            if self.rng.f64() < RATES[hour] {
                let session = match self.rng.u32(0..500) {
                    0 => 120.0 + 480.0 * self.rng.f64(),
                    _ => 2.0 + self.gap(5.5),
                };
                let (source, ttl) = self.sender();
                self.arrive(at, source, ttl, session);
            }
        }
    }

    /// Adds mailing lists, whose sessions take a minute on average.
    fn lists(&mut self) {
        for at in self.poisson(1_800.0) {
            let (source, ttl) = self.sender();
            for _ in 0..PER_SOURCE {
                let session = 30.0 + 60.0 * self.rng.f64();
                let at = at + self.rng.f64();
                self.arrive(at, source, ttl, session);
            }
        }
    }

    /// Adds the scans of the Internet: single SYNs, and every two hours on
    /// average several SYNs at once.
    fn scans(&mut self) {
        let dense = self.poisson(7_200.0);
        let dense = dense.into_iter().flat_map(|at| [at; 6]);
        for at in self.poisson(30.0).into_iter().chain(dense) {
            let scan = Arrival {
                at,
                source: self.stranger(),
                ttl: 54,
                session: None,
            };
            self.arrivals.push(scan);
        }
    }

    fn arrive(&mut self, at: f64, source: IpAddr, ttl: u8, session: f64) {
        self.arrivals.push(Arrival {
            at,
            source,
            ttl,
            session: Some(session * self.stretch),
        });
    }

    /// Generates times in a day that are `apart` seconds apart on average.
    fn poisson(&mut self, apart: f64) -> Vec<f64> {
        let mut at = 0.0;
        let next = || {
            at += self.gap(apart);
            (at < DAY).then_some(at)
        };
        std::iter::from_fn(next).collect()
    }

    fn gap(&mut self, mean: f64) -> f64 {
        -(1.0 - self.rng.f64()).ln() * mean
    }

    /// Chooses an address, and a TTL of Windows or Unix minus some hops.
    fn sender(&mut self) -> (IpAddr, u8) {
        let number = self.rng.u32(0..KNOWN_SENDERS);
        let hops = self.rng.u8(5..20);
        let (source, windows) = match self.rng.u32(0..100) {
            0..85 => (known(number), number.is_multiple_of(4)),
            85..90 => (near(number), self.rng.bool()),
            _ => (self.stranger(), self.rng.bool()),
        };
        (source, if windows { WINDOWS } else { UNIX } - hops)
    }

    fn stranger(&mut self) -> IpAddr {
        if self.rng.u32(0..4) == 0 {
            Ipv6Addr::from((0x2a00_u128 << 112) | (self.rng.u128(..) >> 16)).into()
        } else {
            Ipv4Addr::from(0x6440_0000 | self.rng.u32(0..1 << 22)).into()
        }
    }
}

/// The address of a known sender. A third are IPv6. Each is in a /24 or a /48 of its
/// own.
fn known(number: u32) -> IpAddr {
    if number.is_multiple_of(3) {
        Ipv6Addr::from((0x2001_0db8_u128 << 96) | u128::from(number) << 80 | 0x25).into()
    } else {
        Ipv4Addr::from(0x0a00_0019 | number << 8).into()
    }
}

/// A stranger in the /24 or the /48 of a known sender.
fn near(number: u32) -> IpAddr {
    match known(number) {
        IpAddr::V4(addr) => Ipv4Addr::from(u32::from(addr) + 1).into(),
        IpAddr::V6(addr) => Ipv6Addr::from(u128::from(addr) | 7 << 64).into(),
    }
}

/// The connections that the kernel and the server hold.
#[derive(Default)]
struct Server {
    /// The time at which each slot becomes free.
    slots: Vec<f64>,
    /// The times at which each connection is accepted and ends.
    sessions: Vec<(f64, f64)>,
    /// Number of sessions since the last count.
    opened: u32,
    /// The time of each SYN whose handshake is never completed.
    half_open: Vec<f64>,
}

impl Server {
    fn take(&mut self, arrival: &Arrival) {
        let Some(length) = arrival.session else {
            return self.half_open.push(arrival.at);
        };
        self.slots.resize(SLOTS as usize, 0.0);
        let free = self.slots.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
        let accepted = free.max(arrival.at + ACCEPT);
        *free = accepted + length;
        self.opened += 1;
        self.sessions.push((accepted, *free));
    }

    fn seen(&mut self, now: f64) -> Occupancy {
        let opened = std::mem::take(&mut self.opened);
        self.sessions.retain(|(_, end)| *end > now);
        self.half_open.retain(|at| at + HANDSHAKE > now);
        let waiting = self.sessions.iter().filter(|(start, _)| *start > now);
        Occupancy {
            open: self.sessions.len() as u32,
            waiting: waiting.count() as u32,
            opened,
            pending: self.half_open.len() as u32,
            listeners: 1,
        }
    }
}

/// The outcome of a day.
struct Day {
    arrivals: u64,
    refused: u64,
    stats: GateStats,
    peak: u32,
}

/// Replays a day up to its second `end`.
fn replay(stretch: f64, end: f64) -> Day {
    let mut day = World::day(stretch);
    day.retain(|arrival| arrival.at < end);
    let mut site = Site::new();
    let senders = (0..KNOWN_SENDERS).map(|number| known(number).into());
    site.gate_maps.know_exactly(senders).unwrap();
    let mut controller = GateController::new(GateMode::On, SLOTS);
    let mut server = Server::default();
    let (mut refused, mut peak) = (0, 0);
    let mut arrivals = day.iter().peekable();
    for look in 0..(end / PERIOD) as u32 {
        let now = f64::from(look) * PERIOD;
        let seen = server.seen(now);
        peak = peak.max(seen.open);
        let gate = controller.set(
            seen,
            site.stats().admitted,
            0,
            spamdrop_common::time::MonotonicNs::from_ns((now * 1e9) as u64),
        );
        let written = clock::monotonic_ns();
        site.gate_maps.set(Gate { written, ..gate }).unwrap();
        while let Some(arrival) = arrivals.next_if(|next| next.at < now + PERIOD) {
            if site.passes(arrival) {
                server.take(arrival);
            } else {
                refused += 1;
            }
        }
    }
    Day {
        arrivals: day.len() as u64,
        refused,
        stats: site.stats(),
        peak,
    }
}

impl Site {
    fn passes(&mut self, arrival: &Arrival) -> bool {
        let syn = spec(&arrival.source.to_string(), arrival.ttl);
        self.filter.action(&tcp_frame(&syn), 1) == PASS
    }
}

#[test]
fn nobody_is_refused_on_a_quiet_day() {
    let day = replay(1.0, DAY);
    eprintln!(
        "{} SYNs, {} connections at most; {} refused, {:?}",
        day.arrivals, day.peak, day.refused, day.stats
    );
    // The simulated day has enough traffic, and the gate, which was on, counted
    // every SYN.
    assert!(day.arrivals > 40_000 && day.peak > LIMITS[2] / 2);
    assert_eq!(day.refused, 0);
    assert_eq!(day.stats.admitted, day.arrivals);
    assert_eq!(day.stats.refused, [0; 3]);
    assert_eq!(day.stats.starvation_admits, 0);
}

/// Shows that the test above can fail. The day ends at 9 o'clock, because nobody would
/// get through later.
#[test]
fn with_sessions_ten_times_as_long_strangers_are_refused() {
    let day = replay(10.0, 9.0 * 3_600.0);
    assert!(day.refused > 100, "{}", day.refused);
    assert_eq!(day.stats.admitted + day.refused, day.arrivals);
}
