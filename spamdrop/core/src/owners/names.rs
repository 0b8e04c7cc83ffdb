//! The names of the owners' bits.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use serde::ser::{Serialize, Serializer};

use super::mask::{OwnerBit, OwnerMask};
use super::{EntryOwner, NAMED_BITS};

/// The owners with a name, and their bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerNames(Vec<(OwnerBit, EntryOwner)>);

impl OwnerNames {
    /// The bit of an owner, if it has one.
    #[must_use]
    pub fn bit(&self, owner: &EntryOwner) -> Option<OwnerBit> {
        let mut named = self.0.iter();
        let named = || named.find(|(_, it)| it == owner).map(|(bit, _)| *bit);
        owner.fixed_bit().or_else(named)
    }

    /// The name of a bit, or `unnamed:17` if the name of bit 17 is not in the database.
    #[must_use]
    pub fn name(&self, bit: OwnerBit) -> String {
        self.owner(bit).to_string()
    }

    /// The owner of a bit. Borrowed, because `list` looks up a million owners.
    fn owner(&self, bit: OwnerBit) -> Cow<'_, EntryOwner> {
        if let Some(owner) = EntryOwner::of_fixed_bit(bit) {
            return Cow::Owned(owner);
        }
        match self.0.iter().find(|(it, _)| *it == bit) {
            Some((_, owner)) => Cow::Borrowed(owner),
            None => Cow::Owned(EntryOwner::Unnamed(bit)),
        }
    }

    /// Every owner with a name.
    pub fn named(&self) -> impl Iterator<Item = &EntryOwner> {
        self.0.iter().map(|(_, owner)| owner)
    }

    /// A bit for a new name: the lowest that has no name and no entry, or else the
    /// lowest whose owner has no entry. `None` if entries use all bits. `in_use`:
    /// the bits that an entry has.
    #[must_use]
    pub fn free(&self, in_use: OwnerMask) -> Option<OwnerBit> {
        let is_named = |bit: &OwnerBit| self.0.iter().any(|(it, _)| it == bit);
        let unused = || {
            let bits = NAMED_BITS.filter_map(OwnerBit::new);
            bits.filter(|bit| !in_use.contains(*bit))
        };
        unused()
            .find(|bit| !is_named(bit))
            .or_else(|| unused().next())
    }
}

impl FromIterator<(OwnerBit, EntryOwner)> for OwnerNames {
    fn from_iter<T: IntoIterator<Item = (OwnerBit, EntryOwner)>>(named: T) -> Self {
        Self(named.into_iter().collect())
    }
}

/// The owners of an entry, by their names: `log, import:drop`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownOwners {
    mask: OwnerMask,
    names: Rc<OwnerNames>,
}

impl ShownOwners {
    /// The owners of this set.
    #[must_use]
    pub fn new(mask: OwnerMask, names: &Rc<OwnerNames>) -> Self {
        let names = Rc::clone(names);
        Self { mask, names }
    }

    /// The owner, if there is only one.
    #[must_use]
    pub fn only(&self) -> Option<Cow<'_, EntryOwner>> {
        let mut bits = self.mask.each();
        match (bits.next(), bits.next()) {
            (Some(bit), None) => Some(self.names.owner(bit)),
            _ => None,
        }
    }
}

impl fmt::Display for ShownOwners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, bit) in self.mask.each().enumerate() {
            if number > 0 {
                f.write_str(", ")?;
            }
            self.names.owner(bit).fmt(f)?;
        }
        Ok(())
    }
}

impl Serialize for ShownOwners {
    /// Serializes the names as an array.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.mask.each().map(|bit| self.names.name(bit)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn bit(number: u8) -> OwnerBit {
        OwnerBit::new(number).unwrap()
    }

    fn names(bits: impl IntoIterator<Item = u8>) -> OwnerNames {
        let name = |it: u8| (bit(it), EntryOwner::Import(format!("list{it}")));
        bits.into_iter().map(name).collect()
    }

    #[test]
    fn owners_are_shown_by_their_names() {
        let mask = OwnerMask::from(OwnerBit::LOG).and(bit(6)).and(bit(63));
        let owners = ShownOwners::new(mask, &Rc::new(names([6])));
        assert_eq!(owners.to_string(), "log, import:list6, unnamed:63");
        assert_eq!(owners.only(), None);
        let names = names([6]);
        let only = ShownOwners::new(bit(6).into(), &Rc::new(names.clone()));
        assert_eq!(only.only().unwrap().to_string(), "import:list6");
        assert_eq!(ShownOwners::default().only(), None);
        assert_eq!(names.bit(&"list6".parse().unwrap()), Some(bit(6)));
        assert_eq!(names.bit(&"list7".parse().unwrap()), None);
        assert_eq!(names.bit(&EntryOwner::Fifo), Some(OwnerBit::FIFO));
        assert_eq!(names.named().count(), 1);
    }

    #[test]
    fn a_new_name_takes_no_bit_that_an_entry_has() {
        assert_eq!(names([]).free(OwnerMask::default()), Some(bit(5)));
        // An entry has bit 6, whose name was lost with the database.
        assert_eq!(names([5]).free(bit(6).into()), Some(bit(7)));
        let all = names(NAMED_BITS);
        assert_eq!(all.free(bit(5).into()), Some(bit(6)));
        let each = NAMED_BITS.filter_map(OwnerBit::new);
        let in_use = each.fold(OwnerMask::default(), OwnerMask::and);
        assert_eq!(all.free(in_use), None);
    }
}
