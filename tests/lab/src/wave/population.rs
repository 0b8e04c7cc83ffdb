//! The senders of a wave, with the times and number of their connections. The
//! result depends only on the seed.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use ipnet::Ipv4Net;
use serde::Serialize;

use super::scale::Scale;

/// The addresses on the blocklist, for the server and for DNS queries.
pub const LISTED: Ipv4Net = net(Ipv4Addr::new(100, 96, 0, 0), 11);

const KNOWN: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 10);
const UNLISTED_BOTS: Ipv4Addr = Ipv4Addr::new(100, 72, 0, 10);
const NEW: Ipv4Addr = Ipv4Addr::new(100, 80, 0, 10);
const LISTED_BOTS: Ipv4Addr = Ipv4Addr::new(100, 96, 0, 10);
const LISTED_SERVERS: Ipv4Addr = Ipv4Addr::new(100, 112, 0, 10);

/// The prefixes of the bots; no other sender is in them.
const BOTS: [Ipv4Net; 2] = [
    net(Ipv4Addr::new(100, 72, 0, 0), 13),
    net(Ipv4Addr::new(100, 96, 0, 0), 12),
];

/// Number of addresses in a /24, the distance of two known senders.
const NET: u32 = 256;
/// A timeout within which the kernel sends no second SYN.
const ONE_SHOT: Duration = Duration::from_millis(500);
/// The time that mail servers wait for a reply (RFC 5321, 4.5.3.2).
const SERVER_BOREDOM: Duration = Duration::from_secs(300);

/// The class of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A bot; most are listed.
    Bot,
    /// A mail server whose mail has been accepted before.
    Known,
    /// An unknown sender in the same /24 as a known one.
    Near,
    /// A mail server never seen before.
    New,
    /// A mail server that is listed.
    ListedServer,
}

/// A host and its behaviour.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Its class.
    pub class: Class,
    /// The address from which it connects.
    pub addr: Ipv4Addr,
    /// The TTL of its packets; Windows uses 128.
    pub ttl: u8,
    /// How long it tries to connect.
    pub connect_timeout: Duration,
    /// How long it waits for a reply.
    pub boredom: Duration,
    /// Its behaviour after its mail is refused or accepted.
    pub manners: Manners,
}

/// How a sender ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// It quits.
    Polite,
    /// It tries a second recipient if the first is refused, then quits.
    Insistent,
    /// It sends nothing more, and keeps the connection open.
    Rude,
}

/// Consecutive sessions of a sender.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The sender.
    pub sender: Sender,
    /// The time of its first connection, from the start of the wave.
    pub start: Duration,
    /// The time from the end of each session to the next.
    pub pauses: Vec<Duration>,
    /// The seed of the random times that the sender takes before its commands.
    pub seed: u64,
}

/// All senders, in the order of their first connections.
#[derive(Clone, Debug)]
pub struct Population {
    /// The senders with their sessions.
    pub chains: Vec<Chain>,
    /// The known senders, including those that do not connect.
    pub known: Vec<Ipv4Addr>,
}

/// Whether an address is on the blocklist.
#[must_use]
pub fn is_listed(addr: Ipv4Addr) -> bool {
    LISTED.contains(&addr)
}

/// Whether the host has a server's name that resolves back to it. Most mail
/// servers have one, and few bots.
#[must_use]
pub fn is_named(addr: Ipv4Addr) -> bool {
    let is_bot = BOTS.iter().any(|net| net.contains(&addr));
    let share = if is_bot { 0.1 } else { 0.9 };
    Rng::with_seed(addr.to_bits().into()).f64() < share
}

impl Sender {
    /// Whether the sender is listed.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        is_listed(self.addr)
    }

    /// Whether it tries long enough for its kernel to retransmit a SYN.
    #[must_use]
    pub fn retransmits(&self) -> bool {
        self.connect_timeout > ONE_SHOT
    }
}

impl Population {
    /// Generates all senders of a wave.
    #[must_use]
    pub fn new(seed: u64, scale: &Scale) -> Self {
        let mut maker = Maker {
            scale,
            random: Rng::with_seed(seed),
            chains: Vec::new(),
        };
        for number in 0..scale.bots {
            maker.bot(number);
        }
        maker.mail_servers();
        for number in 0..scale.listed_servers {
            maker.listed_server(number);
        }
        let mut chains = maker.chains;
        chains.sort_by_key(|chain| chain.start);
        let known = (0..scale.known).map(known).collect();
        Self { chains, known }
    }
}

struct Maker<'a> {
    scale: &'a Scale,
    random: Rng,
    chains: Vec<Chain>,
}

impl Maker<'_> {
    fn bot(&mut self, number: u32) {
        let home = if self.chance(0.8) {
            LISTED_BOTS
        } else {
            UNLISTED_BOTS
        };
        let sender = Sender {
            class: Class::Bot,
            addr: nth(home, number, 16),
            ttl: if self.chance(0.9) { 128 } else { 64 },
            connect_timeout: if self.chance(0.1) {
                ONE_SHOT
            } else {
                self.scale.bot_patience
            },
            boredom: self.seconds(&self.scale.boredom),
            manners: match self.random.u32(..200) {
                0 => Manners::Rude,
                1..=30 => Manners::Insistent,
                _ => Manners::Polite,
            },
        };
        let start = self.scale.length.mul_f64(self.second_of_four());
        let at_once = if self.chance(0.1) { 3 } else { 1 };
        for _ in 0..at_once {
            let more = self.random.usize(0..3);
            let pauses = (0..more).map(|_| self.seconds(&self.scale.pause)).collect();
            self.push(sender.clone(), start, pauses);
        }
    }

    fn mail_servers(&mut self) {
        let mut start = 0.0;
        for number in 0.. {
            start += -self.random.f64().max(1e-9).ln() / self.scale.mails_per_second;
            let start = Duration::from_secs_f64(start);
            if start >= self.scale.length {
                break;
            }
            let neighbour = self.random.u32(..self.scale.known);
            let (class, addr) = if self.chance(self.scale.near) {
                (Class::Near, nth(known(neighbour), 1, 10))
            } else if self.chance(self.scale.new / (1.0 - self.scale.near)) {
                (Class::New, nth(NEW, number, NET))
            } else {
                (Class::Known, known(neighbour))
            };
            let sender = self.mail_server(class, addr);
            self.push(sender, start, Vec::new());
        }
    }

    fn listed_server(&mut self, number: u32) {
        let sender = self.mail_server(Class::ListedServer, nth(LISTED_SERVERS, number, NET));
        let start = self.scale.length.mul_f64(0.1 + 0.7 * self.random.f64());
        self.push(sender, start, Vec::new());
    }

    fn mail_server(&self, class: Class, addr: Ipv4Addr) -> Sender {
        Sender {
            class,
            addr,
            ttl: 64,
            connect_timeout: self.scale.server_connect_timeout,
            boredom: SERVER_BOREDOM,
            manners: Manners::Polite,
        }
    }

    fn push(&mut self, sender: Sender, start: Duration, pauses: Vec<Duration>) {
        self.chains.push(Chain {
            sender,
            start,
            pauses,
            seed: self.random.u64(..),
        });
    }

    fn chance(&mut self, share: f64) -> bool {
        self.random.f64() < share
    }

    fn seconds(&mut self, range: &Range<f64>) -> Duration {
        let width = range.end - range.start;
        Duration::from_secs_f64(range.start + width * self.random.f64())
    }

    /// Draws a number from 0 to 1 with distribution Beta(2, 3), whose density
    /// rises quickly and falls slowly.
    fn second_of_four(&mut self) -> f64 {
        let mut four = [(); 4].map(|()| self.random.f64());
        four.sort_by(f64::total_cmp);
        four[1]
    }
}

/// The address of a known sender; each has a /24 of its own.
fn known(number: u32) -> Ipv4Addr {
    nth(KNOWN, number, NET)
}

fn nth(first: Ipv4Addr, number: u32, step: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(first.to_bits() + number * step)
}

const fn net(addr: Ipv4Addr, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(addr, length)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn share(chains: &[Chain], is: impl Fn(&Sender) -> bool) -> f64 {
        let count = chains.iter().filter(|chain| is(&chain.sender)).count();
        count as f64 / chains.len() as f64
    }

    fn chains_of(class: Class, population: &Population) -> Vec<Chain> {
        let of_class = |chain: &&Chain| chain.sender.class == class;
        population.chains.iter().filter(of_class).cloned().collect()
    }

    fn assert_near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 0.06, "{value}, not {expected}");
    }

    #[test]
    fn a_seed_says_who_comes() {
        let scale = Scale::full();
        let [one, same, other] =
            [1, 1, 2].map(|seed| format!("{:?}", Population::new(seed, &scale)));
        assert_eq!(one, same);
        assert_ne!(one, other);
    }

    #[test]
    fn bots_are_as_they_should_be() {
        let scale = Scale::full();
        let bots = chains_of(Class::Bot, &Population::new(1, &scale));
        assert_near(share(&bots, Sender::is_listed), 0.8);
        assert_near(share(&bots, |bot| bot.ttl == 128), 0.9);
        assert_near(share(&bots, |bot| !bot.retransmits()), 0.1);
        let mean = |number: &dyn Fn(&Chain) -> f64| {
            bots.iter().map(number).sum::<f64>() / bots.len() as f64
        };
        // The mean of Beta(2, 3): 2 / (2 + 3).
        assert_near(mean(&|bot| bot.start.div_duration_f64(scale.length)), 0.4);
        assert_near(mean(&|bot| bot.pauses.len() as f64) / 10.0, 0.1);
        // One of ten bots opens three connections at once.
        assert_near(bots.len() as f64 / f64::from(scale.bots), 1.2);
    }

    #[test]
    fn most_mail_is_of_known_hosts() {
        let scale = Scale::full();
        let mut mails = Population::new(1, &scale).chains;
        mails.retain(|chain| !matches!(chain.sender.class, Class::Bot | Class::ListedServer));
        let seconds = scale.length.as_secs_f64();
        assert_near(mails.len() as f64 / seconds / 10.0, 0.2);
        for (class, part) in [(Class::Known, 0.9), (Class::Near, 0.04), (Class::New, 0.06)] {
            assert_near(share(&mails, |sender| sender.class == class), part);
        }
    }

    #[test]
    fn only_what_should_be_listed_is() {
        let population = Population::new(1, &Scale::full());
        for chain in &population.chains {
            let listed = chain.sender.is_listed();
            match chain.sender.class {
                Class::Bot => {}
                Class::ListedServer => assert!(listed, "{chain:?}"),
                _ => assert!(!listed, "{chain:?}"),
            }
        }
    }

    #[test]
    fn servers_have_names_and_few_bots_have() {
        let chains = Population::new(1, &Scale::full()).chains;
        let (bots, servers): (Vec<_>, Vec<_>) = chains
            .into_iter()
            .partition(|chain| chain.sender.class == Class::Bot);
        assert_near(share(&bots, |bot| is_named(bot.addr)), 0.1);
        assert_near(share(&servers, |server| is_named(server.addr)), 0.9);
    }

    #[test]
    fn neighbours_are_unknown_and_newcomers_have_no_known_neighbour() {
        let population = Population::new(1, &Scale::full());
        let nets: BTreeSet<_> = population
            .known
            .iter()
            .map(|addr| addr.to_bits() >> 8)
            .collect();
        for chain in &population.chains {
            let addr = chain.sender.addr;
            let is_known = population.known.contains(&addr);
            let is_near = nets.contains(&(addr.to_bits() >> 8));
            let expected = match chain.sender.class {
                Class::Known => (true, true),
                Class::Near => (false, true),
                _ => (false, false),
            };
            assert_eq!((is_known, is_near), expected, "{chain:?}");
        }
    }
}
