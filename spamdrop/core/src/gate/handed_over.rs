//! The connections that postscreen has handed to `smtpd`.
//!
//! Where postscreen listens, the slots are postscreen's. A connection that
//! postscreen has handed over takes no slot any more, but to the kernel it is
//! the same connection as before.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a connection is remembered after its line was read, or after it was
/// last seen in the kernel. It may have ended before its line was read.
const UNSEEN: Duration = Duration::from_secs(2);
/// The most connections that are remembered, far more than there are processes
/// of `smtpd`.
const CAPACITY: usize = 16_384;

/// The peers' addresses and ports of the connections that were handed over, with
/// the time at which each was last seen.
#[derive(Debug, Default)]
pub struct HandedOver(HashMap<(IpAddr, u16), Instant>);

impl HandedOver {
    /// Records that a connection was handed over.
    pub fn add(&mut self, addr: IpAddr, port: u16, now: Instant) {
        if self.0.len() < CAPACITY {
            self.0.insert((addr, port), now);
        }
    }

    /// Whether the connection of this peer was handed over. The caller has just
    /// seen it in the kernel.
    pub fn holds(&mut self, addr: IpAddr, port: u16, now: Instant) -> bool {
        let seen = self.0.get_mut(&(addr, port));
        seen.map(|seen| *seen = now).is_some()
    }

    /// Forgets the connections that do not exist any more.
    pub fn forget_ended(&mut self, now: Instant) {
        self.0
            .retain(|_, seen| now.saturating_duration_since(*seen) <= UNSEEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn a_connection_is_handed_over_until_it_ends() {
        let start = Instant::now();
        let mut handed_over = HandedOver::default();
        handed_over.add(PEER, 40112, start);
        for second in 0..10 {
            let now = start + Duration::from_secs(second);
            assert!(handed_over.holds(PEER, 40112, now));
            assert!(!handed_over.holds(PEER, 40113, now));
            handed_over.forget_ended(now);
        }
        let later = start + Duration::from_secs(12);
        handed_over.forget_ended(later);
        assert!(!handed_over.holds(PEER, 40112, later));
    }

    #[test]
    fn only_so_many_connections_are_remembered() {
        let now = Instant::now();
        let mut handed_over = HandedOver::default();
        for bits in 0..2 * u32::try_from(CAPACITY).unwrap_or(u32::MAX) {
            handed_over.add(std::net::Ipv4Addr::from_bits(bits).into(), 1, now);
        }
        assert_eq!(handed_over.0.len(), CAPACITY);
    }
}
