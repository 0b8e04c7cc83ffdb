//! Detects from a log that a blocklist lists everybody.
//!
//! The ceiling counts senders that have been known for a day. A log from before
//! the first start may show none. So this module counts weaker evidence, which
//! is only reported: rejections of regulars, which are senders of several accepted
//! messages over an hour or more.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use super::super::prediction::ListingOutage;
use crate::dnsbl::key::mask;
use crate::escape::escape;
use crate::time::Moment;

/// The fewest accepted messages of a regular.
const MESSAGES: u32 = 3;
/// The least time from a regular's first accepted message to its last.
const SPAN: Duration = Duration::from_secs(3600);
/// How long a message or a rejection counts.
const REMEMBERED: Duration = Duration::from_secs(86_400);
/// The smallest number of rejected regulars that counts as an outage.
const LEAST: usize = 5;
/// The fraction of regulars (1/5) whose rejection counts as an outage.
const ONE_IN: usize = 5;
/// The most senders that are remembered; about 20 MiB.
const CAPACITY: usize = 262_144;
/// Bytes of a rejection's text that are kept.
const TEXT: usize = 160;

/// Senders with several accepted messages in this log.
#[derive(Debug, Default)]
pub(super) struct Regulars {
    senders: HashMap<IpAddr, Regular>,
    /// The regulars that were rejected after their last accepted message.
    rejected: BTreeMap<IpAddr, (Moment, String)>,
}

#[derive(Clone, Copy, Debug)]
struct Regular {
    messages: u32,
    first: Duration,
    last: Duration,
}

impl Regular {
    fn is_regular(&self) -> bool {
        self.messages >= MESSAGES && self.last - self.first >= SPAN
    }
}

impl Regulars {
    pub(super) fn accept(&mut self, addr: IpAddr, now: Moment) {
        self.rejected.remove(&addr);
        if self.senders.len() >= CAPACITY && !self.senders.contains_key(&addr) {
            return;
        }
        let new = Regular {
            messages: 0,
            first: now.mono,
            last: now.mono,
        };
        let sender = self.senders.entry(addr).or_insert(new);
        sender.messages += 1;
        sender.last = now.mono;
    }

    pub(super) fn reject(&mut self, addr: IpAddr, text: &[u8], now: Moment) {
        let sender = self.senders.get(&addr);
        if sender.is_some_and(Regular::is_regular) {
            // First mask, then cut: a key is recognised by the zone's name behind it.
            let text = mask(&escape(text)).chars().take(TEXT).collect();
            self.rejected.entry(addr).or_insert((now, text));
        }
    }

    /// The outage, if at least [`LEAST`] regulars and one in [`ONE_IN`] are
    /// rejected. `goes_on`: the last call returned an outage, and half of these
    /// numbers is enough.
    pub(super) fn outage(&mut self, goes_on: bool, now: Moment) -> Option<ListingOutage> {
        let counts = |since: Duration| now.mono.saturating_sub(since) < REMEMBERED;
        self.rejected.retain(|_, (at, _)| counts(at.mono));
        let times = if goes_on { 2 } else { 1 };
        let rejected = self.rejected.len();
        if rejected * times < LEAST {
            return None;
        }
        let regulars = self.senders.iter().filter(|(addr, sender)| {
            sender.is_regular() && (counts(sender.last) || self.rejected.contains_key(addr))
        });
        let regulars = regulars.count();
        if rejected * times * ONE_IN < regulars {
            return None;
        }
        let (first, text) = self.rejected.values().min_by_key(|(at, _)| at.mono)?;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Some(ListingOutage {
            from: first.wall,
            until: None,
            rejected: number(rejected),
            regulars: number(regulars),
            text: text.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn moment(minute: u64) -> Moment {
        let since = Duration::from_secs(60 * minute);
        Moment {
            wall: SystemTime::UNIX_EPOCH + since,
            mono: since,
        }
    }

    fn addr(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    /// Senders of three messages in an hour.
    fn regulars(count: u8) -> Regulars {
        let mut regulars = Regulars::default();
        for minute in [0, 30, 60] {
            (1..=count).for_each(|number| regulars.accept(addr(number), moment(minute)));
        }
        regulars
    }

    fn outage(regulars: &mut Regulars, goes_on: bool, minute: u64) -> Option<(u32, u32)> {
        let outage = regulars.outage(goes_on, moment(minute));
        outage.map(|outage| (outage.rejected, outage.regulars))
    }

    #[test]
    fn a_fifth_of_the_regulars_and_at_least_five_are_an_outage() {
        for (count, rejected, expected) in
            [(25, 5, true), (26, 5, false), (4, 4, false), (5, 5, true)]
        {
            let mut regulars = regulars(count);
            for number in 1..=rejected {
                regulars.reject(addr(number), b"Listed\x1b", moment(61 + u64::from(number)));
            }
            let found = regulars.outage(false, moment(70));
            assert_eq!(found.is_some(), expected, "{count} {rejected}");
            if let Some(outage) = found {
                assert_eq!(outage.from, moment(62).wall);
                assert_eq!(outage.text, r"Listed\x1b");
                assert_eq!(outage.regulars, count.into());
            }
        }
    }

    #[test]
    fn it_goes_on_until_half_of_them_are_accepted_again() {
        let mut regulars = regulars(20);
        (1..=5).for_each(|number| regulars.reject(addr(number), b"", moment(61)));
        assert_eq!(outage(&mut regulars, false, 61), Some((5, 20)));
        regulars.accept(addr(1), moment(62));
        regulars.accept(addr(2), moment(62));
        assert_eq!(outage(&mut regulars, false, 62), None);
        assert_eq!(outage(&mut regulars, true, 62), Some((3, 20)));
        regulars.accept(addr(3), moment(63));
        assert_eq!(outage(&mut regulars, true, 63), None);
    }

    #[test]
    fn whoever_sent_one_mail_or_some_in_a_minute_is_no_regular() {
        let mut regulars = Regulars::default();
        for number in 0..100 {
            for _ in 0..9 {
                regulars.accept(addr(number), moment(0));
            }
            regulars.reject(addr(number), b"", moment(90));
        }
        assert_eq!(outage(&mut regulars, false, 90), None);
    }

    #[test]
    fn rejections_of_a_day_ago_do_not_count() {
        let mut regulars = regulars(9);
        (1..=5).for_each(|number| regulars.reject(addr(number), b"", moment(61)));
        assert_eq!(outage(&mut regulars, false, 61 + 1439), Some((5, 5)));
        assert_eq!(outage(&mut regulars, false, 61 + 1440), None);
    }
}
