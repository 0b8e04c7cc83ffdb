//! A cache of the sources that were dropped most recently.
//!
//! In a flood, almost every packet comes from a source that sent another packet some
//! seconds before. For such a packet, the filter only needs to count a hit. A
//! slot of a plain array answers this without the hash map look-up, the clock and
//! the allowlist, and touches one cache line.

/// Slots per line. A source can be in any slot of its line.
pub const SLOTS: usize = 4;

/// One line is one cache line, because the map is `BPF_F_MMAPABLE`.
pub type Line = [RecentDrop; SLOTS];

/// A slot: a sealed IPv4 source whose packets to one destination are all
/// dropped until `until_tick`.
///
/// CPUs read and write it as two words of eight bytes, so it may hold the first of
/// one source and the second of another. `tag` tells that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RecentDrop {
    /// The four bytes of the address as one word.
    pub source: u32,
    /// The destination of the packet that was dropped, in the same form. The
    /// filter applies to this destination, but perhaps not to another one.
    pub destination: u32,
    /// The tick (jiffies, low 32 bits) from which the source's entry must be
    /// read again; at most [`MOST_TICKS`] ahead.
    pub until_tick: u32,
    /// [`RecentDrop::tag`] of the source and of the epoch that was read before the
    /// entry.
    pub tag: u16,
    /// The time from the last hit that slides the entry's expiry until
    /// `until_tick`, in units of [`UNIT`] ticks, rounded up; 0: there was none since
    /// the entry was read.
    pub left: u8,
    /// Hits that are not yet added to the entry; lost when the epoch changes.
    pub hits: u8,
}

/// Ticks in a unit of [`RecentDrop::left`]: 64 ms with 1,000 ticks a second.
pub const UNIT: u32 = 64;
/// The longest time for which a slot is valid, in ticks: 16 s with 1,000 a second.
pub const MOST_TICKS: u32 = UNIT * u8::MAX as u32;

impl RecentDrop {
    /// The line that may hold a source.
    #[inline(always)]
    #[must_use]
    pub const fn line(source: u32, lines: u32) -> u32 {
        // Fibonacci hashing: the golden ratio of 2^32 spreads neighbouring
        // addresses (Knuth).
        let hash = source.wrapping_mul(0x9e37_79b1);
        ((hash as u64 * lines as u64) >> 32) as u32
    }

    /// Mixes the epoch with the source.
    #[inline(always)]
    #[must_use]
    pub const fn tag(source: u32, epoch: u16) -> u16 {
        epoch ^ (source ^ (source >> 16)) as u16
    }

    /// Whether the slot is whole, and was written in this epoch
    /// ([`Settings::epoch`], low 16 bits).
    ///
    /// [`Settings::epoch`]: crate::settings::Settings::epoch
    #[inline(always)]
    #[must_use]
    pub const fn is_of(&self, epoch: u16) -> bool {
        self.tag == Self::tag(self.source, epoch)
    }

    /// Whether the slot is valid for its source at this tick. The ticks wrap
    /// around after 49 days or more; a slot that is so old counts as valid for
    /// some seconds, if the epoch was not raised in all that time.
    #[inline(always)]
    #[must_use]
    pub const fn is_valid(&self, epoch: u16, tick: u32) -> bool {
        let left = self.until_tick.wrapping_sub(tick);
        left != 0 && left <= MOST_TICKS && self.is_of(epoch)
    }

    /// [`RecentDrop::left`] after a hit at this tick, at which the slot is valid.
    #[inline(always)]
    #[must_use]
    pub const fn left_after(&self, tick: u32) -> u8 {
        (self.until_tick.wrapping_sub(tick).wrapping_add(UNIT - 1) / UNIT) as u8
    }

    /// The tick of the last hit that slides the entry's expiry, or up to [`UNIT`]
    /// ticks before.
    #[inline(always)]
    #[must_use]
    pub const fn last_tick(&self) -> u32 {
        self.until_tick.wrapping_sub(self.left as u32 * UNIT)
    }
}

const _: () = assert!(size_of::<RecentDrop>() == 16);
const _: () = assert!(size_of::<Line>() == 64);

#[cfg(feature = "user")]
// SAFETY: repr(C) without padding (size asserted above), integers only.
unsafe impl aya::Pod for RecentDrop {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_valid_until_its_tick_and_in_its_epoch() {
        let source = 0x0102_0304;
        let slot = RecentDrop {
            source,
            until_tick: 10,
            tag: RecentDrop::tag(source, 7),
            ..RecentDrop::default()
        };
        assert!(slot.is_valid(7, 9));
        assert!(!slot.is_valid(7, 10));
        assert!(!slot.is_valid(8, 9));
        assert!(!RecentDrop::default().is_valid(0, 0));
        for other in [source + 1, source ^ (1 << 31), 0] {
            let mixed = RecentDrop {
                source: other,
                ..slot
            };
            assert!(!mixed.is_valid(7, 9), "{other:x}");
        }
    }

    #[test]
    fn ticks_wrap_around() {
        let slot = RecentDrop {
            until_tick: 3,
            ..RecentDrop::default()
        };
        assert!(slot.is_valid(0, u32::MAX));
        assert!(slot.is_valid(0, 3_u32.wrapping_sub(MOST_TICKS)));
        assert!(!slot.is_valid(0, 2_u32.wrapping_sub(MOST_TICKS)));
        assert!(!slot.is_valid(0, 4));
        assert!(!slot.is_valid(0, 3 + u32::MAX / 2));
    }

    #[test]
    fn the_last_hit_is_never_told_too_late_and_at_most_a_unit_too_early() {
        for until_tick in [MOST_TICKS, MOST_TICKS + 1, 77, u32::MAX, 0] {
            let mut slot = RecentDrop {
                until_tick,
                ..RecentDrop::default()
            };
            for left in 1..=MOST_TICKS {
                let tick = until_tick.wrapping_sub(left);
                slot.left = slot.left_after(tick);
                let early = tick.wrapping_sub(slot.last_tick());
                assert!(early < UNIT, "{early} at {left} until {until_tick}");
            }
        }
    }

    #[test]
    fn neighbours_are_spread_over_the_lines() {
        // A /18 of neighbouring addresses, at three bit positions.
        const LINES: u32 = 1 << 14;
        for shift in [0, 8, 14] {
            let mut used = [0u8; LINES as usize];
            for number in 0..LINES {
                used[RecentDrop::line((number << shift).to_be(), LINES) as usize] += 1;
            }
            let most = used.iter().max().copied().unwrap_or(0);
            assert!(
                usize::from(most) <= SLOTS,
                "{most} in a line, shift {shift}"
            );
        }
    }

    #[test]
    fn every_line_is_within_the_map() {
        for lines in [1, 2, 3, 256, 1_000, 1 << 22] {
            for source in [0, 1, u32::MAX, 0x9e37_79b1, 0x0100_007f] {
                assert!(RecentDrop::line(source, lines) < lines);
            }
        }
    }
}
