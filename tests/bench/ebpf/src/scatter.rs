//! Which addresses are listed.

/// One of 2^24 numbers for another: neighbours end up far apart, as the
/// addresses of a botnet are. Shifts and an odd factor can be undone, so no two
/// end up at the same place.
#[inline(always)]
pub const fn scatter(number: u32) -> u32 {
    let mixed = (number ^ (number >> 12)).wrapping_mul(0x00b5_297b) & 0x00ff_ffff;
    mixed ^ (mixed >> 12)
}
