//! The share of recent SYNs that became connections.
//!
//! A forged, repeated or damaged SYN takes no slot, so a flood of them must not
//! close the gate. Therefore a SYN counts only as much as recent SYNs were
//! worth: twice the average, because connections come in bursts.

use std::collections::VecDeque;
use std::time::Duration;

use spamdrop_common::gate::SHARE_ONE;
use spamdrop_common::time::MonotonicNs;

/// The age of the oldest look that is summed. A look covers the time since the
/// look before it. While looks are 200 ms apart, the sum covers a second. On a
/// quiet server, the sum has only the newest look.
const OLDEST: Duration = Duration::from_millis(900);
/// The prior, as a fraction of the slots (1/8): this many SYNs, each of which
/// became a connection, are added to the sum. So a SYN to a quiet server counts as
/// a connection, until the first looks of a flood have shown otherwise.
const PRIOR_SHARE: u32 = 8;
/// A SYN counts this many times its share, because those that become
/// connections come in bursts: in the next 200 ms they may be several times as
/// many as on average. If they are fewer, the slots that stay free are used after
/// the next look.
const BURST: u64 = 2;

/// The admitted SYNs and new connections of the last looks.
#[derive(Clone, Debug)]
pub struct SynShare {
    prior: u64,
    looks: VecDeque<Look>,
    /// The total of admitted SYNs at the last look.
    admitted: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: MonotonicNs,
    admitted: u64,
    connections: u64,
}

impl SynShare {
    /// The state before the first look, for a server with this many slots.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self {
            prior: u64::from((slots / PRIOR_SHARE).max(1)),
            looks: VecDeque::new(),
            admitted: None,
        }
    }

    /// Takes a look, which is a count of the server's connections. `admitted`:
    /// SYNs admitted so far, read before the connections were counted. `opened`:
    /// connections that did not exist at the last look. `pending`: handshakes that
    /// may still be completed. Returns how much of a connection the next SYNs count,
    /// in units of 1 / [`SHARE_ONE`], at most `SHARE_ONE`.
    pub fn update(&mut self, admitted: u64, opened: u32, pending: u32, now: MonotonicNs) -> u32 {
        let last = self.admitted.replace(admitted).unwrap_or(admitted);
        let is_old = |look: &Look| now.elapsed_since(look.at) > OLDEST;
        while self.looks.front().is_some_and(is_old) {
            self.looks.pop_front();
        }
        self.looks.push_back(Look {
            at: now,
            // The count has gone back if the filter's counters began anew.
            admitted: admitted.saturating_sub(last),
            connections: opened.into(),
        });
        let sum = |count: fn(&Look) -> u64| self.looks.iter().map(count).sum::<u64>();
        let connections = sum(|look| look.connections);
        // A handshake under way says nothing yet, so it is left out. Otherwise, SYNs
        // would count as lost until the sender's answer arrives.
        let decided = sum(|look| look.admitted).saturating_sub(pending.into());
        let all = decided.max(connections).saturating_add(self.prior);
        let one = u128::from(SHARE_ONE);
        let expected = (connections + self.prior).saturating_mul(BURST).min(all);
        let share = u128::from(expected) * one / u128::from(all);
        u32::try_from(share).unwrap_or(SHARE_ONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: MonotonicNs = MonotonicNs::from_second(1_000);

    /// The shares after looks of (admitted since the last one, opened, pending)
    /// on a server with 40 slots, times 1,000.
    fn shares(looks: &[(u64, u32, u32)]) -> Vec<u64> {
        shares_every(200, looks)
    }

    /// As [`shares`], with this pause between two looks.
    fn shares_every(ms: u64, looks: &[(u64, u32, u32)]) -> Vec<u64> {
        let (mut share, mut admitted, mut now) = (SynShare::new(40), 1_000, START);
        share.update(admitted, 0, 0, now);
        let shares = looks.iter().map(|&(more, opened, pending)| {
            admitted += more;
            now = now.plus(Duration::from_millis(ms));
            let share = share.update(admitted, opened, pending, now);
            (f64::from(share) * 1e3 / f64::from(SHARE_ONE)).round() as u64
        });
        shares.collect()
    }

    #[test]
    fn a_quiet_server_counts_a_syn_as_a_connection() {
        assert_eq!(SynShare::new(40).update(7, 3, 0, START), SHARE_ONE);
        assert_eq!(SynShare::new(1).update(7, 0, 0, START), SHARE_ONE);
        assert_eq!(shares(&[(0, 0, 0), (3, 3, 0), (1, 0, 1)]), [1_000; 3]);
        // More connections than SYNs: their SYNs were counted at earlier looks.
        assert_eq!(shares(&[(0, 9, 0)]), [1_000]);
    }

    #[test]
    fn lost_syns_lower_the_share_for_a_second() {
        let looks = [(20, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0)];
        assert_eq!(shares(&looks), [400; 5]);
        let longer = [&looks[..], &[(0, 0, 0)]].concat();
        assert_eq!(shares(&longer)[5], 1_000);
        // A third of 60 become connections: (20 + 5) * 2 / 65.
        assert_eq!(shares(&[(60, 20, 0)]), [769]);
        // Half of 40 become connections: a SYN cannot count more than a connection.
        assert_eq!(shares(&[(40, 20, 0)]), [1_000]);
    }

    #[test]
    fn slow_looks_are_not_summed() {
        let looks = [(20, 0, 0), (0, 0, 0)];
        assert_eq!(shares_every(2_000, &looks), [400, 1_000]);
    }

    #[test]
    fn a_handshake_under_way_says_nothing() {
        assert_eq!(shares(&[(24, 0, 24)]), [1_000]);
        assert_eq!(shares(&[(24, 0, 24), (0, 0, 0)]), [1_000, 345]);
        assert_eq!(shares(&[(24, 0, 24), (0, 24, 0)]), [1_000; 2]);
    }

    #[test]
    fn a_share_of_hundreds_of_thousands_is_not_nothing() {
        let mut share = SynShare::new(40);
        share.update(0, 0, 0, START);
        let of_flood = share.update(400_000, 0, 0, START);
        // 80,000 SYNs count as almost two connections.
        assert_eq!((80_000 * u64::from(of_flood)) >> 30, 1);
        assert_eq!((80_100 * u64::from(of_flood)) >> 30, 2);
    }

    #[test]
    fn a_count_that_went_back_began_anew() {
        let mut share = SynShare::new(40);
        share.update(u64::MAX, 0, 0, START);
        assert_eq!(share.update(3, 0, 0, START), SHARE_ONE);
    }
}
