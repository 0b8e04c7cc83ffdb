//! The sources and destinations of the frames, the entries of the filter for them, and
//! the reasons that the design gives for their segments.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use fastrand::Rng;
use ipnet::IpNet;
use spamdrop_common::counter::Reason;
use spamdrop_common::settings::Refresh;

use crate::oracle::Segment;
use spamdrop_filter::Filter;

/// Watched destination ports.
pub const PORTS: [u16; 4] = [25, 465, 587, 2525];

/// The blocked sources, with the states of their entries. No prefix contains an open
/// entry or another prefix, because the design does not say which of the two decides.
/// Beside the entry of a /64, an address in it may have its own. Either entry may drop.
const LISTED: [(&str, State); 24] = [
    ("192.0.2.1/32", State::Open),
    ("192.0.2.2/32", State::Sealed),
    ("192.0.2.3/32", State::Expired),
    ("192.0.2.4/32", State::Open),
    ("192.0.2.5/32", State::Sealed),
    ("192.0.2.6/32", State::Expired),
    ("198.51.100.0/25", State::Sealed),
    ("198.51.100.7/32", State::Expired),
    ("203.0.113.0/24", State::Expired),
    ("2001:db8:0:1::/64", State::Open),
    ("2001:db8:0:2::/64", State::Sealed),
    ("2001:db8:0:3::/64", State::Expired),
    ("2001:db8:0:4::/64", State::Open),
    ("2001:db8:0:5::/64", State::Sealed),
    ("2001:db8:0:6::/64", State::Expired),
    ("2001:db8:ee00::/40", State::Expired),
    ("2001:db8:ff00::/40", State::Sealed),
    ("2001:db8:ff00:7::/64", State::Expired),
    ("2001:db8:0:1::66/128", State::Sealed),
    ("2001:db8:0:2::66/128", State::Open),
    ("2001:db8:0:3::66/128", State::Open),
    ("2001:db8:0:4::67/128", State::Expired),
    ("2001:db8:0:7::66/128", State::Sealed),
    ("2001:db8:0:5::1/128", State::Sealed),
];

const ALLOWED: [&str; 5] = [
    "192.0.2.4/30",
    "198.51.100.64/26",
    "2001:db8:0:4::66/128",
    "2001:db8:0:5::/65",
    "2001:db8:ffaa::/48",
];

const V4: [&str; 14] = [
    "192.0.2.0",
    "192.0.2.1",
    "192.0.2.2",
    "192.0.2.3",
    "192.0.2.4",
    "192.0.2.5",
    "192.0.2.6",
    "198.51.100.7",
    "198.51.100.8",
    "198.51.100.65",
    "198.51.100.128",
    "203.0.113.9",
    "0.0.0.0",
    "255.255.255.255",
];

const V6: [&str; 25] = [
    "2001:db8::1",
    "2001:db8:0:1::1",
    "2001:db8:0:1::66",
    "2001:db8:0:2::66",
    "2001:db8:0:3::66",
    "2001:db8:0:7::66",
    "2001:db8:0:7::67",
    "2001:db8:0:2::ffff:ffff",
    "2001:db8:0:3::1",
    "2001:db8:0:4::66",
    "2001:db8:0:4::67",
    "2001:db8:0:5::1",
    "2001:db8:0:5:8000::1",
    "2001:db8:0:6::1",
    "2001:db8:ee12::1",
    "2001:db8:ff00:7::1",
    "2001:db8:ff12::1",
    "2001:db8:ffaa::1",
    "2001:db9::1",
    "::ffff:192.0.2.2",
    "::",
    // Three sources behind NAT64, and one outside of its prefix.
    "64:ff9b::192.0.2.2",
    "64:ff9b::198.51.100.8",
    "64:ff9b::203.0.113.200",
    "64:ff9b:0:0:0:1:192.0.2.2",
];

/// Destinations of the frames. In each list, only the last one is another host's.
const TO4: [&str; 5] = [
    "203.0.113.25",
    "203.0.113.25",
    "10.9.0.0",
    "10.9.255.255",
    "203.0.113.26",
];
const TO6: [&str; 5] = [
    "2001:db8:25::25",
    "2001:db8:25::25",
    "2001:db8:26::",
    "2001:db8:26:ffff::1",
    "2001:db8:25::26",
];
/// This host's destinations.
const OURS: [&str; 4] = [
    "203.0.113.25/32",
    "10.9.0.0/16",
    "2001:db8:25::25/128",
    "2001:db8:26::/48",
];

/// The states of an entry, ordered by how many packets they drop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Expired,
    Open,
    Sealed,
}

/// The addresses for the frames, before any damage, and the lists for the filter.
pub struct Sources {
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
    listed: Vec<(IpNet, State)>,
    allowed: Vec<IpNet>,
    to4: Vec<Ipv4Addr>,
    to6: Vec<Ipv6Addr>,
    ours: Vec<IpNet>,
}

impl Sources {
    pub fn new() -> Self {
        let listed = LISTED.iter().map(|(net, state)| (net.parse(), *state));
        Self {
            v4: parsed(&V4),
            v6: parsed(&V6),
            listed: listed.map(|(net, state)| (net.unwrap(), state)).collect(),
            allowed: parsed(&ALLOWED),
            to4: parsed(&TO4),
            to6: parsed(&TO6),
            ours: parsed(&OURS),
        }
    }

    pub fn v4(&self, rng: &mut Rng) -> [u8; 4] {
        rng.choice(&self.v4).unwrap().octets()
    }

    pub fn v6(&self, rng: &mut Rng) -> [u8; 16] {
        rng.choice(&self.v6).unwrap().octets()
    }

    pub fn to4(&self, rng: &mut Rng) -> [u8; 4] {
        rng.choice(&self.to4).unwrap().octets()
    }

    pub fn to6(&self, rng: &mut Rng) -> [u8; 16] {
        rng.choice(&self.to6).unwrap().octets()
    }

    /// Writes the lists to the filter. Live entries outlast the test.
    pub fn install(&self, filter: &mut Filter) {
        filter.configure(&PORTS, Refresh::Packet);
        filter.apply_only_to(&OURS);
        for (net, state) in &self.listed {
            let (ttl_s, age_s) = match state {
                State::Expired => (1, 10),
                State::Open | State::Sealed => (86_400, 0),
            };
            filter.add(&net.to_string(), ttl_s, age_s, *state == State::Sealed);
        }
        let allowed: Vec<_> = self.allowed.iter().map(|net| (*net, false)).collect();
        filter.list.allow_exactly(&filter.turn, &allowed).unwrap();
    }

    /// Why a TCP segment is passed or dropped.
    pub fn judge(&self, segment: &Segment) -> Reason {
        if !PORTS.contains(&segment.port) {
            return Reason::OtherPort;
        }
        let source = behind_nat64(segment.source);
        let listed = self.listed.iter();
        let Some((net, state)) = listed
            .filter(|(net, _)| net.contains(&source))
            .max_by_key(|(_, state)| *state)
        else {
            return Reason::NotBlocked;
        };
        let is_entry = matches!(
            (net, net.prefix_len()),
            (IpNet::V4(_), 32) | (IpNet::V6(_), 64 | 128)
        );
        let allowed = self.allowed.iter().any(|net| net.contains(&source));
        let ours = self
            .ours
            .iter()
            .any(|net| net.contains(&segment.destination));
        match state {
            State::Expired => Reason::Expired,
            _ if allowed => Reason::Allowed,
            _ if !ours => Reason::OtherHost,
            State::Open if segment.syn => Reason::OpenDropped,
            State::Open => Reason::OpenPassed,
            State::Sealed if is_entry => Reason::SealedDropped,
            State::Sealed => Reason::CidrDropped,
        }
    }
}

/// IPv4 senders behind NAT64 are IPv4 addresses.
fn behind_nat64(source: IpAddr) -> IpAddr {
    let prefix: IpNet = "64:ff9b::/96".parse().unwrap();
    match source {
        IpAddr::V6(addr) if prefix.contains(&source) => {
            Ipv4Addr::from(addr.to_bits() as u32).into()
        }
        _ => source,
    }
}

fn parsed<T: FromStr<Err: std::fmt::Debug>>(texts: &[&str]) -> Vec<T> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}
