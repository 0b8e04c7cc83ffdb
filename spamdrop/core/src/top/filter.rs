//! Selects the sources that `top` shows.

use ipnet::IpNet;

use crate::target::{Target, parse_net};

/// The text that the administrator typed: an address, a prefix, or the beginning
/// of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFilter {
    text: String,
    net: Option<IpNet>,
}

impl SourceFilter {
    /// The filter of a text; the empty text matches every source.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = text.trim().to_ascii_lowercase();
        Self {
            net: parse_net(&text),
            text,
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the filter matches every source.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether an entry is shown: its text begins with that of the filter, or its
    /// addresses contain those of the filter or lie within them.
    #[must_use]
    pub fn matches(&self, target: Target) -> bool {
        let overlaps = |filter: &IpNet| {
            let net = target.net();
            filter.contains(&net) || net.contains(filter)
        };
        self.is_empty()
            || self.net.as_ref().is_some_and(overlaps)
            || target.to_string().starts_with(&self.text)
    }

    /// The entries that are looked up directly: the entry of the prefix that the
    /// filter names, or every entry that may block the address that it names.
    pub fn targets(&self) -> impl Iterator<Item = Target> {
        let is_host = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
        let host = self.net.filter(is_host).into_iter();
        let prefix = self.net.filter(|net| !is_host(net)).map(Target::from);
        host.flat_map(|net| Target::covering(net.addr()))
            .chain(prefix)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_filter_is_an_address_a_prefix_or_the_beginning_of_one() {
        for (text, target, shown) in [
            ("", "192.0.2.1", true),
            (" 192.0.2 ", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.10", true),
            ("192.0.2.1", "192.0.2.0/24", true),
            ("192.0.2.0/24", "192.0.2.77", true),
            ("192.0.2.0/24", "192.0.3.77", false),
            ("2.1", "192.0.2.1", false),
            ("2001:DB8", "2001:db8::/64", true),
            ("2001:db8::7", "2001:db8::/64", true),
            ("2001:db8:1::/48", "2001:db8::/64", false),
        ] {
            let filter = SourceFilter::new(text);
            assert_eq!(filter.matches(target.parse().unwrap()), shown, "{text}");
        }
    }

    #[test]
    fn what_the_filter_names_is_looked_up() {
        let targets = |text| SourceFilter::new(text).targets().collect::<Vec<_>>();
        assert_eq!(targets("192.0.2.1"), ["192.0.2.1".parse().unwrap()]);
        let v6 = ["2001:db8::1/128", "2001:db8::/64"].map(|text| text.parse().unwrap());
        assert_eq!(targets("2001:db8::1"), v6);
        for prefix in ["192.0.2.0/24", "2001:db8::/64", "2001:db8::/32"] {
            assert_eq!(targets(prefix), [prefix.parse().unwrap()]);
        }
        assert!(targets("192.0").is_empty());
    }
}
