//! The condition `dnslists` (spec.txt, "Using DNS lists").

use super::list::{items, kind};
use crate::dnsbl::address_filter::AddressFilter;

/// An item of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A zone that is asked about the client.
    Zone {
        zone: String,
        /// The answers that count; `None`: all.
        only: Option<AddressFilter>,
    },
    /// A zone with a filter that is not understood.
    Unclear(String),
    /// A zone that is asked about something else, such as the sender's domain.
    Keyed(String),
}

/// The items of a value. If the value has an expression, nothing of it is
/// understood, because its items are known only after Exim has expanded it.
pub(super) fn parse(value: &str) -> Vec<Item> {
    let items = items(value);
    if value.contains("${") || !items.iter().all(|item| is_expanded(item)) {
        return vec![Item::Unclear(kind(value))];
    }
    let items = items.into_iter().filter(|item| !item.starts_with('+'));
    items.map(|text| item(&text)).collect()
}

/// Whether the item needs no expansion. A variable that is its whole key is allowed,
/// as in `b.example/$sender_address_domain`.
fn is_expanded(item: &str) -> bool {
    let (zone, key) = item.split_once('/').unwrap_or((item, ""));
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = |name: &str| !name.is_empty() && name.chars().all(is_word);
    let is_variable = key.strip_prefix('$').is_some_and(is_name);
    !zone.contains('$') && (!key.contains('$') || is_variable)
}

fn item(text: &str) -> Item {
    if text.contains('/') {
        return Item::Keyed(text.to_owned());
    }
    let end = text.find(['=', '&', '!', ',']).unwrap_or(text.len());
    let (zone, filter) = text.split_at(end);
    match only(filter) {
        Some(only) => Item::Zone {
            zone: zone.trim().to_owned(),
            only,
        },
        None => Item::Unclear(text.to_owned()),
    }
}

/// Parses `=A.B.C.D,…` and `&A.B.C.D,…`. The inner `None`: no filter. The outer one:
/// the filter is not understood, such as `==` (all answers must match) or `!=`.
fn only(filter: &str) -> Option<Option<AddressFilter>> {
    if filter.is_empty() {
        return Some(None);
    }
    let (is_mask, values) = match filter.strip_prefix('=') {
        Some(values) => (false, values),
        None => (true, filter.strip_prefix('&')?),
    };
    let parse = |value: &str| {
        let address = value.trim().parse().ok()?;
        Some(match is_mask {
            true => AddressFilter::with_bits(address),
            false => AddressFilter::one(address),
        })
    };
    let filters: Option<Vec<AddressFilter>> = values.split(',').map(parse).collect();
    filters?.into_iter().reduce(AddressFilter::or).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(value: &str) -> Vec<String> {
        let items = parse(value).into_iter().map(|item| match item {
            Item::Zone { zone, only: None } => zone,
            Item::Zone {
                zone,
                only: Some(only),
            } => format!("{zone} by {only}"),
            Item::Unclear(text) => format!("unclear {text}"),
            Item::Keyed(text) => format!("keyed {text}"),
        });
        items.collect()
    }

    #[test]
    fn items_of_dnslists() {
        assert_eq!(
            show("zen.spamhaus.org : bl.example=127.0.0.2,127.0.0.4 : +defer_unknown : b.example"),
            [
                "zen.spamhaus.org",
                "bl.example by 127.0.0.2,127.0.0.4",
                "b.example"
            ]
        );
        assert_eq!(
            show("<; a.example&0.0.0.254 ; b.example"),
            ["a.example by 127.0.0.[254;255]", "b.example"].map(|text| text.replace(
                "127.0.0.[254;255]",
                &AddressFilter::with_bits([0, 0, 0, 254].into()).to_string()
            ))
        );
        for unclear in [
            "a.example!=127.0.0.2",
            "a.example==127.0.0.2",
            "a.example,b.example=127.0.0.2",
            "a.example=127.0.0",
            "a.example&",
            "${lookup{x}lsearch{y}}",
        ] {
            let named = unclear.replace("{x}lsearch{y}}", "");
            assert_eq!(show(unclear), [format!("unclear {named}")]);
        }
        assert_eq!(
            show("rhsbl.example/$sender_address_domain"),
            ["keyed rhsbl.example/$sender_address_domain"]
        );
        for unclear in [
            "a.example/${sender_address_domain} : b.example",
            "$acl_m0 : b.example/$sender_address_domain",
            "a.example/x$y",
            "${lookup{a/b : c}lsearch{d}}",
        ] {
            let shown = show(unclear);
            assert!(
                matches!(shown.as_slice(), [one] if one.starts_with("unclear ")),
                "{shown:?}"
            );
        }
        assert!(show(" : ").is_empty());
    }
}
