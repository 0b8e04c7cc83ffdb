//! One blocklist or allow-list of the mail server. This module parses the syntax
//! of Courier's `couriertcpd` (couriertcpd(1), `docheckblocklist` in `tcpd.c` of
//! Courier 0.72 to 2.0.4).

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::invalid::Invalid;

use super::address_filter::AddressFilter;
use super::question::MAX_ZONE;
use super::reply_text;

/// A zone and the meaning of its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The zone, without a trailing dot.
    pub zone: String,
    /// The effect of a listing in the zone.
    pub effect: Effect,
    /// The answers that count as a listing; `None`: any address does.
    pub only: Option<AddressFilter>,
    /// The server's list to which the rule belongs, such as one of Postfix's
    /// `smtpd_…_restrictions` or an ACL of Exim. The server works through its
    /// lists one after the other, and each can reject. Rules of a list are
    /// neighbours.
    pub list: u16,
}

/// The server's action for a source that the zone lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The server asks no later zone of the same list.
    Allow {
        /// Whether a TXT record without an address counts as a listing.
        by_text: bool,
    },
    /// The server refuses the source's mail with 5xx.
    Reject(RejectionText),
    /// The server refuses the mail with 4xx, so the responder must not answer
    /// in its place.
    Defer,
    /// Whether the server refuses the mail is not certain: Courier 1.0.14 to
    /// 1.1.2 rejects only with a TEXT, and a server may have exceptions that are
    /// not understood.
    Unsure,
    /// The server adds up the weights of all zones in the list, and refuses the
    /// mail with 5xx if the sum reaches the threshold.
    Weigh {
        /// The weight of a listing; negative in an allow-list.
        weight: i32,
        /// The threshold; the same in all rules of the list.
        threshold: i32,
    },
}

impl Effect {
    /// Whether the zone's TXT record must be queried.
    #[must_use]
    pub const fn needs_text(&self) -> bool {
        matches!(
            self,
            Self::Allow { by_text: true } | Self::Reject(RejectionText::Record)
        )
    }

    /// Whether a listing speaks for the source, as in an allow-list.
    #[must_use]
    pub const fn is_allowing(&self) -> bool {
        match self {
            Self::Allow { .. } => true,
            Self::Weigh { weight, .. } => *weight < 0,
            Self::Reject(_) | Self::Defer | Self::Unsure => false,
        }
    }

    /// The name in the output of `lookup`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Allow { .. } => "allow",
            Self::Reject(_) => "reject",
            Self::Defer => "defer",
            Self::Unsure => "unsure",
            Self::Weigh { .. } => "weigh",
        }
    }
}

/// The text of a rejection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectionText {
    /// `Blacklisted by ZONE`.
    Plain,
    /// The zone's TXT record.
    Record,
    /// This text; the first `@` is replaced by the address.
    Own(String),
}

impl Rule {
    /// Parses an option of Courier's `BLACKLISTS`. `None` if it is neither
    /// `-block=` nor `-allow=`, or does not decide whether mail is refused: it
    /// sets a variable other than `BLOCK`, or its zone cannot be queried or
    /// never matches.
    #[must_use]
    pub fn of_courier(option: &[u8]) -> Option<Self> {
        let option = str::from_utf8(option).ok()?;
        if let Some(value) = option.strip_prefix("-allow=") {
            return Self::allow(Parts::split(value));
        }
        let parts = Parts::split(option.strip_prefix("-block=")?);
        let unsure = parts.text.is_none_or(str::is_empty);
        let mut rule = Self::block(parts)?;
        if unsure {
            rule.effect = Effect::Unsure;
        }
        Some(rule)
    }

    /// Parses a zone of spamdrop's own configuration: as `-block=` of Courier,
    /// or with the prefix `allow:` as `-allow=`.
    ///
    /// # Errors
    ///
    /// The reason why the text is not a zone.
    pub fn of_config(text: &str) -> Result<Self, &'static str> {
        let (value, is_allow) = match text.strip_prefix("allow:") {
            Some(value) => (value, true),
            None => (text, false),
        };
        let parts = Parts::split(value);
        if !is_zone(parts.zone) {
            return Err("is not a DNS zone such as \"bl.example.org\"");
        }
        if parts.variable != BLOCK {
            return Err("names a variable other than BLOCK");
        }
        if parts
            .only
            .is_some_and(|only| only.parse::<Ipv4Addr>().is_err())
        {
            return Err("has no IPv4 address behind the /");
        }
        let rule = match is_allow {
            true => Self::allow(parts),
            false => Self::block(parts),
        };
        rule.filter(|rule| rule.effect != Effect::Defer).ok_or(
            "has a text that begins with a 4xx code, so Courier only defers mail because of it",
        )
    }

    fn allow(parts: Parts<'_>) -> Option<Self> {
        if !parts.decides() {
            return None;
        }
        // If Courier cannot parse the address, any address counts as a listing.
        let only = parts.only.and_then(|only| only.parse().ok());
        let by_text = parts.text.is_some() && only.is_none();
        Some(Self {
            zone: parts.zone.into(),
            effect: Effect::Allow { by_text },
            only: only.map(AddressFilter::one),
            list: 0,
        })
    }

    fn block(parts: Parts<'_>) -> Option<Self> {
        if !parts.decides() {
            return None;
        }
        let only = match parts.only {
            None => None,
            Some(only) => Some(only.parse().ok()?),
        };
        let effect = match parts.text {
            None | Some("") => Effect::Reject(RejectionText::Plain),
            // With an address filter, Courier replies with a lone asterisk instead of the
            // TXT record. The responder replies with the plain text.
            Some("*") if only.is_some() => Effect::Reject(RejectionText::Plain),
            Some("*") => Effect::Reject(RejectionText::Record),
            Some(text) if reply_text::defers(text) => Effect::Defer,
            Some(text) => Effect::Reject(RejectionText::Own(text.into())),
        };
        Some(Self {
            zone: parts.zone.into(),
            effect,
            only: only.map(AddressFilter::one),
            list: 0,
        })
    }
}

/// Parses `zones` of the configuration.
///
/// # Errors
///
/// An element is not a zone; the message names it.
pub fn of_configuration(zones: &[String]) -> Result<Vec<Rule>, Invalid> {
    let rule = |zone: &String| {
        Rule::of_config(zone).map_err(|why| Invalid::new(format!("`zones`: {zone:?} {why}")))
    };
    zones.iter().map(rule).collect()
}

const BLOCK: &str = "BLOCK";

/// `ZONE[=display][,VAR][/A.B.C.D][,TEXT]`, split where Courier splits it.
struct Parts<'a> {
    zone: &'a str,
    variable: &'a str,
    only: Option<&'a str>,
    text: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn split(value: &'a str) -> Self {
        let (mut zone, mut rest) = cut(value, &['/', ',']);
        zone = zone.split('=').next().unwrap_or_default();
        let mut variable = BLOCK;
        if let Some(behind) = rest.strip_prefix(',') {
            (variable, rest) = cut(behind, &['/', ',']);
        }
        let mut only = None;
        if let Some(behind) = rest.strip_prefix('/') {
            let (address, behind) = cut(behind, &[',']);
            (only, rest) = (Some(address), behind);
        }
        Self {
            zone: zone.strip_suffix('.').unwrap_or(zone),
            variable,
            only,
            text: rest.strip_prefix(','),
        }
    }

    /// Whether the option decides about mail. Courier rejects by no other
    /// variable than `BLOCK`, and ignores zone names that are too long.
    fn decides(&self) -> bool {
        self.variable == BLOCK && is_zone(self.zone)
    }
}

fn cut<'a>(text: &'a str, at: &[char]) -> (&'a str, &'a str) {
    text.split_at(text.find(at).unwrap_or(text.len()))
}

/// Whether the text consists of labels of letters, digits, `-` and `_`, and is
/// short enough for the longest query name.
pub(crate) fn is_zone(zone: &str) -> bool {
    let is_label = |label: &str| {
        let fits = (1..=63).contains(&label.len());
        let is_word = !label.starts_with('-') && !label.ends_with('-');
        fits && is_word
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    zone.len() <= MAX_ZONE && zone.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn rule(option: &str) -> Option<Rule> {
        Rule::of_courier(option.as_bytes())
    }

    fn reject(zone: &str, text: RejectionText) -> Option<Rule> {
        Some(Rule {
            zone: zone.into(),
            effect: Effect::Reject(text),
            only: None,
            list: 0,
        })
    }

    #[test]
    fn courier_s_options() {
        let own = |text: &str| RejectionText::Own(text.into());
        assert_eq!(
            rule("-block=zen.spamhaus.org,BLOCK,*"),
            reject("zen.spamhaus.org", RejectionText::Record)
        );
        assert_eq!(
            rule("-block=b.example=shown,BLOCK,Go away, @"),
            reject("b.example", own("Go away, @"))
        );
        assert_eq!(
            rule("-block=b.example.,BLOCK,550 a/b=c"),
            reject("b.example", own("550 a/b=c"))
        );
        let only = |option| rule(option).and_then(|rule| rule.only);
        let address = Some(AddressFilter::one(Ipv4Addr::new(127, 0, 0, 2)));
        assert_eq!(only("-block=b.example,BLOCK/127.0.0.2,Go"), address);
        assert_eq!(only("-block=b.example/127.0.0.2,Go"), address);
        assert_eq!(only("-allow=w.example,BLOCK/127.0.0.2"), address);
    }

    #[test]
    fn what_may_not_reject_is_unsure() {
        for option in [
            "-block=b.example",
            "-block=b.example,BLOCK",
            "-block=b.example,BLOCK,",
            "-block=b.example=x,BLOCK/127.0.0.2",
        ] {
            assert_eq!(rule(option).unwrap().effect, Effect::Unsure, "{option}");
        }
        assert_eq!(
            rule("-block=b.example,BLOCK,450 later").unwrap().effect,
            Effect::Defer
        );
        let starred = rule("-block=b.example,BLOCK/127.0.0.2,*").unwrap();
        assert_eq!(starred.effect, Effect::Reject(RejectionText::Plain));
    }

    #[test]
    fn allow_lists() {
        let by_text = |option| match rule(option).unwrap().effect {
            Effect::Allow { by_text } => by_text,
            _ => panic!("{option}"),
        };
        assert!(!by_text("-allow=w.example"));
        assert!(!by_text("-allow=w.example,BLOCK"));
        assert!(by_text("-allow=w.example,BLOCK,"));
        assert!(!by_text("-allow=w.example,BLOCK/127.0.0.2,x"));
        // `127.0.0` is not an address, so Courier counts any address as a listing.
        let any = rule("-allow=w.example,BLOCK/127.0.0").unwrap();
        assert_eq!(any.only, None);
    }

    #[test]
    fn what_has_no_say_is_passed_over() {
        let long = "a.".repeat(95);
        for option in [
            "",
            "-block",
            "-block=",
            "-block=,BLOCK,*",
            "-block=b.example,BLOCK2,*",
            "-block=b.example,,*",
            "-block=b example,BLOCK,*",
            "-block=b..example,BLOCK,*",
            "-block=b.example,BLOCK/300.0.0.2,*",
            "-allow=w.example,BLOCK2",
            "-access=x",
            "block=b.example",
            &format!("-block={long}org,BLOCK,*"),
        ] {
            assert_eq!(rule(option), None, "{option}");
        }
        assert_eq!(Rule::of_courier(b"-block=\xff.example,BLOCK,*"), None);
    }

    #[test]
    fn zones_of_the_configuration() {
        let effect = |text| Rule::of_config(text).map(|rule| rule.effect);
        assert_eq!(
            effect("b.example"),
            Ok(Effect::Reject(RejectionText::Plain))
        );
        assert_eq!(
            effect("b.example,BLOCK,*"),
            Ok(Effect::Reject(RejectionText::Record))
        );
        assert_eq!(
            effect("allow:w.example"),
            Ok(Effect::Allow { by_text: false })
        );
        for wrong in [
            "",
            "allow:",
            "-block=b.example",
            "b.example,BLOCK2",
            "b.example/127.0.0",
            "b.example,BLOCK,450 later",
        ] {
            assert!(effect(wrong).is_err(), "{wrong}");
        }
        let zones = ["b.example", "b example"].map(String::from);
        let one = vec![Rule::of_config("b.example").unwrap()];
        assert_eq!(of_configuration(&zones[..1]), Ok(one));
        let error = of_configuration(&zones).unwrap_err().to_string();
        assert!(
            error.starts_with("`zones`: \"b example\" is not"),
            "{error}"
        );
    }
}
