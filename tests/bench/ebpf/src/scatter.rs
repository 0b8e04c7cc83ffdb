//! Scatters the listed addresses over their range.

/// Maps a 24-bit number to another one, such that neighbours end up far apart,
/// as the addresses of a botnet are. Shifts with XOR and an odd factor are
/// invertible, so no two numbers have the same result.
#[inline(always)]
pub const fn scatter(number: u32) -> u32 {
    let mixed = (number ^ (number >> 12)).wrapping_mul(0x00b5_297b) & 0x00ff_ffff;
    mixed ^ (mixed >> 12)
}
