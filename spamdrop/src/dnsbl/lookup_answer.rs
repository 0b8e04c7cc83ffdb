//! The result of a look-up in the zones.

use std::net::IpAddr;
use std::time::Duration;

use spamdrop_common::gate::{Standing, Verdict, host_bits};
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::dnsbl::decision::Outcome;

use super::inquiry::Findings;

/// The result for one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupAnswer {
    /// The source.
    pub addr: IpAddr,
    /// The verdict; `None`: there is none, because a zone failed, was not queried or defers,
    /// or because it is uncertain what the mail server does.
    pub standing: Option<Standing>,
    /// The zone that lists the source, as an index of `Zones::rules`; 0 if none does.
    pub zone: u32,
    /// The reply text for a listed source, without the reply code.
    pub text: Option<Box<str>>,
    /// How long the answer is valid: 15 s if there is no verdict because a zone
    /// failed, otherwise 1 to 10 minutes, depending on the zones' records.
    pub ttl: Duration,
}

impl LookupAnswer {
    /// `can_list`: whether a zone can reject. Without one, "unlisted" carries no
    /// information, so there is no verdict unless the host's name is confirmed.
    pub(super) fn new(addr: IpAddr, findings: &Findings, can_list: bool) -> Self {
        let zone = match findings.decision.outcome {
            Outcome::Listed(index) => u32::try_from(index).unwrap_or_default(),
            Outcome::Unlisted | Outcome::Unknown => 0,
        };
        Self {
            addr,
            standing: findings
                .standing()
                .filter(|standing| can_list || *standing == Standing::Confirmed),
            zone,
            text: findings.rejection_text().map(Into::into),
            ttl: findings.decision.ttl,
        }
    }

    /// The verdict for the filter.
    #[must_use]
    pub fn verdict(&self, now: MonotonicNs) -> Option<Verdict> {
        let source = match self.addr {
            IpAddr::V4(addr) => addr.to_ipv6_mapped(),
            IpAddr::V6(addr) => addr,
        };
        self.standing.map(|standing| Verdict {
            until: now.plus(self.ttl),
            host: host_bits(self.addr.is_ipv6(), source.octets()),
            standing: standing as u32,
            zone: self.zone,
        })
    }
}
