//! Random frames of every kind. Two in five are damaged, the others are valid.
//!
//! Whatever the headers say, the bytes behind them are those of a TCP segment,
//! so that a parser that goes wrong finds something to drop.

use fastrand::Rng;

use crate::sources::{PORTS, Sources};

/// The kernel takes no shorter frame for a test run.
pub const MIN: usize = 14;
/// The kernel splits a frame that does not fit in a page, less headroom and
/// tailroom; the filter reads the first part only.
const MAX: usize = 3_400;

const EXTENSIONS: [u8; 6] = [0, 43, 60, 135, 51, 44];

/// A frame, and where its headers begin.
struct Frame<'a> {
    rng: &'a mut Rng,
    sources: &'a Sources,
    bytes: Vec<u8>,
    /// Where the IP header begins.
    ip: usize,
    /// Where the IPv6 extension headers begin.
    extensions: Vec<usize>,
}

/// Returns the next frame, and where its IP header begins. If the frame is damaged, the
/// header began there before the damage.
pub fn frame(rng: &mut Rng, sources: &Sources) -> (Vec<u8>, usize) {
    let mut frame = Frame {
        rng,
        sources,
        bytes: Vec::with_capacity(256),
        ip: 0,
        extensions: Vec::new(),
    };
    frame.ethernet();
    frame.bytes.truncate(MAX);
    if frame.chance(2, 5) {
        for _ in 0..frame.rng.usize(1..=2) {
            frame.damage();
        }
    }
    (frame.bytes, frame.ip)
}

impl Frame<'_> {
    /// True in `hits` of `of` cases.
    fn chance(&mut self, hits: u32, of: u32) -> bool {
        self.rng.u32(0..of) < hits
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.rng.usize(0..choices.len())]
    }

    fn random(&mut self, count: usize) {
        let start = self.bytes.len();
        self.bytes.resize(start + count, 0);
        self.rng.fill(&mut self.bytes[start..]);
    }

    fn push16(&mut self, value: u16) {
        self.bytes.extend(value.to_be_bytes());
    }

    /// Replaces bytes, unless the frame has been cut so that it does not have them.
    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(field) = self.bytes.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }

    fn put16(&mut self, at: usize, value: usize) {
        self.put(at, &u16::try_from(value).unwrap().to_be_bytes());
    }

    fn ethernet(&mut self) {
        self.random(12);
        for _ in 0..self.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3]) {
            let tpid = if self.chance(1, 16) {
                0x9100
            } else {
                self.pick(&[0x8100, 0x88a8])
            };
            self.push16(tpid);
            self.random(2);
        }
        let kind = match self.rng.u32(0..20) {
            0..9 => 0x0800,
            9..19 => 0x86dd,
            // ARP, MACsec, PPPoE, MPLS, LLDP, an 802.3 length.
            _ => self.pick(&[0x0806, 0x88e5, 0x8864, 0x8847, 0x88cc, 60]),
        };
        self.push16(kind);
        self.ip = self.bytes.len();
        if kind == 0x0800 || (kind != 0x86dd && self.rng.bool()) {
            self.ipv4();
        } else {
            self.ipv6();
        }
    }

    fn ipv4(&mut self) {
        let words = self.pick(&[0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let protocol = self.protocol();
        self.bytes.push(0x45 + words);
        self.random(5);
        let fragment = match self.rng.u32(0..20) {
            0 => 0x2000,
            1 => 0x2000 | self.rng.u16(1..0x2000),
            2 => self.rng.u16(1..0x2000),
            // Don't fragment, and the reserved bit.
            3..11 => 0x4000,
            11 => 0x8000,
            _ => 0,
        };
        self.push16(fragment);
        self.bytes.extend([64, protocol, 0, 0]);
        self.bytes.extend(self.sources.v4(self.rng));
        self.bytes.extend(self.sources.to4(self.rng));
        self.random(4 * usize::from(words));
        self.tcp();
        self.put16(self.ip + 2, self.bytes.len() - self.ip);
    }

    fn ipv6(&mut self) {
        let count = self.pick(&[0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9]);
        let protocol = self.protocol();
        let mut chain: Vec<u8> = (0..count).map(|_| self.pick(&EXTENSIONS)).collect();
        chain.push(protocol);
        self.bytes.push(0x60);
        self.random(5);
        self.bytes.extend([chain[0], 64]);
        self.bytes.extend(self.sources.v6(self.rng));
        self.bytes.extend(self.sources.to6(self.rng));
        for pair in chain.windows(2) {
            self.extension(pair[0], pair[1]);
        }
        self.tcp();
        self.put16(self.ip + 4, self.bytes.len() - self.ip - 40);
    }

    fn extension(&mut self, kind: u8, next: u8) {
        self.extensions.push(self.bytes.len());
        self.bytes.push(next);
        if kind == 44 {
            let offset = if self.chance(1, 20) { 0xfff8 } else { 0 };
            self.random(1);
            // The reserved bits and the bit for more fragments are random.
            let field = self.rng.u16(..) & (offset | 7);
            self.push16(field);
            self.random(4);
            return;
        }
        let longest = if self.chance(1, 50) { 255 } else { 4 };
        let units = self.rng.u8(..=longest);
        self.bytes.push(units);
        let length = match kind {
            51 => (usize::from(units) + 2) * 4,
            _ => (usize::from(units) + 1) * 8,
        };
        self.random(length - 2);
    }

    fn protocol(&mut self) -> u8 {
        if self.chance(9, 10) {
            return 6;
        }
        // ICMP, IPv4, UDP, IPv6, GRE, ESP, AH, ICMPv6, none, OSPF, SCTP, HIP,
        // SHIM6, an experiment.
        self.pick(&[1, 4, 17, 41, 47, 50, 51, 58, 59, 89, 132, 139, 140, 253])
    }

    fn tcp(&mut self) {
        self.random(2);
        let port = match self.rng.u32(0..10) {
            0..6 => 25,
            6..8 => self.pick(&PORTS),
            8 => self.pick(&[24, 26, 0, 0x1900, 464, 586, 2524, 2526]),
            _ => self.rng.u16(..),
        };
        self.push16(port);
        self.random(8);
        let words = self.pick(&[0, 0, 0, 1, 3, 5, 10]);
        // The reserved bits are random; at times the data offset is, too.
        let random = if self.chance(1, 20) { 0xff } else { 0x0f };
        let offset = (5 + words) << 4 ^ self.rng.u8(..) & random;
        let any_flags = self.rng.u8(..);
        let flags = self.pick(&[0x02, any_flags]);
        self.bytes.extend([offset, flags]);
        let payload = self.pick(&[0, 0, 1, 6, 40]);
        self.random(6 + 4 * usize::from(words) + payload);
    }

    fn damage(&mut self) {
        match self.rng.u32(0..10) {
            0..3 => {
                let length = self.rng.usize(MIN..=self.bytes.len());
                self.bytes.truncate(length);
            }
            3..6 => self.flip(),
            6 => self.break_ip_length(),
            7 => self.break_extension(),
            8 => {
                let version_and_ihl = self.rng.u8(..);
                self.put(self.ip, &[version_and_ihl]);
            }
            _ => {
                let count = self.rng.usize(1..=46);
                self.random(count);
            }
        }
    }

    fn flip(&mut self) {
        for _ in 0..self.rng.usize(1..=4) {
            let at = self.rng.usize(0..self.bytes.len());
            self.bytes[at] ^= 1 << self.rng.u8(0..8);
        }
    }

    /// Replaces the two bytes where IPv4 has its total length, or those where IPv6 has its
    /// payload length, whatever the version: by any number, by a small one, by one near
    /// the end of the headers, or by one near the end of the frame.
    fn break_ip_length(&mut self) {
        let field = if self.rng.bool() { 2 } else { 4 };
        let left = self.bytes.len().saturating_sub(self.ip);
        let length = match self.rng.u32(0..4) {
            0 => self.rng.usize(..=0xffff),
            // Near the end of the headers, where a fragment may be cut.
            3 => 8 * self.rng.usize(1..8) + self.rng.usize(..8),
            1 => self.rng.usize(..100),
            _ => left.saturating_sub(self.rng.usize(..100)),
        };
        self.put16(self.ip + field, length);
    }

    /// Replaces the next-header field or the length of an extension header.
    fn break_extension(&mut self) {
        let Some(&at) = self.rng.choice(&self.extensions) else {
            return self.break_ip_length();
        };
        let most = if self.rng.bool() { 255 } else { 7 };
        let value = self.rng.u8(..=most);
        let field = self.rng.usize(0..2);
        self.put(at + field, &[value]);
    }
}
