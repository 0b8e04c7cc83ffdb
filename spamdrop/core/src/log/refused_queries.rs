//! The answers of blocklists to postscreen, which logs them on lines of their
//! own before it refuses a client.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use crate::dnsbl::refusal_code::is_refusal;

/// The most clients that are remembered, far more than postscreen serves at
/// once.
const CAPACITY: usize = 4096;
/// The most answers that are remembered of a client.
const ANSWERS: usize = 16;

/// The answers of the blocklists about recent clients.
#[derive(Debug, Default)]
pub(super) struct RefusedQueries {
    /// The answers about each client, oldest first.
    answers: HashMap<IpAddr, Vec<ZoneAnswer>>,
    /// The clients in order of age, oldest first.
    order: VecDeque<IpAddr>,
}

#[derive(Debug)]
struct ZoneAnswer {
    zone: Box<[u8]>,
    is_refusal: bool,
}

impl RefusedQueries {
    /// Remembers what a zone answered about a client. Forgets the oldest client, or
    /// its oldest answer, if there are too many.
    pub(super) fn answered(&mut self, client: IpAddr, zone: &[u8], address: Ipv4Addr) {
        if !self.answers.contains_key(&client) {
            self.make_room();
            self.order.push_back(client);
        }
        let answers = self.answers.entry(client).or_default();
        answers.retain(|answer| !answer.zone.eq_ignore_ascii_case(zone));
        if answers.len() == ANSWERS {
            answers.remove(0);
        }
        answers.push(ZoneAnswer {
            zone: zone.into(),
            is_refusal: is_refusal(address),
        });
    }

    fn make_room(&mut self) {
        if self.order.len() == CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }

    /// Whether a rejection of the client by `zone` only means that the zone refused
    /// the query. `postscreen_dnsbl_reply_map` may replace the zone's name. So if
    /// no answer of `zone` is known, every zone that answered must have refused.
    pub(super) fn is_refused(&self, client: IpAddr, zone: &[u8]) -> bool {
        let Some(answers) = self.answers.get(&client) else {
            return false;
        };
        let named = |answer: &&ZoneAnswer| answer.zone.eq_ignore_ascii_case(zone);
        match answers.iter().find(named) {
            Some(answer) => answer.is_refusal,
            None => answers.iter().all(|answer| answer.is_refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
    const REFUSED: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 254);

    #[test]
    fn the_named_zone_decides_and_all_zones_if_the_name_is_another() {
        let mut queries = RefusedQueries::default();
        assert!(!queries.is_refused(CLIENT, b"a.example"));
        queries.answered(CLIENT, b"a.example", REFUSED);
        assert!(queries.is_refused(CLIENT, b"A.example"));
        assert!(queries.is_refused(CLIENT, b"mapped.example"));
        queries.answered(CLIENT, b"b.example", LISTED);
        assert!(queries.is_refused(CLIENT, b"a.example"));
        assert!(!queries.is_refused(CLIENT, b"b.example"));
        assert!(!queries.is_refused(CLIENT, b"mapped.example"));
        // The last answer of a zone counts.
        queries.answered(CLIENT, b"a.example", LISTED);
        assert!(!queries.is_refused(CLIENT, b"a.example"));
    }

    #[test]
    fn only_the_latest_clients_and_answers_are_remembered() {
        let mut queries = RefusedQueries::default();
        for bits in 0..3 * u32::try_from(CAPACITY).unwrap_or(u32::MAX) {
            queries.answered(Ipv4Addr::from_bits(bits).into(), b"a.example", REFUSED);
        }
        assert_eq!(queries.answers.len(), CAPACITY);
        assert_eq!(queries.order.len(), CAPACITY);
        for zone in 0..=u8::MAX {
            queries.answered(CLIENT, &[zone], LISTED);
        }
        let remembered = queries.answers.get(&CLIENT).map(Vec::as_slice);
        let zones = remembered.unwrap_or_default().iter();
        let zones: Vec<u8> = zones.flat_map(|answer| answer.zone.to_vec()).collect();
        let newest: Vec<u8> = (0..=u8::MAX).rev().take(ANSWERS).collect();
        assert!(zones.iter().rev().eq(&newest), "{zones:?}");
    }
}
