//! Intervals of addresses, as prefixes.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use crate::invalid::Invalid;
use crate::listing::{ListEntry, ListReader, shown};

/// The entries of an address, a prefix or an interval `FIRST-LAST`.
pub(super) fn read(
    reader: &ListReader,
    word: &[u8],
    left: Option<Duration>,
) -> Result<Vec<ListEntry>, Invalid> {
    let text = str::from_utf8(word).unwrap_or_default();
    match text.split_once('-') {
        None => Ok(vec![reader.read_address(word, left)?]),
        Some((first, last)) => {
            let nets = prefixes(first, last).ok_or_else(|| {
                Invalid::new(format!("`{}` is not an interval of addresses", shown(word)))
            })?;
            Ok(nets.map(|net| reader.read_net(net, left)).collect())
        }
    }
}

/// The fewest prefixes that make up an interval.
fn prefixes(first: &str, last: &str) -> Option<Box<dyn Iterator<Item = IpNet>>> {
    match (first.parse().ok()?, last.parse().ok()?) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            Some(Box::new(Ipv4Subnets::new(first, last, 0).map(IpNet::V4)))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            Some(Box::new(Ipv6Subnets::new(first, last, 0).map(IpNet::V6)))
        }
        _ => None,
    }
}
