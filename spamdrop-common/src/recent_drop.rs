//! A cache of the sources that were dropped most recently.
//!
//! In a flood, almost every packet comes from a source that sent another packet some
//! seconds before. For such a packet, the filter only needs to count a hit. A slot of a
//! plain array tells that the packet is to be dropped: the filter touches one cache line
//! instead of the hash map, the clock and the allowlist. Where blocks apply to some
//! destinations only, each packet's destination is checked as well.
//!
//! A slot is one word, because the number of cache lines and the size of the array
//! decide what a look-up costs.

/// Slots per line. A source can be in any slot of its line.
pub const SLOTS: usize = 8;

/// A line fills one cache line: it has 64 bytes, and with `BPF_F_MMAPABLE` the array starts
/// at a page. Each slot is a [`RecentDrop`] as a word; 0: unused.
pub type Line = [u64; SLOTS];

/// The lowest bits of a tag choose a source's home ([`Place::home`]). The next ones spread
/// the times at which entries are read again ([`Place::spread`]).
const HOME_BITS: u32 = SLOTS.ilog2();
const SPREAD_BITS: u32 = 4;
/// Number of the lowest bits of a hash that a slot holds. The line's number gives the rest.
const TAG_BITS: u32 = 17;
const FROM_BITS: u32 = 28;
const UNITS_BITS: u32 = 6;
const HITS_BITS: u32 = 7;

const LAST_SHIFT: u32 = HITS_BITS;
const UNITS_SHIFT: u32 = LAST_SHIFT + UNITS_BITS;
const FROM_SHIFT: u32 = UNITS_SHIFT + UNITS_BITS;
const TAG_SHIFT: u32 = FROM_SHIFT + FROM_BITS;
const _: () = assert!(TAG_SHIFT + TAG_BITS == u64::BITS);

/// The least binary logarithm of the number of lines. With fewer lines, line and tag would
/// not hold the whole hash.
pub const LEAST_LINE_BITS: u32 = u32::BITS - TAG_BITS;
/// The longest time for which a slot is valid, in units.
pub const MOST_UNITS: u32 = mask(UNITS_BITS);
/// The number of hits after which the filter reads the entry again.
pub const MOST_HITS: u32 = mask(HITS_BITS);

/// Fibonacci hashing: the golden ratio of 2^32 spreads neighbouring addresses
/// (Knuth). The factor is odd, so no two addresses have the same hash.
const FACTOR: u32 = 0x9e37_79b1;
/// The inverse of [`FACTOR`] modulo 2^32.
const INVERSE: u32 = inverse(FACTOR);

/// Where a source can be in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of its line.
    pub line: u32,
    /// The bits of the hash that distinguish the source from others in the line.
    pub tag: u32,
}

impl Place {
    /// The place of an IPv4 address in a cache of 2^`line_bits` lines
    /// ([`LEAST_LINE_BITS`] to 32).
    #[inline(always)]
    #[must_use]
    pub const fn from_source(source: [u8; 4], line_bits: u32) -> Self {
        let hash = u32::from_be_bytes(source).wrapping_mul(FACTOR);
        Self {
            line: hash >> (u32::BITS - line_bits),
            tag: hash & mask(TAG_BITS),
        }
    }

    /// The address that [`Place::from_source`] was given.
    #[inline(always)]
    #[must_use]
    pub const fn source(self, line_bits: u32) -> [u8; 4] {
        // A bit of the hash that is in both `line` and `tag` is equal in them.
        let hash = self.line << (u32::BITS - line_bits) | self.tag;
        hash.wrapping_mul(INVERSE).to_be_bytes()
    }

    /// The index, within the line, of the slot that the source takes if that slot is free.
    /// The filter looks at this slot first, so a source in it needs no search.
    #[inline(always)]
    #[must_use]
    pub const fn home(self) -> u64 {
        (self.tag & mask(HOME_BITS)) as u64
    }

    /// `units`, shortened by up to a quarter that depends on the source. Otherwise, sources
    /// that were cached at the same time would need their entries again at the same time.
    #[inline(always)]
    #[must_use]
    pub const fn spread(self, units: u32) -> u32 {
        let less = self.tag >> HOME_BITS & mask(SPREAD_BITS);
        units - ((units * less) >> (SPREAD_BITS + 2))
    }

    /// 0 if the slot is of this source, else another number, below 2^[`TAG_BITS`].
    #[inline(always)]
    #[must_use]
    pub const fn difference(self, word: u64) -> u64 {
        word >> TAG_SHIFT ^ self.tag as u64
    }

    /// Whether the slot is of this source.
    #[inline(always)]
    #[must_use]
    pub const fn is_of(self, word: u64) -> bool {
        self.difference(word) == 0
    }
}

/// A slot: a sealed IPv4 source whose packets to the watched destinations are all
/// dropped for a while. Times are in units of one or more of the kernel's ticks
/// (jiffies), see [`unit_bits`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentDrop {
    /// [`Place::tag`].
    pub tag: u32,
    /// The unit in which the source's entry was read; a slot holds the lowest bits. They
    /// wrap around after a year or more. User space empties an old slot before that
    /// ([`RecentDrop::is_old`]).
    pub from: u32,
    /// The number of units for which the slot is valid, at most [`MOST_UNITS`]; 0: the
    /// slot is unused.
    pub units: u32,
    /// 1 + the number of units from `from` to the last hit that slides the entry's expiry;
    /// 0: there was no such hit.
    pub last: u32,
    /// Hits that are not yet added to the entry. They are lost when the epoch
    /// ([`Settings::epoch`](crate::settings::Settings::epoch)) is raised.
    pub hits: u32,
}

impl RecentDrop {
    /// Reads a slot.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self {
            tag: (word >> TAG_SHIFT) as u32,
            from: (word >> FROM_SHIFT) as u32 & mask(FROM_BITS),
            units: (word >> UNITS_SHIFT) as u32 & mask(UNITS_BITS),
            last: (word >> LAST_SHIFT) as u32 & mask(UNITS_BITS),
            hits: word as u32 & mask(HITS_BITS),
        }
    }

    /// The slot as a word, with the lowest bits of `from`. The caller makes sure that
    /// every other field fits into its bits.
    #[inline(always)]
    #[must_use]
    pub const fn word(self) -> u64 {
        (self.tag as u64) << TAG_SHIFT
            | ((self.from & mask(FROM_BITS)) as u64) << FROM_SHIFT
            | (self.units as u64) << UNITS_SHIFT
            | (self.last as u64) << LAST_SHIFT
            | self.hits as u64
    }

    /// The number of units from `from` to the unit `now`.
    #[inline(always)]
    #[must_use]
    pub const fn age(self, now: u32) -> u32 {
        now.wrapping_sub(self.from) & mask(FROM_BITS)
    }

    /// Whether the entry was read after the unit in which the cache was last invalidated
    /// ([`Settings::epoch`]).
    ///
    /// [`Settings::epoch`]: crate::settings::Settings::epoch
    #[inline(always)]
    #[must_use]
    pub const fn is_after(self, epoch: u32, now: u32) -> bool {
        // The epoch may be later than `now`: no slot is after it then.
        self.age(now) < now.saturating_sub(epoch)
    }

    /// Whether the slot is valid for its source in the unit `now`.
    #[inline(always)]
    #[must_use]
    pub const fn is_valid(self, epoch: u32, now: u32) -> bool {
        self.age(now) < self.units && self.is_after(epoch, now)
    }

    /// As [`RecentDrop::is_valid`], for a reader whose `now` may be a unit ahead of the
    /// filter's.
    #[inline(always)]
    #[must_use]
    pub const fn may_answer(self, epoch: u32, now: u32) -> bool {
        self.units != 0 && self.age(now) <= self.units && self.is_after(epoch, now)
    }

    /// Whether the slot is older than half of the time after which `from` wraps around.
    /// False for a slot that is newer than `now` by up to [`MOST_UNITS`].
    #[must_use]
    pub const fn is_old(self, now: u32) -> bool {
        let age = self.age(now);
        age > mask(FROM_BITS) / 2 && age <= mask(FROM_BITS) - MOST_UNITS
    }

    /// The slot after a hit in the unit `now`. Before the hit, the slot must be valid in
    /// this unit and have fewer than [`MOST_HITS`] hits.
    #[inline(always)]
    #[must_use]
    pub const fn hit(self, now: u32, slides: bool) -> Self {
        Self {
            last: if slides { self.age(now) + 1 } else { self.last },
            hits: self.hits + 1,
            ..self
        }
    }

    /// The number of units from the last hit that slides the entry's expiry to `now`;
    /// `None`: there was no such hit.
    #[inline(always)]
    #[must_use]
    pub const fn last_age(self, now: u32) -> Option<u32> {
        match self.last {
            0 => None,
            last => Some((self.age(now) + 1).saturating_sub(last)),
        }
    }
}

/// The binary logarithm of the number of lines for this many entries. The lines have at
/// least one slot for each entry.
#[must_use]
pub const fn line_bits(entries: u32) -> u32 {
    let lines = entries.div_ceil(SLOTS as u32);
    let bits = lines.next_power_of_two().ilog2();
    if bits < LEAST_LINE_BITS {
        LEAST_LINE_BITS
    } else {
        bits
    }
}

/// The binary logarithm of the number of ticks in a unit, for this length of a tick. A unit
/// is as long as possible, but at most [`LONGEST_UNIT_NS`].
#[must_use]
pub const fn unit_bits(tick_ns: u32) -> u32 {
    let mut bits = 0;
    while tick_ns != 0 && (tick_ns as u64) << (bits + 1) <= LONGEST_UNIT_NS {
        bits += 1;
    }
    bits
}

/// [`MOST_UNITS`] units of this length are 16 s, the longest answer of a recent drop. With
/// ticks of 10 ms, a unit is 160 ms and the longest answer 10 s.
const LONGEST_UNIT_NS: u64 = 256_000_000;

#[inline(always)]
const fn mask(bits: u32) -> u32 {
    u32::MAX >> (u32::BITS - bits)
}

const fn inverse(odd: u32) -> u32 {
    // `odd` is its own inverse in three bits. Newton's step doubles the number of right bits.
    let (mut found, mut bits) = (odd, 3);
    while bits < u32::BITS {
        found = found.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(found)));
        bits *= 2;
    }
    found
}

#[cfg(test)]
mod tests;
