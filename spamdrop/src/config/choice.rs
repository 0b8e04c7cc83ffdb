//! The types of keys whose value is one of a few words, and of `addresses` and
//! `nat64`.

use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use spamdrop_common::nat64::MAX_PREFIXES;
use spamdrop_core::nat64::Nat64Prefix;
use spamdrop_core::target::parse_net;

/// The destinations to which blocks and the gate apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WordOrList")]
pub enum Destinations {
    /// The machine's own, as its routes of type `local` name them.
    #[default]
    Own,
    /// All, for a router in front of the mail server.
    Any,
    /// These prefixes.
    These(Vec<IpNet>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "\"own\", \"any\" or a list of addresses")]
enum WordOrList {
    Word(String),
    List(Vec<String>),
}

impl TryFrom<WordOrList> for Destinations {
    type Error = String;

    fn try_from(value: WordOrList) -> Result<Self, Self::Error> {
        let list = match value {
            WordOrList::List(list) => list,
            WordOrList::Word(word) if word == "own" => return Ok(Self::Own),
            WordOrList::Word(word) if word == "any" => return Ok(Self::Any),
            WordOrList::Word(word) => {
                return Err(format!(
                    "`addresses` is {word:?}, but must be \"own\", \"any\" or a list such as [\"192.0.2.1\", \"2001:db8::/64\"]"
                ));
            }
        };
        if list.is_empty() {
            return Err("`addresses` is empty, so that nothing would be protected".into());
        }
        let nets = list.iter().map(|word| {
            parse_net(word)
                .ok_or_else(|| format!("`addresses`: {word:?} is neither an address nor a prefix"))
        });
        nets.collect::<Result<_, _>>().map(Self::These)
    }
}

/// Reads `nat64`.
pub(super) fn nat64<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Nat64Prefix>, D::Error> {
    let list = Vec::<String>::deserialize(deserializer)?;
    if list.len() > MAX_PREFIXES {
        let message = format!(
            "`nat64` has {} prefixes, but at most {MAX_PREFIXES} are possible",
            list.len()
        );
        return Err(D::Error::custom(message));
    }
    list.iter()
        .map(|text| {
            text.parse()
                .map_err(|error| D::Error::custom(format!("`nat64`: {error}")))
        })
        .collect()
}

/// Which hits extend an entry; see
/// [`Refresh`](spamdrop_common::settings::Refresh).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "as in `Refresh`")]
pub enum RefreshMode {
    Packet,
    Syn,
    Never,
}

/// When an entry from the log starts to drop every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seal {
    /// When the peer no longer holds a connection.
    AfterClose,
    /// At once, as with the iptables match `recent`: the peer's QUIT is dropped too,
    /// and its slot stays taken until the server's timeout.
    AtOnce,
}

/// Whether the responder answers listed senders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerMode {
    /// The mail server answers them, like all other senders.
    #[default]
    Off,
    /// The responder answers them.
    On,
}

/// The action of the gate while the server's slots run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admit {
    /// Nothing; there is no gate.
    Off,
    /// The gate counts what it would refuse, and refuses nothing.
    Observe,
    /// The gate refuses new connections of strangers for a while.
    On,
}

/// Presets that reproduce another tool, for comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// No preset.
    Off,
    /// Blocks exactly as the iptables rule `-m recent --update -j DROP` does.
    Recent,
}
