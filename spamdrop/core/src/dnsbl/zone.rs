//! What one zone said of a source.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::answer::{Failure, Records};
use super::refusal_code::is_refusal;
use super::reply_text;
use super::rule::{Effect, Rule, Text};
use crate::dnsbl::complaint::is_complaint;

/// What a zone said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The source is not in it.
    No,
    /// The source is in it; if the server then rejects, with these words.
    Yes(String),
    /// The source is in it, and its text has the server answer 4xx.
    Defer,
    /// Nothing.
    Nothing(Trouble),
}

/// Why a zone said nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It could not be asked.
    Failed(Failure),
    /// It gives an address that lists nobody: blocklists answer so where they
    /// refuse to serve, and the owners of a zone that is no blocklist any
    /// more.
    Odd(Ipv4Addr),
    /// Its text complains of the question.
    Complaint(String),
    /// It was not asked, as it refused to serve a while ago.
    Paused,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::Odd(address) => write!(f, "answered {address}, which lists nobody"),
            Self::Complaint(text) => write!(f, "complains: {text}"),
            Self::Paused => f.write_str("not asked, as it refused to serve"),
        }
    }
}

/// What is made of a zone's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The source is not in the zone.
    Absent,
    /// It is.
    Present,
    /// The zone has an address of this kind for it.
    Odd(Ipv4Addr),
}

/// Reads the addresses that a zone has for a source.
///
/// Blocklists list by addresses of 127.0.0.0/8, but not by 127.0.0.1 (RFC 5782
/// keeps it off, and URIBL says so that it is asked too much) and not by
/// 127.255.255.0/24, Spamhaus's error codes. Courier takes any address for a
/// listing, and rejects everybody then. In an allow-list any address counts,
/// as it does for Courier.
#[must_use]
pub fn heard(rule: &Rule, addresses: &[Ipv4Addr]) -> Heard {
    let counts = |address: &Ipv4Addr| rule.only.is_none_or(|only| only == *address);
    let odd = addresses.iter().find(|address| !lists(**address));
    match (&rule.effect, odd) {
        (Effect::Allow { .. }, _) | (_, None) => match addresses.iter().any(counts) {
            true => Heard::Present,
            false => Heard::Absent,
        },
        (_, Some(odd)) => Heard::Odd(*odd),
    }
}

/// Whether an address of a blocklist lists the source.
#[must_use]
pub fn lists(address: Ipv4Addr) -> bool {
    address.is_loopback() && address != Ipv4Addr::LOCALHOST && !is_refusal(address)
}

/// Makes the words of a rejection; `record` are the zone's TXT records, where
/// the rule wants them. Of several, Courier takes the first.
#[must_use]
pub fn said(rule: &Rule, addr: IpAddr, record: Option<&[Vec<u8>]>) -> Said {
    let text = match &rule.effect {
        Effect::Reject(Text::Own(text)) => reply_text::own(text, addr),
        Effect::Reject(Text::Record) => {
            let record = record.and_then(<[_]>::first);
            let text = record
                .map(|text| reply_text::clean(text))
                .unwrap_or_default();
            match text.is_empty() {
                true => reply_text::plain(&rule.zone),
                false => text,
            }
        }
        _ => reply_text::plain(&rule.zone),
    };
    if is_complaint(text.as_bytes()) {
        return Said::Nothing(Trouble::Complaint(text));
    }
    // Where the record decides, it is not known before.
    if reply_text::defers(&text) {
        return Said::Defer;
    }
    Said::Yes(text)
}

/// What a zone said, and what of it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What it comes to.
    pub said: Said,
    /// The zone's addresses for the source.
    pub addresses: Vec<Ipv4Addr>,
    /// For how long that holds, by the zone's records.
    pub ttl: Duration,
}

impl Reply {
    /// Of a zone that could not be asked.
    #[must_use]
    pub fn failed(failure: Failure) -> Self {
        Self {
            said: Said::Nothing(Trouble::Failed(failure)),
            addresses: Vec::new(),
            ttl: Duration::ZERO,
        }
    }

    /// Of one that is not asked for so long.
    #[must_use]
    pub fn paused(left: Duration) -> Self {
        Self {
            said: Said::Nothing(Trouble::Paused),
            addresses: Vec::new(),
            ttl: left,
        }
    }

    /// Of one that gave these addresses.
    #[must_use]
    pub fn new(said: Said, records: Records<Ipv4Addr>) -> Self {
        Self {
            said,
            addresses: records.values,
            ttl: records.ttl,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn rule(option: &str) -> Rule {
        Rule::of_courier(option.as_bytes()).unwrap()
    }

    fn hear(option: &str, addresses: &[[u8; 4]]) -> Heard {
        let addresses: Vec<Ipv4Addr> = addresses.iter().copied().map(Into::into).collect();
        heard(&rule(option), &addresses)
    }

    #[test]
    fn only_the_addresses_of_listings_list() {
        const ANY: &str = "-block=b.example,BLOCK,x";
        assert_eq!(hear(ANY, &[]), Heard::Absent);
        for listed in [
            [127, 0, 0, 2],
            [127, 0, 0, 255],
            [127, 1, 0, 1],
            [127, 255, 254, 1],
        ] {
            assert_eq!(hear(ANY, &[listed]), Heard::Present);
        }
        for odd in [
            [127, 0, 0, 1],
            [127, 255, 255, 254],
            [127, 255, 255, 0],
            [126, 0, 0, 2],
            [192, 0, 2, 1],
            [0, 0, 0, 0],
        ] {
            assert_eq!(hear(ANY, &[odd]), Heard::Odd(odd.into()));
            assert_eq!(hear(ANY, &[[127, 0, 0, 2], odd]), Heard::Odd(odd.into()));
        }
    }

    #[test]
    fn a_filter_chooses_addresses() {
        const ONLY: &str = "-block=b.example,BLOCK/127.0.0.3,x";
        assert_eq!(hear(ONLY, &[[127, 0, 0, 2]]), Heard::Absent);
        assert_eq!(
            hear(ONLY, &[[127, 0, 0, 2], [127, 0, 0, 3]]),
            Heard::Present
        );
        // A filter makes no listing of an address that is none.
        const REFUSAL: &str = "-block=b.example,BLOCK/127.255.255.254,x";
        let refusal = [127, 255, 255, 254];
        assert_eq!(hear(REFUSAL, &[refusal]), Heard::Odd(refusal.into()));
    }

    #[test]
    fn an_allow_list_allows_by_any_address() {
        let any = "-allow=w.example";
        assert_eq!(hear(any, &[[192, 0, 2, 1]]), Heard::Present);
        assert_eq!(hear(any, &[]), Heard::Absent);
        let only = "-allow=w.example,BLOCK/127.0.0.3";
        assert_eq!(hear(only, &[[127, 0, 0, 2]]), Heard::Absent);
    }

    #[test]
    fn the_words_of_a_rejection() {
        let say = |option: &str, record: Option<&[Vec<u8>]>| {
            said(&rule(option), "192.0.2.9".parse().unwrap(), record)
        };
        let yes = |text: &str| Said::Yes(text.into());
        const RECORD: &str = "-block=b.example,BLOCK,*";
        let two = [b"bot\n".to_vec(), b"other".to_vec()];
        assert_eq!(say(RECORD, Some(&two)), yes("bot"));
        assert_eq!(say(RECORD, Some(&[])), yes("Blacklisted by b.example"));
        assert_eq!(
            say(RECORD, Some(&[b" ".to_vec()])),
            yes("Blacklisted by b.example")
        );
        assert_eq!(say(RECORD, Some(&[b"450 later".to_vec()])), Said::Defer);
        assert_eq!(
            say("-block=b.example,BLOCK,no @", None),
            yes("no ::ffff:192.0.2.9")
        );
        let complaint = "Error: open resolver; https://b.example/returnc/x";
        let complained = say(RECORD, Some(&[complaint.into()]));
        let trouble = Trouble::Complaint(complaint.into());
        assert_eq!(complained, Said::Nothing(trouble));
    }
}
