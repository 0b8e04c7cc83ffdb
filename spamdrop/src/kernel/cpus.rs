//! The processors of this machine.

/// The number of processors that can ever be online, which is the size of the
/// kernel's per-CPU maps; at least 1.
#[must_use]
pub fn possible() -> u32 {
    let cpus = aya::util::nr_cpus().unwrap_or(1);
    u32::try_from(cpus).unwrap_or(u32::MAX)
}
