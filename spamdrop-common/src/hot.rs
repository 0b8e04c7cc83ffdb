//! The sources that were dropped a moment ago.
//!
//! In a flood, almost every packet is of a source that sent another one less
//! than a second before. Nothing is due for its entry then but one more hit:
//! a slot of a plain array says so without a look-up in the hash map, the
//! clock and the allowlist.

/// Sets of slots; a power of two.
pub const SETS: u32 = 1 << 14;
/// Slots of a set: a source can be in any of one set's.
pub const WAYS: usize = 4;

/// A slot: a sealed IPv4 source, all of whose packets are dropped for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Hot {
    /// The tick (jiffies) from which its entry has to be looked at again; at
    /// most a second ahead.
    pub until: u64,
    /// The four bytes of the address as one word, so that nobody ever sees
    /// half of one and half of another.
    pub source: u32,
    /// [`Settings::generation`], as it was before its entry was looked up.
    ///
    /// [`Settings::generation`]: crate::settings::Settings::generation
    pub generation: u16,
    /// Hits that its entry does not know of yet; lost when the generation
    /// changes.
    pub hits: u16,
}

impl Hot {
    /// The set in which a source can be.
    #[inline(always)]
    #[must_use]
    pub const fn set(source: u32) -> u32 {
        // The golden ratio of 2^32 spreads neighbours widely (Knuth).
        source.wrapping_mul(0x9e37_79b1) >> (32 - SETS.ilog2())
    }

    /// Whether a source is in it, and holds it at this tick.
    #[inline(always)]
    #[must_use]
    pub const fn is_taken(&self, generation: u16, tick: u64) -> bool {
        tick < self.until && self.generation == generation
    }
}

const _: () = assert!(size_of::<Hot>() == 16 && SETS.is_power_of_two());

#[cfg(feature = "user")]
// SAFETY: repr(C) without padding (size asserted above), integers only.
unsafe impl aya::Pod for Hot {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_held_until_its_tick_and_in_its_generation() {
        let hot = Hot {
            until: 10,
            generation: 7,
            ..Hot::default()
        };
        assert!(hot.is_taken(7, 9));
        assert!(!hot.is_taken(7, 10));
        assert!(!hot.is_taken(8, 9));
        assert!(!Hot::default().is_taken(0, 0));
    }

    #[test]
    fn neighbours_are_spread_over_the_sets() {
        // A /18 of neighbours, wherever its bits are.
        for shift in [0, 8, 14] {
            let mut used = [0u8; SETS as usize];
            for number in 0..SETS {
                used[Hot::set((number << shift).to_be()) as usize] += 1;
            }
            let most = used.iter().max().copied().unwrap_or(0);
            assert!(usize::from(most) <= WAYS, "{most} in a set, shift {shift}");
        }
    }
}
