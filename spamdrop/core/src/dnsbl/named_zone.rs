//! The zone that the text of a rejection names.
//!
//! The text is the mail server's, but a client may have chosen words of it. So the
//! domain of a mailbox does not count as a zone. If a text names several zones, the
//! rejection is disbelieved only if all of them are broken.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;

use super::reply_text;
use super::rule::{Effect, RejectionText, Rule};

/// Operators whose web page has another label than their zones: the label of the
/// page, and that of the zones.
const ALIASES: [(&str, &str); 2] = [
    ("barracudanetworks", "barracudacentral"),
    ("senderscore", "validity"),
];
/// Labels that are shorter than this are too common to identify an operator.
const SHORTEST_LABEL: usize = 5;
/// The number of bytes of a text that are examined; no reply is longer.
const MOST: usize = 1024;

/// The words before the name of a zone.
const BEFORE: [&str; 5] = [
    " blocked using ",
    "listed by ",
    "listed in ",
    "listed at ",
    "listed on ",
];

/// Identifies the zone, or the operator of several zones, that a text names. The id
/// stays the same when the zones are configured anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ZoneId(u64);

impl ZoneId {
    fn of_zone(zone: &str) -> Self {
        Self::from_name("zone", zone)
    }

    fn of_operator(label: &str) -> Self {
        Self::from_name("operator", label)
    }

    fn from_name(kind: &str, name: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (kind, name).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// The zone of the mail server that a text names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The zone.
    pub id: ZoneId,
    /// Whether the zone is broken, so that the rejection proves nothing.
    pub is_broken: bool,
}

/// The blocklists of the mail server, and which of them are broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneNames {
    zones: Vec<NamedZone>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NamedZone {
    /// In lower case.
    name: String,
    /// The label of its operator, such as `spamhaus`.
    label: Option<String>,
    /// The text of its rejections, if the administrator configured one.
    text: Option<String>,
    is_broken: bool,
}

impl ZoneNames {
    /// The blocklists among the rules. `is_broken`: a value for each rule, at
    /// the same index; a missing value is false.
    #[must_use]
    pub fn new(rules: &[Rule], is_broken: &[bool]) -> Self {
        let broken = is_broken.iter().copied().chain(std::iter::repeat(false));
        let zones = rules.iter().zip(broken);
        let zones = zones.filter(|(rule, _)| !rule.effect.is_allowing());
        let zone = |(rule, is_broken): (&Rule, bool)| {
            let name = rule.zone.to_ascii_lowercase();
            NamedZone {
                label: operator(&name).map(str::to_owned),
                text: match &rule.effect {
                    Effect::Reject(RejectionText::Own(text)) => Some(text.clone()),
                    _ => None,
                },
                name,
                is_broken,
            }
        };
        Self {
            zones: zones.map(zone).collect(),
        }
    }

    /// Whether no zone is broken.
    #[must_use]
    pub fn all_work(&self) -> bool {
        self.zones.iter().all(|zone| !zone.is_broken)
    }

    /// The ids of the broken zones and of their operators: a text may name either.
    pub fn broken(&self) -> impl Iterator<Item = ZoneId> {
        let broken = self.zones.iter().filter(|zone| zone.is_broken);
        broken.flat_map(|zone| {
            let operator = zone.label.as_deref().map(ZoneId::of_operator);
            [Some(ZoneId::of_zone(&zone.name)), operator]
                .into_iter()
                .flatten()
        })
    }

    /// The zone that rejected `addr` with this text; `None` if the text names no
    /// zone of the server.
    #[must_use]
    pub fn named(&self, text: &[u8], addr: IpAddr) -> Option<Named> {
        if self.zones.is_empty() {
            return None;
        }
        let text = text.get(..MOST).unwrap_or(text);
        let lower = String::from_utf8_lossy(text).to_ascii_lowercase();
        Self::decide(self.by_name(&lower))
            .or_else(|| Self::decide(self.by_own_text(text, addr)))
            .or_else(|| self.by_page(&lower))
    }

    /// The name of the first zone that a text about `addr` names: one of the server,
    /// or else the host name after words such as "blocked using". Only to be shown to
    /// the administrator: a client may have chosen words of the text.
    #[must_use]
    pub fn name_in(&self, text: &str, addr: IpAddr) -> Option<String> {
        let text = text.get(..MOST).unwrap_or(text);
        let lower = text.to_ascii_lowercase();
        let own = || self.by_own_text(text.as_bytes(), addr).next();
        let zone = self.by_name(&lower).next().or_else(own);
        let other = || {
            let mut behind = BEFORE.iter().filter_map(|words| lower.split_once(words));
            behind.find_map(|(_, behind)| host(behind.split_ascii_whitespace().next()?))
        };
        let name = zone.map(|zone| zone.name.as_str()).or_else(other);
        name.map(str::to_owned)
    }

    fn by_name(&self, lower: &str) -> impl Iterator<Item = &NamedZone> {
        let hosts = lower.split_ascii_whitespace().filter_map(host);
        hosts.filter_map(|host| self.zone_of(host))
    }

    /// Chooses the first zone that works, because a client may have named a broken one.
    fn decide<'a>(mut zones: impl Iterator<Item = &'a NamedZone>) -> Option<Named> {
        let first = zones.next()?;
        let zone = std::iter::once(first)
            .chain(zones)
            .find(|zone| !zone.is_broken)
            .unwrap_or(first);
        Some(Named {
            id: ZoneId::of_zone(&zone.name),
            is_broken: zone.is_broken,
        })
    }

    /// The zone that the host name is or lies in; of several, the longest.
    fn zone_of(&self, host: &str) -> Option<&NamedZone> {
        let is_in = |zone: &&NamedZone| {
            let before = host.strip_suffix(zone.name.as_str());
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        let zones = self.zones.iter().filter(is_in);
        zones.max_by_key(|zone| zone.name.len())
    }

    fn by_own_text(&self, text: &[u8], addr: IpAddr) -> impl Iterator<Item = &NamedZone> {
        let is_its = move |own: &String| {
            let own = reply_text::own(own, addr);
            let own = reply_text::behind_code(&own);
            !own.is_empty() && text.trim_ascii() == own.as_bytes()
        };
        let zones = self.zones.iter();
        zones.filter(move |zone| zone.text.as_ref().is_some_and(is_its))
    }

    /// The operator of the web page in the text. The page belongs to all zones
    /// of the operator, so the result is broken if one of them is.
    fn by_page(&self, text: &str) -> Option<Named> {
        let pages = text.split_ascii_whitespace().filter_map(page);
        let labels = pages.filter_map(operator).map(alias);
        let is_ours = |label: &&str| self.of_operator(label).next().is_some();
        let label = labels
            .filter(|label| label.len() >= SHORTEST_LABEL)
            .find(is_ours)?;
        Some(Named {
            id: ZoneId::of_operator(label),
            is_broken: self.of_operator(label).any(|zone| zone.is_broken),
        })
    }

    fn of_operator<'a>(&'a self, label: &'a str) -> impl Iterator<Item = &'a NamedZone> {
        let zones = self.zones.iter();
        zones.filter(move |zone| zone.label.as_deref() == Some(label))
    }
}

/// The host name in a word, without brackets, quotes and punctuation, or the host
/// of a URL. `None` for a mailbox, or for a word without a dot.
fn host(word: &str) -> Option<&str> {
    let word = match word.split_once("://") {
        Some((_, rest)) => rest.split(['/', '?', '#', ':']).next()?,
        None => word,
    };
    if word.contains('@') {
        return None;
    }
    let is_end = |char: char| !char.is_ascii_alphanumeric();
    Some(word.trim_matches(is_end)).filter(|host| host.contains('.'))
}

/// The host of a URL; `None` if the word is no URL, or as in [`host`].
fn page(word: &str) -> Option<&str> {
    word.contains("://").then(|| host(word)).flatten()
}

/// The label of a domain's owner: `spamhaus` of `zen.spamhaus.org`, `example` of
/// `bl.example.co.uk`.
fn operator(domain: &str) -> Option<&str> {
    let mut labels = domain.rsplit('.');
    let top = labels.next()?;
    let second = labels.next()?;
    let is_public = top.len() == 2 && second.len() <= 3;
    match labels.next() {
        Some(third) if is_public => Some(third),
        _ => Some(second),
    }
}

fn alias(label: &str) -> &str {
    let known = ALIASES.iter().find(|(page, _)| *page == label);
    known.map_or(label, |(_, zone)| zone)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const ADDR: [u8; 4] = [192, 0, 2, 1];

    /// The zones; `!` marks a broken one.
    fn names(zones: &[&str]) -> ZoneNames {
        let rule = |zone: &&str| Rule::of_config(zone.trim_start_matches('!')).unwrap();
        let rules: Vec<Rule> = zones.iter().map(rule).collect();
        let broken: Vec<bool> = zones.iter().map(|zone| zone.starts_with('!')).collect();
        ZoneNames::new(&rules, &broken)
    }

    fn is_broken(zones: &[&str], text: &str) -> Option<bool> {
        let named = names(zones).named(text.as_bytes(), ADDR.into());
        named.map(|named| named.is_broken)
    }

    #[test]
    fn the_name_of_a_zone_is_shown_as_the_text_has_it() {
        let names = names(&["b.example", "zen.b.example"]);
        let name = |text| names.name_in(text, ADDR.into());
        let zone = |name: &str| Some(name.to_owned());
        let line = "error,relay=::ffff:192.0.2.1,from=<a@b.example>: 511 Listed by Zen.B.example.";
        assert_eq!(name(line), zone("zen.b.example"));
        assert_eq!(name("from=<a@b.example>: 511 no"), None);
        // `c.example` is not among the zones of the server.
        assert_eq!(name("511 Blacklisted by c.example"), zone("c.example"));
        assert_eq!(
            name("Client host [192.0.2.1] blocked using c.example; see https://d.example/"),
            zone("c.example")
        );
        assert_eq!(name("you are listed in our files"), None);
    }

    #[test]
    fn a_text_names_a_zone() {
        let zones = ["!bl.broken.example", "zen.works.example"];
        for (text, expected) in [
            ("Blacklisted by bl.broken.example", Some(true)),
            ("blocked using BL.Broken.Example; see its page", Some(true)),
            ("listed at (bl.broken.example).", Some(true)),
            ("found in 1.2.0.192.bl.broken.example", Some(true)),
            ("Blacklisted by zen.works.example", Some(false)),
            ("Blacklisted by other.example", None),
            ("Blacklisted by xbl.broken.example", None),
            ("Blacklisted by bl.broken.example.org", None),
            ("Listed", None),
            ("", None),
        ] {
            assert_eq!(is_broken(&zones, text), expected, "{text}");
        }
        assert_eq!(is_broken(&[], "Blacklisted by bl.broken.example"), None);
    }

    #[test]
    fn the_longest_zone_counts() {
        let zones = ["!example.org", "sub.example.org"];
        assert_eq!(is_broken(&zones, "by sub.example.org"), Some(false));
        assert_eq!(is_broken(&zones, "by example.org"), Some(true));
        assert_eq!(is_broken(&zones, "by a.example.org"), Some(true));
    }

    #[test]
    fn a_sender_chooses_no_zone() {
        let zones = ["!bl.broken.example", "zen.works.example"];
        for (text, expected) in [
            ("<x@bl.broken.example>: listed", None),
            (
                "sender x@bl.broken.example is listed at zen.works.example",
                Some(false),
            ),
            (
                "helo bl.broken.example is listed at zen.works.example",
                Some(false),
            ),
            ("https://x@bl.broken.example/", None),
        ] {
            assert_eq!(is_broken(&zones, text), expected, "{text}");
        }
    }

    #[test]
    fn a_web_page_names_all_zones_of_its_operator() {
        let zones = [
            "!zen.spamhaus.org",
            "dbl.spamhaus.org",
            "b.barracudacentral.org",
            "bl.co",
        ];
        for (text, expected) in [
            ("https://www.spamhaus.org/query/ip/192.0.2.1", Some(true)),
            ("see https://check.spamhaus.net/?a=b@c", Some(true)),
            (
                "listed at dbl.spamhaus.org, https://www.spamhaus.org/",
                Some(false),
            ),
            (
                "http://www.barracudanetworks.com/reputation/?r=1",
                Some(false),
            ),
            ("www.spamhaus.org", None),
            ("https://evil.example/spamhaus.org", None),
            ("http://bl.example/", None),
        ] {
            assert_eq!(is_broken(&zones, text), expected, "{text}");
        }
        let british = ["!dnsbl.operator.co.uk"];
        assert_eq!(
            is_broken(&british, "http://www.operator.co.uk/x"),
            Some(true)
        );
        assert_eq!(is_broken(&british, "http://www.others.co.uk/x"), None);
    }

    #[test]
    fn a_text_of_the_administrator_is_its_zone_s() {
        let zones = ["!bl.broken.example,BLOCK,511 Go away, @"];
        let text = "Go away, ::ffff:192.0.2.1";
        assert_eq!(is_broken(&zones, text), Some(true));
        assert_eq!(is_broken(&zones, "Go away, ::ffff:192.0.2.2"), None);
        let works = ["bl.works.example,BLOCK,Go away, @"];
        assert_eq!(is_broken(&works, text), Some(false));
    }

    #[test]
    fn an_allow_list_is_no_zone_that_rejects() {
        assert_eq!(is_broken(&["allow:w.example"], "by w.example"), None);
    }

    #[test]
    fn the_ids_of_broken_zones_are_those_that_texts_named() {
        let works = ["zen.spamhaus.org", "bl.example.net"];
        let named = |text: &str| names(&works).named(text.as_bytes(), ADDR.into());
        let by_zone = named("by zen.spamhaus.org").unwrap().id;
        let by_page = named("https://www.spamhaus.org/x").unwrap().id;
        let other = named("by bl.example.net").unwrap().id;
        let broken: Vec<ZoneId> = names(&["bl.example.net", "!zen.spamhaus.org"])
            .broken()
            .collect();
        assert_eq!(broken, [by_zone, by_page]);
        assert!(!broken.contains(&other));
        assert!(names(&works).all_work() && names(&works).broken().next().is_none());
    }
}
