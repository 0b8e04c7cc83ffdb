//! `nft -j list set FAMILY TABLE NAME`, see libnftables-json(5).

use std::time::Duration;

use serde::Deserialize;

use super::range;
use crate::invalid::Invalid;
use crate::listing::{ListEntry, ListReader};

/// The document; parts that name no addresses are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct NftDocument {
    nftables: Vec<NftObject>,
}

#[derive(Clone, Debug, Deserialize)]
struct NftObject {
    set: Option<NftSet>,
    map: Option<NftSet>,
}

#[derive(Clone, Debug, Deserialize)]
struct NftSet {
    name: String,
    #[serde(default)]
    elem: Vec<NftElement>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum NftElement {
    Address(String),
    Prefix { prefix: NftPrefix },
    Range { range: [String; 2] },
    Timed { elem: NftTimed },
    Other(serde::de::IgnoredAny),
}

#[derive(Clone, Debug, Deserialize)]
struct NftPrefix {
    addr: String,
    len: u8,
}

/// An element with properties. Its times are in seconds.
#[derive(Clone, Debug, Deserialize)]
struct NftTimed {
    val: Box<NftElement>,
    timeout: Option<u64>,
    expires: Option<u64>,
}

impl NftDocument {
    /// The entries of all sets.
    pub fn read(&self, reader: &ListReader, emit: &mut dyn FnMut(Result<ListEntry, Invalid>)) {
        for object in &self.nftables {
            for set in object.set.iter().chain(&object.map) {
                for element in &set.elem {
                    match element.read(reader, None) {
                        Ok(Some(entries)) => entries.into_iter().for_each(|it| emit(Ok(it))),
                        Ok(None) => {
                            let name = crate::escape::escape(set.name.as_bytes());
                            let text = format!(
                                "set `{name}` has more than addresses; list one set: `nft -j list set FAMILY TABLE NAME`"
                            );
                            emit(Err(Invalid::new(text)));
                        }
                        Err(error) => emit(Err(error)),
                    }
                }
            }
        }
    }
}

impl NftElement {
    /// The entries of the element; `None` if it is not an address, a prefix or an interval.
    /// `left`: the remaining time, from the element around it.
    fn read(
        &self,
        reader: &ListReader,
        left: Option<Duration>,
    ) -> Result<Option<Vec<ListEntry>>, Invalid> {
        let word = match self {
            Self::Address(addr) => addr.clone(),
            Self::Prefix { prefix } => format!("{}/{}", prefix.addr, prefix.len),
            Self::Range {
                range: [first, last],
            } => format!("{first}-{last}"),
            Self::Timed { elem } => {
                // An element with the timeout 0 never ends.
                let timeout = elem.timeout.filter(|seconds| *seconds > 0);
                let left = elem.expires.or(timeout).map(Duration::from_secs);
                return match *elem.val {
                    Self::Timed { .. } => Ok(None),
                    ref val => val.read(reader, left),
                };
            }
            Self::Other(_) => return Ok(None),
        };
        range::read(reader, word.as_bytes(), left).map(Some)
    }
}
