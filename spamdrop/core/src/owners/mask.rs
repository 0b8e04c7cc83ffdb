//! Sets of owners, as the map holds them.

use std::ops::RangeInclusive;

use spamdrop_common::entry::{Entry, ORIGIN_HAND, ORIGIN_LOG, ORIGIN_MASK};

/// The bits of owners with a name. Bits 3 and 4 are reserved for more owners without
/// a name.
pub const NAMED_BITS: RangeInclusive<u8> = 5..=63;

/// The number of an owner's bit in the mask, 0 to 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerBit(u8);

impl OwnerBit {
    /// The daemon.
    pub const LOG: Self = Self(0);
    /// The administrator.
    pub const HAND: Self = Self(1);
    /// The FIFO.
    pub const FIFO: Self = Self(2);

    /// The bit with this number; `None` if the number is above 63.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        (number < 64).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

/// A set of owners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerMask(u64);

impl OwnerMask {
    /// The owners of an entry. If another version has made the entry without
    /// owners, its origin tells the owner: the log or the administrator.
    #[must_use]
    pub fn from_entry(entry: &Entry) -> Self {
        match entry.owners {
            0 if entry.flags & ORIGIN_LOG != 0 => OwnerBit::LOG.into(),
            0 => OwnerBit::HAND.into(),
            owners => Self(owners),
        }
    }

    /// Whether the set has no owner.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this owner is in the set.
    #[must_use]
    pub fn contains(self, bit: OwnerBit) -> bool {
        self.0 & (1 << bit.0) != 0
    }

    /// Whether there are two owners or more.
    #[must_use]
    pub fn is_shared(self) -> bool {
        self.0.count_ones() > 1
    }

    /// The owners that are in one of the two sets or in both.
    #[must_use]
    pub fn and(self, other: impl Into<Self>) -> Self {
        Self(self.0 | other.into().0)
    }

    /// The owners of this set that are not in the other one.
    #[must_use]
    pub fn without(self, other: impl Into<Self>) -> Self {
        Self(self.0 & !other.into().0)
    }

    /// The owners, in the order of their bits.
    pub fn each(self) -> impl Iterator<Item = OwnerBit> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let lowest = u8::try_from(left.trailing_zeros()).ok()?;
            (left != 0).then(|| {
                left &= left - 1;
                OwnerBit(lowest)
            })
        })
    }

    /// The entry with these owners, and with the origin that goes with them: that of
    /// the log only if the log is the only owner.
    #[must_use]
    pub fn of_entry(self, entry: Entry) -> Entry {
        let origin = match self == OwnerBit::LOG.into() {
            true => ORIGIN_LOG,
            false => ORIGIN_HAND,
        };
        Entry {
            owners: self.0,
            flags: entry.flags & !ORIGIN_MASK | origin,
            ..entry
        }
    }
}

impl From<OwnerBit> for OwnerMask {
    fn from(bit: OwnerBit) -> Self {
        Self(1 << bit.0)
    }
}
