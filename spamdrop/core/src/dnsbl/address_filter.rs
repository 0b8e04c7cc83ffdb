//! Which answers of a zone count as a listing.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Patterns of addresses, as Postfix writes them: `127.0.[0..1;5].2`. An
/// address counts if it matches one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressFilter(Vec<OctetPattern>);

type OctetPattern = [Octet; 4];

/// Ranges of values, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Octet(Vec<(u8, u8)>);

impl AddressFilter {
    /// A filter that matches only this address.
    #[must_use]
    pub fn one(address: Ipv4Addr) -> Self {
        let octets = address.octets().map(|octet| Octet(vec![(octet, octet)]));
        Self(vec![octets])
    }

    /// A filter that matches each address in which all bits of the mask are set
    /// (Exim's `&`).
    #[must_use]
    pub fn with_bits(mask: Ipv4Addr) -> Self {
        let octets = mask.octets().map(|mask| {
            let has_all = (0..=u8::MAX).filter(|value| value & mask == mask);
            Octet(has_all.map(|value| (value, value)).collect())
        });
        Self(vec![octets])
    }

    /// A filter that matches each address that `self` or `other` matches.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Whether the address counts as a listing.
    #[must_use]
    pub fn matches(&self, address: Ipv4Addr) -> bool {
        let octets = address.octets();
        let fits = |pattern: &OctetPattern| {
            let mut pairs = pattern.iter().zip(octets);
            pairs.all(|(octet, value)| octet.contains(value))
        };
        self.0.iter().any(fits)
    }
}

impl Octet {
    fn contains(&self, value: u8) -> bool {
        let mut ranges = self.0.iter();
        ranges.any(|(first, last)| (*first..=*last).contains(&value))
    }
}

impl FromStr for AddressFilter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let patterns: Option<Vec<_>> = text.split(',').map(pattern).collect();
        patterns
            .map(Self)
            .ok_or("is not a pattern of addresses such as 127.0.0.[2..11]")
    }
}

/// Parses a pattern. The dots of a range do not separate octets.
fn pattern(text: &str) -> Option<OctetPattern> {
    let mut rest = text.trim_ascii();
    let mut octets = Vec::new();
    loop {
        let (octet, behind) = octet(rest)?;
        octets.push(octet);
        if behind.is_empty() {
            return octets.try_into().ok();
        }
        rest = behind.strip_prefix('.')?;
    }
}

fn octet(text: &str) -> Option<(Octet, &str)> {
    if let Some(inner) = text.strip_prefix('[') {
        let (ranges, behind) = inner.split_once(']')?;
        let ranges: Option<Vec<_>> = ranges.split(';').map(range).collect();
        return Some((Octet(ranges?), behind));
    }
    let end = text.find('.').unwrap_or(text.len());
    let (number, behind) = text.split_at_checked(end)?;
    let value = value(number)?;
    Some((Octet(vec![(value, value)]), behind))
}

fn range(text: &str) -> Option<(u8, u8)> {
    match text.split_once("..") {
        None => value(text).map(|value| (value, value)),
        Some((first, last)) => {
            let (first, last) = (value(first)?, value(last)?);
            (first <= last).then_some((first, last))
        }
    }
}

/// Only digits: `u8::from_str` would also take a sign.
fn value(text: &str) -> Option<u8> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for AddressFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.0.iter().enumerate() {
            f.write_str(if index > 0 { "," } else { "" })?;
            for (index, octet) in pattern.iter().enumerate() {
                f.write_str(if index > 0 { "." } else { "" })?;
                octet.fmt(f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Octet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [(first, last)] if first == last => write!(f, "{first}"),
            ranges => {
                let range = |(first, last): &(u8, u8)| match first == last {
                    true => first.to_string(),
                    false => format!("{first}..{last}"),
                };
                let ranges: Vec<String> = ranges.iter().map(range).collect();
                write!(f, "[{}]", ranges.join(";"))
            }
        }
    }
}

impl TryFrom<String> for AddressFilter {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<AddressFilter> for String {
    fn from(filter: AddressFilter) -> Self {
        filter.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn matches(filter: &str, address: [u8; 4]) -> bool {
        let filter: AddressFilter = filter.parse().unwrap();
        filter.matches(address.into())
    }

    #[test]
    fn patterns_of_postfix() {
        assert!(matches("127.0.0.2", [127, 0, 0, 2]));
        assert!(!matches("127.0.0.2", [127, 0, 0, 3]));
        for (last, expected) in [(1, false), (2, true), (4, true), (5, false), (7, true)] {
            assert_eq!(
                matches("127.0.0.[2..4;7]", [127, 0, 0, last]),
                expected,
                "{last}"
            );
        }
        assert!(matches("127.0.[0..255].[1..3]", [127, 0, 200, 3]));
        assert!(matches("127.0.0.2, 127.0.0.9", [127, 0, 0, 9]));
    }

    #[test]
    fn a_mask_wants_all_of_its_bits() {
        let filter = AddressFilter::with_bits([0, 0, 0, 6].into());
        for (last, expected) in [(2, false), (4, false), (6, true), (7, true), (14, true)] {
            assert_eq!(filter.matches([127, 0, 0, last].into()), expected, "{last}");
        }
    }

    #[test]
    fn the_text_is_read_again() {
        for text in ["127.0.0.2", "127.0.[0..1;5].[2..11]", "127.0.0.2,127.0.0.9"] {
            let filter: AddressFilter = text.parse().unwrap();
            assert_eq!(filter.to_string(), text);
            assert_eq!(String::from(filter), text);
        }
        let bits = AddressFilter::with_bits([0, 0, 0, 254].into());
        assert_eq!(bits.to_string().parse(), Ok(bits));
    }

    #[test]
    fn other_texts_are_refused() {
        for wrong in [
            "",
            "127.0.0",
            "127.0.0.2.3",
            "127.0.0.256",
            "127.0.0.+2",
            "127.0.0.[4..2]",
            "127.0.0.[2..4",
            "127.0.0.[]",
            "127.0.0.2,",
            "[127..0.0.2",
        ] {
            assert!(wrong.parse::<AddressFilter>().is_err(), "{wrong}");
        }
    }
}
