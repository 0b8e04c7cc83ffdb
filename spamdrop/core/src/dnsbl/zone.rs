//! The reply of one zone about a source.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::refusal_code::is_refusal;
use super::reply_text;
use super::response::{DnsRecords, QueryFailure};
use super::rule::{Effect, RejectionText, Rule};
use super::{LONGEST, SHORTEST};
use crate::dnsbl::complaint::is_complaint;

/// The content of a zone's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The source is not listed.
    No,
    /// The source is listed. The text is for the rejection, if the server
    /// rejects.
    Yes(String),
    /// The source is listed, and the zone's text makes the server answer 4xx.
    Defer,
    /// The reply says nothing about the source.
    Nothing(Trouble),
    /// The zone was not queried, because the server does not query it about
    /// this source.
    Exempt,
}

/// The reason why a zone's reply says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The query failed.
    Failed(QueryFailure),
    /// The zone returned an address that is not a listing. Blocklists return
    /// such addresses when they refuse to serve, and so do new owners of the
    /// domain of a former blocklist.
    Odd(Ipv4Addr),
    /// The zone's text complains about the query.
    Complaint(String),
    /// The zone was not queried, because it refused to serve a while ago.
    Paused,
    /// The zone was not queried, because its test did not pass.
    Distrusted(Distrust),
}

/// The reason why look-ups by a zone give no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Its test has shown that it is broken.
    Broken,
    /// Its test had no answer, or it does not list the test address.
    Untested,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::Odd(address) => write!(f, "answered {address}, which is not a listing"),
            Self::Complaint(text) => write!(f, "complains: {text}"),
            Self::Paused => f.write_str("not asked, as it refused to serve"),
            Self::Distrusted(Distrust::Broken) => f.write_str("not asked, as it is broken"),
            Self::Distrusted(Distrust::Untested) => {
                f.write_str("not asked, as its test has not passed")
            }
        }
    }
}

/// The meaning of a zone's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The source is not in the zone.
    Absent,
    /// The source is in the zone.
    Present,
    /// The zone returned an address that is not a listing.
    Odd(Ipv4Addr),
}

/// Interprets the addresses that a zone returned for a source.
///
/// Blocklists list with addresses of 127.0.0.0/8. Two exceptions: 127.0.0.1
/// (RFC 5782 forbids it, and URIBL uses it to report excessive queries) and
/// 127.255.255.0/24 (Spamhaus's error codes). Courier counts these as listings, too,
/// and so rejects every source. In an allow-list any address counts, as in Courier.
#[must_use]
pub fn heard(rule: &Rule, addresses: &[Ipv4Addr]) -> Heard {
    let counts = |address: &Ipv4Addr| {
        let only = rule.only.as_ref();
        only.is_none_or(|only| only.matches(*address))
    };
    let odd = addresses.iter().find(|address| !lists(**address));
    match odd {
        Some(odd) if !rule.effect.is_allowing() => Heard::Odd(*odd),
        _ if addresses.iter().any(counts) => Heard::Present,
        _ => Heard::Absent,
    }
}

/// Whether an address from a blocklist means that the source is listed.
#[must_use]
pub fn lists(address: Ipv4Addr) -> bool {
    address.is_loopback() && address != Ipv4Addr::LOCALHOST && !is_refusal(address)
}

/// Determines the server's reply to a source that the zone lists. `record`
/// holds the zone's TXT records, if the rule uses them; Courier takes the
/// first.
#[must_use]
pub fn said(rule: &Rule, addr: IpAddr, record: Option<&[Vec<u8>]>) -> Said {
    let text = match &rule.effect {
        Effect::Reject(RejectionText::Own(text)) => reply_text::own(text, addr),
        Effect::Reject(RejectionText::Record) => {
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
    // The code of a configured text is checked when the rule is parsed; that of
    // a TXT record is known only now.
    if reply_text::defers(&text) {
        return Said::Defer;
    }
    Said::Yes(text)
}

/// Derives the reply by `rule` from the `reply` by another rule of the same zone.
/// Neither rule uses TXT records.
#[must_use]
pub fn again(rule: &Rule, addr: IpAddr, reply: &Reply) -> Reply {
    let is_failed = !matches!(
        reply.said,
        Said::No | Said::Yes(_) | Said::Nothing(Trouble::Odd(_) | Trouble::Complaint(_))
    );
    if is_failed {
        return reply.clone();
    }
    let said = match heard(rule, &reply.addresses) {
        Heard::Absent => Said::No,
        Heard::Present => said(rule, addr, None),
        Heard::Odd(address) => Said::Nothing(Trouble::Odd(address)),
    };
    Reply {
        said,
        ..reply.clone()
    }
}

/// The reply of a zone, with the data that is displayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The content.
    pub said: Said,
    /// The zone's addresses for the source.
    pub addresses: Vec<Ipv4Addr>,
    /// How long the reply is valid, from the zone's records.
    pub ttl: Duration,
}

impl Reply {
    /// The reply of a zone whose query failed.
    #[must_use]
    pub fn failed(failure: QueryFailure) -> Self {
        Self {
            said: Said::Nothing(Trouble::Failed(failure)),
            addresses: Vec::new(),
            ttl: Duration::ZERO,
        }
    }

    /// The reply of a zone that is not queried for the time `left`.
    #[must_use]
    pub fn paused(left: Duration) -> Self {
        Self {
            said: Said::Nothing(Trouble::Paused),
            addresses: Vec::new(),
            ttl: left,
        }
    }

    /// The reply of a zone that is not queried, because its test did not pass.
    #[must_use]
    pub fn distrusted(why: Distrust) -> Self {
        Self {
            said: Said::Nothing(Trouble::Distrusted(why)),
            addresses: Vec::new(),
            ttl: SHORTEST,
        }
    }

    /// The reply of a zone that the server does not query about the source.
    #[must_use]
    pub fn exempt() -> Self {
        Self {
            said: Said::Exempt,
            addresses: Vec::new(),
            ttl: LONGEST,
        }
    }

    /// The reply of a zone that returned these addresses.
    #[must_use]
    pub fn new(said: Said, records: DnsRecords<Ipv4Addr>) -> Self {
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
        // The rule's address filter does not turn an error code into a listing.
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
    fn a_reply_serves_every_rule_with_the_zone() {
        let (two, three) = (
            rule("-block=b.example,BLOCK/127.0.0.2,x"),
            rule("-block=b.example,BLOCK/127.0.0.3,y"),
        );
        let addr = "192.0.2.9".parse().unwrap();
        let reply = |said, addresses: &[[u8; 4]]| Reply {
            said,
            addresses: addresses.iter().copied().map(Into::into).collect(),
            ttl: Duration::from_secs(7),
        };
        let yes = |text: &str| Said::Yes(text.into());
        let no = reply(Said::No, &[[127, 0, 0, 3]]);
        assert_eq!(again(&three, addr, &no), reply(yes("y"), &[[127, 0, 0, 3]]));
        assert_eq!(again(&two, addr, &no), no);
        let listed = reply(yes("y"), &[[127, 0, 0, 3]]);
        assert_eq!(again(&two, addr, &listed), no);
        let paused = Reply::paused(Duration::from_secs(1));
        assert_eq!(again(&two, addr, &paused), paused);
    }

    #[test]
    fn the_words_of_a_trouble() {
        for (trouble, text) in [
            (Trouble::Failed(QueryFailure::TimedOut), "timed out"),
            (
                Trouble::Failed(QueryFailure::Code(5)),
                "the name server answered REFUSED",
            ),
            (
                Trouble::Failed(QueryFailure::Code(9)),
                "the name server answered code 9",
            ),
            (
                Trouble::Odd([192, 0, 2, 1].into()),
                "answered 192.0.2.1, which is not a listing",
            ),
            (Trouble::Complaint("x".into()), "complains: x"),
            (Trouble::Paused, "not asked, as it refused to serve"),
            (
                Trouble::Distrusted(Distrust::Broken),
                "not asked, as it is broken",
            ),
        ] {
            assert_eq!(trouble.to_string(), text);
        }
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
