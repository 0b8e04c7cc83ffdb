//! The owners of an entry: who wants its addresses blocked.
//!
//! Each owner has an end of its own, its [`Hold`]; the end of the entry is the
//! latest of them. The map holds the set of the owners, one bit each. The bits of
//! the owners without a name are fixed; the bits of named owners are in the database.

mod after_boot;
mod hold;
mod mask;
mod names;

pub use after_boot::after_boot;
pub use hold::{Hold, LetGo, OwnerHold, combine, holds, join, let_go, with_hold};
pub use mask::{NAMED_BITS, OwnerBit, OwnerMask};
pub use names::{OwnerNames, ShownOwners};

use std::fmt;
use std::str::FromStr;

use crate::escape::escape;
use crate::invalid::Invalid;

/// The longest name of a list or jail, in bytes.
pub const LONGEST_NAME: usize = 48;

/// An owner: a list, a program or a person that wants an address blocked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryOwner {
    /// The daemon, because of the mail log.
    Log,
    /// The administrator: `spamdrop add`, and `import` without a name.
    Hand,
    /// A script that writes to the FIFO.
    Fifo,
    /// An imported list: `import:NAME`.
    Import(String),
    /// A jail of fail2ban: `f2b:JAIL`.
    Jail(String),
    /// The owner of a bit whose name is lost: `unnamed:NUMBER`. It can only be
    /// shown and removed.
    Unnamed(OwnerBit),
}

impl EntryOwner {
    /// The bit of this owner, if it does not depend on [`OwnerNames`].
    #[must_use]
    pub fn fixed_bit(&self) -> Option<OwnerBit> {
        match self {
            Self::Log => Some(OwnerBit::LOG),
            Self::Hand => Some(OwnerBit::HAND),
            Self::Fifo => Some(OwnerBit::FIFO),
            Self::Unnamed(bit) => Some(*bit),
            Self::Import(_) | Self::Jail(_) => None,
        }
    }

    /// The owner without a name that has this bit.
    #[must_use]
    pub fn of_fixed_bit(bit: OwnerBit) -> Option<Self> {
        [Self::Log, Self::Hand, Self::Fifo]
            .into_iter()
            .find(|owner| owner.fixed_bit() == Some(bit))
    }
}

impl FromStr for EntryOwner {
    type Err = Invalid;

    /// A word without a colon that is none of `log`, `hand` and `fifo` is the name
    /// of an imported list.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = text.split_once(':').unwrap_or(("import", text));
        match text {
            "log" => return Ok(Self::Log),
            "hand" => return Ok(Self::Hand),
            "fifo" => return Ok(Self::Fifo),
            _ => {}
        }
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_allowed);
        match kind {
            "import" if is_name => Ok(Self::Import(name.into())),
            "f2b" if is_name => Ok(Self::Jail(name.into())),
            "unnamed" if let Some(bit) = unnamed(name) => Ok(Self::Unnamed(bit)),
            _ => Err(Invalid::new(format!(
                "`{}` is not an owner; write log, hand, fifo, import:NAME, f2b:JAIL or NAME; a \
                 name has up to {LONGEST_NAME} letters, digits, dots, hyphens and underscores",
                escape(text.as_bytes())
            ))),
        }
    }
}

/// Parses the number of a bit in [`NAMED_BITS`].
fn unnamed(number: &str) -> Option<OwnerBit> {
    let number = number.parse().ok().filter(|it| NAMED_BITS.contains(it));
    number.and_then(OwnerBit::new)
}

impl fmt::Display for EntryOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("log"),
            Self::Hand => f.write_str("hand"),
            Self::Fifo => f.write_str("fifo"),
            Self::Import(name) => write!(f, "import:{name}"),
            Self::Jail(name) => write!(f, "f2b:{name}"),
            Self::Unnamed(bit) => write!(f, "unnamed:{}", bit.get()),
        }
    }
}

#[cfg(test)]
mod tests;
